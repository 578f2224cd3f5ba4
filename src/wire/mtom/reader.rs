//! From the bytes of a multipart/related body to its parts (RFC 2046 §5.1).

use super::content_type::{MediaType, check_boundary, is_token};
use super::transfer::Decoder;
use super::{ContentId, Event, Limits, MtomError, PartHeaders, TransferEncoding, printable};
use bytes::Bytes;
use memchr::{memchr, memmem, memrchr};
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Takes a multipart/related body apart, fed with chunks cut anywhere (RFC 2046 §5.1.1).
///
/// [`feed`](Self::feed) a chunk, ask for [`next_event`](Self::next_event) until it has none, and
/// so on; then [`finish`](Self::finish). A delimiter counts at the start of a line only, with
/// nothing but white space behind it on its line (or `--`, which closes the message).
///
/// ```
/// # use causeway::wire::mtom::{Event, Limits, MultipartReader};
/// # use bytes::Bytes;
/// let mut reader = MultipartReader::new(b"B", Limits::default());
/// let mut document = Vec::new();
/// for chunk in ["--B\r\nContent-ID: <a@b>\r\n\r", "\n%PDF\r", "\n--B--\r\n"] {
///     reader.feed(Bytes::from(chunk));
///     while let Some(event) = reader.next_event()? {
///         if let Event::Data(bytes) = event {
///             document.extend_from_slice(&bytes);
///         }
///     }
/// }
/// reader.finish()?;
/// assert_eq!(document, b"%PDF");
/// # Ok::<(), causeway::wire::mtom::MtomError>(())
/// ```
pub struct MultipartReader {
    limits: Limits,
    // CRLF "--" boundary, or from its LF on where the message turns out to be an LF-only one.
    // CR, or that LF, occurs at its front only: after a mismatch a match can begin no earlier
    // than at the byte that did not fit.
    delimiter: Bytes,
    finder: memmem::Finder<'static>,
    line_break: usize,

    input: VecDeque<Bytes>,
    // bytes taken from the input, for the people who read errors
    offset: u64,
    // made, not yet asked for
    events: VecDeque<Event>,
    state: State,
    failure: Option<MtomError>,

    // the line being read, outside of bodies; what follows a boundary, inside
    line: Vec<u8>,
    preamble: usize,
    // of the current part, or of the last one before
    part: usize,
    headers: Headers,
    decoder: Decoder,
    // Content-IDs seen. Their hashes will do: that two among a thousand meet by chance under 64
    // random bits is less likely than a flipped bit
    ids: HashSet<u64>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Preamble,
    Headers,
    Body {
        // bytes of the delimiter already met
        matched: usize,
        // the line break in front of the delimiter was the empty line that ended the headers
        opening: bool,
    },
    /// In a body, behind the whole of a delimiter: is the line one?
    Delimiter {
        opening: bool,
    },
    Done,
}

#[derive(Debug, Default)]
struct Headers {
    bytes: usize,
    count: usize,
    // the header being read, unfolded
    field: Vec<u8>,
    content_id: Option<ContentId>,
    content_type: Option<String>,
    transfer_encoding: Option<TransferEncoding>,
}

impl MultipartReader {
    /// A reader for messages with that boundary; an invalid one is the first event's error.
    pub fn new(boundary: &[u8], limits: Limits) -> Self {
        let delimiter = Bytes::from([b"\r\n--", boundary].concat());
        Self {
            failure: check_boundary(boundary, limits.boundary_len).err(),
            limits,
            finder: memmem::Finder::new(&delimiter).into_owned(),
            delimiter,
            line_break: 2,
            input: VecDeque::new(),
            offset: 0,
            events: VecDeque::new(),
            state: State::Preamble,
            line: Vec::new(),
            preamble: 0,
            part: 0,
            headers: Headers::default(),
            decoder: Decoder::default(),
            ids: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Adds the next chunk of the body. It is kept until its events have been asked for, so drain
    /// the reader before feeding it again.
    pub fn feed(&mut self, chunk: Bytes) {
        let wanted = self.failure.is_none() && !matches!(self.state, State::Done);
        if wanted && !chunk.is_empty() {
            self.input.push_back(chunk);
        }
    }

    /// The next event, or nothing until more is fed. An error is final and comes again.
    pub fn next_event(&mut self) -> Result<Option<Event>, MtomError> {
        loop {
            if let Some(failure) = &self.failure {
                return Err(failure.clone());
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// The body has ended. An error if it was cut short: no closing delimiter, no whole message.
    ///
    /// Events not asked for yet can still be had afterwards.
    pub fn finish(&mut self) -> Result<(), MtomError> {
        self.end(false)
    }

    /// Like [`finish`](Self::finish), for peers known to leave out the closing delimiter: the end
    /// of the body then ends the last part. Drain the remaining events, and make sure that every
    /// referenced part came and has the size and hash stated for it.
    pub fn finish_lenient(&mut self) -> Result<(), MtomError> {
        self.end(true)
    }

    /// Bytes held at the moment: chunks not yet drained, and unfinished lines.
    pub fn buffered(&self) -> usize {
        let events = self.events.iter().map(|event| match event {
            Event::Data(bytes) => bytes.len(),
            _ => 0,
        });
        self.input.iter().map(Bytes::len).chain(events).sum::<usize>() + self.line.len() + self.headers.field.len()
    }

    fn end(&mut self, lenient: bool) -> Result<(), MtomError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let ended = loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break self.end_of_input(lenient),
                Err(error) => break Err(error),
            }
        };
        ended.map_err(|error| self.fail(error))
    }

    fn end_of_input(&mut self, lenient: bool) -> Result<(), MtomError> {
        let place = match self.state {
            State::Done => return Ok(()),
            State::Body { matched, opening } if lenient => {
                self.not_a_delimiter(matched, opening)?;
                return self.close();
            }
            State::Delimiter { .. } if lenient => return self.close(),
            State::Preamble => match self.delimiter_line() {
                Some(DelimiterLine::Close) => {
                    return Err(MtomError::NoParts { offset: self.offset });
                }
                Some(DelimiterLine::Open { .. }) => "in a delimiter",
                None => "before the first delimiter",
            },
            State::Headers => "in the part headers",
            State::Body { .. } => "in the content",
            State::Delimiter { .. } => "in a delimiter",
        };
        Err(MtomError::Truncated { part: self.part, offset: self.offset, place })
    }

    fn fail(&mut self, error: MtomError) -> MtomError {
        self.input.clear();
        self.events.clear();
        self.line = Vec::new();
        self.headers = Headers::default();
        self.failure = Some(error.clone());
        error
    }

    /// One step forward; false if that takes more input.
    fn step(&mut self) -> Result<bool, MtomError> {
        match self.state {
            State::Preamble => self.preamble(),
            State::Headers => self.header_line(),
            State::Body { matched, opening } => self.body(matched, opening),
            State::Delimiter { opening } => self.delimiter(opening),
            State::Done => Ok(false),
        }
    }

    /// Takes `count` bytes, which the caller has seen, from the first chunk.
    fn take(&mut self, count: usize) -> Bytes {
        let Some(chunk) = self.input.front_mut() else {
            return Bytes::new();
        };
        let taken = chunk.split_to(count.min(chunk.len()));
        if chunk.is_empty() {
            self.input.pop_front();
        }
        self.offset += taken.len() as u64;
        taken
    }

    /// Completes `line` up to and with its LF: `Some(true)` done, `Some(false)` more input needed,
    /// `None` longer than the limit.
    fn read_line(&mut self, limit: usize) -> Option<bool> {
        while let Some(chunk) = self.input.front() {
            let found = memchr(b'\n', chunk);
            let count = found.map_or(chunk.len(), |at| at + 1);
            let fits = self.line.len().saturating_add(count) <= limit;
            let taken = self.take(count.min(limit.saturating_sub(self.line.len())));
            self.line.extend_from_slice(&taken);
            if !fits {
                return None;
            }
            if found.is_some() {
                return Some(true);
            }
        }
        Some(false)
    }

    /// What the line is, if it is a delimiter.
    fn delimiter_line(&self) -> Option<DelimiterLine> {
        let after = self.line.strip_prefix(self.delimiter.get(self.line_break..)?)?;
        if after.starts_with(b"--") {
            return Some(DelimiterLine::Close);
        }
        let (padding, bare_lf) = match after {
            [padding @ .., b'\r', b'\n'] => (padding, false),
            [padding @ .., b'\n'] => (padding, true),
            unfinished => (unfinished, false),
        };
        let blank = padding.iter().all(|b| matches!(b, b' ' | b'\t'));
        blank.then_some(DelimiterLine::Open { bare_lf })
    }

    fn preamble(&mut self) -> Result<bool, MtomError> {
        let allowed = self.limits.preamble_bytes;
        // the delimiter line itself is no preamble
        let line = self.delimiter.len() + self.limits.delimiter_padding_bytes + 2;
        let read = self.read_line((allowed - self.preamble.min(allowed)).saturating_add(line));
        if read == Some(false) {
            return Ok(false);
        }
        match self.delimiter_line().filter(|_| read.is_some()) {
            Some(DelimiterLine::Close) => {
                return Err(MtomError::NoParts { offset: self.offset });
            }
            Some(DelimiterLine::Open { bare_lf }) => {
                if bare_lf {
                    // a sender that knows LF only. Others may have "\n--boundary" in a document
                    self.line_break = 1;
                    self.delimiter = self.delimiter.slice(1..);
                    self.finder = memmem::Finder::new(&self.delimiter).into_owned();
                }
                self.line.clear();
                self.begin_part()?;
            }
            None => {
                self.preamble += self.line.len();
                if read.is_none() || self.preamble > allowed {
                    return Err(MtomError::NoDelimiter { offset: self.offset, limit: allowed });
                }
                self.line.clear();
            }
        }
        Ok(true)
    }

    fn begin_part(&mut self) -> Result<(), MtomError> {
        if self.part >= self.limits.parts {
            return Err(MtomError::TooManyParts { limit: self.limits.parts, offset: self.offset });
        }
        self.part += 1;
        self.headers = Headers::default();
        self.state = State::Headers;
        Ok(())
    }

    fn header_line(&mut self) -> Result<bool, MtomError> {
        let left = self.limits.part_headers_bytes - self.headers.bytes;
        match self.read_line(left.min(self.limits.header_line_bytes)) {
            Some(true) => {}
            Some(false) => return Ok(false),
            None => return Err(self.headers_too_long(left)),
        }
        self.headers.bytes += self.line.len();
        if self.delimiter_line().is_some() {
            return Err(self.malformed("is a delimiter"));
        }
        let line = std::mem::take(&mut self.line);
        let text = match line.as_slice() {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => text,
            text => text,
        };
        match text {
            [] => {
                self.header()?;
                self.headers_done()?;
            }
            [b' ' | b'\t', ..] if self.headers.field.is_empty() => {
                return Err(self.malformed("continues a header, but there is none"));
            }
            // folding: the line break goes, the white space stays (RFC 5322 §2.2.3)
            [b' ' | b'\t', ..] => self.headers.field.extend_from_slice(text),
            _ => {
                self.header()?;
                self.headers.field.extend_from_slice(text);
            }
        }
        // its room is used again
        self.line = line;
        self.line.clear();
        Ok(true)
    }

    fn headers_too_long(&self, left: usize) -> MtomError {
        let (part, offset) = (self.part, self.offset);
        if left <= self.limits.header_line_bytes {
            MtomError::PartHeadersTooLarge { part, limit: self.limits.part_headers_bytes, offset }
        } else {
            MtomError::PartHeaderLineTooLong { part, limit: self.limits.header_line_bytes, offset }
        }
    }

    fn malformed(&self, reason: &'static str) -> MtomError {
        MtomError::MalformedPartHeader { part: self.part, offset: self.offset, reason }
    }

    /// Reads the header collected in `headers.field`, if there is one.
    fn header(&mut self) -> Result<(), MtomError> {
        let field = std::mem::take(&mut self.headers.field);
        if field.is_empty() {
            return Ok(());
        }
        self.headers.count += 1;
        if self.headers.count > self.limits.headers_per_part {
            return Err(MtomError::TooManyPartHeaders {
                part: self.part,
                limit: self.limits.headers_per_part,
                offset: self.offset,
            });
        }
        let (name, value) = memchr(b':', &field)
            .and_then(|colon| field.split_at_checked(colon))
            .ok_or_else(|| self.malformed("has no colon"))?;
        let name = std::str::from_utf8(name).unwrap_or_default().trim_end();
        if !is_token(name) {
            return Err(self.malformed("has no header name in front of its colon"));
        }
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
        let value = value.trim();

        let part = self.part;
        let twice = if name.eq_ignore_ascii_case("content-id") {
            let id = ContentId::from_header(value).map_err(|_| self.malformed("is a Content-ID that names nothing"))?;
            if !self.ids.insert(self.hasher.hash_one(&id)) && self.headers.content_id.is_none() {
                return Err(MtomError::DuplicateContentId { part });
            }
            self.headers.content_id.replace(id).map(|_| "Content-ID")
        } else if name.eq_ignore_ascii_case("content-type") {
            let media = MediaType::parse(value).ok();
            // some document formats are called multipart/… and are whole files without parts of
            // their own; only what states a boundary has those
            if media.is_some_and(|media| media.essence().starts_with("multipart/") && media.param("boundary").is_some())
            {
                return Err(MtomError::NestedMultipart { part });
            }
            let value = value.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
            self.headers.content_type.replace(value).map(|_| "Content-Type")
        } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
            let encoding = TransferEncoding::parse(value)
                .ok_or_else(|| MtomError::UnknownTransferEncoding { part, found: printable(value) })?;
            self.headers.transfer_encoding.replace(encoding).map(|_| "Content-Transfer-Encoding")
        } else {
            None
        };
        twice.map_or(Ok(()), |name| Err(MtomError::DuplicatePartHeader { part, name, offset: self.offset }))
    }

    fn headers_done(&mut self) -> Result<(), MtomError> {
        let headers = std::mem::take(&mut self.headers);
        let transfer_encoding = headers.transfer_encoding.unwrap_or_default();
        self.decoder = Decoder::new(transfer_encoding);
        self.events.push_back(Event::PartStart(PartHeaders {
            number: self.part,
            offset: self.offset,
            content_id: headers.content_id,
            content_type: headers.content_type,
            transfer_encoding,
        }));
        // a part without content may have its delimiter right behind the empty line
        self.state = State::Body { matched: self.line_break, opening: true };
        Ok(())
    }

    fn body(&mut self, matched: usize, opening: bool) -> Result<bool, MtomError> {
        let Some(chunk) = self.input.front() else {
            return Ok(false);
        };
        let (bytes, wanted) = (chunk.len(), self.delimiter.len());
        if matched > 0 {
            let rest = self.delimiter.get(matched..).unwrap_or_default();
            let same = rest.iter().zip(chunk).take_while(|(a, b)| a == b).count();
            self.take(same);
            let matched = matched + same;
            if matched == wanted {
                self.state = State::Delimiter { opening };
            } else if same == bytes {
                self.state = State::Body { matched, opening };
            } else {
                self.not_a_delimiter(matched, opening)?;
            }
            return Ok(true);
        }
        let content = match self.finder.find(chunk) {
            Some(at) => {
                self.state = State::Delimiter { opening: false };
                at
            }
            None => {
                // a delimiter cut by the end of the chunk
                let tail = bytes.saturating_sub(wanted - 1);
                let cut = self
                    .delimiter
                    .first()
                    .and_then(|&first| memrchr(first, chunk.get(tail..)?))
                    .map(|at| tail + at)
                    .filter(|&at| chunk.get(at..).is_some_and(|end| self.delimiter.starts_with(end)));
                self.state = State::Body { matched: cut.map_or(0, |at| bytes - at), opening: false };
                cut.unwrap_or(bytes)
            }
        };
        let data = self.take(content);
        let rest = (bytes - content).min(wanted);
        self.content(data)?;
        self.take(rest);
        Ok(true)
    }

    /// The first `matched` bytes of the delimiter turned out to be content, all of them or, at the
    /// opening of a part, those behind the line break.
    fn not_a_delimiter(&mut self, matched: usize, opening: bool) -> Result<(), MtomError> {
        self.state = State::Body { matched: 0, opening: false };
        let from = if opening { self.line_break } else { 0 };
        let content = self.delimiter.slice(from.min(matched)..matched);
        self.content(content)
    }

    /// Behind `--boundary`: white space and the end of the line make it a delimiter, `--` the last
    /// one, anything else content. The byte that decides for content is not taken: it may begin a
    /// delimiter itself.
    fn delimiter(&mut self, opening: bool) -> Result<bool, MtomError> {
        while let Some(&byte) = self.input.front().and_then(|chunk| chunk.first()) {
            match (self.line.last(), byte) {
                (None, b'-') => {}
                (Some(b'-'), b'-') => {
                    self.take(1);
                    self.close()?;
                    return Ok(true);
                }
                (None | Some(b' ' | b'\t'), b' ' | b'\t' | b'\r') => {}
                (None | Some(b' ' | b'\t' | b'\r'), b'\n') => {
                    self.take(1);
                    self.end_part()?;
                    self.begin_part()?;
                    return Ok(true);
                }
                _ => {
                    let behind = Bytes::copy_from_slice(&self.line);
                    self.line.clear();
                    self.not_a_delimiter(self.delimiter.len(), opening)?;
                    self.content(behind)?;
                    return Ok(true);
                }
            }
            if byte != b'\r' && self.line.len() >= self.limits.delimiter_padding_bytes.max(1) {
                return Err(MtomError::DelimiterPadding {
                    limit: self.limits.delimiter_padding_bytes,
                    offset: self.offset,
                });
            }
            self.take(1);
            self.line.push(byte);
        }
        Ok(false)
    }

    /// Decodes bytes taken from the input and hands them out.
    fn content(&mut self, bytes: Bytes) -> Result<(), MtomError> {
        let from = self.offset.saturating_sub(bytes.len() as u64);
        let decoded = self.decoder.decode(bytes).map_err(|(at, reason)| MtomError::TransferDecoding {
            part: self.part,
            encoding: self.decoder.name(),
            offset: from + at as u64,
            reason,
        })?;
        if !decoded.is_empty() {
            self.events.push_back(Event::Data(decoded));
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), MtomError> {
        self.line.clear();
        self.decoder.finish().map_err(|reason| MtomError::TransferDecoding {
            part: self.part,
            encoding: self.decoder.name(),
            offset: self.offset,
            reason,
        })?;
        self.events.push_back(Event::PartEnd);
        Ok(())
    }

    fn close(&mut self) -> Result<(), MtomError> {
        self.end_part()?;
        self.events.push_back(Event::End);
        self.input.clear();
        self.state = State::Done;
        Ok(())
    }
}

enum DelimiterLine {
    Open { bare_lf: bool },
    Close,
}
