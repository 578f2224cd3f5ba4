//! Stored queries: one table of queries and parameters (ITI TF-2 §3.18.4.1.2.3.7).
//!
//! Parser, rules, evaluator and command line read these rows. A new query or parameter is a row.

use super::ids::{EntryUuid, HomeCommunityId, PatientId};
use super::rim::Slot;
use super::time::Dtm;
use super::vocabulary::{scheme, slot};

/// `query:AdhocQueryRequest` as it was sent; a gateway hands it on unchanged (ITI TF-2 §3.18.4.1.2).
#[derive(Clone, PartialEq, Eq)]
pub struct AdhocQuery {
    /// `AdhocQuery/@id`, trimmed.
    pub id: String,
    /// `AdhocQuery/@home`
    pub home: Option<String>,
    /// `ResponseOption/@returnType`
    pub return_type: Option<String>,
    /// Parameters, known and unknown.
    pub slots: Vec<Slot<'static>>,
}

impl std::fmt::Debug for AdhocQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AdhocQuery({}, home {:?}, {} slots)", self.id, self.home, self.slots.len())
    }
}

/// What a query gives back: whole objects or references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnType {
    /// Whole metadata.
    LeafClass,
    /// entryUUIDs only.
    ObjectRef,
}

impl ReturnType {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeafClass => "LeafClass",
            Self::ObjectRef => "ObjectRef",
        }
    }
}

/// Which stored query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// DocumentEntries of a patient.
    FindDocuments,
    /// SubmissionSets of a patient.
    FindSubmissionSets,
    /// Folders of a patient.
    FindFolders,
    /// All of a patient.
    GetAll,
    /// DocumentEntries by id.
    GetDocuments,
    /// Folders by id.
    GetFolders,
    /// Associations by either end.
    GetAssociations,
    /// DocumentEntries by id, and their associations.
    GetDocumentsAndAssociations,
    /// SubmissionSets by member.
    GetSubmissionSets,
    /// A SubmissionSet with its members.
    GetSubmissionSetAndContents,
    /// A Folder with its members.
    GetFolderAndContents,
    /// Folders that hold a document.
    GetFoldersForDocument,
    /// Documents related to a document.
    GetRelatedDocuments,
    /// DocumentEntries of a patient by referenceIdList.
    FindDocumentsByReferenceId,
    /// DocumentEntries of many patients (ITI-51).
    FindDocumentsForMultiplePatients,
    /// Folders of many patients (ITI-51).
    FindFoldersForMultiplePatients,
    /// DocumentEntries of many patients by referenceIdList (ITI-51).
    FindDocumentsByReferenceIdForMultiplePatients,
    /// DocumentEntries of a patient, with their documents (ITI-63).
    Fetch,
}

/// How often, and in which form, a parameter may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplicity {
    /// One value, no parentheses.
    Single,
    /// A list; several Values of the Slot are its union.
    List,
    /// A list, and several Slots of the name mean AND.
    AndOr,
}

/// Whether a parameter must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Required.
    Required,
    /// Optional.
    Optional,
    /// Exactly one of the query's parameters marked so.
    OneOf,
    /// At least one of the query's parameters marked so.
    AnyOf,
}

/// What a parameter's values are, and which attribute they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CX, compared with patientId.
    Patient,
    /// Several of them.
    Patients,
    /// `code^^scheme`, compared with the codes of a classification scheme.
    Code(&'static str),
    /// DTM: the attribute in that slot is at or after it.
    From(&'static str),
    /// DTM: the attribute in that slot is before it.
    To(&'static str),
    /// LIKE pattern over authorPerson.
    AuthorPerson,
    /// LIKE pattern over the values of a slot.
    Like(&'static str),
    /// Text equal to an external identifier of that scheme.
    Identifier(&'static str),
    /// availabilityStatus of one noun.
    Status(super::metadata::Noun),
    /// objectType of a DocumentEntry.
    EntryType,
    /// documentAvailability of a DocumentEntry.
    Availability,
    /// entryUUIDs.
    Uuid,
    /// uniqueIds.
    UniqueId,
    /// logicalIDs.
    LogicalId,
    /// Association types.
    AssociationType,
    /// `$MetadataLevel`, 1 or 2.
    MetadataLevel,
}

/// One parameter of a query.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Slot name, with its `$`.
    pub name: &'static str,
    /// Must it be there?
    pub need: Need,
    /// How often?
    pub multiplicity: Multiplicity,
    /// What is it?
    pub kind: Kind,
}

/// One stored query.
#[derive(Debug)]
pub struct QueryDefinition {
    /// Which.
    pub kind: QueryKind,
    /// The standard's name.
    pub name: &'static str,
    /// `AdhocQuery/@id`
    pub id: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
}

impl PartialEq for QueryDefinition {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl QueryDefinition {
    /// The query of that `@id`.
    pub fn by_id(id: &str) -> Option<&'static Self> {
        QUERIES.iter().find(|query| query.id == id)
    }

    /// The query of ITI-51 of that `@id`.
    pub fn multi_patient_by_id(id: &str) -> Option<&'static Self> {
        MULTI_PATIENT_QUERIES.iter().find(|query| query.id == id)
    }

    /// The query of ITI-63 of that `@id`.
    pub fn fetch_by_id(id: &str) -> Option<&'static Self> {
        (FETCH.id == id).then_some(&FETCH)
    }

    /// The query of that `@id`, whichever transaction it is for.
    pub fn of_any(id: &str) -> Option<&'static Self> {
        Self::by_id(id).or_else(|| Self::multi_patient_by_id(id)).or_else(|| Self::fetch_by_id(id))
    }

    /// The query of that kind; every kind has its row, a test counts them.
    pub fn of(kind: QueryKind) -> &'static Self {
        let all = QUERIES.iter().chain(MULTI_PATIENT_QUERIES).chain([&FETCH]);
        all.into_iter().find(|query| query.kind == kind).unwrap_or(&QUERIES[0])
    }

    /// The parameter that holds the patient id: a query that has one is fanned out by patient,
    /// the others are routed by home (ITI TF-2 §3.38.4.1.2.1).
    pub fn patient_parameter(&self) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.kind == Kind::Patient)
    }

    /// Whether a LeafClass answer about several patients is refused (ITI TF-2 §3.18.4.1.2.4).
    pub fn single_patient(&self) -> bool {
        use QueryKind as Q;
        matches!(
            self.kind,
            Q::GetDocuments
                | Q::GetFolders
                | Q::GetDocumentsAndAssociations
                | Q::GetSubmissionSets
                | Q::GetSubmissionSetAndContents
                | Q::GetFolderAndContents
        )
    }
}

use super::metadata::Noun::{Association as AssociationNoun, DocumentEntry, Folder, SubmissionSet};
use Multiplicity::{AndOr, List, Single};
use Need::{AnyOf, OneOf, Optional, Required};

const fn row(name: &'static str, need: Need, multiplicity: Multiplicity, kind: Kind) -> Parameter {
    Parameter { name, need, multiplicity, kind }
}

const ENTRY_PATIENT: Parameter = row("$XDSDocumentEntryPatientId", Required, Single, Kind::Patient);
const ENTRY_STATUS: Parameter = row("$XDSDocumentEntryStatus", Required, List, Kind::Status(DocumentEntry));
const ENTRY_TYPE: Parameter = row("$XDSDocumentEntryType", Optional, List, Kind::EntryType);
const ENTRY_FORMAT: Parameter = row("$XDSDocumentEntryFormatCode", Optional, List, Kind::Code(scheme::FORMAT_CODE));
const ENTRY_CONFIDENTIALITY: Parameter =
    row("$XDSDocumentEntryConfidentialityCode", Optional, AndOr, Kind::Code(scheme::CONFIDENTIALITY_CODE));
const LEVEL: Parameter = row("$MetadataLevel", Optional, Single, Kind::MetadataLevel);
const ASSOCIATION_STATUS: Parameter = row("$XDSAssociationStatus", Optional, List, Kind::Status(AssociationNoun));
const SET_STATUS: Parameter = row("$XDSSubmissionSetStatus", Required, List, Kind::Status(SubmissionSet));
const FOLDER_UPDATED_FROM: Parameter =
    row("$XDSFolderLastUpdateTimeFrom", Optional, Single, Kind::From(slot::LAST_UPDATE_TIME));
const FOLDER_UPDATED_TO: Parameter =
    row("$XDSFolderLastUpdateTimeTo", Optional, Single, Kind::To(slot::LAST_UPDATE_TIME));
const FOLDER_STATUS: Parameter = row("$XDSFolderStatus", Required, List, Kind::Status(Folder));
const UUIDS: Parameter = row("$uuid", Required, List, Kind::Uuid);

const REFERENCES: Parameter =
    row("$XDSDocumentEntryReferenceIdList", Required, AndOr, Kind::Like(slot::REFERENCE_ID_LIST));

macro_rules! find_documents {
    ($patient:expr, $codes:expr $(, $more:expr)*) => {
        &[
            $patient,
            row("$XDSDocumentEntryClassCode", $codes, List, Kind::Code(scheme::CLASS_CODE)),
            row("$XDSDocumentEntryTypeCode", Optional, List, Kind::Code(scheme::TYPE_CODE)),
            row("$XDSDocumentEntryPracticeSettingCode", Optional, List, Kind::Code(scheme::PRACTICE_SETTING_CODE)),
            row("$XDSDocumentEntryCreationTimeFrom", Optional, Single, Kind::From(slot::CREATION_TIME)),
            row("$XDSDocumentEntryCreationTimeTo", Optional, Single, Kind::To(slot::CREATION_TIME)),
            row("$XDSDocumentEntryServiceStartTimeFrom", Optional, Single, Kind::From(slot::SERVICE_START_TIME)),
            row("$XDSDocumentEntryServiceStartTimeTo", Optional, Single, Kind::To(slot::SERVICE_START_TIME)),
            row("$XDSDocumentEntryServiceStopTimeFrom", Optional, Single, Kind::From(slot::SERVICE_STOP_TIME)),
            row("$XDSDocumentEntryServiceStopTimeTo", Optional, Single, Kind::To(slot::SERVICE_STOP_TIME)),
            row("$XDSDocumentEntryHealthcareFacilityTypeCode", $codes, List, Kind::Code(scheme::FACILITY_TYPE_CODE)),
            row("$XDSDocumentEntryEventCodeList", $codes, AndOr, Kind::Code(scheme::EVENT_CODE)),
            ENTRY_CONFIDENTIALITY,
            row("$XDSDocumentEntryAuthorPerson", Optional, List, Kind::AuthorPerson),
            ENTRY_FORMAT,
            ENTRY_STATUS,
            ENTRY_TYPE,
            row("$XDSDocumentEntryDocumentAvailability", Optional, List, Kind::Availability),
            LEVEL,
            $($more),*
        ]
    };
}

/// The fourteen queries of ITI-18, in the standard's order.
pub const QUERIES: &[QueryDefinition] = &[
    QueryDefinition {
        kind: QueryKind::FindDocuments,
        name: "FindDocuments",
        id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
        parameters: find_documents!(ENTRY_PATIENT, Optional),
    },
    QueryDefinition {
        kind: QueryKind::FindSubmissionSets,
        name: "FindSubmissionSets",
        id: "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9",
        parameters: &[
            row("$XDSSubmissionSetPatientId", Required, Single, Kind::Patient),
            row(
                "$XDSSubmissionSetSourceId",
                Optional,
                List,
                Kind::Identifier(super::vocabulary::identifier::SET_SOURCE_ID),
            ),
            row("$XDSSubmissionSetSubmissionTimeFrom", Optional, Single, Kind::From(slot::SUBMISSION_TIME)),
            row("$XDSSubmissionSetSubmissionTimeTo", Optional, Single, Kind::To(slot::SUBMISSION_TIME)),
            row("$XDSSubmissionSetAuthorPerson", Optional, Single, Kind::AuthorPerson),
            row("$XDSSubmissionSetContentType", Optional, List, Kind::Code(scheme::CONTENT_TYPE_CODE)),
            SET_STATUS,
        ],
    },
    QueryDefinition {
        kind: QueryKind::FindFolders,
        name: "FindFolders",
        id: "urn:uuid:958f3006-baad-4929-a4de-ff1114824431",
        parameters: &[
            row("$XDSFolderPatientId", Required, Single, Kind::Patient),
            FOLDER_UPDATED_FROM,
            FOLDER_UPDATED_TO,
            row("$XDSFolderCodeList", Optional, AndOr, Kind::Code(scheme::FOLDER_CODE)),
            FOLDER_STATUS,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetAll,
        name: "GetAll",
        id: "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
        parameters: &[
            row("$patientId", Required, Single, Kind::Patient),
            ENTRY_STATUS,
            SET_STATUS,
            FOLDER_STATUS,
            ENTRY_FORMAT,
            ENTRY_CONFIDENTIALITY,
            ENTRY_TYPE,
            ASSOCIATION_STATUS,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetDocuments,
        name: "GetDocuments",
        id: "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
        parameters: &[
            row("$XDSDocumentEntryEntryUUID", OneOf, List, Kind::Uuid),
            row("$XDSDocumentEntryUniqueId", OneOf, List, Kind::UniqueId),
            row("$XDSDocumentEntryLogicalID", OneOf, List, Kind::LogicalId),
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetFolders,
        name: "GetFolders",
        id: "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4",
        parameters: &[
            row("$XDSFolderEntryUUID", OneOf, List, Kind::Uuid),
            row("$XDSFolderUniqueId", OneOf, List, Kind::UniqueId),
            row("$XDSFolderLogicalID", OneOf, List, Kind::LogicalId),
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetAssociations,
        name: "GetAssociations",
        id: "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
        parameters: &[UUIDS, ASSOCIATION_STATUS, LEVEL],
    },
    QueryDefinition {
        kind: QueryKind::GetDocumentsAndAssociations,
        name: "GetDocumentsAndAssociations",
        id: "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
        parameters: &[
            row("$XDSDocumentEntryEntryUUID", OneOf, List, Kind::Uuid),
            row("$XDSDocumentEntryUniqueId", OneOf, List, Kind::UniqueId),
            ASSOCIATION_STATUS,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetSubmissionSets,
        name: "GetSubmissionSets",
        id: "urn:uuid:51224314-5390-4169-9b91-b1980040715a",
        parameters: &[UUIDS, LEVEL],
    },
    QueryDefinition {
        kind: QueryKind::GetSubmissionSetAndContents,
        name: "GetSubmissionSetAndContents",
        id: "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
        parameters: &[
            row("$XDSSubmissionSetEntryUUID", OneOf, Single, Kind::Uuid),
            row("$XDSSubmissionSetUniqueId", OneOf, Single, Kind::UniqueId),
            ENTRY_FORMAT,
            ENTRY_CONFIDENTIALITY,
            ENTRY_TYPE,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetFolderAndContents,
        name: "GetFolderAndContents",
        id: "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7",
        parameters: &[
            row("$XDSFolderEntryUUID", OneOf, Single, Kind::Uuid),
            row("$XDSFolderUniqueId", OneOf, Single, Kind::UniqueId),
            ENTRY_FORMAT,
            ENTRY_CONFIDENTIALITY,
            ENTRY_TYPE,
            ASSOCIATION_STATUS,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetFoldersForDocument,
        name: "GetFoldersForDocument",
        id: "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
        parameters: &[
            row("$XDSDocumentEntryEntryUUID", OneOf, Single, Kind::Uuid),
            row("$XDSDocumentEntryUniqueId", OneOf, Single, Kind::UniqueId),
            ASSOCIATION_STATUS,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::GetRelatedDocuments,
        name: "GetRelatedDocuments",
        id: "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6",
        parameters: &[
            row("$XDSDocumentEntryEntryUUID", OneOf, Single, Kind::Uuid),
            row("$XDSDocumentEntryUniqueId", OneOf, Single, Kind::UniqueId),
            row("$AssociationTypes", Required, List, Kind::AssociationType),
            ENTRY_TYPE,
            ASSOCIATION_STATUS,
            LEVEL,
        ],
    },
    QueryDefinition {
        kind: QueryKind::FindDocumentsByReferenceId,
        name: "FindDocumentsByReferenceId",
        id: "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492",
        parameters: find_documents!(ENTRY_PATIENT, Optional, REFERENCES),
    },
];

/// The queries of ITI-51 (ITI TF-2 §3.51.4.1.2.3).
///
/// DECISION(ITI TF-2 §3.51.4.1.2.3): a list of patients alone is not enough (the PatientId Only
/// Option is not supported): it would ask for whole records of many people.
pub const MULTI_PATIENT_QUERIES: &[QueryDefinition] = &[
    QueryDefinition {
        kind: QueryKind::FindDocumentsForMultiplePatients,
        name: "FindDocumentsForMultiplePatients",
        id: "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
        parameters: find_documents!(row("$XDSDocumentEntryPatientId", Optional, List, Kind::Patients), AnyOf),
    },
    QueryDefinition {
        kind: QueryKind::FindFoldersForMultiplePatients,
        name: "FindFoldersForMultiplePatients",
        id: "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df",
        parameters: &[
            row("$XDSFolderPatientId", Optional, List, Kind::Patients),
            FOLDER_UPDATED_FROM,
            FOLDER_UPDATED_TO,
            row("$XDSFolderCodeList", AnyOf, AndOr, Kind::Code(scheme::FOLDER_CODE)),
            FOLDER_STATUS,
            LEVEL,
        ],
    },
    // One implementer's; its id is in no text of the framework.
    QueryDefinition {
        kind: QueryKind::FindDocumentsByReferenceIdForMultiplePatients,
        name: "FindDocumentsByReferenceIdForMultiplePatients",
        id: "urn:uuid:1191642d-86c4-42d8-b784-f95445f9f0d5",
        parameters: find_documents!(
            row("$XDSDocumentEntryPatientId", Optional, List, Kind::Patients),
            Optional,
            REFERENCES
        ),
    },
];

/// `ResponseOption/@returnType` of ITI-63: entries with their documents.
pub const WITH_DOCUMENTS: &str = "LeafClassWithRepositoryItem";

/// The query of ITI-63 (Cross-Community Fetch §3.63), which no other transaction knows.
///
/// DECISION(Cross-Community Fetch §3.63): without a status it means Approved entries, as requests in the
/// field leave that out.
pub static FETCH: QueryDefinition = QueryDefinition {
    kind: QueryKind::Fetch,
    name: "Fetch",
    id: "urn:uuid:f2072993-9478-41df-a603-8f016706efe8",
    parameters: &[
        ENTRY_PATIENT,
        row("$XDSDocumentEntryClassCode", Required, List, Kind::Code(scheme::CLASS_CODE)),
        row("$XDSDocumentEntryTypeCode", Optional, List, Kind::Code(scheme::TYPE_CODE)),
        row("$XDSDocumentEntryPracticeSettingCode", Optional, List, Kind::Code(scheme::PRACTICE_SETTING_CODE)),
        row("$XDSDocumentEntryCreationTimeFrom", Optional, Single, Kind::From(slot::CREATION_TIME)),
        row("$XDSDocumentEntryCreationTimeTo", Optional, Single, Kind::To(slot::CREATION_TIME)),
        row("$XDSDocumentEntryServiceStartTimeFrom", Optional, Single, Kind::From(slot::SERVICE_START_TIME)),
        row("$XDSDocumentEntryServiceStartTimeTo", Optional, Single, Kind::To(slot::SERVICE_START_TIME)),
        row("$XDSDocumentEntryServiceStopTimeFrom", Optional, Single, Kind::From(slot::SERVICE_STOP_TIME)),
        row("$XDSDocumentEntryServiceStopTimeTo", Optional, Single, Kind::To(slot::SERVICE_STOP_TIME)),
        row("$XDSDocumentEntryHealthcareFacilityTypeCode", Optional, List, Kind::Code(scheme::FACILITY_TYPE_CODE)),
        row("$XDSDocumentEntryEventCodeList", Optional, AndOr, Kind::Code(scheme::EVENT_CODE)),
        ENTRY_CONFIDENTIALITY,
        row("$XDSDocumentEntryAuthorPerson", Optional, List, Kind::AuthorPerson),
        ENTRY_FORMAT,
        FETCH_STATUS,
        ENTRY_TYPE,
    ],
};

/// The status of entries that are fetched.
pub static APPROVED_UNLESS_SAID: Parameter = FETCH_STATUS;

const FETCH_STATUS: Parameter = row("$XDSDocumentEntryStatus", Optional, List, Kind::Status(DocumentEntry));

/// The values of one parameter, of the kind its row says.
#[derive(Clone, PartialEq, Eq)]
pub enum Values {
    /// One patient.
    Patient(PatientId),
    /// Any of these patients.
    Patients(Vec<PatientId>),
    /// AND over the outer, OR over the inner list of (code, scheme).
    Codes(Vec<Vec<(String, String)>>),
    /// A bound.
    Time(Dtm),
    /// AND over the outer, OR over the inner list of texts or patterns.
    Texts(Vec<Vec<String>>),
    /// Any of these ids.
    Uuids(Vec<EntryUuid>),
    /// A small number.
    Number(u8),
}

/// A parameter with its values.
#[derive(Clone)]
pub struct Argument {
    /// Its row.
    pub parameter: &'static Parameter,
    /// Its values.
    pub values: Values,
}

/// A stored query that keeps all rules of its table row.
#[derive(Clone)]
pub struct StoredQuery {
    /// Its row.
    pub definition: &'static QueryDefinition,
    /// Whole objects or references.
    pub return_type: ReturnType,
    /// The community meant, if one is.
    pub home: Option<HomeCommunityId>,
    /// What was given.
    pub arguments: Vec<Argument>,
}

impl StoredQuery {
    /// The values of the first argument of a kind.
    pub fn values(&self, kind: Kind) -> Option<&Values> {
        self.arguments.iter().find(|argument| argument.parameter.kind == kind).map(|argument| &argument.values)
    }

    /// The patient asked about.
    pub fn patient(&self) -> Option<&PatientId> {
        match self.values(Kind::Patient) {
            Some(Values::Patient(patient)) => Some(patient),
            _ => None,
        }
    }

    /// The patients that a query of ITI-51 is limited to; none: all there are.
    pub fn patients(&self) -> Option<&[PatientId]> {
        match self.values(Kind::Patients) {
            Some(Values::Patients(patients)) => Some(patients),
            _ => None,
        }
    }

    /// The flat list of texts of a kind, empty when absent.
    pub fn texts(&self, kind: Kind) -> impl Iterator<Item = &str> {
        match self.values(kind) {
            Some(Values::Texts(lists)) => lists.as_slice(),
            _ => &[],
        }
        .iter()
        .flatten()
        .map(String::as_str)
    }

    /// How many values its parameters have in all.
    pub fn value_count(&self) -> usize {
        let count = |values: &Values| match values {
            Values::Codes(lists) => lists.iter().map(Vec::len).sum(),
            Values::Texts(lists) => lists.iter().map(Vec::len).sum(),
            Values::Uuids(uuids) => uuids.len(),
            Values::Patients(patients) => patients.len(),
            Values::Patient(_) | Values::Time(_) | Values::Number(_) => 1,
        };
        self.arguments.iter().map(|argument| count(&argument.values)).sum()
    }

    /// `$MetadataLevel`, 1 when absent.
    pub fn metadata_level(&self) -> u8 {
        match self.values(Kind::MetadataLevel) {
            Some(Values::Number(level)) => *level,
            _ => 1,
        }
    }
}

impl std::fmt::Debug for StoredQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredQuery({}, {:?}, home {:?})", self.definition.name, self.return_type, self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Noun;
    use super::super::vocabulary::identifier::SET_SOURCE_ID;
    use super::*;

    type Row = (&'static str, Need, Multiplicity, Kind);

    /// The framework's tables, typed a second time (ITI TF-2 §3.18.4.1.2.3.7, §3.51.4.1.2.3, Metadata
    /// Update): name, id, parameters in any order.
    fn framework() -> Vec<(&'static str, &'static str, Vec<Row>)> {
        use Need::{AnyOf as A, OneOf as E, Optional as O, Required as R};
        fn one(name: &'static str, need: Need, kind: Kind) -> Row {
            (name, need, Multiplicity::Single, kind)
        }
        fn many(name: &'static str, need: Need, kind: Kind) -> Row {
            (name, need, Multiplicity::List, kind)
        }
        fn and_or(name: &'static str, need: Need, kind: Kind) -> Row {
            (name, need, Multiplicity::AndOr, kind)
        }
        let level = one("$MetadataLevel", O, Kind::MetadataLevel);
        let ties = many("$XDSAssociationStatus", O, Kind::Status(Noun::Association));
        let types = many("$XDSDocumentEntryType", O, Kind::EntryType);
        let format = many("$XDSDocumentEntryFormatCode", O, Kind::Code(scheme::FORMAT_CODE));
        let secret = and_or("$XDSDocumentEntryConfidentialityCode", O, Kind::Code(scheme::CONFIDENTIALITY_CODE));
        let entry_status = many("$XDSDocumentEntryStatus", R, Kind::Status(Noun::DocumentEntry));
        let set_status = many("$XDSSubmissionSetStatus", R, Kind::Status(Noun::SubmissionSet));
        let folder_status = many("$XDSFolderStatus", R, Kind::Status(Noun::Folder));
        let references = and_or("$XDSDocumentEntryReferenceIdList", R, Kind::Like(slot::REFERENCE_ID_LIST));
        let documents = |patient: Row, any: Need| {
            vec![
                patient,
                many("$XDSDocumentEntryClassCode", any, Kind::Code(scheme::CLASS_CODE)),
                many("$XDSDocumentEntryTypeCode", O, Kind::Code(scheme::TYPE_CODE)),
                many("$XDSDocumentEntryPracticeSettingCode", O, Kind::Code(scheme::PRACTICE_SETTING_CODE)),
                one("$XDSDocumentEntryCreationTimeFrom", O, Kind::From(slot::CREATION_TIME)),
                one("$XDSDocumentEntryCreationTimeTo", O, Kind::To(slot::CREATION_TIME)),
                one("$XDSDocumentEntryServiceStartTimeFrom", O, Kind::From(slot::SERVICE_START_TIME)),
                one("$XDSDocumentEntryServiceStartTimeTo", O, Kind::To(slot::SERVICE_START_TIME)),
                one("$XDSDocumentEntryServiceStopTimeFrom", O, Kind::From(slot::SERVICE_STOP_TIME)),
                one("$XDSDocumentEntryServiceStopTimeTo", O, Kind::To(slot::SERVICE_STOP_TIME)),
                many("$XDSDocumentEntryHealthcareFacilityTypeCode", any, Kind::Code(scheme::FACILITY_TYPE_CODE)),
                and_or("$XDSDocumentEntryEventCodeList", any, Kind::Code(scheme::EVENT_CODE)),
                secret,
                many("$XDSDocumentEntryAuthorPerson", O, Kind::AuthorPerson),
                format,
                entry_status,
                types,
                many("$XDSDocumentEntryDocumentAvailability", O, Kind::Availability),
                level,
            ]
        };
        let folders = |patient: Row, any: Need| {
            vec![
                patient,
                one("$XDSFolderLastUpdateTimeFrom", O, Kind::From(slot::LAST_UPDATE_TIME)),
                one("$XDSFolderLastUpdateTimeTo", O, Kind::To(slot::LAST_UPDATE_TIME)),
                and_or("$XDSFolderCodeList", any, Kind::Code(scheme::FOLDER_CODE)),
                folder_status,
                level,
            ]
        };
        let patient = one("$XDSDocumentEntryPatientId", R, Kind::Patient);
        let patients = many("$XDSDocumentEntryPatientId", O, Kind::Patients);
        let entry_uuid = |of: fn(&'static str, Need, Kind) -> Row| of("$XDSDocumentEntryEntryUUID", E, Kind::Uuid);
        let entry_id = |of: fn(&'static str, Need, Kind) -> Row| of("$XDSDocumentEntryUniqueId", E, Kind::UniqueId);
        let with = |mut rows: Vec<Row>, more: Row| {
            rows.push(more);
            rows
        };
        vec![
            ("FindDocuments", "14d4debf-8f97-4251-9a74-a90016b0af0d", documents(patient, O)),
            (
                "FindSubmissionSets",
                "f26abbcb-ac74-4422-8a30-edb644bbc1a9",
                vec![
                    one("$XDSSubmissionSetPatientId", R, Kind::Patient),
                    many("$XDSSubmissionSetSourceId", O, Kind::Identifier(SET_SOURCE_ID)),
                    one("$XDSSubmissionSetSubmissionTimeFrom", O, Kind::From(slot::SUBMISSION_TIME)),
                    one("$XDSSubmissionSetSubmissionTimeTo", O, Kind::To(slot::SUBMISSION_TIME)),
                    one("$XDSSubmissionSetAuthorPerson", O, Kind::AuthorPerson),
                    many("$XDSSubmissionSetContentType", O, Kind::Code(scheme::CONTENT_TYPE_CODE)),
                    set_status,
                ],
            ),
            (
                "FindFolders",
                "958f3006-baad-4929-a4de-ff1114824431",
                folders(one("$XDSFolderPatientId", R, Kind::Patient), O),
            ),
            (
                "GetAll",
                "10b545ea-725c-446d-9b95-8aeb444eddf3",
                vec![
                    one("$patientId", R, Kind::Patient),
                    entry_status,
                    set_status,
                    folder_status,
                    format,
                    secret,
                    types,
                    ties,
                    level,
                ],
            ),
            (
                "GetDocuments",
                "5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
                vec![entry_uuid(many), entry_id(many), many("$XDSDocumentEntryLogicalID", E, Kind::LogicalId), level],
            ),
            (
                "GetFolders",
                "5737b14c-8a1a-4539-b659-e03a34a5e1e4",
                vec![
                    many("$XDSFolderEntryUUID", E, Kind::Uuid),
                    many("$XDSFolderUniqueId", E, Kind::UniqueId),
                    many("$XDSFolderLogicalID", E, Kind::LogicalId),
                    level,
                ],
            ),
            (
                "GetAssociations",
                "a7ae438b-4bc2-4642-93e9-be891f7bb155",
                vec![many("$uuid", R, Kind::Uuid), ties, level],
            ),
            (
                "GetDocumentsAndAssociations",
                "bab9529a-4a10-40b3-a01f-f68a615d247a",
                vec![entry_uuid(many), entry_id(many), ties, level],
            ),
            ("GetSubmissionSets", "51224314-5390-4169-9b91-b1980040715a", vec![many("$uuid", R, Kind::Uuid), level]),
            (
                "GetSubmissionSetAndContents",
                "e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
                vec![
                    one("$XDSSubmissionSetEntryUUID", E, Kind::Uuid),
                    one("$XDSSubmissionSetUniqueId", E, Kind::UniqueId),
                    format,
                    secret,
                    types,
                    level,
                ],
            ),
            (
                "GetFolderAndContents",
                "b909a503-523d-4517-8acf-8e5834dfc4c7",
                vec![
                    one("$XDSFolderEntryUUID", E, Kind::Uuid),
                    one("$XDSFolderUniqueId", E, Kind::UniqueId),
                    format,
                    secret,
                    types,
                    ties,
                    level,
                ],
            ),
            (
                "GetFoldersForDocument",
                "10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
                vec![entry_uuid(one), entry_id(one), ties, level],
            ),
            (
                "GetRelatedDocuments",
                "d90e5407-b356-4d91-a89f-873917b4b0e6",
                vec![
                    entry_uuid(one),
                    entry_id(one),
                    many("$AssociationTypes", R, Kind::AssociationType),
                    types,
                    ties,
                    level,
                ],
            ),
            (
                "FindDocumentsByReferenceId",
                "12941a89-e02e-4be5-967c-ce4bfc8fe492",
                with(documents(patient, O), references),
            ),
            ("FindDocumentsForMultiplePatients", "3d1bdb10-39a2-11de-89c2-2f44d94eaa9f", documents(patients, A)),
            (
                "FindFoldersForMultiplePatients",
                "50d3f5ac-39a2-11de-a1ca-b366239e58df",
                folders(many("$XDSFolderPatientId", O, Kind::Patients), A),
            ),
            (
                "FindDocumentsByReferenceIdForMultiplePatients",
                "1191642d-86c4-42d8-b784-f95445f9f0d5",
                with(documents(patients, O), references),
            ),
        ]
    }

    #[test]
    fn rows_are_those_of_the_framework() {
        let ours = QUERIES.iter().chain(MULTI_PATIENT_QUERIES);
        let ours: Vec<_> = ours
            .map(|query| {
                let mut rows: Vec<String> = query.parameters.iter().map(|row| format!("{row:?}")).collect();
                rows.sort();
                (query.name, query.id.to_owned(), rows)
            })
            .collect();
        let theirs = framework().into_iter().map(|(name, id, rows)| {
            let row = |(name, need, multiplicity, kind)| Parameter { name, need, multiplicity, kind };
            let mut rows: Vec<String> = rows.into_iter().map(|given| format!("{:?}", row(given))).collect();
            rows.sort();
            (name, format!("urn:uuid:{id}"), rows)
        });
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(*ours, theirs);
        }
        assert_eq!(ours.len(), framework().len());
    }

    #[test]
    fn a_fetch_is_a_query_of_its_own() {
        assert_eq!(QueryDefinition::of(QueryKind::Fetch), &FETCH);
        assert!(EntryUuid::parse(FETCH.id).is_ok());
        assert!(QueryDefinition::by_id(FETCH.id).is_none() && QueryDefinition::multi_patient_by_id(FETCH.id).is_none());
        for query in QUERIES.iter().chain(MULTI_PATIENT_QUERIES) {
            assert!(query.id != FETCH.id && QueryDefinition::fetch_by_id(query.id).is_none());
            assert_eq!(QueryDefinition::of_any(query.id), Some(query));
        }
        // As FindDocuments, but for what it needs.
        let required = |query: &QueryDefinition| -> Vec<&str> {
            let rows = query.parameters.iter().filter(|row| row.need == Required);
            rows.map(|row| row.name).collect()
        };
        assert_eq!(required(&FETCH), ["$XDSDocumentEntryPatientId", "$XDSDocumentEntryClassCode"]);
        let find = QueryDefinition::of(QueryKind::FindDocuments);
        for row in FETCH.parameters {
            let same = find.parameters.iter().find(|other| other.name == row.name).unwrap();
            assert_eq!((row.kind, row.multiplicity), (same.kind, same.multiplicity), "{}", row.name);
        }
    }

    #[test]
    fn rows_are_well_formed() {
        assert_eq!((QUERIES.len(), MULTI_PATIENT_QUERIES.len()), (14, 3));
        let all: Vec<&QueryDefinition> = QUERIES.iter().chain(MULTI_PATIENT_QUERIES).collect();
        for (n, query) in all.iter().enumerate() {
            assert!(EntryUuid::parse(query.id).is_ok(), "{}", query.name);
            assert_eq!(QueryDefinition::of(query.kind), *query);
            assert!(all[..n].iter().all(|other| other.id != query.id && other.kind != query.kind));
            for (m, parameter) in query.parameters.iter().enumerate() {
                assert!(parameter.name.starts_with('$'), "{}", parameter.name);
                assert!(query.parameters[..m].iter().all(|other| other.name != parameter.name));
            }
            let many = query.name.ends_with("ForMultiplePatients");
            let by_patient = !many && query.name.starts_with("Find") || query.name == "GetAll";
            assert_eq!(query.patient_parameter().is_some(), by_patient, "{}", query.name);
            assert_eq!(query.parameters.iter().any(|parameter| parameter.kind == Kind::Patients), many);
        }
    }
}
