//! W3C Trace Context: which trace a request belongs to, from whoever asks to whomever is asked.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::actors::context::Trace;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Octets of a `tracestate` that are carried on; the recommendation asks for 512 at least.
const LONGEST_STATE: usize = 512;

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)) {
        return None;
    }
    let mut octets = [0; N];
    for (octet, at) in octets.iter_mut().zip((0..2 * N).step_by(2)) {
        *octet = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    // All zeros is no id (Trace Context §3.2.2.3, §3.2.2.4).
    octets.iter().any(|octet| *octet != 0).then_some(octets)
}

/// Reads a `traceparent` (§3.2); of later versions, the part that all of them have.
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], u8)> {
    let mut fields = text.trim().splitn(5, '-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_version = version.len() == 2 && u8::from_str_radix(version, 16).is_ok() && version != "ff";
    if !is_version || (version == "00" && fields.next().is_some()) || flags.len() != 2 {
        return None;
    }
    Some((hex(trace)?, hex(parent)?, u8::from_str_radix(flags, 16).ok()?))
}

/// Whether a text is a `traceparent`.
pub(super) fn is_parent(text: &str) -> bool {
    parse(text).is_some()
}

/// The trace of a request: the one its headers name, or a new one by its correlation id.
pub fn of(headers: &HeaderMap, correlation_id: &str) -> Trace {
    let given = headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?));
    match given {
        Some((id, parent, flags)) => {
            let state = headers.get(TRACESTATE).filter(|state| state.len() <= LONGEST_STATE);
            let state = state.and_then(|state| state.to_str().ok()).map(Into::into);
            Trace { id, parent: Some(parent), span: new_span(), sampled: flags & 1 == 1, state }
        }
        None => {
            let id = hex(correlation_id).unwrap_or_else(|| uuid::Uuid::new_v4().into_bytes());
            Trace { id, parent: None, span: new_span(), sampled: false, state: None }
        }
    }
}

/// An id for a span.
pub fn new_span() -> [u8; 8] {
    let random = uuid::Uuid::new_v4().into_bytes();
    let mut span = [0; 8];
    // The last eight octets: six bits of the first are fixed.
    span.copy_from_slice(random.get(8..).unwrap_or(&[1; 8]));
    span
}

/// Puts a trace into the headers of a request that belongs to it, under a span of its own.
pub fn carry(trace: &Trace, span: [u8; 8], headers: &mut HeaderMap) {
    let text = format!("00-{}-{}-{:02x}", trace.id_hex(), crate::store::hex(&span), u8::from(trace.sampled));
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(TRACEPARENT, value);
    }
    if let Some(value) = trace.state.as_deref().and_then(|state| HeaderValue::from_str(state).ok()) {
        headers.insert(TRACESTATE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_trace_goes_on_under_a_new_span() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(GIVEN));
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        let trace = of(&headers, ID);
        assert_eq!(trace.id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(trace.span, trace.parent.unwrap());
        let mut sent = HeaderMap::new();
        carry(&trace, [1; 8], &mut sent);
        assert_eq!(sent[TRACEPARENT], "00-4bf92f3577b34da6a3ce929d0e0e4736-0101010101010101-01");
        assert_eq!(sent[TRACESTATE], "vendor=1");
    }

    #[test]
    fn without_one_the_correlation_id_is_the_trace() {
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_str(wrong).unwrap());
            assert_eq!(of(&headers, ID).id_hex(), ID, "{wrong}");
        }
        let later = format!("{}-more", GIVEN.replacen("00", "01", 1));
        assert!(parse(&later).is_some());
    }
}
