//! The packaging quirks that peers are known for, what is refused, and the round trip.

use super::*;
use bytes::Bytes;

mod quirks;
mod refused;
mod round_trip;

/// Tells whether an error is the expected one.
type Judge = fn(&MtomError) -> bool;

/// A part as the reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    number: usize,
    id: Option<String>,
    media: Option<String>,
    content: Vec<u8>,
}

/// Feeds chunks as they come and collects the parts; checks the grammar of events on the way, and
/// that no more is held than the last chunk and what the limits allow.
fn read_chunks<'a>(
    boundary: &str,
    limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Part>, MtomError> {
    let held =
        limits.part_headers_bytes.max(limits.preamble_bytes) * 2 + limits.delimiter_padding_bytes + boundary.len() + 16;
    let mut reader = MultipartReader::new(boundary.as_bytes(), limits);
    let (mut parts, mut open, mut ended) = (Vec::<Part>::new(), false, false);
    for chunk in chunks {
        reader.feed(Bytes::copy_from_slice(chunk));
        assert!(reader.buffered() <= chunk.len() + held);
        while let Some(event) = reader.next_event()? {
            assert!(!ended, "an event behind the end");
            match event {
                Event::PartStart(headers) => {
                    assert!(!open);
                    open = true;
                    assert_eq!(headers.number, parts.len() + 1);
                    parts.push(Part {
                        number: headers.number,
                        id: headers.content_id.map(|id| id.to_string()),
                        media: headers.content_type,
                        content: Vec::new(),
                    });
                }
                Event::Data(bytes) => {
                    assert!(open && !bytes.is_empty());
                    if let Some(part) = parts.last_mut() {
                        part.content.extend_from_slice(&bytes);
                    }
                }
                Event::PartEnd => {
                    assert!(open);
                    open = false;
                }
                Event::End => {
                    assert!(!open);
                    ended = true;
                }
            }
        }
        assert!(reader.buffered() <= held, "{} bytes kept", reader.buffered());
    }
    reader.finish()?;
    assert!(ended);
    Ok(parts)
}

fn read(boundary: &str, message: &[u8]) -> Result<Vec<Part>, MtomError> {
    read_chunks(boundary, Limits::default(), [message])
}

/// Whole, byte by byte, and cut in two at every byte: all the same.
fn read_everyhow(boundary: &str, message: &[u8]) -> Result<Vec<Part>, MtomError> {
    let whole = read(boundary, message);
    let singly = read_chunks(boundary, Limits::default(), message.chunks(1));
    let kind = |outcome: &Result<Vec<Part>, MtomError>| match outcome {
        Ok(parts) => Ok(parts.clone()),
        Err(error) => Err(std::mem::discriminant(error)),
    };
    assert_eq!(kind(&whole), kind(&singly), "byte by byte");
    for at in 0..=message.len() {
        let (head, tail) = message.split_at(at);
        let cut = read_chunks(boundary, Limits::default(), [head, tail]);
        assert_eq!(kind(&whole), kind(&cut), "cut at {at}");
    }
    whole
}

/// The contents of the parts.
fn contents(boundary: &str, message: &[u8]) -> Vec<String> {
    read_everyhow(boundary, message)
        .unwrap_or_else(|error| panic!("{error}: {}", message.escape_ascii()))
        .iter()
        .map(|part| part.content.escape_ascii().to_string())
        .collect()
}

fn multipart(content_type: &str) -> MultipartParams {
    match Packaging::parse(content_type) {
        Ok(Packaging::Multipart(params)) => params,
        other => panic!("{content_type}: {other:?}"),
    }
}
