//! What a reload leaves as it is: whom it is not worth asking, and what is under way at a community.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use causeway::model::ids::PatientId;
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::simulate::fault::Fault;
use causeway::simulate::{Settings, Simulation};

use crate::gateways::peer;
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";

/// Two gateways, and one that asks the community of one of them at either.
struct Reloaded {
    simulation: Simulation,
    /// The number of that community.
    number: usize,
    gateway: TestBroker,
    patient: PatientId,
    limits: &'static str,
}

impl Reloaded {
    /// At the first of them.
    async fn start(number: usize, limits: &'static str, of_the_peer: &str) -> Self {
        let settings =
            Settings { communities: 2, patients: 1, known: 1.0, ..Settings::new(CERTIFICATES.files("server")) };
        let patient = settings.patient(0).unwrap();
        let simulation = Simulation::start(settings).await.unwrap();
        let options = Options {
            more: entry(&simulation, number, 1, of_the_peer),
            limits: limits.to_owned(),
            ..Options::default()
        };
        let gateway = TestBroker::start(options).await;
        Self { simulation, number, gateway, patient, limits }
    }

    /// Has the broker read its configuration again, with the community at that gateway.
    fn reload(&self, at: usize, of_the_peer: &str) {
        let (dir, more) = (self.gateway.dir.path(), entry(&self.simulation, self.number, at, of_the_peer));
        let text = toml(dir, &Options { more, limits: self.limits.to_owned(), ..Options::default() });
        let config = causeway::config::Config::from_toml(&text, dir).expect("a configuration");
        self.gateway.broker.reload(config).expect("a reload");
    }

    async fn ask(&self) -> QueryResponse {
        self.gateway.query_at("initiating-gateway", QUERY, &find(&self.patient.to_cx())).await
    }

    fn requests(&self) -> [u64; 2] {
        [0, 1].map(|at| self.simulation.communities()[at].counters.requests.load(Ordering::Relaxed))
    }
}

fn entry(simulation: &Simulation, number: usize, at: usize, more: &str) -> String {
    let home = simulation.communities()[number - 1].home.as_str();
    peer("Far", home, &simulation.communities()[at - 1].url(), "neighbour", more)
}

/// The one error of an answer.
fn why(response: &QueryResponse) -> &str {
    let [error] = &response.errors[..] else { panic!("{:?}", response.errors) };
    assert_eq!(error.code.as_str(), "XDSUnavailableCommunity");
    &error.context
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_not_answer_before_a_reload_is_not_asked_after_it() {
    let reloaded = Reloaded::start(2, "breaker_failures = 2\nbreaker_pause = \"10m\"", "timeout = \"200ms\"").await;
    reloaded.simulation.trouble(1, vec![(Fault::Hang, 1.0)]);
    for _ in 0..2 {
        assert!(!why(&reloaded.ask().await).contains("lately"));
    }
    assert!(why(&reloaded.ask().await).contains("has not answered lately"));
    // As it was, and with other limits.
    for of_the_peer in ["timeout = \"200ms\"", "timeout = \"10s\"\nmax_in_flight = 2"] {
        reloaded.reload(1, of_the_peer);
        assert!(why(&reloaded.ask().await).contains("has not answered lately"), "{of_the_peer}");
    }
    assert_eq!(reloaded.requests(), [2, 0]);
    // Elsewhere it is asked at once; and where it was as well, when it is there again.
    reloaded.reload(2, "");
    let response = reloaded.ask().await;
    assert_eq!((response.status, reloaded.requests()), (ResponseStatus::Success, [2, 1]), "{:?}", response.errors);
    reloaded.reload(1, "timeout = \"200ms\"");
    assert!(!why(&reloaded.ask().await).contains("lately"));
    assert_eq!(reloaded.requests(), [3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_trusted_before_a_reload_is_asked_after_it() {
    let strange = CERTIFICATES.path.join("bad/unknown-ca.pem");
    let under = |ca: &Path| format!("ca = \"{}\"", ca.display());
    let limits = "breaker_failures = 2\nbreaker_pause = \"10m\"";
    let reloaded = Reloaded::start(1, limits, &under(&strange)).await;
    for _ in 0..2 {
        assert!(why(&reloaded.ask().await).contains("could not be reached"));
    }
    assert!(why(&reloaded.ask().await).contains("has not answered lately"));
    // Nothing was mended.
    reloaded.reload(1, &under(&strange));
    assert!(why(&reloaded.ask().await).contains("could not be reached"));
    assert!(why(&reloaded.ask().await).contains("has not answered lately"));
    reloaded.reload(1, &under(&CERTIFICATES.files("ca").client_ca));
    let response = reloaded.ask().await;
    assert_eq!((response.status, reloaded.requests()), (ResponseStatus::Success, [1, 0]), "{:?}", response.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_a_reload_is_counted_after_it() {
    const LIMITS: &str = "peer_queue = 1\nbreaker_failures = 1000";
    let reloaded = Arc::new(Reloaded::start(1, LIMITS, "timeout = \"20s\"\nmax_in_flight = 1").await);
    reloaded.simulation.trouble(1, vec![(Fault::Hang, 1.0)]);
    let asking = || {
        let reloaded = Arc::clone(&reloaded);
        tokio::spawn(async move { reloaded.ask().await })
    };
    let under_way = asking();
    while reloaded.requests()[0] == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reloaded.simulation.trouble(1, Vec::new());
    reloaded.reload(1, "timeout = \"20s\"\nmax_in_flight = 1");
    // Its place is still taken: one waits, and the next is told so.
    let page = async || admin_get(reloaded.gateway.broker.admin_address().unwrap(), "/").await;
    let waits = asking();
    while !page().await.contains("1 of 1; 1 wait") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(why(&reloaded.ask().await).contains("too many requests wait for it"));
    assert_eq!(reloaded.requests()[0], 1);
    // More places are there at once, for who waits too; what has begun is not disturbed.
    reloaded.reload(1, "timeout = \"20s\"\nmax_in_flight = 2");
    for response in [waits.await.unwrap(), reloaded.ask().await] {
        assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    }
    assert!(!under_way.is_finished());
    under_way.abort();
}
