//! TLS for every listener and every call (ITI-19, ATNA "STX: TLS 1.2 floor using BCP195").
//!
//! From files to a running configuration in three steps: a [`TlsSource`] says where things are, a
//! [`TlsMaterial`] is what was read and understood, [`server_config`] and [`client_config`] make
//! rustls settings of it. [`ReloadableServer`] and [`ReloadableClient`] do all three again on
//! SIGHUP; when that fails the old settings stay and the error says why.
//!
//! What holds for both sides:
//!
//! - TLS 1.3 and 1.2 with ECDHE and AEAD only, from aws-lc-rs, never a process-wide default;
//! - both ends show a certificate and judge the other's: chain, dates, extended key usage if
//!   present, revocation; callers also the server's name, by subjectAltName alone;
//! - trust is what is configured, never the system's set of public authorities;
//! - **revocation**: if a list of the peer's issuer is configured, the peer's status must be
//!   known from it, and an expired list refuses everybody of that issuer. Intermediates are
//!   checked wherever a list of their issuer is there. An issuer without a list is not checked;
//! - no 0-RTT (a replayed submission must not exist), no renegotiation, no compression;
//! - **resumption** skips certificate checks, so tickets are made under keys that a reload throws
//!   away with the old settings, they live 12 hours at most, and carry the client's certificate.
//!
//! A connection to a peer keeps what was decided when it opened: whoever holds connections compares
//! [`Reloadable::generation`] and lets go of older ones when idle. A client's is judged again at each
//! reload ([`ReloadableServer::disowned`]); a list or a certificate that merely expires closes nobody.
//!
//! `DEVIATION(ITI TF-2 §3.19.6.2.3)`: the two `TLS_DHE_RSA` suites are not offered; rustls has
//! none, and RFC 9325 §4.1 discourages them. Not supported either: trust in single pinned
//! certificates, OCSP, encrypted keys, clients whose certificate has only serverAuth.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{
    AlertDescription, CertificateError as PeerCertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    InconsistentKeys, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificates::{self, CertificateError, ListSignature};

/// Largest certificate, key or authority file; a wrong path must not fill the memory.
pub const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;
/// Largest revocation list file: national authorities publish several megabytes.
pub const MAX_CRL_BYTES: u64 = 64 * 1024 * 1024;

static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Why TLS settings cannot be used: which file, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}; check the path and that the broker's user may read it")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{file} is larger than {limit} bytes; check that the path names the right file")]
    TooLarge {
        /// Which file.
        file: String,
        /// The limit it exceeds.
        limit: u64,
    },
    /// A file is damaged.
    #[error("{file} is damaged: {reason}; copy it again from its source")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate in a file.
    #[error("there is no certificate in {file}; it must contain a BEGIN CERTIFICATE section")]
    NoCertificate {
        /// Which file.
        file: String,
    },
    /// No private key in a file.
    #[error(
        "there is no private key in {file}; it must contain a BEGIN PRIVATE KEY, \
         BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY section"
    )]
    NoKey {
        /// Which file.
        file: String,
    },
    /// The private key is encrypted.
    #[error(
        "the private key in {file} is encrypted; store it without passphrase, \
         readable by the broker's user only"
    )]
    KeyEncrypted {
        /// Which file.
        file: String,
    },
    /// The key is of another certificate.
    #[error(
        "the key in {key} does not belong to the first certificate in {certificate}; give the key \
         that the certificate was requested with, and put the node's own certificate first"
    )]
    KeyMismatch {
        /// File of the certificate.
        certificate: String,
        /// File of the key.
        key: String,
    },
    /// The TLS engine refuses certificate or key.
    #[error(
        "the certificate in {certificate} with the key in {key} cannot be used: {reason}; use an \
         X.509 v3 certificate with RSA of 2048 bits or more, EC P-256, P-384 or Ed25519"
    )]
    CertificateRefused {
        /// File of the certificate.
        certificate: String,
        /// File of the key.
        key: String,
        /// What the engine says.
        reason: String,
    },
    /// An authority certificate cannot be a trust anchor.
    #[error(
        "certificate {number} in {file} cannot be a trusted authority: {reason}; \
         remove it or have it encoded as strict DER"
    )]
    AuthorityRefused {
        /// Which file.
        file: String,
        /// Which of its certificates, from 1.
        number: usize,
        /// What the engine says.
        reason: String,
    },
    /// No revocation list in a file.
    #[error("there is no revocation list in {file}; it must contain a BEGIN X509 CRL section, or one list as DER")]
    NoCrl {
        /// Which file.
        file: String,
    },
    /// A revocation list cannot be parsed or used.
    #[error(
        "revocation list {number} in {file} cannot be used: {reason}; fetch a complete, direct \
         X.509 v2 list from the authority again"
    )]
    CrlRefused {
        /// Which file.
        file: String,
        /// Which of its lists, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// A revocation list was altered, or is of an authority of the same name.
    #[error(
        "the revocation list of {issuer} in {file} is not signed by that authority; \
         fetch it from the authority again"
    )]
    CrlForged {
        /// Which file.
        file: String,
        /// Whose list.
        issuer: String,
    },
    /// A revocation list is older than it may be.
    #[error(
        "the revocation list of {issuer} in {file} expired on {next_update}; with it every \
         certificate of that authority would be refused: fetch the current list"
    )]
    CrlExpired {
        /// Which file.
        file: String,
        /// Whose list.
        issuer: String,
        /// When it expired.
        next_update: Timestamp,
    },
    /// The engine cannot be set up; never seen outside of a broken build or machine.
    #[error("TLS cannot be set up: {reason}; check this machine's clock and random source")]
    Engine {
        /// What the engine says.
        reason: String,
    },
    /// A connection without certificate reached a place that needs one.
    #[error("the peer showed no certificate; the listener must require one")]
    NoPeerCertificate,
    /// A certificate that the handshake accepted cannot be read for its identity.
    #[error("the peer's certificate cannot be read: {0}; its owner must have it issued again")]
    PeerCertificate(#[source] CertificateError),
}

// --- where things are ------------------------------------------------------------------------

/// TLS files as named in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Own certificate, then its intermediates (PEM).
    pub certificate: PathBuf,
    /// Private key of it (PEM).
    pub key: PathBuf,
    /// Authorities that peers' certificates must come from (PEM), in either direction.
    pub client_ca: PathBuf,
    /// Revocation lists of those authorities (PEM, any number, or one in DER).
    pub crl: Option<PathBuf>,
}

impl TlsFiles {
    /// Those of that name in a folder as `causeway init` and `causeway certs dev` make it; without its list.
    pub fn in_folder(folder: &Path, name: &str) -> Self {
        let file = |name: &str, ending: &str| folder.join(format!("{name}.{ending}"));
        Self { certificate: file(name, "pem"), key: file(name, "key"), client_ca: file("ca", "pem"), crl: None }
    }
}

/// The same in memory: for the demonstration and tests.
#[derive(Clone)]
pub struct TlsPem {
    /// What error messages call it.
    pub name: String,
    /// Own certificate, then its intermediates (PEM).
    pub certificate: String,
    /// Private key of it (PEM).
    pub key: String,
    /// Authorities that peers' certificates must come from (PEM).
    pub client_ca: String,
    /// Revocation lists of those authorities (PEM).
    pub crl: Option<String>,
}

impl fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPem").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where certificate, key, authorities and lists come from; read anew on each reload.
#[derive(Debug, Clone)]
pub enum TlsSource {
    /// From files.
    Files(TlsFiles),
    /// From memory.
    Memory(TlsPem),
}

impl From<TlsFiles> for TlsSource {
    fn from(files: TlsFiles) -> Self {
        Self::Files(files)
    }
}

impl From<TlsPem> for TlsSource {
    fn from(pem: TlsPem) -> Self {
        Self::Memory(pem)
    }
}

/// Bytes with the name that errors give them.
struct Named {
    name: String,
    bytes: Vec<u8>,
}

impl Named {
    fn file(path: &Path, limit: u64) -> Result<Self, TlsError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 > limit => Err(TlsError::TooLarge { file: name, limit }),
            Ok(_) => Ok(Self { name, bytes }),
            Err(source) => Err(TlsError::Unreadable { file: name, source }),
        }
    }

    fn memory(owner: &str, what: &str, text: &str) -> Self {
        Self { name: format!("the {what} of {owner}"), bytes: text.as_bytes().to_vec() }
    }
}

impl TlsSource {
    /// Reads and understands everything, and refuses whatever would only fail later, for the
    /// moment `now`. Blocks on files: on a runtime, call it from a blocking thread.
    pub fn load(&self, now: UnixTime) -> Result<TlsMaterial, TlsError> {
        let (certificate, key, authorities, lists) = match self {
            Self::Files(files) => (
                Named::file(&files.certificate, MAX_PEM_BYTES)?,
                Named::file(&files.key, MAX_PEM_BYTES)?,
                Named::file(&files.client_ca, MAX_PEM_BYTES)?,
                files.crl.as_deref().map(|path| Named::file(path, MAX_CRL_BYTES)).transpose()?,
            ),
            Self::Memory(pem) => (
                Named::memory(&pem.name, "certificate", &pem.certificate),
                Named::memory(&pem.name, "key", &pem.key),
                Named::memory(&pem.name, "authorities", &pem.client_ca),
                pem.crl.as_deref().map(|text| Named::memory(&pem.name, "revocation list", text)),
            ),
        };
        let chain = read_certificates(&certificate)?;
        let private_key = read_key(&key)?;
        let roots = read_certificates(&authorities)?;
        let mut anchors = RootCertStore::empty();
        for (index, root) in roots.iter().enumerate() {
            anchors.add(root.clone()).map_err(|error| TlsError::AuthorityRefused {
                file: authorities.name.clone(),
                number: index + 1,
                reason: error.to_string(),
            })?;
        }
        let lists = lists
            .as_ref()
            .map_or_else(|| Ok(RevocationLists::default()), |named| RevocationLists::read(named, &roots, now))?;
        Ok(TlsMaterial {
            chain,
            key: private_key,
            anchors: Arc::new(anchors),
            authorities: roots,
            lists,
            certificate_name: certificate.name,
            key_name: key.name,
        })
    }
}

fn read_certificates(named: &Named) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(&named.bytes)
        .take(certificates::MAX_CERTIFICATES_PER_FILE)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(named, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { file: named.name.clone() });
    }
    Ok(certificates)
}

fn read_key(named: &Named) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&named.bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&named.bytes, b"ENCRYPTED") => {
            TlsError::KeyEncrypted { file: named.name.clone() }
        }
        pem::Error::NoItemsFound => TlsError::NoKey { file: named.name.clone() },
        // The parser's words may quote the line, and the line may be part of the key.
        _ => TlsError::Damaged {
            file: named.name.clone(),
            reason: "a PEM section is incomplete or not base64".to_owned(),
        },
    })
}

fn damaged(named: &Named, error: &pem::Error) -> TlsError {
    TlsError::Damaged { file: named.name.clone(), reason: error.to_string() }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

// --- what was read ---------------------------------------------------------------------------

/// Certificate, key, authorities and revocation lists, read and found to fit each other as far
/// as that can be told before the first handshake.
pub struct TlsMaterial {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    anchors: Arc<RootCertStore>,
    authorities: Vec<CertificateDer<'static>>,
    lists: RevocationLists,
    certificate_name: String,
    key_name: String,
}

impl TlsMaterial {
    /// Own certificate first, then its intermediates.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The authorities that peers' certificates must come from.
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// The revocation lists that are honoured, of each issuer the newest first.
    pub fn lists(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.lists.lists
    }

    /// How many revocation lists are honoured.
    pub fn revocation_lists(&self) -> usize {
        self.lists.lists.len()
    }

    fn refused(&self, error: &rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyMismatch { certificate: self.certificate_name.clone(), key: self.key_name.clone() }
            }
            other => TlsError::CertificateRefused {
                certificate: self.certificate_name.clone(),
                key: self.key_name.clone(),
                reason: other.to_string(),
            },
        }
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("certificate", &self.certificate_name)
            .field("authorities", &self.anchors.len())
            .field("revocation_lists", &self.lists.lists.len())
            .finish_non_exhaustive()
    }
}

/// Lists with the encoded names of the issuers that have one.
#[derive(Default)]
struct RevocationLists {
    lists: Vec<CertificateRevocationListDer<'static>>,
    issuers: BTreeSet<Vec<u8>>,
}

impl RevocationLists {
    fn read(named: &Named, roots: &[CertificateDer<'static>], now: UnixTime) -> Result<Self, TlsError> {
        // Authorities publish DER behind their URLs; administrators tend to convert to PEM.
        let ders = if contains(&named.bytes, b"-----BEGIN") {
            CertificateRevocationListDer::pem_slice_iter(&named.bytes)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| damaged(named, &error))?
        } else if named.bytes.is_empty() {
            Vec::new()
        } else {
            vec![CertificateRevocationListDer::from(named.bytes.clone())]
        };
        if ders.is_empty() {
            return Err(TlsError::NoCrl { file: named.name.clone() });
        }
        let mut issuers = BTreeSet::new();
        let mut dated = Vec::with_capacity(ders.len());
        for (index, der) in ders.into_iter().enumerate() {
            let refused = |reason: String| TlsError::CrlRefused { file: named.name.clone(), number: index + 1, reason };
            let facts = certificates::revocation_list_facts(&der).map_err(|error| refused(error.to_string()))?;
            let signature = certificates::revocation_list_signature(&der, roots.iter().map(|root| root.as_ref()))
                .map_err(|error| refused(error.to_string()))?;
            if signature == ListSignature::Forged {
                return Err(TlsError::CrlForged { file: named.name.clone(), issuer: facts.issuer });
            }
            let Some(next_update) = facts.next_update else {
                return Err(refused("it does not say when the next one is due".to_owned()));
            };
            dated.push((facts.this_update, next_update, facts.issuer, index, der));
            issuers.insert(facts.issuer_der);
        }
        // The verifier takes the first list that fits, so the newest of each issuer comes first;
        // then an old list left in the file does no harm.
        dated.sort_by_key(|(this_update, ..)| std::cmp::Reverse(*this_update));
        let mut newest_seen = BTreeSet::new();
        let mut lists = Vec::with_capacity(dated.len());
        let provider = provider();
        for (_, next_update, issuer, index, der) in dated {
            let newest = newest_seen.insert(issuer.clone());
            if newest && i128::from(next_update.as_second()) <= i128::from(now.as_secs()) {
                return Err(TlsError::CrlExpired { file: named.name.clone(), issuer, next_update });
            }
            // Parsed by the engine one by one, only to be able to say which one it refuses.
            WebPkiServerVerifier::builder_with_provider(any_anchor(roots), provider.clone())
                .with_crls([der.clone()])
                .build()
                .map_err(|error| TlsError::CrlRefused {
                    file: named.name.clone(),
                    number: index + 1,
                    reason: error.to_string(),
                })?;
            lists.push(der);
        }
        Ok(Self { lists, issuers })
    }
}

fn any_anchor(roots: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().take(1).cloned());
    Arc::new(store)
}

// --- rustls settings -------------------------------------------------------------------------

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Settings of a listener: a client certificate is required, judged and remembered.
///
/// A client without certificate, or with a bad one, is refused within the handshake: under
/// TLS 1.3 the client may believe itself connected until it reads the alert, but the server's
/// accept fails and no HTTP byte is ever read.
pub fn server_config(material: &TlsMaterial) -> Result<Arc<ServerConfig>, TlsError> {
    Ok(server_config_with(material, VERSIONS, Arc::new(DefaultTimeProvider))?.0)
}

/// Settings of a caller: own certificate shown, the server's judged, its name checked.
pub fn client_config(material: &TlsMaterial) -> Result<Arc<ClientConfig>, TlsError> {
    Ok(client_config_with(material, VERSIONS, Arc::new(DefaultTimeProvider))?.0)
}

/// Who judges the certificates of a listener's clients.
fn client_verifier(
    material: &TlsMaterial,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = || {
        WebPkiClientVerifier::builder_with_provider(material.anchors.clone(), provider.clone())
            .with_crls(material.lists.lists.iter().cloned())
            .enforce_revocation_expiration()
    };
    let whole_chain = builder().allow_unknown_revocation_status().build().map_err(verifier_error)?;
    Ok(if material.lists.issuers.is_empty() {
        whole_chain
    } else {
        Arc::new(KnownRevocation {
            listed: builder().only_check_end_entity_revocation().build().map_err(verifier_error)?,
            whole_chain,
            issuers: material.lists.issuers.clone(),
        })
    })
}

fn server_config_with(
    material: &TlsMaterial,
    versions: &[&'static SupportedProtocolVersion],
    clock: Arc<dyn TimeProvider>,
) -> Result<Built<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = client_verifier(material, &provider)?;
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(versions)
        .map_err(engine_error)?
        .with_client_cert_verifier(Arc::clone(&verifier))
        .with_single_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|error| material.refused(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets carry the client's certificate, under keys that change every six hours and die with
    // these settings. Sessions kept in memory would have no such end, so there are none.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(engine_error)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A submission sent as 0-RTT data could be replayed by whoever recorded it.
    config.max_early_data_size = 0;
    Ok((Arc::new(config), Some(verifier)))
}

fn client_config_with(
    material: &TlsMaterial,
    versions: &[&'static SupportedProtocolVersion],
    clock: Arc<dyn TimeProvider>,
) -> Result<Built<ClientConfig>, TlsError> {
    // `dangerous` is rustls' word for any verifier of one's own. Ours only ever asks rustls' own
    // verifiers, and asks them more, never less.
    let config = ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(versions)
        .map_err(engine_error)?
        .dangerous()
        .with_custom_certificate_verifier(server_verifier(material)?)
        .with_client_auth_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|error| material.refused(&error))?;
    // ALPN stays empty: hyper-rustls sets it, and panics if somebody was there before it.
    Ok((Arc::new(config), None))
}

/// No certificate of ours, even where one is asked for.
#[derive(Debug)]
pub struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Who judges the certificate of a server that we call.
pub(super) fn server_verifier(material: &TlsMaterial) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let builder = || {
        WebPkiServerVerifier::builder_with_provider(material.anchors.clone(), provider())
            .with_crls(material.lists.lists.iter().cloned())
            .enforce_revocation_expiration()
    };
    Ok(Arc::new(KnownRevocation {
        listed: builder().only_check_end_entity_revocation().build().map_err(verifier_error)?,
        whole_chain: builder().allow_unknown_revocation_status().build().map_err(verifier_error)?,
        issuers: material.lists.issuers.clone(),
    }))
}

fn engine_error(error: rustls::Error) -> TlsError {
    TlsError::Engine { reason: error.to_string() }
}

fn verifier_error(error: VerifierBuilderError) -> TlsError {
    TlsError::Engine { reason: error.to_string() }
}

/// rustls' verifiers, joined so that "status unknown" is accepted from issuers without a list only.
///
/// One verifier alone cannot say that: it either takes unknown everywhere, so that a list which
/// covers just a part of an issuer's certificates lets the rest pass, or nowhere, so that one
/// authority's list locks out all others.
#[derive(Debug)]
struct KnownRevocation<V: ?Sized> {
    /// Status of the end entity must be known.
    listed: Arc<V>,
    /// Everything in the chain for which there is a list.
    whole_chain: Arc<V>,
    /// Encoded names of the issuers with a list.
    issuers: BTreeSet<Vec<u8>>,
}

impl<V: ?Sized> KnownRevocation<V> {
    /// Which verifiers must agree, in order.
    fn judges(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(Option<&V>, &V), rustls::Error> {
        let issuer = certificates::issuer_der(end_entity)
            .map_err(|_| rustls::Error::InvalidCertificate(PeerCertificateError::BadEncoding))?;
        Ok(if !self.issuers.contains(&issuer) {
            (None, &self.whole_chain)
        } else if intermediates.is_empty() {
            // The end entity is the whole chain.
            (None, &self.listed)
        } else {
            (Some(&self.listed), &self.whole_chain)
        })
    }
}

impl ClientCertVerifier for KnownRevocation<dyn ClientCertVerifier> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.whole_chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let (first, last) = self.judges(end_entity, intermediates)?;
        if let Some(first) = first {
            first.verify_client_cert(end_entity, intermediates, now)?;
        }
        last.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole_chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole_chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole_chain.supported_verify_schemes()
    }
}

impl ServerCertVerifier for KnownRevocation<WebPkiServerVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (first, last) = self.judges(end_entity, intermediates)?;
        if let Some(first) = first {
            first.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        last.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole_chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole_chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole_chain.supported_verify_schemes()
    }
}

// --- reload ----------------------------------------------------------------------------------

type Build<C> =
    fn(&TlsMaterial, &[&'static SupportedProtocolVersion], Arc<dyn TimeProvider>) -> Result<Built<C>, TlsError>;

struct Current<C> {
    source: TlsSource,
    config: Arc<C>,
    /// Judges clients again that were accepted earlier; a caller's own settings have no such judge.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    generation: u64,
}

/// TLS settings that can be read anew while connections come and go.
pub struct Reloadable<C> {
    /// Read by every connection, without a lock.
    current: ArcSwap<Current<C>>,
    /// Held while reloading, so that two reloads cannot publish in the wrong order.
    reloading: Mutex<()>,
    clock: Arc<dyn TimeProvider>,
    build: Build<C>,
    reloaded: watch::Sender<u64>,
}

/// Settings of a listener.
pub type ReloadableServer = Reloadable<ServerConfig>;
/// Settings of calls to peers.
pub type ReloadableClient = Reloadable<ClientConfig>;

impl<C> Reloadable<C> {
    fn start(source: TlsSource, clock: Arc<dyn TimeProvider>, build: Build<C>) -> Result<Self, TlsError> {
        let (config, clients) = build_from(&source, &clock, build)?;
        Ok(Self {
            current: ArcSwap::from_pointee(Current { source, config, clients, generation: 0 }),
            reloading: Mutex::new(()),
            clock,
            build,
            reloaded: watch::Sender::new(0),
        })
    }

    /// The settings for the next connection.
    pub fn config(&self) -> Arc<C> {
        self.current.load().config.clone()
    }

    /// Grows with each successful reload. A connection that began under an older one may belong
    /// to a peer that is revoked by now.
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// Reads everything again from where it came. On error the old settings stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.publish(None)
    }

    /// Takes everything from another place. On error the old settings and place stay in use.
    pub fn replace(&self, source: impl Into<TlsSource>) -> Result<(), TlsError> {
        self.publish(Some(source.into()))
    }

    fn publish(&self, source: Option<TlsSource>) -> Result<(), TlsError> {
        // The lock guards no data, so a panic under it leaves nothing half done.
        let _held = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        let source = source.unwrap_or_else(|| old.source.clone());
        let (config, clients) = build_from(&source, &self.clock, self.build)?;
        let generation = old.generation + 1;
        self.current.store(Arc::new(Current { source, config, clients, generation }));
        self.reloaded.send_replace(generation);
        Ok(())
    }
}

impl<C> fmt::Debug for Reloadable<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.load();
        f.debug_struct("Reloadable")
            .field("source", &current.source)
            .field("generation", &current.generation)
            .finish_non_exhaustive()
    }
}

/// Settings, and who judges the clients of a listener.
type Built<C> = (Arc<C>, Option<Arc<dyn ClientCertVerifier>>);

fn build_from<C>(source: &TlsSource, clock: &Arc<dyn TimeProvider>, build: Build<C>) -> Result<Built<C>, TlsError> {
    let now = clock.current_time().ok_or_else(|| TlsError::Engine { reason: "there is no time".to_owned() })?;
    build(&source.load(now)?, VERSIONS, clock.clone())
}

impl ReloadableServer {
    /// Reads a listener's settings for the first time.
    pub fn new(source: impl Into<TlsSource>) -> Result<Self, TlsError> {
        Self::with_clock(source, Arc::new(DefaultTimeProvider))
    }

    /// The same with a clock of one's own: dates of certificates and lists are judged by it.
    pub fn with_clock(source: impl Into<TlsSource>, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        Self::start(source.into(), clock, server_config_with)
    }

    /// Waits until a client that was accepted with this chain, under settings of this generation, is not to be
    /// accepted any more: its certificate has been revoked, or its authority is not trusted any longer. Tells why.
    pub async fn disowned(&self, chain: &[CertificateDer<'_>], mut generation: u64) -> &'static str {
        let mut reloaded = self.reloaded.subscribe();
        loop {
            let current = *reloaded.borrow_and_update();
            let judged = std::mem::replace(&mut generation, current) == current;
            if !judged
                && let (Some((leaf, others)), Some(now)) = (chain.split_first(), self.clock.current_time())
                && let Some(clients) = &self.current.load().clients
                && let Err(error) = clients.verify_client_cert(leaf, others, now)
            {
                return tls_cause(&error);
            }
            if reloaded.changed().await.is_err() {
                // The settings are gone, and with them the listener.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Accepts the next connection. Take a new one for each: it is cheap, and it is what makes a
    /// reload take effect.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }
}

impl ReloadableClient {
    /// Reads a caller's settings for the first time.
    pub fn new(source: impl Into<TlsSource>) -> Result<Self, TlsError> {
        Self::with_clock(source, Arc::new(DefaultTimeProvider))
    }

    /// The same with a clock of one's own.
    pub fn with_clock(source: impl Into<TlsSource>, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        Self::start(source.into(), clock, client_config_with)
    }

    /// Makes the next connection.
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.config())
    }
}

// --- who is there ----------------------------------------------------------------------------

/// Who the peer is, by the certificate that the handshake has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The commonName; if there is none (ITI-19 requires none) the first DNS name, else the
    /// whole subject. For people: what is compared is the fingerprint, or subject with issuer.
    pub common_name: String,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// Issuer as RFC 4514 text.
    pub issuer: String,
    /// Serial number as lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub fingerprint_sha256: [u8; 32],
    /// DNS names of subjectAltName.
    pub dns_names: Vec<String>,
    /// IP addresses of subjectAltName.
    pub ip_addresses: Vec<std::net::IpAddr>,
    /// When the certificate expires: a resumed or long connection may outlive it.
    pub not_after: Timestamp,
    /// Made by a development authority: the production profile refuses it.
    pub is_development: bool,
}

impl PeerIdentity {
    /// SHA-256 of the certificate as 64 lower-case hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        self.fingerprint_sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether whoever calls `host` would take this certificate for its own.
    pub fn covers_host(&self, host: &str) -> bool {
        certificates::covers_host(&self.dns_names, &self.ip_addresses, host)
    }

    /// Whether the certificate has not expired at `now`. The handshake has judged that already;
    /// a resumed one has not.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now <= self.not_after
    }
}

/// The identity behind a connection's certificates, end entity first, as
/// `peer_certificates()` gives them, after a resumption too. Call it once per connection.
pub fn peer_identity(certs: &[CertificateDer<'_>]) -> Result<PeerIdentity, TlsError> {
    let leaf = certs.first().ok_or(TlsError::NoPeerCertificate)?;
    let facts = certificates::facts(leaf).map_err(TlsError::PeerCertificate)?;
    let common_name =
        facts.common_name.or_else(|| facts.dns_names.first().cloned()).unwrap_or_else(|| facts.subject.clone());
    Ok(PeerIdentity {
        common_name,
        subject: facts.subject,
        issuer: facts.issuer,
        serial: facts.serial,
        fingerprint_sha256: facts.fingerprint_sha256,
        dns_names: facts.dns_names,
        ip_addresses: facts.ip_addresses,
        not_after: facts.not_after,
        is_development: facts.is_development,
    })
}

/// Why a handshake failed, in words for the log and the node authentication audit event
/// (ITI TF-2 §3.19): fixed text, nothing that the peer sent.
pub fn handshake_cause(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(error) => tls_cause(error),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => "the peer closed the connection during the handshake",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "the peer reset the connection during the handshake"
            }
            io::ErrorKind::TimedOut => "the handshake took too long",
            _ => "the connection failed during the handshake",
        },
    }
}

fn tls_cause(error: &rustls::Error) -> &'static str {
    use rustls::Error;
    match error {
        Error::NoCertificatesPresented => "the peer showed no certificate",
        Error::InvalidCertificate(reason) => certificate_cause(reason),
        Error::InvalidCertRevocationList(_) => "a revocation list for the peer cannot be verified",
        Error::PeerIncompatible(_) => "the peer offers no TLS version or cipher suite we accept",
        Error::InvalidMessage(_) => "the peer does not speak TLS",
        Error::AlertReceived(alert) => alert_cause(*alert),
        Error::PeerMisbehaved(_) | Error::InappropriateHandshakeMessage { .. } => "the peer broke the TLS protocol",
        Error::NoApplicationProtocol => "the peer does not offer http/1.1",
        _ => "the TLS handshake failed",
    }
}

pub(super) fn certificate_cause(reason: &PeerCertificateError) -> &'static str {
    use PeerCertificateError as Reason;
    match reason {
        Reason::Expired | Reason::ExpiredContext { .. } => "the peer's certificate has expired",
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => "the peer's certificate is not valid yet",
        Reason::Revoked => "the peer's certificate is revoked",
        Reason::UnknownIssuer => "the peer's certificate comes from an authority we do not trust",
        Reason::UnknownRevocationStatus => {
            "no revocation list covers the peer's certificate, though its issuer has one"
        }
        Reason::ExpiredRevocationList | Reason::ExpiredRevocationListContext { .. } => {
            "the revocation list of the peer's authority has expired"
        }
        Reason::NotValidForName | Reason::NotValidForNameContext { .. } => {
            "the server's certificate is not for the name it was called by"
        }
        Reason::InvalidPurpose | Reason::InvalidPurposeContext { .. } => {
            "the peer's certificate is not meant for this role (extended key usage)"
        }
        Reason::BadSignature => "a signature in the peer's certificate chain is wrong",
        Reason::BadEncoding => "the peer's certificate is not correctly encoded",
        Reason::UnhandledCriticalExtension => "the peer's certificate has a critical extension we do not know",
        _ => "the peer's certificate is not acceptable",
    }
}

fn alert_cause(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the peer says that our certificate is missing"
        }
        AlertDescription::CertificateExpired => "the peer says that our certificate has expired",
        AlertDescription::CertificateRevoked => "the peer says that our certificate is revoked",
        AlertDescription::UnknownCA => "the peer does not trust our certificate's authority",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => "the peer does not accept our certificate",
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            "the peer accepts no TLS version or cipher suite we offer"
        }
        AlertDescription::UnrecognisedName => "the peer does not know the name it was called by",
        _ => "the peer ended the handshake",
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustls::HandshakeKind;
    use rustls::version::{TLS12, TLS13};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::certificates::{DevelopmentOptions, DevelopmentSet, write_development_set};
    use super::*;

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
}
