//! Every bound has a name, a safe default and its reason, in one table.
//!
//! The rows make the fields of [`Limits`], their defaults, the keys of `[limits]`, the ranges
//! that are accepted, and the comments of the file that `causeway init` writes.

use std::time::Duration;

use super::raw::Section;
use super::units;

/// One row of the table, for documentation and for the default file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// The key in `[limits]`.
    pub name: &'static str,
    /// The default as it is written in the file.
    pub default: String,
    /// What is bounded.
    pub about: &'static str,
}

/// A kind of bound: how it is read from the configuration and written back.
pub(super) trait Bound: Copy + PartialOrd {
    fn read(section: &mut Section<'_>, key: &'static str, default: Self, min: Self, max: Self) -> Self;
    fn written(self) -> String;
}

/// Numbers are sizes or counts: the name tells which, as it does for the reader.
fn is_size(key: &str) -> bool {
    key.ends_with("_bytes") || key == "minimum_rate"
}

impl Bound for u64 {
    fn read(section: &mut Section<'_>, key: &'static str, default: Self, min: Self, max: Self) -> Self {
        if is_size(key) { section.size(key, default, min, max) } else { section.count(key, default, min, max) }
    }

    fn written(self) -> String {
        self.to_string()
    }
}

impl Bound for usize {
    fn read(section: &mut Section<'_>, key: &'static str, default: Self, min: Self, max: Self) -> Self {
        let wide = |n: Self| u64::try_from(n).unwrap_or(u64::MAX);
        let read = u64::read(section, key, wide(default), wide(min), wide(max));
        Self::try_from(read).unwrap_or(max)
    }

    fn written(self) -> String {
        self.to_string()
    }
}

impl Bound for Duration {
    fn read(section: &mut Section<'_>, key: &'static str, default: Self, min: Self, max: Self) -> Self {
        section.duration(key, default, min, max)
    }

    fn written(self) -> String {
        format!("\"{}\"", units::exact_duration(self))
    }
}

macro_rules! limits {
    ($( #[doc = $about:literal] $name:ident: $kind:ty = $default:expr, $min:expr => $max:expr; )*) => {
        /// The bounds of the broker (`[limits]`).
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $( #[doc = $about] pub $name: $kind, )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        impl Limits {
            /// The table itself: names, defaults and what they bound, in order.
            pub fn rows() -> Vec<LimitRow> {
                vec![$( LimitRow {
                    name: stringify!($name),
                    default: written::<$kind>(stringify!($name), $default),
                    about: $about.trim_ascii(),
                }, )*]
            }

            pub(super) fn read(section: &mut Section<'_>) -> Self {
                Self { $( $name: <$kind as Bound>::read(section, stringify!($name), $default, $min, $max), )* }
            }
        }
    };
}

fn written<B: Bound>(name: &str, value: B) -> String {
    let plain = value.written();
    match plain.parse() {
        Ok(bytes) if is_size(name) => format!("\"{}\"", units::exact_size(bytes)),
        _ => plain,
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

limits! {
    /// Connections open at the same time, over all listeners.
    connections: usize = 10_000, 1 => 1_000_000;
    /// Request line and header block of one request.
    header_bytes: usize = 32 * KIB, KIB => 8 * MIB;
    /// Header lines of one request.
    headers: usize = 100, 10 => 10_000;
    /// Time for a TLS handshake, and for the next request's headers; so long an idle connection is kept.
    header_timeout: Duration = seconds(20), seconds(1) => seconds(600);
    /// Longest silence within a body that is being received.
    body_idle_timeout: Duration = seconds(30), seconds(1) => seconds(3600);
    /// Slowest body that is received, in bytes per second over its whole length.
    minimum_rate: u64 = 1024, 0 => GIB;
    /// How long a receiver may take nothing of an answer before it is given up.
    write_stall: Duration = seconds(30), seconds(1) => seconds(3600);
    /// SOAP envelope of a request, without its attachments.
    envelope_bytes: usize = 10 * MIB, 64 * KIB => 1024 * MIB;
    /// Memory for all requests' envelopes together; one below 64 KiB needs none of it.
    all_envelopes_bytes: usize = 512 * MIB, MIB => 1024 * 1024 * MIB;
    /// Time for a whole envelope.
    envelope_timeout: Duration = seconds(60), seconds(1) => seconds(3600);
    /// Nesting of XML elements.
    xml_depth: usize = 64, 24 => 1_000;
    /// XML elements of one message.
    xml_elements: usize = 500_000, 1_000 => 100_000_000;
    /// Attributes of one XML element, namespace declarations included.
    xml_attributes: usize = 128, 16 => 10_000;
    /// Namespaces declared in one message.
    xml_namespaces: usize = 256, 16 => 10_000;
    /// Bytes of one XML name.
    xml_name_bytes: usize = KIB, 128 => MIB;
    /// Bytes of one XML attribute value.
    xml_value_bytes: usize = 64 * KIB, KIB => 16 * MIB;
    /// Parts of one MTOM message, the SOAP root among them.
    mime_parts: usize = 1_000, 2 => 1_000_000;
    /// Header block of one MIME part.
    part_header_bytes: usize = 16 * KIB, KIB => MIB;
    /// MIME boundary; RFC 2046 ends at 70.
    boundary_bytes: usize = 70, 1 => 70;
    /// One document, on the way in and on the way through.
    document_bytes: u64 = 2 * GIB, 1024 => 1024 * GIB;
    /// Disk for documents of several communities in one answer, over all answers; beyond, an error names who has no room.
    spool_bytes: u64 = 16 * GIB, MIB as u64 => 4096 * GIB;
    /// All of one submission.
    submission_bytes: u64 = 4 * GIB, 64 * 1024 => 4096 * GIB;
    /// Values of one stored query's parameter.
    query_values: usize = 1_000, 1 => 1_000_000;
    /// Objects in one query's answer, ours or a peer's; more is an error that names this bound.
    results: usize = 5_000, 1 => 10_000_000;
    /// Documents asked for in one retrieve request.
    documents_per_retrieve: usize = 1_000, 1 => 1_000_000;
    /// Submissions being received at the same time.
    in_flight_submissions: usize = 64, 1 => 100_000;
    /// Requests being worked on at the same time; more are told to come back later.
    in_flight: usize = 512, 1 => 1_000_000;
    /// Those of them that are for emergencies alone, where a listener names whose there may be; a quarter at most.
    emergency_reserve: usize = 16, 0 => 1_000_000;
    /// The same of submissions.
    emergency_submissions: usize = 2, 0 => 100_000;
    /// Requests that wait for one of those places; more are told at once.
    admission_queue: usize = 1_024, 0 => 1_000_000;
    /// Those of one caller, so that none fills the queue.
    admission_queue_of_one: usize = 256, 0 => 1_000_000;
    /// How long one waits.
    admission_wait: Duration = Duration::from_millis(150), seconds(0) => seconds(60);
    /// How long one of emergency treatment waits.
    emergency_wait: Duration = seconds(2), seconds(0) => seconds(60);
    /// Time for a whole query over all communities; who has not answered by then is named missing.
    request_deadline: Duration = seconds(25), seconds(1) => seconds(3600);
    /// Time until every community asked has begun to deliver its documents.
    retrieve_deadline: Duration = seconds(25), seconds(1) => seconds(3600);
    /// Time that requests in progress get when the broker stops.
    drain: Duration = seconds(30), seconds(0) => seconds(3600);
    /// SOAP envelope of a peer's answer; a peer may have four of them under way.
    peer_response_bytes: usize = 10 * MIB, 64 * KIB => 1024 * MIB;
    /// Requests that wait for one peer, beyond those under way to it (`max_in_flight`); more are told at once.
    peer_queue: usize = 64, 0 => 100_000;
    /// Submissions on their way to one peer (ITI-80), in places of their own, `max_in_flight` at most.
    peer_submissions: usize = 16, 1 => 100_000;
    /// Requests to a peer in any case, however slow it is; as many as its `max_in_flight` keep their number fixed.
    peer_floor: usize = 4, 1 => 100_000;
    /// Calls to a peer without an answer, one after the other, after which it is not asked for a while.
    breaker_failures: usize = 5, 1 => 1_000_000;
    /// Time after which such a call no longer counts with the next one.
    breaker_window: Duration = seconds(30), seconds(1) => seconds(3600);
    /// How long it is not asked then; a single request tries again after that.
    breaker_pause: Duration = seconds(10), seconds(1) => seconds(3600);
    /// Documents of other communities whose hash and size are remembered from answers, to be held against what is retrieved.
    fingerprints: usize = 100_000, 0 => 100_000_000;
    /// Requests to the gateways that are remembered with what was done for each community (`causeway explain`).
    explained_requests: usize = 1_000, 0 => 1_000_000;
    /// Patients whose identifier at another community is remembered, over all communities.
    correlations: usize = 100_000, 2 => 10_000_000;
    /// How long one is remembered whose community does not say how long it may be; 0 asks each time.
    correlation_ttl: Duration = seconds(0), seconds(0) => seconds(30 * 86_400);
    /// How long one is remembered at most.
    correlation_longest: Duration = seconds(86_400), seconds(0) => seconds(366 * 86_400);
    /// How long it is remembered that a community does not know a patient.
    correlation_negative: Duration = seconds(60), seconds(0) => seconds(86_400);
    /// How long other communities may remember an identifier that we gave them; 0 does not say.
    correlation_offer: Duration = seconds(86_400), seconds(0) => seconds(366 * 86_400);
    /// Patients of whom it is remembered which communities hold nothing (`[locator]`).
    located_patients: usize = 50_000, 0 => 10_000_000;
    /// Patients of whom one community is remembered to have told its identifier by itself (feed, late answers).
    told_correlations: usize = 10_000, 0 => 10_000_000;
    /// How long a question to a peer with exchange = "deferred" is remembered, and its answer taken.
    deferred_questions: Duration = seconds(3600), seconds(0) => seconds(30 * 86_400);
    /// Requests whose answers go elsewhere (wsa:ReplyTo) and are not delivered yet; more are told to come back.
    asynchronous_requests: usize = 128, 1 => 100_000;
    /// Calls to peers whose answers are sent to us (exchange = "asynchronous", "deferred") and are not here yet.
    awaited_answers: usize = 4_096, 1 => 1_000_000;
    /// Tries to deliver an answer that goes elsewhere.
    delivery_tries: usize = 3, 1 => 100;
    /// Pause after the first of them; it doubles from one to the next.
    delivery_pause: Duration = seconds(2), Duration::from_millis(100) => seconds(3600);
    /// Time from its request until such an answer is delivered or given up.
    delivery_deadline: Duration = seconds(600), seconds(1) => seconds(86_400);
    /// Spans waiting for their collector (`[telemetry]`); more are dropped, and counted in /metrics.
    telemetry_queue: usize = 20_000, 1 => 10_000_000;
    /// Audit messages waiting to be written; who finds the queue full waits.
    audit_queue_bytes: usize = 32 * MIB, 8 * MIB => 1024 * MIB;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_the_default_is() {
        let rows = Limits::rows();
        let default_of =
            |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.default.clone()).unwrap_or_default();
        assert_eq!(default_of("document_bytes"), "\"2 GiB\"");
        assert_eq!(default_of("minimum_rate"), "\"1 KiB\"");
        assert_eq!(default_of("boundary_bytes"), "\"70 B\"");
        assert_eq!(default_of("request_deadline"), "\"25s\"");
        assert_eq!(default_of("results"), "5000");
        assert!(rows.iter().all(|row| row.about.ends_with('.')));
    }
}
