//! W3C Trace Context in envelopes, for what stands between two stacks and takes HTTP headers away. No
//! standard has a rule for it; the blocks are those of OpenTelemetry's WCF instrumentation. HTTP's word counts
//! where both are there.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};

use super::trace_context::{TRACEPARENT, TRACESTATE, is_parent};
use crate::wire::soap::{self, TraceHeader};

/// The headers of a request with the trace that its envelope names, if they name none.
pub fn with_envelopes<'h>(headers: &'h HeaderMap, trace: Option<&TraceHeader>) -> Cow<'h, HeaderMap> {
    let told = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).is_some_and(is_parent);
    let Some(trace) = trace.filter(|trace| !told && is_parent(&trace.parent)) else { return Cow::Borrowed(headers) };
    let mut both = headers.clone();
    // A state belongs to its parent: never one of HTTP to one of the envelope.
    both.remove(TRACESTATE);
    for (name, text) in [(TRACEPARENT, Some(&trace.parent)), (TRACESTATE, trace.state.as_ref())] {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
            both.insert(name, value);
        }
    }
    Cow::Owned(both)
}

/// Puts the trace of a request's headers into its envelope.
pub fn put(headers: &HeaderMap, envelope: &mut Vec<u8>) {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    if let Some(parent) = text(TRACEPARENT) {
        soap::put_trace(envelope, &TraceHeader { parent, state: text(TRACESTATE) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::trace_context::of;

    const HTTP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const SOAP: &str = "00-11111111111111111111111111111111-2222222222222222-00";
    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn the_word_of_http_counts_and_what_is_none_does_not() {
        let soap = |parent: &str| Some(TraceHeader { parent: parent.to_owned(), state: Some("soap=1".to_owned()) });
        for (http, envelope, id, state) in [
            (Some(HTTP), soap(SOAP), &HTTP[3..35], Some("http=1")),
            (Some(HTTP), None, &HTTP[3..35], Some("http=1")),
            (None, soap(SOAP), &SOAP[3..35], Some("soap=1")),
            (Some("00-nothing"), soap(SOAP), &SOAP[3..35], Some("soap=1")),
            (None, soap("00-nothing"), ID, None),
            (None, soap("00-\u{7}"), ID, None),
            (None, None, ID, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACESTATE, HeaderValue::from_static("http=1"));
            if let Some(http) = http {
                headers.insert(TRACEPARENT, http.parse().unwrap());
            }
            let trace = of(&with_envelopes(&headers, envelope.as_ref()), ID);
            assert_eq!((trace.id_hex().as_str(), trace.state.as_deref()), (id, state), "{http:?} {envelope:?}");
        }
    }
}
