//! The demonstration holds, and a whole run of it leaves nobody's name or number in the log.

use std::process::Command;

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty())
}

#[test]
fn the_demonstration_holds_and_its_log_names_nobody() {
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["demo", "--once", "--json", "--log", "trace,hyper=info,rustls=info"])
        .output()
        .expect("the demonstration runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        &log[log.len().saturating_sub(4000)..]
    );

    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report in JSON");
    assert_eq!(report["ok"], true);
    assert_eq!(report["found"], 13);
    assert_eq!(report["communities"].as_array().map(Vec::len), Some(15));
    assert!(report["retrieved"].as_array().is_some_and(|all| all.iter().all(|one| one["hash_ok"] == true)));
    assert_eq!(report["partial"]["status"], "PartialSuccess");
    assert_eq!(report["partial"]["missing"].as_array().map(Vec::len), Some(1));
    for key in ["elapsed_ms", "console"] {
        assert!(!report[key].is_null(), "{key}");
    }

    let people: serde_json::Value =
        serde_json::from_str(include_str!("../../samples/demo/people.json")).expect("people");
    let mut forbidden: Vec<String> = Vec::new();
    for person in people.as_object().expect("people by key").values() {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        for name in person["names"].as_array().into_iter().flatten() {
            forbidden.extend(text(&name["family"]));
            forbidden.extend(name["given"].as_array().into_iter().flatten().filter_map(text));
        }
        forbidden.extend(text(&person["nhs_number"]));
        for number in person["nhs_numbers"].as_array().into_iter().flatten() {
            forbidden.extend(text(number).or_else(|| text(&number["value"])));
        }
        for local in person["local_identifiers"].as_array().into_iter().flatten() {
            forbidden.extend(text(&local["value"]));
        }
    }
    assert!(forbidden.len() > 100, "the people have names and numbers");
    let found: std::collections::HashSet<&str> = words(&log).collect();
    let leaked: Vec<_> = forbidden
        .iter()
        // A name of several words leaks if all of them stand in one line; single words are compared whole.
        .filter(|text| match text.contains(|c: char| !c.is_alphanumeric() && c != '\'') {
            true => log.contains(text.as_str()),
            false => text.len() > 2 && found.contains(text.as_str()),
        })
        .collect();
    assert!(log.lines().count() > 100, "the log is a real one");
    assert!(leaked.is_empty(), "in the log: {leaked:?}");
}
