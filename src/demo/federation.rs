//! The federation: certificates, folders and one broker for each community that runs.
//!
//! ```text
//! DIR/codes.xml                 affinity domain codes, enforced by all
//! DIR/certs/                    ca.pem, ca.crl; client.pem and client.key, for people to use
//! DIR/communities/<key>/        registry/, documents/, audit/, and certs/ of that broker alone
//! ```
//!
//! All listeners take any free port of the loopback address; the brokers are introduced to each
//! other once the ports are known. The hub asks everybody; everybody else knows the hub alone, and
//! as a neighbour, so that a question of the hub is not sent back to it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use http::Uri;
use jiff::{Timestamp, ToSpan};

use super::DemoError;
use super::documents::{CODES, Community, Samples};
use super::trouble::{Day, SlowWay};
use crate::broker::Broker;
use crate::config::{
    Asynchronous, Audit, Codes, Config, Discovery, DocumentStorage, GatewayRules, IdentifierCheck, Limits, Listener,
    Log, MetadataStorage, PatientDomain, Patients, Peer, PeerExchange, PeerPatientId, PeerState, Profile, Scope,
    Service, Shares, Storage, TargetIn, UnknownPatients,
};
use crate::transport::certificates::{DevelopmentAuthority, IssuedCertificate};
use crate::transport::peer::profile::PeerProfile;
use crate::transport::tls::TlsFiles;
use crate::validate::SourceModes;

/// Memory for the metadata store's cache, of each broker: a few dozen entries need little.
const CACHE: u64 = 16 << 20;

/// What a broker gives requests in progress when it stops; nobody waits long for a demonstration.
const DRAIN: Duration = Duration::from_secs(3);

/// A question's time for one community (the default of `[[peer]] timeout`).
const PEER_TIMEOUT: Duration = Duration::from_secs(8);

/// Questions to one community at the same time.
const PEER_IN_FLIGHT: usize = 32;

/// Days until the certificates, and the revocation list with them, expire.
const VALID_DAYS: u32 = 90;

/// The folder of a demonstration; a temporary one goes when this is dropped.
pub struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// A new folder among the temporary files of the system, for this user alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> Result<Self, DemoError> {
        let path = std::env::temp_dir().join(format!("causeway-demo-{}", uuid::Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&path).map_err(DemoError::file("make the folder", &path))?;
        Ok(Self { path, temporary: true })
    }

    /// A folder that stays: new, empty, or of an earlier demonstration.
    ///
    /// # Errors
    /// When it cannot be made, or holds something else.
    pub fn kept(path: &Path) -> Result<Self, DemoError> {
        let fail = |error| DemoError::file("make the folder", path)(error);
        let path = std::path::absolute(path).map_err(fail)?;
        DirBuilder::new().mode(0o700).recursive(true).create(&path).map_err(fail)?;
        let mut inside = fs::read_dir(&path).map_err(DemoError::file("read the folder", &path))?;
        if inside.next().is_some() && !path.join("communities").is_dir() {
            return Err(DemoError::Folder(path));
        }
        Ok(Self { path, temporary: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes with the demonstration.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is the system's to clean up.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// One community and its broker.
pub struct Node {
    /// Whose.
    pub community: Community,
    config: Config,
    broker: Option<Broker>,
    /// Where its Responding Gateway was before it was stopped.
    last: Option<Uri>,
}

impl Node {
    /// Its broker, while it runs.
    pub fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// The address of one of its services.
    ///
    /// # Errors
    /// When it does not run.
    pub fn service(&self, service: Service) -> Result<Uri, DemoError> {
        let address = self.broker.as_ref().and_then(|broker| broker.addresses().first());
        let address = address.ok_or_else(|| DemoError::NotRunning(self.community.name.clone()))?;
        let uri = format!("https://{address}/services/{}", service.name());
        uri.parse().map_err(|_| DemoError::NotRunning(self.community.name.clone()))
    }

    /// The address of its console, health and numbers.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.broker.as_ref().and_then(Broker::admin_address)
    }

    async fn start(&mut self) -> Result<(), DemoError> {
        let failed = |source| DemoError::Broker { community: self.community.name.clone(), source };
        self.broker = Some(Broker::start(self.config.clone()).await.map_err(failed)?);
        Ok(())
    }

    async fn stop(&mut self) {
        self.last = self.service(Service::RespondingGateway).ok();
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
    }
}

/// All brokers of the demonstration.
pub struct Federation {
    /// The hub first, then the others in the order in which it asks them.
    pub nodes: Vec<Node>,
    /// Communities that are known to the hub and do not run.
    pub planned: Vec<Community>,
    /// The certificate for clients.
    pub client: TlsFiles,
}

impl Federation {
    /// Makes certificates, starts a broker for each community that is live, and introduces them.
    ///
    /// # Errors
    /// When a file cannot be written, or a broker not start.
    pub async fn start(samples: &Samples, folder: &Path) -> Result<Self, DemoError> {
        write(&folder.join("codes.xml"), CODES, 0o644)?;
        let authority = Authority::make(folder)?;
        let client = authority.client(folder)?;
        let (live, planned): (Vec<_>, Vec<_>) = samples.communities.iter().cloned().partition(Community::is_live);
        let mut nodes = Vec::with_capacity(live.len());
        for community in live {
            let own = folder.join("communities").join(community.key.to_lowercase());
            let tls = authority.broker(&own, &community)?;
            let config = config(&community, samples, folder, &own, tls);
            nodes.push(Node { community, config, broker: None, last: None });
        }
        let mut federation = Self { nodes, planned, client };
        let started = try_join_all(federation.nodes.iter_mut().map(Node::start)).await.map(drop);
        match started.and_then(|()| federation.introduce()) {
            Ok(()) => Ok(federation),
            Err(error) => {
                federation.stop().await;
                Err(error)
            }
        }
    }

    /// The hub.
    ///
    /// # Errors
    /// When there is none, which the samples rule out.
    pub fn hub(&self) -> Result<&Node, DemoError> {
        self.nodes.first().ok_or_else(|| DemoError::NotRunning("the hub".to_owned()))
    }

    /// Stops one community.
    pub async fn stop_one(&mut self, key: &str) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.community.key == key) {
            node.stop().await;
        }
    }

    /// Starts it again, on its old stores and new ports.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_one(&mut self, key: &str) -> Result<(), DemoError> {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.community.key == key && node.broker.is_none()) {
            node.start().await?;
        }
        self.introduce()
    }

    /// Stops all.
    pub async fn stop(mut self) {
        join_all(self.nodes.iter_mut().map(Node::stop)).await;
    }

    /// The hub's key.
    pub fn hub_key(&self) -> &str {
        self.nodes.first().map_or("", |node| node.community.key.as_str())
    }

    /// Tells each broker whom it may ask, and where.
    fn introduce(&self) -> Result<(), DemoError> {
        self.introduce_on(None)
    }

    /// The same on a bad day, with a slow way to one community, while another one is suspended.
    ///
    /// # Errors
    /// When a broker cannot take it.
    pub fn introduce_on(&self, bad: Option<(&Day<'_>, &SlowWay)>) -> Result<(), DemoError> {
        let (hub, others) = self.nodes.split_first().ok_or_else(|| DemoError::NotRunning("the hub".to_owned()))?;
        let gateway = |node: &Node| node.service(Service::RespondingGateway);
        let known = |node: &Node| -> Result<Peer, DemoError> {
            let key = node.community.key.as_str();
            // One that is stopped is still at its old address, as far as anybody knows.
            let running = gateway(node).ok().or_else(|| node.last.clone());
            let mut known = peer(&node.community, running);
            match bad {
                Some((day, _)) if day.suspended == key => known.states = PeerState::Suspended.into(),
                Some((day, way)) if day.slow == key => {
                    let late = format!("https://{}/services/{}", way.address, Service::RespondingGateway.name());
                    known.responding_gateway = late.parse().ok();
                }
                _ => {}
            }
            Ok(known)
        };
        let live = others.iter().map(known);
        let planned = self.planned.iter().map(|community| peer(community, None));
        let of_hub = live.chain(planned.map(Ok)).collect::<Result<Vec<_>, DemoError>>()?;
        let of_others = vec![peer(&hub.community, Some(gateway(hub)?))];
        for (node, peers) in others.iter().map(|node| (node, of_others.clone())).chain([(hub, of_hub)]) {
            let Some(broker) = node.broker() else { continue };
            broker
                .set_peers(peers)
                .map_err(|source| DemoError::Broker { community: node.community.name.clone(), source })?;
        }
        Ok(())
    }
}

fn peer(community: &Community, responding_gateway: Option<Uri>) -> Peer {
    Peer {
        name: community.name.clone(),
        home_community_id: community.home.clone(),
        scope: community.scope.unwrap_or(Scope::Neighbour),
        kind: community.kind,
        states: community.state.into(),
        nodes: Vec::new(),
        responding_gateway,
        further_gateways: Vec::new(),
        patient_id: PeerPatientId::SameDomain,
        patient_discovery: None,
        timeout: PEER_TIMEOUT,
        max_in_flight: PEER_IN_FLIGHT,
        ca: None,
        callback: None,
        feed: false,
        exchange: PeerExchange::Synchronous,
        profile: PeerProfile::default(),
        locator: false,
        located_by: None,
        certificates: Vec::new(),
        shares: Shares::default(),
        target_in: TargetIn::default(),
    }
}

fn config(community: &Community, samples: &Samples, folder: &Path, own: &Path, tls: TlsFiles) -> Config {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let local = community.domains.iter().map(|oid| PatientDomain { oid: oid.clone(), check: IdentifierCheck::None });
    let shared = PatientDomain { oid: samples.shared_domain.clone(), check: IdentifierCheck::NhsNumber };
    Config {
        file: None,
        community: crate::config::Community {
            name: community.name.clone(),
            home_community_id: community.home.clone(),
            repository_unique_id: community.repository.clone(),
            profile: Profile::Demo,
        },
        patients: Patients {
            domains: std::iter::once(shared).chain(local).collect(),
            unknown: UnknownPatients::Accept,
            known: Vec::new(),
            people: None,
        },
        codes: Some(Codes { file: folder.join("codes.xml"), enforce: true }),
        validation: SourceModes::default(),
        storage: Storage {
            metadata: MetadataStorage::Sled(own.join("registry")),
            documents: DocumentStorage::Files(own.join("documents")),
            cache: CACHE,
        },
        listeners: vec![Listener {
            bind: any_port,
            tls: tls.clone(),
            services: Service::ALL.to_vec(),
            names: Vec::new(),
            administrators: Vec::new(),
            many_patients: Vec::new(),
            emergency_callers: Vec::new(),
            emergency_claims: Vec::new(),
            providers: Vec::new(),
        }],
        admin: Some(any_port),
        client: tls,
        peers: Vec::new(),
        federation: crate::config::Federation::default(),
        locator: crate::config::Locator::default(),
        gateways: GatewayRules::default(),
        asynchronous: Asynchronous::default(),
        discovery: Discovery::default(),
        registry: None,
        audit: Audit {
            dir: own.join("audit"),
            source_id: format!("causeway-{}", community.key.to_lowercase()),
            site_id: community.home.oid().to_owned(),
        },
        log: Log::default(),
        telemetry: None,
        limits: Limits { drain: DRAIN, ..Limits::default() },
        notes: Vec::new(),
    }
}

/// The development authority of one demonstration, and where its certificate is.
struct Authority {
    authority: DevelopmentAuthority,
    certificate: PathBuf,
    revoked: PathBuf,
}

impl Authority {
    fn make(folder: &Path) -> Result<Self, DemoError> {
        let now = Timestamp::now();
        let authority = DevelopmentAuthority::new("Causeway demo", now)?.with_valid_days(VALID_DAYS);
        let certs = folder.join("certs");
        let (certificate, revoked) = (certs.join("ca.pem"), certs.join("ca.crl"));
        // An empty list: the brokers look at it all the same.
        let next = now.saturating_add((24 * i64::from(VALID_DAYS)).hours()).unwrap_or(now);
        write(&certificate, &authority.certificate_pem()?, 0o644)?;
        write(&revoked, &authority.revocation_list_pem(now, next)?, 0o644)?;
        Ok(Self { authority, certificate, revoked })
    }

    /// The certificate for people and harnesses.
    fn client(&self, folder: &Path) -> Result<TlsFiles, DemoError> {
        self.keep(&folder.join("certs"), "client", &self.authority.issue_client("Demo hospital")?)
    }

    /// The certificate of one broker, with which it serves and asks.
    fn broker(&self, own: &Path, community: &Community) -> Result<TlsFiles, DemoError> {
        // X.520 ends names at 64 characters.
        let name: String = community.name.chars().take(64).collect();
        let issued = self.authority.issue_server(&["localhost"], &[IpAddr::V4(Ipv4Addr::LOCALHOST)], &name)?;
        self.keep(&own.join("certs"), "broker", &issued)
    }

    fn keep(&self, certs: &Path, name: &str, issued: &IssuedCertificate) -> Result<TlsFiles, DemoError> {
        let files = TlsFiles {
            certificate: certs.join(format!("{name}.pem")),
            key: certs.join(format!("{name}.key")),
            client_ca: self.certificate.clone(),
            crl: Some(self.revoked.clone()),
        };
        write(&files.certificate, &issued.certificate_pem, 0o644)?;
        write(&files.key, &issued.key_pem, 0o600)?;
        Ok(files)
    }
}

/// Writes a file, with its folders.
fn write(path: &Path, content: &str, mode: u32) -> Result<(), DemoError> {
    let written = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(content.as_bytes())
    };
    written().map_err(DemoError::file("write", path))
}
