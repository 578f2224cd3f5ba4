//! A SOAP message coming in, from a client or as a peer's answer: root part first, documents
//! behind it, chunk by chunk, under limits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use crate::store::{DocumentReader, DocumentStore, StagedDocument, StoreError};
use crate::wire::mtom::{self, Event, MtomError, MultipartParams, MultipartReader, Packaging, PartHeaders};
use crate::wire::{soap, xml};

/// Bounds of one message; each has its name in the configuration's `[limits]`.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The envelope, without attachments.
    pub envelope_bytes: usize,
    /// One document.
    pub document_bytes: u64,
    /// The whole message.
    pub message_bytes: u64,
    /// Longest wait for the next bytes.
    pub idle: Duration,
    /// Bytes a second that must arrive, judged after five seconds of waiting.
    pub minimum_rate: u64,
    /// Structure of the XML.
    pub xml: xml::Limits,
    /// Structure of the multipart package.
    pub mtom: mtom::Limits,
    /// Memory for the envelopes of all messages together.
    pub room: EnvelopeRoom,
    /// Time for a whole envelope.
    pub envelope_time: Duration,
}

/// Memory that the envelopes of all messages share while they are read and worked on, so that many
/// large ones at once are told to come back rather than fill the machine. Small ones need no place
/// in it. What is read of an answer of a peer lives on after its envelope, bounded by
/// `limits.results`.
#[derive(Debug, Clone)]
pub struct EnvelopeRoom {
    places: Arc<Semaphore>,
    /// Blocks of envelopes that are done with: the next large one takes them, whichever thread it is on.
    spare: Arc<Mutex<Vec<BytesMut>>>,
}

/// Blocks that are kept for the next envelope at most.
const SPARE: usize = 64;

/// An envelope takes no place for so much, in bytes.
const SMALL: usize = 64 * 1024;

/// What one permit stands for, in bytes.
const PLACE: usize = 1024;

/// How long an envelope waits for its place.
const ROOM_WAIT: Duration = Duration::from_millis(500);

impl EnvelopeRoom {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        let places = Arc::new(Semaphore::new(bytes.div_ceil(PLACE).min(Semaphore::MAX_PERMITS)));
        Self { places, spare: Arc::default() }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty block.
    fn block(&self) -> BytesMut {
        let kept = self.spare().pop();
        kept.unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
    }

    /// Takes a block back.
    fn give_back(&self, mut block: BytesMut) {
        block.clear();
        let mut spare = self.spare();
        if block.capacity() >= BLOCK && spare.len() < SPARE {
            spare.push(block);
        }
    }

    /// How many places an envelope of that size has.
    fn places(bytes: usize) -> usize {
        bytes.saturating_sub(SMALL).div_ceil(PLACE)
    }

    async fn take(&self, places: usize) -> Result<OwnedSemaphorePermit, MessageError> {
        let places = u32::try_from(places).map_err(|_| MessageError::NoRoom)?;
        match timeout(ROOM_WAIT, Arc::clone(&self.places).acquire_many_owned(places)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(MessageError::NoRoom),
        }
    }
}

/// An envelope while it grows: in blocks, since one buffer that doubles would for a moment be three times as
/// large as what is in it.
struct Envelope {
    blocks: Vec<BytesMut>,
    length: usize,
    held: Option<OwnedSemaphorePermit>,
    room: EnvelopeRoom,
}

/// Bytes of a block.
const BLOCK: usize = 256 * 1024;

impl Envelope {
    fn new(room: &EnvelopeRoom) -> Self {
        Self { blocks: Vec::new(), length: 0, held: None, room: room.clone() }
    }

    async fn push(&mut self, chunk: &[u8], bounds: &Bounds) -> Result<(), MessageError> {
        let (before, after) = (self.length, self.length + chunk.len());
        if after > bounds.envelope_bytes {
            return Err(MessageError::TooLarge { what: "the envelope", limit: bounds.envelope_bytes as u64 });
        }
        // Counted by the whole, or many small chunks would take far more than they are.
        let more = EnvelopeRoom::places(after) - EnvelopeRoom::places(before);
        if more > 0 {
            let more = bounds.room.take(more).await?;
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        }
        self.length = after;
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = self.blocks.last().map_or(0, |block| BLOCK - block.len());
            if room == 0 {
                // The first one grows: most envelopes are small.
                let first = self.blocks.is_empty();
                self.blocks.push(if first {
                    BytesMut::with_capacity(rest.len().min(BLOCK))
                } else {
                    self.room.block()
                });
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            if let Some(block) = self.blocks.last_mut() {
                block.extend_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }

    /// The whole, and its place.
    fn whole(mut self) -> (Bytes, Option<OwnedSemaphorePermit>) {
        let whole = match self.blocks.len() {
            0 => Bytes::new(),
            // The common case copies nothing.
            1 => self.blocks.pop().unwrap_or_default().freeze(),
            _ => {
                let mut whole = BytesMut::with_capacity(self.length);
                self.blocks.iter().for_each(|block| whole.extend_from_slice(block));
                whole.freeze()
            }
        };
        (whole, self.held.take())
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        self.blocks.drain(..).for_each(|block| self.room.give_back(block));
    }
}

/// Why a message could not be received.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// More than a limit allows.
    #[error("{what} exceeds the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Too many large envelopes at once.
    #[error("too many large messages are under way; send it again in a moment")]
    NoRoom,
    /// Nothing, or next to nothing, arrived for too long.
    #[error("the message arrived too slowly")]
    TooSlow,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The Content-Type is no SOAP message's.
    #[error("Content-Type is no SOAP message's: {0}")]
    MediaType(MtomError),
    /// The multipart package is malformed.
    #[error(transparent)]
    Mtom(#[from] MtomError),
    /// The parts of the package do not make a message.
    #[error("{0}")]
    Package(&'static str),
    /// Spooling a part failed.
    #[error("keeping a part failed: {0}")]
    Store(#[from] StoreError),
}

impl MessageError {
    /// The SOAP fault that tells the sender.
    pub fn fault(&self) -> soap::Fault {
        let reason = format!("The message cannot be read: {self}.");
        match self {
            Self::TooLarge { .. } => soap::Fault::sender(reason).with_status(413),
            Self::NoRoom => soap::Fault::receiver(reason).with_status(503),
            Self::TooSlow => soap::Fault::sender(reason).with_status(408),
            Self::MediaType(_) => soap::Fault::sender(reason).with_status(415),
            Self::Broken(_) | Self::Package(_) | Self::Mtom(_) => soap::Fault::sender(reason),
            Self::Store(_) => soap::Fault::receiver("The message could not be kept; nothing was stored."),
        }
    }
}

type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Send>>;

/// The bytes of a message under time and size limits.
pub struct BodyStream {
    body: BoxBody,
    left: u64,
    limit: u64,
    idle: Duration,
    minimum_rate: u64,
    waited: Duration,
    received: u64,
    /// What its head says that comes; 0 if it says nothing.
    announced: u64,
    ended: bool,
}

/// How long a sender may be slow before its rate is judged.
const GRACE: Duration = Duration::from_secs(5);

impl BodyStream {
    /// Wraps a body.
    pub fn new<B>(body: B, bounds: &Bounds) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let announced = body.size_hint().exact().unwrap_or_default();
        Self {
            announced,
            body: Box::pin(body.map_err(Into::into)),
            left: bounds.message_bytes,
            limit: bounds.message_bytes,
            idle: bounds.idle,
            minimum_rate: bounds.minimum_rate,
            waited: Duration::ZERO,
            received: 0,
            ended: false,
        }
    }

    /// One under the same limits, of which nothing is left.
    fn ended(&self) -> Self {
        let nothing = http_body_util::Empty::<Bytes>::new().map_err(|never| match never {});
        Self {
            body: Box::pin(nothing),
            waited: Duration::ZERO,
            received: 0,
            announced: 0,
            ended: true,
            left: self.left,
            limit: self.limit,
            idle: self.idle,
            minimum_rate: self.minimum_rate,
        }
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// When the connection breaks or a limit is exceeded.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MessageError> {
        while !self.ended {
            let began = Instant::now();
            let frame = timeout(self.idle, self.body.frame()).await.map_err(|_| MessageError::TooSlow)?;
            // Only waiting counts: a slow reader of ours is not the sender's fault.
            self.waited += began.elapsed();
            let Some(frame) = frame else {
                self.ended = true;
                break;
            };
            let frame = frame.map_err(|error| MessageError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            self.received += data.len() as u64;
            if self.waited > GRACE && (self.received as f64) < self.waited.as_secs_f64() * self.minimum_rate as f64 {
                return Err(MessageError::TooSlow);
            }
            self.left = self
                .left
                .checked_sub(data.len() as u64)
                .ok_or(MessageError::TooLarge { what: "the message", limit: self.limit })?;
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads and discards what is left, so that a client that is still sending gets its answer
    /// rather than a reset. Gives up at the message's limits, and after as long as one silence
    /// may be: the answer must not wait for a sender that trickles.
    pub async fn drain(&mut self) {
        let idle = self.idle;
        let _ = timeout(idle, async { while let Ok(Some(_)) = self.next().await {} }).await;
    }
}

/// A message whose root part has been read.
pub struct Message {
    /// The envelope's bytes.
    pub root: Bytes,
    /// Whether it came as a multipart package; the answer follows suit.
    pub multipart: bool,
    /// What is behind the root part.
    pub attachments: Attachments,
    /// Its place among the envelopes, to be kept as long as the envelope or what was read of it.
    pub held: Option<OwnedSemaphorePermit>,
}

/// The parts behind the root part.
pub struct Attachments {
    body: BodyStream,
    reader: Option<MultipartReader>,
    /// Parts that came before the root part, spooled.
    early: VecDeque<(PartHeaders, StagedDocument)>,
    spool: Option<Arc<dyn DocumentStore>>,
    current: Current,
    document_bytes: u64,
    in_part: u64,
    /// Told when there is nothing more to read of the message, and whether that is its end.
    ended: Option<oneshot::Sender<bool>>,
    /// Lives as long.
    kept: Option<Box<dyn Send>>,
}

impl Drop for Attachments {
    fn drop(&mut self) {
        self.tell(self.reader.is_none());
    }
}

enum Current {
    None,
    Spooled(Box<dyn DocumentReader>, #[allow(dead_code)] StagedDocument), // The file lives as long as its handle.
    Live,
}

/// Reads a message up to its root part. `spool` keeps parts that come before it.
///
/// # Errors
/// When it is no SOAP message or exceeds a limit.
pub async fn receive(
    content_type: &str,
    mut body: BodyStream,
    bounds: &Bounds,
    spool: Option<Arc<dyn DocumentStore>>,
) -> Result<Message, MessageError> {
    let params = match Packaging::parse(content_type).map_err(MessageError::MediaType)? {
        Packaging::Simple { .. } => {
            // What is announced to be too large need not be read first.
            if body.announced > bounds.envelope_bytes as u64 {
                return Err(MessageError::TooLarge { what: "the envelope", limit: bounds.envelope_bytes as u64 });
            }
            let whole = timeout(bounds.envelope_time, collect(&mut body, bounds)).await;
            let (root, held) = whole.map_err(|_| MessageError::TooSlow)??;
            let attachments = Attachments::none(body, bounds);
            return Ok(Message { root, multipart: false, attachments, held });
        }
        Packaging::Multipart(params) => params,
    };
    let mut reader = MultipartReader::new(params.boundary.as_bytes(), bounds.mtom.clone());
    let mut early = VecDeque::new();
    let (root, held) = read_root(&mut reader, &mut body, &params, bounds, spool.as_ref(), &mut early).await?;
    Ok(Message {
        root,
        multipart: true,
        attachments: Attachments {
            body,
            reader: Some(reader),
            early,
            spool,
            current: Current::None,
            document_bytes: bounds.document_bytes,
            in_part: 0,
            ended: None,
            kept: None,
        },
        held,
    })
}

async fn collect(
    body: &mut BodyStream,
    bounds: &Bounds,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), MessageError> {
    let Some(first) = body.next().await? else { return Ok((Bytes::new(), None)) };
    let second = body.next().await?;
    if second.is_none() && first.len() <= SMALL.min(bounds.envelope_bytes) {
        // The common case copies nothing.
        return Ok((first, None));
    }
    let mut envelope = Envelope::new(&bounds.room);
    envelope.push(&first, bounds).await?;
    let mut next = second;
    while let Some(chunk) = next {
        envelope.push(&chunk, bounds).await?;
        next = body.next().await?;
    }
    Ok(envelope.whole())
}

/// The next event, feeding the reader as needed; an end of input without the closing boundary is
/// the reader's error.
async fn event(reader: &mut MultipartReader, body: &mut BodyStream) -> Result<Event, MessageError> {
    loop {
        if let Some(event) = reader.next_event()? {
            return Ok(event);
        }
        match body.next().await? {
            Some(chunk) => reader.feed(chunk),
            None => {
                reader.finish()?;
                match reader.next_event()? {
                    Some(event) => return Ok(event),
                    None => return Ok(Event::End),
                }
            }
        }
    }
}

async fn read_root(
    reader: &mut MultipartReader,
    body: &mut BodyStream,
    params: &MultipartParams,
    bounds: &Bounds,
    spool: Option<&Arc<dyn DocumentStore>>,
    early: &mut VecDeque<(PartHeaders, StagedDocument)>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), MessageError> {
    loop {
        match event(reader, body).await? {
            Event::PartStart(headers) if params.is_root(&headers) => {
                let whole = async {
                    let mut root = Envelope::new(&bounds.room);
                    while let Event::Data(data) = event(reader, body).await? {
                        root.push(&data, bounds).await?;
                    }
                    Ok(root.whole())
                };
                return timeout(bounds.envelope_time, whole).await.unwrap_or(Err(MessageError::TooSlow));
            }
            Event::PartStart(headers) => {
                let Some(spool) = spool else {
                    return Err(MessageError::Package(
                        "a part comes before the root part, and there is nowhere to keep it",
                    ));
                };
                let mut writer = spool.stage().await?;
                let mut size = 0;
                while let Event::Data(data) = event(reader, body).await? {
                    size += data.len() as u64;
                    if size > bounds.document_bytes {
                        return Err(MessageError::TooLarge { what: "a document", limit: bounds.document_bytes });
                    }
                    writer.write(data).await?;
                }
                early.push_back((headers, writer.finish().await?));
            }
            Event::End => {
                return Err(MessageError::Package("the package has no root part: start names none of its parts"));
            }
            Event::Data(_) | Event::PartEnd => {}
        }
    }
}

impl Attachments {
    fn none(body: BodyStream, bounds: &Bounds) -> Self {
        Self {
            body,
            reader: None,
            early: VecDeque::new(),
            spool: None,
            current: Current::None,
            document_bytes: bounds.document_bytes,
            in_part: 0,
            ended: None,
            kept: None,
        }
    }

    fn tell(&mut self, whole: bool) {
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(whole);
        }
    }

    /// Tells when there is nothing more to read of the message: true if it was read to its end, false if
    /// it was let go before.
    pub fn tell_end(&mut self, ended: oneshot::Sender<bool>) {
        self.ended = Some(ended);
        if self.reader.is_none() {
            self.tell(true);
        }
    }

    /// Nothing behind the root part is wanted: whoever waits for the message's end need not wait on.
    pub fn suffice(&mut self) {
        self.tell(true);
    }

    /// Keeps something alive as long as the message may be read.
    pub fn keep(&mut self, kept: impl Send + 'static) {
        self.kept = Some(Box::new(kept));
    }

    /// Of a message without any.
    pub fn empty(bounds: &Bounds) -> Self {
        Self::none(BodyStream::new(http_body_util::Empty::new(), bounds), bounds)
    }

    /// Takes all of it; nothing is left here.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let nothing = Self {
            body: self.body.ended(),
            reader: None,
            early: VecDeque::new(),
            spool: None,
            current: Current::None,
            document_bytes: self.document_bytes,
            in_part: 0,
            ended: None,
            kept: None,
        };
        std::mem::replace(self, nothing)
    }

    /// Moves to the next part; none at the end of the package.
    ///
    /// # Errors
    /// When the package is malformed, broken off, or exceeds a limit.
    pub async fn next_part(&mut self) -> Result<Option<PartHeaders>, MessageError> {
        while self.next_chunk().await?.is_some() {}
        self.in_part = 0;
        if let Some((headers, staged)) = self.early.pop_front()
            && let Some(spool) = &self.spool
        {
            let reader = spool.open_staged(&staged).await?;
            self.current = Current::Spooled(reader, staged);
            return Ok(Some(headers));
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        loop {
            match event(reader, &mut self.body).await? {
                Event::PartStart(headers) => {
                    self.current = Current::Live;
                    return Ok(Some(headers));
                }
                Event::End => {
                    self.reader = None;
                    self.tell(true);
                    return Ok(None);
                }
                Event::Data(_) | Event::PartEnd => {}
            }
        }
    }

    /// The next bytes of the part moved to; none at its end.
    ///
    /// # Errors
    /// As [`Self::next_part`].
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, MessageError> {
        match &mut self.current {
            Current::None => Ok(None),
            Current::Spooled(reader, _) => {
                let chunk = reader.next_chunk().await.map_err(|error| MessageError::Broken(error.to_string()))?;
                if chunk.is_none() {
                    self.current = Current::None;
                }
                Ok(chunk)
            }
            Current::Live => {
                let Some(reader) = &mut self.reader else { return Ok(None) };
                match event(reader, &mut self.body).await? {
                    Event::Data(data) => {
                        self.in_part += data.len() as u64;
                        if self.in_part > self.document_bytes {
                            return Err(MessageError::TooLarge { what: "a document", limit: self.document_bytes });
                        }
                        Ok(Some(data))
                    }
                    _ => {
                        self.current = Current::None;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Discards what is left.
    pub async fn drain(&mut self) {
        self.body.drain().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    const SIMPLE: &str = "application/soap+xml";

    fn bounds(envelope_bytes: usize, room: usize) -> Bounds {
        Bounds {
            envelope_bytes,
            document_bytes: 1 << 20,
            message_bytes: 1 << 20,
            idle: Duration::from_secs(1),
            minimum_rate: 0,
            xml: xml::Limits::default(),
            mtom: mtom::Limits::default(),
            room: EnvelopeRoom::new(room),
            envelope_time: Duration::from_secs(10),
        }
    }

    async fn read(size: usize, bounds: &Bounds) -> Result<Message, MessageError> {
        let body = BodyStream::new(Full::new(Bytes::from(vec![b'x'; size])), bounds);
        receive(SIMPLE, body, bounds, None).await
    }

    #[tokio::test]
    async fn an_envelope_is_what_came_however_it_was_cut() {
        let bounds = bounds(4 << 20, 8 << 20);
        let octets: Vec<u8> = (0..(2 * BLOCK + 4321)).map(|n| (n % 251) as u8).collect();
        for piece in [1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let mut envelope = Envelope::new(&bounds.room);
            for chunk in octets.chunks(piece) {
                envelope.push(chunk, &bounds).await.unwrap();
            }
            assert!(envelope.whole().0 == octets, "pieces of {piece}");
        }
        assert!(Envelope::new(&bounds.room).whole().0.is_empty());
    }

    #[tokio::test]
    async fn large_envelopes_share_their_room_and_small_ones_need_none() {
        let bounds = bounds(256 * 1024, 128 * 1024);
        let first = read(SMALL + 100 * 1024, &bounds).await.unwrap();
        assert_eq!(first.root.len(), SMALL + 100 * 1024);
        let refused = read(SMALL + 100 * 1024, &bounds).await.err().unwrap();
        assert!(matches!(refused, MessageError::NoRoom));
        assert_eq!(refused.fault().http_status(soap::Version::V12), 503);
        assert!(read(SMALL, &bounds).await.is_ok());
        drop(first);
        assert!(read(SMALL + 100 * 1024, &bounds).await.is_ok());
    }

    #[tokio::test]
    async fn what_was_refused_gives_its_room_back() {
        let bounds = bounds(256 * 1024, 256 * 1024);
        for _ in 0..8 {
            assert!(matches!(read(256 * 1024 + 1, &bounds).await, Err(MessageError::TooLarge { .. })));
            let chunks = [Ok(Bytes::from(vec![b'x'; 200 * 1024])), Err(std::io::Error::other("gone"))];
            let chunks = chunks.map(|chunk| chunk.map(http_body::Frame::data));
            let body = BodyStream::new(StreamBody::new(futures_util::stream::iter(chunks)), &bounds);
            assert!(matches!(receive(SIMPLE, body, &bounds, None).await, Err(MessageError::Broken(_))));
        }
        assert!(read(256 * 1024, &bounds).await.is_ok());
    }

    #[tokio::test]
    async fn an_envelope_that_trickles_is_given_up() {
        let bounds = Bounds { envelope_time: Duration::from_millis(200), ..bounds(64 * 1024, 0) };
        let chunks = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"x"))), n + 1))
        });
        let chunks = Box::pin(chunks);
        let received = receive(SIMPLE, BodyStream::new(StreamBody::new(chunks), &bounds), &bounds, None).await;
        assert!(matches!(received, Err(MessageError::TooSlow)));
    }

    #[tokio::test]
    async fn many_small_chunks_take_no_more_than_they_are() {
        let bounds = bounds(80 * 1024, 16 * 1024);
        let chunk = |_| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"xxxxxxx")));
        let chunks = futures_util::stream::iter((0..80 * 1024 / 7).map(chunk));
        let body = BodyStream::new(StreamBody::new(chunks), &bounds);
        assert!(receive(SIMPLE, body, &bounds, None).await.is_ok());
    }
}
