//! The sample federation, its people and documents, and how a row becomes a submission (ITI-41).
//!
//! Rows are written by `samples/demo/make.py` and carried by the program. Everything made here is
//! the same on every run, ids and times included, so that a run on the folder of an earlier one is
//! recognised as the same submissions sent again.

use std::collections::HashMap;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use bytes::Bytes;
use serde::Deserialize;

use super::DemoError;
use super::files::FILES;
use super::scan::five_megabyte_scan;
use crate::config::{PeerKind, PeerState, Scope};
use crate::model::hl7::escape;
use crate::model::ids::{EntryUuid, HomeCommunityId, InvalidId, Oid, PatientId, RepositoryUniqueId};
use crate::model::metadata::build;
use crate::model::rim::{ObjectId, RegistryObject, Slot};
use crate::model::vocabulary::{SUBMISSION_SET_NODE, identifier, scheme, slot};

/// The code file of the federation.
pub const CODES: &str = include_str!("../../samples/codes.xml");

/// The one document that is drawn rather than carried.
const GENERATED_SCAN: &str = "generated:five-megabyte-scan";

/// A community of the sample federation.
#[derive(Debug, Clone)]
pub struct Community {
    /// A short name, for folders.
    pub key: String,
    /// Its name, for people.
    pub name: String,
    /// Its identity (ITI TF-2 §3.38.4.1.2).
    pub home: HomeCommunityId,
    /// The identity of its Document Repository (ITI TF-3 §4.2.3.2.26).
    pub repository: RepositoryUniqueId,
    /// Inside the region or beyond it; none for the hub itself.
    pub scope: Option<Scope>,
    /// What it takes part in.
    pub kind: PeerKind,
    /// Live ones run; the others are known and not asked.
    pub state: PeerState,
    /// The domains of its organisations' own patient numbers.
    pub domains: Vec<Oid>,
}

impl Community {
    /// Whether it runs in the demonstration.
    pub fn is_live(&self) -> bool {
        self.state == PeerState::Live
    }
}

/// Everything under `samples/demo/`.
pub struct Samples {
    /// The hub first, then its members, neighbours, and those that are planned.
    pub communities: Vec<Community>,
    /// The domain in which all communities know a patient.
    pub shared_domain: Oid,
    people: HashMap<String, Person>,
    documents: Vec<Sample>,
    scan: OnceLock<Bytes>,
}

/// A document, as a row of `documents.json`.
#[derive(Deserialize)]
pub struct Sample {
    person: String,
    community: String,
    /// Its title.
    pub title: String,
    local_patient_id: String,
    local_patient_domain: String,
    creation_time: String,
    service_start: String,
    service_stop: Option<String>,
    class_code: Coded,
    type_code: Coded,
    format_code: Coded,
    facility_type_code: Coded,
    practice_setting_code: Coded,
    confidentiality_code: Coded,
    event_codes: Vec<Coded>,
    /// Its media type.
    pub mime_type: String,
    language: String,
    author: Author,
    /// Its uniqueId.
    pub unique_id: String,
    submission_set_unique_id: String,
    source_id: String,
    content_type_code: Coded,
    legal_authenticator: Option<String>,
    file: String,
}

#[derive(Deserialize)]
struct Coded {
    code: String,
    scheme: String,
    display: String,
}

#[derive(Deserialize)]
struct Author {
    person_xcn: String,
    role: String,
    specialty: String,
    institution_xon: String,
    telecom: String,
}

#[derive(Deserialize)]
struct Person {
    nhs_number: Option<String>,
    names: Vec<Name>,
    dob: String,
    sex: String,
    address: Option<Address>,
}

#[derive(Deserialize)]
struct Name {
    prefix: Option<String>,
    given: Vec<String>,
    family: String,
}

#[derive(Deserialize)]
struct Address {
    line: String,
    town: String,
    postcode: String,
    country: String,
}

#[derive(Deserialize)]
struct FederationFile {
    national_patient_domain: String,
    communities: Vec<CommunityRow>,
}

#[derive(Deserialize)]
struct CommunityRow {
    key: String,
    name: String,
    home_community_id: String,
    repository_unique_id: String,
    scope: String,
    kind: String,
    state: String,
    organisations: Vec<OrganisationRow>,
}

#[derive(Deserialize)]
struct OrganisationRow {
    patient_domain: String,
}

/// One submission: a SubmissionSet with one DocumentEntry, and its document.
pub struct Submission {
    /// The metadata.
    pub objects: Vec<RegistryObject<'static>>,
    /// The id that ties the document to its entry.
    pub entry_id: String,
    /// `wsa:MessageID`, the same whenever it is sent.
    pub message_id: String,
    /// The document's uniqueId.
    pub unique_id: String,
    /// Its media type.
    pub mime_type: String,
    /// Its bytes.
    pub content: Bytes,
}

impl Sample {
    /// Whether a community registers it.
    pub fn is_of(&self, community: &str) -> bool {
        self.community == community
    }
}

fn unusable(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> DemoError {
    move |error| DemoError::Samples(format!("{what}: {error}"))
}

impl Samples {
    /// Reads what the program carries.
    ///
    /// # Errors
    /// When the files do not fit together; a test sees to it that they do.
    pub fn load() -> Result<Self, DemoError> {
        let wrong = unusable("federation.json");
        let file: FederationFile =
            serde_json::from_str(include_str!("../../samples/demo/federation.json")).map_err(|e| wrong(&e))?;
        let communities: Result<Vec<_>, _> = file.communities.into_iter().map(community).collect();
        let mut communities = communities?;
        communities.sort_by_key(|community| (!community.is_live(), community.scope.is_some()));
        if communities.first().is_none_or(|hub| hub.scope.is_some()) {
            return Err(wrong(&"the first community is the hub"));
        }
        Ok(Self {
            communities,
            shared_domain: Oid::parse(&file.national_patient_domain).map_err(|e| wrong(&e))?,
            people: serde_json::from_str(include_str!("../../samples/demo/people.json"))
                .map_err(|e| unusable("people.json")(&e))?,
            documents: serde_json::from_str(include_str!("../../samples/demo/documents.json"))
                .map_err(|e| unusable("documents.json")(&e))?,
            scan: OnceLock::new(),
        })
    }

    /// The documents that a community registers.
    pub fn of_community<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'s Sample> {
        self.documents.iter().filter(move |sample| sample.is_of(key))
    }

    /// The documents about a person in communities that run.
    pub fn of_person<'s>(&'s self, person: &'s str) -> impl Iterator<Item = &'s Sample> {
        let runs = |sample: &Sample| self.communities.iter().any(|c| c.is_live() && sample.is_of(&c.key));
        self.documents.iter().filter(move |sample| sample.person == person && runs(sample))
    }

    /// The number under which all communities know a person.
    ///
    /// # Errors
    /// When there is no such person, or it has no such number.
    pub fn shared_patient_id(&self, person: &str) -> Result<PatientId, DemoError> {
        let number = self.people.get(person).and_then(|person| person.nhs_number.as_deref());
        PatientId::new(number.unwrap_or_default(), self.shared_domain.clone()).map_err(|e| unusable("people.json")(&e))
    }

    /// The bytes of a document.
    ///
    /// # Errors
    /// When the program does not carry it.
    pub fn content(&self, sample: &Sample) -> Result<Bytes, DemoError> {
        if sample.file == GENERATED_SCAN {
            return Ok(self.scan.get_or_init(|| five_megabyte_scan().into()).clone());
        }
        let name = sample.file.rsplit('/').next().unwrap_or_default();
        let found = FILES.iter().find(|(file, _)| *file == name);
        found.map(|(_, bytes)| Bytes::from_static(bytes)).ok_or_else(|| unusable("documents.json")(&sample.file))
    }

    /// The submission that registers a document.
    ///
    /// # Errors
    /// When a row names what is not there.
    pub fn submission(&self, sample: &Sample) -> Result<Submission, DemoError> {
        let wrong = unusable("documents.json");
        let invalid = |error: InvalidId| wrong(&error);
        let person = self.people.get(&sample.person).ok_or_else(|| wrong(&"a row names nobody"))?;
        let local =
            PatientId::new(&sample.local_patient_id, Oid::parse(&sample.local_patient_domain).map_err(invalid)?)
                .map_err(invalid)?;
        // Who has no national number is known by the local one, and in that community only.
        let patient = match person.nhs_number {
            Some(_) => self.shared_patient_id(&sample.person)?,
            None => local.clone(),
        };
        let content = self.content(sample)?;
        let entry_id = derived(&sample.unique_id, "entry");
        let set_id = derived(&sample.submission_set_unique_id, "set");
        let member_id = derived(&sample.submission_set_unique_id, "member");
        let message_id = derived(&sample.submission_set_unique_id, "message");
        let objects = vec![
            submission_set(sample, &patient, set_id),
            document_entry(sample, person, &patient, &local, &content, entry_id),
            build::original(ObjectId::Uuid(member_id), ObjectId::Uuid(set_id), ObjectId::Uuid(entry_id)),
        ];
        Ok(Submission {
            objects,
            entry_id: entry_id.to_string(),
            message_id: message_id.to_string(),
            unique_id: sample.unique_id.clone(),
            mime_type: sample.mime_type.clone(),
            content,
        })
    }
}

fn community(row: CommunityRow) -> Result<Community, DemoError> {
    let wrong = unusable("federation.json");
    let invalid = |error: InvalidId| wrong(&error);
    Ok(Community {
        home: HomeCommunityId::parse(&row.home_community_id).map_err(invalid)?,
        repository: RepositoryUniqueId::parse(&row.repository_unique_id).map_err(invalid)?,
        scope: match row.scope.as_str() {
            "hub" => None,
            "member" => Some(Scope::Member),
            "neighbour" => Some(Scope::Neighbour),
            _ => return Err(wrong(&"a scope is hub, member or neighbour")),
        },
        kind: match row.kind.as_str() {
            "hub" => PeerKind::Hub,
            "full" => PeerKind::Full,
            _ => return Err(wrong(&"a kind is hub or full")),
        },
        state: match row.state.as_str() {
            "live" => PeerState::Live,
            "planned" => PeerState::Planned,
            _ => return Err(wrong(&"a state is live or planned")),
        },
        domains: row
            .organisations
            .iter()
            .map(|organisation| Oid::parse(&organisation.patient_domain).map_err(invalid))
            .collect::<Result<_, _>>()?,
        key: row.key,
        name: row.name,
    })
}

/// A UUID made from a name: version 5 in the namespace of OIDs (RFC 9562 §5.5, §6.6).
fn derived(oid: &str, what: &str) -> EntryUuid {
    const OID_NAMESPACE: [u8; 16] =
        [0x6b, 0xa7, 0xb8, 0x12, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(&OID_NAMESPACE);
    hash.update(oid.as_bytes());
    hash.update(what.as_bytes());
    let hash = hash.finish();
    let mut uuid = [0; 16];
    for (byte, hashed) in uuid.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    uuid[6] = uuid[6] & 0x0f | 0x50;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    EntryUuid(uuid)
}

fn code(coded: &Coded) -> build::Code {
    build::Code { code: coded.code.clone(), scheme: coded.scheme.clone(), display: coded.display.clone() }
}

fn author_parts(author: &Author) -> [(&'static str, &str); 5] {
    [
        (slot::AUTHOR_PERSON, author.person_xcn.as_str()),
        (slot::AUTHOR_INSTITUTION, &author.institution_xon),
        (slot::AUTHOR_ROLE, &author.role),
        (slot::AUTHOR_SPECIALTY, &author.specialty),
        (slot::AUTHOR_TELECOMMUNICATION, &author.telecom),
    ]
}

/// ITI TF-3 §4.2.3.3.
fn submission_set(sample: &Sample, patient: &PatientId, id: EntryUuid) -> RegistryObject<'static> {
    let mut set = build::package(ObjectId::Uuid(id), SUBMISSION_SET_NODE);
    set.common.names = build::name(sample.title.clone());
    set.common.slots.push(Slot::single(slot::SUBMISSION_TIME, sample.creation_time.clone()));
    set.classifications.push(build::author(scheme::SET_AUTHOR, &author_parts(&sample.author)));
    set.classifications.push(build::code(scheme::CONTENT_TYPE_CODE, &code(&sample.content_type_code)));
    for (scheme, value) in [
        (identifier::SET_PATIENT_ID, patient.to_cx()),
        (identifier::SET_SOURCE_ID, sample.source_id.clone()),
        (identifier::SET_UNIQUE_ID, sample.submission_set_unique_id.clone()),
    ] {
        set.identifiers.push(build::external_identifier(scheme, value));
    }
    set
}

/// ITI TF-3 §4.2.3.2.
fn document_entry(
    sample: &Sample,
    person: &Person,
    patient: &PatientId,
    local: &PatientId,
    content: &[u8],
    id: EntryUuid,
) -> RegistryObject<'static> {
    let mut entry = build::document_entry(ObjectId::Uuid(id), sample.mime_type.clone());
    entry.common.names = build::name(sample.title.clone());
    let optional =
        [(slot::SERVICE_STOP_TIME, &sample.service_stop), (slot::LEGAL_AUTHENTICATOR, &sample.legal_authenticator)];
    let slots = [
        (slot::CREATION_TIME, sample.creation_time.clone()),
        (slot::LANGUAGE_CODE, sample.language.clone()),
        (slot::SERVICE_START_TIME, sample.service_start.clone()),
        // Stated, so that the repository holds what it receives against it (ITI TF-2 §3.41.4.1.3.2).
        (slot::HASH, sha1(content)),
        (slot::SIZE, content.len().to_string()),
        (slot::SOURCE_PATIENT_ID, local.to_cx()),
    ];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    entry.common.slots = slots.into_iter().chain(optional).map(|(name, value)| Slot::single(name, value)).collect();
    entry.common.slots.push(Slot::list(slot::SOURCE_PATIENT_INFO, patient_info(person, local)));
    entry.classifications.push(build::author(scheme::ENTRY_AUTHOR, &author_parts(&sample.author)));
    let codes = [
        (scheme::CLASS_CODE, &sample.class_code),
        (scheme::CONFIDENTIALITY_CODE, &sample.confidentiality_code),
        (scheme::FORMAT_CODE, &sample.format_code),
        (scheme::FACILITY_TYPE_CODE, &sample.facility_type_code),
        (scheme::PRACTICE_SETTING_CODE, &sample.practice_setting_code),
        (scheme::TYPE_CODE, &sample.type_code),
    ];
    let events = sample.event_codes.iter().map(|event| (scheme::EVENT_CODE, event));
    entry
        .classifications
        .extend(codes.into_iter().chain(events).map(|(scheme, coded)| build::code(scheme, &code(coded))));
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, patient.to_cx()));
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, sample.unique_id.clone()));
    entry
}

/// sourcePatientInfo (ITI TF-3 §4.2.3.2.23): identifier, name, birth, sex, and where it may be
/// told, the address.
fn patient_info(person: &Person, local: &PatientId) -> Vec<String> {
    let mut fields = vec![format!("PID-3|{}", local.to_cx())];
    if let Some(name) = person.names.last() {
        let mut given = name.given.iter();
        let first = given.next().map(String::as_str).unwrap_or_default();
        let more: Vec<&str> = given.map(String::as_str).collect();
        let prefix = name.prefix.as_deref().unwrap_or_default();
        let parts = [&name.family, first, &more.join(" "), "", prefix];
        fields.push(format!("PID-5|{}", components(&parts)));
    }
    fields.push(format!("PID-7|{}", person.dob.replace('-', "")));
    fields.push(format!("PID-8|{}", person.sex));
    if let Some(address) = &person.address {
        let parts = [&address.line, "", &address.town, "", &address.postcode, &address.country];
        fields.push(format!("PID-11|{}", components(&parts)));
    }
    fields
}

/// Components of an HL7 v2 field; empty ones at the end are left out.
fn components(parts: &[&str]) -> String {
    let joined = parts.iter().map(|part| escape(part)).collect::<Vec<_>>().join("^");
    joined.trim_end_matches('^').to_owned()
}

/// The hash of a document as metadata states it (ITI TF-3 §4.2.3.2.10).
pub fn sha1(content: &[u8]) -> String {
    crate::store::hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, content).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::Noun;
    use crate::validate::Profile;
    use crate::validate::codes::CodeSet;
    use crate::validate::submission::judge;

    #[test]
    fn every_row_is_a_submission_that_the_rules_accept() {
        let samples = Samples::load().unwrap();
        let codes = CodeSet::parse(CODES).unwrap();
        assert_eq!(samples.documents.len(), 130);
        for sample in &samples.documents {
            let submission = samples.submission(sample).unwrap();
            let mut objects = submission.objects;
            for entry in objects.iter_mut().filter(|object| object.noun() == Noun::DocumentEntry) {
                // What the repository fills in.
                entry.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.1");
            }
            if let Err(errors) = judge(objects, Profile::Register, Some(&codes)) {
                panic!("{}: {errors:?}", sample.unique_id);
            }
        }
    }

    #[test]
    fn a_row_is_the_same_submission_every_time() {
        let (first, second) = (Samples::load().unwrap(), Samples::load().unwrap());
        for (a, b) in first.documents.iter().zip(&second.documents) {
            let (a, b) = (first.submission(a).unwrap(), second.submission(b).unwrap());
            assert_eq!((&a.message_id, &a.entry_id), (&b.message_id, &b.entry_id));
            assert!(a.objects == b.objects && a.content == b.content);
        }
    }

    #[test]
    fn derived_ids_are_of_version_5() {
        // As Python's uuid.uuid5(uuid.NAMESPACE_OID, "2.999.1") says.
        assert_eq!(derived("2.999.1", "").to_string(), "urn:uuid:28d6d030-45bc-5e13-9c06-9e3d1ff7207a");
        assert_ne!(derived("2.999.1", "set"), derived("2.999.1", "entry"));
    }

    #[test]
    fn thirteen_run_and_two_are_planned() {
        let samples = Samples::load().unwrap();
        let live = samples.communities.iter().filter(|community| community.is_live()).count();
        assert_eq!((live, samples.communities.len()), (13, 15));
        let count = |scope| samples.communities.iter().filter(|c| c.is_live() && c.scope == scope).count();
        assert_eq!((count(None), count(Some(Scope::Member)), count(Some(Scope::Neighbour))), (1, 5, 7));
        assert_eq!(samples.communities.first().map(|hub| hub.scope), Some(None));
    }

    #[test]
    fn people_are_known_by_the_number_of_the_time() {
        let samples = Samples::load().unwrap();
        let patient = |person: &str| {
            let sample = samples.documents.iter().find(|sample| sample.person == person).unwrap();
            samples.submission(sample).unwrap().objects[1].patient_id().unwrap().to_owned()
        };
        assert_eq!(patient("P26"), "9990010285^^^&2.16.840.1.113883.2.1.4.1&ISO");
        assert_eq!(patient("P18"), "9990010218^^^&2.16.840.1.113883.2.1.4.1&ISO");
        assert_eq!(patient("P22"), "2917472^^^&2.999.826.2.11.1&ISO");
        assert_eq!(samples.of_person("P26").count(), 13);
        assert!(samples.shared_patient_id("P22").is_err());
    }

    #[test]
    fn what_is_restricted_is_not_told() {
        let samples = Samples::load().unwrap();
        for sample in samples.documents.iter().filter(|sample| sample.person == "P17") {
            let submission = samples.submission(sample).unwrap();
            let told: Vec<&str> = submission.objects[1].common.slot_values(slot::SOURCE_PATIENT_INFO).collect();
            assert!(told.iter().all(|field| !field.starts_with("PID-11")), "the address is withheld");
        }
    }
}
