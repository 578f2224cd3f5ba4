//! Why a handshake failed, where it is not about the peer's certificate: version, cipher suite,
//! another protocol, or ours that the peer did not accept.
//!
//! Under TLS 1.3 the peer judges our certificate after our side of the handshake is done, so its
//! refusal comes with the first byte read; under TLS 1.2 it comes within.

use std::io;

use rustls::{AlertDescription, Error, PeerIncompatible};

use super::exchange::Unheard;
use super::handshake::{Seen, Shaken};
use super::own::Own;
use super::{Finding, Step, Subject, words};
use crate::transport::certificates;
use crate::transport::tls::handshake_cause;

/// Authorities that are named of those a peer accepts.
const MOST_AUTHORITIES: usize = 4;

/// First bytes of TLS records: an alert, a handshake message.
const TLS_RECORDS: [u8; 2] = [21, 22];

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Whether the peer takes nothing of what we offer: then it is worth asking what it would take.
pub(super) fn speaks_something_else(shaken: &Shaken) -> bool {
    let Err(error) = &shaken.stream else { return false };
    match rustls_error(error) {
        Some(Error::AlertReceived(_) | Error::PeerIncompatible(_)) => true,
        Some(_) => false,
        None => is_end(error) && shaken.first.is_empty(),
    }
}

/// Whether a handshake that broke off after the peer's certificate was accepted did so for ours.
pub(super) fn is_about_ours(shaken: &Shaken) -> bool {
    let Err(error) = &shaken.stream else { return false };
    let refused = matches!(rustls_error(error), Some(Error::AlertReceived(_)));
    shaken.seen.asked.is_some() && (refused || (rustls_error(error).is_none() && is_end(error)))
}

/// The finding of a handshake in which no certificate was judged, or that failed for other reasons.
pub(super) fn of_handshake(subject: &Subject, shaken: &Shaken) -> Finding {
    let fail = |what: String, fix: &str| Finding::fail(Step::Tls, what, fix);
    let Err(error) = &shaken.stream else { return fail("the peer showed no certificate".to_owned(), OTHER) };
    if shaken.first.first().is_some_and(|first| !TLS_RECORDS.contains(first)) {
        return other_protocol(subject, &shaken.first);
    }
    let chosen = shaken.agreed.as_ref();
    match rustls_error(error) {
        Some(Error::PeerIncompatible(reason)) => incompatible(reason, chosen.map(|agreed| agreed.version.as_str())),
        Some(Error::AlertReceived(alert)) => by_alert(subject, *alert),
        Some(other) => fail(format!("{}: {}", handshake_cause(error), words(&other.to_string())), OTHER),
        None if error.kind() == io::ErrorKind::TimedOut => fail(
            "the peer takes the connection and does not answer to TLS".to_owned(),
            "check the port: another program may listen there, or a load balancer without a service behind it",
        ),
        None if error.kind() == io::ErrorKind::InvalidInput => {
            fail(format!("{} is no name for TLS", subject.host()), "write a host name or an address into the URL")
        }
        None if is_end(error) => fail(
            handshake_cause(error).to_owned(),
            "most likely it takes no TLS 1.2 or 1.3, does not know the name it was called by, or a firewall that \
             looks into TLS cut it off: ask its operators for their log",
        ),
        None => fail(words(&error.to_string()), OTHER),
    }
}

const OTHER: &str = "ask the peer's operators for the log of their TLS at this moment";
const VERSIONS: &str = "we speak TLS 1.2 and 1.3 with ECDHE and AES-GCM or ChaCha20 (ITI-19, BCP 195): the peer has to \
                        enable one of them; until it does, a reverse proxy that speaks both can stand between";

fn incompatible(reason: &PeerIncompatible, chosen: Option<&str>) -> Finding {
    let what = match (reason, chosen) {
        (
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            Some(version),
        ) => format!("the peer speaks {version}, which is too old"),
        _ => format!("TLS version or cipher suite do not match: {reason:?}"),
    };
    Finding::fail(Step::Tls, what, VERSIONS)
}

fn by_alert(subject: &Subject, alert: AlertDescription) -> Finding {
    let what = format!("the peer ended the handshake with the alert {alert:?}");
    match alert {
        AlertDescription::ProtocolVersion => {
            Finding::fail(Step::Tls, format!("{what}: it takes no TLS version that we offer"), VERSIONS)
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            Finding::fail(Step::Tls, format!("{what}: it takes no cipher suite that we offer"), VERSIONS)
        }
        AlertDescription::UnrecognisedName => Finding::fail(
            Step::Tls,
            format!("{what}: it does not know the name {}", subject.host()),
            "ask its operators under which name it is called, and write that into the URL",
        ),
        AlertDescription::NoApplicationProtocol => Finding::fail(
            Step::Tls,
            format!("{what}: it does not speak HTTP/1.1"),
            "ask its operators to allow http/1.1 at this address",
        ),
        _ => Finding::fail(Step::Tls, what, OTHER),
    }
}

fn other_protocol(subject: &Subject, first: &[u8]) -> Finding {
    let line = first.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let line = words(&String::from_utf8_lossy(line));
    if line.starts_with("HTTP/") {
        return Finding::fail(
            Step::Tls,
            format!("the port speaks HTTP without TLS: {line}"),
            "check the port: the peer's TLS is on another one; or a proxy answers in its place",
        );
    }
    Finding::fail(
        Step::Tls,
        format!("port {} does not speak TLS: it says {line:?}", subject.port()),
        "check the port: another program listens there",
    )
}

// --- ours ------------------------------------------------------------------------------------

/// The finding of a handshake that the peer ended after our certificate.
pub(super) fn within_handshake(own: &Own, shaken: &Shaken) -> Finding {
    let alert = shaken.stream.as_ref().err().and_then(rustls_error).and_then(|error| match error {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    });
    refused(own, &shaken.seen, alert)
}

/// The finding of a connection that ended under TLS 1.3 before anything was asked on it.
pub(super) fn unasked(own: &Own, seen: &Seen, accepted: bool, unheard: &Unheard) -> Finding {
    match unheard {
        Unheard::Closed if !accepted => refused(own, seen, None),
        _ => late(own, seen, accepted, Some(unheard)),
    }
}

/// The finding of the first question under TLS 1.3. Whom the peer has accepted it can still refuse by
/// an alert that is about certificates; a connection that just closes behind a question has other
/// causes as well.
pub(super) fn late(own: &Own, seen: &Seen, accepted: bool, unheard: Option<&Unheard>) -> Finding {
    match unheard {
        Some(Unheard::Alert(alert)) if !accepted || is_about_certificates(*alert) => refused(own, seen, Some(*alert)),
        Some(_) if !accepted => {
            Finding::ok(Step::ClientCertificate, format!("{} was shown, and not refused", own.facts.subject))
        }
        _ => Finding::ok(Step::ClientCertificate, format!("{} was accepted", own.facts.subject)),
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}

fn refused(own: &Own, seen: &Seen, alert: Option<AlertDescription>) -> Finding {
    let (subject, issuer) = (&own.facts.subject, &own.facts.issuer);
    let mut what = match alert {
        Some(alert) => format!("the peer did not accept {subject}: alert {alert:?}"),
        None => format!(
            "the peer closed the connection right after {subject} was shown, before it was asked anything: most likely \
             it does not accept it"
        ),
    };
    let accepted: Vec<&Vec<u8>> = seen.asked.iter().flatten().collect();
    let ours = own.material.chain().iter().filter_map(|der| certificates::issuer_der(der).ok());
    let ours: Vec<Vec<u8>> = ours.collect();
    let foreign = !accepted.is_empty() && !ours.iter().any(|issuer| accepted.contains(&issuer));
    if foreign {
        let names: Vec<String> = accepted
            .iter()
            .take(MOST_AUTHORITIES)
            .map(|name| certificates::name_text_of(name).unwrap_or_else(|_| "an unreadable name".to_owned()))
            .collect();
        what.push_str(&format!(
            "; it is issued by {issuer}, and the peer takes certificates from {}",
            names.join("; ")
        ));
    }
    let fix = match alert {
        Some(AlertDescription::CertificateExpired) => {
            "show one that has not expired; if ours has not, the peer's clock is wrong".to_owned()
        }
        Some(AlertDescription::CertificateRevoked) => "ask the certificate's issuer for a new one".to_owned(),
        _ if foreign => format!(
            "show a certificate of one of those authorities (--cert), or ask the peer's operators to trust {issuer}"
        ),
        Some(AlertDescription::UnknownCA) => {
            format!("ask the peer's operators to trust {issuer}, or append its intermediates to our certificate's file")
        }
        Some(AlertDescription::UnsupportedCertificate) if !own.facts.may_call => {
            "have one issued with clientAuth in its extended key usage".to_owned()
        }
        _ => format!(
            "ask the peer's operators why: they need to trust {issuer}, and may have to enter {subject} in a list; \
             the reason is in their log"
        ),
    };
    Finding::fail(Step::ClientCertificate, what, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::diagnosis::Agreed;
    use crate::transport::diagnosis::tests::subject;

    fn shaken(error: io::Error, first: &[u8], agreed: Option<(&str, &str)>) -> Shaken {
        let agreed = agreed.map(|(version, suite)| Agreed { version: version.into(), cipher_suite: suite.into() });
        Shaken { stream: Err(error), seen: Seen::default(), agreed, first: first.to_vec() }
    }

    fn of(error: Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn handshakes_that_fail_before_any_certificate() {
        let alert = |alert| of(Error::AlertReceived(alert));
        let old = of(Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig));
        let garbage = || of(Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        let end = io::Error::from(io::ErrorKind::UnexpectedEof);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        for (shaken, what, fix) in [
            (shaken(alert(AlertDescription::ProtocolVersion), &[21], None), "no TLS version", "TLS 1.2 and 1.3"),
            (shaken(alert(AlertDescription::HandshakeFailure), &[21], None), "no cipher suite", "ECDHE"),
            (
                shaken(alert(AlertDescription::UnrecognisedName), &[21], None),
                "the name peer.example",
                "under which name",
            ),
            (shaken(old, &[22], Some(("TLS 1.0", "x"))), "speaks TLS 1.0", "TLS 1.2 and 1.3"),
            (shaken(garbage(), b"HTTP/1.1 400 Bad Request\r\nX: y", None), "HTTP/1.1 400 Bad Request", "the port"),
            (shaken(garbage(), b"SSH-2.0-x\r\n", None), "SSH-2.0-x", "another program"),
            (shaken(end, &[], None), "closed the connection", "TLS 1.2"),
            (shaken(late, &[], None), "does not answer to TLS", "the port"),
        ] {
            let finding = of_handshake(&subject(), &shaken);
            assert_eq!(finding.step, Step::Tls);
            assert!(finding.what.contains(what), "{finding:?}");
            assert!(finding.fix.as_deref().is_some_and(|said| said.contains(fix)), "{finding:?}");
        }
    }
}
