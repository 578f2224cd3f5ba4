//! The documents of a submission on their way to another community: each goes on as it comes, a chunk in memory
//! at a time, and who sends them is read no faster than who gets them takes them.
//!
//! What is wrong with the package shows while it is sent. Then the package that goes out is cut short, before
//! its final boundary, so that nothing of it is kept where it arrives.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::message::{Attachments, MessageError};
use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::model::response::{ErrorCode, RegistryError};
use crate::wire::mtom::ContentId;
use crate::wire::soap::Fault;
use crate::wire::xdsb::Binary;

/// What is wrong with a submission whose documents were being handed on.
pub enum Broken {
    /// Its package.
    Message(Box<Fault>),
    /// Its documents and its metadata do not go together.
    Rule(RegistryError),
}

/// What is left of the message, shared with whoever sends it on.
struct Behind {
    /// None once it is taken back.
    attachments: Option<Attachments>,
    broken: Option<Broken>,
}

/// The other end of a [`HandedOn`]: what it leaves.
pub struct Remains(Arc<Mutex<Behind>>);

impl Remains {
    /// Gives the rest of the message back, which nobody hands on any more, and tells what was wrong with it.
    pub async fn take_back(self, attachments: &mut Attachments) -> Option<Broken> {
        let mut behind = self.0.lock().await;
        if let Some(rest) = behind.attachments.take() {
            *attachments = rest;
        }
        behind.broken.take()
    }
}

/// The documents of a message as a source of bodies.
pub struct HandedOn {
    behind: Arc<Mutex<Behind>>,
    /// Those that come as parts, each once however many documents it is.
    awaited: Vec<(usize, String, ContentId)>,
    inline: VecDeque<(usize, Bytes)>,
    current: Option<Option<Bytes>>,
}

impl HandedOn {
    /// Of a message with these documents, by the ids of their entries. Gives the number of each one's bytes too,
    /// and where the rest of the message can be had again; `attachments` has none of it meanwhile.
    ///
    /// # Errors
    /// The fault for a document that is neither base64 nor a part.
    pub fn new<'d>(
        documents: impl Iterator<Item = (&'d str, &'d Binary<'static>)>,
        attachments: &mut Attachments,
    ) -> Result<(Self, Vec<usize>, Remains), Fault> {
        let (mut awaited, mut inline) = (Vec::<(usize, String, ContentId)>::new(), VecDeque::new());
        let (mut numbers, mut next) = (Vec::new(), 0);
        let wrong = |id: &str, what: &dyn std::fmt::Display| Fault::sender(format!("xds:Document {id}: {what}."));
        for (id, content) in documents {
            match content {
                Binary::Include(href) => {
                    let part = ContentId::from_href(href).map_err(|error| wrong(id, &error))?;
                    // Two documents may name one part.
                    if let Some((number, ..)) = awaited.iter().find(|(_, _, other)| *other == part) {
                        numbers.push(*number);
                        continue;
                    }
                    awaited.push((next, id.to_owned(), part));
                }
                Binary::Inline(text) => {
                    let compact: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                    let bytes = STANDARD.decode(compact);
                    let bytes = bytes.map_err(|error| wrong(id, &format!("its base64 is broken: {error}")))?;
                    inline.push_back((next, Bytes::from(bytes)));
                }
            }
            numbers.push(next);
            next += 1;
        }
        let rest = attachments.take();
        let behind = Arc::new(Mutex::new(Behind { attachments: Some(rest), broken: None }));
        let remains = Remains(Arc::clone(&behind));
        Ok((Self { behind, awaited, inline, current: None }, numbers, remains))
    }

    async fn advance(&mut self) -> Result<Option<usize>, BodyError> {
        if let Some((number, bytes)) = self.inline.pop_front() {
            self.current = Some(Some(bytes));
            return Ok(Some(number));
        }
        self.current = None;
        let mut behind = self.behind.lock().await;
        let Behind { attachments: Some(attachments), broken } = &mut *behind else { return Err(taken_back()) };
        let found = match attachments.next_part().await {
            Err(error) => Err(Broken::from(error)),
            Ok(Some(headers)) => {
                let id = headers.content_id.as_ref();
                let at = id.and_then(|id| id.best_match(self.awaited.iter().map(|(_, _, href)| href)));
                at.map(|at| Some(self.awaited.remove(at).0)).ok_or_else(|| unreferenced(headers.number))
            }
            Ok(None) => match self.awaited.first() {
                None => Ok(None),
                Some((_, id, _)) => Err(missing(id)),
            },
        };
        found.map_err(|what| break_off(broken, what))
    }
}

impl From<MessageError> for Broken {
    fn from(error: MessageError) -> Self {
        Self::Message(Box::new(error.fault()))
    }
}

fn taken_back() -> BodyError {
    BodyError::Peer("nobody hands the documents on any more".into())
}

/// As at the repository: a part that the package promises and lacks is a broken package.
fn missing(id: &str) -> Broken {
    Broken::Message(Box::new(Fault::sender(format!(
        "xds:Document {id}: its xop:Include names a part that is not in this message: a part's Content-ID must be the href without cid:."
    ))))
}

fn unreferenced(number: usize) -> Broken {
    Broken::Rule(RegistryError::new(
        ErrorCode::XDSMissingDocumentMetadata,
        format!("part {number} of the message is named by no xds:Document (ITI TF-2 §3.41.4.1.2)"),
    ))
}

fn break_off(broken: &mut Option<Broken>, what: Broken) -> BodyError {
    broken.get_or_insert(what);
    BodyError::Peer("the submission broke off".into())
}

impl BodySource for HandedOn {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(self.advance())
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            if let Some(inline) = &mut self.current {
                return Ok(inline.take().filter(|bytes| !bytes.is_empty()));
            }
            let mut behind = self.behind.lock().await;
            let Behind { attachments: Some(attachments), broken } = &mut *behind else { return Err(taken_back()) };
            attachments.next_chunk().await.map_err(|error| break_off(broken, error.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::Full;

    use super::*;
    use crate::transport::message::{BodyStream, Bounds, EnvelopeRoom, receive};
    use crate::wire::{mtom, xml};

    const TYPE: &str = "multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<root@x>\"; start-info=\"application/soap+xml\"";

    /// What is behind the root part of a message with these parts.
    async fn message(parts: &[(&str, &str)]) -> Attachments {
        let bounds = Bounds {
            envelope_bytes: 1 << 16,
            document_bytes: 1 << 16,
            message_bytes: 1 << 20,
            idle: Duration::from_secs(1),
            minimum_rate: 0,
            xml: xml::Limits::default(),
            mtom: mtom::Limits::default(),
            room: EnvelopeRoom::new(1 << 16),
            envelope_time: Duration::from_secs(10),
        };
        let mut body = "--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <root@x>\r\n\r\n<x/>".to_owned();
        for (id, content) in parts {
            body.push_str(&format!("\r\n--b\r\nContent-ID: <{id}>\r\n\r\n{content}"));
        }
        body.push_str("\r\n--b--\r\n");
        let body = BodyStream::new(Full::new(Bytes::from(body)), &bounds);
        receive(TYPE, body, &bounds, None).await.unwrap().attachments
    }

    fn part(href: &'static str) -> Binary<'static> {
        Binary::Include(href.into())
    }

    async fn drawn(source: &mut HandedOn) -> Result<Vec<(usize, Vec<u8>)>, BodyError> {
        let mut drawn = Vec::new();
        while let Some(number) = source.next_document().await? {
            let mut whole = Vec::new();
            while let Some(chunk) = source.next_chunk().await? {
                whole.extend_from_slice(&chunk);
            }
            drawn.push((number, whole));
        }
        Ok(drawn)
    }

    #[tokio::test]
    async fn each_part_goes_on_once_and_what_is_inline_with_them() {
        let mut attachments = message(&[("2@x", "second"), ("1@x", "first")]).await;
        let contents = [part("cid:1@x"), Binary::Inline("aW5s\naW5l".into()), part("cid:2@x"), part("cid:1@x")];
        let documents = ["a", "b", "c", "d"].into_iter().zip(&contents);
        let (mut source, numbers, remains) = HandedOn::new(documents, &mut attachments).unwrap();
        assert_eq!(numbers, [0, 1, 2, 0]);
        let expected = [(1, b"inline".to_vec()), (2, b"second".to_vec()), (0, b"first".to_vec())];
        assert_eq!(drawn(&mut source).await.unwrap(), expected);
        assert!(remains.take_back(&mut attachments).await.is_none());
        assert!(attachments.next_part().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nothing_is_drawn_any_more_once_the_rest_is_taken_back() {
        let mut attachments = message(&[("1@x", "first"), ("2@x", "second")]).await;
        let contents = [part("cid:1@x"), part("cid:2@x")];
        let (mut source, _, remains) = HandedOn::new(["a", "b"].into_iter().zip(&contents), &mut attachments).unwrap();
        assert!(attachments.next_part().await.unwrap().is_none(), "it is all with the source");
        assert_eq!(source.next_document().await.unwrap(), Some(0));
        assert!(remains.take_back(&mut attachments).await.is_none());
        assert!(source.next_chunk().await.is_err() && source.next_document().await.is_err());
        assert!(attachments.next_part().await.unwrap().is_some(), "the second part");
    }

    #[tokio::test]
    async fn what_does_not_go_together_breaks_off_and_is_told() {
        let contents = [part("cid:1@x")];
        for (parts, rule) in [(&[][..], false), (&[("1@x", ""), ("2@x", "")], true)] {
            let mut attachments = message(parts).await;
            let (mut source, _, remains) = HandedOn::new(["a"].into_iter().zip(&contents), &mut attachments).unwrap();
            assert!(drawn(&mut source).await.is_err());
            let broken = remains.take_back(&mut attachments).await;
            assert_eq!(matches!(broken, Some(Broken::Rule(_))), rule);
            assert_eq!(matches!(broken, Some(Broken::Message(_))), !rule);
        }
        let mut attachments = message(&[("1@x", "first")]).await;
        let wrong = [Binary::Inline("no*base64".into())];
        assert!(HandedOn::new(["a"].into_iter().zip(&wrong), &mut attachments).is_err());
        assert!(attachments.next_part().await.unwrap().is_some(), "nothing was taken");
    }
}
