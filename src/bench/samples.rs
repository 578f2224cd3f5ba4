//! What the benches register and ask for: patients of the NHS number's test range, metadata as
//! rich as a hospital's, documents of any size.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memchr::memmem;

use super::BenchError;
use super::load::{Prepared, Traffic};
use crate::model::document::DocumentRequest;
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::build::{self, Code};
use crate::model::rim::{ObjectId, RegistryObject, Slot};
use crate::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use crate::model::vocabulary::{APPROVED, SUBMISSION_SET_NODE, identifier, scheme, slot};
use crate::store::Content;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::answer;
use crate::wire::mtom::MultipartWriter;
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::{ebrs, xdsb};

/// The NHS number's assigning authority.
pub const NHS_NUMBER: &str = "2.16.840.1.113883.2.1.4.1";
/// Below which the benches make their unique ids: an example arc, no registered one.
const ARC: &str = "2.999.826.9";
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
            [format!("PID-3|{patient}"), "PID-5|Bench^Patient^^^".into(), "PID-7|19540721".into(), "PID-8|F".into()],
        ),
        Slot::single(slot::LEGAL_AUTHENTICATOR, "C1234567^Author^Bench^^^Dr^^^&2.999.826.9.7&ISO"),
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
            (slot::AUTHOR_PERSON, "C1234567^Author^Bench^^^Dr^^^&2.999.826.9.7&ISO"),
            (slot::AUTHOR_INSTITUTION, "Bench Hospital^^^^^&2.999.826.9.8&ISO^^^^RBE01"),
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
    set.common.names = build::name("Bench submission");
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

/// The n-th submission of a loading run, as a registry receives it: `documents` entries about one
/// patient, registered as if the repository `repository` held their bytes.
pub fn registration(patient: &str, number: u32, documents: u32, repository: &str) -> Vec<RegistryObject<'static>> {
    let documents: Vec<Document> = (0..documents)
        .map(|document| {
            let unique_id = format!("{ARC}.2.{number}.{document}");
            let content = Content { sha256: [0; 32], sha1: [7; 20], crc32: 0, size: 50_000 };
            Document { unique_id, mime_type: "application/pdf", stored: Some((content, repository.to_owned())) }
        })
        .collect();
    submission(patient, &format!("{ARC}.3.{number}"), &documents, |_| EntryUuid::random().into())
}

fn envelope(transaction: &Transaction, to: &str, message_id: &str, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let addressing = Addressing {
        action: Some(transaction.action.to_owned()),
        message_id: Some(message_id.to_owned()),
        to: Some(to.to_owned()),
        reply_to: Some(soap::ANONYMOUS.to_owned()),
        ..Addressing::default()
    };
    answer::envelope(Version::V12, &addressing, None, payload)
}

/// FindDocuments for a patient's approved entries (ITI-18, or ITI-38 with a home).
pub fn find_documents(patient: &str, return_type: &str, home: Option<&str>) -> AdhocQuery {
    AdhocQuery {
        id: QueryDefinition::of(QueryKind::FindDocuments).id.to_owned(),
        home: home.map(str::to_owned),
        return_type: Some(return_type.to_owned()),
        slots: vec![
            Slot::single("$XDSDocumentEntryPatientId", format!("'{patient}'")),
            Slot::single("$XDSDocumentEntryStatus", format!("('{APPROVED}')")),
        ],
    }
}

/// The HTTP request of a query.
pub fn query_request(transaction: TransactionId, to: &str, query: &AdhocQuery) -> Prepared {
    let transaction = Transaction::of(transaction);
    let body = envelope(transaction, to, &soap::new_message_id(), |out| ebrs::write_query(out, query));
    Prepared {
        content_type: format!("application/soap+xml; charset=UTF-8; action=\"{}\"", transaction.action),
        body: vec![body.into()],
    }
}

/// The HTTP request of a retrieve.
///
/// # Errors
/// Never: the boundary is made here.
pub fn retrieve_request(
    transaction: TransactionId,
    to: &str,
    requests: &[DocumentRequest],
) -> Result<Prepared, BenchError> {
    let transaction = Transaction::of(transaction);
    let root = envelope(transaction, to, &soap::new_message_id(), |out| xdsb::write_retrieve(out, requests));
    let writer = writer()?;
    let body = [writer.root_part().as_ref(), &root, &writer.close()].concat();
    Ok(Prepared { content_type: writer.content_type(Some(transaction.action)), body: vec![body.into()] })
}

fn writer() -> Result<MultipartWriter, BenchError> {
    let token = answer::message_token();
    MultipartWriter::new(format!("MIMEBoundary_{token}"), format!("root.{token}@causeway"))
        .map_err(|error| BenchError::failed(error.to_string()))
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

/// Stands in the prepared submission where each one has its own number.
const HOLE: &str = "177777777777";
/// Octets at the beginning of a document that are its own: its run's number and its own.
const OWN: usize = HOLE.len() + 10;

/// ITI-41 submissions of one document each, prepared but for what must differ: ids and content.
pub struct Submissions {
    content_type: String,
    /// Everything before the document; the number goes into the holes.
    head: Vec<u8>,
    holes: Vec<usize>,
    /// The document behind its first octets, which are those of its number.
    document: Bytes,
    close: Bytes,
    next: AtomicU64,
}

impl Submissions {
    /// A document of `size` octets, without those that make each one its own.
    ///
    /// # Errors
    /// When the size leaves no room for them.
    pub fn document(size: usize) -> Result<Bytes, BenchError> {
        let rest = size.checked_sub(OWN);
        let rest = rest.ok_or_else(|| BenchError::failed(format!("a document has {OWN} bytes at least")))?;
        Ok(octets(rest, 1).into())
    }

    /// Prepares submissions of such documents for a patient.
    ///
    /// # Errors
    /// Never: boundary and ids are made here.
    pub fn new(to: &str, patient: &str, document: Bytes) -> Result<Self, BenchError> {
        let transaction = Transaction::of(TransactionId::ProvideAndRegisterDocumentSet);
        // Unlike any other run's against the same registry.
        let run = u32::from_be_bytes(EntryUuid::random().0.first_chunk().copied().unwrap_or_default());
        let unique_id = |kind: u32| format!("{ARC}.{kind}.{run}.{HOLE}");
        let entry = Document { unique_id: unique_id(4), mime_type: "application/pdf", stored: None };
        let names = ["set", "document", "membership"];
        let objects = submission(patient, &unique_id(5), &[entry], |number| {
            ObjectId::Symbol(names.get(number).copied().unwrap_or("other").into())
        });
        let writer = writer()?;
        let content_id = "1.document@causeway";
        let message_id = format!("urn:uuid:{run:08x}-0000-4000-8000-{HOLE}");
        let root = envelope(transaction, to, &message_id, |out| {
            xdsb::write_provide(out, &objects, &[("document".to_owned(), content_id.to_owned())]);
        });
        let part = writer
            .document_part(content_id, "application/pdf")
            .map_err(|error| BenchError::failed(error.to_string()))?;
        let head =
            [writer.root_part().as_ref(), &root, &part, HOLE.as_bytes(), format!("{run:010}").as_bytes()].concat();
        let holes = memmem::find_iter(&head, HOLE).collect();
        let content_type = writer.content_type(Some(transaction.action));
        Ok(Self { content_type, head, holes, document, close: writer.close(), next: AtomicU64::new(0) })
    }
}

impl Traffic for Submissions {
    fn next(&self) -> Prepared {
        // Twelve digits, none of them a leading zero: they stand in OIDs too.
        let number = format!("{:012}", 100_000_000_000 + self.next.fetch_add(1, Ordering::Relaxed) % 1_000_000_000);
        let mut head = self.head.clone();
        for hole in &self.holes {
            if let Some(hole) = head.get_mut(*hole..*hole + HOLE.len()) {
                hole.copy_from_slice(number.as_bytes());
            }
        }
        Prepared {
            content_type: self.content_type.clone(),
            body: vec![head.into(), self.document.clone(), self.close.clone()],
        }
    }
}

/// The patient id of a CX text that the benches made themselves.
///
/// # Errors
/// When the domain is no OID.
pub fn patient_id(cx: &str) -> Result<PatientId, BenchError> {
    PatientId::parse(cx).map_err(|error| BenchError::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Profile;
    use crate::validate::codes::CodeSet;
    use crate::validate::submission::judge;
    use crate::wire::xml::{Document, Limits};
    use std::collections::HashSet;

    fn codes() -> CodeSet {
        CodeSet::parse(include_str!("../../samples/codes.xml")).unwrap()
    }

    #[test]
    fn patients_are_many_and_have_check_digits() {
        let patients: HashSet<_> = (0..5000).map(|n| patient(n, NHS_NUMBER)).collect();
        assert_eq!(patients.len(), 5000);
        for cx in patients {
            let digits: Vec<u32> = cx.chars().map_while(|c| c.to_digit(10)).collect();
            assert_eq!(digits.len(), 10);
            let sum: u32 = digits.iter().zip((1..=10).rev()).map(|(digit, weight)| digit * weight).sum();
            // The check digit has weight 1, so the whole is divisible by 11.
            assert_eq!(sum % 11, 0, "{digits:?}");
            patient_id(&cx).unwrap();
        }
    }

    #[test]
    fn what_is_registered_keeps_the_rules() {
        let objects = registration(&patient(7, NHS_NUMBER), 7, 20, "2.999.1");
        assert_eq!(objects.len(), 41);
        if let Err(errors) = judge(objects, Profile::Register, Some(&codes())) {
            panic!("{errors:?}");
        }
    }

    #[test]
    fn what_is_provided_keeps_the_rules_and_differs_each_time() {
        let traffic =
            Submissions::new("https://localhost/x", &patient(1, NHS_NUMBER), Submissions::document(50_000).unwrap())
                .unwrap();
        let bodies = [traffic.next(), traffic.next()].map(|prepared| prepared.body.concat());
        assert_ne!(bodies[0], bodies[1]);
        assert_eq!(bodies[0].len(), bodies[1].len());
        for body in bodies {
            let (start, end) = (memmem::find(&body, b"<env:Envelope"), memmem::find(&body, b"</env:Envelope>"));
            let (start, end) = (start.unwrap(), end.unwrap() + "</env:Envelope>".len());
            let text = std::str::from_utf8(&body[start..end]).unwrap();
            let document = Document::parse(text, Limits::default()).unwrap();
            let envelope = soap::read(&document).unwrap();
            let provide = xdsb::read_provide(envelope.payload).unwrap();
            assert_eq!(provide.documents.len(), 1);
            let mut objects = provide.submit.objects;
            for (name, value) in [
                (slot::REPOSITORY_UNIQUE_ID, "2.999.1"),
                (slot::SIZE, "0"),
                (slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ] {
                // What the repository fills in.
                objects[1].common.set_slot(name, value);
            }
            if let Err(errors) = judge(objects, Profile::Register, Some(&codes())) {
                panic!("{errors:?}");
            }
        }
    }

    #[test]
    fn too_small_a_document_is_refused() {
        assert!(Submissions::document(3).is_err());
    }
}
