//! Who judges certificates where there are revocation lists, and where there are none.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError as PeerCertificateError, DistinguishedName};

use crate::transport::certificates;

/// What rustls asks a verifier beside its verdict, answered by the one in that field.
macro_rules! answered_by {
    ($verifier:ident) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            self.$verifier.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            self.$verifier.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.$verifier.supported_verify_schemes()
        }
    };
}
pub(in crate::transport) use answered_by;

/// rustls' verifiers, joined so that "status unknown" is accepted from issuers without a list only.
///
/// One verifier alone cannot say that: it either takes unknown everywhere, so that a list which
/// covers just a part of an issuer's certificates lets the rest pass, or nowhere, so that one
/// authority's list locks out all others.
#[derive(Debug)]
pub(super) struct KnownRevocation<V: ?Sized> {
    /// Status of the end entity must be known.
    pub(super) listed: Arc<V>,
    /// Everything in the chain for which there is a list.
    pub(super) whole_chain: Arc<V>,
    /// Encoded names of the issuers with a list.
    pub(super) issuers: BTreeSet<Vec<u8>>,
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

    answered_by!(whole_chain);
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

    answered_by!(whole_chain);
}
