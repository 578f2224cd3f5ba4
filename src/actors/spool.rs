//! Bodies that wait for their turn: a retrieve from several communities gives one community's
//! documents after the other's, and no community waits longer to be read than its own limits let it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::store::{DocumentReader, DocumentStore, StagedDocument, StoreError};

/// A source that is drawn at once into one staged file, and given from there in its turn. Memory
/// stays constant; dropping it ends the drawing and discards the file.
pub struct Spooled {
    drawing: JoinSet<Result<Drawn, BodyError>>,
    store: Arc<dyn DocumentStore>,
    reading: Option<Reading>,
}

/// What a source gave: its documents' bytes one behind the other.
struct Drawn {
    staged: StagedDocument,
    /// Number and length of each document that came whole.
    documents: VecDeque<(usize, u64)>,
    /// Why no more came, if not because it was all.
    broken: Option<BodyError>,
}

struct Reading {
    drawn: Drawn,
    reader: Box<dyn DocumentReader>,
    /// What was read of the next document together with the end of this one.
    ahead: Bytes,
    /// Bytes of the current document still to give.
    left: u64,
}

impl Spooled {
    /// Begins to draw.
    pub fn new(source: Box<dyn BodySource>, store: Arc<dyn DocumentStore>) -> Self {
        let mut drawing = JoinSet::new();
        let to = Arc::clone(&store);
        drawing.spawn(async move { draw(source, &*to).await });
        Self { drawing, store, reading: None }
    }

    async fn reading(&mut self) -> Result<&mut Reading, BodyError> {
        let reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                let gone = || BodyError::Peer("its documents could not be kept until their turn".into());
                let drawn = self.drawing.join_next().await.and_then(Result::ok).ok_or_else(gone)??;
                let reader = self.store.open_staged(&drawn.staged).await.map_err(failed)?;
                Reading { drawn, reader, ahead: Bytes::new(), left: 0 }
            }
        };
        Ok(self.reading.insert(reading))
    }
}

fn failed(error: StoreError) -> BodyError {
    BodyError::Store(std::io::Error::other(error))
}

async fn draw(mut source: Box<dyn BodySource>, store: &dyn DocumentStore) -> Result<Drawn, BodyError> {
    let mut writer = store.stage().await.map_err(failed)?;
    let mut documents = VecDeque::new();
    let broken = loop {
        let number = match source.next_document().await {
            Ok(Some(number)) => number,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        let mut length = 0;
        let ended = loop {
            match source.next_chunk().await {
                Ok(Some(chunk)) => {
                    length += chunk.len() as u64;
                    writer.write(chunk).await.map_err(failed)?;
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if ended.is_some() {
            break ended;
        }
        documents.push_back((number, length));
    };
    Ok(Drawn { staged: writer.finish().await.map_err(failed)?, documents, broken })
}

impl Reading {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.ahead.is_empty() {
            let short = || BodyError::Damaged("a spooled document is shorter than it was".into());
            self.ahead = self.reader.next_chunk().await?.ok_or_else(short)?;
        }
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.ahead.len());
        let chunk = self.ahead.split_to(take);
        self.left -= chunk.len() as u64;
        // The end of the file is where its checksum is compared: the last document may not end before.
        if self.left == 0
            && self.drawn.documents.is_empty()
            && self.drawn.broken.is_none()
            && self.reader.next_chunk().await?.is_some()
        {
            return Err(BodyError::Damaged("a spooled document is longer than it was".into()));
        }
        Ok(Some(chunk))
    }
}

impl BodySource for Spooled {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(async move {
            let reading = self.reading().await?;
            while reading.next_chunk().await?.is_some() {}
            match reading.drawn.documents.pop_front() {
                Some((number, length)) => {
                    reading.left = length;
                    Ok(Some(number))
                }
                None => reading.drawn.broken.take().map_or(Ok(None), Err),
            }
        })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move { self.reading().await?.next_chunk().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDocuments;
    use tokio::sync::oneshot;

    /// Documents as lists of chunks; tells when it has given its last.
    struct Given {
        documents: VecDeque<VecDeque<&'static [u8]>>,
        number: usize,
        current: VecDeque<&'static [u8]>,
        breaks: bool,
        ended: Option<oneshot::Sender<()>>,
    }

    impl Given {
        fn new(documents: &[&[&'static [u8]]], breaks: bool) -> (Box<Self>, oneshot::Receiver<()>) {
            let (ended, told) = oneshot::channel();
            let documents = documents.iter().map(|chunks| chunks.iter().copied().collect()).collect();
            let given = Self { documents, number: 0, current: VecDeque::new(), breaks, ended: Some(ended) };
            (Box::new(given), told)
        }
    }

    impl BodySource for Given {
        fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
            Box::pin(async move {
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
            Box::pin(async move { Ok(self.current.pop_front().map(Bytes::from_static)) })
        }
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
        let (given, ended) = Given::new(&[&[b"one", b" and more"], &[], &[b"three"]], false);
        let mut spooled = Spooled::new(given, Arc::new(MemoryDocuments::default()));
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
    async fn what_is_not_read_is_skipped() {
        let (given, _ended) = Given::new(&[&[b"one"], &[b"two"]], false);
        let mut spooled = Spooled::new(given, Arc::new(MemoryDocuments::default()));
        assert_eq!(spooled.next_document().await.unwrap(), Some(0));
        assert_eq!(spooled.next_document().await.unwrap(), Some(1));
        assert_eq!(whole(&mut spooled).await, b"two");
    }

    #[tokio::test]
    async fn a_source_that_breaks_off_breaks_in_its_turn() {
        let (given, _ended) = Given::new(&[&[b"one"]], true);
        let mut spooled = Spooled::new(given, Arc::new(MemoryDocuments::default()));
        assert_eq!(spooled.next_document().await.unwrap(), Some(0));
        assert_eq!(whole(&mut spooled).await, b"one");
        assert!(matches!(spooled.next_document().await, Err(BodyError::Peer(_))));
    }
}
