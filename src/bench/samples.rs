//! What the benches register and ask for: the made-up records of [`crate::simulate::records`],
//! submissions and queries about them.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memchr::memmem;

use super::BenchError;
use super::load::{Prepared, Traffic};
use crate::model::document::DocumentRequest;
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::rim::{ObjectId, RegistryObject, Slot};
use crate::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use crate::model::vocabulary::APPROVED;
use crate::simulate::records::ARC;
pub use crate::simulate::records::{Document, NHS_NUMBER, octets, patient, submission};
use crate::store::Content;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::answer;
use crate::wire::mtom::MultipartWriter;
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::{ebrs, xdsb};

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
    use crate::model::vocabulary::slot;
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
