//! A stream on which bytes go astray: what a community's answer passes on its way out.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

/// What happens to the octets of an answer behind the first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Nothing: all go out.
    Good,
    /// They go out one by one, so far apart.
    Dribble(Duration),
    /// The connection is closed.
    End,
    /// The connection is reset.
    Reset,
    /// They stay here, and the connection is kept for so long.
    Silent(Duration),
}

/// What is to happen to the present answer; who makes it says so before it is written.
#[derive(Debug, Clone)]
pub struct Script(Arc<Mutex<(u64, Wire)>>);

impl Default for Script {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((0, Wire::Good))))
    }
}

impl Script {
    /// So many octets go out well, then it happens.
    pub fn set(&self, after: u64, wire: Wire) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (after, wire);
    }

    fn now(&self) -> (u64, Wire) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, octets: usize) {
        let (after, _) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *after = after.saturating_sub(octets as u64);
    }
}

/// A server's TLS stream under a script.
pub struct Scripted {
    inner: TlsStream<TcpStream>,
    script: Script,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Scripted {
    /// Puts a stream under a script.
    pub fn new(inner: TlsStream<TcpStream>, script: Script) -> Self {
        Self { inner, script, pause: None }
    }

    /// Waits until so much time has passed since it was first asked.
    fn paused(&mut self, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }
}

use std::future::Future as _;

impl AsyncRead for Scripted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let (after, wire) = self.script.now();
        let ended = |kind| Poll::Ready(Err(io::Error::new(kind, "ended by the script")));
        let piece = match wire {
            Wire::Good => buf,
            _ if after > 0 => {
                let good = usize::try_from(after).unwrap_or(usize::MAX).min(buf.len());
                buf.get(..good).unwrap_or(buf)
            }
            Wire::Dribble(pause) => {
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                ready!(self.paused(pause, cx));
                buf.get(..1).unwrap_or(buf)
            }
            Wire::End => {
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                return ended(io::ErrorKind::BrokenPipe);
            }
            Wire::Reset => {
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                // Closing without lingering is a reset on the wire.
                self.inner.get_ref().0.set_zero_linger()?;
                return ended(io::ErrorKind::ConnectionReset);
            }
            Wire::Silent(time) => {
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                ready!(self.paused(time, cx));
                return ended(io::ErrorKind::TimedOut);
            }
        };
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, piece))?;
        if wire != Wire::Good {
            self.script.sent(written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
