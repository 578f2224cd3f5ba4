//! `causeway init DIR`: a folder from which `causeway serve` runs at once.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use http::Uri;
use jiff::Timestamp;

use super::print;
use super::{CommandError, Outcome, certs};
use crate::config::{Config, PeerTemplate, Template, UnknownPatients, default_toml};
use crate::model::ids::{HomeCommunityId, Oid, RepositoryUniqueId};
use crate::terminal::{Align, Colour, Table};
use crate::transport::certificates::{DevelopmentOptions, write_development_set};
use crate::validate::codes::CodeSet;

/// The codes of the demonstration, written unless others are given.
pub(crate) const CODES: &str = include_str!("../../samples/codes.xml");

/// Arguments of `causeway init`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder to write to; made if it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The community's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The community's identity, urn:oid:… (default: urn:oid:2.999.826.1.1, an example)
    #[arg(long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home_community_id: Option<HomeCommunityId>,
    /// The repository's identity, an OID (default: made from the community's)
    #[arg(long, value_name = "OID", value_parser = RepositoryUniqueId::parse)]
    pub repository_unique_id: Option<RepositoryUniqueId>,
    /// Address and port to listen at
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub bind: SocketAddr,
    /// Address and port for health, numbers and the console
    /// (default: 127.0.0.1:9180, for other listeners' ports as far from them)
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// A DNS name or an address that callers use, besides localhost (repeatable)
    #[arg(long, value_name = "NAME")]
    pub dns: Vec<String>,
    /// A code file to copy instead of the one that comes along
    #[arg(long, value_name = "FILE")]
    pub codes: Option<PathBuf>,
    /// Another community: its name, its identity, its Responding Gateway (repeatable)
    #[arg(long = "peer", value_name = "NAME=HOME=URL")]
    pub peers: Vec<PeerArgument>,
    /// Listen for HL7 v2 identity feeds: refused until there are any, and not offered until then
    #[arg(long, value_name = "ADDR", hide = true)]
    pub mllp: Option<String>,
    /// A patient domain that is taken (repeatable; default: any)
    #[arg(long = "patient-domain", value_name = "OID", value_parser = Oid::parse)]
    pub patient_domains: Vec<Oid>,
    /// What happens to patients nobody has announced
    #[arg(long, value_name = "RULE", value_enum, default_value_t = Unknown::Accept)]
    pub unknown_patients: Unknown,
    /// Replace configuration, codes and certificates that are there; data is kept
    #[arg(long)]
    pub force: bool,
}

/// What happens to patients nobody has announced, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Unknown {
    /// Whoever is written about is accepted.
    Accept,
    /// Only those listed as `patients.known` are accepted.
    Reject,
}

/// `NAME=HOME=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerArgument(pub PeerTemplate);

impl FromStr for PeerArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "NAME=HOME=URL, as \"East=urn:oid:1.2.3.4=https://east.example:8443/services/responding-gateway\"";
        // The name comes first and may have anything in it but the identity behind it may not,
        // and a URL may have an equals sign too: the scheme of the identity is what stands firm.
        let at = text.to_ascii_lowercase().find("=urn:oid:").ok_or_else(|| format!("a peer is {FORM}"))?;
        let (name, rest) = text.split_at(at);
        let (home, url) =
            rest.get(1..).and_then(|rest| rest.split_once('=')).ok_or_else(|| format!("a peer is {FORM}"))?;
        if name.trim().is_empty() {
            return Err(format!("the peer's name is empty; a peer is {FORM}"));
        }
        let home_community_id = HomeCommunityId::parse(home).map_err(|error| error.to_string())?;
        let responding_gateway: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        Ok(Self(PeerTemplate { name: name.trim().to_owned(), home_community_id, responding_gateway }))
    }
}

/// Writes the folder and says what is in it.
///
/// # Errors
/// When something is there already, cannot be written, or the arguments do not fit together.
pub fn run(args: &Args) -> Outcome {
    print(&make(args)?)?;
    Ok(ExitCode::SUCCESS)
}

fn make(args: &Args) -> Result<String, CommandError> {
    if args.mllp.is_some() {
        return Err(CommandError::failed(
            "--mllp: identity feeds over MLLP (ITI-8) come with a later version; leave it out, and name \
             patients by patients.known or patients.known_file, or use --unknown-patients accept",
        ));
    }
    let template = template(args)?;
    let toml = default_toml(&template);
    // Whatever the arguments say must hold as a configuration, before a file is touched.
    Config::from_toml(&toml, &args.dir)?;
    let codes = codes(args.codes.as_deref())?;
    let (config_file, codes_file, certs_dir) =
        (args.dir.join("causeway.toml"), args.dir.join("codes.xml"), args.dir.join("certs"));
    if !args.force
        && let Some(there) = [&config_file, &codes_file].into_iter().find(|path| path.exists())
    {
        return Err(CommandError::failed(format!(
            "{} is there already; choose another folder, or --force to replace configuration, codes and certificates",
            there.display()
        )));
    }
    fs::create_dir_all(&args.dir).map_err(CommandError::file("make the folder", &args.dir))?;
    let set = write_development_set(&certs_dir, &development(args, &template))?;
    write_whole(&codes_file, codes.as_bytes())?;
    write_whole(&config_file, toml.as_bytes())?;
    let mut out = format!("Made a broker for \"{}\" in {}\n\n", template.name, args.dir.display());
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |path: &Path, what: &str| {
        table.row([format!("  {}", path.display()).into(), what.into()]);
    };
    row(&config_file, "configuration, each section with a comment");
    row(&codes_file, "codes that submissions may use");
    row(&set.server, "certificate of the broker (development only)");
    row(&set.client, "certificate for clients, key in client.key");
    row(&set.ca, "authority that both sides trust");
    out.push_str(&table.render(Colour::of_stdout()));
    if args.bind.ip().is_unspecified() && args.dns.is_empty() {
        out.push_str(
            "\nThe certificate covers localhost only. For calls from other machines name this one:\n  \
             add --dns NAME, and --force to make it again\n",
        );
    }
    let shown = config_file.display();
    out.push_str(&format!("\nNext:\n  causeway check --config {shown}\n  causeway serve --config {shown}\n"));
    Ok(out)
}

fn template(args: &Args) -> Result<Template, CommandError> {
    let invalid = |error: crate::model::ids::InvalidId| CommandError::failed(error.to_string());
    let mut template = Template::example().map_err(invalid)?;
    if let Some(name) = &args.name {
        template.name.clone_from(name);
    }
    if let Some(home) = &args.home_community_id {
        // Below the community's own arc, so it is as unique as that.
        template.repository_unique_id = RepositoryUniqueId::parse(&format!("{}.3", home.oid())).or_else(|error| {
            // Too long only matters if nobody has given one.
            args.repository_unique_id
                .clone()
                .ok_or_else(|| CommandError::failed(format!("{error}; add --repository-unique-id OID")))
        })?;
        template.home_community_id = home.clone();
    }
    if let Some(repository) = &args.repository_unique_id {
        template.repository_unique_id = repository.clone();
    }
    template.bind = args.bind;
    template.admin.set_port(admin_port(args.bind.port(), template.admin.port()));
    if let Some(admin) = args.admin {
        template.admin = admin;
    }
    template.names.clone_from(&args.dns);
    template.patient_domains.clone_from(&args.patient_domains);
    template.unknown = match args.unknown_patients {
        Unknown::Accept => UnknownPatients::Accept,
        Unknown::Reject => UnknownPatients::Reject,
    };
    template.peers = args.peers.iter().map(|peer| peer.0.clone()).collect();
    Ok(template)
}

/// Several brokers on one machine differ by their listeners, so the other port follows. Numbers
/// from the ephemeral range were drawn, and another can be drawn as well.
fn admin_port(listener: u16, usual: u16) -> u16 {
    const USUAL_LISTENER: u16 = 8443;
    const FIRST_EPHEMERAL: u16 = 32_768;
    match listener {
        0 | FIRST_EPHEMERAL.. => 0,
        fixed => fixed + (usual - USUAL_LISTENER),
    }
}

fn development(args: &Args, template: &Template) -> DevelopmentOptions {
    let mut options = DevelopmentOptions::new(Timestamp::now());
    // X.520 ends names at 64 characters; the configuration keeps the whole one.
    options.organisation = template.name.chars().filter(|c| !c.is_control()).take(64).collect();
    options.force = args.force;
    certs::cover(&mut options, &args.dns);
    if !args.bind.ip().is_unspecified() {
        certs::cover(&mut options, &[args.bind.ip().to_string()]);
    }
    options
}

/// The code file to write: understood before it is copied, so that the broker starts with it.
fn codes(file: Option<&Path>) -> Result<String, CommandError> {
    let Some(path) = file else {
        return Ok(CODES.to_owned());
    };
    let text = fs::read_to_string(path).map_err(CommandError::file("read", path))?;
    CodeSet::parse(&text).map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))?;
    Ok(text)
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&temporary);
        CommandError::file("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Service;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(dir: &Path, more: &[&str]) -> Result<Args, clap::Error> {
        let dir = dir.to_str().unwrap();
        let line = ["init", dir].into_iter().chain(more.iter().copied());
        Line::try_parse_from(line).map(|line| line.args)
    }

    fn made(dir: &Path, more: &[&str]) -> Result<Config, CommandError> {
        make(&parsed(dir, more).unwrap())?;
        Ok(Config::load(&dir.join("causeway.toml"))?)
    }

    #[test]
    fn without_options_it_is_what_a_harness_expects() {
        let dir = tempfile::tempdir().unwrap();
        let config = made(dir.path(), &[]).unwrap();
        assert!(config.patients.domains.is_empty());
        assert_eq!(config.patients.unknown, UnknownPatients::Accept);
        assert!(config.codes.as_ref().unwrap().enforce);
        assert_eq!(config.listeners[0].bind.to_string(), "127.0.0.1:8443");
        assert_eq!(config.listeners[0].services, Service::ALL);
        assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9180");
        for file in ["certs/client.pem", "certs/client.key", "certs/ca.pem", "codes.xml"] {
            assert!(dir.path().join(file).is_file(), "{file}");
        }
        CodeSet::parse(&fs::read_to_string(&config.codes.unwrap().file).unwrap()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    #[test]
    fn options_set_what_their_names_say() {
        let dir = tempfile::tempdir().unwrap();
        let config = made(
            &dir.path().join("a/b"),
            &[
                "--name=North",
                "--home-community-id=urn:oid:1.2.3",
                "--bind=0.0.0.0:9443",
                "--dns=gateway.example",
                "--dns=10.1.2.3",
                "--peer=East = far=urn:oid:2.999.2=https://e.example/x?a=b",
                "--patient-domain=2.999.7",
                "--unknown-patients=reject",
            ],
        )
        .unwrap();
        assert_eq!(config.community.name, "North");
        assert_eq!(config.community.repository_unique_id.as_str(), "1.2.3.3");
        assert_eq!(config.listeners[0].bind.port(), 9443);
        assert_eq!(config.listeners[0].names, ["gateway.example", "10.1.2.3"]);
        assert_eq!(config.peers[0].name, "East = far");
        assert_eq!(config.peers[0].responding_gateway.as_ref().unwrap().query(), Some("a=b"));
        assert_eq!(config.patients.domains[0].oid.as_str(), "2.999.7");
        assert_eq!(config.patients.unknown, UnknownPatients::Reject);
    }

    #[test]
    fn brokers_on_one_machine_do_not_meet_at_the_admin_port() {
        assert_eq!(admin_port(8443, 9180), 9180);
        assert_eq!(admin_port(8444, 9180), 9181);
        assert_eq!(admin_port(0, 9180), 0);
        assert_eq!(admin_port(45_000, 9180), 0);
        let dir = tempfile::tempdir().unwrap();
        let config = made(dir.path(), &["--admin=127.0.0.1:9999"]).unwrap();
        assert_eq!(config.admin.unwrap().port(), 9999);
    }

    #[test]
    fn nothing_is_overwritten_without_force() {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), &[]).unwrap();
        let before = fs::read(dir.path().join("certs/server.pem")).unwrap();
        let error = made(dir.path(), &["--name=Other"]).unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(fs::read(dir.path().join("certs/server.pem")).unwrap(), before);
        assert_eq!(made(dir.path(), &["--name=Other", "--force"]).unwrap().community.name, "Other");
        assert_ne!(fs::read(dir.path().join("certs/server.pem")).unwrap(), before);
    }

    #[test]
    fn what_is_refused_is_not_offered() {
        use clap::CommandFactory;
        let help = Line::command().render_long_help().to_string();
        assert!(help.contains("--peer") && !help.to_ascii_lowercase().contains("mllp"), "{help}");
        assert!(!help.contains("later version"), "{help}");
    }

    #[test]
    fn what_cannot_be_is_refused_before_a_file_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let bad_codes = dir.path().join("bad.xml");
        fs::write(&bad_codes, "<Codes><CodeType").unwrap();
        let bad_codes = format!("--codes={}", bad_codes.display());
        let target = dir.path().join("new");
        for (argument, what) in [
            ("--mllp=0.0.0.0:2575", "later version"),
            ("--peer=Own=urn:oid:2.999.826.1.1=https://e.example/x", "our own"),
            ("--peer=Plain=urn:oid:2.999.2=http://e.example/x", "mutual TLS"),
            ("--codes=/nonexistent/codes.xml", "cannot read"),
            (bad_codes.as_str(), "line 1"),
        ] {
            let error = made(&target, &[argument]).expect_err(argument);
            assert!(error.to_string().contains(what), "{argument}: {error}");
            assert!(!target.exists());
        }
        for argument in ["--peer=East", "--home-community-id=1.2.3", "--bind=8443", "--patient-domain=x"] {
            assert!(parsed(&target, &[argument]).is_err(), "{argument}");
        }
    }
}
