//! rustls settings, made of what was read.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ServerConfig, SignatureScheme, SupportedProtocolVersion};

use super::error::TlsError;
use super::material::TlsMaterial;
use super::revocation::KnownRevocation;

pub(super) static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Settings, and who judges the clients of a listener.
pub(super) type Built<C> = (Arc<C>, Option<Arc<dyn ClientCertVerifier>>);

pub(super) fn provider() -> Arc<CryptoProvider> {
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

pub(super) fn server_config_with(
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

pub(super) fn client_config_with(
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
pub(in crate::transport) fn server_verifier(material: &TlsMaterial) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
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
