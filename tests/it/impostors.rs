//! Callers at the Responding Gateway that bear the name of a community and show another certificate than is listed
//! for it; and those that share a name by right.

use std::path::PathBuf;

use causeway::broker::Broker;
use causeway::config::Config;
use causeway::model::discovery::{Criteria, DiscoveryQuery, InstanceId, MessageHeader, Priority};
use causeway::model::ids::PatientId;
use causeway::model::response::ResponseStatus;
use causeway::model::time::Dtm;
use causeway::transport::certificates::{self, DevelopmentAuthority};
use causeway::transport::tls::TlsFiles;
use causeway::wire::{hl7v3, xcpd};
use tempfile::TempDir;

use crate::support::*;

const CROSS_QUERY: &str = "urn:ihe:iti:2007:CrossGatewayQuery";
const CROSS_RETRIEVE: &str = "urn:ihe:iti:2007:CrossGatewayRetrieve";
const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const DISCOVER: &str = "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery";
const LOCATE: &str = "urn:ihe:iti:2009:PatientLocationQuery";

/// Certificates of one authority: that of the broker, and callers' by name, with a host each.
struct Callers {
    folder: TempDir,
}

impl Callers {
    fn issued(callers: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let authority = DevelopmentAuthority::new("Test", now - jiff::SignedDuration::from_mins(5)).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let ours = authority.issue_server(&["localhost"], &["127.0.0.1".parse().unwrap()], "ours").unwrap();
        let mut issued = vec![("server", ours)];
        for (name, host) in callers {
            let certificate = match (*host, host.parse()) {
                ("", _) => authority.issue_client(name),
                (_, Ok(address)) => authority.issue_server(&[], &[address], name),
                (host, _) => authority.issue_server(&[host], &[], name),
            };
            issued.push((name, certificate.unwrap()));
        }
        for (name, certificate) in &issued {
            write(&format!("{name}.pem"), &certificate.certificate_pem);
            write(&format!("{name}.key"), &certificate.key_pem);
        }
        write("ca.pem", &authority.certificate_pem().unwrap());
        let list = authority.revocation_list_pem(now, now + jiff::SignedDuration::from_hours(24)).unwrap();
        write("ca.crl", &list);
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client(&self, name: &str) -> HttpClient {
        client_with(TlsFiles {
            certificate: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key")),
            client_ca: self.file("ca.pem"),
            crl: None,
        })
    }

    /// `certificates` of those, by their fingerprints.
    fn pinned(&self, names: &[&str]) -> String {
        let sha256 = |name: &&str| {
            let pem = std::fs::read(self.file(&format!("{name}.pem"))).unwrap();
            format!("\"sha256:{}\"", certificates::facts_from_pem(&pem).unwrap()[0].fingerprint_hex())
        };
        format!("certificates = [{}]", names.iter().map(sha256).collect::<Vec<_>>().join(", "))
    }

    fn config(&self, folder: &std::path::Path, more: &str) -> Config {
        let text = toml(folder, &Options { more: more.to_owned(), ..Options::default() });
        let theirs = self.folder.path().display().to_string();
        let text = text.replace(&CERTIFICATES.path.display().to_string(), &theirs);
        Config::from_toml(&text, folder).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// A broker with a document, which was provided by that caller.
    async fn broker(&self, more: &str, source: &str) -> TestBroker {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::start(self.config(dir.path(), more)).await.expect("a broker");
        let address = broker.addresses()[0];
        let broker = TestBroker { broker, dir, address, client: self.client(source) };
        broker.provide("2.999.902.1", PATIENT, b"letter").await;
        broker
    }
}

fn peer(n: usize, host: &str, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"Community {n}\"\nhome_community_id = \"urn:oid:2.999.900.{n}\"\n\
         responding_gateway = \"https://{host}:9/services/responding-gateway\"\n{more}\n"
    )
}

/// Asks for the patient's documents as another community does: how many there are, or what is said.
async fn ask(broker: &mut TestBroker, client: HttpClient) -> Result<usize, String> {
    broker.client = client;
    let response = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
    match response.errors.first() {
        None => Ok(response.objects.len()),
        Some(error) => {
            assert_eq!((response.status, response.objects.len()), (ResponseStatus::Failure, 0));
            assert_eq!((error.code.as_str(), error.location.as_deref()), ("XDSRegistryError", Some(HOME)));
            Err(error.context.clone())
        }
    }
}

fn is_refused(answer: &Result<usize, String>) -> bool {
    answer.as_ref().is_err_and(|told| told.contains("bears the name of a community that is known here by another one"))
}

#[tokio::test]
async fn who_bears_a_communitys_name_and_shows_another_certificate_is_refused() {
    let host = "gateway.far.example";
    let callers = Callers::issued(&[("far", host), ("renewed", host), (host, ""), ("hospital", "")]);
    let far = |names: &[&str]| peer(2, host, &callers.pinned(names));
    let mut broker = callers.broker(&far(&["far"]), "hospital").await;
    assert_eq!(ask(&mut broker, callers.client("far")).await, Ok(1));
    // Who bears no community's name is nobody, and answered as ever.
    assert_eq!(ask(&mut broker, callers.client("hospital")).await, Ok(1));
    // By the host that its certificate covers, and by its common name alone.
    assert!(is_refused(&ask(&mut broker, callers.client(host)).await));
    assert!(is_refused(&ask(&mut broker, callers.client("renewed")).await));
    let (content_type, body) = mtom_request(CROSS_RETRIEVE, &retrieve(&[(Some(HOME), REPOSITORY, "2.999.902.1")]));
    let reply = broker.post("responding-gateway", &content_type, body).await;
    let (response, documents) = reply.retrieve();
    assert_eq!((response.errors[0].code.as_str(), documents.len()), ("XDSRepositoryError", 0));
    let patient = PatientId::parse(PATIENT).unwrap();
    let discovery = DiscoveryQuery {
        header: MessageHeader { message_id: InstanceId::new("2.999.1.10", "msg-1"), ..MessageHeader::default() },
        query_id: InstanceId::new("2.999.1.11", "q-1"),
        requester_domain: None,
        keep: None,
        respond_to: None,
        priority: Priority::Immediate,
        criteria: Criteria { ids: vec![patient.clone()], ..Criteria::default() },
    };
    let created = Dtm::parse("20260301120000").unwrap();
    let write = |out: &mut Vec<u8>| hl7v3::write_request(out, &discovery, created, None);
    let reply = broker.call("responding-gateway", DISCOVER, write).await;
    assert!(reply.text().contains("AnswerNotAvailable") && !reply.text().contains("9990000018^^^"));
    let locate = |out: &mut Vec<u8>| xcpd::write_location_request(out, &patient);
    let reply = broker.call("responding-gateway", LOCATE, locate).await;
    assert!(reply.status == 403 && reply.fault().is_some(), "{}", reply.text());
    let records = audit_records(&broker.broker);
    let refused = |record: &&String| {
        record.contains("refused: its certificate bears the name of Community 2, and is not listed for it")
            && record.contains("EventOutcomeIndicator=\"8\"")
    };
    assert_eq!(records.iter().filter(refused).count(), 5, "each is on record: {records:#?}");
    // Consumers of our own may be at that host too, and ask where consumers ask.
    let mut of_ours = find(PATIENT);
    of_ours.home = Some(HOME.to_owned());
    for service in ["initiating-gateway", "registry"] {
        assert_eq!(broker.query_at(service, QUERY, &of_ours).await.objects.len(), 1, "{service}");
    }
    // The operator lists the new one, for as long as both are shown: any of them is good.
    broker.broker.reload(callers.config(broker.dir.path(), &far(&["far", "renewed"]))).expect("a reload");
    for name in ["far", "renewed"] {
        assert_eq!(ask(&mut broker, callers.client(name)).await, Ok(1), "{name}");
    }
    assert!(is_refused(&ask(&mut broker, callers.client(host)).await));
}

#[tokio::test]
async fn names_that_are_shared_by_right_are_not_borrowed() {
    let host = "gateways.example";
    let callers = Callers::issued(&[
        ("north", host),
        ("south", host),
        ("third", host),
        ("neighbour", "127.0.0.1"),
        ("hospital", ""),
    ]);
    let north = peer(2, host, &callers.pinned(&["north"]));
    let mut broker = callers.broker(&north, "hospital").await;
    let reload = |broker: &TestBroker, peers: &str| {
        broker.broker.reload(callers.config(broker.dir.path(), peers)).expect("a reload");
    };
    assert!(is_refused(&ask(&mut broker, callers.client("south")).await));
    // One of another community at that host, of which no certificates are listed.
    reload(&broker, &(north.clone() + &peer(3, host, "")));
    for name in ["north", "south", "third"] {
        assert_eq!(ask(&mut broker, callers.client(name)).await, Ok(1), "{name}");
    }
    // Closed, it is nobody's host any more but of the one that is left.
    reload(&broker, &(north.clone() + &peer(3, host, "state = \"closed\"")));
    assert!(is_refused(&ask(&mut broker, callers.client("south")).await));
    // Where certificates of both are listed, each is who it is, and a third is neither.
    reload(&broker, &(north + &peer(3, host, &callers.pinned(&["south"]))));
    for name in ["north", "south"] {
        assert_eq!(ask(&mut broker, callers.client(name)).await, Ok(1), "{name}");
    }
    assert!(is_refused(&ask(&mut broker, callers.client("third")).await));
    // At our own host: what shows our certificate is ours.
    reload(&broker, &peer(2, "127.0.0.1", &callers.pinned(&["north"])));
    assert_eq!(ask(&mut broker, callers.client("server")).await, Ok(1));
    assert!(is_refused(&ask(&mut broker, callers.client("neighbour")).await));
    // That only known callers are answered is said to the others.
    let only_known = "[responding_gateway]\nonly_known = true\n";
    reload(&broker, &format!("{only_known}{}", peer(2, host, &callers.pinned(&["north"]))));
    assert!(is_refused(&ask(&mut broker, callers.client("south")).await));
    let told = ask(&mut broker, callers.client("hospital")).await;
    assert!(told.as_ref().is_err_and(|told| told.contains("answers communities that it knows")), "{told:?}");
    assert_eq!(ask(&mut broker, callers.client("north")).await, Ok(1));
}
