//! One file per transaction: what is its own between the pipeline's steps.

pub mod iti18;
pub mod iti38;
pub mod iti39;
pub mod iti41;
pub mod iti42;
pub mod iti43;
pub mod iti51;
pub mod iti55;
pub mod iti56;
pub mod iti57;
pub mod iti61;
pub mod iti62;
pub mod iti63;
pub mod iti80;
pub mod iti86;
pub mod iti92;
pub mod refused;

use std::collections::HashSet;

use bytes::Bytes;

use super::pipeline::Actors;
use crate::actors::context::RequestContext;
use crate::actors::document_provide::HOME_SLOT;
use crate::model::audit_event::{
    AuditEvent, AuditOutcome, AuditedDocument, AuditedQuery, AuditedSubmissionSet, Exchange, ParticipantObject,
};
use crate::model::discovery::Revocation;
use crate::model::document::{RetrieveResponse, RetrievedDocument};
use crate::model::fetch::FetchResponse;
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, RegistryResponse, ResponseStatus, Severity};
use crate::model::rim::{RegistryObject, Slot};
use crate::model::stored_query::{AdhocQuery, Kind, QueryDefinition, ReturnType};
use crate::transaction::{Service, TransactionId};
use crate::wire::ebrs::{self, BodyError};
use crate::wire::hl7v3::{self, ReceivedQuery};
use crate::wire::soap::Fault;
use crate::wire::xcpd;
use crate::wire::xdsb::{self, Binary, RawDocumentRequest};
use crate::wire::xml::Node;

/// What an endpoint works with.
pub struct Scope<'a> {
    /// The actors.
    pub actors: &'a Actors,
    /// The request's context.
    pub context: &'a RequestContext,
    /// Where it came in.
    pub service: Service,
    /// Bound of one retrieve.
    pub documents_per_retrieve: usize,
}

/// A document of a submission: the id of its entry, and where its bytes are.
#[derive(Debug, Clone)]
pub struct ProvidedDocument {
    /// `xds:Document/@id`
    pub id: String,
    /// Inline base64, or the `href` of an `xop:Include`.
    pub content: Binary<'static>,
}

/// The body of ITI-41 and ITI-80.
pub struct Provide {
    /// `rs:RequestSlotList`
    pub slots: Vec<Slot<'static>>,
    /// `xdr:homeCommunityBlock`s of its header.
    pub home_blocks: Vec<String>,
    /// The metadata.
    pub objects: Vec<RegistryObject<'static>>,
    /// The documents it announces.
    pub documents: Vec<ProvidedDocument>,
}

/// A request's body, owned.
pub enum Payload {
    /// ITI-18, ITI-38
    Query(AdhocQuery),
    /// ITI-42, 57, 61, 92
    Submit(Vec<RegistryObject<'static>>),
    /// ITI-41, ITI-80
    Provide(Provide),
    /// ITI-63
    Fetch(AdhocQuery),
    /// ITI-43, ITI-39
    Retrieve(Vec<RawDocumentRequest>),
    /// ITI-55
    Discovery(Box<ReceivedQuery>),
    /// ITI-55, what was told taken back
    Revocation(Box<Revocation>),
    /// ITI-56
    Location(PatientId),
    /// ITI-62
    RemoveMetadata(Vec<EntryUuid>),
    /// ITI-86
    RemoveDocuments(Vec<RawDocumentRequest>),
}

impl Payload {
    /// The same once more, where the answer is made while it is sent and asking again changes nothing.
    pub fn repeatable(&self) -> Option<Self> {
        match self {
            Self::Retrieve(requests) => Some(Self::Retrieve(requests.clone())),
            Self::Fetch(query) => Some(Self::Fetch(query.clone())),
            _ => None,
        }
    }

    /// The same with what belongs to it in the message's headers.
    #[must_use]
    pub fn with_headers(self, home_blocks: Vec<String>) -> Self {
        match self {
            Self::Provide(provide) => Self::Provide(Provide { home_blocks, ..provide }),
            other => other,
        }
    }
}

impl Provide {
    /// The communities that it names, by header and by slot (§3.80.4.1.2).
    pub fn homes(&self) -> Vec<String> {
        let slots = self.slots.iter().filter(|slot| slot.name == HOME_SLOT).flat_map(|slot| &slot.values);
        let slots = slots.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        self.home_blocks.iter().cloned().chain(slots).collect()
    }
}

/// What a transaction answers.
pub enum Answer {
    /// Submissions, updates, removals
    Registry(RegistryResponse),
    /// ITI-18, ITI-38, ITI-51
    Query(QueryResponse, ReturnType),
    /// ITI-43, ITI-39
    Retrieve(RetrieveResponse),
    /// ITI-63
    Fetch(FetchResponse),
    /// ITI-55
    Discovery(Box<iti55::Reply>),
    /// ITI-56
    Location(iti56::Reply),
}

impl Answer {
    /// A failure of one error, in the form of the transaction.
    pub fn failure(transaction: TransactionId, error: RegistryError) -> Self {
        match transaction {
            TransactionId::RegistryStoredQuery
            | TransactionId::CrossGatewayQuery
            | TransactionId::MultiPatientStoredQuery => {
                Self::Query(QueryResponse::failure(vec![error]), ReturnType::LeafClass)
            }
            TransactionId::CrossGatewayRetrieve | TransactionId::RetrieveDocumentSet => {
                Self::Retrieve(RetrieveResponse::failure(vec![error]))
            }
            TransactionId::CrossGatewayFetch => Self::Fetch(FetchResponse::failure(vec![error])),
            // These have no list of errors; what cannot be read of them is a fault before it comes here.
            TransactionId::CrossGatewayPatientDiscovery
            | TransactionId::CorrelationRevocation
            | TransactionId::PatientLocationQuery => Self::Discovery(Box::default()),
            TransactionId::ProvideAndRegisterDocumentSet
            | TransactionId::CrossGatewayDocumentProvide
            | TransactionId::RegisterDocumentSet
            | TransactionId::UpdateDocumentSet
            | TransactionId::RegisterOnDemandDocumentEntry
            | TransactionId::RemoveMetadata
            | TransactionId::RemoveDocuments
            | TransactionId::RestrictedUpdateDocumentSet => Self::Registry(RegistryResponse::from_errors(vec![error])),
        }
    }

    /// Its status.
    pub fn status(&self) -> ResponseStatus {
        match self {
            Self::Registry(response) => response.status,
            Self::Query(response, _) => response.status,
            Self::Retrieve(response) => response.status(),
            Self::Fetch(response) => response.answer.status,
            Self::Discovery(reply) if reply.refusal().is_some() => ResponseStatus::Failure,
            Self::Discovery(_) | Self::Location(_) => ResponseStatus::Success,
        }
    }

    /// Why it is none, where the transaction has no list of errors: a code.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Discovery(reply) => reply.refusal(),
            _ => None,
        }
    }

    /// Its errors and warnings.
    pub fn errors(&self) -> &[RegistryError] {
        match self {
            Self::Registry(response) => &response.errors,
            Self::Query(response, _) => &response.errors,
            Self::Retrieve(response) => &response.errors,
            Self::Fetch(response) => &response.answer.errors,
            Self::Discovery(_) | Self::Location(_) => &[],
        }
    }

    /// The codes of its errors, not of warnings, for the log: contexts may name a patient.
    pub fn error_codes(&self) -> String {
        let errors = self.errors().iter().filter(|error| error.severity == Severity::Error);
        let mut codes: Vec<&str> = errors.map(|error| error.code.without_their_words()).chain(self.refusal()).collect();
        codes.dedup();
        codes.join(",")
    }

    /// Whether documents are drawn from somewhere while it is sent.
    pub fn streams(&self) -> bool {
        match self {
            Self::Retrieve(response) => !response.sources.is_empty(),
            Self::Fetch(response) => !response.sources.is_empty(),
            _ => false,
        }
    }

    /// The documents it gives.
    pub fn retrieved(&self) -> &[RetrievedDocument] {
        match self {
            Self::Retrieve(response) => &response.documents,
            _ => &[],
        }
    }
}

/// The code for a body whose frame is wrong (framework §15 of the transactions' reading).
pub fn frame_error(transaction: TransactionId) -> ErrorCode {
    match transaction {
        TransactionId::RegistryStoredQuery
        | TransactionId::CrossGatewayQuery
        | TransactionId::MultiPatientStoredQuery
        | TransactionId::CrossGatewayPatientDiscovery
        | TransactionId::CorrelationRevocation
        | TransactionId::PatientLocationQuery
        | TransactionId::CrossGatewayFetch
        | TransactionId::RemoveMetadata => ErrorCode::XDSRegistryError,
        TransactionId::RegisterDocumentSet
        | TransactionId::UpdateDocumentSet
        | TransactionId::RegisterOnDemandDocumentEntry
        | TransactionId::RestrictedUpdateDocumentSet => ErrorCode::XDSRegistryMetadataError,
        TransactionId::ProvideAndRegisterDocumentSet | TransactionId::CrossGatewayDocumentProvide => {
            ErrorCode::XDSRepositoryMetadataError
        }
        TransactionId::RetrieveDocumentSet | TransactionId::CrossGatewayRetrieve | TransactionId::RemoveDocuments => {
            ErrorCode::XDSRepositoryError
        }
    }
}

/// The code for a request that finds no place: a document's is the repository's, at gateways too
/// (ITI TF-3 Table 4.2.4.1-2).
pub fn busy_error(transaction: TransactionId) -> ErrorCode {
    match transaction {
        TransactionId::ProvideAndRegisterDocumentSet
        | TransactionId::CrossGatewayDocumentProvide
        | TransactionId::CrossGatewayFetch
        | TransactionId::RetrieveDocumentSet
        | TransactionId::CrossGatewayRetrieve
        | TransactionId::RemoveDocuments => ErrorCode::XDSRepositoryBusy,
        TransactionId::RegistryStoredQuery
        | TransactionId::CrossGatewayQuery
        | TransactionId::MultiPatientStoredQuery
        | TransactionId::CrossGatewayPatientDiscovery
        | TransactionId::CorrelationRevocation
        | TransactionId::PatientLocationQuery
        | TransactionId::RegisterDocumentSet
        | TransactionId::RegisterOnDemandDocumentEntry
        | TransactionId::UpdateDocumentSet
        | TransactionId::RestrictedUpdateDocumentSet
        | TransactionId::RemoveMetadata => ErrorCode::XDSRegistryBusy,
    }
}

/// Whether a transaction's answer can tell errors of the registry.
pub fn has_error_list(transaction: TransactionId) -> bool {
    !matches!(
        transaction,
        TransactionId::CrossGatewayPatientDiscovery
            | TransactionId::CorrelationRevocation
            | TransactionId::PatientLocationQuery
    )
}

/// What is said instead of an answer where a transaction has no list of errors: in its own way if
/// it has one, else by a fault.
///
/// # Errors
/// The fault.
pub fn too_busy(payload: Payload) -> Result<Option<Answer>, Fault> {
    match payload {
        Payload::Discovery(received) => Ok(Some(Answer::Discovery(Box::new(iti55::Reply::busy(*received))))),
        Payload::Location(_) | Payload::Revocation(_) => {
            Err(Fault::receiver("Too many requests are under way; send it again in a moment.").with_status(503))
        }
        _ => Ok(None),
    }
}

/// Reads a body into its owned form.
///
/// # Errors
/// When its frame, or an object in it, is not as the schema wants it.
pub fn read(transaction: TransactionId, payload: Node<'_, '_>) -> Result<Payload, BodyError> {
    match transaction {
        TransactionId::RegistryStoredQuery
        | TransactionId::CrossGatewayQuery
        | TransactionId::MultiPatientStoredQuery => Ok(Payload::Query(ebrs::read_query(payload)?)),
        TransactionId::CrossGatewayFetch => Ok(Payload::Fetch(ebrs::read_query(payload)?)),
        TransactionId::CrossGatewayPatientDiscovery => Ok(Payload::Discovery(Box::new(hl7v3::read_request(payload)?))),
        TransactionId::CorrelationRevocation => Ok(Payload::Revocation(Box::new(hl7v3::read_revocation(payload)?))),
        TransactionId::PatientLocationQuery => Ok(Payload::Location(xcpd::read_location_request(payload)?)),
        TransactionId::RemoveMetadata => Ok(Payload::RemoveMetadata(ebrs::read_remove(payload)?)),
        TransactionId::RemoveDocuments => Ok(Payload::RemoveDocuments(xdsb::read_retrieve(payload)?)),
        TransactionId::RegisterDocumentSet
        | TransactionId::UpdateDocumentSet
        | TransactionId::RegisterOnDemandDocumentEntry
        | TransactionId::RestrictedUpdateDocumentSet => Ok(Payload::Submit(
            ebrs::read_submit(payload)?.objects.into_iter().map(RegistryObject::into_owned).collect(),
        )),
        TransactionId::ProvideAndRegisterDocumentSet | TransactionId::CrossGatewayDocumentProvide => {
            let provide = xdsb::read_provide(payload)?;
            let documents = provide.documents.into_iter().map(|(id, content)| ProvidedDocument {
                id: id.into_owned(),
                content: match content {
                    Binary::Inline(text) => Binary::Inline(text.into_owned().into()),
                    Binary::Include(href) => Binary::Include(href.into_owned().into()),
                },
            });
            Ok(Payload::Provide(Provide {
                slots: provide.submit.slots.into_iter().map(Slot::into_owned).collect(),
                home_blocks: Vec::new(),
                documents: documents.collect(),
                objects: provide.submit.objects.into_iter().map(RegistryObject::into_owned).collect(),
            }))
        }
        TransactionId::RetrieveDocumentSet | TransactionId::CrossGatewayRetrieve => {
            Ok(Payload::Retrieve(xdsb::read_retrieve(payload)?))
        }
    }
}

/// What audit records say of a request's content.
#[derive(Clone)]
pub enum AuditFacts {
    /// Of a query.
    Query {
        /// The query itself; absent when it could not be read.
        query: Option<AuditedQuery>,
        /// The patients asked about, in CX form.
        patients: Vec<String>,
    },
    /// Of a submission.
    Submission {
        /// SubmissionSet.uniqueId
        set: Option<AuditedSubmissionSet>,
        /// patientIds in CX form.
        patients: Vec<String>,
    },
    /// Of a retrieve.
    Retrieve(Vec<AuditedDocument>),
    /// Of a query for patients, or for where they are.
    Patients {
        /// The query itself; absent when it could not be read.
        query: Option<AuditedQuery>,
        /// The patients found or asked about, in CX form.
        patients: Vec<String>,
    },
    /// Of a removal: the objects, or the documents.
    Removal(Vec<ParticipantObject>),
}

/// A query longer than this is audited by its beginning: the trail bounds its records.
const MAX_AUDITED_QUERY: usize = 1 << 20;

fn audited_request(mut request: String) -> Bytes {
    if request.len() > MAX_AUDITED_QUERY {
        let mut end = MAX_AUDITED_QUERY;
        while !request.is_char_boundary(end) {
            end -= 1;
        }
        request.truncate(end);
    }
    request.into()
}

/// Gathers the facts of a request.
pub fn facts(payload: Option<&Payload>, node: Node<'_, '_>) -> AuditFacts {
    match payload {
        Some(Payload::Query(query) | Payload::Fetch(query)) => query_facts(query, audited_request(node.fragment())),
        Some(Payload::Discovery(received)) => iti55::facts(received),
        Some(Payload::Revocation(revocation)) => iti55::revocation_facts(revocation),
        Some(Payload::Location(patient)) => iti56::facts(patient, audited_request(node.fragment())),
        Some(Payload::Submit(objects)) => submission_facts(objects),
        Some(Payload::Provide(provide)) => submission_facts(&provide.objects).for_home(provide.homes().pop()),
        Some(Payload::Retrieve(requests)) => AuditFacts::Retrieve(requests.iter().map(audited).collect()),
        Some(Payload::RemoveMetadata(uuids)) => {
            let removed = |uuid: &EntryUuid| ParticipantObject::RemovedObject(uuid.to_string());
            AuditFacts::Removal(uuids.iter().map(removed).collect())
        }
        Some(Payload::RemoveDocuments(requests)) => AuditFacts::Removal(
            requests.iter().map(|request| ParticipantObject::RemovedDocument(audited(request))).collect(),
        ),
        None => AuditFacts::of_no_request(node.local()),
    }
}

fn audited(request: &RawDocumentRequest) -> AuditedDocument {
    AuditedDocument {
        unique_id: request.unique_id.clone(),
        repository_unique_id: Some(request.repository.clone()),
        home_community_id: request.home.clone(),
    }
}

impl AuditFacts {
    /// Of a request that could not be read, by the name of its root element.
    pub fn of_no_request(root: &str) -> Self {
        match root {
            "AdhocQueryRequest" => Self::Query { query: None, patients: Vec::new() },
            "RetrieveDocumentSetRequest" => Self::Retrieve(Vec::new()),
            "RemoveObjectsRequest" | "RemoveDocumentsRequest" => Self::Removal(Vec::new()),
            hl7v3::REQUEST | hl7v3::REVOCATION | xcpd::LOCATION_REQUEST => {
                Self::Patients { query: None, patients: Vec::new() }
            }
            _ => Self::Submission { set: None, patients: Vec::new() },
        }
    }

    /// The same of a submission that is for a community (Cross-Community Document Reliable Interchange §3.80.5.1).
    #[must_use]
    pub fn for_home(mut self, home: Option<String>) -> Self {
        if let Self::Submission { set: Some(set), .. } = &mut self {
            set.home_community_id = home;
        }
        self
    }

    /// The same, with the patients whom the answer tells of (§3.55.5.1).
    #[must_use]
    pub fn with_answer(self, answer: &Answer) -> Self {
        match (self, answer) {
            (Self::Patients { query, patients }, Answer::Discovery(reply)) => {
                Self::Patients { query, patients: reply.patients().unwrap_or(patients) }
            }
            (facts, _) => facts,
        }
    }
}

/// The facts of a query, with its request element as sent.
pub fn query_facts(query: &AdhocQuery, request: Bytes) -> AuditFacts {
    AuditFacts::Query {
        query: Some(AuditedQuery::new(query.id.clone(), request, query.home.clone())),
        patients: patients_of(query),
    }
}

/// Patients of one query that are named in its record; a list of more is read in the query itself.
const MOST_AUDITED_PATIENTS: usize = 1000;

/// The patients that a query names, each once, also when it is not as it should be.
fn patients_of(query: &AdhocQuery) -> Vec<String> {
    let Some(parameter) = QueryDefinition::of_any(&query.id).and_then(|definition| {
        definition.parameters.iter().find(|parameter| matches!(parameter.kind, Kind::Patient | Kind::Patients))
    }) else {
        return Vec::new();
    };
    let mut seen = HashSet::new();
    let unquoted = |text: &str| text.trim().trim_matches('\'').trim().replace("''", "'");
    let values = query.slots.iter().filter(|slot| slot.name == parameter.name).flat_map(|slot| &slot.values);
    match parameter.kind {
        // No comma stands in an identifier that a list could be made of (ITI TF-3 Table 4.2.3.1.7-2).
        Kind::Patients => values
            .flat_map(|value| value.trim().trim_start_matches('(').trim_end_matches(')').split(','))
            .map(unquoted)
            .filter(|patient| !patient.is_empty() && seen.insert(patient.clone()))
            .take(MOST_AUDITED_PATIENTS)
            .collect(),
        _ => values.take(1).map(|value| unquoted(value)).collect(),
    }
}

/// The facts of a submission.
pub fn submission_facts(objects: &[RegistryObject<'_>]) -> AuditFacts {
    let set = objects.iter().find(|object| object.noun() == Noun::SubmissionSet);
    let id = set
        .and_then(|set| set.unique_id().map(str::to_owned).or_else(|| set.common.id.as_ref().map(ToString::to_string)));
    let mut patients: Vec<String> =
        objects.iter().filter_map(|object| object.patient_id().map(str::to_owned)).collect();
    patients.sort();
    patients.dedup();
    AuditFacts::Submission { set: id.map(|id| AuditedSubmissionSet { id, home_community_id: None }), patients }
}

impl AuditFacts {
    /// The patients, in CX form.
    pub fn patients(&self) -> Vec<String> {
        match self {
            Self::Query { patients, .. } | Self::Submission { patients, .. } | Self::Patients { patients, .. } => {
                patients.clone()
            }
            Self::Retrieve(_) | Self::Removal(_) => Vec::new(),
        }
    }

    /// One event about all of it.
    pub fn event(&self, exchange: Exchange) -> AuditEvent {
        match self {
            Self::Query { query, .. } => AuditEvent::query(exchange, query.clone()),
            Self::Patients { query, .. } => AuditEvent::patient_query(exchange, query.clone()),
            Self::Submission { set, .. } => AuditEvent::submission(exchange, set.clone()),
            Self::Retrieve(documents) => AuditEvent::retrieve(exchange, documents.iter().cloned()),
            Self::Removal(objects) => AuditEvent::removal(exchange, objects.iter().cloned()),
        }
    }

    /// The events of an outcome: two when it is mixed (ITI TF-2 §3.18.5.1, §3.43.6.1).
    pub fn events(
        &self,
        exchange: Exchange,
        status: ResponseStatus,
        errors: &[RegistryError],
        retrieved: &[RetrievedDocument],
    ) -> Vec<AuditEvent> {
        // Codes only: a codeContext may name the patient, who is in the record already.
        let first = errors.iter().find(|error| error.severity == Severity::Error);
        let description = first.map(|error| error.code.without_their_words().to_owned());
        let failed = |exchange: Exchange| Exchange {
            outcome: AuditOutcome::SeriousFailure,
            outcome_description: description.clone().or(exchange.outcome_description),
            ..exchange
        };
        match (status, self) {
            (ResponseStatus::Success, _) => vec![self.event(exchange)],
            (ResponseStatus::Failure, _) => vec![self.event(failed(exchange))],
            (ResponseStatus::PartialSuccess, Self::Retrieve(documents)) => {
                let given = |document: &AuditedDocument| {
                    retrieved.iter().any(|r| r.request.unique_id.as_str() == document.unique_id)
                };
                let (there, missing): (Vec<_>, Vec<_>) = documents.iter().cloned().partition(given);
                vec![AuditEvent::retrieve(exchange.clone(), there), AuditEvent::retrieve(failed(exchange), missing)]
            }
            (ResponseStatus::PartialSuccess, Self::Removal(objects)) => {
                let refused = |object: &ParticipantObject| match object {
                    ParticipantObject::RemovedDocument(document) => errors.iter().any(|error| {
                        // Of one uniqueId at two repositories only the foreign one's is refused for that.
                        let repository = document.repository_unique_id.as_deref().unwrap_or_default();
                        error.location.as_deref() == Some(document.unique_id.as_str())
                            && (error.code != ErrorCode::XDSUnknownRepositoryId || error.context.contains(repository))
                    }),
                    _ => false,
                };
                let (left, gone): (Vec<_>, Vec<_>) = objects.iter().cloned().partition(refused);
                vec![AuditEvent::removal(exchange.clone(), gone), AuditEvent::removal(failed(exchange), left)]
            }
            (ResponseStatus::PartialSuccess, _) => {
                self.event(exchange).partial_success(description.clone().unwrap_or_default()).into()
            }
        }
    }
}
