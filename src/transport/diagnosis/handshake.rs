//! A handshake that remembers what it saw: the peer's chain and the verdict on it, what was asked
//! of us, and the first bytes on the wire.
//!
//! The verdict is that of the verifier every call uses. Whom it refuses is asked nothing and shown
//! nothing of ours, but for one case: where the dates of a certificate are all that is wrong, its peer
//! is asked what time it is, without a certificate of ours ([`peer_clock`]).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use jiff::Timestamp;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, ClientConfig, ProtocolVersion, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::own::Own;
use super::{Agreed, Subject, connect, exchange};
use crate::transport::certificates;
use crate::transport::tls::{NoCertificate, TlsError, answered_by, client_config, server_verifier};

/// As [`Agreed::version`] has it.
pub(super) const TLS_1_2: &str = "TLS 1.2";

/// First bytes that are kept: a ServerHello, an alert, or the greeting of another protocol.
const FIRST_BYTES: usize = 1024;

/// What a handshake saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The peer's certificates as sent, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why they are not accepted.
    pub verdict: Option<rustls::Error>,
    /// The peer asked for our certificate, from these authorities (encoded names) if it named any.
    pub asked: Option<Vec<Vec<u8>>>,
}

/// A handshake, however it went.
pub(super) struct Shaken {
    pub stream: io::Result<TlsStream<Tap>>,
    pub seen: Seen,
    pub agreed: Option<Agreed>,
    /// The first bytes that the peer sent.
    pub first: Vec<u8>,
}

/// A handshake that went well.
pub(super) struct Secured {
    pub stream: TlsStream<Tap>,
    pub seen: Seen,
    pub agreed: Option<Agreed>,
}

type Shared<T> = Arc<Mutex<T>>;

fn held<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    // What is guarded is whole at any time.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shakes hands as every call does, and remembers.
pub(super) async fn shake(own: &Own, subject: &Subject, stream: TcpStream) -> Shaken {
    let seen: Shared<Seen> = Arc::default();
    match settings(own, &seen) {
        Ok(settings) => shake_with(settings, seen, subject, stream).await,
        Err(error) => {
            Shaken { stream: Err(io::Error::other(error)), seen: Seen::default(), agreed: None, first: Vec::new() }
        }
    }
}

fn settings(own: &Own, seen: &Shared<Seen>) -> Result<ClientConfig, TlsError> {
    let mut settings = (*client_config(&own.material)?).clone();
    // `dangerous` is rustls' word for any verifier of one's own; this one repeats what ours says.
    let verifier = Remembering { inner: server_verifier(&own.material)?, seen: Arc::clone(seen) };
    settings.dangerous().set_certificate_verifier(Arc::new(verifier));
    let inner = Arc::clone(&settings.client_auth_cert_resolver);
    settings.client_auth_cert_resolver = Arc::new(Asked { inner, seen: Arc::clone(seen) });
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would skip what is to be looked at.
    settings.resumption = Resumption::disabled();
    Ok(settings)
}

async fn shake_with(settings: ClientConfig, seen: Shared<Seen>, subject: &Subject, stream: TcpStream) -> Shaken {
    let first: Shared<Vec<u8>> = Arc::default();
    let tap = Tap { inner: stream, first: Arc::clone(&first), received: 0 };
    let stream = match ServerName::try_from(subject.host().to_owned()) {
        Ok(name) => {
            let connecting = TlsConnector::from(Arc::new(settings)).connect(name, tap);
            let late = || io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
            timeout(subject.timeout, connecting).await.unwrap_or_else(|_| Err(late()))
        }
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    };
    let first = held(&first).clone();
    let agreed = match &stream {
        Ok(stream) => negotiated(stream),
        Err(_) => server_hello(&first),
    };
    let seen = held(&seen).clone();
    Shaken { stream, seen, agreed, first }
}

/// The peer's clock, by the Date of an HTTP answer, where its certificate is refused for its dates
/// alone: it is judged for the nearest moment at which it was valid, revocation lists included, so it
/// is still the peer who answers. We stay nameless: most peers then answer nothing, and a web server
/// that leaves the refusal to HTTP tells its time with it.
pub(super) async fn peer_clock(
    own: &Own,
    subject: &Subject,
    addresses: &[SocketAddr],
    chain: &[CertificateDer<'static>],
) -> Option<Timestamp> {
    let facts: Vec<_> = chain.iter().filter_map(|der| certificates::facts(der).ok()).collect();
    let from = facts.iter().map(|facts| facts.not_before).max()?;
    let until = facts.iter().map(|facts| facts.not_after).min()?;
    if from > until {
        return None;
    }
    // Lists that cannot be used leave open who is revoked.
    if subject.files.crl.is_some() && own.material.lists().is_empty() {
        return None;
    }
    let seen: Shared<Seen> = Arc::default();
    let mut settings = settings(own, &seen).ok()?;
    settings.client_auth_cert_resolver = Arc::new(NoCertificate);
    let (from, last) = (from.as_second(), until.as_second().checked_sub(1)?);
    let moment = u64::try_from(Timestamp::now().as_second().min(last).max(from)).ok()?;
    settings.time_provider = Arc::new(Moment(UnixTime::since_unix_epoch(std::time::Duration::from_secs(moment))));
    let stream = connect::open(subject.timeout, *addresses.first()?).await.ok()?;
    let shaken = shake_with(settings, seen, subject, stream).await;
    exchange::date(subject, exchange::Stream::tls(shaken.stream.ok()?)).await
}

#[derive(Debug)]
struct Moment(UnixTime);

impl TimeProvider for Moment {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

fn negotiated(stream: &TlsStream<Tap>) -> Option<Agreed> {
    let (_, connection) = stream.get_ref();
    let suite = connection.negotiated_cipher_suite()?.suite();
    Some(Agreed { version: version_name(connection.protocol_version()?), cipher_suite: suite_name(suite) })
}

fn version_name(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        ProtocolVersion::TLSv1_2 => TLS_1_2.to_owned(),
        ProtocolVersion::TLSv1_1 => "TLS 1.1".to_owned(),
        ProtocolVersion::TLSv1_0 => "TLS 1.0".to_owned(),
        ProtocolVersion::SSLv3 => "SSL 3.0".to_owned(),
        other => format!("{other:?}"),
    }
}

fn suite_name(suite: CipherSuite) -> String {
    format!("{suite:?}")
}

/// What a ServerHello chose (RFC 8446 §4.1.3): the library forgets it when the handshake fails.
pub(super) fn server_hello(bytes: &[u8]) -> Option<Agreed> {
    /// A TLS record with a handshake message, and in it a ServerHello.
    const RECORD: u8 = 22;
    const SERVER_HELLO: u8 = 2;
    const SUPPORTED_VERSIONS: u16 = 43;
    let mut rest = Bytes(bytes);
    if rest.u8()? != RECORD {
        return None;
    }
    rest.take(4)?;
    if rest.u8()? != SERVER_HELLO {
        return None;
    }
    rest.take(3)?;
    let mut version = rest.u16()?;
    rest.take(32)?;
    let session = rest.u8()?;
    rest.take(session.into())?;
    let suite = rest.u16()?;
    rest.take(1)?;
    if let Some(length) = rest.u16() {
        let mut extensions = Bytes(rest.take(length.into()).unwrap_or_default());
        while let (Some(kind), Some(length)) = (extensions.u16(), extensions.u16()) {
            let Some(body) = extensions.take(length.into()) else { break };
            if kind == SUPPORTED_VERSIONS {
                version = Bytes(body).u16()?;
            }
        }
    }
    Some(Agreed {
        version: version_name(ProtocolVersion::from(version)),
        cipher_suite: suite_name(CipherSuite::from(suite)),
    })
}

/// Bytes that are read from the front.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }
}

/// A connection whose first bytes are kept.
pub(super) struct Tap {
    inner: TcpStream,
    first: Shared<Vec<u8>>,
    /// Bytes that the peer sent so far.
    pub received: usize,
}

impl AsyncRead for Tap {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.received += buffer.filled().len().saturating_sub(before);
        let mut first = held(&self.first);
        let room = FIRST_BYTES.saturating_sub(first.len());
        first.extend(buffer.filled().iter().skip(before).take(room));
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The verifier of every call, and a note of what it saw and said.
#[derive(Debug)]
struct Remembering {
    inner: Arc<dyn ServerCertVerifier>,
    seen: Shared<Seen>,
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let mut seen = held(&self.seen);
        seen.chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        seen.verdict = verdict.as_ref().err().cloned();
        verdict
    }

    answered_by!(inner);
}

/// What chooses our certificate, and a note that it was asked to.
#[derive(Debug)]
struct Asked {
    inner: Arc<dyn ResolvesClientCert>,
    seen: Shared<Seen>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, root_hint_subjects: &[&[u8]], sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        held(&self.seen).asked = Some(root_hint_subjects.iter().map(|name| name.to_vec()).collect());
        self.inner.resolve(root_hint_subjects, sigschemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ServerHello with that version, suite and extensions.
    fn hello(version: [u8; 2], suite: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_vec();
        body.extend([7; 32]);
        body.extend([2, 9, 9]);
        body.extend(suite);
        body.push(0);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let length = u8::try_from(body.len()).unwrap();
        let mut out = vec![22, 3, 3, 0, length + 4, 2, 0, 0, length];
        out.extend(body);
        out
    }

    #[test]
    fn a_server_hello_tells_version_and_suite() {
        let told = |bytes: &[u8]| server_hello(bytes).map(|agreed| (agreed.version, agreed.cipher_suite));
        let tls13 = hello([3, 3], [0x13, 0x02], &[0, 51, 0, 1, 0, 0, 43, 0, 2, 3, 4]);
        assert_eq!(told(&tls13), Some(("TLS 1.3".into(), "TLS13_AES_256_GCM_SHA384".into())));
        let tls12 = hello([3, 3], [0xc0, 0x2f], &[]);
        assert_eq!(told(&tls12), Some(("TLS 1.2".into(), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into())));
        let tls10 = hello([3, 1], [0x00, 0x2f], &[]);
        assert_eq!(told(&tls10).unwrap().0, "TLS 1.0");
        for cut in 0..tls13.len() {
            let _ = server_hello(&tls13[..cut]);
        }
        assert_eq!(told(b"HTTP/1.1 400 Bad Request\r\n"), None);
        assert_eq!(told(&[21, 3, 3, 0, 2, 2, 40]), None);
    }
}
