//! A folder of good and deliberately bad certificates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::CertificateError;
use super::authority::{DevelopmentAuthority, IssuedCertificate, Leaf, Usage, later, shifted, shorten};

/// What [`write_development_set`] puts into a folder.
#[derive(Debug, Clone)]
pub struct DevelopmentOptions {
    /// Organisation of all certificates: usually the community's name.
    pub organisation: String,
    /// commonName of `server.pem`.
    pub server_common_name: String,
    /// DNS names of `server.pem`.
    pub server_names: Vec<String>,
    /// IP addresses of `server.pem`.
    pub server_addresses: Vec<IpAddr>,
    /// commonName of `client.pem`.
    pub client_common_name: String,
    /// First moment of validity of everything good.
    pub not_before: Timestamp,
    /// Days that certificates and the revocation list are valid.
    pub valid_days: u32,
    /// Also write `bad/`.
    pub bad: bool,
    /// Replace a set that is already there.
    pub force: bool,
}

impl DevelopmentOptions {
    /// Defaults: for localhost, 127.0.0.1 and ::1, two years, with `bad/`, never overwriting.
    pub fn new(not_before: Timestamp) -> Self {
        Self {
            organisation: "Causeway".to_owned(),
            server_common_name: "Causeway development server".to_owned(),
            server_names: vec!["localhost".to_owned()],
            server_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            client_common_name: "Causeway development client".to_owned(),
            not_before,
            valid_days: 730,
            bad: true,
            force: false,
        }
    }
}

/// Where the files of a set are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentSet {
    /// The authority's certificate: what both sides trust.
    pub ca: PathBuf,
    /// The authority's private key.
    pub ca_key: PathBuf,
    /// The authority's revocation list.
    pub crl: PathBuf,
    /// Server certificate.
    pub server: PathBuf,
    /// Server private key.
    pub server_key: PathBuf,
    /// Client certificate.
    pub client: PathBuf,
    /// Client private key.
    pub client_key: PathBuf,
    /// Folder of deliberately bad certificates, if asked for.
    pub bad: Option<PathBuf>,
    /// Every file written, in order.
    pub files: Vec<PathBuf>,
}

/// A file of the set before it is written.
struct Planned {
    path: PathBuf,
    content: String,
    secret: bool,
}

/// Writes a development authority with a server, a client and (`bad/`) certificates that every
/// check must refuse: expired, unknown issuer, revoked, wrong name, not for clients.
///
/// All files are complete before the first one gets its name, keys are readable by the owner
/// only, and an existing set stays untouched unless `force` is given.
pub fn write_development_set(dir: &Path, options: &DevelopmentOptions) -> Result<DevelopmentSet, CertificateError> {
    let (mut set, planned) = plan(dir, options)?;
    if !options.force
        && let Some(existing) = planned.iter().find(|file| file.path.exists())
    {
        return Err(CertificateError::Exists { path: existing.path.clone() });
    }
    let folders: Vec<&Path> = std::iter::once(dir).chain(set.bad.as_deref()).collect();
    for folder in &folders {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
    }
    let mut staged = Vec::with_capacity(planned.len());
    for file in &planned {
        staged.push(Staged::write(file)?);
    }
    for file in staged {
        file.publish()?;
    }
    for folder in &folders {
        File::open(folder).and_then(|handle| handle.sync_all()).map_err(io_error("sync the folder", folder))?;
    }
    set.files = planned.into_iter().map(|file| file.path).collect();
    Ok(set)
}

fn plan(dir: &Path, options: &DevelopmentOptions) -> Result<(DevelopmentSet, Vec<Planned>), CertificateError> {
    let mut authority =
        DevelopmentAuthority::new(&options.organisation, options.not_before)?.with_valid_days(options.valid_days);
    let names: Vec<&str> = options.server_names.iter().map(String::as_str).collect();
    let server = authority.issue_server(&names, &options.server_addresses, &options.server_common_name)?;
    let client = authority.issue_client(&options.client_common_name)?;

    let mut planned = Vec::new();
    let mut add = |path: PathBuf, content: String, secret: bool| {
        planned.push(Planned { path: path.clone(), content, secret });
        path
    };
    let mut set = DevelopmentSet {
        ca_key: add(dir.join("ca.key"), authority.key_pem()?, true),
        ca: add(dir.join("ca.pem"), authority.certificate_pem()?, false),
        server_key: add(dir.join("server.key"), server.key_pem, true),
        server: add(dir.join("server.pem"), server.certificate_pem, false),
        client_key: add(dir.join("client.key"), client.key_pem, true),
        client: add(dir.join("client.pem"), client.certificate_pem, false),
        crl: dir.join("ca.crl"),
        bad: None,
        files: Vec::new(),
    };
    if options.bad {
        let folder = dir.join("bad");
        let bad = BadCertificates::issue(&mut authority, options, &names)?;
        add(folder.join("unknown-ca.pem"), bad.unknown_authority_pem, false);
        for (name, issued) in bad.certificates {
            add(folder.join(format!("{name}.key")), issued.key_pem, true);
            add(folder.join(format!("{name}.pem")), issued.certificate_pem, false);
        }
        set.bad = Some(folder);
    }
    // Last, since it names what was revoked above.
    let due = later(options.not_before, options.valid_days)?;
    let list = authority.revocation_list_pem(options.not_before, due)?;
    add(set.crl.clone(), list, false);
    Ok((set, planned))
}

struct BadCertificates {
    unknown_authority_pem: String,
    certificates: Vec<(&'static str, IssuedCertificate)>,
}

impl BadCertificates {
    /// Each is good in every respect but one, so that a test knows which check refused it. All
    /// but `server-only` and `wrong-name` can be tried in both roles.
    fn issue(
        authority: &mut DevelopmentAuthority,
        options: &DevelopmentOptions,
        names: &[&str],
    ) -> Result<Self, CertificateError> {
        let addresses = options.server_addresses.as_slice();
        let unknown_name = shorten(&format!("Unknown to {}", options.organisation));
        let unknown = DevelopmentAuthority::new(&unknown_name, options.not_before)?.with_valid_days(options.valid_days);
        let expired = authority.issue(&Leaf {
            dns_names: names,
            ip_addresses: addresses,
            not_before: shifted(options.not_before, -60)?,
            not_after: shifted(options.not_before, -30)?,
            ..authority.leaf("Expired", Usage::ServerAndClient)?
        })?;
        let revoked = authority.issue_server(names, addresses, "Revoked")?;
        authority.revoke(&revoked);
        let server_only = authority.issue(&Leaf {
            dns_names: names,
            ip_addresses: addresses,
            ..authority.leaf("Server only", Usage::Server)?
        })?;
        Ok(Self {
            unknown_authority_pem: unknown.certificate_pem()?,
            certificates: vec![
                ("expired", expired),
                ("unknown-issuer", unknown.issue_server(names, addresses, "Unknown issuer")?),
                ("revoked", revoked),
                ("wrong-name", authority.issue_server(&["wrong-name.invalid"], &[], "Wrong name")?),
                ("server-only", server_only),
            ],
        })
    }
}

/// A complete file under a temporary name; dropped unpublished, it leaves nothing behind.
struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Staged {
    fn write(file: &Planned) -> Result<Self, CertificateError> {
        let mut temporary = file.path.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let staged = Self { temporary: PathBuf::from(temporary), target: file.path.clone(), published: false };
        // The mode is set as the file is made: a key is never readable by others, not even briefly.
        let mut handle = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if file.secret { 0o600 } else { 0o644 })
            .open(&staged.temporary)
            .map_err(io_error("make", &staged.temporary))?;
        handle
            .write_all(file.content.as_bytes())
            .and_then(|()| handle.sync_all())
            .map_err(io_error("write", &staged.temporary))?;
        Ok(staged)
    }

    fn publish(mut self) -> Result<(), CertificateError> {
        fs::rename(&self.temporary, &self.target).map_err(io_error("name", &self.target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // Nothing better to do: the error that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CertificateError + use<'a> {
    move |source| CertificateError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::now;
    use super::*;

    #[test]
    fn a_set_is_written_whole_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("certs");
        let mut options = DevelopmentOptions::new(now());
        let set = write_development_set(&dir, &options).unwrap();
        assert_eq!(set.files.len(), 7 + 1 + 10);
        for file in &set.files {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            if file.extension().is_some_and(|e| e == "key") {
                assert_eq!(mode, 0o600, "{}", file.display());
            } else {
                assert_eq!(mode & 0o600, 0o600, "{}", file.display());
            }
        }
        let count = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert_eq!(count(&dir), 8, "nothing temporary is left");
        assert_eq!(count(&dir.join("bad")), 11);

        let before = fs::read(&set.ca).unwrap();
        assert!(matches!(write_development_set(&dir, &options), Err(CertificateError::Exists { .. })));
        assert_eq!(fs::read(&set.ca).unwrap(), before);
        options.force = true;
        options.bad = false;
        let again = write_development_set(&dir, &options).unwrap();
        assert_ne!(fs::read(&again.ca).unwrap(), before);
        assert_eq!(again.bad, None);
        assert_eq!(again.files.len(), 7);
    }
}
