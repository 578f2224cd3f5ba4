//! What a DocumentEntry, SubmissionSet, Folder and Association must look like, as one table
//! (ITI TF-3 §4.2.3 and Table 4.3.1-3).
//!
//! Each row of [`ATTRIBUTES`] says where an attribute lives, how often it may be there, who
//! demands it, and which function judges its values. What ties attributes together (service
//! times, links of classifications, slot names) follows the table walk.

use super::codes::CodeSet;
use super::{Findings, Named, Profile, Shown, trim};
use crate::model::hl7::{self, Verdict};
use crate::model::ids::{HomeCommunityId, UniqueId, is_oid};
use crate::model::metadata::Noun;
use crate::model::rim::{Body, Classification, Common, ObjectId, RegistryObject, Slot};
use crate::model::time::Dtm;
use crate::model::vocabulary::{self as v, identifier, scheme, slot};

/// Where an attribute lives in its object (ITI TF-3 §4.2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `@id`
    Id,
    /// `@lid`
    LogicalId,
    /// `@home`
    Home,
    /// `@objectType`
    ObjectType,
    /// `@mimeType`
    MimeType,
    /// First LocalizedString of `Name`
    Name,
    /// Slot of that name
    Slot(&'static str),
    /// Code Classifications of that scheme
    Code(&'static str),
    /// Author Classifications of that scheme
    Author(&'static str),
    /// Classification by that node
    Node(&'static str),
    /// ExternalIdentifier of that scheme
    Identifier(&'static str),
}

/// How often an attribute may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// At most once.
    One,
    /// Any number of times.
    Many,
}

/// What a profile demands of an attribute (ITI TF-3 Table 4.3.1-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// R
    Required,
    /// R2, which no receiver can enforce, and O
    Optional,
    /// X
    Prohibited,
}

/// Judges one value: the rule it breaks, or none.
pub type Judge = fn(&str) -> Verdict;

use Cardinality::{Many, One};
use Need::{Optional, Prohibited, Required};
use Noun::{Association, DocumentEntry, Folder, SubmissionSet};

/// One attribute of one noun.
#[derive(Debug)]
pub struct Attribute {
    /// Whose.
    pub noun: Noun,
    /// The standard's name.
    pub name: &'static str,
    /// Where it lives.
    pub place: Place,
    /// How often.
    pub cardinality: Cardinality,
    /// Demanded by [`Profile::Register`].
    pub register: Need,
    /// Demanded by [`Profile::RegisterOnDemand`].
    pub on_demand: Need,
    /// Judges one value.
    pub judge: Judge,
    /// Longest value, in characters.
    pub max: usize,
    /// Whether a source that is not judged strictly may leave it out or misshape it ([`super::Mode`]).
    pub tolerable: bool,
    /// Where the attribute is defined.
    pub section: &'static str,
}

impl Attribute {
    /// What a profile demands.
    pub fn need(&self, profile: Profile) -> Need {
        match profile {
            Profile::Register => self.register,
            Profile::RegisterOnDemand => self.on_demand,
        }
    }

    const fn on_demand(mut self, need: Need) -> Self {
        self.on_demand = need;
        self
    }

    const fn max(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    const fn tolerable(mut self) -> Self {
        self.tolerable = true;
        self
    }

    /// A finding about it.
    fn find(&self, findings: &mut Findings, context: std::fmt::Arguments<'_>) {
        if self.tolerable {
            findings.tolerable(self.noun, self.name, context);
        } else {
            findings.metadata(context);
        }
    }
}

/// LongName of ebRIM, the bound of most values.
const LONG_NAME: usize = 256;

const fn row(
    noun: Noun,
    name: &'static str,
    place: Place,
    cardinality: Cardinality,
    need: Need,
    judge: Judge,
) -> Attribute {
    let section = match noun {
        DocumentEntry => "ITI TF-3 §4.2.3.2",
        SubmissionSet => "ITI TF-3 §4.2.3.3",
        Folder => "ITI TF-3 §4.2.3.4",
        Association | Noun::Other => "ITI TF-3 §4.2.2",
    };
    Attribute {
        noun,
        name,
        place,
        cardinality,
        register: need,
        on_demand: need,
        judge,
        max: LONG_NAME,
        tolerable: false,
        section,
    }
}

/// Every attribute that the framework gives a meaning to, alphabetical within its noun.
///
/// availabilityStatus and comments have no row: the one is ignored on submission
/// (ITI TF-3 §4.2.3.2.2), the other is any text of any length.
#[rustfmt::skip] // A table reads in rows.
pub const ATTRIBUTES: &[Attribute] = &[
    row(DocumentEntry, "author", Place::Author(scheme::ENTRY_AUTHOR), Many, Optional, anything).tolerable(),
    row(DocumentEntry, "classCode", Place::Code(scheme::CLASS_CODE), One, Required, anything).tolerable(),
    row(DocumentEntry, "confidentialityCode", Place::Code(scheme::CONFIDENTIALITY_CODE), Many, Required, anything),
    row(DocumentEntry, "creationTime", Place::Slot(slot::CREATION_TIME), One, Required, dtm).on_demand(Prohibited),
    row(DocumentEntry, "documentAvailability", Place::Slot(slot::DOCUMENT_AVAILABILITY), One, Optional, availability),
    row(DocumentEntry, "entryUUID", Place::Id, One, Required, id).max(usize::MAX),
    row(DocumentEntry, "eventCodeList", Place::Code(scheme::EVENT_CODE), Many, Optional, anything).tolerable(),
    row(DocumentEntry, "formatCode", Place::Code(scheme::FORMAT_CODE), One, Required, anything).tolerable(),
    row(DocumentEntry, "hash", Place::Slot(slot::HASH), One, Required, hl7::sha1).on_demand(Prohibited),
    row(DocumentEntry, "healthcareFacilityTypeCode", Place::Code(scheme::FACILITY_TYPE_CODE), One, Required, anything).tolerable(),
    row(DocumentEntry, "homeCommunityId", Place::Home, One, Optional, home),
    row(DocumentEntry, "languageCode", Place::Slot(slot::LANGUAGE_CODE), One, Required, hl7::language).tolerable(),
    row(DocumentEntry, "legalAuthenticator", Place::Slot(slot::LEGAL_AUTHENTICATOR), One, Optional, person).tolerable(),
    row(DocumentEntry, "limitedMetadata", Place::Node(v::LIMITED_METADATA_NODES[1]), One, Prohibited, anything),
    row(DocumentEntry, "logicalID", Place::LogicalId, One, Optional, anything).max(usize::MAX),
    row(DocumentEntry, "mimeType", Place::MimeType, One, Required, hl7::mime),
    row(DocumentEntry, "objectType", Place::ObjectType, One, Required, anything),
    row(DocumentEntry, "patientId", Place::Identifier(identifier::ENTRY_PATIENT_ID), One, Required, hl7::cx),
    row(DocumentEntry, "practiceSettingCode", Place::Code(scheme::PRACTICE_SETTING_CODE), One, Required, anything).tolerable(),
    row(DocumentEntry, "referenceIdList", Place::Slot(slot::REFERENCE_ID_LIST), Many, Optional, hl7::cxi),
    row(DocumentEntry, "repositoryUniqueId", Place::Slot(slot::REPOSITORY_UNIQUE_ID), One, Required, oid),
    row(DocumentEntry, "serviceStartTime", Place::Slot(slot::SERVICE_START_TIME), One, Optional, dtm),
    row(DocumentEntry, "serviceStopTime", Place::Slot(slot::SERVICE_STOP_TIME), One, Optional, dtm),
    row(DocumentEntry, "size", Place::Slot(slot::SIZE), One, Required, hl7::size).on_demand(Prohibited),
    row(DocumentEntry, "sourcePatientId", Place::Slot(slot::SOURCE_PATIENT_ID), One, Required, source_patient),
    // The outer shape only: no document is stopped for a birth date that a broker never needs.
    row(DocumentEntry, "sourcePatientInfo", Place::Slot(slot::SOURCE_PATIENT_INFO), Many, Optional, hl7::source_patient_info).tolerable(),
    // DECISION: the framework says fewer than 128, its implementers 128 at most; the wider one.
    row(DocumentEntry, "title", Place::Name, One, Optional, anything).max(128).tolerable(),
    row(DocumentEntry, "typeCode", Place::Code(scheme::TYPE_CODE), One, Required, anything).tolerable(),
    row(DocumentEntry, "uniqueId", Place::Identifier(identifier::ENTRY_UNIQUE_ID), One, Required, unique_id),
    row(DocumentEntry, "URI", Place::Slot(slot::URI), One, Optional, anything),
    row(SubmissionSet, "author", Place::Author(scheme::SET_AUTHOR), Many, Optional, anything).tolerable(),
    row(SubmissionSet, "contentTypeCode", Place::Code(scheme::CONTENT_TYPE_CODE), One, Required, anything).tolerable(),
    row(SubmissionSet, "entryUUID", Place::Id, One, Required, id).max(usize::MAX),
    row(SubmissionSet, "homeCommunityId", Place::Home, One, Optional, home),
    row(SubmissionSet, "intendedRecipient", Place::Slot(slot::INTENDED_RECIPIENT), Many, Optional, hl7::recipient).tolerable(),
    row(SubmissionSet, "limitedMetadata", Place::Node(v::LIMITED_METADATA_NODES[0]), One, Prohibited, anything),
    row(SubmissionSet, "logicalID", Place::LogicalId, One, Optional, anything).max(usize::MAX),
    row(SubmissionSet, "patientId", Place::Identifier(identifier::SET_PATIENT_ID), One, Required, hl7::cx),
    row(SubmissionSet, "sourceId", Place::Identifier(identifier::SET_SOURCE_ID), One, Required, oid),
    row(SubmissionSet, "submissionTime", Place::Slot(slot::SUBMISSION_TIME), One, Required, dtm),
    row(SubmissionSet, "title", Place::Name, One, Optional, anything).tolerable(),
    row(SubmissionSet, "uniqueId", Place::Identifier(identifier::SET_UNIQUE_ID), One, Required, oid),
    row(Folder, "codeList", Place::Code(scheme::FOLDER_CODE), Many, Required, anything).tolerable(),
    row(Folder, "entryUUID", Place::Id, One, Required, id).max(usize::MAX),
    row(Folder, "homeCommunityId", Place::Home, One, Optional, home),
    // The registry overwrites it; its form is judged nevertheless.
    row(Folder, "lastUpdateTime", Place::Slot(slot::LAST_UPDATE_TIME), One, Optional, dtm),
    row(Folder, "limitedMetadata", Place::Node(v::LIMITED_METADATA_NODES[2]), One, Prohibited, anything),
    row(Folder, "logicalID", Place::LogicalId, One, Optional, anything).max(usize::MAX),
    row(Folder, "patientId", Place::Identifier(identifier::FOLDER_PATIENT_ID), One, Required, hl7::cx),
    row(Folder, "title", Place::Name, One, Required, anything).tolerable(),
    row(Folder, "uniqueId", Place::Identifier(identifier::FOLDER_UNIQUE_ID), One, Required, oid),
    row(Association, "documentation", Place::Code(scheme::ASSOCIATION_DOCUMENTATION), One, Optional, anything).tolerable(),
    // Not required: an association that nothing refers to gets its id from the registry.
    row(Association, "entryUUID", Place::Id, One, Optional, id).max(usize::MAX),
    row(Association, "logicalID", Place::LogicalId, One, Optional, anything).max(usize::MAX),
    row(Association, "SubmissionSetStatus", Place::Slot(slot::SUBMISSION_SET_STATUS), One, Optional, set_status),
    // They make an update of a HasMember; as a submission it would be a second entry.
    row(Association, "PreviousVersion", Place::Slot(slot::PREVIOUS_VERSION), One, Prohibited, anything),
    row(Association, "AssociationPropagation", Place::Slot(slot::ASSOCIATION_PROPAGATION), One, Prohibited, anything),
];

/// The slots of an author and what judges them; true: at most one value (ITI TF-3 §4.2.3.1.4).
const AUTHOR_SLOTS: &[(&str, bool, Judge)] = &[
    (slot::AUTHOR_PERSON, true, person),
    (slot::AUTHOR_INSTITUTION, false, hl7::xon),
    (slot::AUTHOR_ROLE, false, coded_string),
    (slot::AUTHOR_SPECIALTY, false, coded_string),
    (slot::AUTHOR_TELECOMMUNICATION, false, hl7::xtn),
];

/// Table of optionality (ITI TF-3 Table 4.3.1-3).
const OPTIONALITY: &str = "ITI TF-3 Table 4.3.1-3";
/// Table of data types.
const DATA_TYPES: &str = "ITI TF-3 Table 4.2.3.1.7-2";

fn anything(_: &str) -> Verdict {
    Ok(())
}

fn dtm(text: &str) -> Verdict {
    Dtm::parse(text).map(|_| ())
}

fn oid(text: &str) -> Verdict {
    if is_oid(text) { Ok(()) } else { Err("an OID: dotted numbers without leading zeros, at most 64 characters") }
}

fn unique_id(text: &str) -> Verdict {
    UniqueId::parse(text).map(|_| ()).map_err(|e| e.why)
}

fn home(text: &str) -> Verdict {
    HomeCommunityId::parse(text).map(|_| ()).map_err(|e| e.why)
}

/// An id that starts as a UUID must be one; anything else is a symbol (ITI TF-3 §4.2.3.1.5).
fn id(text: &str) -> Verdict {
    if text.is_empty() {
        return Err("an id is not empty");
    }
    if text.starts_with("urn:uuid:") && ObjectId::read(text.into()).uuid().is_none() {
        return Err("urn:uuid: and 8-4-4-4-12 hexadecimal digits");
    }
    Ok(())
}

fn availability(text: &str) -> Verdict {
    if text == v::ONLINE || text == v::OFFLINE { Ok(()) } else { Err("the URN of Online or Offline") }
}

fn set_status(text: &str) -> Verdict {
    if text == "Original" || text == "Reference" { Ok(()) } else { Err("Original or Reference") }
}

/// XCN as [`hl7::xcn`] judges it.
///
/// DECISION(ITI TF-3 Table 4.2.3.1.7-2): an assigning authority written `&urn:oid:…&ISO` is let
/// through; senders in the field write it, and we only match the person's text.
fn person(text: &str) -> Verdict {
    hl7::xcn(text).or_else(|why| {
        if text.contains("&urn:oid:") && hl7::xcn(&text.replacen("&urn:oid:", "&", 1)).is_ok() {
            Ok(())
        } else {
            Err(why)
        }
    })
}

/// sourcePatientId: CX in its shape.
///
/// DECISION(ITI TF-3 Table 4.2.3.1.7-2): the source's own authority may be an OID of any root, as
/// test systems make them up; nothing here acts on it.
fn source_patient(text: &str) -> Verdict {
    hl7::cx(text).or_else(|why| {
        let mut components = text.splitn(5, '^');
        let (id, second, third) = (components.next(), components.next(), components.next());
        let authority = components.next().and_then(|hd| hd.strip_prefix('&')).and_then(|hd| hd.strip_suffix("&ISO"));
        let (Some(id), Some(""), Some(""), Some(authority)) = (id, second, third, authority) else {
            return Err(why);
        };
        let rest_is_empty = components.next().is_none_or(|rest| rest.bytes().all(|b| b == b'^'));
        let any_root = authority.split_once('.').is_some_and(|(root, rest)| {
            !root.is_empty() && root.bytes().all(|b| b.is_ascii_digit()) && is_oid(&format!("2.{rest}"))
        });
        if !id.is_empty() && !id.contains('&') && rest_is_empty && any_root { Ok(()) } else { Err(why) }
    })
}

/// authorRole and authorSpecialty: plain text, or a code as `code^^^&OID&ISO`; the fourth
/// component decides which (ITI TF-3 Table 4.2.3.1.7-2, Coded String).
fn coded_string(text: &str) -> Verdict {
    match text.split('^').nth(3) {
        Some(authority) if !authority.is_empty() => hl7::cx(text),
        _ => Ok(()),
    }
}

/// Whether a text is a URN (RFC 8141, outer shape).
///
/// DECISION(ITI TF-3 §4.2.3.1.6): one of a namespace alone, as `urn:att`, is let through: the public
/// test kits name their extra metadata so.
fn is_urn(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let (namespace, specific) = rest.split_once(':').map_or((rest, None), |(name, specific)| (name, Some(specific)));
    scheme.eq_ignore_ascii_case("urn")
        && (2..=32).contains(&namespace.len())
        && namespace.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !namespace.starts_with('-')
        && specific.is_none_or(|text| !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control()))
}

/// Values of a slot that count: empty ones are no values (ITI TF-3 §4.2.3.1.6).
fn values<'s>(slot: Option<&'s Slot<'_>>) -> impl Iterator<Item = &'s str> {
    slot.into_iter().flat_map(|slot| &slot.values).map(|value| trim(value)).filter(|value| !value.is_empty())
}

fn too_long(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().count() > max
}

/// Judges one object that is a first version: another logicalID means a new version, which only a
/// metadata update may bring.
pub(super) fn judge(object: &RegistryObject<'_>, profile: Profile, codes: Option<&CodeSet>, findings: &mut Findings) {
    judge_any_version(object, profile, codes, findings);
    let common = &object.common;
    if object.noun() != Noun::Other && common.lid.is_some() && common.lid != common.id {
        findings.metadata(format_args!(
            "{}: logicalID is absent or equal to the entryUUID in a first version (ITI TF-3 §4.2.3.1, Metadata Update)",
            Named(object)
        ));
    }
}

/// Judges one object by the rows of its noun and the rules that tie them together.
pub(super) fn judge_any_version(
    object: &RegistryObject<'_>,
    profile: Profile,
    codes: Option<&CodeSet>,
    findings: &mut Findings,
) {
    let noun = object.noun();
    for attribute in ATTRIBUTES.iter().filter(|attribute| attribute.noun == noun) {
        let need = attribute.need(profile);
        let count = judge_attribute(object, attribute, profile, codes, findings);
        let (name, section) = (attribute.name, attribute.section);
        match need {
            Required if count == 0 => {
                attribute
                    .find(findings, format_args!("{}: {name} is required ({section}, {OPTIONALITY})", Named(object)));
            }
            // DECISION(ITI TF-3 §4.2.3.1.6): an empty slot counts here, since it would be stored, and given back.
            Prohibited
                if count > 0 || matches!(attribute.place, Place::Slot(slot) if object.common.slot(slot).is_some()) =>
            {
                findings
                    .metadata(format_args!("{}: {name} is not allowed here ({section}, {OPTIONALITY})", Named(object)));
            }
            _ => {}
        }
        if count > 1 && attribute.cardinality == One {
            findings.metadata(format_args!(
                "{}: {name} is there {count} times, at most once is allowed ({section})",
                Named(object)
            ));
        }
    }
    judge_slots(object, findings);
    judge_links(object, findings);
    if noun == DocumentEntry {
        judge_service_times(object, findings);
    }
}

/// Judges the values of an attribute and counts them.
fn judge_attribute(
    object: &RegistryObject<'_>,
    attribute: &Attribute,
    profile: Profile,
    codes: Option<&CodeSet>,
    findings: &mut Findings,
) -> usize {
    let common = &object.common;
    match attribute.place {
        Place::Id => match &common.id {
            Some(ObjectId::Symbol(text)) => judge_values(object, attribute, [text.as_ref()], findings),
            Some(ObjectId::Uuid(_)) => 1,
            None => 0,
        },
        Place::LogicalId => usize::from(common.lid.is_some()),
        Place::Home => {
            judge_values(object, attribute, common.home.as_deref().filter(|home| !home.is_empty()), findings)
        }
        Place::ObjectType => {
            let expected = if profile == Profile::RegisterOnDemand { v::ON_DEMAND } else { v::STABLE };
            let given = common.object_type.as_deref().filter(|given| !given.is_empty());
            if given.is_some_and(|given| given != expected) {
                let section = if profile == Profile::RegisterOnDemand { "§3.61.4.1.2" } else { "§3.42.4.1.2" };
                findings.metadata(format_args!(
                    "{}: objectType of a DocumentEntry is {expected} in this transaction (ITI TF-2 {section})",
                    Named(object)
                ));
            }
            usize::from(given.is_some())
        }
        Place::MimeType => {
            let Body::ExtrinsicObject { mime_type, .. } = &object.body else {
                return 0;
            };
            let given = mime_type.as_deref().filter(|given| !given.is_empty());
            if let (Some(given), Some(codes)) = (given, codes)
                && !codes.allows_mime_type(given)
            {
                findings.tolerable(
                    attribute.noun,
                    attribute.name,
                    format_args!(
                        "{}: mimeType {} is not in the affinity domain's list (ITI TF-2 §3.42.4.1.3.3.4)",
                        Named(object),
                        Shown(given)
                    ),
                );
            }
            judge_values(object, attribute, given, findings)
        }
        Place::Name => {
            // Several LocalizedStrings are one title in several languages; the first one counts.
            let title = common.names.first().map(|name| name.value.as_ref()).filter(|title| !title.is_empty());
            judge_values(object, attribute, title, findings)
        }
        Place::Slot(name) => {
            let slot = common.slot(name);
            if name == slot::LANGUAGE_CODE
                && let Some(codes) = codes
            {
                for language in values(slot).filter(|language| !codes.allows_language(language)) {
                    attribute.find(
                        findings,
                        format_args!(
                            "{}: languageCode {} is not in the affinity domain's list (ITI TF-2 §3.42.4.1.3.3.3)",
                            Named(object),
                            Shown(language)
                        ),
                    );
                }
            }
            judge_values(object, attribute, values(slot), findings)
        }
        Place::Code(scheme) => object
            .classified_by(scheme)
            .map(|code| judge_code(object, attribute, scheme, code, codes, findings))
            .count(),
        Place::Author(scheme) => {
            object.classified_by(scheme).map(|author| judge_author(object, attribute, author, findings)).count()
        }
        Place::Node(node) => object.classifications.iter().filter(|c| c.node.as_deref() == Some(node)).count(),
        Place::Identifier(scheme) => {
            let given = object.identifiers.iter().filter(|given| given.scheme.as_deref() == Some(scheme));
            judge_values(object, attribute, given.map(|given| given.value.as_deref().unwrap_or_default()), findings)
        }
    }
}

fn judge_values<'t>(
    object: &RegistryObject<'_>,
    attribute: &Attribute,
    values: impl IntoIterator<Item = &'t str>,
    findings: &mut Findings,
) -> usize {
    let name = attribute.name;
    let mut count = 0;
    for value in values {
        count += 1;
        if let Err(rule) = (attribute.judge)(value) {
            attribute.find(
                findings,
                format_args!("{}: {name} must be: {rule} ({}, {DATA_TYPES})", Named(object), attribute.section),
            );
        } else if too_long(value, attribute.max) {
            let max = attribute.max;
            attribute.find(
                findings,
                format_args!("{}: {name} has at most {max} characters ({})", Named(object), attribute.section),
            );
        }
    }
    count
}

/// A code has a code and exactly one coding scheme, and is in the list if its attribute has one
/// (ITI TF-3 §4.2.3.1.2).
///
/// DECISION(ITI TF-3 §4.2.3.1.2): a missing display name is let through, as implementers do; it
/// is shown to people and compared by nobody.
fn judge_code(
    object: &RegistryObject<'_>,
    attribute: &Attribute,
    scheme: &str,
    code: &Classification<'_>,
    codes: Option<&CodeSet>,
    findings: &mut Findings,
) {
    let name = attribute.name;
    let section = "ITI TF-3 §4.2.3.1.2";
    let representation = code.representation.as_deref().unwrap_or_default();
    let mut schemes = values(code.common.slot(slot::CODING_SCHEME));
    let (coding_scheme, second) = (schemes.next(), schemes.next());
    if trim(representation).is_empty() {
        findings.metadata(format_args!("{}: {name} needs its code in nodeRepresentation ({section})", Named(object)));
    }
    if coding_scheme.is_none() || second.is_some() {
        findings.metadata(format_args!(
            "{}: {name} needs exactly one value in its slot codingScheme ({section})",
            Named(object)
        ));
    }
    if too_long(representation, attribute.max) || coding_scheme.is_some_and(|text| too_long(text, attribute.max)) {
        let max = attribute.max;
        findings.metadata(format_args!(
            "{}: code and coding scheme of {name} have at most {max} characters ({section})",
            Named(object)
        ));
    }
    if let (Some(codes), Some(coding_scheme)) = (codes, coding_scheme)
        && !trim(representation).is_empty()
        && !codes.allows(scheme, coding_scheme, representation)
    {
        attribute.find(
            findings,
            format_args!(
                "{}: {name} {} of coding scheme {} is not in the affinity domain's list (ITI TF-2 §3.42.4.1.3.3.3)",
                Named(object),
                Shown(representation),
                Shown(coding_scheme)
            ),
        );
    }
}

/// An author is a person, an institution or an address, each in its type (ITI TF-3 §4.2.3.1.4).
fn judge_author(
    object: &RegistryObject<'_>,
    attribute: &Attribute,
    author: &Classification<'_>,
    findings: &mut Findings,
) {
    let section = "ITI TF-3 §4.2.3.1.4";
    for (name, single, judge) in AUTHOR_SLOTS {
        let mut count = 0;
        for value in values(author.common.slot(name)) {
            count += 1;
            if let Err(rule) = judge(value) {
                attribute.find(
                    findings,
                    format_args!("{}: {name} must be: {rule} ({section}, {DATA_TYPES})", Named(object)),
                );
            } else if too_long(value, LONG_NAME) {
                attribute.find(
                    findings,
                    format_args!("{}: {name} has at most {LONG_NAME} characters ({section})", Named(object)),
                );
            }
        }
        if *single && count > 1 {
            attribute.find(
                findings,
                format_args!("{}: {name} has {count} values, an author is one person ({section})", Named(object)),
            );
        }
    }
    let identifies = [slot::AUTHOR_PERSON, slot::AUTHOR_INSTITUTION, slot::AUTHOR_TELECOMMUNICATION];
    if identifies.iter().all(|name| values(author.common.slot(name)).next().is_none()) {
        attribute.find(
            findings,
            format_args!(
                "{}: author needs authorPerson, authorInstitution or authorTelecommunication ({section})",
                Named(object)
            ),
        );
    }
}

/// Slot names are unique, and what the framework does not define bears a URN of its maker's
/// (ITI TF-3 §4.2.3.1.6).
fn judge_slots(object: &RegistryObject<'_>, findings: &mut Findings) {
    let section = "ITI TF-3 §4.2.3.1.6";
    repeated_slot(&object.common, "", object, findings);
    for classification in &object.classifications {
        let of = classification.scheme.as_deref().unwrap_or("a classification");
        repeated_slot(&classification.common, of, object, findings);
    }
    let noun = object.noun();
    for slot in &object.common.slots {
        let name = slot.name.as_ref();
        if ATTRIBUTES.iter().any(|a| a.noun == noun && matches!(a.place, Place::Slot(known) if known == name)) {
            continue;
        }
        let reserved = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("urn:ihe:"));
        if reserved || !is_urn(name) {
            findings.tolerable(
                noun,
                "slot",
                format_args!(
                    "{}: slot {} is not of the framework; extra metadata is named by a URN that does not start with urn:ihe: ({section})",
                    Named(object),
                    Shown(name)
                ),
            );
        }
    }
}

fn repeated_slot(common: &Common<'_>, of: &str, object: &RegistryObject<'_>, findings: &mut Findings) {
    let mut names: Vec<&str> = common.slots.iter().map(|slot| slot.name.as_ref()).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [one, other] = pair
            && one == other
        {
            let (of, gap) = if of.is_empty() { ("", "") } else { (of, " of ") };
            findings.metadata(format_args!(
                "{}: slot {}{gap}{} is there twice (ITI TF-3 §4.2.3.1.6)",
                Named(object),
                Shown(one),
                Shown(of)
            ));
        }
    }
}

/// Classifications and external identifiers belong to the object they stand in, and to its noun
/// (ITI TF-3 §4.2.3.1.2, §4.2.3.1.3). Unknown schemes are carried as received.
///
/// DECISION(ITI TF-3 §4.2.3.1.2, §4.2.3.1.3): classifiedObject and registryObject may be missing, since
/// the element says where it belongs; the fixed Name text of an external identifier is not compared,
/// since the scheme says all that we act upon.
fn judge_links(object: &RegistryObject<'_>, findings: &mut Findings) {
    let noun = object.noun();
    let id = object.common.id.as_ref();
    for classification in &object.classifications {
        if classification.classified.is_some() && classification.classified.as_ref() != id {
            findings.metadata(format_args!(
                "{}: a Classification names another object in classifiedObject than the one it stands in (ITI TF-3 §4.2.3.1.2)",
                Named(object)
            ));
        }
        match (classification.scheme.as_deref().unwrap_or_default(), classification.node.as_deref().unwrap_or_default())
        {
            ("", "") => findings.metadata(format_args!(
                "{}: a Classification needs a classificationScheme or a classificationNode (ITI TF-3 §4.2.3.1.2)",
                Named(object)
            )),
            (scheme, node) => {
                let foreign = |place: Place| {
                    matches!(place, Place::Code(s) | Place::Author(s) if s == scheme)
                        || matches!(place, Place::Node(n) if n == node)
                };
                misplaced(object, noun, foreign, findings);
            }
        }
    }
    for given in &object.identifiers {
        if given.registry_object.is_some() && given.registry_object.as_ref() != id {
            findings.metadata(format_args!(
                "{}: an ExternalIdentifier names another object in registryObject than the one it stands in (ITI TF-3 §4.2.3.1.3)",
                Named(object)
            ));
        }
        let scheme = given.scheme.as_deref().unwrap_or_default();
        if scheme.is_empty() {
            findings.metadata(format_args!(
                "{}: an ExternalIdentifier needs an identificationScheme (ITI TF-3 §4.2.3.1.3)",
                Named(object)
            ));
        }
        misplaced(object, noun, |place| matches!(place, Place::Identifier(s) if s == scheme), findings);
    }
}

fn misplaced(object: &RegistryObject<'_>, noun: Noun, is_it: impl Fn(Place) -> bool, findings: &mut Findings) {
    if let Some(attribute) = ATTRIBUTES.iter().find(|attribute| is_it(attribute.place))
        && attribute.noun != noun
        && noun != Noun::Other
    {
        findings.metadata(format_args!(
            "{}: {}.{} does not belong in it (ITI TF-3 §4.2.5.1)",
            Named(object),
            attribute.noun.as_str(),
            attribute.name
        ));
    }
}

/// A service does not stop before it starts (ITI TF-2 §3.42.4.1.3.3.6).
fn judge_service_times(object: &RegistryObject<'_>, findings: &mut Findings) {
    let time = |name| object.common.slot_value(name).and_then(|text| Dtm::parse(text).ok());
    if let (Some(start), Some(stop)) = (time(slot::SERVICE_START_TIME), time(slot::SERVICE_STOP_TIME))
        && !start.not_after(&stop)
    {
        findings.metadata(format_args!(
            "{}: serviceStartTime is after serviceStopTime (ITI TF-2 §3.42.4.1.3.3.6)",
            Named(object)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mode, fixture, submission};
    use super::*;
    use crate::model::metadata::build;
    use crate::model::response::{ErrorCode, Severity};
    use crate::model::rim::ExternalIdentifier;

    type Change = fn(&mut RegistryObject<'static>);

    fn findings(object: usize, change: Change, profile: Profile, codes: Option<&CodeSet>) -> Vec<String> {
        let mut objects = fixture::submission();
        change(&mut objects[object]);
        match submission::judge(objects, profile, codes) {
            Ok(_) => Vec::new(),
            Err(errors) => errors
                .into_iter()
                .inspect(|error| assert_eq!(error.code, ErrorCode::XDSRegistryMetadataError, "{}", error.context))
                .map(|error| error.context)
                .collect(),
        }
    }

    fn without(object: &mut RegistryObject<'static>, attribute: &Attribute) {
        match attribute.place {
            Place::Id => object.common.id = None,
            Place::LogicalId => object.common.lid = None,
            Place::Home => object.common.home = None,
            Place::ObjectType => object.common.object_type = None,
            Place::MimeType => object.body = Body::ExtrinsicObject { mime_type: None, opaque: None },
            Place::Name => object.common.names.clear(),
            Place::Slot(name) => object.common.slots.retain(|slot| slot.name != name),
            Place::Code(scheme) | Place::Author(scheme) => {
                object.classifications.retain(|c| c.scheme.as_deref() != Some(scheme));
            }
            Place::Node(node) => object.classifications.retain(|c| c.node.as_deref() != Some(node)),
            Place::Identifier(scheme) => object.identifiers.retain(|i| i.scheme.as_deref() != Some(scheme)),
        }
    }

    #[test]
    fn rows_are_well_formed() {
        for (n, row) in ATTRIBUTES.iter().enumerate() {
            assert!(row.section.starts_with("ITI TF-3 §"), "{}", row.name);
            assert!(
                ATTRIBUTES[..n]
                    .iter()
                    .all(|other| other.noun != row.noun || (other.name != row.name && other.place != row.place)),
                "{} has two rows",
                row.name
            );
        }
    }

    /// The R and X of ITI TF-3 Table 4.3.1-3, written down a second time.
    #[test]
    fn columns_are_those_of_the_framework() {
        let names = |noun, profile, need| -> Vec<&str> {
            ATTRIBUTES.iter().filter(|row| row.noun == noun && row.need(profile) == need).map(|row| row.name).collect()
        };
        let common = "classCode confidentialityCode entryUUID formatCode healthcareFacilityTypeCode languageCode mimeType \
                      objectType patientId practiceSettingCode repositoryUniqueId sourcePatientId typeCode uniqueId";
        let mut register: Vec<&str> = common.split_whitespace().chain(["creationTime", "hash", "size"]).collect();
        register.sort_unstable();
        let mut found = names(DocumentEntry, Profile::Register, Required);
        found.sort_unstable();
        assert_eq!(found, register);
        assert_eq!(
            names(DocumentEntry, Profile::RegisterOnDemand, Required).join(" "),
            common.split_whitespace().collect::<Vec<_>>().join(" ")
        );
        assert_eq!(names(DocumentEntry, Profile::Register, Prohibited), ["limitedMetadata"]);
        assert_eq!(
            names(DocumentEntry, Profile::RegisterOnDemand, Prohibited),
            ["creationTime", "hash", "limitedMetadata", "size"]
        );
        for profile in [Profile::Register, Profile::RegisterOnDemand] {
            let set = ["contentTypeCode", "entryUUID", "patientId", "sourceId", "submissionTime", "uniqueId"];
            assert_eq!(names(SubmissionSet, profile, Required), set);
            assert_eq!(names(Folder, profile, Required), ["codeList", "entryUUID", "patientId", "title", "uniqueId"]);
            assert_eq!(names(SubmissionSet, profile, Prohibited), ["limitedMetadata"]);
            assert_eq!(names(Folder, profile, Prohibited), ["limitedMetadata"]);
        }
    }

    /// Every R of the table: without the attribute there is one finding, and it names it.
    #[test]
    fn each_required_attribute_is_missed() {
        for (at, object) in fixture::submission().iter().enumerate().take(3) {
            for row in ATTRIBUTES.iter().filter(|row| row.noun == object.noun() && row.place != Place::Id) {
                let mut objects = fixture::submission();
                without(&mut objects[at], row);
                let contexts: Vec<String> = submission::judge(objects, Profile::Register, None)
                    .map_or_else(|errors| errors.into_iter().map(|e| e.context).collect(), |_| Vec::new());
                let expected = format!(": {} is required", row.name);
                if row.need(Profile::Register) == Required {
                    assert_eq!(contexts.len(), 1, "{contexts:?}");
                    assert!(contexts[0].contains(&expected), "{contexts:?}");
                } else {
                    assert!(contexts.is_empty(), "{} {contexts:?}", row.name);
                }
            }
        }
    }

    /// The tolerable rows, written down a second time: identifiers, times, confidentiality and
    /// integrity are not among them.
    #[test]
    fn tolerable_are_descriptions_alone() {
        let names = |noun| -> Vec<&str> {
            ATTRIBUTES.iter().filter(|row| row.noun == noun && row.tolerable).map(|row| row.name).collect()
        };
        let entry = "author classCode eventCodeList formatCode healthcareFacilityTypeCode languageCode \
                     legalAuthenticator practiceSettingCode sourcePatientInfo title typeCode";
        assert_eq!(names(DocumentEntry), entry.split_whitespace().collect::<Vec<_>>());
        assert_eq!(names(SubmissionSet), ["author", "contentTypeCode", "intendedRecipient", "title"]);
        assert_eq!(names(Folder), ["codeList", "title"]);
        assert_eq!(names(Association), ["documentation"]);
    }

    /// What is tolerable without being so by its row, and what stays refused beside it.
    #[test]
    fn a_lenient_judge_tolerates_misfits_and_foreign_slots() {
        use fixture::ENTRY;
        let codes = CodeSet::parse("<Codes><CodeType name='mimeType'><Code code='x/y'/></CodeType></Codes>").unwrap();
        let table: &[(Change, Option<&str>)] = &[
            (|o| o.common.set_slot("made-up", "1"), Some("slot")),
            (|o| o.common.set_slot(slot::LEGAL_AUTHENTICATOR, "^^^&x"), Some("legalAuthenticator")),
            (|o| o.common.names = build::name("t".repeat(129)), Some("title")),
            (|o| o.common.set_slot(slot::SERVICE_START_TIME, "2024031"), None),
            (|o| o.common.set_slot(slot::SOURCE_PATIENT_ID, "x"), None),
            (|o| o.common.set_slot(slot::REFERENCE_ID_LIST, "x"), None),
            (
                |o| {
                    o.common.set_slot(slot::SERVICE_START_TIME, "20240302");
                    o.common.set_slot(slot::SERVICE_STOP_TIME, "20240301");
                },
                None,
            ),
        ];
        for (n, (change, expected)) in table.iter().enumerate() {
            let mut objects = fixture::submission();
            change(&mut objects[ENTRY]);
            let judged = submission::judge_in(Mode::Lenient, objects, Profile::Register, None);
            let tolerated = judged.ok().map(|(_, tolerated)| tolerated);
            let names: Option<Vec<_>> = tolerated.map(|all| all.iter().map(|one| one.attribute).collect());
            assert_eq!(names, expected.map(|name| vec![name]), "row {n}");
        }
        let judged = submission::judge_in(Mode::Shadow, fixture::submission(), Profile::Register, Some(&codes));
        assert!(judged.unwrap().1.iter().all(|one| one.attribute == "mimeType"));
    }

    /// Without a required attribute: tolerated with its name where the row says so, refused elsewhere.
    #[test]
    fn a_lenient_judge_tolerates_what_the_table_says() {
        for (at, object) in fixture::submission().iter().enumerate().take(3) {
            let required = |row: &&Attribute| row.noun == object.noun() && row.register == Required;
            for row in ATTRIBUTES.iter().filter(required).filter(|row| row.place != Place::Id) {
                for mode in [Mode::Lenient, Mode::Shadow] {
                    let mut objects = fixture::submission();
                    without(&mut objects[at], row);
                    let judged = submission::judge_in(mode, objects, Profile::Register, None);
                    match judged {
                        Ok((_, tolerated)) => {
                            assert!(row.tolerable, "{}", row.name);
                            assert_eq!(tolerated.len(), 1);
                            assert_eq!((tolerated[0].noun, tolerated[0].attribute), (row.noun, row.name));
                            assert_eq!(tolerated[0].warning.severity, Severity::Warning);
                        }
                        Err(errors) => {
                            assert!(!row.tolerable, "{} {errors:?}", row.name);
                            assert!(errors.iter().all(|error| error.severity == Severity::Error));
                        }
                    }
                }
            }
        }
    }

    /// A refusal tells all: what refuses, and in a lenient answer what would have been let through.
    #[test]
    fn a_refusal_tells_what_was_tolerable_only_where_warnings_are_told() {
        for (mode, warnings) in [(Mode::Strict, 0), (Mode::Lenient, 1), (Mode::Shadow, 0)] {
            let mut objects = fixture::submission();
            let entry = &mut objects[fixture::ENTRY];
            entry
                .classifications
                .retain(|c| !matches!(c.scheme.as_deref(), Some(scheme::CLASS_CODE | scheme::CONFIDENTIALITY_CODE)));
            let errors = submission::judge_in(mode, objects, Profile::Register, None).unwrap_err();
            assert_eq!(errors.iter().filter(|error| error.severity == Severity::Warning).count(), warnings);
            assert_eq!(errors.len() - warnings, if mode == Mode::Strict { 2 } else { 1 });
        }
    }

    #[test]
    fn each_rule_has_its_finding() {
        use fixture::{ENTRY, FOLDER, SET, SET_ENTRY, TRANSFORM};
        let table: &[(usize, Change, &str)] = &[
            (ENTRY, |o| o.common.set_slot(slot::SERVICE_START_TIME, "2024031"), "serviceStartTime must be"),
            (SET, |o| o.identifiers[0].value = Some("PX-881".into()), "SubmissionSet set: patientId must be"),
            (FOLDER, |o| o.identifiers[0].value = Some("PX-881".into()), "Folder fol: patientId must be"),
            (ENTRY, |o| o.common.set_slot(slot::CREATION_TIME, "20050230"), "creationTime must be"),
            (ENTRY, |o| o.common.set_slot(slot::HASH, "xyz"), "hash must be"),
            (ENTRY, |o| o.common.set_slot(slot::SIZE, "-1"), "size must be"),
            (ENTRY, |o| o.common.set_slot(slot::LANGUAGE_CODE, "en_GB"), "languageCode must be"),
            (ENTRY, |o| o.common.set_slot(slot::LEGAL_AUTHENTICATOR, "^^Nneka"), "legalAuthenticator must be"),
            (ENTRY, |o| o.common.set_slot(slot::REFERENCE_ID_LIST, "ACC-77"), "referenceIdList must be"),
            (ENTRY, |o| o.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "urn:oid:2.999"), "repositoryUniqueId must be"),
            (ENTRY, |o| o.common.set_slot(slot::SERVICE_STOP_TIME, "200501020304-0500"), "serviceStopTime must be"),
            (ENTRY, |o| o.common.set_slot(slot::SOURCE_PATIENT_ID, "W-0042"), "sourcePatientId must be"),
            (ENTRY, |o| o.common.set_slot(slot::SOURCE_PATIENT_INFO, "PV1-2|x"), "sourcePatientInfo must be"),
            (ENTRY, |o| o.common.set_slot(slot::DOCUMENT_AVAILABILITY, "Online"), "documentAvailability must be"),
            (ENTRY, |o| o.common.set_slot(slot::SERVICE_START_TIME, "202403110931"), "serviceStartTime is after"),
            (ENTRY, |o| o.common.set_slot(slot::URI, "x".repeat(257)), "URI has at most 256"),
            (ENTRY, |o| o.common.names = build::name("x".repeat(129)), "title has at most 128"),
            (ENTRY, |o| o.common.home = Some("2.999".into()), "homeCommunityId must be"),
            (ENTRY, |o| o.common.lid = Some(fixture::id(fixture::KNOWN)), "logicalID is absent or equal"),
            (ENTRY, |o| o.common.object_type = Some(v::ON_DEMAND.into()), "objectType of a DocumentEntry"),
            (
                ENTRY,
                |o| o.body = Body::ExtrinsicObject { mime_type: Some("text".into()), opaque: None },
                "mimeType must be",
            ),
            (ENTRY, |o| o.identifiers[0].value = Some("PX^^^NS&2.999.50.100&ISO".into()), "patientId must be"),
            (ENTRY, |o| o.identifiers[1].value = Some("a b".into()), "uniqueId must be"),
            (ENTRY, |o| o.identifiers.push(o.identifiers[1].clone()), "uniqueId is there 2 times"),
            (ENTRY, |o| o.identifiers[1].registry_object = Some(fixture::id("set")), "registryObject"),
            (
                ENTRY,
                |o| o.identifiers.push(build::external_identifier(identifier::SET_SOURCE_ID, "2.999.1")),
                "SubmissionSet.sourceId does not belong",
            ),
            (ENTRY, |o| o.identifiers.push(ExternalIdentifier::default()), "needs an identificationScheme"),
            (ENTRY, |o| o.classifications.push(o.classifications[1].clone()), "classCode is there 2 times"),
            (ENTRY, |o| o.classifications[1].classified = Some(fixture::id("set")), "classifiedObject"),
            (ENTRY, |o| o.classifications[1].representation = Some("".into()), "classCode needs its code"),
            (
                ENTRY,
                |o| o.classifications[1].common.slots.clear(),
                "classCode needs exactly one value in its slot codingScheme",
            ),
            (
                ENTRY,
                |o| o.classifications[1].common.slots[0].values.push("2.999".into()),
                "classCode needs exactly one value in its slot codingScheme",
            ),
            (
                ENTRY,
                |o| o.classifications[1].representation = Some("x".repeat(257).into()),
                "code and coding scheme of classCode",
            ),
            (ENTRY, |o| o.classifications.push(Classification::default()), "needs a classificationScheme"),
            (
                ENTRY,
                |o| o.classifications.push(build::author(scheme::SET_AUTHOR, &[(slot::AUTHOR_PERSON, "^A")])),
                "SubmissionSet.author does not belong",
            ),
            (
                ENTRY,
                |o| {
                    o.classifications.push(Classification {
                        node: Some(v::LIMITED_METADATA_NODES[1].into()),
                        ..Classification::default()
                    })
                },
                "limitedMetadata is not allowed",
            ),
            (
                SET,
                |o| {
                    o.classifications.push(Classification {
                        node: Some(v::LIMITED_METADATA_NODES[0].into()),
                        ..Classification::default()
                    })
                },
                "limitedMetadata is not allowed",
            ),
            (
                FOLDER,
                |o| {
                    o.classifications.push(Classification {
                        node: Some(v::LIMITED_METADATA_NODES[2].into()),
                        ..Classification::default()
                    })
                },
                "limitedMetadata is not allowed",
            ),
            (
                FOLDER,
                |o| {
                    o.classifications.push(Classification {
                        node: Some(v::LIMITED_METADATA_NODES[1].into()),
                        ..Classification::default()
                    })
                },
                "DocumentEntry.limitedMetadata does not belong",
            ),
            (ENTRY, |o| o.classifications[0].common.set_slot(slot::AUTHOR_PERSON, "^^Nneka"), "authorPerson must be"),
            (
                ENTRY,
                |o| o.classifications[0].common.slots[0].values.push("^Okafor".into()),
                "authorPerson has 2 values",
            ),
            (
                ENTRY,
                |o| o.classifications[0].common.set_slot(slot::AUTHOR_INSTITUTION, "A^^^^^^^^^45"),
                "authorInstitution must be",
            ),
            (
                ENTRY,
                |o| o.classifications[0].common.set_slot(slot::AUTHOR_ROLE, "A^^^NS&2.999&ISO"),
                "authorRole must be",
            ),
            (
                ENTRY,
                |o| o.classifications[0].common.set_slot(slot::AUTHOR_SPECIALTY, "A^^^NS&2.999&ISO"),
                "authorSpecialty must be",
            ),
            (
                ENTRY,
                |o| o.classifications[0].common.set_slot(slot::AUTHOR_TELECOMMUNICATION, "a@example.org"),
                "authorTelecommunication must be",
            ),
            (
                ENTRY,
                |o| o.classifications[0].common.set_slot(slot::AUTHOR_ROLE, "x".repeat(257)),
                "authorRole has at most",
            ),
            (ENTRY, |o| o.classifications[0].common.slots.retain(|s| s.name == slot::AUTHOR_ROLE), "author needs"),
            (ENTRY, |o| o.common.slots.push(o.common.slots[0].clone()), "slot creationTime is there twice"),
            (ENTRY, |o| o.common.slots[0].values.push("2024".into()), "creationTime is there 2 times"),
            (ENTRY, |o| o.classifications[0].common.slots.push(Slot::single(slot::AUTHOR_ROLE, "2")), "is there twice"),
            (
                ENTRY,
                |o| o.common.slots.push(Slot::single("urn:ihe:mine", "x")),
                "slot urn:ihe:mine is not of the framework",
            ),
            (ENTRY, |o| o.common.slots.push(Slot::single("urn:IHE:mine", "x")), "is not of the framework"),
            (ENTRY, |o| o.common.slots.push(Slot::single("mine", "x")), "slot mine is not of the framework"),
            (
                ENTRY,
                |o| o.common.slots.push(Slot::single(slot::SUBMISSION_TIME, "2024")),
                "slot submissionTime is not of the framework",
            ),
            (SET, |o| o.common.set_slot(slot::SUBMISSION_TIME, "2024031109501"), "submissionTime must be"),
            (SET, |o| o.common.set_slot(slot::INTENDED_RECIPIENT, "||"), "intendedRecipient must be"),
            (SET, |o| o.identifiers[1].value = Some("2.999.05.1".into()), "sourceId must be"),
            (SET, |o| o.identifiers[2].value = Some("1^2".into()), "uniqueId must be"),
            (SET, |o| o.common.names = build::name("x".repeat(257)), "title has at most 256"),
            (SET, |o| o.common.home = Some("2.999".into()), "homeCommunityId must be"),
            (SET, |o| o.common.lid = Some(fixture::id("other")), "logicalID is absent or equal"),
            (FOLDER, |o| o.common.set_slot(slot::LAST_UPDATE_TIME, "now"), "lastUpdateTime must be"),
            (FOLDER, |o| o.identifiers[1].value = Some("folder".into()), "uniqueId must be"),
            (FOLDER, |o| o.common.names[0].value = "".into(), "title is required"),
            (FOLDER, |o| o.common.home = Some("2.999".into()), "homeCommunityId must be"),
            (FOLDER, |o| o.common.lid = Some(fixture::id("other")), "logicalID is absent or equal"),
            (SET_ENTRY, |o| o.common.lid = Some(fixture::id("other")), "logicalID is absent or equal"),
            (TRANSFORM, |o| o.classifications.push(o.classifications[0].clone()), "documentation is there 2 times"),
            (TRANSFORM, |o| o.common.set_slot(slot::SUBMISSION_SET_STATUS, "Maybe"), "SubmissionSetStatus must be"),
        ];
        for (n, (object, change, expected)) in table.iter().enumerate() {
            let found = findings(*object, *change, Profile::Register, None);
            assert_eq!(found.len(), 1, "row {n}, {expected}: {found:?}");
            assert!(found[0].contains(expected) && found[0].contains("(ITI TF-"), "row {n}: {found:?}");
        }
    }

    #[test]
    fn ids_are_uuids_or_symbols() {
        for at in [fixture::ENTRY, fixture::FOLDER, fixture::SET, fixture::TRANSFORM] {
            let mut objects = fixture::submission();
            objects[at].common.id = Some(fixture::id("urn:uuid:not-one"));
            let found = submission::judge(objects, Profile::Register, None).unwrap_err();
            assert!(found.iter().any(|error| error.context.contains("entryUUID must be: urn:uuid:")), "{found:?}");
        }
    }

    #[test]
    fn leniencies() {
        let table: &[Change] = &[
            |o| o.classifications[1].common.names.clear(),
            |o| o.identifiers[0].common.names.clear(),
            |o| o.classifications[1].classified = None,
            |o| o.common.lid = o.common.id.clone(),
            |o| o.common.status = Some("anything".into()),
            |o| o.common.set_slot(slot::CREATION_TIME, "\n 20240311 \n"),
            |o| o.common.set_slot(slot::SERVICE_STOP_TIME, "202403"),
            |o| o.common.slots.push(Slot { name: slot::URI.into(), slot_type: None, values: Vec::new() }),
            |o| o.common.set_slot(slot::SOURCE_PATIENT_ID, "W-0042^^^&3.4.5&ISO"),
            |o| o.classifications[0].common.set_slot(slot::AUTHOR_PERSON, "1^A^B^^^^^^&urn:oid:2.999.8&ISO"),
            |o| o.classifications[0].common.slots.push(Slot::single("authorSpeciality", "typo")),
            |o| {
                o.classifications
                    .push(Classification { scheme: Some("urn:uuid:unknown".into()), ..Classification::default() })
            },
            |o| o.identifiers.push(build::external_identifier("urn:uuid:unknown", "x".to_owned())),
        ];
        for (n, change) in table.iter().enumerate() {
            assert_eq!(findings(fixture::ENTRY, *change, Profile::Register, None), [] as [&str; 0], "row {n}");
        }
    }

    #[test]
    fn codes_are_in_the_list() {
        let file = |code: &str, mime: &str, more: &str| {
            CodeSet::parse(&format!(
                "<Codes><CodeType name='classCode'><Code code='{code}' codingScheme='2.999.60.1'/></CodeType>\
                 <CodeType name='mimeType'><Code code='{mime}'/></CodeType>{more}</Codes>"
            ))
            .unwrap()
        };
        let judge = |codes: &CodeSet| findings(fixture::ENTRY, |_| {}, Profile::Register, Some(codes));
        assert!(judge(&file("REPORT", "text/plain", "")).is_empty());
        let found = judge(&file("OTHER", "text/plain", ""));
        assert!(
            found[0].contains("classCode REPORT of coding scheme 2.999.60.1 is not in") && found.len() == 1,
            "{found:?}"
        );
        let found = judge(&file("REPORT", "text/xml", ""));
        assert!(found[0].contains("mimeType text/plain is not in") && found.len() == 1, "{found:?}");
        let german = "<CodeType name='languageCode'><Code code='de'/></CodeType>";
        let found = judge(&file("REPORT", "text/plain", german));
        assert!(found[0].contains("languageCode en-GB is not in") && found.len() == 1, "{found:?}");
        let others: String = ["contentTypeCode", "folderCodeList", "associationDocumentation"]
            .map(|name| format!("<CodeType name='{name}'><Code code='x' codingScheme='y'/></CodeType>"))
            .concat();
        assert_eq!(judge(&file("REPORT", "text/plain", &others)).len(), 3);
    }

    #[test]
    fn on_demand_has_no_content_yet() {
        let judge = |change: Change| findings(fixture::ENTRY, change, Profile::RegisterOnDemand, None);
        let good: Change = |o| {
            o.common.object_type = Some(v::ON_DEMAND.into());
            o.common.slots.retain(|s| ![slot::HASH, slot::SIZE, slot::CREATION_TIME].contains(&s.name.as_ref()));
        };
        assert_eq!(judge(good), [] as [&str; 0]);
        let found = judge(|_| {});
        assert_eq!(found.len(), 4, "{found:?}");
        for expected in [
            "creationTime is not allowed",
            "hash is not allowed",
            "size is not allowed",
            "objectType of a DocumentEntry",
        ] {
            assert!(found.iter().any(|context| context.contains(expected)), "{expected}");
        }
    }

    #[test]
    fn no_value_that_names_a_patient_is_repeated() {
        let found = findings(
            fixture::ENTRY,
            |o| {
                o.identifiers[0].value = Some("SECRET".into());
                o.common.set_slot(slot::SOURCE_PATIENT_ID, "SECRET");
                o.common.set_slot(slot::SOURCE_PATIENT_INFO, "SECRET");
                o.common.set_slot(slot::REFERENCE_ID_LIST, "SECRET");
                o.common.names = build::name("SECRET".repeat(100));
            },
            Profile::Register,
            None,
        );
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|context| !context.contains("SECRET") && context.starts_with("DocumentEntry doc: ")));
    }

    #[test]
    fn lenient_shapes_of_identifiers() {
        for (text, good) in [
            ("1^Adams^Ann", true),
            ("1^Adams^^^^^^^&urn:oid:2.999&ISO", true),
            ("1^Adams^^^^^^^&urn:oid:none&ISO", false),
        ] {
            assert_eq!(person(text).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("1^^^&2.999&ISO", true),
            ("1^^^&9.1.2&ISO", true),
            ("1^^^&9.1.2&ISO^^", true),
            ("1^^^&9.1.2&ISO^x", false),
            ("^^^&9.1.2&ISO", false),
            ("a&b^^^&9.1.2&ISO", false),
            ("1^x^^&9.1.2&ISO", false),
            ("1^^x^&9.1.2&ISO", false),
            ("1^^^&.1.2&ISO", false),
            ("1^^^&abc.1.2&ISO", false),
            ("1^^^&9.x&ISO", false),
            ("1^^^9.1.2", false),
        ] {
            assert_eq!(source_patient(text).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("Consultant", true),
            ("a^b^c", true),
            ("a^b^c^", true),
            ("309343006^^^&2.16.840.1.113883.6.96&ISO", true),
            ("309343006^^^none", false),
        ] {
            assert_eq!(coded_string(text).is_ok(), good, "{text}");
        }
        // Characters are counted, not octets, and the longest is allowed.
        for (text, long) in
            [("é".repeat(5), false), ("é".repeat(6), true), ("x".repeat(5), false), ("x".repeat(6), true)]
        {
            assert_eq!(too_long(&text, 5), long, "{text}");
        }
    }

    #[test]
    fn urns() {
        for good in ["urn:att", "urn:example:x", "urn:x-made-up:x", "URN:oid:1.2.3", "urn:uuid:1"] {
            assert!(is_urn(good), "{good}");
        }
        for bad in ["", "urn:", "urn:x:y", "urn:a_b:c", "urn:example:", "urn:example:a b", "http://x", "urn:-ab:c"] {
            assert!(!is_urn(bad), "{bad}");
        }
    }
}
