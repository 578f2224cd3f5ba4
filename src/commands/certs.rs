//! `causeway certs dev DIR`: a development authority with all that a trial needs.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;

use super::print;
use super::{CommandError, Outcome};
use crate::terminal::{Align, Colour, Table};
use crate::transport::certificates::{DevelopmentOptions, DevelopmentSet, write_development_set};

/// Arguments of `causeway certs`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to do with certificates.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with certificates.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Make a development authority, a server, a client, and deliberately bad certificates
    #[command(after_help = "\
bad/ has what every listener must refuse: expired, unknown issuer, revoked (with the list ca.crl),
wrong name, not for clients. All certificates carry a mark by which production brokers refuse them.")]
    Dev(DevArgs),
}

/// Arguments of `causeway certs dev`.
#[derive(Debug, Clone, clap::Args)]
pub struct DevArgs {
    /// Folder to write to; made if it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Common name of the server's certificate
    #[arg(long, value_name = "CN")]
    pub name: Option<String>,
    /// A DNS name or an address of the server, besides localhost (repeatable)
    #[arg(long, value_name = "NAME")]
    pub dns: Vec<String>,
    /// Replace the set that is there
    #[arg(long)]
    pub force: bool,
}

/// Does what the arguments say.
///
/// # Errors
/// When the set is there already, or cannot be written.
pub fn run(args: &Args) -> Outcome {
    let Action::Dev(dev) = &args.action;
    print(&report(&make(dev)?))?;
    Ok(ExitCode::SUCCESS)
}

fn make(dev: &DevArgs) -> Result<DevelopmentSet, CommandError> {
    let mut options = DevelopmentOptions::new(Timestamp::now());
    if let Some(name) = &dev.name {
        options.server_common_name.clone_from(name);
    }
    options.force = dev.force;
    cover(&mut options, &dev.dns);
    Ok(write_development_set(&dev.dir, &options)?)
}

/// Adds names and addresses that the server's certificate is to cover.
pub(super) fn cover(options: &mut DevelopmentOptions, names: &[String]) {
    for name in names {
        match name.parse::<IpAddr>() {
            Ok(address) if !options.server_addresses.contains(&address) => {
                options.server_addresses.push(address);
            }
            Err(_) if !options.server_names.contains(name) => options.server_names.push(name.clone()),
            _ => {}
        }
    }
}

fn report(set: &DevelopmentSet) -> String {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |what: &str, path: &std::path::Path| {
        table.row([what.into(), path.display().to_string().into()]);
    };
    row("authority", &set.ca);
    row("its key", &set.ca_key);
    row("revocation list", &set.crl);
    row("server", &set.server);
    row("its key", &set.server_key);
    row("client", &set.client);
    row("its key", &set.client_key);
    if let Some(bad) = &set.bad {
        row("to be refused", bad);
    }
    format!(
        "{}\nFor development only: the authority's key is next to its certificates.\n",
        table.render(Colour::of_stdout())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::certificates::facts_from_pem;

    #[test]
    fn names_and_addresses_are_covered_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut dev = DevArgs {
            dir: dir.path().join("certs"),
            name: Some("North".to_owned()),
            dns: ["gateway.example", "10.1.2.3", "localhost"].map(str::to_owned).to_vec(),
            force: false,
        };
        let set = make(&dev).unwrap();
        assert!(report(&set).contains("client.pem"));
        let pem = std::fs::read(dev.dir.join("server.pem")).unwrap();
        let facts = &facts_from_pem(&pem).unwrap()[0];
        assert_eq!(facts.common_name.as_deref(), Some("North"));
        for host in ["gateway.example", "10.1.2.3", "localhost", "127.0.0.1", "::1"] {
            assert!(facts.covers_host(host), "{host}");
        }
        assert!(make(&dev).is_err());
        dev.force = true;
        make(&dev).unwrap();
        assert_ne!(std::fs::read(dev.dir.join("server.pem")).unwrap(), pem);
    }
}
