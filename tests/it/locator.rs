//! Queries that do not go to everybody, through real sockets: who is left out, who never is, and what a
//! health data locator changes (ITI-56 as asker).

use std::sync::atomic::Ordering;
use std::time::Duration;

use causeway::model::ids::PatientId;
use causeway::model::response::{QueryResponse, ResponseStatus, Severity};
use causeway::model::rim::Slot;
use causeway::model::stored_query::AdhocQuery;
use causeway::simulate::fault::Fault;
use causeway::simulate::{Settings, Simulation, records};

use crate::gateways::peer;
use crate::load::claim;
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const CROSS_QUERY: &str = "urn:ihe:iti:2007:CrossGatewayQuery";
const DIRECTED: &str = "[locator]\npolicy = \"directed\"\n";

/// Communities each of which knows half of the patients, a patient whom some know and some do not, and a gateway.
struct Federation {
    simulation: Simulation,
    gateway: TestBroker,
    patient: PatientId,
    /// By number from 0, who holds something of the patient.
    holders: Vec<bool>,
    options: Options,
}

impl Federation {
    async fn start(locator: &str, of_each_peer: impl Fn(usize, &str) -> String) -> Self {
        let settings =
            Settings { communities: 4, patients: 30, known: 0.5, ..Settings::new(CERTIFICATES.files("server")) };
        let all: Vec<PatientId> = (0..30).map(|number| settings.patient(number).unwrap()).collect();
        let simulation = Simulation::start(settings).await.unwrap();
        let holders = |patient: &PatientId| -> Vec<bool> {
            simulation.communities().iter().map(|community| !community.documents(patient).is_empty()).collect()
        };
        // The first is to hold something, another one too, and two not.
        let fits =
            |patient: &&PatientId| holders(patient)[0] && holders(patient).iter().filter(|holds| **holds).count() == 2;
        let patient = all.iter().find(fits).expect("such a patient").clone();
        let first = simulation.communities()[0].home.to_string();
        let peers: String = simulation
            .communities()
            .iter()
            .enumerate()
            .map(|(n, community)| {
                let more = of_each_peer(n, &first);
                peer(&community.name, community.home.as_str(), &community.url(), "neighbour", &more)
            })
            .collect();
        let options = || Options { more: format!("{peers}{locator}"), ..Options::default() };
        let gateway = TestBroker::start(options()).await;
        let (holders, options) = (holders(&patient), options());
        Self { simulation, gateway, patient, holders, options }
    }

    async fn directed(settings: &str) -> Self {
        Self::start(&format!("{DIRECTED}{settings}"), |_, _| String::new()).await
    }

    fn find(&self) -> AdhocQuery {
        find(&self.patient.to_cx())
    }

    /// The answer, and by number from 0 who saw a query.
    async fn ask(&self, query: &AdhocQuery) -> (QueryResponse, Vec<bool>) {
        let before = self.requests();
        let response = self.gateway.query_at("initiating-gateway", QUERY, query).await;
        let asked = self.seen_since(&before);
        (response, asked)
    }

    fn requests(&self) -> Vec<u64> {
        let all = self.simulation.communities().iter();
        all.map(|community| community.counters.requests.load(Ordering::Relaxed)).collect()
    }

    fn seen_since(&self, before: &[u64]) -> Vec<bool> {
        before.iter().zip(self.requests()).map(|(before, after)| *before < after).collect()
    }

    /// Has the gateway read its configuration again, with other peers and settings.
    fn reload(&self, more: String) {
        let dir = self.gateway.dir.path();
        let text = toml(dir, &Options { more, ..Options::default() });
        let config = causeway::config::Config::from_toml(&text, dir).expect("a configuration");
        self.gateway.broker.reload(config).expect("a reload");
    }

    fn located(&self) -> u64 {
        self.simulation.communities()[0].counters.locations.load(Ordering::Relaxed)
    }
}

const EVERYBODY: [bool; 4] = [true; 4];

/// A patient whom nobody knows.
fn unknown() -> String {
    records::patient(9_999, records::NHS_NUMBER)
}

/// The whole of it: everybody first, then those that hold something, and everybody again in time.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_hold_nothing_are_left_out_for_a_while() {
    let federation = Federation::directed("knows_nothing = \"1h\"\n").await;
    // An answer to a narrow question proves nothing.
    let mut narrow = federation.find();
    narrow.slots.push(Slot::single("$XDSDocumentEntryClassCode", "('no-such-code^^1.2.3')"));
    assert_eq!(federation.ask(&narrow).await.1, EVERYBODY);
    assert_eq!(federation.ask(&narrow).await.1, EVERYBODY);
    let (first, asked) = federation.ask(&federation.find()).await;
    assert_eq!((first.status, asked), (ResponseStatus::Success, EVERYBODY.to_vec()));
    let (second, asked) = federation.ask(&federation.find()).await;
    assert_eq!(asked, federation.holders, "those that hold nothing saw no request");
    assert_eq!((second.status, second.errors.len()), (ResponseStatus::Success, 0));
    assert_eq!(second.objects.len(), first.objects.len());
    // Another patient is another one's business, and so is a wider question.
    let mut wider = federation.find();
    wider.slots[1] =
        Slot::single("$XDSDocumentEntryStatus", "('urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated')");
    assert_eq!(federation.ask(&wider).await.1, EVERYBODY);
    assert_eq!(federation.ask(&find(&unknown())).await.1, EVERYBODY);
    // Who is named as a target is asked.
    let mut targeted = federation.find();
    let all: Vec<String> =
        federation.simulation.communities().iter().map(|community| format!("'{}'", community.home)).collect();
    targeted.slots.push(Slot::single("$targetCommunityIdList", format!("({})", all.join(","))));
    assert_eq!(federation.ask(&targeted).await.1, EVERYBODY);
    // And everybody, when it has been long enough.
    federation.reload(federation.options.more.replace("\"1h\"", "\"1s\""));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(federation.ask(&federation.find()).await.1, EVERYBODY);
    let admin = federation.gateway.broker.admin_address().unwrap();
    let metrics = admin_get(admin, "/metrics").await;
    let left_out = metrics.lines().filter(|line| line.starts_with("causeway_left_out_total{"));
    let left_out: Vec<_> = left_out.filter(|line| line.contains("knows-nothing") && line.ends_with(" 1")).collect();
    assert_eq!(left_out.len(), 2, "{metrics}");
}

/// By default everybody is asked, and again.
#[tokio::test(flavor = "multi_thread")]
async fn unless_told_otherwise_everybody_is_asked() {
    let federation = Federation::start("", |_, _| String::new()).await;
    for _ in 0..2 {
        assert_eq!(federation.ask(&federation.find()).await.1, EVERYBODY);
    }
}

/// Who cannot be reached, or fails, is asked as before, and named as before; who was left out is told if wanted.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_trouble_is_never_left_out() {
    let federation = Federation::directed("tell = true\n").await;
    let nothing = federation.holders.iter().rposition(|holds| !holds).unwrap();
    let other = federation.holders.iter().position(|holds| !holds).unwrap();
    for fault in [Fault::Http500, Fault::SoapFault, Fault::Busy, Fault::Empty, Fault::Partial] {
        federation.simulation.trouble(nothing + 1, vec![(fault, 1.0)]);
        let (response, asked) = federation.ask(&federation.find()).await;
        assert!(asked[nothing], "{}", fault.name());
        assert_eq!(response.status, ResponseStatus::PartialSuccess, "{}", fault.name());
    }
    let (response, asked) = federation.ask(&federation.find()).await;
    assert!(asked[nothing] && !asked[other]);
    let warning = response.errors.iter().find(|error| error.severity == Severity::Warning).expect("a warning");
    assert_eq!(warning.location.as_deref(), Some(federation.simulation.communities()[other].home.as_str()));
    assert!(warning.context.contains("was not asked: it has said that it holds nothing"), "{}", warning.context);
    // XDSUnknownPatientId is proof.
    federation.simulation.trouble(nothing + 1, vec![(Fault::UnknownPatient, 1.0)]);
    assert!(federation.ask(&federation.find()).await.1[nothing]);
    let (response, asked) = federation.ask(&federation.find()).await;
    assert_eq!((response.status, asked), (ResponseStatus::Success, federation.holders.clone()), "told, and a Success");
}

/// What is known outlives a reload, but not of a community that is asked in another way since.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_outlives_a_reload() {
    let federation = Federation::directed("").await;
    let reload = |more| federation.reload(more);
    assert_eq!(federation.ask(&federation.find()).await.1, EVERYBODY);
    reload(federation.options.more.clone());
    assert_eq!(federation.ask(&federation.find()).await.1, federation.holders);
    let changed = federation.holders.iter().position(|holds| !holds).unwrap();
    let url = federation.simulation.communities()[changed].url();
    let more = federation.options.more.replace(&format!("\"{url}\""), &format!("\"{url}\"\ntimeout = \"3s\""));
    assert_ne!(more, federation.options.more);
    reload(more.clone());
    let mut expected = federation.holders.clone();
    expected[changed] = true;
    assert_eq!(federation.ask(&federation.find()).await.1, expected);
    // The policy is read again, too.
    reload(more.replace("directed", "broadcast"));
    assert_eq!(federation.ask(&federation.find()).await.1, EVERYBODY);
}

/// One reading of the assertion for who goes first and for whom to ask: where it cannot be read everybody is asked.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_asked_where_an_assertion_may_speak_of_an_emergency() {
    let federation = Federation::directed("per_user = false\n").await;
    assert_eq!(federation.ask(&federation.find()).await.1, EVERYBODY);
    let holders = &federation.holders;
    let plain = claim("ETREAT").replace("2.16.840.1.113883.5.8", "");
    let sealed = claim("TREAT").replace("s:Assertion", "s:EncryptedAssertion");
    let elsewhere = claim("TREAT").replace("ID=\"_1\"", "ID=\"ETREAT\"");
    for (header, asked) in [
        (claim("ETREAT"), &EVERYBODY.to_vec()),
        (claim("BTG"), &EVERYBODY.to_vec()),
        (claim("TREAT"), holders),
        (plain, &EVERYBODY.to_vec()),
        (sealed, &EVERYBODY.to_vec()),
        (elsewhere, holders),
    ] {
        let addressing = causeway::wire::soap::Addressing {
            action: Some(QUERY.to_owned()),
            message_id: Some(causeway::wire::soap::new_message_id()),
            ..Default::default()
        };
        let version = causeway::wire::soap::Version::V12;
        let body = causeway::transport::answer::envelope(version, &addressing, Some(&header), |out| {
            causeway::wire::ebrs::write_query(out, &federation.find());
        });
        let before = federation.requests();
        let reply = federation.gateway.post("initiating-gateway", "application/soap+xml; charset=UTF-8", body).await;
        assert_eq!(reply.query().status, ResponseStatus::Success, "{header}");
        assert_eq!(federation.seen_since(&before), *asked, "{header}");
    }
}

/// A community that asks about the patient may know them by now.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_about_a_patient_is_asked_again() {
    let federation = Federation::directed("").await;
    assert_eq!(federation.ask(&federation.find()).await.1, EVERYBODY);
    assert_eq!(federation.ask(&federation.find()).await.1, federation.holders);
    let asking = federation.holders.iter().position(|holds| !holds).unwrap();
    let query = federation.find();
    let request = http::Request::post(federation.gateway.url("responding-gateway"))
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .header("x-causeway-via", federation.simulation.communities()[asking].home.as_str())
        .body(http_body_util::Full::new(
            envelope(CROSS_QUERY, |out| causeway::wire::ebrs::write_query(out, &query)).into(),
        ))
        .unwrap();
    assert_eq!(federation.gateway.client.request(request).await.unwrap().status(), 200);
    let mut expected = federation.holders.clone();
    expected[asking] = true;
    assert_eq!(federation.ask(&federation.find()).await.1, expected);
}

/// The first community is a locator that speaks for all others: from the first query on only those are asked that
/// it names, until it does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_locator_directs_from_the_first_query_on() {
    let federation = Federation::start(&format!("{DIRECTED}broadcast_every = \"0s\"\nwait = \"1s\"\n"), |n, first| {
        if n == 0 { "locator = true".into() } else { format!("located_by = \"{first}\"") }
    })
    .await;
    for located in 1..=2 {
        let (response, asked) = federation.ask(&federation.find()).await;
        assert_eq!((response.status, asked), (ResponseStatus::Success, federation.holders.clone()));
        assert_eq!(federation.located(), located);
    }
    let records = audit_records(&federation.gateway.broker);
    let record = records.iter().find(|record| record.contains("csd-code=\"ITI-56\"")).expect("a record");
    assert!(record.contains(federation.patient.id()) && record.contains("PatientLocationQueryRequest"), "{record}");
    let admin = federation.gateway.broker.admin_address().unwrap();
    let explained = admin_get(admin, "/explain").await;
    let latest: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let explained = admin_get(admin, &format!("/explain/{}", latest[0]["id"].as_str().unwrap())).await;
    assert!(explained.contains("names 2 communities") && explained.contains("does not name it"), "{explained}");
    assert!(!explained.contains(federation.patient.id()), "{explained}");
    // Of one whom nobody knows it names nobody, which proves nothing.
    assert_eq!(federation.ask(&find(&unknown())).await.1, EVERYBODY);
    // It does not answer: everybody is asked, and it is named missing.
    federation.simulation.trouble(1, vec![(Fault::Http500, 1.0)]);
    let (response, asked) = federation.ask(&federation.find()).await;
    assert_eq!((response.status, asked), (ResponseStatus::PartialSuccess, EVERYBODY.to_vec()));
}

/// A broker of ours as the locator: it names itself and those of whom it has heard that they know the patient.
#[tokio::test]
async fn a_broker_of_ours_is_asked_as_a_locator() {
    let home = |n: usize| format!("urn:oid:2.999.900.{n}");
    let community = async |n: usize, more: String| {
        let repository = Some(format!("2.999.901.{n}"));
        TestBroker::start(Options { home: Some(home(n)), repository, more, ..Options::default() }).await
    };
    let of = |n: usize, broker: &TestBroker, more: &str| {
        peer(&format!("Community {n}"), &home(n), &broker.url("responding-gateway"), "member", more)
    };
    let asked = |broker: &TestBroker, transaction: &str| {
        let records = audit_records(&broker.broker);
        records.iter().filter(|record| record.contains(&format!("EventTypeCode csd-code=\"{transaction}\""))).count()
    };
    let (second, third) = (community(2, String::new()).await, community(3, String::new()).await);
    second.provide("2.999.902.2", PATIENT, b"second").await;
    let hub = community(1, of(2, &second, "").replace("same-domain", "discover")).await;
    let by_hub = format!("located_by = \"{}\"", home(1));
    let peers = of(1, &hub, "locator = true") + &of(2, &second, &by_hub) + &of(3, &third, &by_hub);
    let near = community(4, format!("{peers}{DIRECTED}broadcast_every = \"0s\"\n")).await;
    // It knows nobody who knows the patient, and so it says nothing: all are asked.
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1), "{:?}", response.errors);
    assert_eq!((asked(&hub, "ITI-56"), asked(&third, "ITI-38")), (1, 1));
    // Now it knows: its own member said so when the query went on to it.
    near.broker.stop().await;
    let near = community(4, format!("{peers}{DIRECTED}broadcast_every = \"0s\"\n")).await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1), "{:?}", response.errors);
    assert_eq!((asked(&hub, "ITI-56"), asked(&third, "ITI-38")), (2, 1), "the third was not asked again");
    assert_eq!(asked(&near, "ITI-56"), 1, "the asker's record");
}
