//! What happened, in the terms of the audit standard (ITI TF-2 §3.20, DICOM PS3.15 A.5).
//!
//! An [`AuditEvent`] is made where a transaction ends, on both sides of it and whatever its outcome. Three shapes
//! cover the transactions, because the standard has three patterns of who plays source and who plays destination:
//!
//! | shape | transactions | source (110153) | destination (110152) |
//! |---|---|---|---|
//! | [`AuditEvent::query`], [`AuditEvent::patient_query`] | ITI-18, 38, 55, 56, 63 | requester | responder |
//! | [`AuditEvent::submission`] | ITI-41, 42, 80 | requester | responder |
//! | [`AuditEvent::retrieve`] | ITI-39, 43 | responder, the data flows from it | requester |
//!
//! The codes of a transaction come in from the transaction table as [`AuditCodes`]; nothing here branches on a
//! transaction number. Events of the node itself (start, stop, a peer that failed to authenticate) have their own
//! constructors.
//!
//! Not here: XML (the wire's), when an event is due and where it is kept (the actors' and the store's).
//! `Debug` of these types never shows a patient, a person or a query.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;

/// EventActionCode: what was done to the objects (DICOM PS3.15 A.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventAction {
    /// C, something new was made here.
    Create,
    /// R, something was read, printed or sent.
    Read,
    /// U, something was changed.
    Update,
    /// D, something was deleted.
    Delete,
    /// E, a query or another function was performed.
    Execute,
}

impl EventAction {
    /// The one-letter code of the standard.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Create => "C",
            Self::Read => "R",
            Self::Update => "U",
            Self::Delete => "D",
            Self::Execute => "E",
        }
    }
}

/// EventOutcomeIndicator: how it ended (DICOM PS3.15 A.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditOutcome {
    /// 0, also with warnings.
    Success,
    /// 4, the request can be repeated or was answered in part by our own choice.
    MinorFailure,
    /// 8, refused, failed or timed out.
    SeriousFailure,
    /// 12, could not even be understood, or the process is in trouble.
    MajorFailure,
}

impl AuditOutcome {
    /// The number of the standard.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::MinorFailure => 4,
            Self::SeriousFailure => 8,
            Self::MajorFailure => 12,
        }
    }
}

/// A coded value with its code system and its text for people (DICOM PS3.15 A.5.1, CodedValueType).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCode {
    /// The code.
    pub code: Cow<'static, str>,
    /// Name of the code system, or its OID when it has no name.
    pub system: Cow<'static, str>,
    /// Text for people; the code itself when nothing better is known.
    pub display: Cow<'static, str>,
}

impl AuditCode {
    /// A code of the DICOM controlled terminology (PS3.16, codeSystemName `DCM`).
    #[must_use]
    pub const fn dcm(code: &'static str, display: &'static str) -> Self {
        Self::fixed(code, "DCM", display)
    }

    /// A code known at compile time.
    #[must_use]
    pub const fn fixed(code: &'static str, system: &'static str, display: &'static str) -> Self {
        Self { code: Cow::Borrowed(code), system: Cow::Borrowed(system), display: Cow::Borrowed(display) }
    }

    /// A code received from elsewhere, for instance a role of an assertion; an absent text becomes the code.
    #[must_use]
    pub fn received(code: impl Into<String>, system: impl Into<String>, display: Option<String>) -> Self {
        let code = code.into();
        let display = display.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| code.clone());
        Self { code: Cow::Owned(code), system: Cow::Owned(system.into()), display: Cow::Owned(display) }
    }
}

/// The audit columns of one side of one transaction, as the transaction table holds them (ITI TF-2 §3.20, and the
/// Security Audit Considerations of each transaction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCodes {
    /// EventID, a DCM code: 110106 Export, 110107 Import, 110110 Patient Record, 110112 Query.
    pub event_id: &'static str,
    /// Text of the EventID.
    pub event_name: &'static str,
    /// EventActionCode.
    pub action: EventAction,
    /// EventTypeCode in `IHE Transactions`, e.g. `ITI-18`.
    pub transaction: &'static str,
    /// Text of the EventTypeCode, e.g. `Registry Stored Query`.
    pub transaction_name: &'static str,
}

impl AuditCodes {
    /// Both sides of a query: 110112 Query, Execute.
    #[must_use]
    pub const fn query(transaction: &'static str, transaction_name: &'static str) -> Self {
        let action = EventAction::Execute;
        Self { event_id: "110112", event_name: "Query", action, transaction, transaction_name }
    }

    /// The side that documents leave: 110106 Export, Read. Client of a submission, server of a retrieval.
    #[must_use]
    pub const fn export(transaction: &'static str, transaction_name: &'static str) -> Self {
        let action = EventAction::Read;
        Self { event_id: "110106", event_name: "Export", action, transaction, transaction_name }
    }

    /// The side that documents reach: 110107 Import, Create. Server of a submission, client of a retrieval.
    #[must_use]
    pub const fn import(transaction: &'static str, transaction_name: &'static str) -> Self {
        let action = EventAction::Create;
        Self { event_id: "110107", event_name: "Import", action, transaction, transaction_name }
    }

    /// Both sides of a change of the patient's record that moves no document: 110110 Patient Record.
    #[must_use]
    pub const fn patient_record(
        action: EventAction,
        transaction: &'static str,
        transaction_name: &'static str,
    ) -> Self {
        Self { event_id: "110110", event_name: "Patient Record", action, transaction, transaction_name }
    }

    /// The same with another action, e.g. Update for ITI-57.
    #[must_use]
    pub const fn with_action(self, action: EventAction) -> Self {
        Self { action, ..self }
    }

    const fn event(self) -> AuditCode {
        AuditCode::dcm(self.event_id, self.event_name)
    }

    const fn event_type(self) -> AuditCode {
        AuditCode::fixed(self.transaction, "IHE Transactions", self.transaction_name)
    }
}

/// Which side of the transaction writes the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditSide {
    /// We sent the request (outbound).
    Requester,
    /// We answered it (inbound).
    Responder,
}

/// NetworkAccessPointID with its NetworkAccessPointTypeCode (DICOM PS3.15 A.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkAccessPoint {
    /// 1, a machine name.
    MachineName(String),
    /// 2, an IP address.
    IpAddress(IpAddr),
}

impl NetworkAccessPoint {
    /// From the host of a URL or a configured name: an address if it reads as one, brackets of IPv6 removed.
    #[must_use]
    pub fn from_host(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // An IPv4 client of an IPv6 socket is shown the way people know it.
            Ok(address) => Self::IpAddress(address.to_canonical()),
            Err(_) => Self::MachineName(host.to_owned()),
        }
    }

    /// The identifier as text.
    #[must_use]
    pub fn id(&self) -> Cow<'_, str> {
        match self {
            Self::MachineName(name) => Cow::Borrowed(name),
            Self::IpAddress(address) => Cow::Owned(address.to_string()),
        }
    }

    /// The NetworkAccessPointTypeCode.
    #[must_use]
    pub const fn type_code(&self) -> u8 {
        match self {
            Self::MachineName(_) => 1,
            Self::IpAddress(_) => 2,
        }
    }
}

impl From<IpAddr> for NetworkAccessPoint {
    fn from(address: IpAddr) -> Self {
        Self::IpAddress(address.to_canonical())
    }
}

/// One of the two machines of a transaction (ITI TF-2 §3.20, Source and Destination rows).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNode {
    /// Responder: its SOAP endpoint URI. Requester: its `wsa:ReplyTo` when asynchronous, else a stable id of its own.
    pub user_id: String,
    /// Where it is on the network: its own name for us, what the connection or URL says for a peer.
    pub network: Option<NetworkAccessPoint>,
    /// UserName: who it is by its certificate, where the id is what it says of itself.
    pub name: Option<String>,
}

impl AuditNode {
    /// UserID of a requester that gave no address: the WS-Addressing anonymous URI.
    pub const ANONYMOUS: &'static str = "http://www.w3.org/2005/08/addressing/anonymous";

    /// A node of known address.
    #[must_use]
    pub fn new(user_id: impl Into<String>, network: Option<NetworkAccessPoint>) -> Self {
        Self { user_id: user_id.into(), network, name: None }
    }

    /// The same with the name that its certificate gives it.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// A requester that waits on the connection for its answer.
    #[must_use]
    pub fn anonymous(network: Option<NetworkAccessPoint>) -> Self {
        Self::new(Self::ANONYMOUS, network)
    }
}

/// The person behind a request, from the XUA assertion or the client's session (ITI TF-2 §3.20, Human Requestor).
#[derive(Clone, PartialEq, Eq)]
pub struct HumanRequestor {
    /// UserID.
    pub user_id: String,
    /// UserName.
    pub user_name: Option<String>,
    /// RoleIDCode, one per role the assertion names.
    pub roles: Vec<AuditCode>,
}

impl HumanRequestor {
    /// The user of an assertion as `alias<user@issuer>` (ITI TF-2 §3.40, SPProvidedID, NameID and Issuer).
    #[must_use]
    pub fn from_assertion(alias: &str, user: &str, issuer: &str, roles: Vec<AuditCode>) -> Self {
        let name = format!("{alias}<{user}@{issuer}>");
        Self { user_id: name.clone(), user_name: Some(name), roles }
    }
}

impl fmt::Debug for HumanRequestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A patient may be the user (patient access), so the name stays out too.
        f.debug_struct("HumanRequestor").field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// Who writes the record: AuditSourceIdentification (DICOM PS3.15 A.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSource {
    /// AuditSourceID, the name of this broker.
    pub id: String,
    /// AuditEnterpriseSiteID, for us the OID of the community.
    pub enterprise_site: Option<String>,
    /// Our process id; it goes into AlternativeUserID of our own participant, as ITI TF-2 §3.20 asks.
    pub process_id: u32,
}

/// RoleIDCode of the machines of an event (DICOM PS3.16 CID 402).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParticipantRole {
    /// 110150, the application that started or stopped.
    Application,
    /// 110151, who started or stopped it.
    ApplicationLauncher,
    /// 110152, where the data goes.
    Destination,
    /// 110153, where the data comes from.
    Source,
}

impl ParticipantRole {
    /// The role as a DCM code.
    #[must_use]
    pub const fn code(self) -> AuditCode {
        match self {
            Self::Application => AuditCode::dcm("110150", "Application"),
            Self::ApplicationLauncher => AuditCode::dcm("110151", "Application Launcher"),
            Self::Destination => AuditCode::dcm("110152", "Destination Role ID"),
            Self::Source => AuditCode::dcm("110153", "Source Role ID"),
        }
    }
}

/// One who took part (DICOM PS3.15 A.5.1, ActiveParticipant).
#[derive(Clone, PartialEq, Eq)]
pub enum ActiveParticipant {
    /// A machine or process.
    Node {
        /// UserID and network access point.
        node: AuditNode,
        /// AlternativeUserID; only ever our own process id.
        process_id: Option<u32>,
        /// Whether it began the transaction.
        is_requestor: bool,
        /// RoleIDCode; none for the reporter of a security alert.
        role: Option<ParticipantRole>,
    },
    /// A person, always a requestor.
    Human(HumanRequestor),
}

impl fmt::Debug for ActiveParticipant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { node, process_id, is_requestor, role } => f
                .debug_struct("Node")
                .field("node", node)
                .field("process_id", process_id)
                .field("is_requestor", is_requestor)
                .field("role", role)
                .finish(),
            Self::Human(human) => human.fmt(f),
        }
    }
}

/// The query of an event: role 24, with the request itself (ITI TF-2 §3.18.5.1, §3.38.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct AuditedQuery {
    /// The stored query's UUID as in `AdhocQuery/@id`.
    pub query_id: String,
    /// The `query:AdhocQueryRequest` element alone, as sent or received.
    pub request: Bytes,
    /// Character encoding of `request`, `UTF-8` for all we write.
    pub encoding: Cow<'static, str>,
    /// HomeCommunityId the query was addressed to, if it named one.
    pub home_community_id: Option<String>,
}

impl AuditedQuery {
    /// A query in UTF-8.
    #[must_use]
    pub fn new(query_id: impl Into<String>, request: Bytes, home_community_id: Option<String>) -> Self {
        Self { query_id: query_id.into(), request, encoding: Cow::Borrowed("UTF-8"), home_community_id }
    }
}

impl fmt::Debug for AuditedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The request holds the patient id, and for some queries names.
        f.debug_struct("AuditedQuery")
            .field("query_id", &self.query_id)
            .field("request_bytes", &self.request.len())
            .field("home_community_id", &self.home_community_id)
            .finish_non_exhaustive()
    }
}

/// A document of a retrieval: role 3 Report (ITI TF-2 §3.43.6.1, §3.39.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedDocument {
    /// DocumentEntry.uniqueId.
    pub unique_id: String,
    /// RepositoryUniqueId; absent only where the request lacked it.
    pub repository_unique_id: Option<String>,
    /// HomeCommunityId, if known.
    pub home_community_id: Option<String>,
}

/// A submission set: role 20 Job (ITI TF-2 §3.41.5.1, §3.42.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedSubmissionSet {
    /// SubmissionSet.uniqueId, or its entryUUID when the submission did not carry a unique id.
    pub id: String,
    /// HomeCommunityId; only the cross-gateway submissions (ITI-80, 92) carry it.
    pub home_community_id: Option<String>,
}

/// What an event was about (DICOM PS3.15 A.5.1, ParticipantObjectIdentification).
#[derive(Clone, PartialEq, Eq)]
pub enum ParticipantObject {
    /// The patient, in CX form (`id^^^&oid&ISO`).
    Patient(String),
    /// A stored query; the transaction that carried it gives the object its type.
    Query(AuditedQuery),
    /// A query for patients or where they are: its message id, or its name.
    PatientQuery(AuditedQuery),
    /// A document.
    Document(AuditedDocument),
    /// A document that was removed for good.
    RemovedDocument(AuditedDocument),
    /// A registry object that was removed for good, by its entryUUID.
    RemovedObject(String),
    /// A submission set.
    SubmissionSet(AuditedSubmissionSet),
    /// The remote node of a security alert.
    Node {
        /// Its name or address.
        id: String,
        /// What went wrong; free text, never about a patient.
        alert: String,
    },
}

impl fmt::Debug for ParticipantObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patient(_) => f.write_str("Patient(redacted)"),
            Self::Query(query) | Self::PatientQuery(query) => query.fmt(f),
            Self::Document(document) => document.fmt(f),
            Self::RemovedDocument(document) => write!(f, "removed {document:?}"),
            Self::RemovedObject(id) => write!(f, "removed {id}"),
            Self::SubmissionSet(set) => set.fmt(f),
            Self::Node { id, alert } => f.debug_struct("Node").field("id", id).field("alert", alert).finish(),
        }
    }
}

/// What the record of every transaction says, whatever its shape.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The row of the transaction table for our side.
    pub codes: AuditCodes,
    /// Our side.
    pub side: AuditSide,
    /// EventDateTime: when the transaction was carried out.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// First error code and context when it did not succeed; ids at most.
    pub outcome_description: Option<String>,
    /// Who asked.
    pub requester: AuditNode,
    /// Who answered.
    pub responder: AuditNode,
    /// The people behind the request, when known.
    pub humans: Vec<HumanRequestor>,
    /// Purposes of use the assertion claims.
    pub purposes: Vec<AuditCode>,
    /// Patients in CX form. More than one: see [`AuditEvent::one_per_patient`].
    pub patients: Vec<String>,
    /// Who writes the record.
    pub source: AuditSource,
    /// Binds this record to the others, and to the log lines, of the same request.
    pub correlation_id: Option<String>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("transaction", &self.codes.transaction)
            .field("side", &self.side)
            .field("at", &self.at)
            .field("outcome", &self.outcome)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

/// One record of the audit trail.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// EventID.
    pub event_id: AuditCode,
    /// EventTypeCode.
    pub event_type: AuditCode,
    /// EventActionCode.
    pub action: EventAction,
    /// EventDateTime.
    pub at: Timestamp,
    /// EventOutcomeIndicator.
    pub outcome: AuditOutcome,
    /// EventOutcomeDescription.
    pub outcome_description: Option<String>,
    /// PurposeOfUse.
    pub purposes: Vec<AuditCode>,
    /// Our side of a transaction; none for an event of the node itself.
    pub side: Option<AuditSide>,
    /// ActiveParticipant: source, people, destination, in this order.
    pub participants: Vec<ActiveParticipant>,
    /// AuditSourceIdentification.
    pub source: AuditSource,
    /// ParticipantObjectIdentification.
    pub objects: Vec<ParticipantObject>,
    /// Correlation id of the request.
    pub correlation_id: Option<String>,
}

impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The description may quote an id a peer sent, and such an id may be the patient's.
        f.debug_struct("AuditEvent")
            .field("event_id", &self.event_id.code)
            .field("event_type", &self.event_type.code)
            .field("action", &self.action)
            .field("at", &self.at)
            .field("outcome", &self.outcome)
            .field("side", &self.side)
            .field("participants", &self.participants)
            .field("objects", &self.objects)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

/// Records of one event at most.
const MOST_RECORDS: usize = 16;

impl AuditEvent {
    /// A query, ITI-18 or ITI-38 (ITI TF-2 §3.18.5.1, §3.38.5.1). No query object when the request was too broken
    /// to find it.
    #[must_use]
    pub fn query(exchange: Exchange, query: Option<AuditedQuery>) -> Self {
        Self::of(exchange, ParticipantRole::Source, query.map(ParticipantObject::Query))
    }

    /// A query for patients, ITI-55 or ITI-56 (ITI TF-2 §3.55.5.1, §3.56.5.1).
    #[must_use]
    pub fn patient_query(exchange: Exchange, query: Option<AuditedQuery>) -> Self {
        Self::of(exchange, ParticipantRole::Source, query.map(ParticipantObject::PatientQuery))
    }

    /// A submission, ITI-41 or ITI-42 (ITI TF-2 §3.41.5.1, §3.42.5.1).
    #[must_use]
    pub fn submission(exchange: Exchange, set: Option<AuditedSubmissionSet>) -> Self {
        Self::of(exchange, ParticipantRole::Source, set.map(ParticipantObject::SubmissionSet))
    }

    /// A retrieval, ITI-43 or ITI-39 (ITI TF-2 §3.43.6.1, §3.39.6.1): here the responder is the source. When some
    /// documents arrived and some did not, make one event for each group.
    #[must_use]
    pub fn retrieve(exchange: Exchange, documents: impl IntoIterator<Item = AuditedDocument>) -> Self {
        Self::of(exchange, ParticipantRole::Destination, documents.into_iter().map(ParticipantObject::Document))
    }

    /// A removal, ITI-62 or ITI-86 (Remove Metadata and Documents §3.62.5.1, §3.86.5.1).
    #[must_use]
    pub fn removal(exchange: Exchange, objects: impl IntoIterator<Item = ParticipantObject>) -> Self {
        Self::of(exchange, ParticipantRole::Source, objects)
    }

    fn of(
        exchange: Exchange,
        requester_role: ParticipantRole,
        objects: impl IntoIterator<Item = ParticipantObject>,
    ) -> Self {
        let Exchange { codes, side, at, outcome, outcome_description, requester, responder, .. } = exchange;
        let Exchange { humans, purposes, patients, source, correlation_id, .. } = exchange;
        let ours = |other| (side == other).then_some(source.process_id);
        let requester_is_source = requester_role == ParticipantRole::Source;
        let requester = ActiveParticipant::Node {
            node: requester,
            process_id: ours(AuditSide::Requester),
            is_requestor: true,
            role: Some(requester_role),
        };
        let responder = ActiveParticipant::Node {
            node: responder,
            process_id: ours(AuditSide::Responder),
            is_requestor: false,
            role: Some(if requester_is_source { ParticipantRole::Destination } else { ParticipantRole::Source }),
        };
        let (first, last) = if requester_is_source { (requester, responder) } else { (responder, requester) };
        let people = humans.into_iter().map(ActiveParticipant::Human);
        Self {
            event_id: codes.event(),
            event_type: codes.event_type(),
            action: codes.action,
            at,
            outcome,
            outcome_description,
            purposes,
            side: Some(side),
            participants: std::iter::once(first).chain(people).chain(std::iter::once(last)).collect(),
            source,
            objects: patients.into_iter().map(ParticipantObject::Patient).chain(objects).collect(),
            correlation_id,
        }
    }

    /// The broker started (DICOM PS3.15 A.5.3.1; SeriousFailure when it could not). `launcher` is the user of the
    /// operating system, if known.
    #[must_use]
    pub fn application_start(
        source: AuditSource,
        at: Timestamp,
        outcome: AuditOutcome,
        launcher: Option<String>,
    ) -> Self {
        Self::application(source, at, outcome, launcher, AuditCode::dcm("110120", "Application Start"))
    }

    /// The broker stops (DICOM PS3.15 A.5.3.1).
    #[must_use]
    pub fn application_stop(
        source: AuditSource,
        at: Timestamp,
        outcome: AuditOutcome,
        launcher: Option<String>,
    ) -> Self {
        Self::application(source, at, outcome, launcher, AuditCode::dcm("110121", "Application Stop"))
    }

    fn application(
        source: AuditSource,
        at: Timestamp,
        outcome: AuditOutcome,
        launcher: Option<String>,
        event_type: AuditCode,
    ) -> Self {
        let application = ActiveParticipant::Node {
            node: AuditNode::new(source.id.clone(), None),
            process_id: Some(source.process_id),
            is_requestor: false,
            role: Some(ParticipantRole::Application),
        };
        let launcher = launcher.map(|user| ActiveParticipant::Node {
            node: AuditNode::new(user, None),
            process_id: None,
            is_requestor: true,
            role: Some(ParticipantRole::ApplicationLauncher),
        });
        Self {
            event_id: AuditCode::dcm("110100", "Application Activity"),
            event_type,
            action: EventAction::Execute,
            at,
            outcome,
            outcome_description: None,
            purposes: Vec::new(),
            side: None,
            participants: std::iter::once(application).chain(launcher).collect(),
            source,
            objects: Vec::new(),
            correlation_id: None,
        }
    }

    /// A peer failed to authenticate in the TLS handshake, inbound or outbound (ITI TF-2 §3.19, DICOM PS3.15
    /// A.5.3.10). `reason` is for people; `here` is the name or address of our side.
    #[must_use]
    pub fn node_authentication_failure(
        source: AuditSource,
        at: Timestamp,
        here: Option<NetworkAccessPoint>,
        remote: &NetworkAccessPoint,
        reason: &str,
        outcome: AuditOutcome,
    ) -> Self {
        let reporter = ActiveParticipant::Node {
            node: AuditNode::new(source.id.clone(), here),
            process_id: Some(source.process_id),
            is_requestor: false,
            role: None,
        };
        Self {
            event_id: AuditCode::dcm("110113", "Security Alert"),
            event_type: AuditCode::dcm("110126", "Node Authentication"),
            action: EventAction::Execute,
            at,
            outcome,
            outcome_description: Some(reason.to_owned()),
            purposes: Vec::new(),
            side: None,
            participants: vec![reporter],
            source,
            objects: vec![ParticipantObject::Node { id: remote.id().into_owned(), alert: reason.to_owned() }],
            correlation_id: None,
        }
    }

    /// Splits an event about several patients into one per patient, as ITI TF-2 §3.20 wants; the other objects
    /// stay on each. An event about one patient or none is returned as it is, and so is one about very many:
    ///
    /// DEVIATION(ITI TF-2 §3.51.5.1): each of the records holds the whole query, so many patients are named by one.
    #[must_use]
    pub fn one_per_patient(self) -> Vec<Self> {
        let is_patient = |object: &ParticipantObject| matches!(object, ParticipantObject::Patient(_));
        let count = self.objects.iter().filter(|object| is_patient(object)).count();
        if !(2..=MOST_RECORDS).contains(&count) {
            return vec![self];
        }
        let mut event = self;
        let (patients, others): (Vec<_>, Vec<_>) = std::mem::take(&mut event.objects).into_iter().partition(is_patient);
        patients
            .into_iter()
            .map(|patient| {
                let objects = std::iter::once(patient).chain(others.iter().cloned()).collect();
                Self { objects, ..event.clone() }
            })
            .collect()
    }

    /// The two records of a query or submission answered with PartialSuccess: what succeeded, and what failed with
    /// its description (ITI TF-2 §3.20). Retrievals split by document instead.
    #[must_use]
    pub fn partial_success(self, description: impl Into<String>) -> [Self; 2] {
        let success = Self { outcome: AuditOutcome::Success, outcome_description: None, ..self.clone() };
        let failure =
            Self { outcome: AuditOutcome::SeriousFailure, outcome_description: Some(description.into()), ..self };
        [success, failure]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(codes: AuditCodes, side: AuditSide) -> Exchange {
        Exchange {
            codes,
            side,
            at: Timestamp::UNIX_EPOCH,
            outcome: AuditOutcome::Success,
            outcome_description: Some("about 9990000018".to_owned()),
            requester: AuditNode::anonymous(Some(NetworkAccessPoint::from_host("192.0.2.10"))),
            responder: AuditNode::new("https://rg.example.org/xca", None),
            humans: vec![HumanRequestor::from_assertion("", "ida.berg", "https://sts.example.org", vec![])],
            purposes: vec![],
            patients: vec!["9990000018^^^&2.999.1&ISO".to_owned()],
            source: AuditSource { id: "broker-1".to_owned(), enterprise_site: None, process_id: 7 },
            correlation_id: None,
        }
    }

    fn roles(event: &AuditEvent) -> Vec<(Option<ParticipantRole>, bool, Option<u32>)> {
        event
            .participants
            .iter()
            .filter_map(|participant| match participant {
                ActiveParticipant::Node { role, is_requestor, process_id, .. } => {
                    Some((*role, *is_requestor, *process_id))
                }
                ActiveParticipant::Human(_) => None,
            })
            .collect()
    }

    #[test]
    fn roles_follow_the_data_and_the_process_id_follows_the_writer() {
        use ParticipantRole::{Destination, Source};
        let query = AuditCodes::query("ITI-18", "Registry Stored Query");
        for (side, requester_pid, responder_pid) in
            [(AuditSide::Requester, Some(7), None), (AuditSide::Responder, None, Some(7))]
        {
            let event = AuditEvent::query(exchange(query, side), None);
            let expected = [(Some(Source), true, requester_pid), (Some(Destination), false, responder_pid)];
            assert_eq!(roles(&event), expected);
            let event = AuditEvent::submission(exchange(query, side), None);
            assert_eq!(roles(&event), expected);
            let event = AuditEvent::retrieve(exchange(query, side), []);
            let expected = [(Some(Source), false, responder_pid), (Some(Destination), true, requester_pid)];
            assert_eq!(roles(&event), expected);
        }
    }

    #[test]
    fn debug_shows_no_patient_no_person_no_query() {
        let request = Bytes::from_static(b"<AdhocQueryRequest>9990000018</AdhocQueryRequest>");
        let query = AuditedQuery::new("urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d", request, None);
        let exchange = exchange(AuditCodes::query("ITI-18", "Registry Stored Query"), AuditSide::Responder);
        let mut text = format!("{exchange:#?}");
        text.push_str(&format!("{:#?}", AuditEvent::query(exchange, Some(query))));
        assert!(!text.contains("9990000018"), "{text}");
        assert!(!text.contains("ida.berg"), "{text}");
        assert!(text.contains("14d4debf"), "{text}");
    }

    #[test]
    fn several_patients_give_several_records() {
        let mut exchange = exchange(AuditCodes::query("ITI-18", "Registry Stored Query"), AuditSide::Responder);
        exchange.patients = vec!["a".to_owned(), "b".to_owned()];
        let query = AuditedQuery::new("urn:uuid:x", Bytes::new(), None);
        let events = AuditEvent::query(exchange, Some(query.clone())).one_per_patient();
        let objects: Vec<_> = events.into_iter().map(|event| event.objects).collect();
        let expected =
            |id: &str| vec![ParticipantObject::Patient(id.to_owned()), ParticipantObject::Query(query.clone())];
        assert_eq!(objects, [expected("a"), expected("b")]);
    }

    #[test]
    fn partial_success_is_two_records() {
        let exchange = exchange(AuditCodes::query("ITI-18", "Registry Stored Query"), AuditSide::Responder);
        let [success, failure] = AuditEvent::query(exchange, None).partial_success("XDSUnavailableCommunity");
        assert_eq!((success.outcome, success.outcome_description), (AuditOutcome::Success, None));
        assert_eq!(failure.outcome, AuditOutcome::SeriousFailure);
        assert_eq!(failure.outcome_description.as_deref(), Some("XDSUnavailableCommunity"));
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        let cases = [
            ("rg.example.org", "rg.example.org", 1),
            ("192.0.2.1", "192.0.2.1", 2),
            ("[2001:db8::1]", "2001:db8::1", 2),
            ("::ffff:192.0.2.1", "192.0.2.1", 2),
        ];
        for (host, id, code) in cases {
            let point = NetworkAccessPoint::from_host(host);
            assert_eq!((point.id().as_ref(), point.type_code()), (id, code));
        }
    }
}
