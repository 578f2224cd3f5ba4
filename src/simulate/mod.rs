//! `causeway simulate`: communities with made-up patients and scripted trouble, to try a gateway on.
//!
//! Each community is a Responding Gateway of its own (ITI-38, ITI-39, ITI-55; as a locator ITI-56, for all of them) over
//! stores in memory, behind mutual TLS on a port of its own. What it holds follows from the seed; how soon it answers
//! ([`latency`]), and what goes wrong ([`fault`]), can be changed while it runs. What it answers is
//! what our actors answer; trouble is added behind them: to the answer ([`answer`]), or to the bytes
//! on their way out ([`stream`]).
//!
//! Nothing here is on the path of a broker's message. Start reading at [`Simulation::start`].

pub mod answer;
mod bomb;
pub mod community;
pub mod fault;
pub mod latency;
pub mod people;
pub mod records;
pub mod stream;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::community::{Acceptors, Community, Whereabouts};
use self::fault::Fault;
use self::latency::Latency;
use crate::model::discovery::{PatientLocation, Person};
use crate::model::ids::{InvalidId, PatientId};
use crate::model::response::RegistryError;
use crate::store::StoreError;
use crate::transport::tls::{TlsError, TlsFiles};

/// Why communities cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Certificates or keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address.
    #[error("{address} cannot be bound: {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The stores in memory.
    #[error("the made-up records cannot be kept: {0}")]
    Store(#[from] StoreError),
    /// A made-up identifier is none.
    #[error("a made-up identifier is none: {0}")]
    Id(#[from] InvalidId),
    /// Our own registry refuses the made-up records.
    #[error("the made-up records are refused: {}", .0.code.as_str())]
    Refused(Box<RegistryError>),
    /// A certificate fault without the certificates for it.
    #[error("{0} shows a certificate of the folder bad/, which 'causeway certs dev' makes: name the folder")]
    NoBadCertificates(&'static str),
}

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything that is made up follows from it.
    pub seed: u64,
    /// How many communities.
    pub communities: u16,
    /// Where they listen.
    pub address: IpAddr,
    /// Port of the first, the others follow; 0: any free ones.
    pub port: u16,
    /// Certificate they show, and the authority of those who may ask.
    pub tls: TlsFiles,
    /// The folder `bad/` of a development set, for certificate faults.
    pub bad_certificates: Option<PathBuf>,
    /// Patients, of the NHS number's test range.
    pub patients: u32,
    /// Chance that a community knows a patient.
    pub known: f64,
    /// Documents of a patient at a community that knows it, at most; one at least.
    pub documents: u32,
    /// Octets of each document.
    pub document_size: usize,
    /// How soon each answers.
    pub latency: Latency,
    /// Between two octets of one that dribbles.
    pub dribble: Duration,
    /// How long one that is late is late.
    pub lateness: Duration,
    /// How long one that hangs keeps its connection.
    pub patience: Duration,
    /// Where it is told when answers were handed over, if anyone wants to know.
    pub served: Option<Arc<Served>>,
}

/// When the communities handed over their answers: for each request of a gateway, by the correlation id
/// that it gave them, the last one.
#[derive(Debug, Default)]
pub struct Served(Mutex<HashMap<Box<str>, Instant>>);

impl Served {
    fn note(&self, id: &str, at: Instant) {
        let mut served = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        served.entry(id.into()).and_modify(|last| *last = at.max(*last)).or_insert(at);
    }

    /// When the last answer of that request was handed over; it is forgotten.
    pub fn take(&self, id: &str) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl Settings {
    /// Twelve communities on the loopback address that answer at once, each patient known to half of them.
    pub fn new(tls: TlsFiles) -> Self {
        Self {
            seed: 1,
            communities: 12,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            tls,
            bad_certificates: None,
            patients: 100,
            known: 0.5,
            documents: 5,
            document_size: 20_000,
            latency: Latency::Fixed(Duration::ZERO),
            dribble: Duration::from_secs(1),
            lateness: Duration::from_secs(10),
            patience: Duration::from_secs(300),
            served: None,
        }
    }

    /// The n-th patient as a person.
    ///
    /// # Errors
    /// Never: what is made up is well formed.
    pub fn person(&self, number: u32) -> Result<Person, SimulateError> {
        people::person(self, number)
    }

    /// The n-th patient.
    ///
    /// # Errors
    /// Never: the domain is an OID.
    pub fn patient(&self, number: u32) -> Result<PatientId, SimulateError> {
        Ok(PatientId::parse(&records::patient(number, records::NHS_NUMBER))?)
    }
}

/// Communities that run.
pub struct Simulation {
    communities: Vec<Arc<Community>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Simulation {
    /// Makes up the records, binds the ports, and serves.
    ///
    /// # Errors
    /// When certificates cannot be used or an address not be bound.
    pub async fn start(settings: Settings) -> Result<Self, SimulateError> {
        let acceptors = Arc::new(Acceptors::new(&settings)?);
        let settings = Arc::new(settings);
        let made = (1..=settings.communities)
            .map(|number| Community::make(number, Arc::clone(&settings), Arc::clone(&acceptors)));
        let made = try_join_all(made).await?;
        let mut whereabouts = Whereabouts::new();
        for (community, _) in &made {
            for patient in community.patients() {
                let location = PatientLocation { home: community.home.clone(), id: patient.clone() };
                whereabouts.entry(patient.clone()).or_default().push(location);
            }
        }
        let whereabouts = Arc::new(whereabouts);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut communities = Vec::with_capacity(made.len());
        for (community, listener) in made {
            community.learn(Arc::clone(&whereabouts));
            tasks.spawn(Arc::clone(&community).serve(listener, stop.clone(), tasks.clone()));
            communities.push(community);
        }
        Ok(Self { communities, stop, tasks })
    }

    /// The communities, in order.
    pub fn communities(&self) -> &[Arc<Community>] {
        &self.communities
    }

    /// Gives one community another trouble, for this share of requests; counted from 1.
    pub fn trouble(&self, number: usize, faults: Vec<(Fault, f64)>) {
        if let Some(community) = number.checked_sub(1).and_then(|at| self.communities.get(at)) {
            community.set_faults(faults);
        }
    }

    /// Ends all of it, connections under way too.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
