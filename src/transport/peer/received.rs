//! A retrieve's answer: its root part, and the documents that are drawn from behind it.

use std::collections::VecDeque;

use base64::Engine as _;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::envelope::read_answer;
use crate::actors::ports::PeerFailure;
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest, RetrieveResponse, RetrievedDocument};
use crate::transport::message::{Attachments, Message};
use crate::wire::ebrs;
use crate::wire::mtom::ContentId;
use crate::wire::xdsb::{self, Binary};
use crate::wire::xml;

/// Reads a retrieve's root part; the bodies stay behind it, to be drawn later.
///
/// # Errors
/// When the root part is not what it should be.
pub fn retrieve_response(message: Message, limits: xml::Limits) -> Result<RetrieveResponse, PeerFailure> {
    let (response, documents, bodies) = read_answer(&message.root, limits, |payload| {
        let (response, raw) = xdsb::read_retrieve_response(payload)?;
        let (mut documents, mut bodies) = (Vec::new(), Announced::default());
        for document in raw {
            let (Some(repository), Some(unique_id)) = (document.repository, document.unique_id) else {
                return Err(ebrs::BodyError::Frame(
                    "xds:DocumentResponse needs a RepositoryUniqueId and a DocumentUniqueId",
                ));
            };
            let size = bodies.add(documents.len(), document.content)?;
            documents.push(RetrievedDocument {
                request: DocumentRequest { home: document.home, repository, unique_id },
                new_repository: document.new_repository,
                new_unique_id: document.new_unique_id,
                mime_type: document.mime_type,
                size,
            });
        }
        Ok((response, documents, bodies))
    })?;
    let source = bodies.behind(message.attachments, message.held);
    Ok(RetrieveResponse { errors: response.errors, documents, sources: vec![source] })
}

/// The bodies that a root part announces, by the numbers of their documents.
#[derive(Default)]
pub(super) struct Announced {
    wanted: Vec<(usize, ContentId)>,
    inline: VecDeque<(usize, Bytes)>,
}

impl Announced {
    /// One more; its size, where it is known already.
    pub(super) fn add(&mut self, number: usize, content: Binary<'_>) -> Result<Option<u64>, ebrs::BodyError> {
        match content {
            Binary::Include(href) => {
                let id = ContentId::from_href(&href)
                    .map_err(|_| ebrs::BodyError::Frame("xop:Include has an href that is no Content-ID"))?;
                self.wanted.push((number, id));
                Ok(None)
            }
            Binary::Inline(text) => {
                let compact: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(compact)
                    .map_err(|_| ebrs::BodyError::Frame("xds:Document holds broken base64"))?;
                let size = bytes.len() as u64;
                self.inline.push_back((number, Bytes::from(bytes)));
                Ok(Some(size))
            }
        }
    }

    /// Draws them from what is behind the root part; `held` is the place of that among the envelopes.
    pub(super) fn behind(
        self,
        mut attachments: Attachments,
        held: Option<OwnedSemaphorePermit>,
    ) -> Box<dyn BodySource> {
        let Self { wanted, inline } = self;
        if wanted.is_empty() {
            attachments.suffice();
        }
        let _held = held.filter(|_| !inline.is_empty());
        Box::new(ReceivedBodies { attachments, wanted, inline, current: None, _held })
    }
}

/// The bodies of a received answer, in the order in which they come.
struct ReceivedBodies {
    attachments: Attachments,
    wanted: Vec<(usize, ContentId)>,
    inline: VecDeque<(usize, Bytes)>,
    current: Option<Option<Bytes>>,
    /// Documents that came inline are as large as their envelope.
    _held: Option<OwnedSemaphorePermit>,
}

impl ReceivedBodies {
    async fn advance(&mut self) -> Result<Option<usize>, BodyError> {
        if let Some((number, bytes)) = self.inline.pop_front() {
            self.current = Some(Some(bytes));
            return Ok(Some(number));
        }
        self.current = None;
        let peer = |error: &dyn std::fmt::Display| BodyError::Peer(error.to_string());
        while !self.wanted.is_empty() {
            let Some(headers) = self.attachments.next_part().await.map_err(|e| peer(&e))? else {
                return Err(BodyError::Peer("a part that the root part names is missing".into()));
            };
            let matched =
                headers.content_id.as_ref().and_then(|id| id.best_match(self.wanted.iter().map(|(_, href)| href)));
            if let Some(at) = matched {
                return Ok(Some(self.wanted.remove(at).0));
            }
        }
        // The package must end as it should: a missing final boundary is a truncation.
        while self.attachments.next_part().await.map_err(|e| peer(&e))?.is_some() {}
        Ok(None)
    }
}

impl BodySource for ReceivedBodies {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(self.advance())
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            match &mut self.current {
                Some(inline) => Ok(inline.take().filter(|bytes| !bytes.is_empty())),
                None => self.attachments.next_chunk().await.map_err(|error| BodyError::Peer(error.to_string())),
            }
        })
    }
}
