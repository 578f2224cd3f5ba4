//! The value grammar of stored queries: a text in quotes is that text, whatever stands in it; LIKE
//! agrees with a slow version of itself.
#![no_main]

use causeway::model::rim::Slot;
use causeway::model::stored_query::{AdhocQuery, Kind, QueryDefinition, QueryKind};
use causeway::validate::stored_query;
use causeway_fuzz::reference;
use libfuzzer_sys::fuzz_target;

fn find(authors: Vec<Slot<'static>>) -> AdhocQuery {
    let mut slots = vec![
        Slot::single("$XDSDocumentEntryPatientId", "'PX-881^^^&2.999.50.100&ISO'"),
        Slot::single("$XDSDocumentEntryStatus", "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')"),
    ];
    slots.extend(authors);
    AdhocQuery {
        id: QueryDefinition::of(QueryKind::FindDocuments).id.to_owned(),
        home: None,
        return_type: Some("LeafClass".to_owned()),
        slots,
    }
}

const AUTHOR: &str = "$XDSDocumentEntryAuthorPerson";

fuzz_target!(|text: &str| {
    let texts: Vec<&str> = text.split('\0').collect();
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
    // One Value with all of them, and a Value for each: the same union.
    let spaced = format!(" ( {} )\n", quoted.join(" , "));
    let apart = quoted.iter().map(|text| format!("({text})"));
    for slot in [Slot::single(AUTHOR, spaced), Slot::list(AUTHOR, apart)] {
        let query = stored_query::read(&find(vec![slot])).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert!(query.texts(Kind::AuthorPerson).eq(texts.iter().copied()));
        assert!(query.patient().is_some_and(|patient| patient.id() == "PX-881"));
    }
    // As it came: no panic, and nothing but texts.
    let _ = stored_query::read(&find(vec![Slot::list(AUTHOR, texts.iter().map(|text| (*text).to_owned()))]));
    if let [pattern, text, ..] = texts[..]
        && pattern.len().max(text.len()) < 512
    {
        assert_eq!(stored_query::like(pattern, text), reference::like(pattern, text), "{pattern:?} {text:?}");
    }
});
