//! Too much at once: callers that flood beside callers that do not, emergencies, and communities that become
//! slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::model::ids::PatientId;
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::simulate::fault::Fault;
use causeway::simulate::latency::Latency;
use causeway::simulate::{Settings, Simulation};
use causeway::wire::{ebrs, soap, xcpd};
use http_body_util::{BodyExt, Full};

use crate::gateways::peer;
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
const LOCATE: &str = "urn:ihe:iti:2009:PatientLocationQuery";

/// Common name of the second client: the server's certificate, which a gateway asks with too.
const SECOND: &str = "Causeway development server";

/// A gateway, one community that it asks, and two who ask it.
struct Scene {
    simulation: Simulation,
    broker: TestBroker,
    second: HttpClient,
    patient: PatientId,
}

impl Scene {
    async fn start(of_the_listener: &str, limits: &str, of_the_peer: &str, latency: Latency) -> Arc<Self> {
        let settings = Settings {
            communities: 1,
            patients: 1,
            known: 1.0,
            documents: 1,
            document_size: 100,
            latency,
            ..Settings::new(CERTIFICATES.files("server"))
        };
        let patient = settings.patient(0).unwrap();
        let simulation = Simulation::start(settings).await.unwrap();
        let far = &simulation.communities()[0];
        let far = peer(&far.name, far.home.as_str(), &far.url(), "neighbour", of_the_peer);
        let more = format!("{of_the_listener}\n{far}");
        let broker = TestBroker::start(Options { more, limits: limits.to_owned(), ..Options::default() }).await;
        Arc::new(Self { simulation, broker, second: client("server"), patient })
    }

    fn home(&self) -> String {
        self.simulation.communities()[0].home.to_string()
    }

    /// Asks as one of the two.
    async fn ask(&self, service: &str, as_second: bool, purpose: Option<&str>) -> QueryResponse {
        let addressing = soap::Addressing {
            action: Some(QUERY.to_owned()),
            message_id: Some(soap::new_message_id()),
            ..soap::Addressing::default()
        };
        let security = purpose.map(claim);
        let query = find(&self.patient.to_cx());
        let body = causeway::transport::answer::envelope(soap::Version::V12, &addressing, security.as_deref(), |out| {
            ebrs::write_query(out, &query)
        });
        let client = if as_second { &self.second } else { &self.broker.client };
        let reply = post(client, &self.broker.url(service), "application/soap+xml; charset=UTF-8", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.query()
    }

    /// The first word on a line of `/metrics` that begins like this.
    fn number(&self, name: &str) -> i64 {
        let text = self.broker.broker.metrics().text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("causeway_{name} ")));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
    }

    fn limit(&self) -> i64 {
        self.number(&format!("places{{places=\"{}\"}}", self.home()))
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}\n{}", self.broker.broker.metrics().text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn post(client: &HttpClient, url: &str, content_type: &str, body: Vec<u8>) -> Reply {
    let request = http::Request::post(url).header("content-type", content_type);
    let response = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await.expect("an answer");
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    Reply { status, content_type, body }
}

/// A security header whose assertion, which nobody has signed, claims a purpose of use.
pub fn claim(code: &str) -> String {
    format!(
        "<w:Security xmlns:w=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\">\
         <s:Assertion xmlns:s=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_1\"><s:AttributeStatement>\
         <s:Attribute Name=\"urn:oasis:names:tc:xspa:1.0:subject:purposeofuse\"><s:AttributeValue>\
         <PurposeOfUse xmlns=\"urn:hl7-org:v3\" code=\"{code}\" codeSystem=\"2.16.840.1.113883.5.8\"/>\
         </s:AttributeValue></s:Attribute></s:AttributeStatement></s:Assertion></w:Security>"
    )
}

fn codes(response: &QueryResponse) -> Vec<&str> {
    response.errors.iter().map(|error| error.code.as_str()).collect()
}

/// So many that ask as the first one, again and again, until they are told to end.
struct Flood {
    end: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// How often they were told to come back.
    busy: Arc<AtomicUsize>,
}

impl Flood {
    fn start(scene: &Arc<Scene>, many: usize) -> Self {
        let (end, busy) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..many).map(|_| {
            let (scene, end, busy) = (Arc::clone(scene), Arc::clone(&end), Arc::clone(&busy));
            tokio::spawn(async move {
                while !end.load(Ordering::Relaxed) {
                    let response = scene.ask("initiating-gateway", false, None).await;
                    if response.status == ResponseStatus::Failure {
                        assert_eq!(codes(&response), ["XDSRegistryBusy"]);
                        busy.fetch_add(1, Ordering::Relaxed);
                    }
                    if response.status != ResponseStatus::Success {
                        // As the answer says: in a moment.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Self { end, tasks, busy }
    }

    async fn end(self) -> usize {
        self.end.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a flood without a panic");
        }
        self.busy.load(Ordering::Relaxed)
    }
}

/// L-13: one caller sends far more than there is room for; the other asks one thing at a time, and gets it.
#[tokio::test(flavor = "multi_thread")]
async fn who_floods_does_not_shut_out_another() {
    let limits = "in_flight = 4\nadmission_queue_of_one = 8\nadmission_wait = \"30s\"";
    let scene = Scene::start("", limits, "", Latency::Fixed(Duration::from_millis(200))).await;
    let flood = Flood::start(&scene, 30);
    scene
        .until("the flood is there", |scene| scene.number("places_waiting{places=\"requests\",lane=\"ordinary\"}") == 8)
        .await;
    for _ in 0..5 {
        let response = scene.ask("initiating-gateway", true, None).await;
        assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    }
    assert!(flood.end().await > 0);
    assert!(scene.number("places_refused_total{places=\"requests\",reason=\"own queue full\"}") > 0);
    scene
        .until("all places are free", |scene| scene.number("places_held{places=\"requests\",lane=\"ordinary\"}") == 0)
        .await;
}

/// All ordinary places are held: what is believed to be an emergency is answered, what only says so is not; and
/// the places of clients that go away are others'.
#[tokio::test(flavor = "multi_thread")]
async fn emergencies_pass_and_claims_alone_do_not() {
    let limits = "in_flight = 4\nadmission_wait = \"100ms\"\nrequest_deadline = \"600s\"";
    let listener = format!("emergency_claims = [\"{SECOND}\"]");
    let scene = Scene::start(&listener, limits, "timeout = \"600s\"", Latency::Fixed(Duration::ZERO)).await;
    scene.simulation.trouble(1, vec![(Fault::Hang, 1.0)]);
    let hold = |as_second| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { drop(scene.ask("initiating-gateway", as_second, None).await) })
    };
    let mut held: Vec<_> = (0..3).map(|_| hold(false)).collect();
    scene
        .until("three places are held", |scene| scene.number("places_held{places=\"requests\",lane=\"ordinary\"}") == 3)
        .await;
    for (as_second, purpose, expected) in [
        (false, None, vec!["XDSRegistryBusy"]),
        (false, Some("ETREAT"), vec!["XDSRegistryBusy"]),
        (true, Some("TREAT"), vec!["XDSRegistryBusy"]),
        (true, Some("ETREAT"), vec![]),
        (true, Some("BTG"), vec![]),
    ] {
        let response = scene.ask("registry", as_second, purpose).await;
        assert_eq!(codes(&response), expected, "{as_second} {purpose:?}");
    }
    assert_eq!(scene.number("places_refused_total{places=\"requests\",reason=\"waited\"}"), 3);
    // What has no list of errors says it by HTTP, with when to come back.
    let body = envelope(LOCATE, |out| xcpd::write_location_request(out, &scene.patient));
    let request = http::Request::post(scene.broker.url("responding-gateway"))
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let response = scene.broker.client.request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    // Who goes away gives its place back.
    for task in held.drain(..) {
        task.abort();
    }
    scene
        .until("all places are free", |scene| scene.number("places_held{places=\"requests\",lane=\"ordinary\"}") == 0)
        .await;
    assert_eq!(codes(&scene.ask("registry", false, None).await), Vec::<&str>::new());
}

/// Who goes away while it waits gives up its turn.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_it_waits_is_not_waited_for() {
    let limits = "in_flight = 1\nadmission_wait = \"60s\"\nrequest_deadline = \"600s\"";
    let scene = Scene::start("", limits, "timeout = \"600s\"", Latency::Fixed(Duration::ZERO)).await;
    scene.simulation.trouble(1, vec![(Fault::Hang, 1.0)]);
    let waiting = |scene: &Scene| scene.number("places_waiting{places=\"requests\",lane=\"ordinary\"}");
    let ask = |service: &'static str, as_second| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.ask(service, as_second, None).await })
    };
    let first = ask("initiating-gateway", false);
    scene
        .until("the place is held", |scene| scene.number("places_held{places=\"requests\",lane=\"ordinary\"}") == 1)
        .await;
    let second = ask("initiating-gateway", false);
    scene.until("one waits", |scene| waiting(scene) == 1).await;
    let third = ask("registry", true);
    scene.until("two wait", |scene| waiting(scene) == 2).await;
    second.abort();
    scene.until("one waits", |scene| waiting(scene) == 1).await;
    first.abort();
    assert_eq!(codes(&third.await.unwrap()), Vec::<&str>::new());
}

/// A client that takes its documents slowly holds nobody's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_on_its_way_holds_no_place() {
    let broker =
        TestBroker::start(Options { limits: "in_flight = 1\nadmission_wait = \"0s\"".into(), ..Options::default() })
            .await;
    // More than sockets take while nobody reads.
    let content = vec![b'x'; 32 << 20];
    broker.provide("2.999.902.1", PATIENT, &content).await;
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(None, REPOSITORY, "2.999.902.1")]));
    let request = http::Request::post(broker.url("repository"))
        .header("content-type", content_type)
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let slow = client("server").request(request).await.unwrap();
    assert_eq!(slow.status().as_u16(), 200);
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 1);
    assert!(slow.into_body().collect().await.unwrap().to_bytes().len() > content.len());
}

/// A community that is well is asked as much as is configured; one that becomes slow is asked less, and as much as
/// before when it is well again.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_community_is_asked_less_until_it_is_well_again() {
    let well = Latency::Fixed(Duration::from_millis(50));
    let scene = Scene::start("", "", "timeout = \"4s\"", well).await;
    // 50 a second, for some seconds.
    let mut asked = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..150 {
        ticks.tick().await;
        let scene = Arc::clone(&scene);
        asked.push(tokio::spawn(async move { scene.ask("initiating-gateway", false, None).await.status }));
    }
    for asked in asked {
        assert_eq!(asked.await.unwrap(), ResponseStatus::Success);
    }
    assert_eq!(scene.limit(), 32, "as much as is configured");
    scene.simulation.communities()[0].set_latency(Latency::Fixed(Duration::from_millis(1_500)));
    let flood = Flood::start(&scene, 40);
    scene.until("it is asked less", |scene| scene.limit() <= 8).await;
    let page = admin_get(scene.broker.broker.admin_address().unwrap(), "/").await;
    assert!(page.contains("32 when it is well"), "{page}");
    scene.simulation.communities()[0].set_latency(well);
    scene.until("it is asked as before", |scene| scene.limit() == 32).await;
    flood.end().await;
}
