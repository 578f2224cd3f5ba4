//! A document longer than the memory a broker may have: in by ITI-41, out by ITI-43, and through a
//! second broker by ITI-41 → 80 and by ITI-43 → 39.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::model::response::ResponseStatus;
use causeway::wire::mtom::{Event, Limits, MultipartReader, Packaging};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use openssl::sha::Sha256;

use crate::broker::{Installation, Running, files};
use crate::client::{Access, MadeBody, Octets, Submission};
use crate::support::{self, Reply};
use crate::{STORES, alone, run, wanted};

const MIB: u64 = 1 << 20;
/// What each broker process may use, its share of the page cache included.
const CAP: u64 = 128 * MIB;
/// How much the short form may add to a broker's memory: half its document, which leaves room for the
/// allocator to take another 32 MiB at once.
const GROWTH: u64 = 64 * MIB;
/// Octets made and sent at a time.
const CHUNK: usize = 256 << 10;

/// A memory cgroup of its own for one broker.
struct Group {
    folder: PathBuf,
    peak: PathBuf,
    failures: PathBuf,
}

impl Group {
    /// Makes one with the cap, if this machine lets us.
    fn new(name: &str) -> Option<Self> {
        let name = format!("causeway-crash-{}-{name}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let v2 = Path::new("/sys/fs/cgroup");
        let (root, limit, peak, failures) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt")
        } else {
            // May be on already, or not ours to turn on.
            let _ = std::fs::write(v2.join("cgroup.subtree_control"), "+memory");
            (v2, "memory.max", "memory.peak", "memory.events")
        };
        let folder = root.join(name);
        std::fs::create_dir(&folder).ok()?;
        let group = Self { peak: folder.join(peak), failures: folder.join(failures), folder };
        std::fs::write(group.folder.join(limit), CAP.to_string()).ok()?;
        // Without swap the cap is a cap; where there is none the file is missing.
        for swap in ["memory.swap.max", "memory.memsw.limit_in_bytes"] {
            let _ = std::fs::write(
                group.folder.join(swap),
                if swap.ends_with("max") { "0".to_owned() } else { CAP.to_string() },
            );
        }
        Some(group)
    }

    /// The command that enters the group and becomes what follows.
    fn wrap(&self) -> Vec<String> {
        let enter = format!("echo $$ > '{}' && exec \"$@\"", self.folder.join("cgroup.procs").display());
        ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()].into()
    }

    fn report(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().trim().replace('\n', ", ");
        let peak =
            read(&self.peak).parse().map_or_else(|_| "unknown".to_owned(), |peak: u64| format!("{} MiB", peak / MIB));
        format!("peak with page cache {peak}, times at the cap {}", read(&self.failures))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Can be removed when its last process has been waited for.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Looks at a broker's own memory all the time.
struct Watch {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    before: u64,
}

/// Without the page cache, which the kernel takes back when it needs it.
fn own_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default()
    };
    (kilobytes("RssAnon:") + kilobytes("RssShmem:")) * 1024
}

impl Watch {
    fn on(running: &Running) -> Self {
        let pid = running.pid();
        let before = own_memory(pid);
        let (peak, stop) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let watch = Self { peak: Arc::clone(&peak), stop: Arc::clone(&stop), before };
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(own_memory(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        watch
    }

    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_long_document_goes_through_in_constant_memory() {
    let _alone = alone();
    let big = wanted("CAUSEWAY_BIG");
    run(through(if big { 1024 * MIB } else { 2 * GROWTH }, big));
}

/// A huge page is cleared while a request waits for it; a broker whose memory grew, because communities began to hang,
/// kept the local queries beside it waiting for 10 ms and more.
#[cfg(target_os = "linux")]
#[test]
fn memory_comes_in_small_pages() {
    let _alone = alone();
    run(async {
        let running = Installation::new(STORES[0], 1, &[]).start(&[], &[]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("a process to look at");
        let huge = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        // A kernel without them does not speak of them.
        assert!(huge.is_none_or(|enabled| enabled.trim() == "0"), "the kernel may give it huge pages");
    });
}

async fn through(size: u64, big: bool) {
    let store = Installation::new(STORES[0], 1, &[]);
    let peer = format!("Store={}={}", store.home, store.url("responding-gateway"));
    let gateway = Installation::new(STORES[0], 2, &["--peer".to_owned(), peer]);
    gateway.trust(&store);
    let groups = if big { Group::new("store").zip(Group::new("gateway")) } else { None };
    let (first, second) = match &groups {
        Some((first, second)) => (first.wrap(), second.wrap()),
        None => (Vec::new(), Vec::new()),
    };
    println!(
        "{} MiB; {}",
        size / MIB,
        match (&groups, big) {
            (Some((group, _)), _) =>
                format!("each broker in a memory cgroup of {} MiB ({})", CAP / MIB, group.folder.display()),
            (None, true) =>
                format!("no memory cgroup can be made here: RssAnon + RssShmem must stay below {} MiB", CAP / MIB),
            (None, false) => format!("short form: each broker's own memory may grow by {} MiB", GROWTH / MIB),
        }
    );
    let (storing, relaying) =
        (store.start(&first, &[("CAUSEWAY__LISTENER__0__PROVIDERS", "*")]), gateway.start(&second, &[]));
    // A first small one brings up what every later one uses.
    let small = Submission::new(1, "M^^^&2.999.826.2.1.1&ISO", 1000);
    let answered = storing.access.provide(&small.message()).await.expect("an answer");
    assert_eq!(answered.expect("no fault").status, ResponseStatus::Success);
    let watches = [Watch::on(&storing), Watch::on(&relaying)];

    let document = Submission::new(2, "M^^^&2.999.826.2.1.1&ISO", usize::try_from(size).expect("a size"));
    let began = Instant::now();
    let sent = provide(&storing.access, "repository", &document).await;
    pace("in by ITI-41", size, began.elapsed());
    assert_eq!(files(&store.folder().join("data/documents/staging")).len(), 0, "staged files left");

    let handed_on =
        Submission { home: Some(store.home.clone()), ..Submission::new(3, &document.patient, document.size) };
    let began = Instant::now();
    let sent_on = provide(&relaying.access, "initiating-gateway", &handed_on).await;
    pace("in through two brokers by ITI-41 and 80", size, began.elapsed());
    assert_eq!(files(&gateway.folder().join("data/documents/objects")).len(), 0, "kept where it only passes");

    let id = document.unique_id();
    let ways = [
        ("out by ITI-43", &storing.access, "repository", None),
        ("through two brokers by ITI-43 and 39", &relaying.access, "initiating-gateway", Some(store.home.as_str())),
    ];
    for (way, access, service, home) in ways {
        let began = Instant::now();
        let (octets, digest) = retrieve(access, service, home, &store.repository, &id).await;
        pace(way, octets, began.elapsed());
        assert_eq!(octets, size, "{way}: another length");
        assert!(digest == sent, "{way}: other octets");
    }
    let handed_on = retrieve(&storing.access, "repository", None, &store.repository, &handed_on.unique_id()).await;
    assert!(handed_on == (size, sent_on), "handed on: other octets");
    for (name, running, watch) in [("store", &storing, &watches[0]), ("gateway", &relaying, &watches[1])] {
        let peak = watch.peak();
        println!(
            "  {name}: own memory {} MiB before, {} MiB at most; VmHWM {} MiB",
            watch.before / MIB,
            peak / MIB,
            running.memory("VmHWM") / MIB
        );
        assert!(peak < CAP, "{name}: {peak} octets of memory");
        assert!(big || peak < watch.before + GROWTH, "{name}: grew from {} to {peak}", watch.before);
    }
    if let Some((store, gateway)) = &groups {
        println!("  store: {}\n  gateway: {}", store.report(), gateway.report());
    }
}

fn pace(what: &str, octets: u64, took: Duration) {
    println!("  {what}: {:.1} s, {:.0} MB/s", took.as_secs_f64(), octets as f64 / 1e6 / took.as_secs_f64());
}

/// Sends a document while it is made; answers with the SHA-256 of what was sent.
async fn provide(access: &Access, service: &str, document: &Submission) -> [u8; 32] {
    let (content_type, head) = document.head();
    let (told, digest) = tokio::sync::oneshot::channel();
    let mut octets = Octets::of(document.number);
    let (mut left, mut sha256, mut told) = (document.size, Sha256::new(), Some(told));
    let mut head = Some(head);
    let frames = std::iter::from_fn(move || {
        if let Some(head) = head.take() {
            return Some(Bytes::from(head));
        }
        if left > 0 {
            let chunk = octets.take(CHUNK.min(left));
            left -= chunk.len();
            sha256.update(&chunk);
            return Some(chunk.into());
        }
        let told = told.take()?;
        // Who does not listen has failed already.
        let _ = told.send(sha256.clone().finish());
        Some(Submission::tail().into())
    });
    let frames = futures_util::stream::iter(frames.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    let body: MadeBody = BodyExt::boxed(StreamBody::new(frames));
    let response = access.send(service, &content_type, body).await.expect("an answer");
    let status = response.status().as_u16();
    let content_type = type_of(&response);
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    let reply = Reply { status, content_type, body };
    assert_eq!(reply.status, 200, "{}", reply.text());
    let response = reply.registry();
    assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    digest.await.expect("a document sent to its end")
}

fn type_of<B>(response: &http::Response<B>) -> String {
    response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Retrieves one document and keeps nothing of it; answers with its length and SHA-256.
async fn retrieve(access: &Access, service: &str, home: Option<&str>, repository: &str, id: &str) -> (u64, [u8; 32]) {
    let payload = support::retrieve(&[(home, repository, id)]);
    let (content_type, body) = support::mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &payload);
    let response = access.send(service, &content_type, Full::new(body.into()).boxed()).await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200);
    let content_type = type_of(&response);
    let Ok(Packaging::Multipart(params)) = Packaging::parse(&content_type) else { panic!("{content_type}") };
    let mut reader = MultipartReader::new(params.boundary.as_bytes(), Limits::default());
    let (mut part, mut root, mut octets, mut sha256) = (0, Vec::new(), 0, Sha256::new());
    let mut body = response.into_body();
    'message: loop {
        while let Some(event) = reader.next_event().expect("a well-formed package") {
            match event {
                Event::PartStart(_) => part += 1,
                Event::Data(data) if part == 1 => root.extend_from_slice(&data),
                Event::Data(data) => {
                    octets += data.len() as u64;
                    sha256.update(&data);
                }
                Event::PartEnd => {}
                Event::End => break 'message,
            }
        }
        match body.frame().await {
            Some(frame) => {
                if let Ok(data) = frame.expect("a whole answer").into_data() {
                    reader.feed(data);
                }
            }
            None => break,
        }
    }
    reader.finish().expect("a whole package");
    let reply = Reply { status: 200, content_type: "application/soap+xml".to_owned(), body: root.into() };
    let (response, documents) = reply.retrieve();
    assert_eq!((response.status, documents.len(), part), (ResponseStatus::Success, 1, 2), "{:?}", response.errors);
    (octets, sha256.finish())
}
