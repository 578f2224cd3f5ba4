//! Bodies that wait for their turn: a retrieve from several communities gives one community's
//! documents after the other's, and no community's answer stands still for another's reader.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::store::{DocumentReader, DocumentStore, StagedDocument, StagedWriter, StoreError};

/// Where bodies are kept until their turn.
#[derive(Clone)]
pub struct Spool {
    /// The store in whose staging they are kept.
    pub store: Arc<dyn DocumentStore>,
    /// How many bytes of one community's answer; what is beyond has to wait at its sender.
    pub bytes: u64,
}

/// A source that is drawn at once into one staged file. When its turn comes, the file is given
/// first and then what still comes, as it comes. Memory stays constant; dropping it ends the drawing
/// and discards the file.
pub struct Spooled {
    turn: CancellationToken,
    kept: Option<oneshot::Receiver<Result<Kept, BodyError>>>,
    live: mpsc::Receiver<Result<Event, BodyError>>,
    store: Arc<dyn DocumentStore>,
    reading: Option<Reading>,
    current: Current,
    _drawing: JoinSet<()>,
}

/// What a source gives, step by step.
enum Event {
    Document(usize),
    Chunk(Bytes),
    DocumentEnd,
    End,
}

/// What was drawn before the turn: the documents' bytes one behind the other.
struct Kept {
    staged: StagedDocument,
    /// Number and length of each document.
    documents: VecDeque<(usize, u64)>,
    /// Whether the last document is not at its end.
    open: bool,
}

struct Reading {
    kept: Kept,
    reader: Box<dyn DocumentReader>,
    /// What was read together with what is given now.
    ahead: Bytes,
    /// Bytes of the file that are still to be given.
    left: u64,
}

/// Where the rest of the current document is.
enum Current {
    None,
    File(u64),
    Live,
}

fn failed(error: StoreError) -> BodyError {
    BodyError::Store(std::io::Error::other(error))
}

/// What is being kept, until it is handed over.
struct Keeping {
    writer: Box<dyn StagedWriter>,
    documents: VecDeque<(usize, u64)>,
    open: bool,
    bytes: u64,
    to: oneshot::Sender<Result<Kept, BodyError>>,
}

impl Keeping {
    async fn keep(&mut self, event: Event) -> Result<(), StoreError> {
        match event {
            Event::Document(number) => {
                self.documents.push_back((number, 0));
                self.open = true;
            }
            Event::Chunk(chunk) => {
                let length = chunk.len() as u64;
                self.writer.write(chunk).await?;
                self.bytes += length;
                if let Some(document) = self.documents.back_mut() {
                    document.1 += length;
                }
            }
            Event::DocumentEnd => self.open = false,
            Event::End => {}
        }
        Ok(())
    }

    async fn hand_over(self) {
        let Self { writer, documents, open, to, .. } = self;
        let kept = writer.finish().await.map(|staged| Kept { staged, documents, open });
        // Nobody takes it when the answer is given up.
        let _ = to.send(kept.map_err(failed));
    }
}

async fn step(source: &mut dyn BodySource, in_document: bool) -> Result<Event, BodyError> {
    Ok(if in_document {
        source.next_chunk().await?.map_or(Event::DocumentEnd, Event::Chunk)
    } else {
        source.next_document().await?.map_or(Event::End, Event::Document)
    })
}

async fn draw(
    mut source: Box<dyn BodySource>,
    spool: Spool,
    turn: CancellationToken,
    to: oneshot::Sender<Result<Kept, BodyError>>,
    live: mpsc::Sender<Result<Event, BodyError>>,
) {
    let writer = match spool.store.stage().await {
        Ok(writer) => writer,
        Err(error) => {
            let _ = to.send(Err(failed(error)));
            return;
        }
    };
    let mut keeping = Some(Keeping { writer, documents: VecDeque::new(), open: false, bytes: 0, to });
    let mut in_document = false;
    loop {
        let event = {
            // One future through the turn: what has begun to come must not be lost.
            let mut step = pin!(step(&mut *source, in_document));
            tokio::select! {
                event = &mut step => event,
                () = turn.cancelled(), if keeping.is_some() => {
                    if let Some(keeping) = keeping.take() {
                        keeping.hand_over().await;
                    }
                    step.await
                }
            }
        };
        in_document = matches!(event, Ok(Event::Document(_) | Event::Chunk(_)));
        let last = matches!(event, Ok(Event::End) | Err(_));
        if let Some(full) = keeping.take_if(|keeping| last || keeping.bytes >= spool.bytes) {
            full.hand_over().await;
        }
        match (keeping.as_mut(), event) {
            (Some(kept), Ok(event)) => {
                if let Err(error) = kept.keep(event).await {
                    if let Some(keeping) = keeping.take() {
                        let _ = keeping.to.send(Err(failed(error)));
                    }
                    return;
                }
            }
            (_, event) => {
                if live.send(event).await.is_err() || last {
                    return;
                }
            }
        }
    }
}

impl Spooled {
    /// Begins to draw.
    pub fn new(source: Box<dyn BodySource>, spool: &Spool) -> Self {
        let (turn, mut drawing) = (CancellationToken::new(), JoinSet::new());
        let (to, kept) = oneshot::channel();
        let (sender, live) = mpsc::channel(1);
        drawing.spawn(draw(source, spool.clone(), turn.clone(), to, sender));
        Self {
            turn,
            kept: Some(kept),
            live,
            store: Arc::clone(&spool.store),
            reading: None,
            current: Current::None,
            _drawing: drawing,
        }
    }

    /// Takes its turn, if it has not.
    async fn begin(&mut self) -> Result<(), BodyError> {
        if let Some(kept) = self.kept.take() {
            self.turn.cancel();
            let kept = kept.await.map_err(|_| gone())??;
            let reader = self.store.open_staged(&kept.staged).await.map_err(failed)?;
            let left = kept.documents.iter().map(|(_, length)| length).sum();
            self.reading = Some(Reading { kept, reader, ahead: Bytes::new(), left });
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<Event, BodyError> {
        self.live.recv().await.unwrap_or_else(|| Err(gone()))
    }

    async fn document(&mut self) -> Result<Option<usize>, BodyError> {
        while self.chunk().await?.is_some() {}
        self.begin().await?;
        if let Some((number, length)) = self.reading.as_mut().and_then(|reading| reading.kept.documents.pop_front()) {
            self.current = Current::File(length);
            return Ok(Some(number));
        }
        self.reading = None;
        match self.event().await? {
            Event::Document(number) => {
                self.current = Current::Live;
                Ok(Some(number))
            }
            Event::Chunk(_) | Event::DocumentEnd | Event::End => Ok(None),
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let (Current::File(left), Some(reading)) = (&mut self.current, &mut self.reading) {
            if *left > 0 {
                let chunk = reading.up_to(*left).await?;
                *left -= chunk.len() as u64;
                return Ok(Some(chunk));
            }
            let goes_on = reading.kept.open && reading.kept.documents.is_empty();
            self.current = if goes_on { Current::Live } else { Current::None };
        }
        if !matches!(self.current, Current::Live) {
            return Ok(None);
        }
        match self.event().await? {
            Event::Chunk(chunk) => Ok(Some(chunk)),
            Event::Document(_) | Event::DocumentEnd | Event::End => {
                self.current = Current::None;
                Ok(None)
            }
        }
    }
}

fn gone() -> BodyError {
    BodyError::Peer("its documents could not be kept until their turn".into())
}

impl Reading {
    async fn up_to(&mut self, most: u64) -> Result<Bytes, BodyError> {
        if self.ahead.is_empty() {
            let short = || BodyError::Damaged("a spooled document is shorter than it was".into());
            self.ahead = self.reader.next_chunk().await?.ok_or_else(short)?;
        }
        let take = usize::try_from(most).unwrap_or(usize::MAX).min(self.ahead.len());
        let chunk = self.ahead.split_to(take);
        self.left -= chunk.len() as u64;
        // The end of the file is where its checksum is compared: its last byte is not given before.
        if self.left == 0 && self.reader.next_chunk().await?.is_some() {
            return Err(BodyError::Damaged("a spooled document is longer than it was".into()));
        }
        Ok(chunk)
    }
}

impl BodySource for Spooled {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(self.document())
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(self.chunk())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDocuments;
    use proptest::prelude::*;

    type Script = Vec<Vec<Vec<u8>>>;

    /// Documents as lists of chunks. Each step waits for a permit, if there are permits; the end may
    /// be an error, and is told.
    struct Given {
        documents: VecDeque<VecDeque<Vec<u8>>>,
        number: usize,
        current: VecDeque<Vec<u8>>,
        breaks: bool,
        permits: Option<Arc<tokio::sync::Semaphore>>,
        ended: Option<oneshot::Sender<()>>,
    }

    impl Given {
        fn new(documents: Script) -> Self {
            let documents = documents.into_iter().map(VecDeque::from).collect();
            Self { documents, number: 0, current: VecDeque::new(), breaks: false, permits: None, ended: None }
        }

        async fn wait(&self) {
            if let Some(permits) = &self.permits {
                permits.acquire().await.unwrap().forget();
            }
        }
    }

    impl BodySource for Given {
        fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
            Box::pin(async move {
                self.wait().await;
                let Some(next) = self.documents.pop_front() else {
                    if let Some(ended) = self.ended.take() {
                        let _ = ended.send(());
                    }
                    return if self.breaks { Err(BodyError::Peer("gone".into())) } else { Ok(None) };
                };
                self.current = next;
                self.number += 1;
                Ok(Some(self.number - 1))
            })
        }

        fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
            Box::pin(async move {
                self.wait().await;
                Ok(self.current.pop_front().map(Bytes::from))
            })
        }
    }

    fn spool(bytes: u64) -> Spool {
        Spool { store: Arc::new(MemoryDocuments::default()), bytes }
    }

    fn script(documents: &[&[&str]]) -> Script {
        documents.iter().map(|chunks| chunks.iter().map(|chunk| chunk.as_bytes().to_vec()).collect()).collect()
    }

    async fn whole(source: &mut Spooled) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = source.next_chunk().await.unwrap() {
            all.extend_from_slice(&chunk);
        }
        all
    }

    #[tokio::test]
    async fn a_source_is_drawn_to_its_end_before_anybody_reads_it() {
        let (sender, ended) = oneshot::channel();
        let mut given = Given::new(script(&[&["one", " and more"], &[], &["three"]]));
        given.ended = Some(sender);
        let mut spooled = Spooled::new(Box::new(given), &spool(u64::MAX));
        ended.await.unwrap();
        assert_eq!(spooled.next_document().await.unwrap(), Some(0));
        assert_eq!(whole(&mut spooled).await, b"one and more");
        assert_eq!(spooled.next_document().await.unwrap(), Some(1));
        assert_eq!(whole(&mut spooled).await, b"");
        assert_eq!(spooled.next_document().await.unwrap(), Some(2));
        assert_eq!(whole(&mut spooled).await, b"three");
        assert_eq!(spooled.next_document().await.unwrap(), None);
    }

    #[tokio::test]
    async fn in_its_turn_bytes_are_given_as_they_come() {
        let permits = Arc::new(tokio::sync::Semaphore::new(2));
        let mut given = Given::new(script(&[&["first", "second"]]));
        given.permits = Some(Arc::clone(&permits));
        let mut spooled = Spooled::new(Box::new(given), &spool(u64::MAX));
        // The document and its first chunk have come; the source stands still at the second.
        while permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(spooled.next_document().await.unwrap(), Some(0));
        assert_eq!(spooled.next_chunk().await.unwrap().unwrap(), "first");
        permits.add_permits(100);
        assert_eq!(whole(&mut spooled).await, b"second");
        assert_eq!(spooled.next_document().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_source_that_breaks_off_breaks_in_its_turn() {
        let mut given = Given::new(script(&[&["one"]]));
        given.breaks = true;
        let mut spooled = Spooled::new(Box::new(given), &spool(u64::MAX));
        assert_eq!(spooled.next_document().await.unwrap(), Some(0));
        assert_eq!(whole(&mut spooled).await, b"one");
        assert!(matches!(spooled.next_document().await, Err(BodyError::Peer(_))));
    }

    #[tokio::test]
    async fn no_more_is_kept_than_is_allowed() {
        let permits = Arc::new(tokio::sync::Semaphore::new(1000));
        let mut given = Given::new(vec![vec![vec![b'x'; 10]; 100]]);
        given.permits = Some(Arc::clone(&permits));
        let mut spooled = Spooled::new(Box::new(given), &spool(30));
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        // The document, three chunks kept, one in the channel, one before it.
        assert_eq!(permits.available_permits(), 1000 - 6);
        assert_eq!(spooled.next_document().await.unwrap(), Some(0));
        assert_eq!(whole(&mut spooled).await.len(), 1000);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            documents in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5), 0..5),
            bytes in 0..200_u64,
            before in 0..40_usize,
            skipped in any::<u8>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let permits = Arc::new(tokio::sync::Semaphore::new(before));
                let mut given = Given::new(documents.clone());
                given.permits = Some(Arc::clone(&permits));
                let mut spooled = Spooled::new(Box::new(given), &spool(bytes));
                for _ in 0..before * 2 {
                    tokio::task::yield_now().await;
                }
                permits.add_permits(1000);
                for (number, document) in documents.iter().enumerate() {
                    assert_eq!(spooled.next_document().await.unwrap(), Some(number));
                    if skipped & (1 << number) == 0 {
                        assert_eq!(whole(&mut spooled).await, document.concat());
                    }
                }
                assert_eq!(spooled.next_document().await.unwrap(), None);
            });
        }
    }
}
