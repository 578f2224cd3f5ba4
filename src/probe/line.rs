//! A line to a server: one connection at a time, kept as long as the server keeps it, and whatever is
//! to be sent on it, right or wrong.
//!
//! The transport's clients cannot be used here: they hide what is judged (status, headers, whether the
//! connection was new), and send nothing that is wrong.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::answer::Answer;
use super::ask::Way;
use super::hello::{self, Greeting};
use crate::transport::tls::{NoCertificate, handshake_cause};

/// Largest answer that is read: the document of [`LARGEST_DOCUMENT`] as base64, and its envelope.
const LARGEST_ANSWER: usize = 64 << 20;
/// Largest document that is retrieved to be compared.
pub const LARGEST_DOCUMENT: u64 = 32 << 20;
/// A body in chunks is cut into pieces of so many octets.
const CHUNK: usize = 200;

type OutBody = UnsyncBoxBody<Bytes, Infallible>;

/// A request ready to be sent.
pub struct Prepared {
    /// On which connection.
    pub way: Way,
    /// Whether it goes where documents are retrieved.
    pub retrieves: bool,
    /// GET or POST.
    pub method: Method,
    /// What follows the path, behind `?`.
    pub query: Option<&'static str>,
    /// Its headers but for Host.
    pub headers: Vec<(HeaderName, String)>,
    /// Its body.
    pub body: Bytes,
    /// In chunks rather than with a length.
    pub chunked: bool,
}

/// How a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version agreed on.
    pub version: &'static str,
    /// Whether that is 1.2 or newer.
    pub is_current: bool,
    /// The server's certificate.
    pub certificate: Option<Vec<u8>>,
}

/// At which step a request ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The connection.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// The answer: the connection broke off.
    Answer,
    /// There was no time left for it.
    Time,
    /// The connection that was to be used had been closed; nothing was sent.
    Kept,
}

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// Where it ended.
    pub step: Step,
    /// Why.
    pub cause: String,
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = match self.step {
            Step::Connect => "no connection: ",
            Step::Handshake => "no TLS connection: ",
            Step::Answer => "no answer: ",
            Step::Time | Step::Kept => "",
        };
        write!(f, "{step}{}", self.cause)
    }
}

/// What comes back.
pub enum Back {
    /// An HTTP answer.
    Answer(Box<Answer>),
    /// What a server says to an old TLS version.
    Greeting(Greeting),
}

/// A request that was sent: what came of it, and how long that took.
pub struct Exchanged {
    /// What came back.
    pub result: Result<Back, Unanswered>,
    /// From the first step to the last octet.
    pub elapsed: Duration,
}

impl Exchanged {
    /// The HTTP answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.result {
            Ok(Back::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    /// Whether the server said anything.
    pub fn is_answered(&self) -> bool {
        self.result.is_ok()
    }
}

struct Open {
    sender: SendRequest<OutBody>,
    tls: Option<TlsFacts>,
    /// Whether it has served a request before.
    used: bool,
    /// Ends with the connection, and the connection with it.
    driver: AbortOnDropHandle<hyper::Result<()>>,
}

/// A line to one server.
pub struct Line {
    host: String,
    port: u16,
    path: String,
    authority: HeaderValue,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    timeout: Duration,
    kept: Option<Open>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn at(step: Step, cause: impl ToString) -> Unanswered {
    Unanswered { step, cause: cause.to_string() }
}

fn closed() -> Unanswered {
    at(Step::Kept, "the connection was closed behind the answer")
}

fn late(limit: Duration) -> Unanswered {
    at(Step::Time, format!("nothing came within {limit:?}"))
}

impl Line {
    /// A line; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is none that can be called.
    pub fn new(uri: &Uri, tls: Option<Arc<ClientConfig>>, timeout: Duration) -> Result<Self, String> {
        let authority = uri.authority().ok_or_else(|| format!("{uri} names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme_str() != Some("http");
        let tls = match (secure, tls) {
            (false, _) => None,
            (true, None) => return Err(format!("{uri} needs certificates")),
            (true, Some(config)) => {
                let name = ServerName::try_from(host.clone()).map_err(|error| format!("{uri}: {error}"))?;
                Some((name, config))
            }
        };
        let name = match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(&name).map_err(|error| format!("{uri}: {error}"))?,
            path: uri.path().to_owned(),
            host,
            tls,
            timeout,
            kept: None,
        })
    }

    /// Sends a request; how often it was sent is told beside what came of it. If a connection that was
    /// kept breaks off, which it may do at any time, it may be sent once `more`: no request changes anything.
    pub async fn send(&mut self, prepared: &Prepared, more: bool) -> (Result<Back, Unanswered>, usize) {
        let limit = self.timeout;
        match prepared.way {
            Way::OldTls => (timeout(limit, self.greet()).await.unwrap_or_else(|_| Err(late(limit))), 1),
            Way::Anonymous => {
                let alone = async {
                    let open = self.connect(true).await?;
                    self.exchange(open, prepared).await.map(|(answer, _)| answer)
                };
                let result = timeout(limit, alone).await.unwrap_or_else(|_| Err(late(limit)));
                (result.map(|answer| Back::Answer(Box::new(answer))), 1)
            }
            Way::Same => match self.kept.take() {
                Some(open) => (self.timely(Some(open), prepared).await, 1),
                None => (Err(closed()), 0),
            },
            Way::Any => {
                let kept = self.kept.take().filter(|open| !open.sender.is_closed());
                let again = kept.is_some();
                match self.timely(kept, prepared).await {
                    Err(Unanswered { step: Step::Kept, .. }) if again => (self.timely(None, prepared).await, 1),
                    Err(Unanswered { step: Step::Answer, .. }) if again && more => {
                        (self.timely(None, prepared).await, 2)
                    }
                    first => (first, 1),
                }
            }
        }
    }

    async fn timely(&mut self, open: Option<Open>, prepared: &Prepared) -> Result<Back, Unanswered> {
        let limit = self.timeout;
        let whole = async {
            let open = match open {
                Some(open) => open,
                None => self.connect(false).await?,
            };
            self.exchange(open, prepared).await
        };
        let (answer, open) = timeout(limit, whole).await.unwrap_or_else(|_| Err(late(limit)))?;
        self.kept = Some(open);
        Ok(Back::Answer(Box::new(answer)))
    }

    async fn dial(&self) -> Result<TcpStream, Unanswered> {
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| at(Step::Connect, error))?;
        // Small requests must not wait for a full segment.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn connect(&self, anonymous: bool) -> Result<Open, Unanswered> {
        let stream = self.dial().await?;
        let Some((name, config)) = &self.tls else {
            return open(Box::new(stream), None).await;
        };
        let config = if anonymous {
            let mut config = ClientConfig::clone(config);
            config.client_auth_cert_resolver = Arc::new(NoCertificate);
            // A session of before would speak for us.
            config.resumption = Resumption::disabled();
            Arc::new(config)
        } else {
            Arc::clone(config)
        };
        let stream = TlsConnector::from(config).connect(name.clone(), stream).await.map_err(|error| {
            let known = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            at(Step::Handshake, if known { handshake_cause(&error).to_owned() } else { error.to_string() })
        })?;
        let (_, session) = stream.get_ref();
        let (version, is_current) = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => ("TLS 1.3", true),
            Some(ProtocolVersion::TLSv1_2) => ("TLS 1.2", true),
            _ => ("an older TLS", false),
        };
        let certificate = session.peer_certificates().and_then(<[_]>::first).map(|der| der.as_ref().to_vec());
        open(Box::new(stream), Some(TlsFacts { version, is_current, certificate })).await
    }

    async fn exchange(&self, mut open: Open, prepared: &Prepared) -> Result<(Answer, Open), Unanswered> {
        let request = self.request(prepared)?;
        let broken = |error: hyper::Error| at(Step::Answer, causes(&error));
        if open.sender.ready().await.is_err() {
            // A connection that was kept may be closed at any time; a new one is not, unless we are refused.
            return Err(if open.used { closed() } else { at(Step::Answer, ended(open.driver).await) });
        }
        let response = match open.sender.send_request(request).await {
            Ok(response) => response,
            Err(error) if error.is_canceled() || error.is_closed() => {
                return Err(at(Step::Answer, ended(open.driver).await));
            }
            Err(error) => return Err(broken(error)),
        };
        open.used = true;
        let (head, body) = response.into_parts();
        let mut body = Limited::new(body, LARGEST_ANSWER);
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => broken(*error),
                Err(_) => at(Step::Answer, format!("it has more than {LARGEST_ANSWER} octets")),
            })?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        let text = |headers: &HeaderMap, name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let answer = Answer::read(
            head.status.as_u16(),
            text(&head.headers, header::CONTENT_TYPE).unwrap_or_default(),
            text(&head.headers, header::CONTENT_ENCODING),
            bytes.freeze(),
            open.tls.clone(),
        );
        Ok((answer, open))
    }

    fn request(&self, prepared: &Prepared) -> Result<Request<OutBody>, Unanswered> {
        let never = |error: http::Error| at(Step::Answer, error);
        let target = match prepared.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        };
        let body = if prepared.chunked {
            let pieces: Vec<_> = prepared.body.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
            let frames = stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
            StreamBody::new(frames).boxed_unsync()
        } else {
            Full::new(prepared.body.clone()).boxed_unsync()
        };
        let mut request = Request::builder()
            .method(prepared.method.clone())
            .uri(target)
            .header(header::HOST, self.authority.clone())
            .body(body)
            .map_err(never)?;
        for (name, value) in &prepared.headers {
            let value = HeaderValue::from_str(value).map_err(|error| never(error.into()))?;
            request.headers_mut().append(name.clone(), value);
        }
        Ok(request)
    }

    /// Says hello in TLS 1.1 on a connection of its own.
    async fn greet(&self) -> Result<Back, Unanswered> {
        let mut stream = self.dial().await?;
        let name = Some(self.host.as_str()).filter(|host| host.parse::<IpAddr>().is_err());
        // Who refuses may close before all of it is sent; what it said is read nevertheless.
        let _ = stream.write_all(&hello::client_hello(name)).await;
        let mut start = [0; hello::NEEDED];
        let mut count = 0;
        while let Some(room) = start.get_mut(count..).filter(|room| !room.is_empty()) {
            match stream.read(room).await {
                Ok(0) | Err(_) => break,
                Ok(read) => count += read,
            }
            // An alert is shorter than what is waited for, and nothing follows it.
            if matches!(hello::read(start.get(..count).unwrap_or_default()), Greeting::Alert(_)) {
                break;
            }
        }
        Ok(Back::Greeting(hello::read(start.get(..count).unwrap_or_default())))
    }
}

async fn open(stream: Box<dyn Stream>, tls: Option<TlsFacts>) -> Result<Open, Unanswered> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| at(Step::Answer, causes(&error)))?;
    // What ends the connection is told to the request on it as well.
    Ok(Open { sender, tls, used: false, driver: AbortOnDropHandle::new(tokio::spawn(connection)) })
}

/// Why a connection has ended.
async fn ended(driver: AbortOnDropHandle<hyper::Result<()>>) -> String {
    match driver.await {
        Ok(Err(error)) => causes(&error),
        _ => "the connection was closed".to_owned(),
    }
}

/// An error with its causes in one line; of TLS in fixed words.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        match cause.downcast_ref::<io::Error>() {
            Some(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                text.push_str(handshake_cause(io));
                break;
            }
            _ => text.push_str(&cause.to_string()),
        }
        source = cause.source();
    }
    text
}
