//! The packaging of the stacks in the field, each accepted.

use super::*;

#[test]
fn content_types_of_multipart_messages() {
    struct Row {
        text: &'static str,
        boundary: &'static str,
        start: Option<&'static str>,
        start_info: Option<&'static str>,
        root_type: Option<&'static str>,
        action: Option<&'static str>,
    }
    const SOAP: Option<&str> = Some("application/soap+xml");
    const XOP: Option<&str> = Some("application/xop+xml");
    let rows = [
        // ours
        Row {
            text: r#"multipart/related; boundary="B_7"; type="application/xop+xml"; start="<0.7@b>"; start-info="application/soap+xml""#,
            boundary: "B_7",
            start: Some("0.7@b"),
            start_info: SOAP,
            root_type: XOP,
            action: None,
        },
        // Axis2: unquoted boundary, outer action
        Row {
            text: r#"multipart/related; boundary=MIMEBoundary_1f; type="application/xop+xml"; start="<0.urn:uuid:5A@apache.org>"; start-info="application/soap+xml"; action="urn:ihe:iti:2007:RetrieveDocumentSet""#,
            boundary: "MIMEBoundary_1f",
            start: Some("0.urn:uuid:5A@apache.org"),
            start_info: SOAP,
            root_type: XOP,
            action: Some("urn:ihe:iti:2007:RetrieveDocumentSet"),
        },
        // old Axis2, SAAJ: start without brackets
        Row {
            text: "Multipart/Related;type=application/xop+xml;start=0.1@apache.org;boundary=b",
            boundary: "b",
            start: Some("0.1@apache.org"),
            start_info: None,
            root_type: XOP,
            action: None,
        },
        // WCF: no blanks, a boundary that is no token, the action escaped inside start-info
        Row {
            text: r#"multipart/related; type="application/xop+xml";start="<http://tempuri.org/0>";boundary="uuid:898b3ded-c057+id=5";start-info="application/soap+xml; action=\"urn:x\"""#,
            boundary: "uuid:898b3ded-c057+id=5",
            start: Some("http://tempuri.org/0"),
            start_info: SOAP,
            root_type: XOP,
            action: Some("urn:x"),
        },
        // the same without quotes
        Row {
            text: "multipart/related; boundary=uuid:898b+id=5; start=<http://tempuri.org/0>",
            boundary: "uuid:898b+id=5",
            start: Some("http://tempuri.org/0"),
            start_info: None,
            root_type: None,
            action: None,
        },
        // action inside type; letter case; odd order; trailing semicolon; unknown parameters
        Row {
            text: r#"MULTIPART/RELATED ; X-Y=z ; START-INFO="Text/XML" ; Type="Application/SOAP+xml;ACTION=urn:t" ;	BOUNDARY="'()+_,-./:=? x" ; ;"#,
            boundary: "'()+_,-./:=? x",
            start: None,
            start_info: Some("text/xml"),
            root_type: SOAP,
            action: Some("urn:t"),
        },
        // doubled parameters: the first counts; words without '='; blanks around '='
        Row {
            text: r#"multipart/related; flag; boundary = "one" ; boundary=two; start=; action="""#,
            boundary: "one",
            start: None,
            start_info: None,
            root_type: None,
            action: None,
        },
        // the outer action wins; unreadable inner types are as good as none
        Row {
            text: r#"multipart/related; boundary=b; type=xop; start-info="application/soap+xml;action=urn:in"; action=urn:out"#,
            boundary: "b",
            start: None,
            start_info: SOAP,
            root_type: None,
            action: Some("urn:out"),
        },
    ];
    for row in rows {
        let params = multipart(row.text);
        assert_eq!(params.boundary, row.boundary, "{}", row.text);
        assert_eq!(params.start.as_ref().map(ContentId::as_str), row.start, "{}", row.text);
        assert_eq!(params.start_info.as_deref(), row.start_info, "{}", row.text);
        assert_eq!(params.root_type.as_deref(), row.root_type, "{}", row.text);
        assert_eq!(params.action.as_deref(), row.action, "{}", row.text);
        let soap11 = row.start_info == Some("text/xml");
        assert_eq!(params.soap11(), soap11, "{}", row.text);
    }
}

#[test]
fn content_types_of_simple_messages() {
    let rows: [(&str, bool, Charset, Option<&str>); 9] = [
        ("application/soap+xml", false, Charset::Unstated, None),
        (
            r#"application/soap+xml; charset=UTF-8; action="urn:ihe:iti:2007:RegistryStoredQuery""#,
            false,
            Charset::Utf8,
            Some("urn:ihe:iti:2007:RegistryStoredQuery"),
        ),
        (r#"Application/SOAP+XML;Charset="utf-8";"#, false, Charset::Utf8, None),
        ("application/soap+xml;action=urn:a;charset=utf8", false, Charset::Utf8, Some("urn:a")),
        (r#"application/soap+xml; action="urn:\a""#, false, Charset::Unstated, Some("urn:a")),
        ("text/xml; charset=utf-8", true, Charset::Utf8, None),
        ("text/xml; charset=us-ascii", true, Charset::Utf8, None),
        ("text/xml; charset=UTF-16", true, Charset::Utf16, None),
        ("text/xml; charset=Windows-1252", true, Charset::Other("windows-1252".into()), None),
    ];
    for (text, soap11, charset, action) in rows {
        let expected = Packaging::Simple { soap11, charset, action: action.map(str::to_owned) };
        assert_eq!(Packaging::parse(text), Ok(expected.clone()), "{text}");
        assert_eq!(expected.action(), action);
    }
}

#[test]
fn which_part_is_the_root() {
    let part = |number, id: Option<&str>| PartHeaders {
        number,
        offset: 0,
        content_id: id.map(|id| ContentId::from_header(id).expect(id)),
        content_type: None,
        transfer_encoding: TransferEncoding::Binary,
    };
    let rows: [(&str, PartHeaders, bool); 11] = [
        ("", part(1, Some("<a@b>")), true),
        ("", part(2, Some("<a@b>")), false),
        ("", part(1, None), true),
        ("start=\"<a@b>\"", part(1, Some("<a@b>")), true),
        ("start=\"a@b\"", part(1, Some("<a@b>")), true),
        ("start=\"<a@b>\"", part(1, Some("a@b")), true),
        ("start=\"<a@b>\"", part(3, Some("<a@b>")), true),
        ("start=\"<a@b>\"", part(1, Some("<c@b>")), false),
        ("start=\"<a@b>\"", part(1, None), true),
        ("start=\"<a@b>\"", part(2, None), false),
        ("start=\"<u@urn:x>\"", part(1, Some("<u%40urn%3Ax>")), true),
    ];
    for (start, part, expected) in rows {
        let params = multipart(&format!("multipart/related; boundary=b; {start}"));
        assert_eq!(params.is_root(&part), expected, "{start} {part:?}");
    }
}

#[test]
fn bodies_as_stacks_send_them() {
    let rows: &[(&str, &str, &[u8], &[&str])] = &[
        (
            "plain",
            "B",
            b"--B\r\nContent-ID: <a@b>\r\n\r\n<e/>\r\n--B\r\n\r\nPDF\r\n--B--\r\n",
            &["<e/>", "PDF"],
        ),
        ("no line break at the end", "B", b"--B\r\n\r\nx\r\n--B--", &["x"]),
        ("Axis2: a blank line first", "B", b"\r\n--B\r\n\r\nx\r\n--B--\r\n", &["x"]),
        (
            "preamble with a false start",
            "B",
            b"This is MIME.\r\n -- B\r\n--BB\r\n--B x\r\nx--B\r\n\n--B\r\n\r\nx\r\n--B--\r\n",
            &["x"],
        ),
        ("epilogue", "B", b"--B\r\n\r\nx\r\n--B--\r\nbye\r\n--B\r\n\r\ny", &["x"]),
        ("epilogue on the line", "B", b"--B\r\n\r\nx\r\n--B-- and more\r\n--B--", &["x"]),
        ("padding", "B", b"--B \t\r\n\r\nx\r\n--B\t \r\n\r\ny\r\n--B-- \r\n", &["x", "y"]),
        ("no headers, no content", "B", b"--B\r\n\r\n--B\r\n\r\n\r\n--B--\r\n", &["", ""]),
        ("one part", "B", b"--B\r\nA: b\r\n\r\n\r\n--B--", &[""]),
        ("LF only", "B", b"--B\nA: b\n\nx\n\n--B\n\ny\r\n--B--\n", &["x\\n", "y\\r"]),
        ("LF only, after a preamble", "B", b"\n--B\n\nx\n--B--", &["x"]),
        (
            "CRLF: LF is content",
            "B",
            b"--B\r\n\r\n\n--B\n--B--\n\r\n--B\n\ny\r\n--B--",
            &["\\n--B\\n--B--\\n", "y"],
        ),
        ("LF around headers in a CRLF message", "B", b"--B\r\nA: b\n\nx\r\n--B--", &["x"]),
        (
            "almost delimiters",
            "B-x",
            b"--B-x\r\n\r\n\r\n--B-\r\n--B-xy\r\n --B-x\r\n--B-x y\r\n--B-x-\r\n--B-x\r\r\n\r\r\n-\r\n--B-x--",
            &["\\r\\n--B-\\r\\n--B-xy\\r\\n --B-x\\r\\n--B-x y\\r\\n--B-x-\\r\\n--B-x\\r\\r\\n\\r\\r\\n-"],
        ),
        (
            "almost delimiters at the very start",
            "B",
            b"--B\r\n\r\n--BB\r\n--B\r\n\r\n--B \t-\r\n--B\r\n\r\n-\r\n--B--",
            &["--BB", "--B \\t-", "-"],
        ),
        (
            "a delimiter behind an almost delimiter",
            "B",
            b"--B\r\n\r\nx\r\n--B\r\r\n--B\r\n\r\n\r\n--\r\n--B--",
            &["x\\r\\n--B\\r", "\\r\\n--"],
        ),
        (
            "WCF",
            "uuid:37+id=17",
            b"\r\n--uuid:37+id=17\r\nContent-ID: <http://tempuri.org/0>\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: application/xop+xml;charset=utf-8;type=\"application/soap+xml\"\r\n\r\n<s/>\r\n--uuid:37+id=17--\r\n",
            &["<s/>"],
        ),
        (
            "CXF: folded headers",
            "B",
            b"--B\r\nContent-Type: application/xop+xml;\r\n\ttype=\"application/soap+xml\"\r\nContent-Transfer-Encoding:\r\n base64\r\n\r\nPGUvPg==\r\n--B--",
            &["<e/>"],
        ),
        (
            "headers in any letter case, blanks before the colon, foreign bytes",
            "B",
            b"--B\r\nCONTENT-TRANSFER-ENCODING : BASE64 \r\nContent-Disposition: attachment; name=\"\xe9\xff\"\r\ncontent-id:<a@b>\r\n\r\nPGUvPg==\r\n--B--",
            &["<e/>"],
        ),
        (
            "base64 in lines, and between delimiters that follow at once",
            "B",
            b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nPGU\r\nv Pg\t=\n=\r\n\r\n--B\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--B\r\nContent-Transfer-Encoding: base64\r\n\r\n--B--",
            &["<e/>", "", ""],
        ),
        (
            "SoapUI: quoted-printable, the root too",
            "----=_Part_0_12.34",
            b"------=_Part_0_12.34\r\nContent-Type: application/xop+xml\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<e a=3D\"=C3=a9\">=\r\n =20 \t\r\n\t.=  \r\n</e>=\r\n------=_Part_0_12.34--\r\n",
            &["<e a=\\\"\\xc3\\xa9\\\">  \\r\\n\\t.</e>"],
        ),
        (
            "transfer encodings that change nothing",
            "B",
            b"--B\r\nContent-Transfer-Encoding: 7bit\r\n\r\n=3D\r\n--B\r\nContent-Transfer-Encoding: Binary\r\n\r\n\0\xff\r\n--B\r\nContent-Transfer-Encoding: \"8bit\";\r\n\r\nPg==\r\n--B--",
            &["=3D", "\\x00\\xff", "Pg=="],
        ),
        (
            "a document format called multipart",
            "B",
            b"--B\r\nContent-Type: multipart/x-hl7-cda-level-one\r\n\r\n<c/>\r\n--B--",
            &["<c/>"],
        ),
    ];
    for (name, boundary, message, expected) in rows {
        assert_eq!(&contents(boundary, message), expected, "{name}");
    }
}

/// The public sample messages' packaging, one of each shape, with their long contents left out.
#[test]
fn sample_messages() {
    struct Sample {
        content_type: &'static str,
        body: &'static [u8],
        root: usize,
        hrefs: &'static [(&'static str, Option<usize>)],
        contents: &'static [&'static str],
    }
    let samples = [
        // test plan runner: CRLF, document in LF text
        Sample {
            content_type: r#"multipart/related; boundary="MIMEBoundary_d4d97c"; type="application/xop+xml"; start="<0.root@testkit-runner>"; start-info="application/soap+xml"; action="urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b""#,
            body: b"--MIMEBoundary_d4d97c\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <0.root@testkit-runner>\r\n\r\n<soapenv:Envelope/>\r\n--MIMEBoundary_d4d97c\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <1.document@testkit-runner>\r\n\r\nThis is my document.\n\nIt is great!\n\n\r\n--MIMEBoundary_d4d97c--\r\n",
            root: 1,
            hrefs: &[("cid:1.document@testkit-runner", Some(2))],
            contents: &["<soapenv:Envelope/>", "This is my document.\\n\\nIt is great!\\n\\n"],
        },
        // Axis2 saved with LF; blanks before the closing delimiter; no attachment
        Sample {
            content_type: r#"multipart/related; boundary="MIMEBoundary_cab1"; type="application/xop+xml"; start="<0.dab1@apache.org>"; start-info="application/soap+xml"; action="urn:ihe:iti:2007:CrossGatewayRetrieve""#,
            body: b"--MIMEBoundary_cab1\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\nContent-Transfer-Encoding: binary\nContent-ID: <0.dab1@apache.org>\n\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope/>\n      \n--MIMEBoundary_cab1--\n",
            root: 1,
            hrefs: &[],
            contents: &["<?xml version=\\\"1.0\\\" encoding=\\\"UTF-8\\\"?><soapenv:Envelope/>\\n      "],
        },
        // Axis2 saved with LF, nothing behind the closing delimiter
        Sample {
            content_type: r#"multipart/related; boundary="MIMEBoundary_ba2e"; type="application/xop+xml"; start="<0.8a2e@apache.org>"; start-info="application/soap+xml""#,
            body: b"--MIMEBoundary_ba2e\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\nContent-Transfer-Encoding: binary\nContent-ID: <0.8a2e@apache.org>\n\n<soapenv:Envelope/>\n--MIMEBoundary_ba2e\nContent-Type: text/plain\nContent-Transfer-Encoding: binary\nContent-ID: <1.9a2e@apache.org>\n\nIt is great!\n\n\n--MIMEBoundary_ba2e--",
            root: 1,
            hrefs: &[("cid:1.9a2e@apache.org", Some(2))],
            contents: &["<soapenv:Envelope/>", "It is great!\\n\\n"],
        },
        // no start; the reference names no part
        Sample {
            content_type: r#"multipart/related; boundary="MIMEBoundary_4948"; type="application/xop+xml"; start-info="application/soap+xml""#,
            body: b"--MIMEBoundary_4948\nContent-ID: <1.6948>\n\n<soapenv:Envelope/>\n--MIMEBoundary_4948\nContent-ID: <2.6948>\n\nIt is great!\n\n--MIMEBoundary_4948--\n",
            root: 1,
            hrefs: &[("cid:1.6948@apache.org", None)],
            contents: &["<soapenv:Envelope/>", "It is great!\\n"],
        },
        // CRLF throughout, blank line as epilogue
        Sample {
            content_type: r#"multipart/related; boundary="MIMEBoundary_95b5"; type="application/xop+xml"; start-info="application/soap+xml""#,
            body: b"--MIMEBoundary_95b5\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <0.85b5@apache.org>\r\n\r\n<soapenv:Envelope>\r\n</soapenv:Envelope>\r\n\r\n--MIMEBoundary_95b5\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <1.b5b5@apache.org>\r\n\r\nIt is great!\r\n\r\n\r\n--MIMEBoundary_95b5--\r\n\r\n",
            root: 1,
            hrefs: &[("cid:1.b5b5@apache.org", Some(2))],
            contents: &["<soapenv:Envelope>\\r\\n</soapenv:Envelope>\\r\\n", "It is great!\\r\\n\\r\\n"],
        },
        // WCF: blank line first, 8bit, everything inline
        Sample {
            content_type: r#"multipart/related; type="application/xop+xml";start="<http://tempuri.org/0>";boundary="uuid:898b3ded-c057-48c5-9f07-43a15680b58d+id=5";start-info="application/soap+xml""#,
            body: b"\r\n--uuid:898b3ded-c057-48c5-9f07-43a15680b58d+id=5\r\nContent-ID: <http://tempuri.org/0>\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: application/xop+xml;charset=utf-8;type=\"application/soap+xml\"\r\n\r\n<s:Envelope/>\r\n--uuid:898b3ded-c057-48c5-9f07-43a15680b58d+id=5--\r\n",
            root: 1,
            hrefs: &[],
            contents: &["<s:Envelope/>"],
        },
        // the root behind the document
        Sample {
            content_type: r#"multipart/related; boundary=b; start="<root.message@cxf.apache.org>""#,
            body: b"--b\r\nContent-ID: <u%40urn%3Aihe>\r\n\r\nPDF\r\n--b\r\nContent-ID: <root.message@cxf.apache.org>\r\n\r\n<e/>\r\n--b--",
            root: 2,
            hrefs: &[("cid:u@urn:ihe", Some(1)), ("cid:u%40urn%3Aihe", Some(1))],
            contents: &["PDF", "<e/>"],
        },
    ];
    for sample in samples {
        let params = multipart(sample.content_type);
        assert_eq!(contents(&params.boundary, sample.body), sample.contents);
        let mut reader = MultipartReader::new(params.boundary.as_bytes(), Limits::default());
        reader.feed(Bytes::from_static(sample.body));
        let (mut root, mut ids) = (None, Vec::new());
        while let Some(event) = reader.next_event().expect("readable") {
            if let Event::PartStart(headers) = event {
                if params.is_root(&headers) {
                    assert_eq!(root.replace(headers.number), None);
                    if let Some(media) = headers.media_type() {
                        assert_eq!(media.essence(), "application/xop+xml");
                        assert_eq!(media.charset(), Charset::Utf8);
                        assert_eq!(media.param("type"), Some("application/soap+xml"));
                    }
                }
                ids.push(headers.content_id.expect("an id"));
            }
        }
        assert_eq!(root, Some(sample.root));
        for (href, expected) in sample.hrefs {
            let reference = [ContentId::from_href(href).expect(href)];
            let part = ids.iter().position(|id| id.best_match(&reference).is_some());
            assert_eq!(part.map(|at| at + 1), *expected, "{href}");
        }
    }
}
