//! What was read of certificate, key, authorities and lists, and found to fit each other.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::{InconsistentKeys, RootCertStore};

use super::error::TlsError;
use super::settings::provider;
use super::source::{Named, contains, damaged};
use crate::transport::certificates::{self, ListSignature};

/// Certificate, key, authorities and revocation lists, read and found to fit each other as far
/// as that can be told before the first handshake.
pub struct TlsMaterial {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) anchors: Arc<RootCertStore>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) lists: RevocationLists,
    pub(super) certificate_name: String,
    pub(super) key_name: String,
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

    pub(super) fn refused(&self, error: &rustls::Error) -> TlsError {
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
pub(super) struct RevocationLists {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) issuers: BTreeSet<Vec<u8>>,
}

impl RevocationLists {
    pub(super) fn read(named: &Named, roots: &[CertificateDer<'static>], now: UnixTime) -> Result<Self, TlsError> {
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
