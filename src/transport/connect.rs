//! How long connections take to come up: a connector that tells whoever asked for one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;
use tower_service::Service;

tokio::task_local! {
    static TIMES: Arc<Times>;
}

/// What a request waited for a connection; nothing when there was one.
#[derive(Debug, Default)]
pub struct Times {
    tcp: AtomicU64,
    whole: AtomicU64,
}

impl Times {
    /// Time of the TCP connection, and of the TLS handshake behind it.
    pub fn taken(&self) -> (Duration, Duration) {
        let tcp = Duration::from_micros(self.tcp.load(Ordering::Relaxed));
        (tcp, Duration::from_micros(self.whole.load(Ordering::Relaxed)).saturating_sub(tcp))
    }

    /// Does something, and is told of connections that come up within it.
    pub async fn watch<F: Future>(self: Arc<Self>, doing: F) -> F::Output {
        TIMES.scope(self, doing).await
    }
}

/// What of a connection is timed.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// TCP alone.
    Tcp,
    /// All of it.
    Whole,
}

/// A connector that is timed.
#[derive(Debug, Clone)]
pub struct Timed<C> {
    inner: C,
    part: Part,
}

impl<C> Timed<C> {
    /// Times a connector.
    pub fn new(inner: C, part: Part) -> Self {
        Self { inner, part }
    }
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, part) = (self.inner.call(uri), self.part);
        Box::pin(async move {
            let began = Instant::now();
            let connected = connecting.await;
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            // One that comes up for nobody in particular is nobody's wait.
            let _ = TIMES.try_with(|times| {
                let time = match part {
                    Part::Tcp => &times.tcp,
                    Part::Whole => &times.whole,
                };
                time.fetch_max(took, Ordering::Relaxed);
            });
            connected
        })
    }
}
