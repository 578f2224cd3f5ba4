//! ITI-18 and ITI-38 from XML: read, written, read again; the rules of the parameters; the filters.
#![no_main]

use std::sync::LazyLock;

use causeway::model::rim::RegistryObject;
use causeway::model::stored_query::Values;
use causeway::validate::stored_query;
use causeway::wire::ebrs;
use causeway::wire::soap::Fault;
use causeway::wire::xml::{Document, Limits};
use causeway_fuzz::{errors_are_readable, fault_is_readable, reference, with_message, with_written};
use libfuzzer_sys::fuzz_target;

/// A submission that keeps every rule, for the filters to look at.
static OBJECTS: LazyLock<Vec<RegistryObject<'static>>> = LazyLock::new(|| {
    let document =
        Document::parse(include_str!("../seeds/submit/register.xml"), Limits::default()).expect("XML of ours");
    let document: &'static Document<'static> = Box::leak(Box::new(document));
    ebrs::read_submit(document.root()).expect("a submission of ours").objects
});

fuzz_target!(|bytes: &[u8]| {
    with_message(bytes, |document| {
        let query = match ebrs::read_query(document.root()) {
            Ok(query) => query,
            Err(error) => return fault_is_readable(&Fault::sender(error.to_string())),
        };
        let mut out = Vec::new();
        ebrs::write_query(&mut out, &query);
        with_written(out, |again| {
            let again = ebrs::read_query(again.root()).expect("what was a query is one");
            let mut sent = query.clone();
            sent.return_type.get_or_insert("LeafClass".to_owned());
            assert!(again == sent);
        });
        match stored_query::read(&query) {
            Err(errors) => {
                assert!(!errors.is_empty());
                errors_are_readable(&errors);
            }
            Ok(read) => {
                for object in &*OBJECTS {
                    let _ = stored_query::matches(&read, object);
                }
                for argument in &read.arguments {
                    let Values::Texts(groups) = &argument.values else { continue };
                    for pattern in groups.iter().flatten().filter(|pattern| pattern.len() < 256) {
                        for text in ["", "Lindqvist", pattern, "7719^Lindqvist^Per^^^Dr", "a%_b"] {
                            assert_eq!(
                                stored_query::like(pattern, text),
                                reference::like(pattern, text),
                                "{pattern:?} {text:?}"
                            );
                        }
                    }
                }
            }
        }
    });
});
