//! `causeway find`: any stored query, as ITI-18 or ITI-38, by the rows of
//! [`crate::model::stored_query::QUERIES`].

use std::process::ExitCode;

use serde::Serialize;

use super::client::{self, Client, ClientArgs, Codes, DoorArgs, ErrorView, PatientArgs, Target, status_name};
use super::print;
use super::{CommandError, Outcome};
use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{QueryResponse, ResponseStatus};
use crate::model::rim::{Body, Classification, ObjectId, RegistryObject, Slot};
use crate::model::stored_query::{
    AdhocQuery, Kind, MULTI_PATIENT_QUERIES, Multiplicity, Need, Parameter, QUERIES, QueryDefinition, ReturnType,
};
use crate::model::time::Dtm;
use crate::model::vocabulary::{self as v, association, identifier, scheme, slot};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};

/// Arguments of `causeway find`.
#[derive(Clone, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub struct Args {
    /// Connection and output.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Which actor.
    #[command(flatten)]
    pub door: DoorArgs,
    /// Whom.
    #[command(flatten)]
    pub patient: PatientArgs,
    /// The stored query; --help lists them all
    #[arg(help_heading = "Selection", long, value_name = "NAME", default_value = "FindDocuments", value_parser = parse_query)]
    pub query: &'static QueryDefinition,
    /// Which availabilityStatus to find
    #[arg(help_heading = "Selection", long, value_enum, default_value_t = StatusArg::Approved)]
    pub status: StatusArg,
    /// Only this classCode: CODE^^SCHEME, or a code of codes.xml (repeatable)
    #[arg(help_heading = "Selection", long, value_name = "CODE")]
    pub class: Vec<String>,
    /// Only this typeCode (repeatable)
    #[arg(help_heading = "Selection", long = "type", value_name = "CODE")]
    pub type_code: Vec<String>,
    /// Only documents created at or after: 2024, 2024-01-31, 20240131093000 (UTC)
    #[arg(help_heading = "Selection", long, alias = "from", value_name = "TIME")]
    pub from_date: Option<String>,
    /// Only documents created before
    #[arg(help_heading = "Selection", long, alias = "to-time", value_name = "TIME")]
    pub to_date: Option<String>,
    /// Any parameter of the query, with or without $; '|' between values means either (repeatable)
    #[arg(help_heading = "Selection", long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// A Slot sent exactly so: no quotes or parentheses are added (repeatable)
    #[arg(help_heading = "Selection", long = "raw-param", value_name = "NAME=VALUE")]
    pub raw_params: Vec<String>,
    /// Ask for entryUUIDs only (returnType ObjectRef)
    #[arg(help_heading = "Selection", long)]
    pub object_refs: bool,
    /// Ask this community only
    #[arg(help_heading = "Selection", long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home: Option<HomeCommunityId>,
}

/// Without the parameters: they name patients.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Args({} to {})", self.query.name, self.client.to)
    }
}

const EXAMPLES: &str = "\
Examples:
  What our community holds on a patient:
    causeway find --to https://localhost:8443 --nhs-number 9990010226
  Discharge summaries of all communities since 2024, as JSON:
    causeway find --to https://localhost:8443 --gateway --nhs-number 9990010226 --class 373942005 \\
      --from-date 2024-01-01 --json
  Which versions are there of a document:
    causeway find --to https://localhost:8443 --query GetRelatedDocuments --status both \\
      --param XDSDocumentEntryUniqueId=2.999.1.2.3 --param AssociationTypes='RPLC|XFRM'

--help lists all queries and their parameters. The exit code is 1 if the status is Failure.";

/// Which availabilityStatus to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusArg {
    /// Current documents.
    Approved,
    /// Replaced ones.
    Deprecated,
    /// Either.
    Both,
}

impl StatusArg {
    fn urns(self) -> Vec<String> {
        match self {
            Self::Approved => vec![v::APPROVED.to_owned()],
            Self::Deprecated => vec![v::DEPRECATED.to_owned()],
            Self::Both => vec![v::APPROVED.to_owned(), v::DEPRECATED.to_owned()],
        }
    }
}

/// Those of ITI-18, then those of ITI-51.
fn all_queries() -> impl Iterator<Item = &'static QueryDefinition> {
    QUERIES.iter().chain(MULTI_PATIENT_QUERIES)
}

fn parse_query(text: &str) -> Result<&'static QueryDefinition, String> {
    all_queries().find(|query| query.name.eq_ignore_ascii_case(text) || query.id == text).ok_or_else(|| {
        let names: Vec<&str> = all_queries().map(|query| query.name).collect();
        format!("the stored queries are {}", names.join(", "))
    })
}

/// What a value of a kind looks like, for the help.
fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::Patient | Kind::Patients => "id^^^&OID&ISO, or --patient, --nhs-number",
        Kind::Code(_) => "CODE^^SCHEME, or a code of codes.xml",
        Kind::From(_) => "time, inclusive",
        Kind::To(_) => "time, exclusive",
        Kind::AuthorPerson | Kind::Like(_) => "pattern with % and _",
        Kind::Identifier(_) => "OID",
        Kind::Status(_) => "approved, deprecated; or --status",
        Kind::EntryType => "stable, on-demand",
        Kind::Availability => "online, offline",
        Kind::Uuid | Kind::LogicalId => "urn:uuid:…",
        Kind::UniqueId => "uniqueId",
        Kind::AssociationType => "HasMember, RPLC, XFRM, APND, XFRM_RPLC, signs, IsSnapshotOf",
        Kind::MetadataLevel => "1, 2",
    }
}

/// The examples, and every query with its parameters.
fn long_help() -> String {
    let mut out = format!("{EXAMPLES}\n\nStored queries and their parameters:\n");
    for query in all_queries() {
        out.push_str(&format!("\n  {}\n", query.name));
        for parameter in query.parameters {
            let need = match parameter.need {
                Need::Required => "required",
                Need::Optional => "",
                Need::OneOf => "one of these",
                Need::AnyOf => "at least one of these",
            };
            let often = match parameter.multiplicity {
                Multiplicity::Single => "",
                Multiplicity::List => "list",
                Multiplicity::AndOr => "list; each --param must match",
            };
            let notes: Vec<&str> =
                [need, often, form(parameter.kind)].into_iter().filter(|note| !note.is_empty()).collect();
            out.push_str(&format!("    {:<48} {}\n", parameter.name, notes.join("; ")));
        }
    }
    out
}

/// Asks, and prints what came.
///
/// # Errors
/// When the arguments do not make a query, or no answer comes back.
pub async fn run(args: Args) -> Outcome {
    let query = build(&args, &Codes::open())?;
    let target = Target::query(&args.client.to, args.door)?;
    let client = Client::open(&args.client)?;
    let response = client.query(&target, &query).await?;
    let report = Report::new(&response)?;
    print(&if args.client.json { client::json(&report)? } else { report.render(Colour::of_stdout()) })?;
    Ok(exit_code(response.status))
}

/// 1 for a Failure: a partial answer is one, and names what is missing.
pub(super) fn exit_code(status: ResponseStatus) -> ExitCode {
    if status == ResponseStatus::Failure { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Makes the query that the arguments mean (ITI TF-2 §3.18.4.1.2).
fn build(args: &Args, codes: &Codes) -> Result<AdhocQuery, CommandError> {
    let mut maker = Maker::new(args.query, codes);
    for param in &args.params {
        let (name, value) = named(param, "--param")?;
        maker.set(name, &value.split('|').map(str::to_owned).collect::<Vec<_>>())?;
    }
    if let Some(patient) = args.patient.patient() {
        let patients = args.query.parameters.iter().find(|parameter| parameter.kind == Kind::Patients);
        let parameter = args.query.patient_parameter().or(patients).ok_or_else(|| {
            CommandError::failed(format!("{} asks by id, not by patient: leave --patient out", args.query.name))
        })?;
        maker.set(parameter.name, &[patient.to_cx()])?;
    }
    for (kind, values) in [
        (Kind::Code(scheme::CLASS_CODE), args.class.as_slice()),
        (Kind::Code(scheme::TYPE_CODE), args.type_code.as_slice()),
        (Kind::From(slot::CREATION_TIME), args.from_date.as_slice()),
        (Kind::To(slot::CREATION_TIME), args.to_date.as_slice()),
    ] {
        if !values.is_empty() {
            maker.set_kind(kind, values)?;
        }
    }
    maker.set_missing_statuses(args.status)?;
    for param in &args.raw_params {
        let (name, value) = named(param, "--raw-param")?;
        maker.raw(name, value);
    }
    if let Some(parameter) = args.query.patient_parameter().filter(|parameter| !maker.has(parameter.name)) {
        return Err(CommandError::failed(format!(
            "{} needs a patient: give --patient 'id^^^&OID&ISO' or --nhs-number NUMBER ({})",
            args.query.name, parameter.name
        )));
    }
    let return_type = if args.object_refs { ReturnType::ObjectRef } else { ReturnType::LeafClass };
    Ok(maker.finish(args.home.as_ref(), return_type))
}

/// A FindDocuments of a patient's documents.
pub(super) fn documents_of(patient: &PatientId, home: Option<&HomeCommunityId>) -> Result<AdhocQuery, CommandError> {
    let codes = Codes::built_in();
    let mut maker = Maker::new(QueryDefinition::of(crate::model::stored_query::QueryKind::FindDocuments), &codes);
    maker.set_kind(Kind::Patient, &[patient.to_cx()])?;
    maker.set_missing_statuses(StatusArg::Approved)?;
    Ok(maker.finish(home, ReturnType::LeafClass))
}

/// A GetDocuments by ids of one kind.
pub(super) fn documents_by(
    kind: Kind,
    ids: &[String],
    home: Option<&HomeCommunityId>,
) -> Result<AdhocQuery, CommandError> {
    let codes = Codes::built_in();
    let mut maker = Maker::new(QueryDefinition::of(crate::model::stored_query::QueryKind::GetDocuments), &codes);
    maker.set_kind(kind, ids)?;
    Ok(maker.finish(home, ReturnType::LeafClass))
}

fn named<'t>(text: &'t str, option: &str) -> Result<(&'t str, &'t str), CommandError> {
    text.split_once('=')
        .filter(|(name, _)| !name.trim().is_empty())
        .map(|(name, value)| (name.trim(), value))
        .ok_or_else(|| CommandError::failed(format!("{option} is NAME=VALUE")))
}

/// Collects the slots of a query.
struct Maker<'c> {
    definition: &'static QueryDefinition,
    codes: &'c Codes,
    slots: Vec<Slot<'static>>,
    /// Values of lists, which become one slot whatever the number of options.
    lists: Vec<(&'static Parameter, Vec<String>)>,
}

impl<'c> Maker<'c> {
    fn new(definition: &'static QueryDefinition, codes: &'c Codes) -> Self {
        Self { definition, codes, slots: Vec::new(), lists: Vec::new() }
    }

    fn has(&self, name: &str) -> bool {
        self.slots.iter().any(|slot| slot.name == name)
            || self.lists.iter().any(|(parameter, _)| parameter.name == name)
    }

    /// The row of a name as people write it: with or without `$`, in any case, with or without
    /// the noun in front.
    fn parameter(&self, name: &str) -> Result<&'static Parameter, CommandError> {
        let bare = |name: &str| name.trim_start_matches('$').to_ascii_lowercase();
        let short = |name: &str| {
            let bare = bare(name);
            ["xdsdocumententry", "xdssubmissionset", "xdsfolder"]
                .iter()
                .find_map(|noun| bare.strip_prefix(noun).map(str::to_owned))
                .unwrap_or(bare)
        };
        let rows = self.definition.parameters;
        if let Some(row) = rows.iter().find(|row| bare(row.name) == bare(name)) {
            return Ok(row);
        }
        let mut near = rows.iter().filter(|row| short(row.name) == bare(name));
        match (near.next(), near.next()) {
            (Some(row), None) => Ok(row),
            _ => {
                let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
                Err(CommandError::failed(format!(
                    "{} has no parameter {}; it has {}; --raw-param sends any name as it is",
                    self.definition.name,
                    client::printable(name),
                    names.join(", ")
                )))
            }
        }
    }

    fn set_kind(&mut self, kind: Kind, values: &[String]) -> Result<(), CommandError> {
        match self.definition.parameters.iter().find(|row| row.kind == kind) {
            Some(row) => self.set(row.name, values),
            None => Err(CommandError::failed(format!(
                "{} cannot be limited so ({}); 'causeway find --help' lists its parameters",
                self.definition.name,
                form(kind)
            ))),
        }
    }

    /// Sets a parameter: several values mean either of them.
    fn set(&mut self, name: &str, values: &[String]) -> Result<(), CommandError> {
        let parameter = self.parameter(name)?;
        let encoded = values
            .iter()
            .map(|value| encode(parameter, value, self.codes))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|what| CommandError::failed(format!("{}: {what}", parameter.name)))?;
        match parameter.multiplicity {
            Multiplicity::Single => {
                let [value] = encoded.as_slice() else {
                    return Err(CommandError::failed(format!("{} takes one value", parameter.name)));
                };
                if self.has(parameter.name) {
                    return Err(CommandError::failed(format!("{} is given twice", parameter.name)));
                }
                self.slots.push(Slot::single(parameter.name, value.clone()));
            }
            Multiplicity::List => match self.lists.iter_mut().find(|(row, _)| row.name == parameter.name) {
                Some((_, list)) => list.extend(encoded),
                None => self.lists.push((parameter, encoded)),
            },
            Multiplicity::AndOr => self.slots.push(Slot::single(parameter.name, listed(&encoded))),
        }
        Ok(())
    }

    /// The status that the query demands, and that no option named.
    fn set_missing_statuses(&mut self, status: StatusArg) -> Result<(), CommandError> {
        for parameter in self.definition.parameters {
            let wanted = matches!(parameter.kind, Kind::Status(_)) && parameter.need == Need::Required;
            if wanted && !self.has(parameter.name) {
                self.set(parameter.name, &status.urns())?;
            }
        }
        Ok(())
    }

    /// A slot as it is; of the same name again it is another value of it.
    fn raw(&mut self, name: &str, value: &str) {
        // What is said raw replaces what was set for the same name by other options.
        self.lists.retain(|(parameter, _)| parameter.name != name);
        match self.slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => slot.values.push(value.to_owned().into()),
            None => self.slots.push(Slot::single(name.to_owned(), value.to_owned())),
        }
    }

    fn finish(mut self, home: Option<&HomeCommunityId>, return_type: ReturnType) -> AdhocQuery {
        self.slots.extend(self.lists.iter().map(|(parameter, list)| Slot::single(parameter.name, listed(list))));
        let place = |slot: &Slot<'_>| {
            self.definition.parameters.iter().position(|row| row.name == slot.name).unwrap_or(usize::MAX)
        };
        self.slots.sort_by_key(place);
        AdhocQuery {
            id: self.definition.id.to_owned(),
            home: home.map(ToString::to_string),
            return_type: Some(return_type.as_str().to_owned()),
            slots: self.slots,
        }
    }
}

fn listed(values: &[String]) -> String {
    format!("({})", values.join(","))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One value in the grammar of stored queries (ITI TF-2 §3.18.4.1.2.3.5).
fn encode(parameter: &Parameter, value: &str, codes: &Codes) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("the value is empty".to_owned());
    }
    let one_of = |known: &[(&str, &str)]| {
        known.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map_or(value, |(_, urn)| *urn).to_owned()
    };
    Ok(match parameter.kind {
        Kind::Patient | Kind::Patients => quoted(&PatientId::parse(value).map_err(|error| error.to_string())?.to_cx()),
        Kind::Code(attribute) => {
            let code = codes.read(attribute, value)?;
            quoted(&format!("{}^^{}", code.code, code.scheme))
        }
        Kind::From(_) | Kind::To(_) => {
            let digits: String = value.chars().filter(|c| !matches!(c, '-' | ':' | 'T' | ' ' | 'Z')).collect();
            Dtm::parse(&digits)?.as_str().to_owned()
        }
        Kind::MetadataLevel => match value {
            "1" | "2" => value.to_owned(),
            _ => return Err("the level is 1 or 2".to_owned()),
        },
        Kind::Status(_) => quoted(&one_of(&[("approved", v::APPROVED), ("deprecated", v::DEPRECATED)])),
        Kind::EntryType => {
            quoted(&one_of(&[("stable", v::STABLE), ("on-demand", v::ON_DEMAND), ("ondemand", v::ON_DEMAND)]))
        }
        Kind::Availability => quoted(&one_of(&[("online", v::ONLINE), ("offline", v::OFFLINE)])),
        Kind::AssociationType => {
            let short: Vec<(&str, &str)> = ASSOCIATION_TYPES.iter().map(|urn| (short_urn(urn), *urn)).collect();
            quoted(&one_of(&short))
        }
        Kind::Uuid | Kind::LogicalId => quoted(&uuid(value)),
        Kind::AuthorPerson | Kind::Like(_) | Kind::Identifier(_) | Kind::UniqueId => quoted(value),
    })
}

/// An entryUUID with its `urn:uuid:`, which people leave out; anything else stays as it is.
pub(super) fn uuid(text: &str) -> String {
    let urn = format!("urn:uuid:{text}");
    match EntryUuid::parse(&urn) {
        Ok(uuid) => uuid.to_string(),
        Err(_) => text.to_owned(),
    }
}

const ASSOCIATION_TYPES: [&str; 7] = [
    association::HAS_MEMBER,
    association::RPLC,
    association::XFRM,
    association::APND,
    association::XFRM_RPLC,
    association::SIGNS,
    association::IS_SNAPSHOT_OF,
];

/// What is behind the last colon: `Approved`, `RPLC`.
fn short_urn(urn: &str) -> &str {
    urn.rsplit(':').next().unwrap_or(urn)
}

// --- what came -------------------------------------------------------------------------------

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

/// Longest title in a table; `get` and JSON have all of it.
const MAX_TITLE: usize = 48;

fn cell(value: Option<&str>) -> Cell {
    value.unwrap_or_default().into()
}

fn short(value: Option<&str>) -> Cell {
    let value = value.unwrap_or_default();
    match value.char_indices().nth(MAX_TITLE) {
        Some(_) => value.chars().take(MAX_TITLE - 1).chain(['…']).collect::<String>().into(),
        None => value.into(),
    }
}

/// A DTM as people read it: `2024-03-11 09:45`.
pub(super) fn shown_time(dtm: &str) -> String {
    if Dtm::parse(dtm).is_err() {
        return dtm.to_owned();
    }
    let mut out = String::with_capacity(19);
    for (n, digit) in dtm.chars().enumerate() {
        match n {
            4 | 6 => out.push('-'),
            8 => out.push(' '),
            10 | 12 => out.push(':'),
            _ => {}
        }
        out.push(digit);
    }
    out
}

fn time_cell(value: Option<&str>) -> Cell {
    value.map(shown_time).unwrap_or_default().into()
}

fn status_cell(status: Option<&str>) -> Cell {
    let tone = if status == Some("Deprecated") { Tone::Faint } else { Tone::Plain };
    Cell::new(status.unwrap_or_default(), tone)
}

fn left<const N: usize>(heads: [&str; N]) -> Table {
    Table::new(&heads.map(|head| (head, Align::Left)))
}

fn documents_table(documents: &[DocumentView]) -> Table {
    let mut table = left(["created", "title", "class", "type", "community", "repository", "uniqueId", "status"]);
    for document in documents {
        table.row([
            time_cell(document.creation_time.as_deref()),
            short(document.title.as_deref()),
            short(document.class_code.as_ref().map(CodeView::shown)),
            short(document.type_code.as_ref().map(CodeView::shown)),
            cell(document.home_community_id.as_deref()),
            cell(document.repository_unique_id.as_deref()),
            cell(document.unique_id.as_deref()),
            status_cell(document.status.as_deref()),
        ]);
    }
    table
}

fn packages_table(packages: &[PackageView], when: &str) -> Table {
    let mut table = left([when, "title", "code", "community", "uniqueId", "entryUUID", "status"]);
    for package in packages {
        table.row([
            time_cell(package.time.as_deref()),
            short(package.title.as_deref()),
            short(package.codes.first().map(CodeView::shown)),
            cell(package.home_community_id.as_deref()),
            cell(package.unique_id.as_deref()),
            cell(package.entry_uuid.as_deref()),
            status_cell(package.status.as_deref()),
        ]);
    }
    table
}

fn associations_table(associations: &[AssociationView]) -> Table {
    let mut table = left(["association", "source", "target", "community", "status"]);
    for association in associations {
        table.row([
            association.kind.as_str().into(),
            association.source.as_str().into(),
            association.target.as_str().into(),
            cell(association.home_community_id.as_deref()),
            status_cell(association.status.as_deref()),
        ]);
    }
    table
}

fn references_table(references: &[ObjectRefView]) -> Table {
    let mut table = left(["entryUUID", "community"]);
    for reference in references {
        table.row([cell(reference.entry_uuid.as_deref()), cell(reference.home_community_id.as_deref())]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::build;
    use crate::model::packed::PackedObject;
    use crate::model::response::{ErrorCode, RegistryError};
    use crate::model::stored_query::QueryKind;
    use crate::validate::stored_query;
    use clap::Parser;
    use proptest::prelude::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(more: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from(["x", "--to", "https://h"].iter().chain(more)).map(|cli| cli.args)
    }

    fn made(more: &[&str]) -> Result<AdhocQuery, String> {
        build(&parse(more).unwrap(), &Codes::built_in()).map_err(|error| error.to_string())
    }

    fn slots(query: &AdhocQuery) -> Vec<(String, Vec<String>)> {
        query
            .slots
            .iter()
            .map(|slot| (slot.name.to_string(), slot.values.iter().map(ToString::to_string).collect()))
            .collect()
    }

    fn slot_of(query: &AdhocQuery, name: &str) -> Vec<String> {
        query
            .slots
            .iter()
            .filter(|slot| slot.name == name)
            .flat_map(|slot| slot.values.iter().map(ToString::to_string))
            .collect()
    }

    const PATIENT: [&str; 2] = ["--nhs-number", "9990010226"];

    #[test]
    fn a_patient_is_enough() {
        let query = made(&PATIENT).unwrap();
        let status = format!("('{}')", v::APPROVED);
        assert_eq!(
            slots(&query),
            [
                (
                    "$XDSDocumentEntryPatientId".to_owned(),
                    vec!["'9990010226^^^&2.16.840.1.113883.2.1.4.1&ISO'".to_owned()]
                ),
                ("$XDSDocumentEntryStatus".to_owned(), vec![status]),
            ]
        );
        assert_eq!(query.return_type.as_deref(), Some("LeafClass"));
        assert_eq!(stored_query::read(&query).unwrap().definition.kind, QueryKind::FindDocuments);
    }

    #[test]
    fn options_become_slots() {
        let more = [
            "--status",
            "both",
            "--class",
            "823751000000102",
            "--class",
            "373942005",
            "--from-date",
            "2024-01-31",
            "--to-date",
            "2024-02-01T10:30",
            "--object-refs",
            "--home",
            "urn:oid:2.999.1",
            "--param",
            "authorperson=O'Hara%",
            "--param",
            "ConfidentialityCode=N|R",
            "--param",
            "$XDSDocumentEntryConfidentialityCode=V",
            "--param",
            "type=stable|on-demand",
        ];
        let query = made(&[&PATIENT[..], &more].concat()).unwrap();
        let sct = "2.16.840.1.113883.6.96";
        let hl7 = "2.16.840.1.113883.5.25";
        for (name, values) in [
            ("$XDSDocumentEntryClassCode", vec![format!("('823751000000102^^{sct}','373942005^^{sct}')")]),
            ("$XDSDocumentEntryCreationTimeFrom", vec!["20240131".to_owned()]),
            ("$XDSDocumentEntryCreationTimeTo", vec!["202402011030".to_owned()]),
            ("$XDSDocumentEntryAuthorPerson", vec!["('O''Hara%')".to_owned()]),
            ("$XDSDocumentEntryConfidentialityCode", vec![format!("('N^^{hl7}','R^^{hl7}')"), format!("('V^^{hl7}')")]),
            ("$XDSDocumentEntryType", vec![format!("('{}','{}')", v::STABLE, v::ON_DEMAND)]),
            ("$XDSDocumentEntryStatus", vec![format!("('{}','{}')", v::APPROVED, v::DEPRECATED)]),
        ] {
            assert_eq!(slot_of(&query, name), values, "{name}");
        }
        assert_eq!((query.home.as_deref(), query.return_type.as_deref()), (Some("urn:oid:2.999.1"), Some("ObjectRef")));
        assert!(stored_query::read(&query).is_ok());
    }

    /// Every query, with every parameter that it has, is one that a registry understands.
    #[test]
    fn every_parameter_of_every_query() {
        for definition in all_queries() {
            let mut more = vec!["--query".to_owned(), definition.name.to_lowercase()];
            let mut one_of = false;
            for parameter in definition.parameters {
                if parameter.need == Need::OneOf && std::mem::replace(&mut one_of, true) {
                    continue;
                }
                let value = match parameter.kind {
                    Kind::Patient | Kind::Patients => "P^^^&2.999&ISO",
                    Kind::Code(_) => "a^^2.999",
                    Kind::From(_) | Kind::To(_) => "2024",
                    Kind::Status(_) => "approved",
                    Kind::EntryType => "on-demand",
                    Kind::Availability => "online",
                    Kind::Uuid | Kind::LogicalId => "8b97cb13-dc32-5e68-8751-b529953172bb",
                    Kind::AssociationType => "RPLC",
                    Kind::MetadataLevel => "1",
                    Kind::AuthorPerson | Kind::Like(_) | Kind::Identifier(_) | Kind::UniqueId => "2.999",
                };
                more.extend(["--param".to_owned(), format!("{}={value}", parameter.name.trim_start_matches('$'))]);
            }
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            let query = made(&more).unwrap();
            let read = if MULTI_PATIENT_QUERIES.contains(definition) {
                stored_query::read_multi_patient(&query)
            } else {
                stored_query::read(&query)
            };
            let read = read.unwrap_or_else(|errors| panic!("{}: {errors:?}", definition.name));
            let given =
                definition.parameters.iter().filter(|row| row.need != Need::OneOf).count() + usize::from(one_of);
            assert_eq!(read.arguments.len(), given, "{}", definition.name);
        }
    }

    #[test]
    fn raw_parameters_stay_as_they_are_and_go_first() {
        let query = made(
            &[
                &PATIENT[..],
                &[
                    "--raw-param",
                    "$XDSDocumentEntryStatus=Approved",
                    "--raw-param",
                    "$XDSDocumentEntryStatus=x",
                    "--raw-param",
                    "$y=1",
                ],
            ]
            .concat(),
        )
        .unwrap();
        assert_eq!(slot_of(&query, "$XDSDocumentEntryStatus"), ["Approved", "x"]);
        assert_eq!(slot_of(&query, "$y"), ["1"]);
        let without = made(&["--raw-param", "$XDSDocumentEntryPatientId=nobody"]).unwrap();
        assert_eq!(slot_of(&without, "$XDSDocumentEntryPatientId"), ["nobody"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (more, what) in [
            (&["--param", "bogus=1"][..], "no parameter bogus"),
            (&["--param", "bogus"], "NAME=VALUE"),
            (&["--class", "unheard-of"], "no code list"),
            (&["--from-date", "soon"], "CreationTimeFrom"),
            (&["--param", "MetadataLevel=3"], "1 or 2"),
            (&["--param", "MetadataLevel=1|2"], "one value"),
            (&["--query", "GetDocuments"], "by id, not by patient"),
            (&["--query", "FindFolders", "--class", "373942005"], "cannot be limited"),
            (&["--param", "patientid=P^^^&2.999&ISO"], "given twice"),
        ] {
            let error = made(&[&PATIENT[..], more].concat()).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        assert!(made(&[]).unwrap_err().contains("needs a patient"));
        assert!(parse(&["--query", "FindAll"]).is_err());
        assert!(parse(&["--gateway", "--cross"]).is_err());
        assert!(parse(&["--patient", "P^^^&2.999&ISO", "--nhs-number", "9990010226"]).is_err());
    }

    #[test]
    fn help_lists_every_query_and_parameter() {
        let help = long_help();
        for query in QUERIES {
            assert!(help.contains(query.name));
            assert!(query.parameters.iter().all(|parameter| help.contains(parameter.name)));
        }
    }

    fn entry() -> RegistryObject<'static> {
        let id = ObjectId::read("urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb".into());
        let mut entry = build::document_entry(id, "text/plain");
        entry.common.home = Some("urn:oid:2.999.1".into());
        entry.common.status = Some(v::APPROVED.into());
        entry.common.names = build::name("Ward note");
        entry.common.slots.extend([
            Slot::single(slot::CREATION_TIME, "202403110945"),
            Slot::single(slot::SIZE, "6"),
            Slot::single(slot::REPOSITORY_UNIQUE_ID, "2.999.2"),
            Slot::single("urn:example:extra", "kept"),
        ]);
        let code = build::Code { code: "1".into(), scheme: "2.999".into(), display: "Letter".into() };
        entry.classifications.push(build::code(scheme::CLASS_CODE, &code));
        entry.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, "2.999.3"));
        entry.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, "P^^^&2.999&ISO"));
        entry
    }

    fn response() -> QueryResponse {
        let uuid = |n: u8| ObjectId::from(EntryUuid([n; 16]));
        let mut folder = build::package(uuid(2), v::FOLDER_NODE);
        folder.common.names = build::name("Stay");
        let mut set = build::package(uuid(3), v::SUBMISSION_SET_NODE);
        set.common.slots.push(Slot::single(slot::SUBMISSION_TIME, "20240311"));
        set.identifiers.push(build::external_identifier(identifier::SET_UNIQUE_ID, "2.999.4"));
        let association = build::original(uuid(4), uuid(3), uuid(2));
        let reference = RegistryObject::new(Body::ObjectRef, uuid(5));
        let objects = [entry(), folder, set, association, reference].iter().map(PackedObject::pack).collect();
        let error = RegistryError::new(ErrorCode::XDSUnavailableCommunity, "did not answer").at("urn:oid:2.999.9");
        QueryResponse { status: ResponseStatus::PartialSuccess, errors: vec![error], ..QueryResponse::success(objects) }
    }

    #[test]
    fn answers_as_tables() {
        assert_eq!(
            Report::new(&response()).unwrap().render(Colour::Off),
            "\
created           title      class   type  community        repository  uniqueId  status
2024-03-11 09:45  Ward note  Letter        urn:oid:2.999.1  2.999.2     2.999.3   Approved

submitted   title  code  community  uniqueId  entryUUID                                      status
2024-03-11                          2.999.4   urn:uuid:03030303-0303-0303-0303-030303030303

updated  title  code  community  uniqueId  entryUUID                                      status
         Stay                              urn:uuid:02020202-0202-0202-0202-020202020202

association  source                                         target                                         community  status
HasMember    urn:uuid:03030303-0303-0303-0303-030303030303  urn:uuid:02020202-0202-0202-0202-020202020202

entryUUID                                      community
urn:uuid:05050505-0505-0505-0505-050505050505

Error XDSUnavailableCommunity at urn:oid:2.999.9: did not answer
PartialSuccess: 1 document, 1 submission set, 1 folder, 1 association, 1 reference
"
        );
        let nothing = Report::new(&QueryResponse::success(Vec::new())).unwrap();
        assert_eq!(nothing.render(Colour::Off), "Success: nothing found\n");
    }

    #[test]
    fn answers_as_json() {
        let json: serde_json::Value =
            serde_json::from_str(&client::json(&Report::new(&response()).unwrap()).unwrap()).unwrap();
        assert_eq!(json["status"], "PartialSuccess");
        assert_eq!(json["errors"][0]["location"], "urn:oid:2.999.9");
        let document = &json["documents"][0];
        assert_eq!(document["unique_id"], "2.999.3");
        assert_eq!(document["size"], 6);
        assert_eq!(document["class_code"]["code"], "1");
        assert_eq!(document["status"], "Approved");
        assert_eq!(document["object_type"], "stable");
        assert_eq!(document["extra_slots"][0]["name"], "urn:example:extra");
        assert_eq!(json["associations"][0]["type"], "HasMember");
        assert_eq!(json["associations"][0]["submission_set_status"], "Original");
        assert_eq!(json["object_refs"][0]["entry_uuid"], "urn:uuid:05050505-0505-0505-0505-050505050505");
    }

    #[test]
    fn long_titles_and_broken_times() {
        assert_eq!(short(Some(&"é".repeat(49))), Cell::from(format!("{}…", "é".repeat(47))));
        assert_eq!(shown_time("2024"), "2024");
        assert_eq!(shown_time("20240311094500"), "2024-03-11 09:45:00");
        assert_eq!(shown_time("yesterday"), "yesterday");
    }

    #[test]
    fn debug_shows_no_patient() {
        let args = parse(&["--nhs-number", "9990010226", "--param", "patientId=9990010226"]).unwrap();
        assert!(!format!("{args:?}").contains("9990010226"));
    }

    proptest! {
        /// What a person writes is what the registry reads.
        #[test]
        fn texts_survive_quoting(value in "[^|=\\s\\pC]{1,20}( [^|\\s\\pC]{1,5})?") {
            let definition = QueryDefinition::of(QueryKind::FindDocuments);
            let codes = Codes::built_in();
            let mut maker = Maker::new(definition, &codes);
            maker.set_kind(Kind::Patient, &["P^^^&2.999&ISO".to_owned()]).unwrap();
            maker.set_missing_statuses(StatusArg::Both).unwrap();
            maker.set("AuthorPerson", std::slice::from_ref(&value)).unwrap();
            let query = stored_query::read(&maker.finish(None, ReturnType::LeafClass)).unwrap();
            let texts: Vec<&str> = query.texts(Kind::AuthorPerson).collect();
            let composed: String = unicode_normalization::UnicodeNormalization::nfc(value.as_str()).collect();
            prop_assert_eq!(texts, [composed.as_str()]);
        }
    }
}
