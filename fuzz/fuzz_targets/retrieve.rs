//! ITI-43 and ITI-39: requests and responses from XML, written and read again.
#![no_main]

use causeway::model::document::{DocumentRequest, RetrievedDocument};
use causeway::transform::retrieve::requests;
use causeway::validate::response::retrieve_response;
use causeway::wire::mtom::ContentId;
use causeway::wire::soap::Fault;
use causeway::wire::xdsb;
use causeway_fuzz::{errors_are_readable, fault_is_readable, with_message, with_written};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_message(bytes, |document| {
        let root = document.root();
        match xdsb::read_retrieve(root) {
            Ok(raw) => {
                assert!(!raw.is_empty());
                let count = raw.len();
                let (good, errors) = requests(raw);
                assert_eq!(good.len() + errors.len(), count);
                errors_are_readable(&errors);
                if !good.is_empty() {
                    let mut out = Vec::new();
                    xdsb::write_retrieve(&mut out, &good);
                    with_written(out, |again| {
                        let raw = xdsb::read_retrieve(again.root()).expect("what was a request is one");
                        assert_eq!(requests(raw), (good, Vec::new()));
                    });
                }
            }
            Err(error) => fault_is_readable(&Fault::sender(error.to_string())),
        }
        let (response, documents) = match xdsb::read_retrieve_response(root) {
            Ok(read) => read,
            Err(error) => return fault_is_readable(&Fault::sender(error.to_string())),
        };
        let _ = retrieve_response(documents.iter().map(|d| (d.unique_id.as_ref(), d.home.as_ref())), true);
        let mut out = Vec::new();
        let mut sent = Vec::new();
        xdsb::write_retrieve_start(&mut out, response.status, &response.errors);
        for (n, document) in documents.iter().enumerate() {
            if let xdsb::Binary::Include(href) = &document.content {
                assert!(href.starts_with("cid:"));
                let _ = ContentId::from_href(href);
            }
            let (Some(repository), Some(unique_id)) = (&document.repository, &document.unique_id) else { continue };
            let retrieved = RetrievedDocument {
                request: DocumentRequest {
                    home: document.home.clone(),
                    repository: repository.clone(),
                    unique_id: unique_id.clone(),
                },
                new_repository: document.new_repository.clone(),
                new_unique_id: document.new_unique_id.clone(),
                mime_type: document.mime_type.clone(),
                size: None,
            };
            let content = if n % 2 == 0 {
                xdsb::write_retrieved_include(&mut out, &retrieved, "1@b");
                xdsb::Binary::Include("cid:1@b".into())
            } else {
                xdsb::write_inline_start(&mut out, &retrieved);
                out.extend_from_slice(b"AAAA");
                out.extend_from_slice(xdsb::DOCUMENT_END);
                xdsb::Binary::Inline("AAAA".into())
            };
            sent.push(xdsb::DocumentResponse { content, ..document.clone() });
        }
        xdsb::write_retrieve_end(&mut out);
        with_written(out, |again| {
            let (again, documents) = xdsb::read_retrieve_response(again.root()).expect("what was a response is one");
            assert_eq!(again, response);
            assert_eq!(documents, sent);
        });
    });
});
