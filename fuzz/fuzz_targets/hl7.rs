//! Identifiers, times and the data types of slot values.
#![no_main]

use causeway::model::hl7;
use causeway::model::ids::{EntryUuid, HomeCommunityId, Oid, PatientId, RepositoryUniqueId, UniqueId};
use causeway::model::time::Dtm;
use libfuzzer_sys::fuzz_target;

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fuzz_target!(|text: &str| {
    let (text, other) = text.split_once('\0').unwrap_or((text, ""));
    assert_eq!(hl7::unescape(&hl7::escape(text)), text);
    let _ = hl7::unescape(text);
    for judge in [hl7::cxi, hl7::xcn, hl7::xon, hl7::xtn, hl7::recipient, hl7::language, hl7::mime] {
        let _ = judge(text);
    }
    assert_eq!(hl7::size(text).is_ok(), digits(text) && text.parse::<u64>().is_ok() && text.len() < 20);
    assert!(hl7::sha1(text).is_err() || text.chars().count() == 40);
    if hl7::source_patient_info(text).is_ok() {
        let field = text.strip_prefix("PID-").and_then(|rest| rest.split_once('|')).map(|(number, _)| number);
        assert!(field.is_some_and(digits), "{field:?}");
    }
    if hl7::mime(text).is_ok() {
        assert!(text.is_ascii() && text.matches('/').count() == 1);
    }

    if let Ok(patient) = PatientId::parse(text) {
        let again = PatientId::parse(&patient.to_cx()).expect("a CX is one");
        assert_eq!(again, patient);
        assert!(hl7::cx(text).is_ok());
    }
    if let Ok(oid) = Oid::parse(other)
        && !text.is_empty()
    {
        let patient = PatientId::new(text, oid).expect("an identifier");
        assert_eq!(PatientId::parse(&patient.to_cx()).expect("a CX is one"), patient);
    }
    if let Ok(oid) = Oid::parse(text) {
        assert_eq!(oid.as_str(), text);
        assert!(text.split('.').all(|arc| digits(arc) && (arc == "0" || !arc.starts_with('0'))));
        assert_eq!(HomeCommunityId::parse_lenient(text).expect("an OID").oid(), text);
        assert!(RepositoryUniqueId::parse(text).is_ok() && UniqueId::parse(text).is_ok());
    }
    if let Ok(home) = HomeCommunityId::parse(text) {
        assert_eq!(HomeCommunityId::parse(home.as_str()), Ok(home.clone()));
        assert!(Oid::parse(home.oid()).is_ok());
    }
    if let Ok(uuid) = EntryUuid::parse(text) {
        assert_eq!(uuid.to_string(), text.to_ascii_lowercase());
    }

    if let Ok(a) = Dtm::parse(text) {
        assert_eq!(a.as_str(), text);
        assert!(digits(text) && a.not_after(&a));
        let filled = std::str::from_utf8(a.earliest()).expect("digits");
        assert_eq!(Dtm::parse(filled).expect("a time").earliest(), a.earliest());
        if let Ok(b) = Dtm::parse(other) {
            // Numbers in the order of time.
            let number = |dtm: &Dtm| std::str::from_utf8(dtm.earliest()).ok().and_then(|t| t.parse::<u64>().ok());
            assert_eq!(a.earliest().cmp(b.earliest()), number(&a).cmp(&number(&b)));
            assert!(a.not_after(&b) || b.not_after(&a));
        }
    }
});
