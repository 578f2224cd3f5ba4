//! What came of a query, as it is printed.

use serde::Serialize;

use super::maker::short_urn;
use super::table::{associations_table, documents_table, packages_table, references_table};
use crate::commands::CommandError;
use crate::commands::client::{self, ErrorView, status_name};
use crate::model::metadata::Noun;
use crate::model::response::QueryResponse;
use crate::model::rim::{Body, Classification, ObjectId, RegistryObject};
use crate::model::vocabulary::{self as v, identifier, scheme, slot};
use crate::terminal::{Colour, Table, Tone, counted};

/// A coded value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeView {
    /// The code.
    pub code: String,
    /// Its coding scheme.
    pub scheme: String,
    /// Its display name.
    pub display: Option<String>,
}

impl CodeView {
    fn new(classification: &Classification<'_>) -> Self {
        let (code, scheme) = classification.code();
        Self {
            code: code.to_owned(),
            scheme: scheme.to_owned(),
            display: classification.common.names.first().map(|name| name.value.to_string()),
        }
    }

    pub(super) fn shown(&self) -> &str {
        self.display.as_deref().filter(|display| !display.is_empty()).unwrap_or(&self.code)
    }
}

/// An author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorView {
    /// authorPerson (XCN)
    pub persons: Vec<String>,
    /// authorInstitution (XON)
    pub institutions: Vec<String>,
    /// authorRole
    pub roles: Vec<String>,
    /// authorSpecialty
    pub specialties: Vec<String>,
    /// authorTelecommunication (XTN)
    pub telecommunications: Vec<String>,
}

/// A Slot beyond those that have a place of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotView {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}

/// A DocumentEntry (ITI TF-3 §4.2.3.2), for JSON and tables.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the standard's attributes.
pub struct DocumentView {
    pub entry_uuid: Option<String>,
    pub logical_id: Option<String>,
    pub unique_id: Option<String>,
    pub repository_unique_id: Option<String>,
    pub home_community_id: Option<String>,
    pub title: Option<String>,
    pub comments: Option<String>,
    pub mime_type: Option<String>,
    pub hash: Option<String>,
    pub size: Option<u64>,
    pub creation_time: Option<String>,
    pub service_start_time: Option<String>,
    pub service_stop_time: Option<String>,
    pub language_code: Option<String>,
    pub class_code: Option<CodeView>,
    pub type_code: Option<CodeView>,
    pub format_code: Option<CodeView>,
    pub healthcare_facility_type_code: Option<CodeView>,
    pub practice_setting_code: Option<CodeView>,
    pub confidentiality_codes: Vec<CodeView>,
    pub event_codes: Vec<CodeView>,
    pub authors: Vec<AuthorView>,
    pub legal_authenticator: Option<String>,
    pub patient_id: Option<String>,
    pub source_patient_id: Option<String>,
    pub source_patient_info: Vec<String>,
    pub reference_ids: Vec<String>,
    pub document_availability: Option<String>,
    pub object_type: Option<String>,
    pub status: Option<String>,
    pub version: Option<String>,
    pub extra_slots: Vec<SlotView>,
}

/// A SubmissionSet or a Folder (ITI TF-3 §4.2.3.3, §4.2.3.4).
#[derive(Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the standard's attributes.
pub struct PackageView {
    pub entry_uuid: Option<String>,
    pub unique_id: Option<String>,
    pub source_id: Option<String>,
    pub home_community_id: Option<String>,
    pub title: Option<String>,
    pub comments: Option<String>,
    pub time: Option<String>,
    pub codes: Vec<CodeView>,
    pub authors: Vec<AuthorView>,
    pub intended_recipients: Vec<String>,
    pub patient_id: Option<String>,
    pub status: Option<String>,
}

/// An Association (ITI TF-3 §4.2.2).
#[derive(Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the standard's attributes.
pub struct AssociationView {
    pub entry_uuid: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    pub target: String,
    pub submission_set_status: Option<String>,
    pub home_community_id: Option<String>,
    pub status: Option<String>,
}

/// An ObjectRef.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the standard's attributes.
pub struct ObjectRefView {
    pub entry_uuid: Option<String>,
    pub home_community_id: Option<String>,
}

/// All that a stored query answered.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `Success`, `PartialSuccess` or `Failure`.
    pub status: &'static str,
    /// Errors and warnings.
    pub errors: Vec<ErrorView>,
    /// DocumentEntries.
    pub documents: Vec<DocumentView>,
    /// SubmissionSets.
    pub submission_sets: Vec<PackageView>,
    /// Folders.
    pub folders: Vec<PackageView>,
    /// Associations.
    pub associations: Vec<AssociationView>,
    /// References, of a query for ObjectRef.
    pub object_refs: Vec<ObjectRefView>,
}

fn text(value: Option<&str>) -> Option<String> {
    value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn status(object: &RegistryObject<'_>) -> Option<String> {
    object.common.status.as_deref().map(|status| short_urn(status.trim()).to_owned())
}

fn uuid_of(object: &RegistryObject<'_>) -> Option<String> {
    object.common.id.as_ref().map(ObjectId::to_string)
}

fn values(object: &RegistryObject<'_>, name: &str) -> Vec<String> {
    object.common.slot_values(name).map(str::to_owned).collect()
}

fn codes_of(object: &RegistryObject<'_>, scheme: &str) -> Vec<CodeView> {
    object.classified_by(scheme).map(CodeView::new).collect()
}

fn authors_of(object: &RegistryObject<'_>, scheme: &str) -> Vec<AuthorView> {
    let all = |author: &Classification<'_>, name: &str| author.common.slot_values(name).map(str::to_owned).collect();
    object
        .classified_by(scheme)
        .map(|author| AuthorView {
            persons: all(author, slot::AUTHOR_PERSON),
            institutions: all(author, slot::AUTHOR_INSTITUTION),
            roles: all(author, slot::AUTHOR_ROLE),
            specialties: all(author, slot::AUTHOR_SPECIALTY),
            telecommunications: all(author, slot::AUTHOR_TELECOMMUNICATION),
        })
        .collect()
}

impl DocumentView {
    fn new(object: &RegistryObject<'_>, mime_type: Option<&str>) -> Self {
        const PLACED: &[&str] = &[
            slot::CREATION_TIME,
            slot::SERVICE_START_TIME,
            slot::SERVICE_STOP_TIME,
            slot::HASH,
            slot::SIZE,
            slot::LANGUAGE_CODE,
            slot::LEGAL_AUTHENTICATOR,
            slot::SOURCE_PATIENT_ID,
            slot::SOURCE_PATIENT_INFO,
            slot::REPOSITORY_UNIQUE_ID,
            slot::DOCUMENT_AVAILABILITY,
            slot::REFERENCE_ID_LIST,
        ];
        let common = &object.common;
        let one = |name: &str| text(common.slot_value(name));
        let code = |scheme: &str| codes_of(object, scheme).into_iter().next();
        Self {
            entry_uuid: uuid_of(object),
            logical_id: common.lid.as_ref().map(ObjectId::to_string),
            unique_id: text(object.unique_id()),
            repository_unique_id: one(slot::REPOSITORY_UNIQUE_ID),
            home_community_id: text(common.home.as_deref()),
            title: text(object.title()),
            comments: text(common.descriptions.first().map(|comment| comment.value.as_ref())),
            mime_type: text(mime_type),
            hash: one(slot::HASH),
            size: common.slot_value(slot::SIZE).and_then(|size| size.parse().ok()),
            creation_time: one(slot::CREATION_TIME),
            service_start_time: one(slot::SERVICE_START_TIME),
            service_stop_time: one(slot::SERVICE_STOP_TIME),
            language_code: one(slot::LANGUAGE_CODE),
            class_code: code(scheme::CLASS_CODE),
            type_code: code(scheme::TYPE_CODE),
            format_code: code(scheme::FORMAT_CODE),
            healthcare_facility_type_code: code(scheme::FACILITY_TYPE_CODE),
            practice_setting_code: code(scheme::PRACTICE_SETTING_CODE),
            confidentiality_codes: codes_of(object, scheme::CONFIDENTIALITY_CODE),
            event_codes: codes_of(object, scheme::EVENT_CODE),
            authors: authors_of(object, scheme::ENTRY_AUTHOR),
            legal_authenticator: one(slot::LEGAL_AUTHENTICATOR),
            patient_id: text(object.patient_id()),
            source_patient_id: one(slot::SOURCE_PATIENT_ID),
            source_patient_info: values(object, slot::SOURCE_PATIENT_INFO),
            reference_ids: values(object, slot::REFERENCE_ID_LIST),
            document_availability: one(slot::DOCUMENT_AVAILABILITY).map(|urn| short_urn(&urn).to_owned()),
            object_type: common.object_type.as_deref().map(|kind| match kind {
                v::STABLE => "stable".to_owned(),
                v::ON_DEMAND => "on-demand".to_owned(),
                other => other.to_owned(),
            }),
            status: status(object),
            version: common.version.as_ref().and_then(|version| text(version.name.as_deref())),
            extra_slots: common
                .slots
                .iter()
                .filter(|slot| !PLACED.contains(&slot.name.as_ref()))
                .map(|slot| SlotView {
                    name: slot.name.to_string(),
                    values: slot.values.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        }
    }
}

impl PackageView {
    fn new(object: &RegistryObject<'_>, time: &str, codes: &str) -> Self {
        let common = &object.common;
        Self {
            entry_uuid: uuid_of(object),
            unique_id: text(object.unique_id()),
            source_id: text(object.identifier(identifier::SET_SOURCE_ID)),
            home_community_id: text(common.home.as_deref()),
            title: text(object.title()),
            comments: text(common.descriptions.first().map(|comment| comment.value.as_ref())),
            time: text(common.slot_value(time)),
            codes: codes_of(object, codes),
            authors: authors_of(object, scheme::SET_AUTHOR),
            intended_recipients: values(object, slot::INTENDED_RECIPIENT),
            patient_id: text(object.patient_id()),
            status: status(object),
        }
    }
}

impl Report {
    /// Reads an answer's objects.
    ///
    /// # Errors
    /// When an object is damaged.
    pub fn new(response: &QueryResponse) -> Result<Self, CommandError> {
        let mut report = Self {
            status: status_name(response.status),
            errors: response.errors.iter().map(ErrorView::from).collect(),
            documents: Vec::new(),
            submission_sets: Vec::new(),
            folders: Vec::new(),
            associations: Vec::new(),
            object_refs: Vec::new(),
        };
        for packed in &response.objects {
            let object =
                packed.unpack().map_err(|error| CommandError::failed(format!("an object of the answer: {error}")))?;
            report.add(&object);
        }
        Ok(report)
    }

    fn add(&mut self, object: &RegistryObject<'_>) {
        match (&object.body, object.noun()) {
            (Body::ExtrinsicObject { mime_type, .. }, _) => {
                self.documents.push(DocumentView::new(object, mime_type.as_deref()));
            }
            (Body::RegistryPackage, Noun::Folder) => {
                self.folders.push(PackageView::new(object, slot::LAST_UPDATE_TIME, scheme::FOLDER_CODE));
            }
            (Body::RegistryPackage, _) => {
                self.submission_sets.push(PackageView::new(object, slot::SUBMISSION_TIME, scheme::CONTENT_TYPE_CODE));
            }
            (Body::Association { kind, source, target }, _) => self.associations.push(AssociationView {
                entry_uuid: uuid_of(object),
                kind: short_urn(kind).to_owned(),
                source: source.to_string(),
                target: target.to_string(),
                submission_set_status: text(object.common.slot_value(slot::SUBMISSION_SET_STATUS)),
                home_community_id: text(object.common.home.as_deref()),
                status: status(object),
            }),
            (Body::ObjectRef, _) => self.object_refs.push(ObjectRefView {
                entry_uuid: uuid_of(object),
                home_community_id: text(object.common.home.as_deref()),
            }),
        }
    }

    /// As plain tables, one for each noun, then the errors, then the status.
    pub fn render(&self, colour: Colour) -> String {
        let mut out = String::new();
        let mut found = Vec::new();
        let mut add = |number: usize, noun: &str, table: Table| {
            if number > 0 {
                out.push_str(&table.render(colour));
                out.push('\n');
                found.push(counted(number, noun));
            }
        };
        add(self.documents.len(), "document", documents_table(&self.documents));
        add(self.submission_sets.len(), "submission set", packages_table(&self.submission_sets, "submitted"));
        add(self.folders.len(), "folder", packages_table(&self.folders, "updated"));
        add(self.associations.len(), "association", associations_table(&self.associations));
        add(self.object_refs.len(), "reference", references_table(&self.object_refs));
        if found.is_empty() {
            found.push("nothing found".to_owned());
        }
        out.push_str(&client::error_lines(&self.errors, colour));
        let tone = match self.status {
            "Success" => Tone::Good,
            "PartialSuccess" => Tone::Warning,
            _ => Tone::Bad,
        };
        out.push_str(&format!("{}: {}\n", tone.paint(self.status, colour), found.join(", ")));
        out
    }
}
