//! The writer, and the way through writer and reader with every cut and any damage.

use super::*;
use proptest::prelude::*;

fn writer() -> MultipartWriter {
    MultipartWriter::new("MIMEBoundary_7f3a".into(), "0.7f3a@broker.example".into()).expect("plain values")
}

#[test]
fn the_writer_writes_what_the_framework_shows() {
    let writer = writer();
    assert_eq!(
        writer.content_type(Some("urn:ihe:iti:2007:RetrieveDocumentSet")),
        "multipart/related; boundary=\"MIMEBoundary_7f3a\"; type=\"application/xop+xml\"; \
         start=\"<0.7f3a@broker.example>\"; start-info=\"application/soap+xml\"; \
         action=\"urn:ihe:iti:2007:RetrieveDocumentSet\""
    );
    assert_eq!(
        &writer.root_part()[..],
        b"--MIMEBoundary_7f3a\r\n\
          Content-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\n\
          Content-Transfer-Encoding: binary\r\n\
          Content-ID: <0.7f3a@broker.example>\r\n\r\n"
    );
    assert_eq!(
        &writer.document_part("1.7f3a@broker.example", "application/pdf").expect("plain")[..],
        b"\r\n--MIMEBoundary_7f3a\r\n\
          Content-Type: application/pdf\r\n\
          Content-Transfer-Encoding: binary\r\n\
          Content-ID: <1.7f3a@broker.example>\r\n\r\n"
    );
    assert_eq!(&writer.close()[..], b"\r\n--MIMEBoundary_7f3a--\r\n");

    let soap11 = writer.with_soap11();
    assert!(soap11.content_type(None).ends_with("; start-info=\"text/xml\""));
    assert!(soap11.root_part().windows(16).any(|w| w == b"type=\"text/xml\"\r"));

    assert_eq!(simple_content_type(false, Some("urn:x")), "application/soap+xml; charset=UTF-8; action=\"urn:x\"");
    assert_eq!(simple_content_type(true, Some("urn:x")), "text/xml; charset=utf-8");
}

#[test]
fn the_writer_lets_nothing_through_that_breaks_a_header() {
    for boundary in ["", "a b", "a\r\nb", "a\"b", "é", &"b".repeat(71)] {
        let outcome = MultipartWriter::new(boundary.into(), "a@b".into());
        assert!(matches!(outcome, Err(MtomError::Unwritable { .. })), "{boundary:?}");
    }
    for id in ["", "a", "a@", "@b", "a@b@c", "a:b@c", "a@b>\r\nX: y", "<a@b>", "a%40b@c"] {
        assert!(MultipartWriter::new("b".into(), id.into()).is_err(), "{id:?}");
        assert!(writer().document_part(id, "text/plain").is_err(), "{id:?}");
    }
    let rows = [
        ("text/xml", "text/xml"),
        (" text/plain; charset=\"utf-8\" ", "text/plain; charset=\"utf-8\""),
        ("", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
        ("text/plain\r\nX-Evil: 1", "application/octet-stream"),
        ("text/plain; name=\"é\"", "application/octet-stream"),
        ("multipart/x-hl7-cda-level-one", "application/octet-stream"),
        ("Multipart/Mixed; boundary=x", "application/octet-stream"),
    ];
    for (given, written) in rows {
        let part = writer().document_part("1.a@b", given).expect("a plain id");
        let line = format!("\r\nContent-Type: {written}\r\n");
        assert!(String::from_utf8_lossy(&part).contains(&line), "{given:?}");
    }
    for action in ["", "urn:a\"; x=\"", "urn:\r\nX: y", "urn:\\", "urn:é"] {
        assert!(!writer().content_type(Some(action)).contains("action"), "{action:?}");
    }
}

/// A message made with the writer, from the envelope and the documents.
fn written(writer: &MultipartWriter, envelope: &[u8], documents: &[Vec<u8>]) -> Vec<u8> {
    let mut message = writer.root_part().to_vec();
    message.extend_from_slice(envelope);
    for (at, document) in documents.iter().enumerate() {
        let id = format!("{}.7f3a@broker.example", at + 1);
        message.extend_from_slice(&writer.document_part(&id, "text/plain").expect("a plain id"));
        message.extend_from_slice(document);
    }
    message.extend_from_slice(&writer.close());
    message
}

#[test]
fn a_small_message_cut_in_three_at_every_pair_of_bytes() {
    let documents = [b"\r\n--MIMEBoundary_7f3\r".to_vec(), Vec::new()];
    let message = written(&writer(), b"<e/>", &documents);
    let whole = read("MIMEBoundary_7f3a", &message).expect("readable");
    assert_eq!(whole.len(), 3);
    for first in 0..message.len() {
        for second in [first + 1, first + 2, first + 19, first + 23] {
            let second = second.min(message.len());
            let chunks = [&message[..first], &message[first..second], &message[second..]];
            let parts = read_chunks("MIMEBoundary_7f3a", Limits::default(), chunks);
            assert_eq!(parts.as_ref(), Ok(&whole), "{first} {second}");
        }
    }
}

/// Documents made of what a boundary search may stumble over.
fn document() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r\n--".to_vec()),
        1 => Just(b".\n--MIMEBoundary_7f3a\n".to_vec()),
        1 => Just(b"\r\n--MIMEBoundary_7f3\r".to_vec()),
        1 => Just(b"\r\n--MIMEBoundary_7f3ab".to_vec()),
        1 => Just(b"\r\n--MIMEBoundary_7f3a-.".to_vec()),
        1 => Just(b"\r\n--MIMEBoundary_7f3a \t.".to_vec()),
        1 => Just(b"\r\n--MIMEBoundary_7f3a\r.".to_vec()),
        1 => Just(b"\r\n--mimeboundary_7f3a--".to_vec()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Cuts bytes into chunks of the sizes given, over and over.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*size).clamp(1, bytes.len()));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        envelope in document(),
        documents in proptest::collection::vec(document(), 0..4),
        sizes in proptest::collection::vec(1usize..200, 1..6),
    ) {
        let writer = writer();
        let message = written(&writer, &envelope, &documents);
        let ids: Vec<String> = (1..=documents.len())
            .map(|at| format!("{at}.7f3a@broker.example"))
            .collect();
        let lengths = ids.iter().zip(&documents);
        let length = writer.content_length(
            envelope.len() as u64,
            lengths.map(|(id, document)| (id.as_str(), "text/plain", document.len() as u64)),
        );
        prop_assert_eq!(length, Ok(message.len() as u64));

        let params = multipart(&writer.content_type(None));
        let parts = read_chunks(&params.boundary, Limits::default(), cut(&message, &sizes))
            .expect("readable");
        prop_assert_eq!(parts.len(), documents.len() + 1);
        for (part, content) in parts.iter().zip(std::iter::once(&envelope).chain(&documents)) {
            prop_assert_eq!(&part.content, content);
        }
        for (part, id) in parts.iter().skip(1).zip(&ids) {
            prop_assert_eq!(part.id.as_ref(), Some(id));
        }
    }

    #[test]
    fn transfer_encodings_are_undone(
        document in proptest::collection::vec(any::<u8>(), 0..300),
        width in 1usize..80,
        sizes in proptest::collection::vec(1usize..60, 1..6),
    ) {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut base64 = Vec::new();
        for group in document.chunks(3) {
            let mut quantum = [0; 3];
            quantum[..group.len()].copy_from_slice(group);
            let [a, b, c] = quantum;
            let sextets = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
            for (at, sextet) in sextets.into_iter().enumerate() {
                base64.push(if at <= group.len() { ALPHABET[usize::from(sextet)] } else { b'=' });
            }
        }
        let base64 = base64.chunks(width).collect::<Vec<_>>().join(&b"\r\n"[..]);
        let quoted = document
            .chunks(width)
            .map(|line| {
                line.iter()
                    .map(|byte| match byte {
                        b'!'..=b'<' | b'>'..=b'~' => char::from(*byte).to_string(),
                        _ => format!("={byte:02X}"),
                    })
                    .collect::<String>()
            })
            .collect::<Vec<_>>()
            .join("=\r\n");
        for (encoding, text) in [("base64", base64), ("quoted-printable", quoted.into_bytes())] {
            let mut message =
                format!("--B\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n").into_bytes();
            message.extend_from_slice(&text);
            message.extend_from_slice(b"\r\n--B--\r\n");
            let parts = read_chunks("B", Limits::default(), cut(&message, &sizes));
            let parts = parts.expect(encoding);
            prop_assert_eq!(&parts[0].content, &document, "{}", encoding);
        }
    }

    #[test]
    fn damaged_messages_do_no_harm(
        documents in proptest::collection::vec(document(), 0..3),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12),
        sizes in proptest::collection::vec(1usize..200, 1..6),
    ) {
        let mut message = written(&writer(), b"<e/>", &documents);
        for (at, byte, kind) in damage {
            if message.is_empty() {
                break;
            }
            let at = at.index(message.len());
            match kind {
                0 => message[at] = byte,
                1 => { message.remove(at); }
                2 => message.insert(at, byte),
                _ => message.truncate(at),
            }
        }
        let limits = Limits {
            part_headers_bytes: 200,
            header_line_bytes: 90,
            preamble_bytes: 50,
            delimiter_padding_bytes: 8,
            ..Limits::default()
        };
        // the memory bound is asserted on the way; the outcome may not depend on the cuts
        let boundary = "MIMEBoundary_7f3a";
        let cut = read_chunks(boundary, limits.clone(), cut(&message, &sizes));
        let whole = read_chunks(boundary, limits, [&message[..]]);
        match (cut, whole) {
            (Ok(cut), Ok(whole)) => {
                let content: usize = whole.iter().map(|part| part.content.len()).sum();
                prop_assert!(content <= message.len());
                prop_assert_eq!(cut, whole);
            }
            (Err(cut), Err(whole)) => {
                prop_assert_eq!(std::mem::discriminant(&cut), std::mem::discriminant(&whole));
            }
            (cut, whole) => prop_assert!(false, "{cut:?} {whole:?}"),
        }
    }

    #[test]
    fn any_text_as_content_type_or_id(text in "\\PC{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Packaging::parse(&text);
        let _ = Packaging::parse(&format!("multipart/related; {text}"));
        let _ = Packaging::parse(&String::from_utf8_lossy(&bytes));
        let _ = ContentId::from_header(&text);
        let _ = ContentId::from_href(&format!("cid:{text}"));
        let _ = read("B", &[b"--B\r\n", &bytes[..]].concat());
    }
}
