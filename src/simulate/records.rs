//! Made-up records: patients of the NHS number's test range, metadata as rich as a hospital's,
//! octets for documents of any size.

use crate::model::metadata::build::{self, Code};
use crate::model::rim::{ObjectId, RegistryObject, Slot};
use crate::model::vocabulary::{APPROVED, SUBMISSION_SET_NODE, identifier, scheme, slot};
use crate::store::Content;

/// The NHS number's assigning authority.
pub const NHS_NUMBER: &str = "2.16.840.1.113883.2.1.4.1";
/// Below which unique ids are made: an example arc, no registered one.
pub const ARC: &str = "2.999.826.9";
const SNOMED: &str = "2.16.840.1.113883.6.96";

/// The n-th patient of a domain, in CX form: a number of the range 999, which belongs to nobody,
/// with its check digit.
pub fn patient(number: u32, domain: &str) -> String {
    let number = number % 100_000;
    // A number without a valid check digit makes way for one of the next hundred thousand.
    let nine = (0..10_u32).map(|shift| 999_000_000 + shift * 100_000 + number).find_map(|nine| {
        let sum: u32 = (2..=10).map(|weight| nine / 10_u32.pow(weight - 2) % 10 * weight).sum();
        let check = (11 - sum % 11) % 11;
        (check != 10).then(|| u64::from(nine) * 10 + u64::from(check))
    });
    format!("{}^^^&{domain}&ISO", nine.unwrap_or(9_990_000_000))
}

fn code(code: &str, display: &str, scheme: &str) -> Code {
    Code { code: code.to_owned(), display: display.to_owned(), scheme: scheme.to_owned() }
}

/// What differs from one document to the next.
#[derive(Debug, Clone)]
pub struct Document {
    /// DocumentEntry.uniqueId
    pub unique_id: String,
    /// DocumentEntry.mimeType
    pub mime_type: &'static str,
    /// hash, size and repositoryUniqueId: set by the repository, so only for ITI-42.
    pub stored: Option<(Content, String)>,
}

/// A DocumentEntry with every attribute that is usual, in codes of the sample code file.
pub fn entry(id: ObjectId<'static>, patient: &str, document: &Document, kind: usize) -> RegistryObject<'static> {
    const KINDS: [(&str, &str, &str, &str); 4] = [
        ("373942005", "Discharge summary", "373942005", "Discharge summary"),
        ("823751000000102", "Letter", "824331000000106", "Inpatient final discharge letter"),
        ("823651000000106", "Clinical note", "773093006", "Emergency department encounter report"),
        ("721981007", "Diagnostic studies report", "823731000000109", "Transfer of care letter"),
    ];
    let (class, class_display, kind_code, kind_display) = KINDS.get(kind % KINDS.len()).copied().unwrap_or(KINDS[0]);
    let mut entry = build::document_entry(id, document.mime_type);
    let common = &mut entry.common;
    common.status = Some(APPROVED.into());
    common.names = build::name(format!("{kind_display}, ward {}", kind + 1));
    common.slots = vec![
        Slot::single(slot::CREATION_TIME, "20260401093000"),
        Slot::single(slot::LANGUAGE_CODE, "en-GB"),
        Slot::single(slot::SERVICE_START_TIME, "20260328"),
        Slot::single(slot::SERVICE_STOP_TIME, "20260401"),
        Slot::single(slot::SOURCE_PATIENT_ID, patient.to_owned()),
        Slot::list(
            slot::SOURCE_PATIENT_INFO,
            [format!("PID-3|{patient}"), "PID-5|Sample^Patient^^^".into(), "PID-7|19540721".into(), "PID-8|F".into()],
        ),
        Slot::single(slot::LEGAL_AUTHENTICATOR, "C1234567^Author^Sample^^^Dr^^^&2.999.826.9.7&ISO"),
    ];
    if let Some((content, repository)) = &document.stored {
        common.slots.extend([
            Slot::single(slot::HASH, content.hash()),
            Slot::single(slot::SIZE, content.size.to_string()),
            Slot::single(slot::REPOSITORY_UNIQUE_ID, repository.clone()),
        ]);
    }
    entry.classifications = vec![
        author(scheme::ENTRY_AUTHOR),
        build::code(scheme::CLASS_CODE, &code(class, class_display, SNOMED)),
        build::code(scheme::CONFIDENTIALITY_CODE, &code("N", "normal", "2.16.840.1.113883.5.25")),
        build::code(
            scheme::FORMAT_CODE,
            &code("urn:ihe:iti:xds:2017:mimeTypeSufficient", "mimeType Sufficient", "1.3.6.1.4.1.19376.1.2.3"),
        ),
        build::code(scheme::FACILITY_TYPE_CODE, &code("22232009", "Hospital", SNOMED)),
        build::code(scheme::PRACTICE_SETTING_CODE, &code("789718008", "Cardiology service", SNOMED)),
        build::code(scheme::TYPE_CODE, &code(kind_code, kind_display, SNOMED)),
        build::code(scheme::EVENT_CODE, &code("ECG", "Electrocardiography", "1.2.840.10008.2.6.1")),
    ];
    entry.identifiers = vec![
        build::external_identifier(identifier::ENTRY_PATIENT_ID, patient.to_owned()),
        build::external_identifier(identifier::ENTRY_UNIQUE_ID, document.unique_id.clone()),
    ];
    entry
}

fn author(scheme: &'static str) -> crate::model::rim::Classification<'static> {
    build::author(
        scheme,
        &[
            (slot::AUTHOR_PERSON, "C1234567^Author^Sample^^^Dr^^^&2.999.826.9.7&ISO"),
            (slot::AUTHOR_INSTITUTION, "Sample Hospital^^^^^&2.999.826.9.8&ISO^^^^RBE01"),
            (slot::AUTHOR_ROLE, "Consultant"),
            (slot::AUTHOR_SPECIALTY, "Cardiology"),
        ],
    )
}

/// A whole submission: SubmissionSet, entries, memberships. `next_id` names the objects.
pub fn submission(
    patient: &str,
    set_unique_id: &str,
    documents: &[Document],
    mut next_id: impl FnMut(usize) -> ObjectId<'static>,
) -> Vec<RegistryObject<'static>> {
    let set_id = next_id(0);
    let mut set = build::package(set_id.clone(), SUBMISSION_SET_NODE);
    set.common.status = Some(APPROVED.into());
    set.common.slots = vec![Slot::single(slot::SUBMISSION_TIME, "20260401101500")];
    set.common.names = build::name("Sample submission");
    set.classifications.extend([
        author(scheme::SET_AUTHOR),
        build::code(scheme::CONTENT_TYPE_CODE, &code("32485007", "Hospital admission", SNOMED)),
    ]);
    set.identifiers = vec![
        build::external_identifier(identifier::SET_PATIENT_ID, patient.to_owned()),
        build::external_identifier(identifier::SET_UNIQUE_ID, set_unique_id.to_owned()),
        build::external_identifier(identifier::SET_SOURCE_ID, format!("{ARC}.1")),
    ];
    let mut objects = vec![set];
    for (number, document) in documents.iter().enumerate() {
        let id = next_id(2 * number + 1);
        objects.push(entry(id.clone(), patient, document, number));
        objects.push(build::original(next_id(2 * number + 2), set_id.clone(), id));
    }
    objects
}

/// Octets that do not repeat within a mebibyte and cannot be compressed much: an LCG's.
pub fn octets(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    out.truncate(length);
    out
}
