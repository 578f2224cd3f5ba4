//! Documents of several communities in one answer: each community's are kept whole on disk before
//! the answer begins, so that one that breaks off spoils no other's (ITI TF-2 §3.39.4.1.3).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::context::RequestContext;
use super::explain::Doing;
use super::fingerprints::Fingerprint;
use super::ports::PeerFailure;
use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::model::ids::HomeCommunityId;
use crate::store::{Content, DocumentReader, DocumentStore, StagedDocument, StoreError};

/// Bytes that are counted as one.
const PLACE: u64 = 64 * 1024;

/// Where documents wait for the answer, with room that all answers share.
#[derive(Clone)]
pub struct Spool {
    store: Arc<dyn DocumentStore>,
    room: Arc<Semaphore>,
}

impl Spool {
    /// Room for so many bytes in the staging of a store.
    pub fn new(store: Arc<dyn DocumentStore>, bytes: u64) -> Self {
        let places = usize::try_from(bytes.div_ceil(PLACE)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { store, room: Arc::new(Semaphore::new(places)) }
    }

    /// Keeps a community's documents until all are there or the time is up. For each, by number, `expected` is what its
    /// entry states.
    pub(super) async fn take(
        &self,
        context: &RequestContext,
        from: &HomeCommunityId,
        sources: Vec<Box<dyn BodySource>>,
        expected: &[Option<Fingerprint>],
    ) -> Taken {
        let (mut kept, began) = (self.empty(), Instant::now());
        let failure = tokio::select! {
            drawn = timeout_at(context.deadline, kept.draw(sources)) => match drawn {
                Ok(drawn) => drawn.err(),
                Err(_) => Some(PeerFailure::Timeout(began.elapsed().as_millis() as u64)),
            },
            failure = context.given_up() => Some(failure),
        };
        let said = failure.as_ref().map_or(Ok("all of them".into()), Err);
        context.steps.ended(Some(from), Doing::Keep, began, said);
        let became = |(number, expected): (usize, &Option<Fingerprint>)| match kept.content(number) {
            Some(content) if expected.is_none_or(|expected| expected.fits(content.size, &content.sha1)) => {
                Became::Whole(content.size)
            }
            Some(_) => Became::OtherBytes,
            None => Became::Missing,
        };
        let became = expected.iter().enumerate().map(became).collect();
        let why_missing =
            failure.unwrap_or_else(|| PeerFailure::Garbage("a document that was announced did not come".into()));
        Taken { kept, became, why_missing }
    }

    /// Nothing kept yet.
    pub fn empty(&self) -> Kept {
        Kept { spool: self.clone(), documents: VecDeque::new(), held: None, reading: None }
    }
}

/// What has become of a document that was to be kept.
pub(super) enum Became {
    /// It is there, of that size.
    Whole(u64),
    /// It has other bytes than its entry states.
    OtherBytes,
    /// It did not come whole.
    Missing,
}

/// What came of keeping a community's documents.
pub(super) struct Taken {
    /// Those that came whole.
    pub(super) kept: Kept,
    /// What became of each, by number.
    pub(super) became: Vec<Became>,
    /// Why some are missing, if some are.
    pub(super) why_missing: PeerFailure,
}

/// One community's documents; dropping it discards their files.
pub struct Kept {
    spool: Spool,
    documents: VecDeque<(usize, StagedDocument)>,
    held: Option<OwnedSemaphorePermit>,
    reading: Option<(Box<dyn DocumentReader>, StagedDocument)>,
}

fn store_failed(error: StoreError) -> PeerFailure {
    match error {
        StoreError::Full(_) => PeerFailure::NoRoom,
        // Not the peer's fault; the log has the cause.
        error => {
            tracing::error!(%error, "a community's documents could not be kept");
            PeerFailure::NoRoom
        }
    }
}

impl From<BodyError> for PeerFailure {
    fn from(error: BodyError) -> Self {
        Self::Garbage(error.to_string())
    }
}

impl Kept {
    /// Draws all documents of some sources. What came whole stays, whatever becomes of the rest;
    /// it may be dropped at any moment.
    ///
    /// # Errors
    /// Why not everything came.
    pub async fn draw(&mut self, sources: Vec<Box<dyn BodySource>>) -> Result<(), PeerFailure> {
        for mut source in sources {
            while let Some(number) = source.next_document().await? {
                let mut writer = self.spool.store.stage().await.map_err(store_failed)?;
                let mut bytes = 0;
                while let Some(chunk) = source.next_chunk().await? {
                    let before = u64::div_ceil(bytes, PLACE);
                    bytes += chunk.len() as u64;
                    self.take_room(bytes.div_ceil(PLACE) - before)?;
                    writer.write(chunk).await.map_err(store_failed)?;
                }
                self.documents.push_back((number, writer.finish().await.map_err(store_failed)?));
            }
        }
        Ok(())
    }

    fn take_room(&mut self, places: u64) -> Result<(), PeerFailure> {
        let places = u32::try_from(places).map_err(|_| PeerFailure::NoRoom)?;
        if places > 0 {
            let more = Arc::clone(&self.spool.room).try_acquire_many_owned(places).map_err(|_| PeerFailure::NoRoom)?;
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        }
        Ok(())
    }

    /// What a document is that came whole.
    pub fn content(&self, number: usize) -> Option<Content> {
        self.documents.iter().find(|(kept, _)| *kept == number).map(|(_, staged)| staged.content)
    }
}

fn failed(error: StoreError) -> BodyError {
    BodyError::Store(std::io::Error::other(error))
}

impl BodySource for Kept {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(async move {
            self.reading = None;
            let Some((number, staged)) = self.documents.pop_front() else { return Ok(None) };
            let reader = self.spool.store.open_staged(&staged).await.map_err(failed)?;
            // The file lives as long as its handle.
            self.reading = Some((reader, staged));
            Ok(Some(number))
        })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            match &mut self.reading {
                Some((reader, _)) => reader.next_chunk().await,
                None => Ok(None),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::MemoryDocuments;

    fn spool(bytes: u64) -> Spool {
        Spool::new(Arc::new(MemoryDocuments::default()), bytes)
    }

    /// Documents as lists of chunks; `breaks` says how it ends.
    struct Scripted {
        documents: VecDeque<(usize, Vec<Bytes>)>,
        current: VecDeque<Bytes>,
        end: End,
    }

    #[derive(Clone, Copy)]
    enum End {
        Well,
        Broken,
        Never,
    }

    impl Scripted {
        fn boxed(documents: &[Vec<Vec<u8>>], end: End) -> Vec<Box<dyn BodySource>> {
            let documents = documents.iter().map(|chunks| chunks.iter().cloned().map(Bytes::from).collect());
            let documents = documents.enumerate().collect();
            vec![Box::new(Self { documents, current: VecDeque::new(), end })]
        }
    }

    impl BodySource for Scripted {
        fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
            Box::pin(async move {
                match (self.documents.pop_front(), self.end) {
                    (Some((number, chunks)), _) => {
                        self.current = chunks.into();
                        Ok(Some(number))
                    }
                    (None, End::Well) => Ok(None),
                    (None, End::Broken) => Err(BodyError::Peer("broken".into())),
                    (None, End::Never) => std::future::pending().await,
                }
            })
        }

        fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
            Box::pin(async move { Ok(self.current.pop_front()) })
        }
    }

    async fn read(mut kept: Kept) -> Vec<(usize, Vec<u8>)> {
        let mut documents = Vec::new();
        while let Some(number) = kept.next_document().await.unwrap() {
            let mut bytes = Vec::new();
            while let Some(chunk) = kept.next_chunk().await.unwrap() {
                bytes.extend_from_slice(&chunk);
            }
            documents.push((number, bytes));
        }
        documents
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_came(
            documents in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5), 0..4),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let kept = runtime.block_on(async {
                let mut kept = spool(1 << 20).empty();
                kept.draw(Scripted::boxed(&documents, End::Well)).await.unwrap();
                read(kept).await
            });
            let expected: Vec<_> = documents.iter().map(|chunks| chunks.concat()).enumerate().collect();
            prop_assert_eq!(kept, expected);
        }
    }

    #[tokio::test]
    async fn what_came_whole_stays_when_the_rest_breaks_off() {
        let documents = [vec![b"one".to_vec()], vec![b"two".to_vec()]];
        let mut kept = spool(1 << 20).empty();
        let failure = kept.draw(Scripted::boxed(&documents, End::Broken)).await.unwrap_err();
        assert!(matches!(failure, PeerFailure::Garbage(_)));
        let size = |number| kept.content(number).map(|content| content.size);
        assert_eq!((size(0), size(1), size(2)), (Some(3), Some(3), None));
        assert_eq!(read(kept).await, [(0, b"one".to_vec()), (1, b"two".to_vec())]);
        // The same when it never ends and the time is up.
        let mut kept = spool(1 << 20).empty();
        let late = tokio::time::timeout(Duration::from_millis(20), kept.draw(Scripted::boxed(&documents, End::Never)));
        assert!(late.await.is_err());
        assert_eq!(read(kept).await.len(), 2);
    }

    #[tokio::test]
    async fn the_room_is_one_for_all_and_comes_back() {
        let spool = spool(2 * PLACE);
        let large = [vec![vec![7; PLACE as usize]]];
        let mut first = spool.empty();
        first.draw(Scripted::boxed(&large, End::Well)).await.unwrap();
        let mut second = spool.empty();
        let two = [large[0].clone(), large[0].clone()];
        assert!(matches!(second.draw(Scripted::boxed(&two, End::Well)).await, Err(PeerFailure::NoRoom)));
        drop((first, second));
        let mut third = spool.empty();
        assert!(third.draw(Scripted::boxed(&two, End::Well)).await.is_ok());
    }
}
