//! ITI-55 and ITI-56: queries and answers from XML, written and read again.
#![no_main]

use causeway::model::discovery::{Criteria, DiscoveryAnswer, DiscoveryQuery, InstanceId, MessageHeader};
use causeway::model::ids::{HomeCommunityId, PatientId};
use causeway::model::time::Dtm;
use causeway::validate::discovery::judge;
use causeway::wire::hl7v3::{self, Answering};
use causeway::wire::soap::Fault;
use causeway::wire::xcpd;
use causeway_fuzz::{fault_is_readable, with_message, with_written};
use libfuzzer_sys::fuzz_target;

fn answered(out: &mut Vec<u8>, request: &MessageHeader, query: Option<&str>, answer: &DiscoveryAnswer) {
    let with = Answering {
        own: &HomeCommunityId::parse("urn:oid:2.999.2").expect("a home"),
        message_id: &InstanceId::new("2.999.2", "1"),
        created: Dtm::parse("20260301120000").expect("a time"),
        request,
        query_id: None,
        query_by_parameter: query,
    };
    hl7v3::write_response(out, &with, answer);
}

/// The same answer as reading what was written of it gives.
fn settled(answer: DiscoveryAnswer) -> DiscoveryAnswer {
    match answer {
        DiscoveryAnswer::Matches(mut matches) => {
            for found in &mut matches {
                found.home.get_or_insert_with(|| HomeCommunityId::parse("urn:oid:2.999.2").expect("a home"));
            }
            DiscoveryAnswer::Matches(matches)
        }
        DiscoveryAnswer::MoreWanted(mut wanted) => {
            wanted.sort();
            DiscoveryAnswer::MoreWanted(wanted)
        }
        other => other,
    }
}

fuzz_target!(|bytes: &[u8]| {
    with_message(bytes, |document| {
        let root = document.root();
        match hl7v3::read_request(root) {
            Ok(received) => {
                // Whatever was asked, the answer can hold it and is XML.
                let mut out = Vec::new();
                let query = received.query_by_parameter.as_deref();
                answered(&mut out, &received.header, query, &DiscoveryAnswer::NotFound);
                with_written(out, |again| {
                    let again = hl7v3::read_response(again.root()).expect("what was answered is an answer");
                    assert!(again.answer == DiscoveryAnswer::NotFound);
                });
                if let Ok(query) = received.query.clone() {
                    // What nobody is described by is counted, not kept.
                    let criteria = Criteria { others: false, ..query.criteria.clone() };
                    let query = DiscoveryQuery { criteria, ..query };
                    let mut out = Vec::new();
                    hl7v3::write_request(&mut out, &query, Dtm::parse("2026").expect("a time"), Some("https://a/?b&c"));
                    with_written(out, |again| {
                        let again = hl7v3::read_request(again.root()).expect("what was a request is one");
                        let again = again.query.expect("what could be used can be");
                        // A device that was not named is named by its community.
                        assert!(DiscoveryQuery { header: query.header.clone(), ..again } == query);
                    });
                }
                let _ = judge(received.query);
            }
            Err(error) => fault_is_readable(&Fault::sender(error.to_string())),
        }
        if let Ok(received) = hl7v3::read_response(root) {
            let mut out = Vec::new();
            answered(&mut out, &received.header, None, &received.answer);
            with_written(out, |again| {
                let again = hl7v3::read_response(again.root()).expect("what was an answer is one");
                assert!(settled(again.answer) == settled(received.answer));
            });
        }
        let _ = hl7v3::read_acknowledgement(root);
        if let Ok(revocation) = hl7v3::read_revocation(root) {
            let mut out = Vec::new();
            hl7v3::write_revocation(&mut out, &revocation, Dtm::parse("2026").expect("a time"));
            with_written(out, |again| {
                let again = hl7v3::read_revocation(again.root()).expect("what was a revocation is one");
                // A device that was not named is named by its community.
                assert!(again.patient == revocation.patient);
            });
        }
        if let Ok(patient) = xcpd::read_location_request(root) {
            let mut out = Vec::new();
            xcpd::write_location_request(&mut out, &patient);
            with_written(out, |again| {
                assert!(xcpd::read_location_request(again.root()).as_ref() == Ok(&patient));
            });
        }
        if let Ok(locations) = xcpd::read_location_response(root) {
            let patient = PatientId::parse("1^^^&2.999.1&ISO").expect("a patient");
            let mut out = Vec::new();
            xcpd::write_location_response(&mut out, &patient, &locations);
            with_written(out, |again| assert!(xcpd::read_location_response(again.root()) == Ok(locations)));
        }
    });
    if let Ok(text) = std::str::from_utf8(bytes) {
        let now = "2026-01-31T12:00:00Z".parse().expect("a time");
        assert!(xcpd::expiry(text, now).is_none_or(|end| end >= now));
    }
});
