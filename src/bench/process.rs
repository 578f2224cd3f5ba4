//! Servers of ours as processes, in a folder that goes with them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::BenchError;
use super::load::{self, Prepared, Target};
use crate::config::Config;

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(30);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A folder of our own that goes when we go.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new folder, there or among temporary files.
    pub fn make(within: Option<&FilePath>) -> Result<Self, BenchError> {
        let name = format!("causeway-bench-{}", std::process::id());
        let path = within.map_or_else(std::env::temp_dir, FilePath::to_owned).join(name);
        fs::create_dir_all(&path).map_err(BenchError::io(format!("cannot make {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies where temporary things lie.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server of ours that ends when we end.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts this very program with other arguments.
    pub fn start(arguments: &[&str], folder: &FilePath, name: &str) -> Result<Self, BenchError> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(BenchError::io(format!("cannot write {}", log.display())))?;
        let child = command(arguments)?
            // The bare server ends when this pipe closes, even if we were killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(BenchError::io(format!("cannot start {name}")))?;
        Ok(Self { child, log })
    }

    /// The last words of a server that has ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        Some(format!("{status}: {}", text.lines().last().unwrap_or_default()))
    }

    /// Memory in octets, by the system's name for it: VmRSS is what is resident now, VmHWM the most
    /// that has been.
    pub fn memory(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let kib = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    }

    /// Files and sockets that are open.
    pub fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count())
    }

    /// Processor time used so far. Linux counts in hundredths of a second whatever its timer.
    pub fn processor(&self) -> Option<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name in parentheses may hold blanks; behind it utime and stime are the 12th and 13th.
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }
}

impl Server {
    /// Waits until it answers a request with Success.
    pub async fn ready(&mut self, target: &Target, prepared: &Prepared) -> Result<(), BenchError> {
        let until = Instant::now() + READY;
        loop {
            let answer = load::probe(target, prepared.clone(), READY, |_| Ok(())).await;
            // However it was answered: if the server has ended, somebody else did.
            if let Some(end) = self.ended() {
                return Err(BenchError::failed(format!("{}: the server has ended: {end}", target.uri())));
            }
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data go as well, so it need not stop gracefully.
        self.kill();
    }
}

/// Empties the page cache, after what is in these files is on disk; whether that was allowed.
pub fn forget_files(folder: &FilePath) -> bool {
    fn on_disk(path: &FilePath) -> std::io::Result<()> {
        if path.is_dir() {
            fs::read_dir(path)?.try_for_each(|entry| on_disk(&entry?.path()))
        } else {
            File::open(path)?.sync_all()
        }
    }
    on_disk(folder).is_ok() && fs::write("/proc/sys/vm/drop_caches", "1").is_ok()
}

/// This very program, with other arguments.
pub fn command(arguments: &[&str]) -> Result<Command, BenchError> {
    let ourselves = std::env::current_exe().map_err(BenchError::io("cannot find the own program"))?;
    let mut command = Command::new(ourselves);
    command.args(arguments);
    Ok(command)
}

/// An address that is kept for a server until that is started: whoever takes any free port meanwhile gets another.
pub struct HeldAddress {
    address: SocketAddr,
    _socket: TcpListener,
}

impl HeldAddress {
    /// One that nobody has bound.
    pub fn new() -> Result<Self, BenchError> {
        let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (address, _socket) = bound.map_err(BenchError::io("cannot bind a port"))?;
        Ok(Self { address, _socket })
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives it to the server, which is started next.
    pub fn release(self) {}
}

/// Makes the broker's folder.
pub fn init(folder: &FilePath, address: SocketAddr) -> Result<Config, BenchError> {
    let path = folder.display().to_string();
    let arguments = ["init", &path, "--bind", &address.to_string(), "--admin", "127.0.0.1:0"];
    let made = command(&arguments)?.stdout(Stdio::null()).status().map_err(BenchError::io("cannot run init"))?;
    if !made.success() {
        return Err(BenchError::failed(format!("init failed: {made}")));
    }
    Config::load(&folder.join("causeway.toml")).map_err(|error| BenchError::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::samples;
    use super::*;
    use crate::simulate::{Settings, Simulation};
    use crate::transaction::TransactionId;
    use crate::transport::certificates::{DevelopmentOptions, write_development_set};
    use crate::transport::tls::{ReloadableClient, TlsFiles};

    #[test]
    fn an_address_is_nobody_elses_until_it_is_given_away() {
        let held = HeldAddress::new().unwrap();
        let address = held.address();
        assert_ne!(address.port(), 0);
        assert!(TcpListener::bind(address).is_err());
        held.release();
        assert!(TcpListener::bind(address).is_ok());
    }

    /// A process that does nothing, for so long.
    fn idle(folder: &FilePath, seconds: &str) -> Server {
        let child = Command::new("sleep").arg(seconds).spawn().unwrap();
        Server { child, log: folder.join("idle.log") }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_somebody_else_answers_for_a_server_that_has_ended_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let not_before = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(5);
        write_development_set(folder.path(), &DevelopmentOptions::new(not_before)).unwrap();
        let settings = Settings {
            communities: 1,
            patients: 1,
            known: 1.0,
            ..Settings::new(TlsFiles::in_folder(folder.path(), "server"))
        };
        let patient = settings.patient(0).unwrap().to_cx();
        let simulation = Simulation::start(settings).await.unwrap();
        let community = &simulation.communities()[0];
        let tls = ReloadableClient::new(TlsFiles::in_folder(folder.path(), "client")).unwrap();
        let target = Target::new(&community.url().parse().unwrap(), Arc::new(tls)).unwrap();
        let query = samples::find_documents(&patient, "LeafClass", Some(community.home.as_str()));
        let query = samples::query_request(TransactionId::CrossGatewayQuery, &community.url(), &query);
        idle(folder.path(), "60").ready(&target, &query).await.unwrap();
        let mut gone = idle(folder.path(), "0");
        while gone.ended().is_none() {
            sleep(PAUSE).await;
        }
        let error = gone.ready(&target, &query).await.unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
    }
}
