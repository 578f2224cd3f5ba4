//! What XCPD adds of its own: Patient Location Query (ITI TF-2 §3.56), and the SOAP header that says
//! how long a correlation may be kept (§3.55.4.1.2).

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::ebrs::BodyError;
use super::xml::{Node, Ns, push_attr, push_text};
use crate::model::discovery::PatientLocation;
use crate::model::ids::{HomeCommunityId, Oid, PatientId};
use crate::model::vocabulary::ns;

/// Local name of the request's root.
pub const LOCATION_REQUEST: &str = "PatientLocationQueryRequest";

/// Local name of the answer's root.
pub const LOCATION_RESPONSE: &str = "PatientLocationQueryResponse";

/// A duration longer than this in characters is none.
const MAX_DURATION: usize = 64;

fn child<'d, 'a>(node: Node<'d, 'a>, name: &'static str, missing: &'static str) -> Result<Node<'d, 'a>, BodyError> {
    node.child(Ns::Xcpd, name).ok_or(BodyError::Frame(missing))
}

fn patient(node: Node<'_, '_>) -> Result<PatientId, BodyError> {
    let half = |name| node.attr(name).unwrap_or_default().trim().to_owned();
    Oid::parse(&half("root"))
        .and_then(|authority| PatientId::new(&half("extension"), authority))
        .map_err(|_| BodyError::Frame("a patient id needs a root that is an OID, and an extension"))
}

fn write_patient(out: &mut Vec<u8>, name: &str, id: &PatientId) {
    out.extend_from_slice(format!("<xcpd:{name} root=\"{}\" extension=\"", id.authority()).as_bytes());
    push_attr(out, id.id());
    out.extend_from_slice(b"\"/>");
}

/// Reads `xcpd:PatientLocationQueryRequest` (§3.56.4.1.2): the patient whose data is looked for.
///
/// # Errors
/// When it is no such request, or names nobody.
pub fn read_location_request(node: Node<'_, '_>) -> Result<PatientId, BodyError> {
    if !node.is(Ns::Xcpd, LOCATION_REQUEST) {
        return Err(BodyError::Frame("xcpd:PatientLocationQueryRequest is required here"));
    }
    patient(child(node, "RequestedPatientId", "PatientLocationQueryRequest needs a RequestedPatientId")?)
}

/// Writes `xcpd:PatientLocationQueryRequest`.
pub fn write_location_request(out: &mut Vec<u8>, id: &PatientId) {
    out.extend_from_slice(format!("<xcpd:{LOCATION_REQUEST} xmlns:xcpd=\"{}\">", ns::XCPD).as_bytes());
    write_patient(out, "RequestedPatientId", id);
    out.extend_from_slice(format!("</xcpd:{LOCATION_REQUEST}>").as_bytes());
}

/// Reads `xcpd:PatientLocationQueryResponse` (§3.56.4.2.2). One without locations is taken, although
/// the schema wants at least one: there is no other way to say that there are none.
///
/// # Errors
/// When it is no such answer, or a location in it cannot be relied on.
pub fn read_location_response(node: Node<'_, '_>) -> Result<Vec<PatientLocation>, BodyError> {
    if !node.is(Ns::Xcpd, LOCATION_RESPONSE) {
        return Err(BodyError::Frame("xcpd:PatientLocationQueryResponse is required here"));
    }
    let locations = node.children().filter(|location| location.is(Ns::Xcpd, "PatientLocationResponse"));
    locations
        .map(|location| {
            let home = child(location, "HomeCommunityId", "PatientLocationResponse needs a HomeCommunityId")?;
            let home = HomeCommunityId::parse_lenient(home.text_ref().trim())
                .map_err(|_| BodyError::Frame("HomeCommunityId is urn:oid: and an OID"))?;
            let id = "PatientLocationResponse needs a CorrespondingPatientId";
            Ok(PatientLocation { home, id: patient(child(location, "CorrespondingPatientId", id)?)? })
        })
        .collect()
}

/// Writes `xcpd:PatientLocationQueryResponse`.
pub fn write_location_response(out: &mut Vec<u8>, requested: &PatientId, locations: &[PatientLocation]) {
    out.extend_from_slice(format!("<xcpd:{LOCATION_RESPONSE} xmlns:xcpd=\"{}\">", ns::XCPD).as_bytes());
    for location in locations {
        out.extend_from_slice(b"<xcpd:PatientLocationResponse><xcpd:HomeCommunityId>");
        push_text(out, location.home.as_str());
        out.extend_from_slice(b"</xcpd:HomeCommunityId>");
        write_patient(out, "CorrespondingPatientId", &location.id);
        write_patient(out, "RequestedPatientId", requested);
        out.extend_from_slice(b"</xcpd:PatientLocationResponse>");
    }
    out.extend_from_slice(format!("</xcpd:{LOCATION_RESPONSE}>").as_bytes());
}

/// The SOAP header block `xcpd:CorrelationTimeToLive`; never mustUnderstand.
pub fn time_to_live(duration: Duration) -> String {
    format!(
        "<xcpd:CorrelationTimeToLive xmlns:xcpd=\"{}\">PT{}S</xcpd:CorrelationTimeToLive>",
        ns::XCPD,
        duration.as_secs()
    )
}

/// When a correlation that came with this `xs:duration` ends; months and years are those of the
/// calendar from its receipt on. One that is zero or negative has ended; what is no duration says
/// nothing.
pub fn expiry(duration: &str, received: Timestamp) -> Option<Timestamp> {
    let duration = duration.trim();
    // The parser takes durations of other kinds as well.
    if duration.len() > MAX_DURATION || !duration.trim_start_matches('-').starts_with('P') {
        return None;
    }
    let span: Span = duration.parse().ok()?;
    if span.is_zero() || span.is_negative() {
        return Some(received);
    }
    // One that leads beyond all calendars has no end that matters.
    Some(received.to_zoned(TimeZone::UTC).checked_add(span).map_or(Timestamp::MAX, |end| end.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::xml::{Document, Limits};

    fn id(extension: &str, root: &str) -> PatientId {
        PatientId::new(extension, Oid::parse(root).unwrap()).unwrap()
    }

    #[test]
    fn what_is_asked_and_answered_is_read_again() {
        let asked = id("a'&\"<1", "2.999.2.3");
        let mut out = Vec::new();
        write_location_request(&mut out, &asked);
        let text = String::from_utf8(out).unwrap();
        let document = Document::parse(&text, Limits::default()).unwrap();
        assert_eq!(read_location_request(document.root()).unwrap(), asked);
        let home = HomeCommunityId::parse("urn:oid:2.999.6").unwrap();
        for locations in [vec![], vec![PatientLocation { home, id: id("A1", "2.999.6.3") }; 2]] {
            let mut out = Vec::new();
            write_location_response(&mut out, &asked, &locations);
            let text = String::from_utf8(out).unwrap();
            let document = Document::parse(&text, Limits::default()).unwrap();
            assert_eq!(read_location_response(document.root()).unwrap(), locations);
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let patient = "<p:RequestedPatientId root='2.999.1' extension='1'/>";
        for (body, good) in [
            (patient.to_owned(), true),
            (String::new(), false),
            (patient.replace("2.999.1", "x"), false),
            (patient.replace("extension='1'", ""), false),
        ] {
            let text = format!("<p:{LOCATION_REQUEST} xmlns:p='{}'>{body}</p:{LOCATION_REQUEST}>", ns::XCPD);
            let document = Document::parse(&text, Limits::default()).unwrap();
            assert_eq!(read_location_request(document.root()).is_ok(), good, "{body}");
        }
    }

    #[test]
    fn durations() {
        let received: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (duration, expected) in [
            ("P0Y0M7D", Some("2026-02-07T12:00:00Z")),
            (" PT90S ", Some("2026-01-31T12:01:30Z")),
            ("P1M", Some("2026-02-28T12:00:00Z")),
            ("P1Y", Some("2027-01-31T12:00:00Z")),
            ("PT0S", Some("2026-01-31T12:00:00Z")),
            ("-P1D", Some("2026-01-31T12:00:00Z")),
            ("P9998Y", Some(&*Timestamp::MAX.to_string())),
            ("7 days", None),
            ("P", None),
            ("7D", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(expiry(duration, received), expected, "{duration}");
        }
        let written = time_to_live(Duration::from_secs(90));
        let document = Document::parse(&written, Limits::default()).unwrap();
        assert!(document.root().is(Ns::Xcpd, "CorrelationTimeToLive"));
        assert_eq!(document.root().text(), "PT90S");
    }
}
