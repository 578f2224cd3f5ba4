//! Messages going out: envelopes, MTOM packages, and documents streamed behind or inside them
//! with back-pressure, a chunk in memory at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::wire::mtom::{MtomError, MultipartWriter};
use crate::wire::soap::{self, Addressing, Version};

/// The body of an HTTP message of ours.
pub type OutBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// What is done when a stream breaks after its start was sent: audit and log.
pub type OnFailure = Arc<dyn Fn(BodyError) -> BoxFuture<'static, ()> + Send + Sync>;

/// A body that is all there.
pub fn full(bytes: impl Into<Bytes>) -> OutBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Writes a whole envelope around a payload.
pub fn envelope(
    version: Version,
    addressing: &Addressing,
    security: Option<&str>,
    payload: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    soap::write_start(&mut out, version, addressing, security);
    payload(&mut out);
    soap::write_end(&mut out);
    out
}

/// A document that will be a part of a package.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its Content-ID, without brackets.
    pub content_id: String,
    /// Its media type.
    pub media_type: String,
    /// Its octets, where known.
    pub size: Option<u64>,
}

/// An MTOM package: root part and documents.
pub struct Package {
    writer: MultipartWriter,
    root: Vec<u8>,
    parts: Vec<Part>,
    sources: Vec<Box<dyn BodySource>>,
}

/// A Content-ID of a message's n-th document; nothing in it needs encoding anywhere.
pub fn content_id(message: &str, number: usize) -> String {
    format!("{number}.{message}@causeway")
}

/// A fresh token for boundary and Content-IDs.
pub fn message_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Package {
    /// Packs an envelope with its documents; `token` names boundary and root.
    ///
    /// # Errors
    /// When the token cannot be a boundary.
    pub fn new(
        version: Version,
        token: &str,
        root: Vec<u8>,
        parts: Vec<Part>,
        sources: Vec<Box<dyn BodySource>>,
    ) -> Result<Self, MtomError> {
        let writer = MultipartWriter::new(format!("MIMEBoundary_{token}"), format!("root.{token}@causeway"))?;
        let writer = if version == Version::V11 { writer.with_soap11() } else { writer };
        Ok(Self { writer, root, parts, sources })
    }

    /// Its Content-Type.
    pub fn content_type(&self, action: &str) -> String {
        self.writer.content_type(Some(action))
    }

    /// The same without the action, which some receivers choke on.
    pub fn content_type_without_action(&self) -> String {
        self.writer.content_type(None)
    }

    /// Its Content-Length, when every document's size is known.
    pub fn content_length(&self) -> Option<u64> {
        let mut sizes = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            sizes.push((part.content_id.as_str(), part.media_type.as_str(), part.size?));
        }
        self.writer.content_length(self.root.len() as u64, sizes).ok()
    }

    /// Its bytes, streamed.
    pub fn into_body(self, on_failure: OnFailure) -> OutBody {
        let mut start = self.writer.root_part().to_vec();
        start.extend_from_slice(&self.root);
        if self.sources.is_empty() && self.parts.is_empty() {
            start.extend_from_slice(&self.writer.close());
            return full(start);
        }
        let shape = Shape::Parts { writer: self.writer, parts: self.parts };
        Pump::body(start, shape, self.sources, on_failure)
    }
}

/// Documents inside the envelope as base64, for clients without MTOM (ITI TF-2 §V.8).
pub struct Inline {
    /// The envelope up to the first document.
    pub start: Vec<u8>,
    /// What stands before the bytes of each document.
    pub heads: Vec<Vec<u8>>,
    /// What stands behind them.
    pub tail: &'static [u8],
    /// Their bytes.
    pub sources: Vec<Box<dyn BodySource>>,
    /// The envelope from behind the last document.
    pub end: Vec<u8>,
}

impl Inline {
    /// Its bytes, streamed.
    pub fn into_body(self, on_failure: OnFailure) -> OutBody {
        let shape = Shape::Inline { heads: self.heads, tail: self.tail, end: self.end, carry: Vec::new() };
        Pump::body(self.start, shape, self.sources, on_failure)
    }
}

enum Shape {
    Parts { writer: MultipartWriter, parts: Vec<Part> },
    Inline { heads: Vec<Vec<u8>>, tail: &'static [u8], end: Vec<u8>, carry: Vec<u8> },
}

impl Shape {
    fn count(&self) -> usize {
        match self {
            Self::Parts { parts, .. } => parts.len(),
            Self::Inline { heads, .. } => heads.len(),
        }
    }

    /// What goes before the n-th document's bytes.
    fn head(&self, number: usize) -> Result<Bytes, BodyError> {
        let unknown = || BodyError::Peer("a document that was not announced".into());
        match self {
            Self::Parts { writer, parts } => {
                let part = parts.get(number).ok_or_else(unknown)?;
                writer.document_part(&part.content_id, &part.media_type).map_err(|e| BodyError::Peer(e.to_string()))
            }
            Self::Inline { heads, .. } => Ok(heads.get(number).ok_or_else(unknown)?.clone().into()),
        }
    }

    /// A document's bytes as they go out.
    fn encode(&mut self, chunk: Bytes) -> Bytes {
        match self {
            Self::Parts { .. } => chunk,
            Self::Inline { carry, .. } => {
                use base64::Engine as _;
                // Base64 takes three bytes at a time: what is left over waits for the next chunk.
                let mut joined = std::mem::take(carry);
                joined.extend_from_slice(&chunk);
                *carry = joined.split_off(joined.len() - joined.len() % 3);
                base64::engine::general_purpose::STANDARD.encode(&joined).into()
            }
        }
    }

    /// What goes behind a document's bytes.
    fn tail(&mut self) -> Option<Bytes> {
        match self {
            Self::Parts { .. } => None,
            Self::Inline { carry, tail, .. } => {
                use base64::Engine as _;
                let mut out = base64::engine::general_purpose::STANDARD.encode(std::mem::take(carry)).into_bytes();
                out.extend_from_slice(tail);
                Some(out.into())
            }
        }
    }

    fn close(&mut self) -> Bytes {
        match self {
            Self::Parts { writer, .. } => writer.close(),
            Self::Inline { end, .. } => std::mem::take(end).into(),
        }
    }
}

/// Pumps documents from their sources into a body.
struct Pump {
    ready: VecDeque<Bytes>,
    shape: Shape,
    sources: VecDeque<Box<dyn BodySource>>,
    in_document: bool,
    delivered: usize,
    finished: bool,
    on_failure: OnFailure,
}

impl Pump {
    fn body(start: Vec<u8>, shape: Shape, sources: Vec<Box<dyn BodySource>>, on_failure: OnFailure) -> OutBody {
        let pump = Self {
            ready: VecDeque::from([start.into()]),
            shape,
            sources: sources.into(),
            in_document: false,
            delivered: 0,
            finished: false,
            on_failure,
        };
        let stream = unfold(Some(pump), |pump| async move {
            let mut pump = pump?;
            match pump.next().await {
                Ok(Some(chunk)) => Some((Ok(Frame::data(chunk)), Some(pump))),
                Ok(None) => None,
                Err(error) => {
                    // The final boundary is never sent: a visible truncation, not a forged whole.
                    let told = std::io::Error::other(error.to_string());
                    (pump.on_failure)(error).await;
                    Some((Err(told), None))
                }
            }
        });
        StreamBody::new(stream).boxed_unsync()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.finished {
                return Ok(None);
            }
            let Some(source) = self.sources.front_mut() else {
                if self.delivered != self.shape.count() {
                    return Err(BodyError::Peer("a document that was announced did not come".into()));
                }
                self.finished = true;
                self.ready.push_back(self.shape.close());
                continue;
            };
            if !self.in_document {
                match source.next_document().await? {
                    Some(number) => {
                        self.ready.push_back(self.shape.head(number)?);
                        self.in_document = true;
                    }
                    None => {
                        self.sources.pop_front();
                    }
                }
                continue;
            }
            match source.next_chunk().await? {
                Some(chunk) => {
                    let encoded = self.shape.encode(chunk);
                    if !encoded.is_empty() {
                        return Ok(Some(encoded));
                    }
                }
                None => {
                    self.in_document = false;
                    self.delivered += 1;
                    self.ready.extend(self.shape.tail());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    struct Chunks(Option<usize>, VecDeque<Result<Bytes, BodyError>>);

    impl BodySource for Chunks {
        fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
            let number = self.0.take();
            Box::pin(async move { Ok(number) })
        }

        fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
            let next = self.1.pop_front().transpose();
            Box::pin(async move { next })
        }
    }

    fn quiet() -> OnFailure {
        Arc::new(|_| Box::pin(async {}))
    }

    fn source(chunks: &[&str]) -> Vec<Box<dyn BodySource>> {
        let chunks = chunks.iter().map(|c| Ok(Bytes::copy_from_slice(c.as_bytes()))).collect();
        vec![Box::new(Chunks(Some(0), chunks))]
    }

    #[tokio::test]
    async fn inline_documents_are_base64_whatever_the_chunks() {
        for chunks in [vec!["abcdefg"], vec!["a", "bc", "defg"], vec!["ab", "cde", "f", "g"]] {
            let inline = Inline {
                start: b"<".to_vec(),
                heads: vec![b"<d>".to_vec()],
                tail: b"</d>",
                sources: source(&chunks),
                end: b">".to_vec(),
            };
            let bytes = inline.into_body(quiet()).collect().await.unwrap().to_bytes();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!(text, "<<d>YWJjZGVmZw==</d>>");
        }
    }

    #[tokio::test]
    async fn the_length_foretold_is_the_length_sent() {
        let part = Part { content_id: "1@x".into(), media_type: "text/plain".into(), size: Some(7) };
        let package =
            Package::new(Version::V12, "t", b"<root/>".to_vec(), vec![part], source(&["abcd", "efg"])).unwrap();
        let foretold = package.content_length().unwrap();
        let sent = package.into_body(quiet()).collect().await.unwrap().to_bytes();
        assert_eq!(foretold, sent.len() as u64);
    }

    #[tokio::test]
    async fn a_document_that_does_not_come_breaks_the_stream() {
        let part = Part { content_id: "1@x".into(), media_type: "text/plain".into(), size: None };
        let package = Package::new(Version::V12, "t", Vec::new(), vec![part], Vec::new()).unwrap();
        assert!(package.into_body(quiet()).collect().await.is_err());
    }
}
