//! Multipart bodies: the same parts, or the same refusal, for any chunking; bounded memory; content
//! goes through our writer and this reader unchanged.
#![no_main]

use bytes::Bytes;
use causeway::wire::mtom::{Event, Limits, MtomError, MultipartReader, MultipartWriter, PartHeaders};
use causeway::wire::soap::Fault;
use causeway_fuzz::{chunks, fault_is_readable};
use libfuzzer_sys::fuzz_target;

type Outcome = Result<Vec<(PartHeaders, Vec<u8>)>, MtomError>;

fn read(boundary: &str, limits: &Limits, lenient: bool, pieces: &[&[u8]]) -> Outcome {
    let held =
        limits.part_headers_bytes.max(limits.preamble_bytes) * 2 + limits.delimiter_padding_bytes + boundary.len() + 16;
    let mut reader = MultipartReader::new(boundary.as_bytes(), limits.clone());
    let (mut parts, mut open, mut ended) = (Vec::new(), false, false);
    let mut drain = |reader: &mut MultipartReader| -> Result<(), MtomError> {
        while let Some(event) = reader.next_event()? {
            assert!(!ended, "an event behind the end");
            match event {
                Event::PartStart(headers) => {
                    assert!(!open);
                    assert_eq!(headers.number, parts.len() + 1);
                    let _ = headers.media_type();
                    open = true;
                    parts.push((headers, Vec::new()));
                }
                Event::Data(bytes) => {
                    assert!(open && !bytes.is_empty());
                    if let Some((_, content)) = parts.last_mut() {
                        content.extend_from_slice(&bytes);
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
        Ok(())
    };
    for piece in pieces {
        reader.feed(Bytes::copy_from_slice(piece));
        drain(&mut reader)?;
        assert!(reader.buffered() <= held, "{} bytes kept", reader.buffered());
    }
    if lenient {
        reader.finish_lenient()?
    } else {
        reader.finish()?
    }
    drain(&mut reader)?;
    assert!(ended && !open);
    assert!(parts.len() <= limits.parts);
    Ok(parts)
}

fuzz_target!(|input: (u8, u64, &[u8])| {
    let (choice, seed, body) = input;
    let boundary = ["B", "=_Part_1.2", "--", "a--b", "- -", "B--"][usize::from(choice & 7) % 6];
    let lenient = choice & 8 != 0;
    let limits = if choice & 16 != 0 {
        Limits {
            part_headers_bytes: 64,
            header_line_bytes: 40,
            headers_per_part: 3,
            parts: 3,
            boundary_len: 70,
            preamble_bytes: 16,
            delimiter_padding_bytes: 4,
        }
    } else {
        Limits::default()
    };
    let whole = read(boundary, &limits, lenient, &[body]);
    for pieces in [chunks(body, 0x9e37_79b9_7f4a_7c15 ^ seed), body.chunks(1).collect()] {
        match (&whole, read(boundary, &limits, lenient, &pieces)) {
            (Ok(whole), Ok(cut)) => assert!(*whole == cut, "other parts when cut"),
            // Which byte is blamed may depend on how much was seen of it.
            (Err(whole), Err(cut)) => assert_eq!(std::mem::discriminant(whole), std::mem::discriminant(&cut)),
            (Ok(_), Err(error)) => panic!("refused when cut only: {error}"),
            (Err(error), Ok(_)) => panic!("taken when cut only: {error}"),
        }
    }
    if let Err(error) = &whole {
        fault_is_readable(&Fault::sender(error.to_string()));
    }

    // Our own frame around these bytes.
    const OURS: &str = "causeway-5e0c6c0a";
    if body.windows(OURS.len()).any(|window| window == OURS.as_bytes()) {
        return;
    }
    let writer = MultipartWriter::new(OURS.to_owned(), "root@b".to_owned()).expect("a boundary of ours");
    let media = std::str::from_utf8(body).unwrap_or("x");
    let part = writer.document_part("1@b", media).expect("a content id of ours");
    let message = [&writer.root_part()[..], b"<e/>", &part, body, &writer.close()].concat();
    let expected = writer.content_length(4, [("1@b", media, body.len() as u64)]).expect("a length");
    assert_eq!(expected, message.len() as u64);
    let parts = read(OURS, &Limits::default(), false, &chunks(&message, seed | 1)).expect("our own message");
    assert_eq!(parts.len(), 2);
    assert!(parts[0].1 == b"<e/>" && parts[1].1 == body);
});
