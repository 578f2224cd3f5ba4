//! Where certificate, key, authorities and lists come from, and how they are read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::error::TlsError;
use super::material::{RevocationLists, TlsMaterial};
use crate::transport::certificates;

/// Largest certificate, key or authority file; a wrong path must not fill the memory.
pub const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;
/// Largest revocation list file: national authorities publish several megabytes.
pub const MAX_CRL_BYTES: u64 = 64 * 1024 * 1024;

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
pub(super) struct Named {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Named {
    pub(super) fn file(path: &Path, limit: u64) -> Result<Self, TlsError> {
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

pub(super) fn damaged(named: &Named, error: &pem::Error) -> TlsError {
    TlsError::Damaged { file: named.name.clone(), reason: error.to_string() }
}

pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
