//! `causeway probe URL`: does another system's service do what its partners rely on?
//!
//! The checks are a table, [`crate::probe::table::CHECKS`]; this is only how people ask for them. Bad
//! usage has an exit code of its own, 2, so that a script can tell it from a service that fails.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::UnixTime;

use super::client::{self, ClientArgs, PatientArgs, Target, parse_timeout, parse_url};
use super::{CommandError, Outcome, print};
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId};
use crate::probe::table::CHECKS;
use crate::probe::{self, Settings, report};
use crate::terminal::{Colour, parse_duration};
use crate::transaction::Service;
use crate::transport::tls::{TlsSource, client_config};

/// The exit code of bad usage, as clap has it.
const USAGE: u8 = 2;
/// A longer pause is a mistake.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Arguments of `causeway probe`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  What is checked, and where the standard says so:
    causeway probe --list
  A neighbour's gateway, with our gateway's certificate:
    causeway probe https://peer.example/xca/query --service responding-gateway \\
      --retrieve-url https://peer.example/xca/retrieve --cert gateway.pem --ca authorities.pem
  A registry and the metadata of a test patient, and of all that only what does not hold:
    causeway probe https://xds.example/registry --service registry --nhs-number 9990010226 --json \\
      | jq '.checks[] | select(.outcome == \"fail\" or .outcome == \"warn\")'
  One check again, after they have mended it:
    causeway probe https://peer.example/xca/query --service responding-gateway --only wsa-relates-to

It is safe against production: requests go one at a time, with --pause between them, some forty in all and
never more than --max-requests. Nothing is submitted, changed or removed. Documents, repositories, communities and
the patient that are asked for do not exist (random ids), unless you name a patient; take a test patient, and one
that you may ask about. Some requests are wrong on purpose, and will be in the other side's logs and audit trail:
tell its operators before.

A gateway's homeCommunityId is learned from its first error, or given with --home. A check that cannot be made is
'skipped' and says what it needs. A must that is not kept is FAIL; a should or a may that is not kept, and a must that
is kept in an unusual way, is 'warn'. The report has codes and counts, nothing of what a server writes for people.

Exit code: 0 if no must is broken, 1 if one is or the service cannot be reached, 2 for bad usage.
Not checked, since it cannot be checked safely: answers to another address (wsa:ReplyTo), limits, and load.")]
pub struct Args {
    /// The service; without a path, https://host:port, the path of ours is added
    #[arg(value_name = "URL", value_parser = parse_url, required_unless_present = "list")]
    pub url: Option<Uri>,
    /// What it is: registry, repository, initiating-gateway or responding-gateway (default: what its path says)
    #[arg(long, value_name = "NAME", value_parser = parse_service)]
    pub service: Option<Service>,
    /// Where documents are retrieved, if not at URL; at a registry, for --patient
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub retrieve_url: Option<Uri>,
    /// Print the table of checks, and send nothing
    #[arg(long)]
    pub list: bool,
    /// Only these checks, and what they need to be asked before
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = parse_check)]
    pub only: Vec<String>,
    /// Its homeCommunityId (default: learned from its errors)
    #[arg(long, value_name = "URN", value_parser = HomeCommunityId::parse, help_heading = "What is known of it")]
    pub home: Option<HomeCommunityId>,
    /// A repository that it serves, to ask for a document that is not there
    #[arg(long, value_name = "OID", value_parser = RepositoryUniqueId::parse, help_heading = "What is known of it")]
    pub repository: Option<RepositoryUniqueId>,
    /// A patient whom it may be asked about.
    #[command(flatten)]
    pub patient: PatientArgs,
    /// Time between two requests
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = parse_pause, help_heading = "Manners")]
    pub pause: Duration,
    /// Requests at most; what is left over is skipped
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Manners")]
    pub max_requests: u16,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_timeout, help_heading = "Manners")]
    pub timeout: Duration,
    /// Certificate to show (default: certs/client.pem of the current folder)
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub cert: Option<PathBuf>,
    /// Its private key (default: beside the certificate, as .key)
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub key: Option<PathBuf>,
    /// Authorities that the server's certificate must come from (default: ca.pem beside the certificate)
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// Revocation lists of those authorities
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub crl: Option<PathBuf>,
    /// A SAML assertion, or a wsse:Security element that holds one, for the header (XUA)
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub assertion: Option<PathBuf>,
    /// Print JSON: { url, service, home_community_id, checks: [ { id, title, section, level, outcome, seen, ms } ], summary }
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

fn parse_service(text: &str) -> Result<Service, String> {
    let names = Service::ALL.map(Service::name);
    let known = Service::ALL.into_iter().find(|service| service.name() == text);
    known.ok_or_else(|| format!("the services are {}", names.join(", ")))
}

fn parse_check(text: &str) -> Result<String, String> {
    let text = text.trim();
    match CHECKS.iter().any(|check| check.id == text) {
        true => Ok(text.to_owned()),
        false => Err("no check has that id; 'causeway probe --list' has them all".to_owned()),
    }
}

fn parse_pause(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|pause| *pause <= LONGEST_PAUSE)
        .ok_or_else(|| "a time such as 250ms, 2s, or 0s for none; an hour at most".to_owned())
}

/// Probes, and prints what was found.
///
/// # Errors
/// When the report cannot be printed.
pub async fn run(args: Args) -> Outcome {
    if args.list {
        let text = if args.json { client::json(&report::list_json())? } else { report::list_text(Colour::of_stdout()) };
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let probed = match settings(&args) {
        Ok(settings) => probe::run(settings).await.map_err(CommandError::failed),
        Err(error) => Err(error),
    };
    let report = match probed {
        Ok(report) => report,
        Err(error) => {
            eprintln!("causeway: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    print(&if args.json { client::json(&report)? } else { report.render(Colour::of_stdout()) })?;
    Ok(if report.summary.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Arguments as settings: files read, the service named.
fn settings(args: &Args) -> Result<Settings, CommandError> {
    let url = args.url.clone().ok_or_else(|| CommandError::failed("which service? Give its URL"))?;
    let service = args.service.or_else(|| Service::from_path(url.path())).ok_or_else(|| {
        CommandError::failed(format!(
            "what is at {url}? Give --service: {}",
            Service::ALL.map(Service::name).join(", ")
        ))
    })?;
    let uri = Target::new(&url, service)?.uri;
    if let Some(other) = args.only.iter().find(|id| !is_check_of(id, service)) {
        return Err(CommandError::failed(format!(
            "{other} is no check of a {}: 'causeway probe --list' says which are",
            service.name()
        )));
    }
    let secure =
        [Some(&uri), args.retrieve_url.as_ref()].into_iter().flatten().any(|uri| uri.scheme_str() != Some("http"));
    let shared = ClientArgs {
        to: uri.clone(),
        cert: args.cert.clone(),
        key: args.key.clone(),
        ca: args.ca.clone(),
        crl: args.crl.clone(),
        assertion: args.assertion.clone(),
        timeout: args.timeout,
        json: args.json,
        show_wire: false,
    };
    let tls = if secure {
        let files = client::tls_files(&shared, Path::new("."))?;
        Some(client_config(&TlsSource::Files(files).load(UnixTime::now())?)?)
    } else {
        None
    };
    Ok(Settings {
        retrieve_uri: args.retrieve_url.clone(),
        service,
        tls,
        security: args.assertion.as_deref().map(client::read_assertion).transpose()?,
        home: args.home.clone(),
        repository: args.repository.clone(),
        patient: args.patient.patient().cloned(),
        only: args.only.clone(),
        pause: args.pause,
        timeout: args.timeout,
        max_requests: args.max_requests.into(),
        uri,
    })
}

fn is_check_of(id: &str, service: Service) -> bool {
    CHECKS.iter().any(|check| check.id == id && check.services.contains(&service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        probe: Args,
    }

    fn refused(more: &[&str]) -> String {
        match Cli::try_parse_from(["x"].iter().chain(more)) {
            Err(error) => error.to_string(),
            Ok(cli) => settings(&cli.probe).err().map(|error| error.to_string()).unwrap_or_default(),
        }
    }

    #[test]
    fn bad_usage_is_told() {
        for (more, why) in [
            (&[][..], "<URL>"),
            (&["https://h/xca"], "Give --service: registry"),
            (&["https://h/xca", "--service", "gateway"], "the services are registry"),
            (&["https://h/services/registry", "--only", "reached,nonsense"], "no check has that id"),
            (&["https://h/services/registry", "--only", "retrieve-start"], "no check of a registry"),
            (&["https://h/services/registry", "--max-requests", "0"], "max-requests"),
            (&["https://h/services/registry", "--cert", "/nowhere/x.pem"], "there is no /nowhere/x.pem"),
        ] {
            let told = refused(more);
            assert!(told.contains(why), "{more:?}: {told}");
        }
        assert!(Cli::try_parse_from(["x", "--list"]).is_ok());
    }

    #[test]
    fn the_service_is_told_by_the_path_or_named() {
        for (more, uri, service) in [
            (&["http://h/services/repository"][..], "http://h/services/repository", Service::Repository),
            (&["http://h", "--service", "registry"], "http://h/services/registry", Service::Registry),
            (
                &["http://h/services/registry", "--service", "responding-gateway"],
                "http://h/services/registry",
                Service::RespondingGateway,
            ),
        ] {
            let cli = Cli::try_parse_from(["x"].iter().chain(more)).unwrap();
            let settings = settings(&cli.probe).unwrap();
            assert_eq!((settings.uri.to_string().as_str(), settings.service), (uri, service));
        }
    }
}
