//! TLS and HTTP (ITI TF-2 §3.19, RFC 9110).

use jiff::Timestamp;

use super::{Case, Judged, bad, skip, weak};
use crate::probe::answer::Payload;
use crate::probe::hello::Greeting;
use crate::probe::line::{Back, Step};
use crate::transport::certificates;

/// A certificate that ends within these days deserves a call.
const EXPIRY_DAYS: i64 = 30;

/// An HTTP answer of any kind.
pub fn reached(case: &Case<'_>) -> Judged {
    case.answer().map(|answer| answer.words())
}

/// A TLS version that is still current.
pub fn tls_version(case: &Case<'_>) -> Judged {
    match &case.answer()?.tls {
        None => bad("plain http"),
        Some(tls) if tls.is_current => Ok(tls.version.to_owned()),
        Some(tls) => bad(tls.version),
    }
}

/// A server certificate with some time left.
pub fn certificate(case: &Case<'_>) -> Judged {
    let Some(der) = case.answer()?.tls.as_ref().and_then(|tls| tls.certificate.as_deref()) else {
        return skip("no certificate was shown");
    };
    let Ok(facts) = certificates::facts(der) else { return bad("a certificate that cannot be read") };
    let days = facts.days_left(Timestamp::now());
    if days < EXPIRY_DAYS { bad(format!("it expires in {days} days")) } else { Ok(format!("{days} days left")) }
}

/// An alert, or a closed connection.
pub fn old_tls_refused(case: &Case<'_>) -> Judged {
    match &case.exchanged.result {
        Ok(Back::Greeting(Greeting::Alert(number))) => Ok(format!("refused with alert {number}")),
        Ok(Back::Greeting(Greeting::Closed)) => Ok("the connection was closed".to_owned()),
        Ok(Back::Greeting(Greeting::Old(1))) => bad("it goes on with TLS 1.0"),
        Ok(Back::Greeting(Greeting::Old(_))) => bad("it goes on with TLS 1.1"),
        Ok(_) => weak("something that is not TLS"),
        Err(unanswered) => weak(unanswered.to_string()),
    }
}

/// No HTTP byte without a client certificate; a refusal in HTTP will do.
pub fn certificate_demanded(case: &Case<'_>) -> Judged {
    match (&case.exchanged.result, case.exchanged.answer()) {
        (_, Some(answer)) if (400..500).contains(&answer.status) && !is_response(case) => {
            weak(format!("refused in HTTP only: {}", answer.words()))
        }
        (_, Some(answer)) => bad(format!("answered: {}", answer.words())),
        (Err(unanswered), _) => match unanswered.step {
            Step::Handshake | Step::Answer => Ok(format!("refused: {}", unanswered.cause)),
            Step::Time => weak("neither refused nor answered in time"),
            Step::Connect | Step::Kept => skip(unanswered.to_string()),
        },
        (Ok(_), None) => skip("no HTTP answer"),
    }
}

fn is_response(case: &Case<'_>) -> bool {
    let payload = case.exchanged.answer().and_then(|answer| answer.envelope.as_ref().ok());
    payload.is_some_and(|envelope| matches!(envelope.payload, Payload::Query(_) | Payload::Retrieve(_)))
}

/// An answer on the same connection.
pub fn kept_alive(case: &Case<'_>) -> Judged {
    let answer = case.answer()?;
    Ok(format!("answered: {}", answer.words()))
}

/// No Content-Encoding, since none was asked for.
pub fn not_compressed(case: &Case<'_>) -> Judged {
    match case.answer()?.content_encoding.as_deref() {
        None | Some("identity") => Ok("no Content-Encoding".to_owned()),
        Some(coding) => bad(format!("Content-Encoding {}", crate::probe::schema::shown(coding))),
    }
}

/// A WSDL.
pub fn wsdl(case: &Case<'_>) -> Judged {
    let answer = case.answer()?;
    if answer.status == 200 && answer.is_wsdl {
        return Ok(format!("a WSDL of {} octets", answer.octets));
    }
    bad(format!("HTTP {}, no WSDL", answer.status))
}

/// A refusal, or a page for people; never the service's own answer.
pub fn get_refused(case: &Case<'_>) -> Judged {
    let answer = case.answer()?;
    match answer.status {
        _ if is_response(case) => bad(format!("answered: {}", answer.words())),
        400..500 => Ok(format!("HTTP {}", answer.status)),
        status if status < 400 => {
            weak(format!("HTTP {status} ({})", crate::probe::schema::shown(&answer.content_type)))
        }
        _ => weak(answer.words()),
    }
}

/// 415, or a fault.
pub fn media_type_refused(case: &Case<'_>) -> Judged {
    let answer = case.answer()?;
    match answer.status {
        _ if is_response(case) => bad(format!("answered: {}", answer.words())),
        415 => Ok("HTTP 415".to_owned()),
        400..600 => weak(answer.words()),
        _ => bad(answer.words()),
    }
}
