//! `causeway simulate`: communities in trouble, for harnesses and for trying a gateway by hand.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{CommandError, Outcome, print};
use crate::model::discovery::{BirthTime, Person};
use crate::simulate::fault::{FAULTS, Kind, Trouble};
use crate::simulate::latency::Latency;
use crate::simulate::{Settings, SimulateError, Simulation};
use crate::terminal::{Align, Cell, Colour, Table, Tone, parse_duration, parse_size};
use crate::transport::certificates::{DevelopmentOptions, write_development_set};
use crate::transport::tls::TlsFiles;

/// Octets of a document at most: all are kept in memory.
const LARGEST_DOCUMENT: u64 = 64 << 20;

/// Arguments of `causeway simulate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many communities
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub communities: u16,
    /// Address of the first; the others listen on the following ports
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9500")]
    pub bind: SocketAddr,
    /// Folder with server.pem, server.key and ca.pem, as 'init' and 'certs dev' make it; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "simulation-certs")]
    pub certs: PathBuf,
    /// Everything made up follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Patients, with NHS numbers of the test range
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub patients: u32,
    /// The share of communities that know a patient
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = share)]
    pub known: f64,
    /// Documents of a patient at one community, at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub documents: u32,
    /// Size of each document
    #[arg(long, value_name = "SIZE", default_value = "20KiB", value_parser = size)]
    pub size: u64,
    /// How soon they answer: 50ms, 20ms..200ms, or p50=50ms,p99=400ms
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = latency)]
    pub latency: Latency,
    /// What goes wrong with one of them, such as 3=hang or 5=reset@25% (repeatable)
    #[arg(long, value_name = "NUMBER=TROUBLE", value_parser = Trouble::parse)]
    pub trouble: Vec<Trouble>,
    /// Print all troubles and end
    #[arg(long)]
    pub list: bool,
    /// Write the communities as peer entries for a causeway.toml
    #[arg(long, value_name = "FILE")]
    pub peers: Option<PathBuf>,
    /// End after that time rather than at Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub time: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn share(text: &str) -> Result<f64, &'static str> {
    let percent = text.strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok());
    percent.filter(|percent| (0.0..=100.0).contains(percent)).map(|p| p / 100.0).ok_or("a percentage such as 50%")
}

fn size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).filter(|size| *size <= LARGEST_DOCUMENT).ok_or("a size such as 20KiB, of 64 MiB at most")
}

fn latency(text: &str) -> Result<Latency, &'static str> {
    Latency::parse(text).ok_or("a time such as 50ms, a range such as 20ms..200ms, or p50=50ms,p99=400ms")
}

fn time(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("a time such as 500ms, 10s, 2m")
}

impl From<SimulateError> for CommandError {
    fn from(error: SimulateError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Does what the arguments say.
///
/// # Errors
/// When certificates cannot be used, or a port not be bound.
pub async fn run(args: Args) -> Outcome {
    if args.list {
        print(&if args.json { troubles_json() } else { troubles_table(Colour::of_stdout()) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let simulation = start(&args).await?;
    if let Some(file) = &args.peers {
        std::fs::write(file, peers(&simulation)).map_err(CommandError::file("write", file))?;
    }
    print(&if args.json { report_json(&args, &simulation)? } else { report(&args, &simulation)? })?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = async {
            match args.time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        } => {}
    }
    simulation.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &Args) -> Settings {
    let tls = TlsFiles::in_folder(&args.certs, "server");
    let bad = Some(args.certs.join("bad")).filter(|folder| folder.is_dir());
    Settings {
        seed: args.seed,
        communities: args.communities,
        address: args.bind.ip(),
        port: args.bind.port(),
        bad_certificates: bad,
        patients: args.patients,
        known: args.known,
        documents: args.documents,
        document_size: usize::try_from(args.size).unwrap_or(usize::MAX),
        latency: args.latency,
        ..Settings::new(tls)
    }
}

async fn start(args: &Args) -> Result<Simulation, CommandError> {
    if let Some(trouble) = args.trouble.iter().find(|trouble| trouble.community > args.communities) {
        return Err(CommandError::failed(format!(
            "there are {} communities, and none of number {}",
            args.communities, trouble.community
        )));
    }
    if !args.certs.exists() {
        write_development_set(&args.certs, &DevelopmentOptions::new(Timestamp::now()))?;
    }
    let settings = settings(args);
    let shown = args.trouble.iter().find(|trouble| trouble.fault.kind() == Kind::Certificate);
    if let (Some(trouble), None) = (shown, &settings.bad_certificates) {
        return Err(SimulateError::NoBadCertificates(trouble.fault.name()).into());
    }
    let simulation = Simulation::start(settings).await?;
    for (number, community) in (1..).zip(simulation.communities()) {
        let own = args.trouble.iter().filter(|trouble| trouble.community == number);
        community.set_faults(own.map(|trouble| (trouble.fault, trouble.share)).collect());
    }
    Ok(simulation)
}

fn troubles_table(colour: Colour) -> String {
    let mut table = Table::new(&[("trouble", Align::Left), ("what the community does", Align::Left)]);
    for row in FAULTS {
        table.row([row.name.into(), row.about.into()]);
    }
    table.render(colour)
}

fn troubles_json() -> String {
    let rows: Vec<_> = FAULTS.iter().map(|row| json!({ "trouble": row.name, "about": row.about })).collect();
    format!("{:#}\n", json!(rows))
}

/// `[[peer]]` entries.
fn peers(simulation: &Simulation) -> String {
    let mut out = String::new();
    for community in simulation.communities() {
        // Names and addresses are our own: nothing in them needs quoting.
        let _ = write!(
            out,
            "[[peer]]\nname = \"{}\"\nhome_community_id = \"{}\"\nscope = \"neighbour\"\nresponding_gateway = \"{}\"\n\n",
            community.name,
            community.home,
            community.url()
        );
    }
    out
}

fn troubles_of(args: &Args, number: u16) -> Vec<String> {
    let own = args.trouble.iter().filter(|trouble| trouble.community == number);
    own.map(|trouble| match trouble.share {
        share if share < 1.0 => format!("{} ({:.0} %)", trouble.fault.name(), share * 100.0),
        _ => trouble.fault.name().to_owned(),
    })
    .collect()
}

fn report(args: &Args, simulation: &Simulation) -> Result<String, CommandError> {
    let colour = Colour::of_stdout();
    let mut table = Table::new(&[
        ("", Align::Right),
        ("home", Align::Left),
        ("responding gateway", Align::Left),
        ("trouble", Align::Left),
    ]);
    for (number, community) in (1..).zip(simulation.communities()) {
        table.row([
            number.to_string().into(),
            Cell::new(community.home.as_str(), Tone::Faint),
            community.url().into(),
            Cell::new(troubles_of(args, number).join(", "), Tone::Bad),
        ]);
    }
    let settings = settings(args);
    let person = settings.person(0)?;
    let next = match &args.peers {
        Some(file) => format!("{} has them as [[peer]] entries.", file.display()),
        None => "--peers FILE writes them as [[peer]] entries for a causeway.toml.".to_owned(),
    };
    Ok(format!(
        "{}\nEach answers after {}, to clients of the authority {}.\n\
         {} patients; the first is {}, {}. {next}\nCtrl-C ends it.\n",
        table.render(colour),
        args.latency,
        shown(&settings.tls.client_ca),
        args.patients,
        person.id.to_cx(),
        described(&person),
    ))
}

/// Who a made-up patient is, to be asked for with 'causeway discover'.
fn described(person: &Person) -> String {
    let known = &person.demographics;
    let names = known.names.iter().flat_map(|name| name.given.iter().chain(&name.family));
    let names = names.cloned().collect::<Vec<_>>().join(" ");
    match &known.birth_time {
        Some(BirthTime::At(time)) => format!("{names}, born {}", time.as_str()),
        _ => names,
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn report_json(args: &Args, simulation: &Simulation) -> Result<String, CommandError> {
    let settings = settings(args);
    let some = (0..args.patients.min(10)).map(|number| settings.patient(number).map(|patient| patient.to_cx()));
    let patients = some.collect::<Result<Vec<_>, _>>()?;
    let people = (0..args.patients.min(10)).map(|number| settings.person(number).map(|person| described(&person)));
    let people = people.collect::<Result<Vec<_>, _>>()?;
    let communities: Vec<_> = (1..)
        .zip(simulation.communities())
        .map(|(number, community)| {
            json!({
                "name": community.name,
                "home_community_id": community.home.as_str(),
                "repository_unique_id": community.repository.as_str(),
                "responding_gateway": community.url(),
                "troubles": troubles_of(args, number),
            })
        })
        .collect();
    Ok(format!(
        "{:#}\n",
        json!({ "communities": communities, "patients": patients, "people": people, "ca": shown(&settings.tls.client_ca) })
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Args {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let line = [&["simulate"], words].concat();
        <Line as clap::Parser>::try_parse_from(line).unwrap().args
    }

    #[tokio::test]
    async fn communities_start_and_are_written_as_peers() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs").display().to_string();
        let words = ["--certs", &certs, "--communities", "3", "--bind", "127.0.0.1:0", "--trouble", "2=revoked@50%"];
        let args = args(&words);
        let simulation = start(&args).await.unwrap();
        let text = report(&args, &simulation).unwrap();
        assert!(text.contains("revoked (50 %)") && text.contains("urn:oid:2.999.826.1.103"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report_json(&args, &simulation).unwrap()).unwrap();
        assert_eq!(json["communities"][1]["troubles"][0], "revoked (50 %)");
        assert_eq!(json["patients"].as_array().unwrap().len(), 10);
        let entries = peers(&simulation);
        let config = format!(
            "[community]\nname = \"x\"\nhome_community_id = \"urn:oid:2.999.1\"\nrepository_unique_id = \"2.999.2\"\nprofile = \"demo\"\n{entries}"
        );
        let value: toml::Value = toml::from_str(&config).unwrap();
        assert_eq!(value["peer"].as_array().unwrap().len(), 3);
        simulation.stop().await;
    }

    #[test]
    fn all_troubles_are_told() {
        let table = troubles_table(Colour::Off);
        assert!(FAULTS.iter().all(|row| table.contains(row.about)));
        let json: serde_json::Value = serde_json::from_str(&troubles_json()).unwrap();
        assert_eq!(json.as_array().unwrap().len(), FAULTS.len());
    }
}
