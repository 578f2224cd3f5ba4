//! Rules as tables: judges values, answers with all findings, each with its own ErrorCode.
//!
//! Start reading at [`metadata::ATTRIBUTES`], the rows that say what a DocumentEntry,
//! SubmissionSet, Folder and Association must look like; [`submission::judge`] is the entry point
//! for whole messages, [`stored_query::read`] the one for queries. [`codes`] holds the affinity
//! domain's code lists.
//!
//! Not done here: whatever needs the store (known patients, uniqueIds in use, status of the
//! target of an association). That is the Document Registry's, which gets a typed
//! [`submission::Submission`] to work on.
//!
//! A finding names the object, the attribute, the rule and its section, and never repeats a value
//! that may identify a patient.

pub mod codes;
pub mod discovery;
pub mod metadata;
pub mod response;
pub mod stored_query;
pub mod submission;
pub mod update;

use std::collections::BTreeMap;
use std::fmt;

use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Body, RegistryObject};

/// More findings than this are counted, not listed: an answer stays readable and bounded.
const MAX_FINDINGS: usize = 200;

/// Which receiver judges, hence which column of the optionality table holds
/// (ITI TF-3 Table 4.3.1-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A registry, ITI-42: column DR.
    Register,
    /// A registry, ITI-61: column OD.
    RegisterOnDemand,
}

/// How a source's tolerable findings are taken (`[validation]`).
///
/// Tolerable is what leaves the document safe to find, to trust and to withhold: codes outside the
/// lists, descriptions that are missing or misshapen, extra metadata with names of its own. Never
/// identifiers, times, confidentiality, integrity, or how the message hangs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mode {
    /// They refuse, as all others do.
    #[default]
    Strict,
    /// They come back as warnings of a success.
    Lenient,
    /// They are counted and logged, and the answer does not speak of them.
    Shadow,
}

impl Mode {
    /// Its name in the configuration, logs and numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
            Self::Shadow => "shadow",
        }
    }
}

/// The modes of all sources, by the names of their certificates: behind a separate repository,
/// that is the repository's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceModes {
    /// Of those that are not named.
    pub others: Mode,
    /// Of those that are.
    pub named: BTreeMap<String, Mode>,
}

impl SourceModes {
    /// The mode of a source, and the name to count it under: its own only if it is configured, so
    /// that there are never more names than lines in the configuration.
    pub fn of(&self, source: &str) -> (Mode, &str) {
        self.named.get_key_value(source).map_or((self.others, OTHER_SOURCES), |(name, mode)| (*mode, name))
    }
}

/// What sources are counted under that the configuration does not name.
pub const OTHER_SOURCES: &str = "others";

/// A finding that a mode let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerated {
    /// Whose attribute.
    pub noun: Noun,
    /// Which attribute.
    pub attribute: &'static str,
    /// What a strict judge would have refused it with, as a warning.
    pub warning: RegistryError,
}

/// What was found so far.
#[derive(Debug)]
struct Findings {
    mode: Mode,
    errors: Vec<RegistryError>,
    /// At most [`MAX_FINDINGS`] of them too; what is beyond is let through uncounted.
    tolerated: Vec<Tolerated>,
    unlisted: usize,
}

impl Findings {
    fn new() -> Self {
        Self::in_mode(Mode::Strict)
    }

    fn in_mode(mode: Mode) -> Self {
        Self { mode, errors: Vec::new(), tolerated: Vec::new(), unlisted: 0 }
    }

    /// A finding that only a strict judge refuses.
    fn tolerable(&mut self, noun: Noun, attribute: &'static str, context: fmt::Arguments<'_>) {
        if self.mode == Mode::Strict {
            self.metadata(context);
        } else if self.tolerated.len() < MAX_FINDINGS {
            let warning = RegistryError::new(ErrorCode::XDSRegistryMetadataError, context.to_string()).warning();
            self.tolerated.push(Tolerated { noun, attribute, warning });
        }
    }

    /// A finding with the code of a metadata fault.
    fn metadata(&mut self, context: fmt::Arguments<'_>) {
        self.add(ErrorCode::XDSRegistryMetadataError, context);
    }

    fn add(&mut self, code: ErrorCode, context: fmt::Arguments<'_>) {
        if self.errors.len() < MAX_FINDINGS {
            self.errors.push(RegistryError::new(code, context.to_string()));
        } else {
            self.unlisted += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    fn into_errors(mut self) -> Vec<RegistryError> {
        if self.unlisted > 0 {
            let context = format!("{} further findings are not listed", self.unlisted);
            self.errors.push(RegistryError::new(ErrorCode::XDSRegistryMetadataError, context));
        }
        if self.mode == Mode::Lenient {
            self.errors.extend(self.tolerated.into_iter().map(|tolerated| tolerated.warning));
        }
        self.errors
    }
}

/// A foreign text in a finding: short, on one line.
struct Shown<'t>(&'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 100;
        for c in self.0.chars().filter(|c| !c.is_control()).take(MAX) {
            fmt::Write::write_char(f, c)?;
        }
        if self.0.chars().nth(MAX).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// Names an object in a finding: what it is, and its id or else its uniqueId.
struct Named<'o, 'a>(&'o RegistryObject<'a>);

impl fmt::Display for Named<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.0;
        f.write_str(match (object.noun(), &object.body) {
            (Noun::Other, Body::RegistryPackage) => "RegistryPackage",
            (noun, _) => noun.as_str(),
        })?;
        match (&object.common.id, object.unique_id()) {
            (Some(id), _) => write!(f, " {}", Shown(&id.to_string())),
            (None, Some(unique_id)) => write!(f, " with uniqueId {}", Shown(unique_id)),
            (None, None) => Ok(()),
        }
    }
}

/// White space of XML, which the framework's typed values may have around them
/// (ITI TF-3 §4.2.3.1.7 is silent; its own examples have line breaks in a Value).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// A submission that keeps every rule: a DocumentEntry in a Folder, both new, which transforms a
/// document of the registry.
#[cfg(test)]
mod fixture {
    use crate::model::metadata::build;
    use crate::model::rim::{ObjectId, RegistryObject, Slot};
    use crate::model::vocabulary::{self as v, association, identifier, scheme, slot};

    pub(super) const ENTRY: usize = 0;
    pub(super) const FOLDER: usize = 1;
    pub(super) const SET: usize = 2;
    pub(super) const SET_ENTRY: usize = 3;
    pub(super) const SET_FOLDER: usize = 4;
    pub(super) const FOLDER_ENTRY: usize = 5;
    pub(super) const SET_MEMBERSHIP: usize = 6;
    pub(super) const TRANSFORM: usize = 7;
    pub(super) const PATIENT: &str = "PX-881^^^&2.999.50.100&ISO";
    pub(super) const KNOWN: &str = "urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb";

    pub(super) fn id(text: &'static str) -> ObjectId<'static> {
        ObjectId::read(text.into())
    }

    fn code(object: &mut RegistryObject<'static>, scheme: &'static str, code: &str) {
        let code = build::Code { code: code.to_owned(), scheme: "2.999.60.1".to_owned(), display: "shown".to_owned() };
        let mut classification = build::code(scheme, &code);
        classification.classified = object.common.id.clone();
        object.classifications.push(classification);
    }

    fn identifier(object: &mut RegistryObject<'static>, scheme: &'static str, value: &'static str) {
        let mut identifier = build::external_identifier(scheme, value);
        identifier.registry_object = object.common.id.clone();
        object.identifiers.push(identifier);
    }

    pub(super) fn entry() -> RegistryObject<'static> {
        let mut entry = build::document_entry(id("doc"), "text/plain");
        entry.common.slots.extend([
            Slot::single(slot::CREATION_TIME, "20240311094500"),
            Slot::single(slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            Slot::single(slot::SIZE, "0"),
            Slot::single(slot::LANGUAGE_CODE, "en-GB"),
            Slot::single(slot::REPOSITORY_UNIQUE_ID, "2.999.80.1"),
            Slot::single(slot::SERVICE_START_TIME, "202403110900"),
            Slot::single(slot::SERVICE_STOP_TIME, "202403110930"),
            Slot::single(slot::SOURCE_PATIENT_ID, "W-0042^^^&2.999.50.7&ISO"),
            Slot::list(slot::SOURCE_PATIENT_INFO, ["PID-5|Osei^Ama", "PID-7|19720604"]),
            Slot::single("urn:example:extra", "kept"),
        ]);
        entry.common.names = build::name("Ward note");
        let author = build::author(
            scheme::ENTRY_AUTHOR,
            &[
                (slot::AUTHOR_PERSON, "7719^Lindqvist^Per^^^Dr^^^&2.999.50.8&ISO"),
                (slot::AUTHOR_INSTITUTION, "North Ward Hospital^^^^^^^^^2.999.50.1"),
                (slot::AUTHOR_ROLE, "Attending"),
                (slot::AUTHOR_TELECOMMUNICATION, "^^Internet^a@example.org"),
            ],
        );
        entry.classifications.push(author);
        for (scheme, value) in [
            (scheme::CLASS_CODE, "REPORT"),
            (scheme::CONFIDENTIALITY_CODE, "N"),
            (scheme::FORMAT_CODE, "F"),
            (scheme::FACILITY_TYPE_CODE, "HOSP"),
            (scheme::PRACTICE_SETTING_CODE, "GENMED"),
            (scheme::TYPE_CODE, "T"),
        ] {
            code(&mut entry, scheme, value);
        }
        identifier(&mut entry, identifier::ENTRY_PATIENT_ID, PATIENT);
        identifier(&mut entry, identifier::ENTRY_UNIQUE_ID, "2.999.70.1^ext");
        entry
    }

    pub(super) fn submission() -> Vec<RegistryObject<'static>> {
        let mut folder = build::package(id("fol"), v::FOLDER_NODE);
        folder.common.names = build::name("Admission");
        code(&mut folder, scheme::FOLDER_CODE, "ADM");
        identifier(&mut folder, identifier::FOLDER_PATIENT_ID, PATIENT);
        identifier(&mut folder, identifier::FOLDER_UNIQUE_ID, "2.999.72.1");
        let mut set = build::package(id("set"), v::SUBMISSION_SET_NODE);
        set.common.slots.push(Slot::single(slot::SUBMISSION_TIME, "20240311095012"));
        code(&mut set, scheme::CONTENT_TYPE_CODE, "ROUND");
        identifier(&mut set, identifier::SET_PATIENT_ID, PATIENT);
        identifier(&mut set, identifier::SET_SOURCE_ID, "2.999.50.9");
        identifier(&mut set, identifier::SET_UNIQUE_ID, "2.999.71.1");
        let mut transform = build::association(id("a5"), association::XFRM, id("doc"), id(KNOWN));
        code(&mut transform, scheme::ASSOCIATION_DOCUMENTATION, "AMEND");
        vec![
            entry(),
            folder,
            set,
            build::original(id("a1"), id("set"), id("doc")),
            build::association(id("a2"), association::HAS_MEMBER, id("set"), id("fol")),
            build::association(id("a3"), association::HAS_MEMBER, id("fol"), id("doc")),
            build::association(id("a4"), association::HAS_MEMBER, id("set"), id("a3")),
            transform,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded() {
        let mut findings = Findings::new();
        for n in 0..MAX_FINDINGS + 5 {
            findings.metadata(format_args!("{n}"));
        }
        let errors = findings.into_errors();
        assert_eq!(errors.len(), MAX_FINDINGS + 1);
        assert_eq!(errors.last().unwrap().context, "5 further findings are not listed");
        let mut tolerated = Findings::in_mode(Mode::Lenient);
        for n in 0..MAX_FINDINGS + 5 {
            tolerated.tolerable(Noun::Folder, "title", format_args!("{n}"));
        }
        assert_eq!(tolerated.tolerated.len(), MAX_FINDINGS);
    }

    #[test]
    fn shown_is_short_and_on_one_line() {
        assert_eq!(Shown("a\r\nb").to_string(), "ab");
        let long = Shown(&"x".repeat(1000)).to_string();
        assert_eq!(long.chars().count(), 101);
    }
}
