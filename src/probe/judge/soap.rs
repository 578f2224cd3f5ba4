//! Envelopes, addressing and faults (ITI TF-2 Appendix V).

use super::{Case, Judged, bad, weak};
use crate::probe::answer::{Envelope, Payload};
use crate::probe::schema::shown;
use crate::transaction::Packaging;
use crate::wire::mtom::{Charset, MediaType};
use crate::wire::soap::Version;

/// The actions of faults (WS-Addressing SOAP Binding §6.3).
const FAULT_ACTIONS: [&str; 2] =
    ["http://www.w3.org/2005/08/addressing/fault", "http://www.w3.org/2005/08/addressing/soap/fault"];

/// HTTP 200, whatever the response says.
pub fn http_status(case: &Case<'_>) -> Judged {
    let answer = case.answer()?;
    if answer.status == 200 { Ok("HTTP 200".to_owned()) } else { bad(answer.words()) }
}

/// An envelope of SOAP 1.2.
pub fn version(case: &Case<'_>) -> Judged {
    match case.envelope()?.version {
        Some(Version::V12) => Ok("SOAP 1.2".to_owned()),
        Some(Version::V11) => bad("SOAP 1.1"),
        None => bad("an envelope of no SOAP version"),
    }
}

/// One Header, one Body, one element in it, each addressing header once.
pub fn form(case: &Case<'_>) -> Judged {
    match &case.envelope()?.form {
        Ok(()) => Ok("one Header, one Body, one element in it".to_owned()),
        Err(why) => bad(shown(why)),
    }
}

/// The media type of a simple message (SOAP 1.2 Part 2 §7.1.4).
pub fn content_type(case: &Case<'_>) -> Judged {
    let answer = case.answer()?;
    let seen = if answer.content_type.is_empty() { "none".to_owned() } else { shown(&answer.content_type) };
    let Ok(media) = MediaType::parse(&answer.content_type) else { return bad(seen) };
    let expected = match case.asked.transaction.packaging {
        Packaging::Simple => "application/soap+xml",
        Packaging::Mtom => "multipart/related",
    };
    match (media.essence(), media.charset()) {
        (essence, Charset::Unstated | Charset::Utf8) if essence == expected => Ok(seen),
        (essence, Charset::Utf16) if essence == expected => weak(seen),
        _ => bad(seen),
    }
}

/// The response action of the transaction.
pub fn action(case: &Case<'_>) -> Judged {
    let expected = case.asked.transaction.response_action;
    match case.answered()?.action.as_deref() {
        Some(action) if action == expected => Ok(action.to_owned()),
        Some(action) => bad(shown(action)),
        None => bad("no wsa:Action"),
    }
}

/// `mustUnderstand` on the action.
pub fn action_marked(case: &Case<'_>) -> Judged {
    if case.answered()?.action_marked {
        Ok("mustUnderstand".to_owned())
    } else {
        bad("no mustUnderstand on wsa:Action")
    }
}

fn relates(envelope: &Envelope, message_id: &str) -> Judged {
    match envelope.relates_to.as_deref() {
        Some(id) if id == message_id => Ok("our MessageID".to_owned()),
        Some(id) if id.eq_ignore_ascii_case(message_id) => weak("our MessageID in other letters"),
        Some(_) => bad("another id"),
        None => bad("no wsa:RelatesTo"),
    }
}

/// The MessageID of the request.
pub fn relates_to(case: &Case<'_>) -> Judged {
    relates(case.answered()?, &case.asked.message_id)
}

/// An id of its own.
pub fn message_id(case: &Case<'_>) -> Judged {
    match case.answered()?.message_id.as_deref() {
        Some(id) if id == case.asked.message_id => bad("that of the request"),
        Some(_) => Ok("an id of its own".to_owned()),
        None => bad("no wsa:MessageID"),
    }
}

/// The request is answered as if nothing were odd about it.
pub fn answered(case: &Case<'_>) -> Judged {
    case.answered()?;
    Ok(case.words())
}

/// A fault with one of these codes; another one will do.
pub fn faults(case: &Case<'_>, codes: &[&str]) -> Judged {
    let fault = case.fault()?;
    if codes.is_empty() || codes.iter().any(|code| fault.says(code)) { Ok(case.words()) } else { weak(case.words()) }
}

/// No answer of the service: a fault, an HTTP error, or a closed connection.
pub fn refused(case: &Case<'_>) -> Judged {
    let Some(answer) = case.exchanged.answer() else {
        return weak(format!("refused without a word: {}", case.words()));
    };
    match &answer.envelope {
        Ok(envelope) => match envelope.payload {
            Payload::Fault(_) => Ok(answer.words()),
            _ => bad(format!("answered: {}", answer.words())),
        },
        Err(_) if answer.status >= 400 => weak(answer.words()),
        Err(_) => bad(answer.words()),
    }
}

/// A fault, or an answer in SOAP 1.1 too.
pub fn version_respected(case: &Case<'_>) -> Judged {
    let Some(answer) = case.exchanged.answer() else { return weak(case.words()) };
    match &answer.envelope {
        Ok(Envelope { payload: Payload::Fault(fault), .. }) if fault.says("VersionMismatch") => Ok(answer.words()),
        Ok(Envelope { payload: Payload::Fault(_), .. }) => weak(answer.words()),
        Ok(Envelope { version: Some(Version::V11), .. }) => Ok(format!("answered in SOAP 1.1: {}", answer.words())),
        Ok(_) => bad(format!("answered in another version: {}", answer.words())),
        Err(_) if answer.status >= 400 => weak(answer.words()),
        Err(_) => bad(answer.words()),
    }
}

/// 400 for what is the sender's fault, 500 for the others; many stacks say 500 always.
pub fn fault_status(case: &Case<'_>) -> Judged {
    let fault = case.fault()?;
    let status = case.answer()?.status;
    let expected = if fault.code == "Sender" { 400 } else { 500 };
    match status {
        status if status == expected => Ok(format!("HTTP {status} for {}", fault.code)),
        400..600 => weak(format!("HTTP {status} for {}", fault.code)),
        _ => bad(format!("HTTP {status} for a fault")),
    }
}

/// One of the two actions of faults.
pub fn fault_action(case: &Case<'_>) -> Judged {
    case.fault()?;
    match case.envelope()?.action.as_deref() {
        Some(action) if FAULT_ACTIONS.contains(&action) => Ok(action.to_owned()),
        Some(action) => bad(shown(action)),
        None => bad("no wsa:Action"),
    }
}

/// The MessageID of the request, in a fault.
pub fn fault_relates_to(case: &Case<'_>) -> Judged {
    case.fault()?;
    relates(case.envelope()?, &case.asked.message_id)
}
