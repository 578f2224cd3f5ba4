//! `causeway discover`: under which identifier another community knows a patient (ITI-55), and where
//! else the patient's data is (ITI-56).

use std::process::ExitCode;

use serde::Serialize;

use super::client::{self, Client, ClientArgs, PatientArgs, Target};
use super::{CommandError, Outcome, print};
use crate::model::discovery::{
    Address, Attribute, BirthTime, Criteria, DiscoveryAnswer, DiscoveryQuery, Gender, InstanceId, MessageHeader,
    PatientLocation, PatientMatch, PersonName, Priority, Revocation,
};
use crate::model::ids::{HomeCommunityId, Oid};
use crate::model::time::Dtm;
use crate::terminal::{Align, Cell, Colour, Table, Tone};
use crate::transaction::Service;

/// Arguments of `causeway discover`.
#[derive(Clone, clap::Args)]
#[command(after_help = "\
Examples:
  By the shared number alone:
    causeway discover --to https://localhost:8443 --nhs-number 9990010226
  By who somebody is:
    causeway discover --to https://localhost:8443 --given Ada --family Meyer --birth-date 1970-01-31 --gender F
  Where else that community knows of data of its patient:
    causeway discover --to https://localhost:8443 --patient 'P-77^^^&2.999.2.3&ISO' --locate
  Take back under which identifier we have said to know a patient:
    causeway discover --to https://localhost:8443 --sender urn:oid:2.999.1 --patient 'A1^^^&2.999.1.3&ISO' --revoke

The exit code is 1 if the gateway refuses to answer; that it knows nobody is an answer.")]
pub struct Args {
    /// Connection and output.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Whom, by identifier.
    #[command(flatten)]
    pub patient: PatientArgs,
    /// A given name (repeatable, in order)
    #[arg(help_heading = "Selection", long, value_name = "NAME")]
    pub given: Vec<String>,
    /// A family name (repeatable, in order)
    #[arg(help_heading = "Selection", long, value_name = "NAME")]
    pub family: Vec<String>,
    /// Date of birth: 1970-01-31, or less of it
    #[arg(help_heading = "Selection", long, value_name = "DATE", value_parser = parse_date)]
    pub birth_date: Option<Dtm>,
    /// Administrative gender: F, M or UN
    #[arg(help_heading = "Selection", long, value_name = "CODE")]
    pub gender: Option<String>,
    /// Street address line of the patient's address (repeatable)
    #[arg(help_heading = "Selection", long, value_name = "TEXT")]
    pub address_line: Vec<String>,
    /// City of the address
    #[arg(help_heading = "Selection", long, value_name = "TEXT")]
    pub city: Option<String>,
    /// Postal code of the address
    #[arg(help_heading = "Selection", long, value_name = "CODE")]
    pub postal_code: Option<String>,
    /// A telephone number or mail address as a URL, tel:… or mailto:… (repeatable)
    #[arg(help_heading = "Selection", long, value_name = "URL")]
    pub telecom: Vec<String>,
    /// The family name that the patient's mother was born with
    #[arg(help_heading = "Selection", long, value_name = "NAME")]
    pub mothers_maiden_name: Option<String>,
    /// Ask where else data of that patient is (ITI-56), by the gateway's own identifier
    #[arg(help_heading = "Selection", long, conflicts_with_all = ["given", "family", "birth_date", "gender", "address_line", "city", "postal_code", "telecom", "mothers_maiden_name"])]
    pub locate: bool,
    /// Take back that --sender knows a patient under that identifier (XCPD Revoke), which is of its own domain
    #[arg(help_heading = "Selection", long, requires = "sender", conflicts_with_all = ["locate", "given", "family", "birth_date", "gender", "address_line", "city", "postal_code", "telecom", "mothers_maiden_name"])]
    pub revoke: bool,
    /// Our own community, which the request comes from
    #[arg(help_heading = "Connection", long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub sender: Option<HomeCommunityId>,
    /// The identifier domain that is the sender's own
    #[arg(help_heading = "Connection", long, value_name = "OID", value_parser = Oid::parse)]
    pub sender_domain: Option<Oid>,
}

/// Without the parameters: they name patients.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Args(discover at {})", self.client.to)
    }
}

fn parse_date(text: &str) -> Result<Dtm, String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    Dtm::parse(&digits).map_err(str::to_owned)
}

/// Asks, and prints what came.
///
/// # Errors
/// When the arguments name nobody, or no answer comes back.
pub async fn run(args: Args) -> Outcome {
    let target = Target::new(&args.client.to, Service::RespondingGateway)?;
    if args.locate {
        let patient = args.patient.patient();
        let patient = patient.ok_or_else(|| CommandError::failed("whose? give --patient or --nhs-number"))?;
        let locations = Client::open(&args.client)?.locate(&target, patient).await?;
        let views: Vec<LocationView> = locations.iter().map(LocationView::new).collect();
        print(&if args.client.json { client::json(&views)? } else { shown_locations(&views, Colour::of_stdout()) })?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.revoke {
        return revoke(&args, &target).await;
    }
    let query = build(&args)?;
    let (answer, time_to_live) = Client::open(&args.client)?.discover(&target, &query).await?;
    let report = Report::new(&answer, time_to_live);
    print(&if args.client.json { client::json(&report)? } else { report.render(Colour::of_stdout()) })?;
    Ok(if report.refusal.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn fresh() -> InstanceId {
    InstanceId { root: uuid::Uuid::new_v4().to_string(), extension: None }
}

/// Takes back what a feed has told.
async fn revoke(args: &Args, target: &Target) -> Outcome {
    let patient = args.patient.patient().cloned();
    let patient = patient.ok_or_else(|| CommandError::failed("whose? give --patient or --nhs-number"))?;
    let header = MessageHeader { message_id: fresh(), sender: args.sender.clone(), ..MessageHeader::default() };
    let refused = Client::open(&args.client)?.revoke(target, &Revocation { header, patient }).await?.err();
    print(&match (args.client.json, refused) {
        (true, refused) => client::json(&serde_json::json!({ "taken": refused.is_none(), "code": refused }))?,
        (false, None) => "taken back\n".to_owned(),
        (false, Some(code)) => format!("{}: {code}\n", Tone::Bad.paint("refused", Colour::of_stdout())),
    })?;
    Ok(if refused.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn build(args: &Args) -> Result<DiscoveryQuery, CommandError> {
    let name = PersonName { given: args.given.clone(), family: args.family.clone(), ..PersonName::default() };
    let address = Address {
        lines: args.address_line.clone(),
        city: args.city.clone(),
        postal_code: args.postal_code.clone(),
        ..Address::default()
    };
    let maiden = |family: &String| PersonName { family: vec![family.clone()], ..PersonName::default() };
    let criteria = Criteria {
        ids: args.patient.patient().into_iter().cloned().collect(),
        names: Some(name).filter(|name| !name.is_empty()).into_iter().collect(),
        birth_time: args.birth_date.map(BirthTime::At),
        gender: args.gender.as_deref().map(Gender::from_code),
        addresses: Some(address).filter(|address| !address.is_empty()).into_iter().collect(),
        telecoms: args.telecom.clone(),
        mothers_maiden_names: args.mothers_maiden_name.iter().map(maiden).collect(),
        birth_places: Vec::new(),
        others: false,
    };
    if criteria.ids.is_empty() && (criteria.names.is_empty() || criteria.birth_time.is_none()) {
        return Err(CommandError::failed(
            "for whom? give --nhs-number or --patient, or --given, --family and --birth-date",
        ));
    }
    Ok(DiscoveryQuery {
        header: MessageHeader { message_id: fresh(), sender: args.sender.clone(), ..MessageHeader::default() },
        query_id: fresh(),
        requester_domain: args.sender_domain.clone(),
        priority: Priority::Immediate,
        respond_to: None,
        keep: None,
        criteria,
    })
}

/// An answer, for people and machines.
#[derive(Serialize)]
struct Report {
    /// `matches`, `more_wanted`, `not_found` or `refused`.
    answer: &'static str,
    matches: Vec<MatchView>,
    /// What the gateway wants to know in addition.
    wanted: Vec<&'static str>,
    refusal: Option<RefusalView>,
    /// How long the answer may be kept, as the gateway wrote it.
    correlation_time_to_live: Option<String>,
}

#[derive(Serialize)]
struct RefusalView {
    code: &'static str,
    problem: Option<&'static str>,
    details: Vec<String>,
}

#[derive(Serialize)]
struct MatchView {
    patient_id: String,
    home_community_id: Option<String>,
    names: Vec<String>,
    birth_time: Option<String>,
    gender: Option<String>,
    addresses: Vec<String>,
    telecoms: Vec<String>,
    other_ids: Vec<String>,
    degree: Option<u8>,
    is_locator: bool,
}

#[derive(Serialize)]
struct LocationView {
    home_community_id: String,
    patient_id: String,
}

impl LocationView {
    fn new(location: &PatientLocation) -> Self {
        Self { home_community_id: location.home.to_string(), patient_id: location.id.to_cx() }
    }
}

impl MatchView {
    fn new(found: &PatientMatch) -> Self {
        let known = &found.demographics;
        let name = |name: &PersonName| {
            let parts = [&name.prefix, &name.given, &name.family, &name.suffix].into_iter().flatten();
            parts.chain(&name.text).cloned().collect::<Vec<_>>().join(" ")
        };
        let address = |address: &Address| {
            let Address { lines, city, state, postal_code, country } = address;
            let parts = lines.iter().chain([city, state, postal_code, country].into_iter().flatten());
            parts.cloned().collect::<Vec<_>>().join(", ")
        };
        Self {
            patient_id: found.id.to_cx(),
            home_community_id: found.home.as_ref().map(ToString::to_string),
            names: known.names.iter().map(name).collect(),
            birth_time: match &known.birth_time {
                Some(BirthTime::At(time)) => Some(time.as_str().to_owned()),
                _ => None,
            },
            gender: known.gender.as_ref().map(|gender| gender.code().to_owned()),
            addresses: known.addresses.iter().map(address).collect(),
            telecoms: known.telecoms.clone(),
            other_ids: known.other_ids.iter().map(|id| id.to_cx()).collect(),
            degree: found.degree,
            is_locator: found.is_locator,
        }
    }
}

impl Report {
    fn new(answer: &DiscoveryAnswer, correlation_time_to_live: Option<String>) -> Self {
        let none = Self {
            answer: "not_found",
            matches: Vec::new(),
            wanted: Vec::new(),
            refusal: None,
            correlation_time_to_live,
        };
        let code = |wanted: &Attribute| Attribute::ALL.iter().find(|(known, _)| known == wanted).map(|(_, code)| *code);
        match answer {
            DiscoveryAnswer::NotFound => none,
            DiscoveryAnswer::Matches(matches) => {
                Self { answer: "matches", matches: matches.iter().map(MatchView::new).collect(), ..none }
            }
            DiscoveryAnswer::MoreWanted(wanted) => {
                Self { answer: "more_wanted", wanted: wanted.iter().filter_map(code).collect(), ..none }
            }
            DiscoveryAnswer::Refused(refusal) => {
                let refusal = RefusalView {
                    code: refusal.fault.code(),
                    problem: refusal.problem.map(|problem| problem.code()),
                    details: refusal.details.clone(),
                };
                Self { answer: "refused", refusal: Some(refusal), ..none }
            }
        }
    }

    fn render(&self, colour: Colour) -> String {
        let mut out = String::new();
        if !self.matches.is_empty() {
            let heads = ["patient", "community", "name", "born", "gender", "degree"];
            let mut table = Table::new(&heads.map(|head| (head, Align::Left)));
            for found in &self.matches {
                table.row([
                    Cell::new(&found.patient_id, Tone::Strong),
                    found.home_community_id.clone().unwrap_or_default().into(),
                    found.names.first().cloned().unwrap_or_default().into(),
                    found.birth_time.clone().unwrap_or_default().into(),
                    found.gender.clone().unwrap_or_default().into(),
                    found.degree.map(|degree| format!("{degree} %")).unwrap_or_default().into(),
                ]);
            }
            out.push_str(&table.render(colour));
        }
        if self.answer == "not_found" {
            out.push_str("no such patient is known there\n");
        }
        if !self.wanted.is_empty() {
            out.push_str(&format!("several may be the one; to be known in addition: {}\n", self.wanted.join(", ")));
        }
        if let Some(refusal) = &self.refusal {
            let why = refusal.problem.map(|problem| format!(" {problem}")).unwrap_or_default();
            out.push_str(&format!("{}: {}{why}\n", Tone::Bad.paint("refused", colour), refusal.code));
            for detail in &refusal.details {
                out.push_str(&format!("  {}\n", client::printable(detail)));
            }
        }
        if let Some(time) = &self.correlation_time_to_live {
            out.push_str(&format!("may be kept for {}\n", client::printable(time)));
        }
        out
    }
}

fn shown_locations(locations: &[LocationView], colour: Colour) -> String {
    if locations.is_empty() {
        return "no community with data of that patient is known there\n".to_owned();
    }
    let mut table = Table::new(&[("community", Align::Left), ("patient", Align::Left)]);
    for location in locations {
        table.row([location.home_community_id.clone().into(), location.patient_id.clone().into()]);
    }
    table.render(colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::discovery::{Fault, PatientDemographics, Problem, Refusal};
    use crate::model::ids::PatientId;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(more: &[&str]) -> Args {
        Cli::try_parse_from(["x", "--to", "https://h"].iter().chain(more))
            .unwrap_or_else(|error| panic!("{error}"))
            .args
    }

    #[test]
    fn arguments_make_a_query() {
        let query =
            build(&parse(&["--given", "Ada", "--family", "Meyer", "--birth-date", "1970-01-31", "--gender", "F"]));
        let criteria = query.unwrap().criteria;
        assert_eq!((criteria.names[0].given[0].as_str(), criteria.gender), ("Ada", Some(Gender::Female)));
        assert_eq!(criteria.birth_time, Some(BirthTime::At(Dtm::parse("19700131").unwrap())));
        assert_eq!(build(&parse(&["--nhs-number", "999 001 0013"])).unwrap().criteria.ids[0].id(), "9990010013");
        for less in [&["--given", "Ada"][..], &["--birth-date", "1970"], &[]] {
            assert!(build(&parse(less)).is_err());
        }
        for refused in [&["--locate", "--given", "Ada"][..], &["--revoke"], &["--revoke", "--locate"]] {
            let line = ["x", "--to", "https://h"].iter().chain(refused);
            assert!(Cli::try_parse_from(line).is_err(), "{refused:?}");
        }
        assert!(parse(&["--revoke", "--sender", "urn:oid:2.999.1", "--nhs-number", "9990010013"]).revoke);
        assert!(!format!("{:?}", parse(&["--given", "Quillfeather"])).contains("Quillfeather"));
    }

    #[test]
    fn answers_for_people() {
        let found = PatientMatch {
            id: PatientId::parse("P-77^^^&2.999.2.3&ISO").unwrap(),
            home: HomeCommunityId::parse("urn:oid:2.999.2").ok(),
            demographics: PatientDemographics {
                names: vec![PersonName {
                    given: vec!["Ada".into()],
                    family: vec!["Meyer".into()],
                    ..PersonName::default()
                }],
                birth_time: Some(BirthTime::At(Dtm::parse("19700131").unwrap())),
                ..PatientDemographics::default()
            },
            degree: Some(100),
            is_locator: false,
        };
        let refused = Refusal {
            fault: Fault::Query,
            problem: Some(Problem::AnswerNotAvailable),
            details: vec!["why\u{1b}".into()],
        };
        for (answer, time, expected) in [
            (
                DiscoveryAnswer::Matches(vec![found]),
                Some("PT60S".to_owned()),
                "\
patient                community        name       born      gender  degree
P-77^^^&2.999.2.3&ISO  urn:oid:2.999.2  Ada Meyer  19700131          100 %
may be kept for PT60S
",
            ),
            (DiscoveryAnswer::NotFound, None, "no such patient is known there\n"),
            (
                DiscoveryAnswer::MoreWanted(vec![Attribute::Gender, Attribute::Address]),
                None,
                "several may be the one; to be known in addition: LivingSubjectAdministrativeGenderRequested, PatientAddressRequested\n",
            ),
            (DiscoveryAnswer::Refused(refused), None, "refused: QE AnswerNotAvailable\n  why \n"),
        ] {
            assert_eq!(Report::new(&answer, time).render(Colour::Off), expected);
        }
    }
}
