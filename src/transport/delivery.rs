//! An answer on its way to an address of its own: one try to post it (ITI TF-2 §V.5).
//!
//! Each try has a new connection: one that was kept may break off at any time, and the answer would be
//! sent twice. Redirects are not followed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{self, OutBody};
use super::callbacks::Target;
use super::pipeline::CORRELATION_ID;
use crate::wire::hl7v3;
use crate::wire::soap;
use crate::wire::xml::{self, Document};

/// An answer as it is posted.
pub struct Parcel {
    /// Its Content-Type.
    pub content_type: HeaderValue,
    /// Its action, for receivers that look for it outside the envelope (SOAP 1.1 §6.1.1).
    pub soap_action: Option<HeaderValue>,
    /// Its Content-Length, where that is known of a stream.
    pub length: Option<HeaderValue>,
    /// Whether what it is answered with says whether it was wanted.
    pub acknowledged: bool,
    /// Its bytes.
    pub cargo: Cargo,
}

/// The bytes of an answer.
pub enum Cargo {
    /// All there: they can be posted again.
    Whole(Bytes),
    /// Documents behind them come as they are taken.
    Stream(OutBody),
}

impl Parcel {
    /// The same once more, if it is all there.
    pub fn again(&self) -> Option<Self> {
        let Cargo::Whole(bytes) = &self.cargo else { return None };
        Some(Self {
            content_type: self.content_type.clone(),
            soap_action: self.soap_action.clone(),
            length: self.length.clone(),
            acknowledged: self.acknowledged,
            cargo: Cargo::Whole(bytes.clone()),
        })
    }
}

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The other side does not want it, and would not want it later.
    #[error("refused with HTTP {0}")]
    Refused(u16),
    /// The other side has read it, and does not want it.
    #[error("not accepted: {0}")]
    Declined(&'static str),
    /// Nobody there, or not now.
    #[error("not taken: {0}")]
    Failed(String),
}

/// When the receiver was last given something; none while a document's own source is waited for.
type Given = Arc<Mutex<Option<Instant>>>;

/// A body that notes whom it waits for.
struct Watched {
    body: OutBody,
    given: Given,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = polled.is_ready().then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns when the receiver has taken nothing for so long.
async fn stalled(given: &Given, limit: Duration) {
    loop {
        let since = *given.lock().unwrap_or_else(PoisonError::into_inner);
        match since {
            Some(since) if since.elapsed() >= limit => return,
            Some(since) => sleep_until(since + limit).await,
            None => sleep(limit).await,
        }
    }
}

/// Posts an answer once; `stall` is how long the receiver may do nothing.
///
/// # Errors
/// When it was not taken.
pub async fn post(target: &Target, parcel: Parcel, correlation_id: &str, stall: Duration) -> Result<(), Undelivered> {
    let given: Given = Arc::new(Mutex::new(Some(Instant::now())));
    let acknowledged = parcel.acknowledged;
    let body = match parcel.cargo {
        Cargo::Whole(bytes) => answer::full(bytes),
        Cargo::Stream(body) => body,
    };
    let watched = Watched { body, given: Arc::clone(&given) };
    let mut request = Request::new(watched.boxed_unsync());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri.clone();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, parcel.content_type);
    let action = (http::HeaderName::from_static("soapaction"), parcel.soap_action);
    let correlation = (CORRELATION_ID, HeaderValue::from_str(correlation_id).ok());
    for (name, value) in [action, correlation, (header::CONTENT_LENGTH, parcel.length)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    let answered = tokio::select! {
        answered = target.client.post(request) => answered.map_err(Undelivered::Failed)?,
        () = stalled(&given, stall) => return Err(Undelivered::Failed("the receiver takes nothing".to_owned())),
    };
    match answered.status().as_u16() {
        200..=299 if acknowledged => accepted(answered, stall).await,
        200..=299 => Ok(()),
        // Come back later, in the words of HTTP.
        status @ (408 | 425 | 429) => Err(Undelivered::Failed(format!("HTTP {status}"))),
        status @ 500.. => Err(Undelivered::Failed(format!("HTTP {status}"))),
        status => Err(Undelivered::Refused(status)),
    }
}

/// Octets of an acknowledgement at most.
const ACKNOWLEDGEMENT: usize = 64 * 1024;

/// Whether an acknowledgement says that the answer was not accepted. Whoever says nothing, or nothing that can be
/// read, has taken it.
async fn accepted(answered: Response<Incoming>, stall: Duration) -> Result<(), Undelivered> {
    let read = Limited::new(answered.into_body(), ACKNOWLEDGEMENT).collect();
    let Ok(Ok(body)) = timeout(stall, read).await else { return Ok(()) };
    let body = body.to_bytes();
    let Ok(text) = xml::decode(&body) else { return Ok(()) };
    let Ok(document) = Document::parse(&text, xml::Limits::default()) else { return Ok(()) };
    let Ok(envelope) = soap::read(&document) else { return Ok(()) };
    match hl7v3::read_acknowledgement(envelope.payload) {
        Ok(Err(code)) => Err(Undelivered::Declined(code)),
        _ => Ok(()),
    }
}
