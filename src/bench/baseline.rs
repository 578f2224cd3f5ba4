//! The bare server: hyper and rustls with our TLS settings and our HTTP settings, and behind them
//! only what no implementation could do without. It answers bytes that were recorded from the
//! broker.
//!
//! | path | what it does |
//! |---|---|
//! | `/query` | reads the request, answers from memory |
//! | `/retrieve` | reads the request, streams a file in chunks of the size that the broker reads |
//! | `/submit` | reads the request and makes it durable with the broker's file system calls: temporary file, fsync, rename, fsync of the folder, then an append and fdatasync for metadata and one for audit, each shared by all who wait |

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::BenchError;
use crate::transport::tls::ReloadableServer;

/// Octets of a file read at a time, as by the broker's document store.
const CHUNK: usize = 256 * 1024;
/// Octets that a submission of one document adds to the registry and to the audit trail.
const METADATA: usize = 2 * 1024;
const AUDIT: usize = 2 * 1024;
/// As in the broker's default configuration.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BUFFER: usize = 128 * 1024;
const HEADERS: usize = 100;

type OutBody = UnsyncBoxBody<Bytes, io::Error>;

/// A recorded answer: its body's file, and beside it the Content-Type.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Where the body is.
    pub body: PathBuf,
    /// Where the Content-Type is.
    pub content_type: PathBuf,
}

impl Recording {
    /// The recording of that name in a folder.
    pub fn in_folder(folder: &Path, name: &str) -> Self {
        Self { body: folder.join(format!("{name}.body")), content_type: folder.join(format!("{name}.type")) }
    }

    /// Keeps the Content-Type; the body is written by whoever receives it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_type(&self, content_type: &str) -> Result<(), BenchError> {
        fs::write(&self.content_type, content_type).map_err(BenchError::io(self.content_type.display().to_string()))
    }

    fn header(&self) -> Result<HeaderValue, BenchError> {
        let text = fs::read_to_string(&self.content_type)
            .map_err(BenchError::io(format!("cannot read {}", self.content_type.display())))?;
        HeaderValue::from_str(&text).map_err(|error| BenchError::failed(error.to_string()))
    }
}

/// An answer that is kept in memory.
#[derive(Clone)]
struct Answer {
    content_type: HeaderValue,
    body: Bytes,
}

impl Answer {
    fn load(recording: &Recording) -> Result<Self, BenchError> {
        let body =
            fs::read(&recording.body).map_err(BenchError::io(format!("cannot read {}", recording.body.display())))?;
        Ok(Self { content_type: recording.header()?, body: body.into() })
    }

    fn response(&self) -> Response<OutBody> {
        let mut response = Response::new(full(self.body.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, self.content_type.clone());
        response
    }
}

fn full(bytes: impl Into<Bytes>) -> OutBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A file to which a thread appends what waits, and syncs once for all of it.
struct GroupLog {
    requests: mpsc::Sender<(Bytes, oneshot::Sender<bool>)>,
}

impl GroupLog {
    fn open(path: &Path) -> Result<Self, BenchError> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(BenchError::io(format!("cannot open {}", path.display())))?;
        let (requests, waiting) = mpsc::channel::<(Bytes, oneshot::Sender<bool>)>();
        std::thread::spawn(move || {
            let mut buffer = Vec::new();
            let mut replies = Vec::new();
            while let Ok(first) = waiting.recv() {
                for (record, reply) in std::iter::once(first).chain(waiting.try_iter()) {
                    buffer.extend_from_slice(&record);
                    replies.push(reply);
                }
                let durable = file.write_all(&buffer).and_then(|()| file.sync_data()).is_ok();
                buffer.clear();
                // Who does not wait any more needs no answer.
                for reply in replies.drain(..) {
                    let _ = reply.send(durable);
                }
            }
        });
        Ok(Self { requests })
    }

    async fn append(&self, record: Bytes) -> io::Result<()> {
        let lost = || io::Error::other("the log takes no records");
        let (reply, answer) = oneshot::channel();
        self.requests.send((record, reply)).map_err(|_| lost())?;
        match answer.await {
            Ok(true) => Ok(()),
            _ => Err(lost()),
        }
    }
}

/// The bare server's parts.
pub struct Baseline {
    query: Answer,
    submit: Answer,
    retrieve: Recording,
    retrieve_type: HeaderValue,
    folder: PathBuf,
    next: AtomicU64,
    metadata: GroupLog,
    audit: GroupLog,
}

impl Baseline {
    /// From the recordings `query`, `submit` and `retrieve` in a folder; submissions are kept in
    /// `documents` below it.
    ///
    /// # Errors
    /// When a recording cannot be read or the folder cannot be written.
    pub fn open(folder: &Path) -> Result<Self, BenchError> {
        let documents = folder.join("documents");
        fs::create_dir_all(&documents).map_err(BenchError::io(format!("cannot make {}", documents.display())))?;
        let retrieve = Recording::in_folder(folder, "retrieve");
        Ok(Self {
            query: Answer::load(&Recording::in_folder(folder, "query"))?,
            submit: Answer::load(&Recording::in_folder(folder, "submit"))?,
            retrieve_type: retrieve.header()?,
            retrieve,
            folder: documents,
            next: AtomicU64::new(0),
            metadata: GroupLog::open(&folder.join("metadata.log"))?,
            audit: GroupLog::open(&folder.join("audit.log"))?,
        })
    }

    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>, socket: TcpListener, tls: Arc<ReloadableServer>) {
        loop {
            let Ok((stream, _)) = socket.accept().await else { continue };
            tokio::spawn(Arc::clone(&self).connection(stream, Arc::clone(&tls)));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, tls: Arc<ReloadableServer>) {
        let _ = stream.set_nodelay(true);
        let Ok(stream) = tls.acceptor().accept(stream).await else { return };
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.handle(request).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(READ_BUFFER)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        // A client that leaves is no event.
        drop(served);
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<OutBody> {
        let answered = match request.uri().path() {
            "/query" => drain(request).await.map(|()| self.query.response()),
            "/retrieve" => match drain(request).await {
                Ok(()) => self.stream(),
                Err(error) => Err(error),
            },
            "/submit" => self.submit(request).await,
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        answered.unwrap_or_else(|error| {
            let mut response = Response::new(full(error.to_string()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    fn stream(&self) -> io::Result<Response<OutBody>> {
        let file = Arc::new(File::open(&self.retrieve.body)?);
        let length = file.metadata()?.len();
        // The next chunk is read while the one before it is sent, as the broker does.
        let read = |file: &Arc<File>| {
            let file = Arc::clone(file);
            tokio::task::spawn_blocking(move || {
                let mut chunk = Vec::with_capacity(CHUNK);
                file.as_ref().take(CHUNK as u64).read_to_end(&mut chunk).map(|_| Bytes::from(chunk))
            })
        };
        let first = read(&file);
        let stream = unfold(Some((file, first)), move |state| async move {
            let (file, ahead) = state?;
            let chunk = ahead.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            match chunk {
                Ok(chunk) if chunk.is_empty() => None,
                Ok(chunk) => {
                    let next = read(&file);
                    Some((Ok(Frame::data(chunk)), Some((file, next))))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_TYPE, self.retrieve_type.clone());
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        Ok(response)
    }

    async fn submit(&self, request: Request<Incoming>) -> io::Result<Response<OutBody>> {
        let mut body = request.into_body();
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                received.extend_from_slice(&data);
            }
        }
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (folder, path) = (self.folder.clone(), self.folder.join(&name));
        let kept = tokio::task::spawn_blocking(move || {
            let temporary = folder.join(format!("{name}.part"));
            let mut file = File::create_new(&temporary)?;
            file.write_all(&received)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&folder)?.sync_all()
        });
        kept.await.map_err(io::Error::other)??;
        self.metadata.append(Bytes::from_static(&[b'm'; METADATA])).await?;
        self.audit.append(Bytes::from_static(&[b'a'; AUDIT])).await?;
        Ok(self.submit.response())
    }
}

async fn drain(request: Request<Incoming>) -> io::Result<()> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_are_on_disk_when_the_append_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = GroupLog::open(&path).unwrap();
        let (a, b) = tokio::join!(log.append(Bytes::from_static(b"one")), log.append(Bytes::from_static(b"two")));
        a.and(b).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), 6);
    }

    #[test]
    fn without_recordings_it_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Baseline::open(folder.path()).is_err());
    }
}
