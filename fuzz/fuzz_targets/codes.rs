//! Code files: as many codes as the file's tree has, and no DOCTYPE.
#![no_main]

use causeway::validate::codes::CodeSet;
use causeway::wire::xml::{Document, Limits};
use causeway_fuzz::tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let set = match CodeSet::parse(text) {
        Ok(set) => set,
        Err(error) => {
            assert!((1..=1 + text.matches('\n').count()).contains(&error.line));
            return assert!(!error.to_string().is_empty());
        }
    };
    let _ = (set.allows_mime_type(text), set.allows_language(text), set.assigning_authorities().len());
    assert!(!tree::without_comments(text).contains("<!DOCTYPE"));
    // The message reader is stricter; where it agrees that this is XML, it sees the same codes.
    if let Ok(document) = Document::parse(text, Limits::default()) {
        let codes = document
            .root()
            .children()
            .filter(|list| list.local() == "CodeType")
            .flat_map(|list| list.children().collect::<Vec<_>>())
            .filter(|code| code.local() == "Code")
            .count();
        assert_eq!(set.len(), codes);
    }
});
