//! Why a handshake failed, in words.

use std::io;

use rustls::{AlertDescription, CertificateError as PeerCertificateError};

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

pub(super) fn tls_cause(error: &rustls::Error) -> &'static str {
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

pub(in crate::transport) fn certificate_cause(reason: &PeerCertificateError) -> &'static str {
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
