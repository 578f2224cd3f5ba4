//! One question over one connection, and what comes back.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::handshake::{Tap, shake};
use super::own::Own;
use super::{Ask, Subject, connect, discovery, words};
use crate::model::discovery::DiscoveryQuery;
use crate::model::document::DocumentRequest;
use crate::model::ids::{RepositoryUniqueId, UniqueId};
use crate::model::rim::Slot;
use crate::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind, ReturnType};
use crate::model::time::Dtm;
use crate::transaction::Transaction;
use crate::transport::answer::{self, OutBody};
use crate::transport::message::{BodyStream, Bounds, EnvelopeRoom, MessageError, receive};
use crate::transport::peer::profile::{PeerProfile, Shaped};
use crate::wire::soap::{self, Version};
use crate::wire::{ebrs, hl7v3, mtom, xdsb, xml};

/// An answer to a question about nothing is small.
const MAX_ENVELOPE: usize = 4 << 20;
/// What may come behind an envelope, which is nothing.
const MAX_MESSAGE: u64 = 8 << 20;
/// What is read of a page that is no SOAP message.
const MAX_PAGE: usize = 16 << 10;

/// A question that touches no patient.
pub(super) struct Question {
    pub transaction: &'static Transaction,
    pub ask: Ask,
    pub message_id: String,
    /// The SOAP version that it is in.
    pub soap: Version,
    /// What it asks for a patient.
    pub discovery: Option<Box<DiscoveryQuery>>,
    envelope: Vec<u8>,
}

/// An id that nobody else has: an OID of a fresh UUID (ITU-T X.667 §7).
pub(super) fn made_up() -> String {
    format!("2.25.{}", uuid::Uuid::new_v4().as_u128())
}

impl Question {
    /// Asks for a document, or a patient, by an id that was made up.
    pub(super) fn new(subject: &Subject, ask: Ask, transaction: &'static Transaction) -> Option<Self> {
        let message_id = soap::new_message_id();
        let mut payload = Vec::new();
        let mut discovery = None;
        match ask {
            Ask::Discover => {
                let query = discovery::query(subject)?;
                let created = Dtm::from_timestamp(Timestamp::now());
                hl7v3::write_request(&mut payload, &query, created, Some(&subject.uri.to_string()));
                discovery = Some(Box::new(query));
            }
            Ask::Query => {
                let query = AdhocQuery {
                    id: QueryDefinition::of(QueryKind::GetDocuments).id.to_owned(),
                    home: subject.home.as_ref().map(ToString::to_string),
                    return_type: Some(ReturnType::LeafClass.as_str().to_owned()),
                    slots: vec![Slot::single("$XDSDocumentEntryUniqueId", format!("('{}')", made_up()))],
                };
                ebrs::write_query(&mut payload, &query);
            }
            Ask::Retrieve => {
                let request = DocumentRequest {
                    home: subject.home.clone(),
                    repository: RepositoryUniqueId::parse(&made_up()).ok()?,
                    unique_id: UniqueId::parse(&made_up()).ok()?,
                };
                xdsb::write_retrieve(&mut payload, &[request]);
            }
        }
        let security = subject.security.as_deref();
        let addressing = subject.profile.addressing(transaction, &subject.uri, message_id.clone(), None);
        let envelope = subject.profile.envelope(&addressing, security, |out| out.extend_from_slice(&payload));
        Some(Self { transaction, ask, message_id, soap: subject.profile.soap, discovery, envelope })
    }

    /// The HTTP message, as every call of the broker makes it.
    fn shaped(&self, profile: &PeerProfile) -> Result<Shaped, Unheard> {
        let (token, none) = (answer::message_token(), (Vec::new(), Vec::new()));
        let Self { transaction, envelope, .. } = self;
        let shaped = profile.shape(transaction.packaging, transaction.action, envelope.clone(), &token, none);
        shaped.map_err(|error| Unheard::Other(error.to_string()))
    }
}

/// Why nothing was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unheard {
    /// Nothing came in time.
    Late,
    /// The peer closed or reset the connection.
    Closed,
    /// The peer ended TLS with an alert.
    Alert(AlertDescription),
    /// It could not be connected again.
    NotAgain(String),
    /// It answered with something that is not HTTP.
    Other(String),
}

/// What was heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub status: u16,
    pub content_type: String,
    pub location: Option<String>,
    /// `Server` and `Via`: who answered.
    pub who: Vec<String>,
    pub date: Option<Timestamp>,
    pub content: Content,
}

impl Heard {
    /// Whether nothing came with the status.
    pub(super) fn is_empty(&self) -> bool {
        match &self.content {
            Content::Message { root, .. } => root.is_empty(),
            Content::Page(page) => page.is_empty(),
            Content::Broken(_) => false,
        }
    }
}

/// What an answer holds.
#[derive(Debug)]
pub(super) enum Content {
    /// A message.
    Message {
        root: Bytes,
        multipart: bool,
        /// Behind the root part, up to the final boundary.
        rest: Result<(), String>,
    },
    /// A message that cannot be received.
    Broken(MessageError),
    /// Something that is no message.
    Page(Vec<u8>),
}

/// A connection, with TLS or without.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Tap>>),
}

impl Stream {
    pub(super) fn tls(stream: TlsStream<Tap>) -> Self {
        Self::Tls(Box::new(stream))
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut (dyn Both + '_)> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::<&mut TcpStream>::new(stream),
            Self::Tls(stream) => Pin::<&mut TlsStream<Tap>>::new(stream),
        }
    }
}

trait Both: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Both for T {}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}

/// How long a peer's judgement of our certificate is waited for before it is asked anything.
const JUDGEMENT: Duration = Duration::from_millis(500);

/// What is known of a peer's judgement of our certificate before it is asked anything.
pub(super) struct Judgement {
    /// It sent a session ticket: servers give them to those whom they have accepted.
    pub accepted: bool,
    /// It ended the connection.
    pub ended: Option<Unheard>,
}

/// Waits for the peer's judgement of our certificate under TLS 1.3, which comes after our side of the
/// handshake. Most servers send a session ticket when they accept it; where nothing comes it is known with
/// the answer only. A question already under way could lose the alert: the peer resets the connection.
pub(super) async fn judgement(stream: &mut TlsStream<Tap>) -> Judgement {
    let accepted = |stream: &TlsStream<Tap>| stream.get_ref().1.tls13_tickets_received() > 0;
    let judged = std::future::poll_fn(|cx| {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending if accepted(stream) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Some(Unheard::Closed)),
            Poll::Ready(Ok(())) => {
                Poll::Ready(Some(Unheard::Other("it speaks before it is asked: no HTTP".to_owned())))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(broken_off(&error))),
        }
    });
    let ended = timeout(JUDGEMENT, judged).await.unwrap_or(None);
    Judgement { accepted: accepted(stream), ended }
}

fn broken_off(error: &io::Error) -> Unheard {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Unheard::Alert(*alert),
        Some(other) => Unheard::Other(words(&other.to_string())),
        None => Unheard::Closed,
    }
}

/// Another connection like the first.
pub(super) async fn reopen(subject: &Subject, own: Option<&Own>, addresses: &[SocketAddr]) -> Result<Stream, Unheard> {
    let again = |error: &io::Error| Unheard::NotAgain(words(&error.to_string()));
    let mut last = io::Error::other("there is no address");
    for address in addresses {
        let stream = match connect::open(subject.timeout, *address).await {
            Ok(stream) => stream,
            Err(error) => {
                last = error;
                continue;
            }
        };
        return match own {
            None => Ok(Stream::Plain(stream)),
            Some(own) => shake(own, subject, stream).await.stream.map(Stream::tls).map_err(|error| again(&error)),
        };
    }
    Err(again(&last))
}

/// Asks, and hears what comes.
pub(super) async fn ask(subject: &Subject, question: &Question, stream: Stream) -> Result<Heard, Unheard> {
    let Shaped { headers, body } = question.shaped(&subject.profile)?;
    let request = request(Method::POST, &subject.uri).body(body);
    let mut request = request.map_err(|error| Unheard::Other(error.to_string()))?;
    request.headers_mut().extend(headers);
    let within = subject.timeout;
    over(stream, within, request, |response| listen(response, within)).await
}

/// The Date of whatever a plain GET is answered with.
pub(super) async fn date(subject: &Subject, stream: Stream) -> Option<Timestamp> {
    let request = request(Method::GET, &subject.uri).body(answer::full(Bytes::new())).ok()?;
    over(stream, subject.timeout, request, |response| async move { date_of(response.headers()) }).await.ok()?
}

fn request(method: Method, uri: &Uri) -> http::request::Builder {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
}

/// One request over a connection, which ends with it.
async fn over<T, F>(
    stream: Stream,
    within: Duration,
    request: Request<OutBody>,
    hear: impl FnOnce(Response<Incoming>) -> F,
) -> Result<T, Unheard>
where
    F: Future<Output = T>,
{
    let handshake = http1::handshake::<_, OutBody>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| unheard(&error))?;
    let exchange = async move {
        let response = timeout(within, sender.send_request(request)).await.map_err(|_| Unheard::Late)?;
        Ok(hear(response.map_err(|error| unheard(&error))?).await)
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    let mut ended = None;
    loop {
        tokio::select! {
            biased;
            // Of a connection that ends before the question is out, only the connection knows why.
            heard = &mut exchange => return match (heard, ended) {
                (Err(Unheard::Closed), Some(Err(error))) => Err(unheard(&error)),
                (heard, _) => heard,
            },
            end = &mut connection, if ended.is_none() => ended = Some(end),
        }
    }
}

fn unheard(error: &hyper::Error) -> Unheard {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return broken_off(error);
        }
        cause = error.source();
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Unheard::Closed;
    }
    Unheard::Other(format!("the answer is no HTTP: {}", words(&error.to_string())))
}

fn bounds(within: Duration) -> Bounds {
    Bounds {
        envelope_bytes: MAX_ENVELOPE,
        document_bytes: MAX_MESSAGE,
        message_bytes: MAX_MESSAGE,
        idle: within,
        minimum_rate: 0,
        xml: xml::Limits::default(),
        mtom: mtom::Limits::default(),
        room: EnvelopeRoom::new(MAX_ENVELOPE),
        envelope_time: within,
    }
}

async fn listen(response: Response<Incoming>, within: Duration) -> Heard {
    let (head, body) = response.into_parts();
    let text = |name: &header::HeaderName| {
        head.headers.get(name).map(|value| words(&String::from_utf8_lossy(value.as_bytes())))
    };
    let content_type =
        head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let who = [header::SERVER, header::VIA].iter().filter_map(&text).collect();
    let content = if mtom::Packaging::parse(&content_type).is_ok() {
        message(&content_type, body, within).await
    } else {
        page(body, within).await
    };
    Heard {
        status: head.status.as_u16(),
        location: text(&header::LOCATION),
        who,
        date: date_of(&head.headers),
        content_type,
        content,
    }
}

async fn message(content_type: &str, body: Incoming, within: Duration) -> Content {
    let bounds = bounds(within);
    let mut message = match receive(content_type, BodyStream::new(body, &bounds), &bounds, None).await {
        Ok(message) => message,
        Err(error) => return Content::Broken(error),
    };
    let to_the_end = async {
        while message.attachments.next_part().await?.is_some() {}
        Ok::<(), MessageError>(())
    };
    let rest = match timeout(within, to_the_end).await {
        Ok(rest) => rest.map_err(|error| words(&error.to_string())),
        Err(_) => Err("it does not come to its end".to_owned()),
    };
    Content::Message { root: message.root, multipart: message.multipart, rest }
}

/// The beginning of what is no message; what cannot be read of it is not missed.
async fn page(mut body: Incoming, within: Duration) -> Content {
    let mut page = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                page.extend(data.iter().take(MAX_PAGE.saturating_sub(page.len())));
            }
            if page.len() >= MAX_PAGE {
                break;
            }
        }
    };
    let _ = timeout(within, reading).await;
    Content::Page(page)
}

/// The Date header (RFC 9110 §6.6.1), in the one form that is still sent.
fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(date_of(&headers).unwrap().as_second(), 784_111_777);
        headers.insert(header::DATE, "yesterday".parse().unwrap());
        assert_eq!(date_of(&headers), None);
    }

    #[test]
    fn made_up_ids_are_ids() {
        for _ in 0..100 {
            let id = made_up();
            assert!(RepositoryUniqueId::parse(&id).is_ok() && UniqueId::parse(&id).is_ok(), "{id}");
        }
    }
}
