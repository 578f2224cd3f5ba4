//! What a peer speaks that takes nothing of what we offer.

use std::net::IpAddr;

use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod, SslRef, SslVerifyMode, SslVersion};

/// What a peer takes when everything is offered that was ever common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldHandshake {
    /// As `TLSv1.1`.
    pub version: String,
    /// As `AES128-SHA`.
    pub cipher: String,
}

/// Offers TLS 1.0 and up with every cipher suite over a fresh connection, and tells what the peer
/// takes; nothing if it takes none of it. For the diagnosis of a peer that takes nothing of what we
/// offer: its certificate is not judged, ours is not shown, and not a byte is sent over the
/// connection. Blocks, as long as the stream's timeouts let it.
pub fn old_handshake(stream: std::net::TcpStream, host: &str) -> Option<OldHandshake> {
    let mut context = SslContext::builder(SslMethod::tls_client()).ok()?;
    context.set_verify(SslVerifyMode::NONE);
    context.set_security_level(0);
    context.set_min_proto_version(Some(SslVersion::TLS1)).ok()?;
    context.set_cipher_list("ALL:COMPLEMENTOFALL:!eNULL:@SECLEVEL=0").ok()?;
    let mut ssl = Ssl::new(&context.build()).ok()?;
    if host.parse::<IpAddr>().is_err() {
        ssl.set_hostname(host).ok()?;
    }
    let told = |ssl: &SslRef| {
        let cipher = ssl.current_cipher()?.name().to_owned();
        Some(OldHandshake { version: ssl.version_str().to_owned(), cipher })
    };
    match ssl.connect(stream) {
        Ok(stream) => told(stream.ssl()),
        // Refused for want of our certificate, which is later than what is asked here.
        Err(HandshakeError::Failure(broken) | HandshakeError::WouldBlock(broken)) => told(broken.ssl()),
        Err(HandshakeError::SetupFailure(_)) => None,
    }
}
