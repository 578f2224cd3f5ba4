//! Brokers as processes: a folder that outlives them, started, killed and started again on it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Access;

/// A start is ready within this, after a kill as well.
pub const READY: Duration = Duration::from_secs(2);
/// How long a start may take before it counts as failed altogether.
const START: Duration = Duration::from_secs(30);

/// The binary under test.
fn binary() -> PathBuf {
    std::env::var_os("CAUSEWAY_BIN").map_or_else(|| env!("CARGO_BIN_EXE_causeway").into(), PathBuf::from)
}

/// A port below those that outgoing connections get: a client that tries a stopped broker's port
/// could otherwise be given that port itself, connect to itself, and hold it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 18_000;
    const MANY: u16 = 14_000;
    let begin = u16::try_from(std::process::id() % u32::from(MANY)).unwrap_or_default();
    loop {
        let port = FIRST + (begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % MANY);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A broker's folder, with its addresses.
pub struct Installation {
    dir: TempDir,
    metadata: &'static str,
    port: u16,
    admin: u16,
    /// Its homeCommunityId.
    pub home: String,
    /// Its repositoryUniqueId.
    pub repository: String,
}

impl Installation {
    /// `causeway init` in a new folder, for the community of that number, its metadata kept there.
    pub fn new(metadata: &'static str, community: u16, more: &[String]) -> Self {
        let dir = tempfile::Builder::new().prefix("causeway-crash-").tempdir().expect("a temporary folder");
        let (port, admin) = (free_port(), free_port());
        let home = format!("urn:oid:2.999.826.8.{community}");
        let repository = format!("2.999.826.8.{community}.3");
        let output = Command::new(binary())
            .arg("init")
            .arg(dir.path().join("broker"))
            .args(["--bind", &format!("127.0.0.1:{port}"), "--admin", &format!("127.0.0.1:{admin}")])
            .args(["--home-community-id", &home, "--repository-unique-id", &repository])
            .args(more)
            .output()
            .expect("causeway init");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { dir, metadata, port, admin, home, repository }
    }

    /// Where configuration, certificates and data are.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("broker")
    }

    /// The URL of a service.
    pub fn url(&self, service: &str) -> String {
        format!("https://127.0.0.1:{}/services/{service}", self.port)
    }

    /// Takes over the other's authority and certificates, so that each trusts the other.
    pub fn trust(&self, other: &Self) {
        let (from, to) = (other.folder().join("certs"), self.folder().join("certs"));
        for file in std::fs::read_dir(&from).expect("certificates").flatten().filter(|file| file.path().is_file()) {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("a copied certificate");
        }
    }

    /// Starts the broker and waits until it is ready. `wrapped` is put before the command line.
    pub fn start(&self, wrapped: &[String], environment: &[(&str, &str)]) -> Running {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let program = binary();
        let mut command = match wrapped {
            [] => Command::new(&program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        command.arg("serve").arg("--config").arg(self.folder().join("causeway.toml"));
        // The submissions of these tests have codes that suit every test.
        command.env("CAUSEWAY__CODES__ENFORCE", "false");
        command.env("CAUSEWAY__STORAGE__METADATA", self.metadata).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let began = Instant::now();
        let child = command.spawn().expect("a broker process");
        let mut running = Running { child, ready_after: Duration::ZERO, access: Access::new(self) };
        while !ready(self.admin) {
            let ended = running.child.try_wait().expect("a process to ask about");
            assert!(
                ended.is_none() && began.elapsed() < START,
                "the broker did not start ({ended:?}):\n{}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        running.ready_after = began.elapsed();
        running
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The end of what its brokers have logged.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(8000)..]).into_owned()
    }

    /// Keeps the folder for a look at it, and says where it is.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

fn ready(admin: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, admin));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// A broker process; killed at the latest when it is dropped.
pub struct Running {
    child: Child,
    /// From its start until `/readyz` said yes.
    pub ready_after: Duration,
    /// A client of it.
    pub access: Access,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process to wait for");
    }

    /// SIGKILL, without waiting.
    pub fn kill_now(&mut self) {
        self.child.kill().expect("a process to kill");
    }

    /// Its threads of a name that begins so.
    pub fn threads(&self, name: &str) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a process to look at");
        tasks
            .flatten()
            .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(name)))
            .filter_map(|task| task.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// A figure of `/proc/PID/status`, in octets.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] })
        .collect()
}
