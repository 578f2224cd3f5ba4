//! Answers of registries and peers: read, written, read again.
#![no_main]

use causeway::model::packed::PackedObject;
use causeway::model::response::QueryResponse;
use causeway::model::rim::Body;
use causeway::model::stored_query::ReturnType;
use causeway::validate::response::query_response;
use causeway::wire::soap::Fault;
use causeway::wire::xdsb::Binary;
use causeway::wire::xml::Node;
use causeway::wire::{ebrs, xcf};
use causeway_fuzz::{fault_is_readable, with_message, with_written};
use libfuzzer_sys::fuzz_target;

fn written(response: &QueryResponse, return_type: ReturnType) -> QueryResponse {
    let mut out = Vec::new();
    ebrs::write_query_response(&mut out, response, return_type).expect("what was read can be written");
    with_written(out, |document| ebrs::read_query_response(document.root()).expect("what was an answer is one"))
}

/// An answer of ITI-63: its entries are handed on, its documents are parts of the message or in it.
fn fetched(root: Node<'_, '_>) {
    let Ok((answer, objects)) = xcf::read_fetch_response(root) else { return };
    let packed: Vec<_> = objects.iter().map(|(object, _)| PackedObject::pack(object)).collect();
    let mut out = Vec::new();
    ebrs::write_query_response_start(&mut out, &answer);
    let mut expected = 0;
    for (entry, (object, content)) in packed.iter().zip(&objects) {
        if let Some(Binary::Include(href)) = content {
            assert!(href.starts_with("cid:"));
        }
        if content.is_some() {
            assert!(matches!(object.body, Body::ExtrinsicObject { .. }));
            xcf::write_entry_include(&mut out, entry, None, "1@b").expect("what was read can be written");
            expected += 1;
        }
    }
    ebrs::write_query_response_end(&mut out);
    with_written(out, |again| {
        let (_, again) = xcf::read_fetch_response(again.root()).expect("what was an answer is one");
        assert!(again.len() == expected && again.iter().all(|(_, content)| content.is_some()));
    });
}

fuzz_target!(|bytes: &[u8]| {
    with_message(bytes, |document| {
        let root = document.root();
        match ebrs::read_registry_response(root) {
            Ok(response) => {
                let mut out = Vec::new();
                ebrs::write_registry_response(&mut out, response.status, &response.errors);
                with_written(out, |again| {
                    assert_eq!(
                        ebrs::read_registry_response(again.root()).expect("what was an answer is one"),
                        response
                    );
                });
            }
            Err(error) => fault_is_readable(&Fault::sender(error.to_string())),
        }
        fetched(root);
        let Ok(response) = ebrs::read_query_response(root) else { return };
        for packed in &response.objects {
            let _ = packed.unpack().expect("what a peer sent can be handed on");
        }
        let _ = query_response(&response, true);
        // Writing completes objects once; from then on nothing changes.
        let once = written(&response, ReturnType::LeafClass);
        let twice = written(&once, ReturnType::LeafClass);
        assert!(once.objects == twice.objects && once.objects.len() == response.objects.len());
        assert_eq!((once.status, &once.errors), (response.status, &response.errors));
        let references = written(&response, ReturnType::ObjectRef);
        assert!(references.objects.len() <= response.objects.len());
    });
});
