//! Accepting connections: TLS first, then HTTP/1.1, under limits; stopping without cutting anyone
//! off.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pipeline::{ConnectionInfo, Pipeline};
use super::tls::{ReloadableServer, handshake_cause, peer_identity};
use crate::actors::access::AccessPolicy;
use crate::model::audit_event::{AuditEvent, AuditOutcome};

/// Bounds of a listener, from `[limits]`.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// Room for open connections, shared by all listeners.
    pub connections: Arc<Semaphore>,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Time for the handshake, and for a request's head; also how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub write_stall: Duration,
    /// How long open requests may go on after the order to stop.
    pub drain: Duration,
}

/// A bound socket with what it serves.
pub struct Listener {
    socket: TcpListener,
    tls: Arc<ReloadableServer>,
    pipeline: Arc<Pipeline>,
    access: Arc<dyn AccessPolicy>,
    limits: ListenerLimits,
}

/// Pause after the operating system refuses an accept: no busy loop when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<ReloadableServer>,
        pipeline: Arc<Pipeline>,
        access: Arc<dyn AccessPolicy>,
        limits: ListenerLimits,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { socket, tls, pipeline, access, limits })
    }

    /// The address bound, with its real port.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until told to stop, then lets open requests finish within the drain time.
    pub async fn serve(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let hard_stop = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.limits.connections).try_acquire_owned() else {
                self.pipeline.metrics().connections_refused.inc();
                continue;
            };
            let permit = Arc::new(permit);
            let connection = Connection {
                requests: tasks.clone(),
                permit: Arc::clone(&permit),
                tls: Arc::clone(&self.tls),
                pipeline: Arc::clone(&self.pipeline),
                access: Arc::clone(&self.access),
                limits: self.limits.clone(),
                remote,
                stop: stop.clone(),
            };
            let hard_stop = hard_stop.clone();
            tasks.spawn(async move {
                let metrics = Arc::clone(connection.pipeline.metrics());
                metrics.connections.inc();
                tokio::select! {
                    () = connection.run(stream) => {}
                    () = hard_stop.cancelled() => {}
                }
                metrics.connections.dec();
                drop(permit);
            });
        }
        drop(self.socket);
        tasks.close();
        if timeout(self.limits.drain, tasks.wait()).await.is_err() {
            tracing::warn!("requests still open after the drain time are cut off");
            hard_stop.cancel();
            self.pipeline.cut_off();
            tasks.wait().await;
        }
    }
}

struct Connection {
    requests: TaskTracker,
    /// Its place among the connections, which a request keeps that outlives it.
    permit: Arc<OwnedSemaphorePermit>,
    tls: Arc<ReloadableServer>,
    pipeline: Arc<Pipeline>,
    access: Arc<dyn AccessPolicy>,
    limits: ListenerLimits,
    remote: SocketAddr,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Small answers must not wait for a full segment.
        let _ = stream.set_nodelay(true);
        let generation = self.tls.generation();
        let accepted = timeout(self.limits.header_timeout, self.tls.acceptor().accept(stream)).await;
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.refused(handshake_cause(&error)).await,
            Err(_) => return self.refused("the handshake took too long").await,
        };
        let chain: Vec<_> = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let identity = match peer_identity(stream.get_ref().1.peer_certificates().unwrap_or_default()) {
            Ok(identity) if identity.is_current(self.pipeline.now_timestamp()) => identity,
            Ok(_) => return self.refused("the client's certificate is not valid now").await,
            Err(error) => {
                tracing::warn!(remote = %self.remote, %error, "a client's certificate cannot be read");
                return self.refused("the client's certificate cannot be read").await;
            }
        };
        let info = Arc::new(ConnectionInfo {
            identity: Some(identity),
            remote: self.remote,
            scheme: "https",
            access: Arc::clone(&self.access),
            tasks: self.requests.clone(),
        });
        let (pipeline, requests, permit) =
            (Arc::clone(&self.pipeline), self.requests.clone(), Arc::clone(&self.permit));
        let disowned = Arc::new(AtomicBool::new(false));
        let refuses = Arc::clone(&disowned);
        let service = service_fn(move |request| {
            // A task of its own: a client that goes away must not end a request between its
            // commit and its audit record.
            let (pipeline, info, permit) = (Arc::clone(&pipeline), Arc::clone(&info), Arc::clone(&permit));
            let gone = CancellationToken::new();
            let refused = refuses.load(Ordering::Relaxed);
            let task = (!refused).then(|| {
                requests.spawn({
                    let gone = gone.clone();
                    async move {
                        let _permit = permit;
                        pipeline.handle(request, info, gone).await
                    }
                })
            });
            // Dropped with its connection: then nobody waits for an answer, and no community is to be
            // waited for either.
            let guard = gone.drop_guard();
            async move {
                let Some(task) = task else { return Err(io::Error::other("the client is not accepted any more")) };
                let answer = task.await;
                drop(guard);
                answer.map_err(io::Error::other)
            }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(self.limits.header_bytes.max(MIN_READ_BUFFER))
            .max_headers(self.limits.headers);
        let io = TokioIo::new(StallGuard::new(stream, self.limits.write_stall));
        let connection = builder.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            cause = self.tls.disowned(&chain, generation) => {
                // What is under way may be answered; nothing more is asked on this connection.
                disowned.store(true, Ordering::Relaxed);
                connection.as_mut().graceful_shutdown();
                let ended = timeout(DISOWNED, connection).await;
                self.refused(cause).await;
                ended.unwrap_or(Ok(()))
            }
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(remote = %self.remote, %error, "a connection ended in an error");
        }
    }

    /// A caller whose certificate we do not accept gets no HTTP byte, and the audit trail a
    /// record (ITI TF-2 §3.19).
    async fn refused(&self, cause: &'static str) {
        self.pipeline.metrics().handshakes_failed.inc();
        tracing::warn!(remote = %self.remote, cause, "a connection was refused");
        let audit = self.pipeline.audit();
        let source = audit.source();
        let remote = self.remote.ip().into();
        let event = AuditEvent::node_authentication_failure(
            source,
            self.pipeline.now_timestamp(),
            None,
            &remote,
            cause,
            AuditOutcome::SeriousFailure,
        );
        audit.record_late([event]).await;
    }
}

/// How long a client whose certificate has been revoked meanwhile may go on with what it has asked for.
const DISOWNED: Duration = Duration::from_secs(30);

/// hyper wants at least this much to read a head into; bodies go through the same buffer.
const MIN_READ_BUFFER: usize = 128 * 1024;

/// Ends a connection whose other side takes nothing for too long while we have something to send.
struct StallGuard<T> {
    inner: T,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> StallGuard<T> {
    fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit, stalled: None }
    }

    fn judge<R>(&mut self, result: Poll<io::Result<R>>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let until = Instant::now() + self.limit;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallGuard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(result, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.judge(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.judge(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
