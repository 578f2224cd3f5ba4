//! Servers of ours as processes, in a folder that goes with them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::BenchError;
use crate::config::Config;

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

/// An address that nobody has bound.
pub fn free_address() -> Result<SocketAddr, BenchError> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    bound.map_err(BenchError::io("cannot bind a port"))
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
