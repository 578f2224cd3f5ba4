//! `causeway find`: any stored query, as ITI-18 or ITI-38, by the rows of
//! [`crate::model::stored_query::QUERIES`].

mod maker;
mod report;
mod table;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use super::client::{self, Client, ClientArgs, Codes, DoorArgs, PatientArgs, Target};
use super::print;
use super::{CommandError, Outcome};
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::response::ResponseStatus;
use crate::model::stored_query::{
    AdhocQuery, Kind, MULTI_PATIENT_QUERIES, Multiplicity, Need, QUERIES, QueryDefinition, ReturnType,
};
use crate::model::vocabulary::{self as v, scheme, slot};
use crate::terminal::Colour;
use maker::Maker;
pub(super) use maker::uuid;
pub use report::{AssociationView, AuthorView, CodeView, DocumentView, ObjectRefView, PackageView, Report, SlotView};
pub(super) use table::shown_time;

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
