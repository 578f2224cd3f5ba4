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
