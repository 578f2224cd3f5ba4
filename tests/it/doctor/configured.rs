//! `causeway doctor --peer`: what a broker does at that peer, and in which order.

use serde_json::Value;

use super::{doctor, http, peer};
use crate::support::*;

/// The configuration of a broker with a peer named North, with more said of it and of the broker.
fn configuration(folder: &std::path::Path, url: &str, of_peer: &str, more: &str) -> String {
    let more = format!(
        "{more}[[peer]]\nname = \"North\"\nhome_community_id = \"{HOME}\"\nscope = \"neighbour\"\nkind = \"full\"\n\
         state = \"live\"\nresponding_gateway = \"{url}\"\n{of_peer}\n"
    );
    let file = folder.join("causeway.toml");
    let own = Options { home: Some("urn:oid:2.999.1".into()), more, ..Options::default() };
    std::fs::write(&file, toml(folder, &own)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_the_configuration_is_taken_as_it_is_written_there() {
    let broker = TestBroker::start(Options::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(dir.path(), &broker.url("responding-gateway"), "patient_id = \"same-domain\"", "");
    let (code, out, err) = doctor(&["--config", &file, "--peer", "north"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains(&format!("ok home ITI-38 it answers for {HOME}")), "{out}");
    assert!(!out.contains("ITI-55"), "{out}");
    let (code, _, err) = doctor(&["--config", &file, "--peer", "South"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("has no peer \"South\"; it has North"), "{err}");
}

/// What the broker asks first is asked first: for a patient, who is nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_knows_patients_by_ids_of_its_own_is_asked_for_one() {
    let broker = TestBroker::start(Options::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(dir.path(), &broker.url("responding-gateway"), "patient_id = \"discover\"", "");
    let (code, out, err) = doctor(&["--config", &file, "--peer", "North"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("no {text}: {out}"));
    assert!(
        at("ok http ITI-55") < at("ok response ITI-55") && at("ok response ITI-55") < at("ok http ITI-38"),
        "{out}"
    );
    assert!(out.ends_with("It works.\n"), "{out}");
    let records = audit_records(&broker.broker);
    assert!(records.iter().any(|record| record.contains("ITI-55")), "{records:#?}");
}

/// Elsewhere, nobody need be: queries by patient fail all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_patient_discovery_is_dead_does_not_work() {
    let broker = TestBroker::start(Options::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let of_peer = "patient_id = \"discover\"\npatient_discovery = \"https://127.0.0.1:9/xcpd\"";
    let file = configuration(dir.path(), &broker.url("responding-gateway"), of_peer, "");
    let (code, out, err) = doctor(&["--config", &file, "--peer", "North"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.starts_with("https://127.0.0.1:9/xcpd as the responding-gateway"), "{out}");
    assert!(out.contains("FAIL tcp") && out.contains("It fails at tcp.\n"), "{out}");
    assert!(out.contains("ok response ITI-39") && !out.contains("ok http ITI-55"), "{out}");
    let (code, out, _) = doctor(&["--config", &file, "--peer", "North", "--json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, report["ok"].as_bool(), report["failed"].as_str()), (Some(1), Some(false), Some("tcp")));
    assert_eq!(report["discovery"]["url"], "https://127.0.0.1:9/xcpd");
    // Each can be looked at alone.
    assert_eq!(doctor(&["--config", &file, "--peer", "North", "--only", "query"]).0, Some(0));
    assert_eq!(doctor(&["--config", &file, "--peer", "North", "--only", "discover"]).0, Some(1));
    let (code, out, _) = doctor(&[&broker.url("responding-gateway"), "--config", &file, "--peer", "North"]);
    assert!(code == Some(0) && !out.contains("ITI-55"), "the address that is given, and no other: {out}");
    // What is not asked of an actor is no answer either.
    let (code, _, err) = doctor(&[&broker.url("registry"), "--only", "discover"]);
    assert!(code == Some(2) && err.contains("the registry is not asked that"), "{err}");
}

/// Who answers asynchronously, as is configured, is not at fault when it is asked for an answer at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_asynchronously_is_noted() {
    let fault = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><s:Fault><s:Code>\
                 <s:Value>s:Sender</s:Value><s:Subcode><s:Value xmlns:a=\"http://www.w3.org/2005/08/addressing\">\
                 a:OnlyNonAnonymousAddressSupported</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang=\"en\">\
                 not here</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>";
    let soap = "Content-Type: application/soap+xml\r\n";
    let asynchronous = "exchange = \"asynchronous\"\npatient_id = \"same-domain\"";
    let ours = "[asynchronous]\naddress = \"https://127.0.0.1:9/services/initiating-gateway\"\n";
    for (answer, step) in
        [(http("202 Accepted", "", ""), "http"), (http("500 Internal Server Error", soap, fault), "addressing")]
    {
        let url = peer(CERTIFICATES.files("server"), move |_| answer.clone()).await;
        let dir = tempfile::tempdir().unwrap();
        let file = configuration(dir.path(), &url, asynchronous, ours);
        let (code, out, err) = doctor(&["--config", &file, "--peer", "North"]);
        assert_eq!(code, Some(0), "{out}{err}");
        assert!(out.contains("note exchange asynchronous is configured, asked synchronously"), "{out}");
        assert!(out.contains(&format!("note {step} ITI-38")) && out.contains("skipped response ITI-38"), "{out}");
        // Who is not known to do so does not answer.
        let file = configuration(dir.path(), &url, "patient_id = \"same-domain\"", "");
        let (code, out, _) = doctor(&["--config", &file, "--peer", "North"]);
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains(&format!("FAIL {step}")) && out.contains("exchange = \"asynchronous\""), "{out}");
    }
}
