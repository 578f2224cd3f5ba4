//! The ledger of the public assertions, `tests/assertions.toml`: what holds has tests that are there, what does
//! not has a reason and a test that shows it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use causeway::model::response::ResponseStatus;
use causeway::model::rim::Slot;
use causeway::model::vocabulary as v;
use causeway::transaction::TRANSACTIONS;

use crate::support::*;

#[derive(serde::Deserialize)]
struct Ledger {
    assertion: Vec<Assertion>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Assertion {
    id: String,
    section: String,
    says: String,
    binds: String,
    verdict: Verdict,
    /// `file: function`
    #[serde(default)]
    tests: Vec<String>,
    /// Numbers of transactions without which it is about nothing.
    #[serde(default)]
    not_offered: Vec<u32>,
    why: Option<String>,
}

#[derive(serde::Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Holds,
    Untested,
    Tolerated,
    Gap,
    #[serde(rename = "other actor")]
    OtherActor,
}

/// Whether a file has a test of that name: a function with a test's attribute above it, or in a `proptest!`.
fn has_test(file: &str, name: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let Ok(text) = std::fs::read_to_string(&path) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = [format!("fn {name}("), format!("async fn {name}(")];
    lines.iter().enumerate().any(|(number, line)| {
        let above = lines[..number].iter().rev().take_while(|above| above.starts_with("#[") || above.starts_with("//"));
        let has = |attribute: &str| above.clone().any(|above| above.starts_with(attribute));
        declared.iter().any(|declared| line.starts_with(declared.as_str()))
            && (has("#[test]") || has("#[tokio::test"))
            && !has("#[ignore")
    })
}

#[test]
fn the_ledger_is_true_to_the_tests() {
    let ledger: Ledger = toml::from_str(include_str!("../assertions.toml")).expect("a ledger");
    let mut wrong = Vec::new();
    let mut ids = HashSet::new();
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for assertion in &ledger.assertion {
        let Assertion { id, tests, why, .. } = assertion;
        *counts.entry(assertion.verdict).or_default() += 1;
        if !ids.insert(id) {
            wrong.push(format!("{id} is there twice"));
        }
        if [&assertion.section, &assertion.says, &assertion.binds].iter().any(|text| text.is_empty()) {
            wrong.push(format!("{id} does not say what it is"));
        }
        for test in tests {
            let there = test.split_once(": ").is_some_and(|(file, name)| has_test(file, name));
            if !there {
                wrong.push(format!("{id}: there is no test {test}"));
            }
        }
        let missing = match assertion.verdict {
            Verdict::Holds if tests.is_empty() => "a test",
            Verdict::Gap if tests.is_empty() && assertion.not_offered.is_empty() => "a test that shows the gap",
            Verdict::Gap | Verdict::Untested | Verdict::Tolerated | Verdict::OtherActor if why.is_none() => "a reason",
            _ => continue,
        };
        wrong.push(format!("{id} has not {missing}"));
    }
    for assertion in ledger.assertion.iter().filter(|assertion| !assertion.not_offered.is_empty()) {
        for number in &assertion.not_offered {
            if TRANSACTIONS.iter().any(|transaction| transaction.number == format!("ITI-{number}")) {
                wrong.push(format!("{}: ITI-{number} is offered now; does it hold?", assertion.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{counts:?}");
    assert!(counts[&Verdict::Holds] > 80, "{counts:?}");
}

/// ITI18-17.
#[tokio::test]
async fn a_query_is_answered_with_a_simple_message() {
    let broker = TestBroker::start(Options::default()).await;
    let reply = broker
        .call("registry", "urn:ihe:iti:2007:RegistryStoredQuery", |out| {
            causeway::wire::ebrs::write_query(out, &find(PATIENT));
        })
        .await;
    assert_eq!((reply.status, reply.content_type.split(';').next()), (200, Some("application/soap+xml")));
    assert!(reply.text().starts_with('<') || reply.text().starts_with("<?xml"), "{}", reply.text());
}

/// ITI38-008, 013, 023.
#[tokio::test]
async fn a_responding_gateway_hands_on_what_it_is_asked() {
    let broker = TestBroker::start(Options::default()).await;
    broker.provide("2.999.903.1", PATIENT, b"ours").await;
    let (id, domain) = PATIENT.split_once('^').expect("a CX");
    let asked = async |patient: &str, more: &[(&'static str, &str)]| {
        let mut query = find(patient);
        query.slots.extend(more.iter().map(|(name, value)| Slot::single(*name, format!("('{value}')"))));
        let response = broker.query_at("responding-gateway", "urn:ihe:iti:2007:CrossGatewayQuery", &query).await;
        assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
        response.objects.len()
    };
    assert_eq!(asked(PATIENT, &[]).await, 1);
    assert_eq!(asked(&format!("{id}1^{domain}"), &[]).await, 0, "nobody knows that patient");
    assert_eq!(asked(PATIENT, &[("$XDSDocumentEntryFormatCode", "none^^2.999")]).await, 0);
    assert_eq!(asked(PATIENT, &[("$XDSDocumentEntryType", v::STABLE)]).await, 1);
    assert_eq!(asked(PATIENT, &[("$XDSDocumentEntryType", v::ON_DEMAND)]).await, 0);
}

/// ITI38-028, a gap: the registry behind the gateway is in the same process, and no query of it is recorded.
#[tokio::test]
async fn a_cross_gateway_query_is_recorded_once() {
    let broker = TestBroker::start(Options::default()).await;
    broker.query_at("responding-gateway", "urn:ihe:iti:2007:CrossGatewayQuery", &find(PATIENT)).await;
    let records = audit_records(&broker.broker);
    let of = |number: &str| records.iter().filter(|record| record.contains(&format!("\"{number}\""))).count();
    assert_eq!((of("ITI-38"), of("ITI-18")), (1, 0), "{records:?}");
}
