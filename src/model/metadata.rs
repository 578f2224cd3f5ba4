//! What registry objects mean: DocumentEntry, SubmissionSet, Folder, Association (ITI TF-3 §4.2).
//!
//! The nouns are views over [`RegistryObject`]: reading an attribute parses nothing twice and
//! loses nothing. [`build`] makes new objects, for sources and tests.

use super::rim::{Body, Classification, RegistryObject};
use super::vocabulary::{self as v, identifier, scheme, slot};

/// What a registry object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noun {
    /// `ExtrinsicObject`
    DocumentEntry,
    /// `RegistryPackage` with the SubmissionSet node
    SubmissionSet,
    /// `RegistryPackage` with the Folder node
    Folder,
    /// `Association`
    Association,
    /// `ObjectRef`, or a package that is labelled neither way or both
    Other,
}

impl Noun {
    /// The standard's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DocumentEntry => "DocumentEntry",
            Self::SubmissionSet => "SubmissionSet",
            Self::Folder => "Folder",
            Self::Association => "Association",
            Self::Other => "object",
        }
    }

    /// The external identifier scheme of its patientId.
    pub fn patient_id_scheme(self) -> Option<&'static str> {
        match self {
            Self::DocumentEntry => Some(identifier::ENTRY_PATIENT_ID),
            Self::SubmissionSet => Some(identifier::SET_PATIENT_ID),
            Self::Folder => Some(identifier::FOLDER_PATIENT_ID),
            Self::Association | Self::Other => None,
        }
    }

    /// The external identifier scheme of its uniqueId.
    pub fn unique_id_scheme(self) -> Option<&'static str> {
        match self {
            Self::DocumentEntry => Some(identifier::ENTRY_UNIQUE_ID),
            Self::SubmissionSet => Some(identifier::SET_UNIQUE_ID),
            Self::Folder => Some(identifier::FOLDER_UNIQUE_ID),
            Self::Association | Self::Other => None,
        }
    }
}

impl<'a> RegistryObject<'a> {
    /// What it is.
    pub fn noun(&self) -> Noun {
        match &self.body {
            Body::ExtrinsicObject { .. } => Noun::DocumentEntry,
            Body::RegistryPackage => match (self.has_node(v::SUBMISSION_SET_NODE), self.has_node(v::FOLDER_NODE)) {
                (true, false) => Noun::SubmissionSet,
                (false, true) => Noun::Folder,
                _ => Noun::Other,
            },
            Body::Association { .. } => Noun::Association,
            Body::ObjectRef => Noun::Other,
        }
    }

    /// patientId as it stands in the metadata.
    pub fn patient_id(&self) -> Option<&str> {
        self.noun().patient_id_scheme().and_then(|scheme| self.identifier(scheme))
    }

    /// uniqueId as it stands in the metadata.
    pub fn unique_id(&self) -> Option<&str> {
        self.noun().unique_id_scheme().and_then(|scheme| self.identifier(scheme))
    }

    /// title: the first LocalizedString of Name.
    pub fn title(&self) -> Option<&str> {
        self.common.names.first().map(|name| name.value.as_ref())
    }

    /// Whether it is an on-demand DocumentEntry.
    pub fn is_on_demand(&self) -> bool {
        self.common.object_type.as_deref() == Some(v::ON_DEMAND)
    }

    /// Whether availabilityStatus is Approved.
    pub fn is_approved(&self) -> bool {
        self.common.status.as_deref() == Some(v::APPROVED)
    }

    /// The codes of a coded attribute as (code, coding scheme).
    pub fn codes<'s>(&'s self, scheme: &'s str) -> impl Iterator<Item = (&'s str, &'s str)> {
        self.classified_by(scheme).map(Classification::code)
    }

    /// Every authorPerson value of every author.
    pub fn author_persons(&self) -> impl Iterator<Item = &str> {
        let scheme = if self.noun() == Noun::SubmissionSet { scheme::SET_AUTHOR } else { scheme::ENTRY_AUTHOR };
        self.classifications
            .iter()
            .filter(move |c| c.scheme.as_deref() == Some(scheme))
            .flat_map(|c| c.common.slot_values(slot::AUTHOR_PERSON))
    }
}

impl Classification<'_> {
    /// The code and its coding scheme; empty where absent.
    pub fn code(&self) -> (&str, &str) {
        (
            self.representation.as_deref().unwrap_or_default(),
            self.common.slot_value(slot::CODING_SCHEME).unwrap_or_default(),
        )
    }
}

/// Makers of metadata, for document sources.
pub mod build {
    use super::super::rim::{
        Body, Classification, Common, ExternalIdentifier, LocalizedString, ObjectId, RegistryObject, Slot, Text,
    };
    use super::v;
    use super::{identifier, slot};

    /// A coded value.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Code {
        /// The code.
        pub code: String,
        /// Its coding scheme.
        pub scheme: String,
        /// Its display name.
        pub display: String,
    }

    /// One localized string in the default language.
    pub fn name<'a>(value: impl Into<Text<'a>>) -> Vec<LocalizedString<'a>> {
        vec![LocalizedString { value: value.into(), lang: None, charset: None }]
    }

    /// A coded attribute (ITI TF-3 §4.2.3.1.2).
    pub fn code<'a>(classification_scheme: &'static str, code: &Code) -> Classification<'a> {
        Classification {
            common: Common {
                slots: vec![Slot::single(slot::CODING_SCHEME, code.scheme.clone())],
                names: name(code.display.clone()),
                ..Common::default()
            },
            scheme: Some(classification_scheme.into()),
            representation: Some(code.code.clone().into()),
            ..Classification::default()
        }
    }

    /// An author (ITI TF-3 §4.2.3.1.4) from slot names and values; empty values are left out.
    pub fn author<'a>(classification_scheme: &'static str, parts: &[(&'static str, &str)]) -> Classification<'a> {
        Classification {
            common: Common {
                slots: parts
                    .iter()
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| Slot::single(*name, (*value).to_owned()))
                    .collect(),
                ..Common::default()
            },
            scheme: Some(classification_scheme.into()),
            representation: Some("".into()),
            ..Classification::default()
        }
    }

    /// The fixed Name text of an external identifier (ITI TF-3 §4.2.3.1.3).
    pub fn identifier_name(scheme: &str) -> &'static str {
        match scheme {
            identifier::ENTRY_PATIENT_ID => "XDSDocumentEntry.patientId",
            identifier::ENTRY_UNIQUE_ID => "XDSDocumentEntry.uniqueId",
            identifier::SET_PATIENT_ID => "XDSSubmissionSet.patientId",
            identifier::SET_UNIQUE_ID => "XDSSubmissionSet.uniqueId",
            identifier::SET_SOURCE_ID => "XDSSubmissionSet.sourceId",
            identifier::FOLDER_PATIENT_ID => "XDSFolder.patientId",
            identifier::FOLDER_UNIQUE_ID => "XDSFolder.uniqueId",
            _ => "",
        }
    }

    /// An external identifier.
    pub fn external_identifier<'a>(scheme: &'static str, value: impl Into<Text<'a>>) -> ExternalIdentifier<'a> {
        ExternalIdentifier {
            common: Common { names: name(identifier_name(scheme)), ..Common::default() },
            registry_object: None,
            scheme: Some(scheme.into()),
            value: Some(value.into()),
        }
    }

    /// An empty stable DocumentEntry.
    pub fn document_entry<'a>(id: ObjectId<'a>, mime_type: impl Into<Text<'a>>) -> RegistryObject<'a> {
        let mut entry =
            RegistryObject::new(Body::ExtrinsicObject { mime_type: Some(mime_type.into()), opaque: None }, id);
        entry.common.object_type = Some(v::STABLE.into());
        entry
    }

    /// An empty SubmissionSet or Folder, by its node.
    pub fn package<'a>(id: ObjectId<'a>, node: &'static str) -> RegistryObject<'a> {
        let mut package = RegistryObject::new(Body::RegistryPackage, id);
        package.common.object_type = Some(v::PACKAGE_TYPE.into());
        package.classifications.push(Classification { node: Some(node.into()), ..Classification::default() });
        package
    }

    /// An association.
    pub fn association<'a>(
        id: ObjectId<'a>,
        kind: &'static str,
        source: ObjectId<'a>,
        target: ObjectId<'a>,
    ) -> RegistryObject<'a> {
        let mut association = RegistryObject::new(Body::Association { kind: kind.into(), source, target }, id);
        association.common.object_type = Some(v::ASSOCIATION_TYPE.into());
        association
    }

    /// SubmissionSet → DocumentEntry membership with its SubmissionSetStatus.
    pub fn original<'a>(id: ObjectId<'a>, set: ObjectId<'a>, entry: ObjectId<'a>) -> RegistryObject<'a> {
        let mut member = association(id, v::association::HAS_MEMBER, set, entry);
        member.common.slots.push(Slot::single(slot::SUBMISSION_SET_STATUS, "Original"));
        member
    }
}
