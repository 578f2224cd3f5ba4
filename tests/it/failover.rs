//! A community with several gateways: who is asked, who answers instead, and what is on record of it. The
//! gateways are those of `causeway simulate`, in trouble.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use causeway::model::ids::PatientId;
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::simulate::fault::Fault;
use causeway::simulate::{Settings, Simulation};

use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
/// Where nobody listens.
const NOBODY: &str = "https://127.0.0.1:9/services/responding-gateway";

/// Two gateways, and one that takes them for those of one community: the one that the second speaks for.
struct Pair {
    simulation: Simulation,
    gateway: TestBroker,
    patient: PatientId,
}

impl Pair {
    async fn start(limits: &str, of_the_peer: &str) -> Self {
        Self::of(2, limits, of_the_peer).await
    }

    /// The same for the community of the gateway of that number.
    async fn of(number: usize, limits: &str, of_the_peer: &str) -> Self {
        let settings = Settings {
            communities: 2,
            patients: 1,
            known: 1.0,
            bad_certificates: Some(CERTIFICATES.path.join("bad")),
            ..Settings::new(CERTIFICATES.files("server"))
        };
        let patient = settings.patient(0).unwrap();
        let simulation = Simulation::start(settings).await.unwrap();
        let urls: Vec<String> = simulation.communities().iter().map(|community| community.url()).collect();
        let home = simulation.communities()[number - 1].home.as_str();
        let more = peer(home, &[&urls[0], &urls[1]], of_the_peer);
        let gateway = TestBroker::start(Options { more, limits: limits.to_owned(), ..Options::default() }).await;
        Self { simulation, gateway, patient }
    }

    async fn ask(&self) -> QueryResponse {
        self.gateway.query_at("initiating-gateway", QUERY, &find(&self.patient.to_cx())).await
    }

    /// The unique ids that the gateway of that number holds.
    fn held(&self, number: usize) -> BTreeSet<String> {
        self.simulation.communities()[number - 1].documents(&self.patient).iter().map(ToString::to_string).collect()
    }

    fn requests(&self) -> [u64; 2] {
        [0, 1].map(|at| self.simulation.communities()[at].counters.requests.load(Ordering::Relaxed))
    }

    /// A retrieve of the first document of the community of that number.
    fn retrieve(&self, number: usize) -> (String, Vec<u8>) {
        let community = &self.simulation.communities()[number - 1];
        let id = community.documents(&self.patient)[0].to_string();
        let payload = retrieve(&[(Some(community.home.as_str()), community.repository.as_str(), &id)]);
        mtom_request(RETRIEVE, &payload)
    }
}

fn peer(home: &str, urls: &[&str], more: &str) -> String {
    let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    format!(
        "[[peer]]\nname = \"Two gateways\"\nhome_community_id = \"{home}\"\nresponding_gateway = [{}]\n{more}\n",
        urls.join(", ")
    )
}

fn unique_ids(response: &QueryResponse) -> BTreeSet<String> {
    unpacked(response).iter().filter_map(|object| object.unique_id().map(str::to_owned)).collect()
}

fn codes(response: &QueryResponse) -> Vec<&str> {
    response.errors.iter().map(|error| error.code.as_str()).collect()
}

/// Whatever keeps the first from answering, the second does within the community's time.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_answers_for_the_first() {
    let pair = Pair::start("breaker_failures = 1000", "timeout = \"4s\"").await;
    // A certificate is looked at when a connection is made, so before any is kept.
    for fault in [
        Fault::UnknownIssuer,
        Fault::Expired,
        Fault::WrongName,
        Fault::Hang,
        Fault::CloseAfterHandshake,
        Fault::Reset,
        Fault::CutHead,
        Fault::CutBody,
        Fault::ResetBody,
        Fault::Http500,
    ] {
        pair.simulation.trouble(1, vec![(fault, 1.0)]);
        let response = pair.ask().await;
        assert_eq!(response.status, ResponseStatus::Success, "{}: {:?}", fault.name(), response.errors);
        assert_eq!(unique_ids(&response), pair.held(2), "{}", fault.name());
        assert!(response.errors.is_empty(), "{}: {:?}", fault.name(), response.errors);
    }
    let admin = pair.gateway.broker.admin_address().unwrap();
    let metrics = admin_get(admin, "/metrics").await;
    let failed_over = metrics.lines().find(|line| line.contains("outcome=\"failed-over\"")).expect("counted");
    assert!(failed_over.ends_with(" 10"), "{failed_over}");
    // Each call is on record with the address that was called, and how it ended.
    let records = audit_records(&pair.gateway.broker);
    let of = |number: usize, outcome: &str| {
        let address = pair.simulation.communities()[number - 1].address.to_string();
        let of_it = records.iter().filter(|record| record.contains("csd-code=\"ITI-38\"") && record.contains(&address));
        of_it.filter(|record| record.contains(&format!("EventOutcomeIndicator=\"{outcome}\""))).count()
    };
    assert_eq!((of(1, "8"), of(1, "0"), of(2, "0"), of(2, "8")), (10, 0, 10, 0));
}

/// Documents too; and nobody listening is found out at once.
#[tokio::test(flavor = "multi_thread")]
async fn documents_come_from_the_second() {
    let pair = Pair::start("", "").await;
    let (home, url) = (pair.simulation.communities()[1].home.to_string(), pair.simulation.communities()[1].url());
    let near = TestBroker::start(Options { more: peer(&home, &[NOBODY, &url], ""), ..Options::default() }).await;
    let (content_type, body) = pair.retrieve(2);
    let reply = near.post("initiating-gateway", &content_type, body).await;
    let (response, documents) = reply.retrieve();
    assert_eq!((response.status, documents.len(), reply.parts().len()), (ResponseStatus::Success, 1, 2));
    // What was done is explained, with the addresses.
    let request = http::Request::post(near.url("initiating-gateway"))
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(http_body_util::Full::new(
            envelope(QUERY, |out| causeway::wire::ebrs::write_query(out, &find(&pair.patient.to_cx()))).into(),
        ))
        .unwrap();
    let response = near.client.request(request).await.unwrap();
    let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let explained = admin_get(near.broker.admin_address().unwrap(), &format!("/explain/{id}")).await;
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let said = |doing: &str| -> Vec<String> {
        let steps = explained["steps"].as_array().unwrap().iter().filter(|step| step["doing"] == doing);
        steps.map(|step| step["said"].as_str().unwrap().to_owned()).collect()
    };
    // Of a connection that was refused there is no handshake, and no wait for an answer.
    let done =
        |doing: &str| explained["steps"].as_array().unwrap().iter().filter(|step| step["doing"] == doing).count();
    assert_eq!((done("call"), done("wait"), done("connect") - done("tls")), (2, 1, 1), "{explained:#}");
    let gateways = said("gateway");
    assert!(gateways[0].starts_with(&format!("{NOBODY} could not be reached")), "{gateways:?}");
    assert_eq!((gateways.len(), gateways[1].as_str()), (2, format!("{url} answered").as_str()));
    assert_eq!(said("failover"), [format!("to {url}")]);
}

/// A fault is an answer, and so is a message that is wrong: nobody else is asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_any_kind_does_not_fail_over() {
    let pair = Pair::of(1, "", "").await;
    for (fault, code) in [
        (Fault::SoapFault, "XDSUnavailableCommunity"),
        (Fault::Truncated, "XDSUnavailableCommunity"),
        (Fault::Html, "XDSUnavailableCommunity"),
        (Fault::Busy, "XDSRegistryBusy"),
    ] {
        pair.simulation.trouble(1, vec![(fault, 1.0)]);
        assert_eq!(codes(&pair.ask().await), [code], "{}", fault.name());
    }
    // Nor does one that breaks off once it has begun.
    pair.simulation.trouble(1, vec![(Fault::CutBody, 1.0)]);
    let (content_type, body) = pair.retrieve(1);
    let request = http::Request::post(pair.gateway.url("initiating-gateway"))
        .header("content-type", content_type)
        .body(http_body_util::Full::new(body.into()))
        .unwrap();
    let response = pair.gateway.client.request(request).await.unwrap();
    let whole = http_body_util::BodyExt::collect(response.into_body()).await;
    assert!(whole.is_err(), "the answer must not end as if it were whole");
    assert_eq!(pair.requests()[1], 0);
}

/// If none answers, the community is named, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_community_none_of_whose_gateways_answers_is_named_once() {
    let pair = Pair::start("", "timeout = \"1s\"").await;
    for faults in [[Fault::Hang, Fault::Reset], [Fault::Reset, Fault::Hang]] {
        for (number, fault) in (1..).zip(faults) {
            pair.simulation.trouble(number, vec![(fault, 1.0)]);
        }
        let response = pair.ask().await;
        assert_eq!(codes(&response), ["XDSUnavailableCommunity"], "{faults:?}");
        let home = pair.simulation.communities()[1].home.as_str();
        assert_eq!(response.errors[0].location.as_deref(), Some(home));
    }
}

/// One that does not answer is not asked for a while, and then nobody waits for it; the console says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_has_not_answered_lately_is_passed_over() {
    let limits = "breaker_failures = 2\nbreaker_pause = \"1h\"";
    let pair = Pair::start(limits, "timeout = \"1s\"").await;
    pair.simulation.trouble(1, vec![(Fault::Hang, 1.0)]);
    for _ in 0..6 {
        let response = pair.ask().await;
        assert_eq!((response.status, unique_ids(&response)), (ResponseStatus::Success, pair.held(2)));
    }
    assert_eq!(pair.requests(), [2, 6]);
    let page = admin_get(pair.gateway.broker.admin_address().unwrap(), "/").await;
    let [first, second] = [0, 1].map(|at| pair.simulation.communities()[at].url());
    assert!(page.contains(&format!("{first} (has not answered lately")), "{page}");
    assert!(page.contains(&second) && !page.contains(&format!("{second} (has")), "{page}");
}

/// Where a patient's id is asked for (ITI-55) the same holds, with one address and with an address of its own.
#[tokio::test]
async fn a_patient_is_asked_for_at_the_second_gateway() {
    let far = TestBroker::start(Options { home: Some("urn:oid:2.999.900.2".into()), ..Options::default() }).await;
    far.provide("2.999.902.2", PATIENT, b"letter").await;
    let url = far.url("responding-gateway");
    for more in ["patient_id = \"discover\"", &format!("patient_id = \"discover\"\npatient_discovery = \"{url}\"")] {
        let more = peer("urn:oid:2.999.900.2", &[NOBODY, &url], more);
        let near = TestBroker::start(Options { more, ..Options::default() }).await;
        let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1), "{:?}", response.errors);
        near.broker.stop().await;
    }
}

/// `causeway doctor` and `causeway check` look at all of them.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_and_check_look_at_every_gateway() {
    let broker = TestBroker::start(Options::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let more = peer(HOME, &[&broker.url("responding-gateway"), NOBODY], "");
    let own = Options { home: Some("urn:oid:2.999.1".into()), more, ..Options::default() };
    let file = dir.path().join("causeway.toml");
    std::fs::write(&file, toml(dir.path(), &own)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(arguments).arg("--config").arg(&file).arg("--json");
        command
    };
    let mut doctor = run(&["doctor", "--peer", "two gateways"]);
    let output = tokio::task::spawn_blocking(move || doctor.output()).await.unwrap().unwrap();
    let reports: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((reports[0]["ok"].as_bool(), reports[1]["ok"].as_bool()), (Some(true), Some(false)), "{reports}");
    assert_eq!((output.status.code(), reports[1]["failed"].as_str()), (Some(1), Some("tcp")));
    let mut check = run(&["check"]);
    let output = tokio::task::spawn_blocking(move || check.output()).await.unwrap().unwrap();
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |subject: &str| -> Vec<&str> {
        let of_it = checks.as_array().unwrap().iter().filter(|check| check["check"] == subject);
        of_it.map(|check| check["status"].as_str().unwrap()).collect()
    };
    assert_eq!(of("peer Two gateways, gateway 1 of 2"), ["ok"], "{checks:#}");
    // The community can be asked all the same.
    assert_eq!(of("peer Two gateways, gateway 2 of 2"), ["warn"], "{checks:#}");
}
