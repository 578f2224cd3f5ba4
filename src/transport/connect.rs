//! How long connections take to come up: a connector that tells whoever asked for one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
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
    /// There is a TCP connection that a handshake can begin on.
    connected: AtomicBool,
}

impl Times {
    /// Time of the TCP connection, and of the TLS handshake behind it; nothing for what never began.
    pub fn taken(&self) -> (Duration, Duration) {
        let tcp = Duration::from_micros(self.tcp.load(Ordering::Relaxed));
        let whole = match self.connected.load(Ordering::Relaxed) {
            true => Duration::from_micros(self.whole.load(Ordering::Relaxed)),
            false => Duration::ZERO,
        };
        (tcp, whole.saturating_sub(tcp))
    }

    /// A part has come to its end after so many microseconds, well or not.
    fn ended(&self, part: Part, took: u64, is_well: bool) {
        let time = match part {
            Part::Tcp => &self.tcp,
            Part::Whole => &self.whole,
        };
        time.fetch_max(took, Ordering::Relaxed);
        if part == Part::Tcp && is_well {
            self.connected.store(true, Ordering::Relaxed);
        }
    }

    /// Does something, and is told of connections that come up within it.
    pub async fn watch<F: Future>(self: Arc<Self>, doing: F) -> F::Output {
        TIMES.scope(self, doing).await
    }
}

/// What of a connection is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// TCP alone.
    Tcp,
    /// All of it, where it is more than that.
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
        // Without TLS all of it is TCP.
        let is_timed = self.part == Part::Tcp || uri.scheme() == Some(&Scheme::HTTPS);
        let (connecting, part) = (self.inner.call(uri), self.part);
        Box::pin(async move {
            let began = Instant::now();
            let connected = connecting.await;
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            if is_timed {
                // One that comes up for nobody in particular is nobody's wait.
                let _ = TIMES.try_with(|times| times.ended(part, took, connected.is_ok()));
            }
            connected
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// A connector that takes its time, and fails at that part of it, if at any.
    #[derive(Clone)]
    struct Scripted {
        below: Option<Timed<Box<Scripted>>>,
        fails: bool,
    }

    impl Service<Uri> for Box<Scripted> {
        type Response = ();
        type Error = ();
        type Future = Pin<Box<dyn Future<Output = Result<(), ()>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, uri: Uri) -> Self::Future {
            let (below, fails) = (self.below.as_mut().map(|below| below.call(uri)), self.fails);
            Box::pin(async move {
                if let Some(below) = below {
                    below.await?;
                }
                sleep(Duration::from_millis(5)).await;
                if fails { Err(()) } else { Ok(()) }
            })
        }
    }

    /// Which steps there are of a connection to an address whose parts fail or not.
    async fn steps(address: &'static str, tcp_fails: bool, tls_fails: bool) -> (bool, bool) {
        let tcp = Timed::new(Box::new(Scripted { below: None, fails: tcp_fails }), Part::Tcp);
        let mut whole = Timed::new(Box::new(Scripted { below: Some(tcp), fails: tls_fails }), Part::Whole);
        let times = Arc::new(Times::default());
        let _ = Arc::clone(&times).watch(whole.call(Uri::from_static(address))).await;
        let (tcp, tls) = times.taken();
        (!tcp.is_zero(), !tls.is_zero())
    }

    #[tokio::test]
    async fn what_never_began_took_no_time() {
        const HTTPS: &str = "https://a.example/";
        for (address, tcp_fails, tls_fails, expected) in [
            (HTTPS, false, false, (true, true)),
            (HTTPS, false, true, (true, true)),
            (HTTPS, true, false, (true, false)),
            ("http://a.example/", false, false, (true, false)),
        ] {
            assert_eq!(steps(address, tcp_fails, tls_fails).await, expected, "{address} {tcp_fails} {tls_fails}");
        }
        assert_eq!(Times::default().taken(), (Duration::ZERO, Duration::ZERO), "there was one already");
    }
}
