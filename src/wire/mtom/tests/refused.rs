//! What is refused, the limits, and what an unfinished or unpleasant message may cost.

use super::*;

/// A message in which something occurs, or has the size, `n`.
type Make = fn(usize) -> Vec<u8>;

#[test]
fn content_types_that_are_refused() {
    let long = format!("multipart/related; boundary={}", "b".repeat(71));
    let rows: [(&str, Judge); 17] = [
        ("text/html; charset=utf-8", |e| matches!(e, MtomError::UnsupportedMediaType { .. })),
        ("application/json", |e| matches!(e, MtomError::UnsupportedMediaType { .. })),
        ("multipart/form-data; boundary=b", |e| matches!(e, MtomError::UnsupportedMediaType { .. })),
        ("application/xop+xml", |e| matches!(e, MtomError::UnsupportedMediaType { .. })),
        ("", |e| matches!(e, MtomError::MalformedMediaType { .. })),
        ("soap", |e| matches!(e, MtomError::MalformedMediaType { .. })),
        ("/;", |e| matches!(e, MtomError::MalformedMediaType { .. })),
        ("a b/c", |e| matches!(e, MtomError::MalformedMediaType { .. })),
        ("multipart/related; boundary=\"b", |e| matches!(e, MtomError::MalformedMediaType { .. })),
        ("multipart/related; boundary=\"b\"c", |e| matches!(e, MtomError::MalformedMediaType { .. })),
        // folding, in an HTTP header
        ("multipart/related;\r\n boundary=b", |e| matches!(e, MtomError::MalformedMediaType { at: 18, .. })),
        ("multipart/related", |e| *e == MtomError::MissingBoundary),
        ("multipart/related; type=\"text/xml\"", |e| *e == MtomError::MissingBoundary),
        ("multipart/related; boundary=", |e| matches!(e, MtomError::InvalidBoundary { .. })),
        ("multipart/related; boundary=\u{e9}", |e| matches!(e, MtomError::InvalidBoundary { .. })),
        (&long, |e| matches!(e, MtomError::InvalidBoundary { limit: 70, .. })),
        ("multipart/related; boundary=b; start=\"<a b>\"", |e| matches!(e, MtomError::InvalidContentId { .. })),
    ];
    for (text, expected) in rows {
        let error = Packaging::parse(text).expect_err(text);
        assert!(expected(&error), "{text}: {error:?}");
    }
    assert!(Packaging::parse(long.trim_end_matches("bb")).is_ok());
}

#[test]
fn bodies_that_are_refused() {
    let rows: &[(&str, &[u8], Judge)] = &[
        ("empty", b"", |e| matches!(e, MtomError::Truncated { part: 0, .. })),
        ("another boundary", b"--C\r\n\r\nx\r\n--C--\r\n", |e| matches!(e, MtomError::Truncated { part: 0, .. })),
        ("closed at once", b"--B--\r\n", |e| matches!(e, MtomError::NoParts { .. })),
        ("closed at once, no line break", b"--B--", |e| matches!(e, MtomError::NoParts { .. })),
        ("cut in the first delimiter", b"--B", |e| matches!(e, MtomError::Truncated { part: 0, .. })),
        ("cut in the headers", b"--B\r\nA: b\r\n", |e| {
            matches!(e, MtomError::Truncated { part: 1, place: "in the part headers", .. })
        }),
        ("cut in the content", b"--B\r\n\r\nx\r\n-", |e| matches!(e, MtomError::Truncated { part: 1, offset: 11, .. })),
        ("cut in a delimiter", b"--B\r\n\r\nx\r\n--B", |e| matches!(e, MtomError::Truncated { .. })),
        ("cut in the last delimiter", b"--B\r\n\r\nx\r\n--B-", |e| {
            matches!(e, MtomError::Truncated { place: "in a delimiter", .. })
        }),
        ("cut behind a delimiter", b"--B\r\n\r\nx\r\n--B\r\n", |e| matches!(e, MtomError::Truncated { part: 2, .. })),
        ("no empty line", b"--B\r\nA: b\r\n--B--\r\n", |e| matches!(e, MtomError::MalformedPartHeader { part: 1, .. })),
        ("no colon", b"--B\r\nContent\r\n\r\n\r\n--B--", |e| matches!(e, MtomError::MalformedPartHeader { .. })),
        ("no name", b"--B\r\n: x\r\n\r\n\r\n--B--", |e| matches!(e, MtomError::MalformedPartHeader { .. })),
        ("a name in foreign bytes", b"--B\r\n\xff: x\r\n\r\n\r\n--B--", |e| {
            matches!(e, MtomError::MalformedPartHeader { .. })
        }),
        ("folded without a header", b"--B\r\n x\r\n\r\n\r\n--B--", |e| {
            matches!(e, MtomError::MalformedPartHeader { .. })
        }),
        ("an empty id", b"--B\r\nContent-ID: <>\r\n\r\n\r\n--B--", |e| {
            matches!(e, MtomError::MalformedPartHeader { part: 1, .. })
        }),
        ("two ids", b"--B\r\nContent-ID: <a>\r\nContent-ID: <a>\r\n\r\n\r\n--B--", |e| {
            matches!(e, MtomError::DuplicatePartHeader { name: "Content-ID", .. })
        }),
        (
            "two encodings",
            b"--B\r\nContent-Transfer-Encoding: binary\r\ncontent-transfer-encoding: base64\r\n\r\n\r\n--B--",
            |e| matches!(e, MtomError::DuplicatePartHeader { part: 1, .. }),
        ),
        ("one id for two parts", b"--B\r\nContent-ID: <a>\r\n\r\n\r\n--B\r\nContent-ID: a\r\n\r\n\r\n--B--", |e| {
            *e == MtomError::DuplicateContentId { part: 2 }
        }),
        (
            "an unknown encoding",
            b"--B\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n\r\n--B--",
            |e| matches!(e, MtomError::UnknownTransferEncoding { found, .. } if found == "x-uuencode"),
        ),
        ("parts inside a part", b"--B\r\nContent-Type: Multipart/Mixed;\r\n Boundary=C\r\n\r\n--C--\r\n--B--", |e| {
            *e == MtomError::NestedMultipart { part: 1 }
        }),
        ("not base64", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPGU-\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { offset: 45, encoding: "base64", .. })
        }),
        ("base64 cut", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPGUvP\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
        ("base64 cut in its padding", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPg=\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
        ("base64 behind its padding", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPg==Pg==\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { reason: "content behind the padding", .. })
        }),
        ("too much padding", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPg===\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
        ("padding alone", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\n====\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
        ("stray bits", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPh==\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
        ("not quoted-printable", b"--B\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=3\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { encoding: "quoted-printable", .. })
        }),
        ("'=' alone", b"--B\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=b\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
        ("'=' and blanks", b"--B\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na= b\r\n--B--", |e| {
            matches!(e, MtomError::TransferDecoding { .. })
        }),
    ];
    for (name, message, expected) in rows {
        let error = read_everyhow("B", message).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
    }
}

/// Every limit: what reaches it passes, one more does not, a hundred times more neither.
#[test]
fn limits() {
    let limits = Limits {
        part_headers_bytes: 64,
        header_line_bytes: 40,
        headers_per_part: 8,
        parts: 5,
        boundary_len: 3,
        preamble_bytes: 50,
        delimiter_padding_bytes: 10,
    };
    let rows: [(&str, usize, Make, Judge); 7] = [
        (
            "header block",
            limits.part_headers_bytes,
            // lines of 16 as far as they go, and the empty line
            |n| {
                let (lines, rest) = ((n - 2) / 16, (n - 2) % 16);
                let (lines, rest) = if rest < 4 { (lines - 1, rest + 16) } else { (lines, rest) };
                let last = format!("A:{}\r\n", "y".repeat(rest - 4));
                format!("--B\r\n{}{last}\r\nx\r\n--B--", "A:xxxxxxxxxxxx\r\n".repeat(lines)).into()
            },
            |e| matches!(e, MtomError::PartHeadersTooLarge { limit: 64, .. }),
        ),
        (
            "header line",
            limits.header_line_bytes,
            |n| format!("--B\r\nA:{}\r\n\r\nx\r\n--B--", "x".repeat(n - 4)).into(),
            |e| matches!(e, MtomError::PartHeaderLineTooLong { limit: 40, .. }),
        ),
        (
            "headers",
            limits.headers_per_part,
            |n| format!("--B\r\n{}\r\nx\r\n--B--", "A:\r\n".repeat(n)).into(),
            |e| matches!(e, MtomError::TooManyPartHeaders { limit: 8, .. } | MtomError::PartHeadersTooLarge { .. }),
        ),
        (
            "parts",
            limits.parts,
            |n| format!("{}--B--", "--B\r\n\r\n\r\n".repeat(n)).into(),
            |e| matches!(e, MtomError::TooManyParts { limit: 5, .. }),
        ),
        (
            "preamble",
            limits.preamble_bytes,
            |n| format!("{}\r\n--B\r\n\r\n\r\n--B--", "x".repeat(n - 2)).into(),
            |e| matches!(e, MtomError::NoDelimiter { limit: 50, .. }),
        ),
        (
            "preamble of empty lines",
            limits.preamble_bytes,
            |n| format!("{}--B\r\n\r\n\r\n--B--", "\n".repeat(n)).into(),
            |e| matches!(e, MtomError::NoDelimiter { limit: 50, .. }),
        ),
        (
            "padding",
            limits.delimiter_padding_bytes,
            |n| format!("--B\r\n\r\n\r\n--B{}\r\n\r\n\r\n--B--", " ".repeat(n)).into(),
            |e| matches!(e, MtomError::DelimiterPadding { limit: 10, .. }),
        ),
    ];
    for (name, limit, make, expected) in rows {
        for chunk in [1, 7, usize::MAX] {
            let read = |n| read_chunks("B", limits.clone(), make(n).chunks(chunk));
            assert!(read(limit).is_ok(), "{name}: {:?}", read(limit));
            for n in [limit + 1, limit * 100] {
                let error = read(n).expect_err(name);
                assert!(expected(&error), "{name} {n} by {chunk}: {error:?}");
            }
        }
    }
    for (boundary, ok) in [("BBB", true), ("BBBB", false), ("", false), ("B\n", false), ("B ", false)] {
        let message = format!("--{boundary}\r\n\r\n\r\n--{boundary}--");
        let outcome = read_chunks(boundary, limits.clone(), [message.as_bytes()]);
        assert_eq!(outcome.is_ok(), ok, "{boundary:?}");
    }
}

#[test]
fn an_error_is_final() {
    let mut reader = MultipartReader::new(b"B", Limits::default());
    reader.feed(Bytes::from_static(b"--B\r\nnonsense\r\n\r\n"));
    let error = reader.next_event().expect_err("no colon");
    reader.feed(Bytes::from_static(b"--B\r\n\r\n\r\n--B--"));
    assert_eq!(reader.next_event(), Err(error.clone()));
    assert_eq!(reader.finish(), Err(error.clone()));
    assert_eq!(reader.finish_lenient(), Err(error));
    assert_eq!(reader.buffered(), 0);
}

#[test]
fn finish_before_draining_loses_nothing() {
    let mut reader = MultipartReader::new(b"B", Limits::default());
    reader.feed(Bytes::from_static(b"--B\r\n\r\nx"));
    reader.feed(Bytes::from_static(b"y\r\n--B--\r\nz"));
    assert_eq!(reader.finish(), Ok(()));
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().expect("readable") {
        events.push(event);
    }
    assert!(matches!(events.first(), Some(Event::PartStart(_))));
    assert_eq!(
        events.get(1..),
        Some(
            &[Event::Data(Bytes::from_static(b"x")), Event::Data(Bytes::from_static(b"y")), Event::PartEnd, Event::End]
                [..]
        )
    );
}

#[test]
fn a_missing_closing_delimiter_can_be_tolerated() {
    let rows: [(&[u8], Option<&[u8]>); 8] = [
        (b"--B\r\n\r\nxy", Some(b"xy")),
        (b"--B\r\n\r\n", Some(b"")),
        (b"--B\r\n\r\nxy\r\n", Some(b"xy\r\n")),
        (b"--B\r\n\r\nxy\r\n--", Some(b"xy\r\n--")),
        (b"--B\r\n\r\nxy\r\n--B", Some(b"xy")),
        (b"--B\r\n\r\nxy\r\n--B-", Some(b"xy")),
        (b"--B\r\nA: b", None),
        (b"", None),
    ];
    for (message, expected) in rows {
        let mut reader = MultipartReader::new(b"B", Limits::default());
        reader.feed(Bytes::from_static(message));
        let outcome = reader.finish_lenient();
        assert_eq!(outcome.is_ok(), expected.is_some(), "{}", message.escape_ascii());
        let Some(expected) = expected else { continue };
        let (mut content, mut last) = (Vec::new(), None);
        while let Some(event) = reader.next_event().expect("readable") {
            if let Event::Data(bytes) = &event {
                content.extend_from_slice(bytes);
            }
            last = Some(event);
        }
        assert_eq!(content, expected);
        assert_eq!(last, Some(Event::End));
        assert_eq!(reader.finish(), Ok(()));
    }
}

#[test]
fn content_is_not_copied() {
    let mut reader = MultipartReader::new(b"B", Limits::default());
    reader.feed(Bytes::from_static(b"--B\r\n\r\n"));
    while reader.next_event().expect("readable").is_some() {}
    let chunk = Bytes::from(vec![b'x'; 100_000]);
    reader.feed(chunk.clone());
    let Ok(Some(Event::Data(data))) = reader.next_event() else {
        panic!("no data");
    };
    assert_eq!(data.as_ptr(), chunk.as_ptr());
    assert_eq!(data.len(), chunk.len());
}

#[test]
fn memory_does_not_grow_with_a_part() {
    let mut reader = MultipartReader::new(b"Boundary", Limits::default());
    reader.feed(Bytes::from_static(b"--Boundary\r\nContent-ID: <a@b>\r\n\r\n"));
    // as many almost delimiters as fit
    let chunk = Bytes::from(b"\r\n--Boundar\r\r\n--Boundary-".repeat(2_000));
    let mut bytes = 0;
    for _ in 0..200 {
        reader.feed(chunk.clone());
        while let Some(event) = reader.next_event().expect("readable") {
            assert!(reader.buffered() <= chunk.len() + 512);
            if let Event::Data(data) = event {
                bytes += data.len();
            }
        }
        assert!(reader.buffered() < 512);
    }
    reader.feed(Bytes::from_static(b"\r\n--Boundary--"));
    while let Some(event) = reader.next_event().expect("readable") {
        if let Event::Data(data) = event {
            bytes += data.len();
        }
    }
    assert_eq!(bytes, chunk.len() * 200);
    // what comes behind the end is not kept
    reader.feed(chunk);
    assert_eq!(reader.buffered(), 0);
    assert_eq!(reader.next_event(), Ok(None));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn no_content_in_debug_output() {
    let event = Event::Data(Bytes::from_static(b"Jane Doe"));
    assert_eq!(format!("{event:?}"), "Data(8 bytes)");
}

#[test]
fn foreign_text_in_errors_is_tame() {
    let long = format!("text/{}", "x".repeat(500));
    let error = Packaging::parse(&long).expect_err("no SOAP").to_string();
    assert!(error.len() < 250 && error.contains('…'));
    let error = ContentId::from_href("http:\n\u{1b}[2J").expect_err("foreign").to_string();
    assert!(!error.contains(['\n', '\u{1b}']));
}
