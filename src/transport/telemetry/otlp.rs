//! The messages of OTLP that we send and read (opentelemetry-proto 1.x, `trace/v1`, `collector/trace/v1`): the
//! fields that we use, by their numbers there.

use prost::{Message, Oneof};

/// `ExportTraceServiceRequest`
#[derive(Clone, PartialEq, Message)]
pub struct ExportRequest {
    /// Spans by what made them.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// `ExportTraceServiceResponse`
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// What was not taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`; its message is the collector's own and not read.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// Spans that were not taken.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
}

/// `ResourceSpans`
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// What made them.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Spans by which part of it made them.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// `Resource`
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// What it is.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// `ScopeSpans`
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// Which part made them.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// The spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// `InstrumentationScope`
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `Span`
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// Sixteen octets.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// Eight octets.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// Eight octets; none for the first of a trace.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// What was done.
    #[prost(string, tag = "5")]
    pub name: String,
    /// `SpanKind`
    #[prost(enumeration = "Kind", tag = "6")]
    pub kind: i32,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start: u64,
    /// The same of its end.
    #[prost(fixed64, tag = "8")]
    pub end: u64,
    /// More of it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// What took no time.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// How it ended.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    /// `SpanFlags`: the trace flags, and whether the parent is known to be elsewhere.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// `SpanKind`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Not said.
    Unspecified = 0,
    /// Inside of this broker.
    Internal = 1,
    /// A request to us.
    Server = 2,
    /// A request of ours.
    Client = 3,
}

/// `Span.Event`
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "1")]
    pub at: u64,
    /// What happened.
    #[prost(string, tag = "2")]
    pub name: String,
    /// More of it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

/// `Status`
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// `StatusCode`: 0 not said, 1 good, 2 an error.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// `KeyValue`
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// `AnyValue`
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// One of its kinds.
    #[prost(oneof = "Value", tags = "1, 5")]
    pub value: Option<Value>,
}

/// The kinds of values that we use.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// A text.
    #[prost(string, tag = "1")]
    Text(String),
    /// Several values.
    #[prost(message, tag = "5")]
    List(List),
}

/// `ArrayValue`
#[derive(Clone, PartialEq, Message)]
pub struct List {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

impl AnyValue {
    fn text(text: &str) -> Self {
        Self { value: Some(Value::Text(text.to_owned())) }
    }
}

impl KeyValue {
    /// A text under a name.
    pub fn text(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: Some(AnyValue::text(value)) }
    }

    /// Several texts under a name.
    pub fn texts<'t>(key: &str, values: impl IntoIterator<Item = &'t str>) -> Self {
        let values = values.into_iter().map(AnyValue::text).collect();
        Self { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::List(List { values })) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the definitions have it, octet by octet.
    #[test]
    fn a_span_is_written_as_the_definitions_have_it() {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            name: "ITI-18".to_owned(),
            kind: Kind::Server.into(),
            start: 1,
            end: 2,
            attributes: vec![KeyValue::text("k", "v")],
            events: vec![Event { at: 3, name: "e".to_owned(), attributes: Vec::new() }],
            status: Some(Status { code: 2 }),
            flags: 1,
        };
        let mut expected = vec![0x0a, 16];
        expected.extend([1; 16]);
        expected.extend([0x12, 8]);
        expected.extend([2; 8]);
        expected.extend([0x22, 8]);
        expected.extend([3; 8]);
        expected.extend(b"\x2a\x06ITI-18\x30\x02");
        expected.extend(b"\x39\x01\0\0\0\0\0\0\0\x41\x02\0\0\0\0\0\0\0");
        expected.extend(b"\x4a\x08\x0a\x01k\x12\x03\x0a\x01v");
        expected.extend(b"\x5a\x0c\x09\x03\0\0\0\0\0\0\0\x12\x01e");
        expected.extend(b"\x7a\x02\x18\x02\x85\x01\x01\0\0\0");
        assert_eq!(span.encode_to_vec(), expected);
        let list = KeyValue::texts("c", ["a", "b"]).encode_to_vec();
        assert_eq!(list, b"\x0a\x01c\x12\x0c\x2a\x0a\x0a\x03\x0a\x01a\x0a\x03\x0a\x01b");
        // An answer: three spans were not taken, and why.
        let answer = ExportResponse::decode(&b"\x0a\x06\x08\x03\x12\x02no"[..]).unwrap();
        assert_eq!(answer.partial_success.unwrap().rejected_spans, 3);
    }
}
