//! TLS at both ends: what is accepted, what is refused, and in which words.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::material::RevocationLists;
use super::settings::{client_config_with, provider, server_config_with};
use super::source::Named;
use super::*;
use crate::transport::certificates::{self, DevelopmentOptions, DevelopmentSet, write_development_set};

const NOW: u64 = 1_790_000_000;
const DAY: u64 = 86_400;
const BOTH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

#[derive(Debug)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

fn clock_at(seconds: u64) -> Arc<Clock> {
    Arc::new(Clock(AtomicU64::new(seconds)))
}

fn clock() -> Arc<Clock> {
    clock_at(NOW + DAY)
}

fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn moment(seconds: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap()
}

struct Folder {
    dir: tempfile::TempDir,
    set: DevelopmentSet,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let set = write_development_set(dir.path(), &DevelopmentOptions::new(moment(NOW))).unwrap();
        Self { dir, set }
    }

    fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            certificate: self.dir.path().join(format!("{name}.pem")),
            key: self.dir.path().join(format!("{name}.key")),
            client_ca: self.set.ca.clone(),
            crl: Some(self.set.crl.clone()),
        }
    }

    fn server(&self, name: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
        let source = TlsSource::from(self.files(name));
        let material = source.load(unix(NOW + DAY)).unwrap();
        server_config_with(&material, versions, clock()).unwrap().0.into()
    }

    fn client(&self, name: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let source = TlsSource::from(self.files(name));
        let material = source.load(unix(NOW + DAY)).unwrap();
        client_config_with(&material, versions, clock()).unwrap().0.into()
    }
}

struct Met {
    peer: PeerIdentity,
    kind: HandshakeKind,
    heard: Vec<u8>,
}

/// One connection on which the client says "ask" and the server "answer": what the server
/// met or why it refused, and what the client heard or why it failed.
async fn talk(
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    host: &str,
) -> (Result<Met, &'static str>, Result<Vec<u8>, &'static str>) {
    let (near, far) = duplex(64 * 1024);
    let server = async move {
        let mut stream = acceptor.accept(far).await.map_err(|error| handshake_cause(&error))?;
        let (_, connection) = stream.get_ref();
        let peer = peer_identity(connection.peer_certificates().unwrap()).unwrap();
        let kind = connection.handshake_kind().unwrap();
        let mut heard = vec![0; 3];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        stream.shutdown().await.unwrap();
        Ok(Met { peer, kind, heard })
    };
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let client = async move {
        let mut stream = connector.connect(name, near).await.map_err(|error| handshake_cause(&error))?;
        let said = stream.write_all(b"ask").await;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await.and(said) {
            Ok(()) => Ok(answer),
            Err(error) => Err(handshake_cause(&error)),
        }
    };
    tokio::join!(server, client)
}

#[tokio::test]
async fn good_ends_meet_and_the_server_knows_who_it_is() {
    let folder = Folder::new();
    for versions in BOTH {
        let acceptor = folder.server("server", versions);
        let connector = folder.client("client", versions);
        for host in ["localhost", "127.0.0.1", "::1"] {
            let (met, answer) = talk(acceptor.clone(), connector.clone(), host).await;
            let met = met.unwrap();
            assert_eq!(answer.unwrap(), b"answer");
            assert_eq!(met.heard, b"ask");
            assert_eq!(met.peer.common_name, "Causeway development client");
            assert!(met.peer.subject.starts_with("CN=Causeway development client,OU="));
            assert!(met.peer.is_development);
            assert_eq!(met.peer.fingerprint_hex().len(), 64);
            assert!(met.peer.is_current(moment(NOW + 730 * DAY)));
            assert!(!met.peer.is_current(moment(NOW + 730 * DAY + 1)));
        }
    }
}

#[tokio::test]
async fn identity_survives_resumption_and_reload_ends_it() {
    let folder = Folder::new();
    for versions in BOTH {
        let connector = folder.client("client", versions);
        let first = folder.server("server", versions);
        let (met, _) = talk(first.clone(), connector.clone(), "localhost").await;
        let full = met.unwrap();
        assert_ne!(full.kind, HandshakeKind::Resumed);
        let (met, _) = talk(first, connector.clone(), "localhost").await;
        let resumed = met.unwrap();
        assert_eq!(resumed.kind, HandshakeKind::Resumed);
        assert_eq!(resumed.peer, full.peer);
        let (met, _) = talk(folder.server("server", versions), connector, "localhost").await;
        assert_ne!(met.unwrap().kind, HandshakeKind::Resumed);
    }
}

#[tokio::test]
async fn bad_clients_are_refused_within_the_handshake() {
    let folder = Folder::new();
    for versions in BOTH {
        for (name, cause) in [
            ("bad/expired", "the peer's certificate has expired"),
            ("bad/unknown-issuer", "the peer's certificate comes from an authority we do not trust"),
            ("bad/revoked", "the peer's certificate is revoked"),
            ("bad/server-only", "the peer's certificate is not meant for this role (extended key usage)"),
        ] {
            let acceptor = folder.server("server", versions);
            let client = folder.client(name, versions);
            let (met, answer) = talk(acceptor, client, "localhost").await;
            assert_eq!(met.err(), Some(cause), "{name}");
            assert!(answer.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_client_without_certificate_gets_no_byte() {
    let folder = Folder::new();
    for versions in BOTH {
        let source = TlsSource::from(folder.files("client"));
        let material = source.load(unix(NOW)).unwrap();
        let bare = ClientConfig::builder_with_details(provider(), clock())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(material.anchors.clone())
            .with_no_client_auth();
        let acceptor = folder.server("server", versions);
        let (met, answer) = talk(acceptor, Arc::new(bare).into(), "localhost").await;
        assert_eq!(met.err(), Some("the peer showed no certificate"));
        assert!(answer.is_err());
    }
}

#[tokio::test]
async fn bad_servers_are_refused_by_the_client() {
    let folder = Folder::new();
    for versions in BOTH {
        for (name, cause) in [
            ("bad/expired", "the peer's certificate has expired"),
            ("bad/unknown-issuer", "the peer's certificate comes from an authority we do not trust"),
            ("bad/revoked", "the peer's certificate is revoked"),
            ("bad/wrong-name", "the server's certificate is not for the name it was called by"),
            ("client", "the peer's certificate is not meant for this role (extended key usage)"),
        ] {
            let acceptor = folder.server(name, versions);
            let client = folder.client("client", versions);
            let (met, answer) = talk(acceptor, client, "localhost").await;
            assert_eq!(answer.err(), Some(cause), "{name}");
            assert!(met.is_err(), "{name}");
        }
        let acceptor = folder.server("server", versions);
        let client = folder.client("client", versions);
        let (_, answer) = talk(acceptor, client, "other.example").await;
        assert_eq!(answer.err(), Some("the server's certificate is not for the name it was called by"));
    }
}

/// A server whose authority can revoke, and a client known to it.
struct Memory {
    authority: certificates::DevelopmentAuthority,
    server: certificates::IssuedCertificate,
    client: certificates::IssuedCertificate,
}

impl Memory {
    fn new() -> Self {
        let authority = certificates::DevelopmentAuthority::new("North", moment(NOW)).unwrap();
        let addresses = [IpAddr::from([127, 0, 0, 1])];
        Self {
            server: authority.issue_server(&["localhost"], &addresses, "Gateway").unwrap(),
            client: authority.issue_client("Ward").unwrap(),
            authority,
        }
    }

    fn pem(&self, own: &certificates::IssuedCertificate, crl: Option<String>) -> TlsPem {
        TlsPem {
            name: "North".to_owned(),
            certificate: own.certificate_pem.clone(),
            key: own.key_pem.clone(),
            client_ca: self.authority.certificate_pem().unwrap(),
            crl,
        }
    }

    fn list(&self, made: u64, due: u64) -> String {
        self.authority.revocation_list_pem(moment(made), moment(due)).unwrap()
    }
}

#[tokio::test]
async fn a_reloaded_list_refuses_a_client_that_was_welcome() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = Memory::new();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("s.pem"), &memory.server.certificate_pem).unwrap();
    std::fs::write(path("s.key"), &memory.server.key_pem).unwrap();
    std::fs::write(path("ca.pem"), memory.authority.certificate_pem().unwrap()).unwrap();
    std::fs::write(path("ca.crl"), memory.list(NOW, NOW + 7 * DAY)).unwrap();
    let files = TlsFiles {
        certificate: path("s.pem"),
        key: path("s.key"),
        client_ca: path("ca.pem"),
        crl: Some(path("ca.crl")),
    };
    let server = ReloadableServer::with_clock(files, clock()).unwrap();
    let client = ReloadableClient::with_clock(memory.pem(&memory.client, None), clock()).unwrap();
    for _ in 0..2 {
        let (met, _) = talk(server.acceptor(), client.connector(), "localhost").await;
        assert!(met.is_ok());
    }

    // A damaged list changes nothing, and says which file it is in.
    std::fs::write(path("ca.crl"), "half a li").unwrap();
    let error = server.reload().unwrap_err();
    assert!(matches!(error, TlsError::CrlRefused { .. }));
    assert!(error.to_string().contains("ca.crl"));
    assert_eq!(server.generation(), 0);
    let (met, _) = talk(server.acceptor(), client.connector(), "localhost").await;
    assert!(met.is_ok());

    memory.authority.revoke(&memory.client);
    std::fs::write(path("ca.crl"), memory.list(NOW + 1, NOW + 7 * DAY)).unwrap();
    server.reload().unwrap();
    assert_eq!(server.generation(), 1);
    // The client still holds a ticket of the old settings; it must not help.
    let (met, answer) = talk(server.acceptor(), client.connector(), "localhost").await;
    assert_eq!(met.err(), Some("the peer's certificate is revoked"));
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_list_that_expires_while_running_refuses_everybody_of_its_issuer() {
    let memory = Memory::new();
    let time = clock();
    let list = memory.list(NOW, NOW + 2 * DAY);
    let server = ReloadableServer::with_clock(memory.pem(&memory.server, Some(list)), time.clone()).unwrap();
    let client = |time| ReloadableClient::with_clock(memory.pem(&memory.client, None), time);
    let connector = client(time.clone()).unwrap().connector();
    assert!(talk(server.acceptor(), connector, "localhost").await.0.is_ok());
    time.0.store(NOW + 3 * DAY, Ordering::Relaxed);
    let connector = client(time).unwrap().connector();
    let (met, _) = talk(server.acceptor(), connector, "localhost").await;
    assert_eq!(met.err(), Some("the revocation list of the peer's authority has expired"));
    assert!(matches!(server.reload(), Err(TlsError::CrlExpired { .. })));
}

#[tokio::test]
async fn one_authoritys_list_does_not_lock_out_another_without() {
    let north = Memory::new();
    let south = certificates::DevelopmentAuthority::new("South", moment(NOW)).unwrap();
    let visitor = south.issue_client("Visitor").unwrap();
    let mut pem = north.pem(&north.server, Some(north.list(NOW, NOW + 7 * DAY)));
    pem.client_ca.push_str(&south.certificate_pem().unwrap());
    let server = ReloadableServer::with_clock(pem, clock()).unwrap();
    for own in [&visitor, &north.client] {
        let client = ReloadableClient::with_clock(north.pem(own, None), clock()).unwrap();
        let (met, _) = talk(server.acceptor(), client.connector(), "localhost").await;
        assert!(met.is_ok());
    }
}

#[tokio::test]
async fn a_list_for_authorities_only_leaves_nobody_unjudged() {
    let memory = Memory::new();
    let partial = memory.authority.revocation_list_of_authorities_pem(moment(NOW), moment(NOW + 7 * DAY)).unwrap();
    let both = format!("{partial}{}", memory.list(NOW, NOW + 7 * DAY));
    let unjudged = "no revocation list covers the peer's certificate, though its issuer has one";
    for (list, cause) in [(partial, Some(unjudged)), (both, None)] {
        let server = ReloadableServer::with_clock(memory.pem(&memory.server, Some(list)), clock()).unwrap();
        let client = ReloadableClient::with_clock(memory.pem(&memory.client, None), clock()).unwrap();
        let (met, _) = talk(server.acceptor(), client.connector(), "localhost").await;
        assert_eq!(met.err(), cause);
    }
}

#[tokio::test]
async fn a_longer_chain_does_not_escape_the_list() {
    let mut memory = Memory::new();
    // Many peers send their authority's own certificate along.
    let mut own = memory.pem(&memory.client, None);
    own.certificate.push_str(&memory.authority.certificate_pem().unwrap());
    let client = ReloadableClient::with_clock(own, clock()).unwrap();
    let server = |memory: &Memory| {
        let list = memory.list(NOW, NOW + 7 * DAY);
        ReloadableServer::with_clock(memory.pem(&memory.server, Some(list)), clock()).unwrap()
    };
    let (met, _) = talk(server(&memory).acceptor(), client.connector(), "localhost").await;
    assert!(met.is_ok());
    memory.authority.revoke(&memory.client);
    let (met, _) = talk(server(&memory).acceptor(), client.connector(), "localhost").await;
    assert_eq!(met.err(), Some("the peer's certificate is revoked"));
}

#[test]
fn an_old_list_beside_the_current_one_does_no_harm() {
    let memory = Memory::new();
    let old = memory.list(NOW - 9 * DAY, NOW - 2 * DAY);
    let current = memory.list(NOW, NOW + 7 * DAY);
    for both in [format!("{old}{current}"), format!("{current}{old}")] {
        let source = TlsSource::from(memory.pem(&memory.server, Some(both)));
        let material = source.load(unix(NOW + DAY)).unwrap();
        assert_eq!(material.revocation_lists(), 2);
        let first = certificates::revocation_list_facts(&material.lists.lists[0]).unwrap();
        assert_eq!(first.this_update, moment(NOW));
    }
}

#[test]
fn a_list_may_come_as_der() {
    let memory = Memory::new();
    let pem = memory.list(NOW, NOW + 7 * DAY);
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crl");
    std::fs::write(&path, &der).unwrap();
    let named = Named::file(&path, MAX_CRL_BYTES).unwrap();
    let lists = RevocationLists::read(&named, &[], unix(NOW)).err();
    // Without any authority the engine refuses to build; with it the list is taken.
    assert!(lists.is_some());
    let ca = memory.authority.certificate_pem().unwrap();
    let root = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
    let lists = RevocationLists::read(&named, &[root], unix(NOW)).unwrap();
    assert_eq!(lists.lists.len(), 1);
}

#[test]
fn errors_name_the_file_and_the_cause() {
    let folder = Folder::new();
    let good = folder.files("server");
    let scratch = |name: &str, text: &str| {
        let path = folder.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let foreign = certificates::DevelopmentAuthority::new("Causeway", moment(NOW)).unwrap();
    let forged = foreign.revocation_list_pem(moment(NOW), moment(NOW + DAY)).unwrap();
    let with = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = good.clone();
        change(&mut files);
        ReloadableServer::with_clock(files, clock_at(NOW)).unwrap_err().to_string()
    };
    let nothing = scratch("nothing.txt", "nothing to see");
    let locked =
        scratch("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let cut = scratch("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let forged = scratch("forged.crl", &forged);
    let client_key = folder.set.client_key.clone();
    for (error, parts) in [
        (with(&|f| f.certificate = "/nowhere/x.pem".into()), ["/nowhere/x.pem", "cannot read"]),
        (with(&|f| f.certificate = nothing.clone()), ["nothing.txt", "no certificate"]),
        (with(&|f| f.certificate = cut.clone()), ["cut.pem", "damaged"]),
        (with(&|f| f.key = nothing.clone()), ["nothing.txt", "no private key"]),
        (with(&|f| f.key = locked.clone()), ["locked.key", "encrypted"]),
        (with(&|f| f.key = client_key.clone()), ["client.key", "does not belong"]),
        (with(&|f| f.client_ca = nothing.clone()), ["nothing.txt", "no certificate"]),
        (with(&|f| f.crl = Some(nothing.clone())), ["nothing.txt", "cannot be used"]),
        (with(&|f| f.crl = Some(good.certificate.clone())), ["server.pem", "no revocation list"]),
        (with(&|f| f.crl = Some(forged.clone())), ["forged.crl", "not signed by that authority"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
    let late = ReloadableServer::with_clock(good.clone(), clock_at(NOW + 731 * DAY));
    assert!(matches!(late, Err(TlsError::CrlExpired { .. })));
}

#[test]
fn files_are_read_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, [b'x'; 11]).unwrap();
    assert!(Named::file(&path, 11).is_ok());
    assert!(matches!(Named::file(&path, 10), Err(TlsError::TooLarge { limit: 10, .. })));
}

#[test]
fn settings_are_as_declared() {
    let folder = Folder::new();
    let source = TlsSource::from(folder.files("server"));
    let material = source.load(unix(NOW)).unwrap();
    let server = server_config(&material).unwrap();
    assert_eq!(server.alpn_protocols, [b"http/1.1"]);
    assert_eq!(server.max_early_data_size, 0);
    assert!(server.ticketer.enabled() && server.ticketer.lifetime() <= 12 * 3600);
    let client = client_config(&material).unwrap();
    assert!(client.alpn_protocols.is_empty() && !client.enable_early_data);
    for suite in server.crypto_provider().cipher_suites.iter() {
        let name = format!("{:?}", suite.suite());
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
    }
    assert!(peer_identity(&[]).is_err());
    let shown = format!("{material:?} {source:?}");
    assert!(!shown.contains("PRIVATE"));
}
