//! Communities in trouble, one kind after the other: what a consumer gets, how soon, and what is told
//! (F-40 to F-46 of the reliability targets). The communities are those of `causeway simulate`.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use causeway::model::ids::PatientId;
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::simulate::fault::Fault;
use causeway::simulate::{Settings, Simulation};

use crate::gateways::peer;
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";

/// Communities that know each patient, and a gateway that asks them.
struct Federation {
    simulation: Simulation,
    gateway: TestBroker,
    patient: PatientId,
}

impl Federation {
    async fn start(communities: u16, limits: &str, of_each_peer: &str) -> Self {
        let settings = Settings {
            communities,
            patients: 3,
            known: 1.0,
            bad_certificates: Some(CERTIFICATES.path.join("bad")),
            ..Settings::new(CERTIFICATES.files("server"))
        };
        let patient = settings.patient(0).unwrap();
        let simulation = Simulation::start(settings).await.unwrap();
        let peers = simulation.communities().iter().map(|community| {
            peer(&community.name, community.home.as_str(), &community.url(), "neighbour", of_each_peer)
        });
        let options = Options { more: peers.collect(), limits: limits.to_owned(), ..Options::default() };
        let gateway = TestBroker::start(options).await;
        Self { simulation, gateway, patient }
    }

    /// One community in trouble among three, with short patience.
    async fn with(fault: Fault) -> Self {
        let limits = "request_deadline = \"3s\"\nretrieve_deadline = \"3s\"";
        let federation = Self::start(3, limits, "timeout = \"1s\"").await;
        federation.simulation.trouble(2, vec![(fault, 1.0)]);
        federation
    }

    fn home(&self, number: usize) -> &str {
        self.simulation.communities()[number - 1].home.as_str()
    }

    async fn ask(&self) -> (QueryResponse, Duration) {
        let began = Instant::now();
        let response = self.gateway.query_at("initiating-gateway", QUERY, &find(&self.patient.to_cx())).await;
        (response, began.elapsed())
    }

    /// The unique ids that communities of these numbers hold.
    fn held(&self, numbers: &[usize]) -> BTreeSet<String> {
        let communities = numbers.iter().map(|number| &self.simulation.communities()[number - 1]);
        communities.flat_map(|community| community.documents(&self.patient)).map(ToString::to_string).collect()
    }

    /// Asks, and expects everything of the others, and an error that names the one in trouble.
    async fn one_is_missing(&self, name: &str) -> Duration {
        let (response, took) = self.ask().await;
        assert_eq!(response.status, ResponseStatus::PartialSuccess, "{name}: {:?}", response.errors);
        assert_eq!(unique_ids(&response), self.held(&[1, 3]), "{name}: the others' documents are all there");
        let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref().unwrap())).collect();
        assert_eq!(told, [("XDSUnavailableCommunity", self.home(2))], "{name}: {:?}", response.errors);
        took
    }

    /// Retrieves the first document of communities of these numbers; gives what came, and the errors.
    async fn retrieve(&self, numbers: &[usize]) -> (Vec<String>, Vec<(String, String)>, Vec<Vec<u8>>, Duration) {
        let communities: Vec<_> = numbers.iter().map(|number| &self.simulation.communities()[number - 1]).collect();
        let ids: Vec<String> = communities.iter().map(|c| c.documents(&self.patient)[0].to_string()).collect();
        let wanted: Vec<_> = communities
            .iter()
            .zip(&ids)
            .map(|(c, id)| (Some(c.home.as_str()), c.repository.as_str(), id.as_str()))
            .collect();
        let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&wanted));
        let began = Instant::now();
        let reply = self.gateway.post("initiating-gateway", &content_type, body).await;
        let took = began.elapsed();
        let (response, documents) = reply.retrieve();
        let errors = response.errors.iter();
        let errors = errors.map(|e| (e.code.as_str().to_owned(), e.location.clone().unwrap_or_default())).collect();
        (documents.into_iter().map(|document| document.0).collect(), errors, reply.parts(), took)
    }

    fn requests(&self, number: usize) -> u64 {
        self.simulation.communities()[number - 1].counters.requests.load(Ordering::Relaxed)
    }
}

fn unique_ids(response: &QueryResponse) -> BTreeSet<String> {
    unpacked(response).iter().filter_map(|object| object.unique_id().map(str::to_owned)).collect()
}

/// Budget of a community, and what an answer may take beyond it.
const BUDGET: Duration = Duration::from_secs(1);
const BEYOND: Duration = Duration::from_millis(500);

/// F-40: it takes requests and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn who_never_answers_is_named_in_time() {
    let federation = Federation::with(Fault::Hang).await;
    let took = federation.one_is_missing("hang").await;
    assert!(took >= BUDGET && took < BUDGET + BEYOND, "{took:?}");
    // The same of documents.
    let (documents, errors, _, took) = federation.retrieve(&[1, 2, 3]).await;
    assert_eq!(documents.len(), 2);
    assert_eq!(errors, [("XDSUnavailableCommunity".to_owned(), federation.home(2).to_owned())]);
    assert!(took < BUDGET + BEYOND, "{took:?}");
}

/// F-41: it sends an octet a second, from the first one or from the middle on.
#[tokio::test(flavor = "multi_thread")]
async fn who_dribbles_is_named_in_time() {
    for fault in [Fault::DribbleHead, Fault::DribbleBody] {
        let federation = Federation::with(fault).await;
        let took = federation.one_is_missing(fault.name()).await;
        assert!(took < BUDGET + BEYOND, "{}: {took:?}", fault.name());
    }
    // In the middle of a document: the others' come, and the error names who did not deliver.
    let federation = Federation::with(Fault::DribbleBody).await;
    let (documents, errors, _, took) = federation.retrieve(&[1, 2, 3]).await;
    assert_eq!((documents.len(), errors.len()), (2, 1), "{errors:?}");
    assert_eq!(errors[0], ("XDSUnavailableCommunity".to_owned(), federation.home(2).to_owned()));
    assert!(took < Duration::from_secs(3) + BEYOND, "{took:?}");
}

/// F-42: the connection breaks off, at any place: a query is sent once more, and not again.
#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_is_asked_once_more_and_named() {
    use Fault::{CloseAfterHandshake, CutBody, CutHead, Reset, ResetBody, SilentBody};
    let tries = [(CloseAfterHandshake, 0), (Reset, 2), (CutHead, 2), (CutBody, 2), (ResetBody, 2), (SilentBody, 1)];
    for (fault, requests) in tries {
        let federation = Federation::with(fault).await;
        let took = federation.one_is_missing(fault.name()).await;
        assert!(took < BUDGET + BEYOND, "{}: {took:?}", fault.name());
        assert_eq!(federation.requests(2), requests, "{}", fault.name());
        assert_eq!(federation.requests(1), 1);
        if fault == CloseAfterHandshake {
            let counters = &federation.simulation.communities()[1].counters;
            assert_eq!(counters.handshakes.load(Ordering::Relaxed), 2, "twice, and not again");
        }
    }
}

/// F-42: a submission is never sent again by itself: it may have been taken the first time.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_never_sent_again_blindly() {
    let settings = Settings { communities: 1, patients: 0, ..Settings::new(CERTIFICATES.files("server")) };
    let simulation = Simulation::start(settings).await.unwrap();
    simulation.trouble(1, vec![(Fault::Reset, 1.0)]);
    let registry = simulation.communities()[0].url().replace("responding-gateway", "registry");
    // The key belongs to the listener, which stands last before it.
    let more = format!("services = [\"repository\"]\n[registry]\nurl = \"{registry}\"\n");
    let repository = TestBroker::start(Options { more, ..Options::default() }).await;
    let reply = repository
        .provide_objects(&submission("2.999.902.1", PATIENT, "text/plain"), &[("entry", b"letter".as_slice())])
        .await;
    assert_eq!(reply.registry().errors[0].code.as_str(), "XDSRegistryNotAvailable");
    assert_eq!(simulation.communities()[0].counters.requests.load(Ordering::Relaxed), 1);
}

/// F-43: all are slow: each has its places and its queue, is not asked for a while after five failures,
/// and a probe finds that it is back.
#[tokio::test(flavor = "multi_thread")]
async fn ten_slow_communities_are_left_alone_until_a_probe_is_answered() {
    let federation = Federation::start(10, "breaker_pause = \"1s\"", "timeout = \"200ms\"").await;
    for number in 1..=10 {
        federation.simulation.trouble(number, vec![(Fault::Hang, 1.0)]);
    }
    let own = federation.gateway.query(&find(PATIENT)).await;
    assert_eq!(own.status, ResponseStatus::Success);
    for _ in 0..5 {
        let (response, _) = federation.ask().await;
        assert_eq!(response.errors.len(), 10);
    }
    for _ in 0..20 {
        let (response, _) = federation.ask().await;
        assert_eq!(response.errors.len(), 10);
        assert!(response.errors.iter().all(|error| error.context.contains("has not answered lately")));
    }
    let asked: Vec<_> = (1..=10).map(|number| federation.requests(number)).collect();
    assert_eq!(asked, [5; 10], "and none of the twenty");
    for number in 1..=10 {
        federation.simulation.trouble(number, Vec::new());
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (response, _) = federation.ask().await;
    assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    assert_eq!(unique_ids(&response), federation.held(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
}

/// F-44 and F-45: octets that are no answer, in any amount. Memory and processor time: `tests/crash`.
#[tokio::test(flavor = "multi_thread")]
async fn octets_that_are_no_answer_spoil_nobody_elses() {
    let federation = Federation::start(3, "breaker_failures = 1000", "timeout = \"5s\"").await;
    for fault in [
        Fault::Endless,
        Fault::Huge,
        Fault::TooShort,
        Fault::TooLong,
        Fault::Gzip,
        Fault::Html,
        Fault::Http500,
        Fault::Empty,
        Fault::Truncated,
        Fault::Deep,
        Fault::Attributes,
        Fault::Namespaces,
        Fault::Doctype,
        Fault::Encoding,
        Fault::Utf8,
        Fault::SecondRoot,
        Fault::SoapFault,
    ] {
        federation.simulation.trouble(2, vec![(fault, 1.0)]);
        let took = federation.one_is_missing(fault.name()).await;
        assert!(took < Duration::from_secs(5), "{}: {took:?}", fault.name());
    }
    federation.simulation.trouble(2, Vec::new());
    let (response, _) = federation.ask().await;
    assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    assert_eq!(unique_ids(&response), federation.held(&[1, 2, 3]));
}

/// F-46: answers that are well-formed and wrong.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_wrong_are_told_and_not_believed() {
    // A hundred thousand objects are counted here; unless configured they are more octets than are taken.
    let federation = Federation::start(3, "peer_response_bytes = \"32 MiB\"", "").await;
    let told = |response: &QueryResponse| -> Vec<String> {
        response.errors.iter().map(|error| error.code.as_str().to_owned()).collect()
    };
    let (all, others) = (federation.held(&[1, 2, 3]), federation.held(&[1, 3]));
    use ResponseStatus::{PartialSuccess, Success};
    for (fault, status, codes, found) in [
        (Fault::OtherPatient, PartialSuccess, vec!["XDSRegistryError"], &all),
        (Fault::NoHome, PartialSuccess, vec!["XDSMissingHomeCommunityId"; federation.held(&[2]).len()], &others),
        (Fault::Duplicates, Success, vec![], &all),
        (Fault::SuccessWithErrors, PartialSuccess, vec!["XDSRegistryError"], &all),
        (Fault::Partial, PartialSuccess, vec!["XDSRegistryError"], &all),
        (Fault::Busy, PartialSuccess, vec!["XDSRegistryBusy"], &others),
        (Fault::UnknownPatient, Success, vec![], &others),
        (Fault::Flood, PartialSuccess, vec!["XDSTooManyResults"], &others),
        // It may speak for others: they are believed to be reached through it.
        (Fault::WrongHome, Success, vec![], &all),
    ] {
        federation.simulation.trouble(2, vec![(fault, 1.0)]);
        let (response, _) = federation.ask().await;
        let expected: Vec<String> = codes.into_iter().map(str::to_owned).collect();
        let name = fault.name();
        assert_eq!((response.status, told(&response)), (status, expected), "{name}: {:?}", response.errors);
        assert_eq!(unique_ids(&response), *found, "{}", fault.name());
        assert_eq!(response.objects.len(), found.len(), "{}: each once", fault.name());
        assert!(response.errors.iter().all(|error| error.location.as_deref() == Some(federation.home(2))));
    }
}

/// F-46: documents that are not those that were asked for, or not the bytes that were registered, reach
/// nobody.
#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_wrong_are_refused() {
    let federation = Federation::start(3, "", "").await;
    let (response, _) = federation.ask().await;
    assert_eq!(response.status, ResponseStatus::Success);
    for (fault, code) in [
        (Fault::OtherDocument, "XDSDocumentUniqueIdError"),
        (Fault::MissingDocument, "XDSDocumentUniqueIdError"),
        (Fault::WrongBytes, "XDSRepositoryError"),
        (Fault::Busy, "XDSRepositoryBusy"),
    ] {
        federation.simulation.trouble(2, vec![(fault, 1.0)]);
        let (documents, errors, parts, _) = federation.retrieve(&[1, 2, 3]).await;
        assert_eq!(errors, [(code.to_owned(), federation.home(2).to_owned())], "{}", fault.name());
        assert_eq!((documents.len(), parts.len()), (2, 3), "{}", fault.name());
    }
    // From it alone, where it passes through as it comes: the answer breaks off before its end.
    federation.simulation.trouble(2, vec![(Fault::WrongBytes, 1.0)]);
    let community = &federation.simulation.communities()[1];
    let id = community.documents(&federation.patient)[0].to_string();
    let payload = retrieve(&[(Some(community.home.as_str()), community.repository.as_str(), &id)]);
    let (content_type, body) = mtom_request(RETRIEVE, &payload);
    let request = http::Request::post(federation.gateway.url("initiating-gateway"))
        .header("content-type", content_type)
        .body(http_body_util::Full::new(body.into()))
        .unwrap();
    let response = federation.gateway.client.request(request).await.unwrap();
    let whole = http_body_util::BodyExt::collect(response.into_body()).await;
    assert!(whole.is_err(), "the answer must not end as if it were whole");
}

/// F-47, in part: certificates that are not to be trusted get no octet of a request.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_bad_certificate_is_told_nothing() {
    for fault in [Fault::Expired, Fault::UnknownIssuer, Fault::Revoked, Fault::WrongName] {
        let federation = Federation::with(fault).await;
        federation.one_is_missing(fault.name()).await;
        assert_eq!(federation.requests(2), 0, "{}", fault.name());
    }
}

/// The same seed makes the same communities.
#[tokio::test]
async fn what_is_made_up_follows_from_the_seed() {
    let held = async |seed| {
        let settings = Settings { seed, communities: 4, patients: 20, ..Settings::new(CERTIFICATES.files("server")) };
        let patients: Vec<_> = (0..20).map(|number| settings.patient(number).unwrap()).collect();
        let simulation = Simulation::start(settings).await.unwrap();
        let held: Vec<Vec<String>> = simulation
            .communities()
            .iter()
            .flat_map(|c| patients.iter().map(|p| c.documents(p).iter().map(ToString::to_string).collect()))
            .collect();
        simulation.stop().await;
        held
    };
    let first = held(7).await;
    assert_eq!(first, held(7).await);
    assert_ne!(first, held(8).await);
    let known = first.iter().filter(|documents| !documents.is_empty()).count();
    assert!((25..55).contains(&known), "half of eighty, about: {known}");
}

/// An operator sees afterwards what was done for a request, by the id in its answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_explained_by_the_id_of_its_answer() {
    let federation = Federation::with(Fault::Hang).await;
    let query = find(&federation.patient.to_cx());
    let request = http::Request::post(federation.gateway.url("initiating-gateway"))
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .body(http_body_util::Full::new(envelope(QUERY, |out| causeway::wire::ebrs::write_query(out, &query)).into()))
        .unwrap();
    let response = federation.gateway.client.request(request).await.unwrap();
    let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let admin = federation.gateway.broker.admin_address().unwrap();
    let explained: serde_json::Value =
        serde_json::from_str(&admin_get(admin, &format!("/explain/{id}")).await).unwrap();
    assert_eq!(explained["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(explained["outcome"], "PartialSuccess");
    assert_eq!(explained["errors"][0]["location"], federation.home(2));
    let steps = explained["steps"].as_array().unwrap();
    let of = |home: &str| -> Vec<&str> {
        let of_it = steps.iter().filter(|step| step["home_community_id"] == home);
        of_it.map(|step| step["doing"].as_str().unwrap()).collect()
    };
    let mut first = of(federation.home(1));
    first.sort();
    assert_eq!(first, ["asked", "call", "connect", "queue", "read", "receive", "tls", "wait"]);
    // Also the exchange that was given up is there, with the span that the community was told.
    let hung = steps.iter().find(|step| step["home_community_id"] == federation.home(2) && step["doing"] == "call");
    assert_eq!(
        (hung.unwrap()["said"].as_str(), hung.unwrap()["span"].as_str().map(str::len)),
        (Some("ITI-38"), Some(16))
    );
    let asked = steps.iter().find(|step| step["home_community_id"] == federation.home(2) && step["doing"] == "asked");
    assert_eq!(asked.unwrap()["said"].as_str().unwrap().split_once(" within").unwrap().0, "did not answer");
    assert!(steps.iter().any(|step| step["doing"] == "merge"));
    // Whom it is about is nowhere in it.
    assert!(!explained.to_string().contains("999000"), "{explained}");
    let list: serde_json::Value = serde_json::from_str(&admin_get(admin, "/explain").await).unwrap();
    assert_eq!(list[0]["id"], id.as_str());
    // The same for people.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.args(["explain", &id, "--admin", &format!("http://{admin}")]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("did not answer within") && text.contains("Simulated 3"),
        "{text}"
    );
}
