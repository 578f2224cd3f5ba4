//! What a finding tells to write can be written: every piece of configuration in a hint is TOML.

use super::*;

/// Where a value ends.
fn value_end(text: &str) -> usize {
    let (mut depth, mut in_quotes, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => {
                in_quotes = !in_quotes;
                if !in_quotes && depth == 0 {
                    return at + 1;
                }
            }
            _ if in_quotes => {}
            '[' | '{' => depth += 1,
            ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ' ' | ',' | ';' | ':' | ')' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The pieces of a hint that are meant to be written into the file: `key = value`, `[section]`, `[[section]]`.
fn snippets(fix: &str) -> Vec<String> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(c) = fix[at..].chars().next() {
        let rest = &fix[at..];
        let key = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
        if let Some(value) = rest[key..].strip_prefix(" = ").filter(|_| key > 0) {
            let end = value_end(value);
            found.push(format!("{} = {}", &rest[..key], &value[..end]));
            at += key + 3 + end;
        } else if rest.starts_with("[[") || (c == '[' && rest[1..].starts_with(is_key)) {
            let end = value_end(rest);
            found.push(rest[..end].to_owned());
            at += end;
        } else if c == '"' {
            at += value_end(rest);
        } else {
            at += key.max(c.len_utf8());
        }
    }
    found
}

fn is_toml(snippet: &str) -> bool {
    snippet.parse::<toml::Table>().is_ok()
}

#[test]
fn snippets_are_found_in_hints() {
    for (fix, expected) in [
        ("write nodes = [{ name = \"B, c\" }]: there can be several", &["nodes = [{ name = \"B, c\" }]"][..]),
        (
            "add [[listener]] with bind = \"x\" and tls = { key = \"k\" }",
            &["[[listener]]", "bind = \"x\"", "tls = { key = \"k\" }"],
        ),
        ("write wait = 5, or [profile.\"a b\"]", &["wait = 5", "[profile.\"a b\"]"]),
        ("write \"a = b\", or patients.unknown = \"accept\"", &["patients.unknown = \"accept\""]),
    ] {
        assert_eq!(snippets(fix), expected);
        assert!(expected.iter().all(|snippet| is_toml(snippet)));
    }
    for wrong in ["[[peer[0].nodes]]", "[peer[0].shares]", "nodes = [ … ]", "tls = { certificate, key }", "[a b]"] {
        assert_eq!(snippets(&format!("write {wrong}")), [wrong]);
        assert!(!is_toml(wrong), "{wrong}");
    }
}

/// The configuration with another value in each place in turn.
fn mutants(value: &toml::Value, change: &mut dyn FnMut(toml::Value)) {
    let others =
        ["\"x\"", "\"\"", "3", "true", "1.5", "2026-12-01", "[]", "[\"x\"]", "[3]", "[[]]", "{ x = 1 }", "[{ x = 1 }]"];
    for other in others {
        let table: toml::Table = format!("x = {other}").parse().unwrap();
        change(table["x"].clone());
    }
    match value {
        toml::Value::Table(table) => {
            for (key, inner) in table {
                mutants(inner, &mut |other| {
                    let mut table = table.clone();
                    table.insert(key.clone(), other);
                    change(toml::Value::Table(table));
                });
            }
        }
        toml::Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                mutants(inner, &mut |other| {
                    let mut list = list.clone();
                    list[at] = other;
                    change(toml::Value::Array(list));
                });
            }
        }
        _ => {}
    }
}

#[test]
fn every_snippet_in_a_hint_is_toml() {
    let mut fixes: BTreeMap<String, String> = BTreeMap::new();
    let mut read = |text: &str| {
        let findings = match Config::from_toml(text, Path::new("/etc/causeway")) {
            Ok(config) => config.notes,
            Err(error) => error.findings,
        };
        fixes.extend(findings.into_iter().map(|finding| (finding.fix, finding.key)));
    };
    for (more, ..) in CASES {
        read(&format!("{SMALL}{more}"));
    }
    for more in super::meant::NOTED.iter().map(|(more, ..)| more) {
        read(&format!("{SMALL}{more}"));
    }
    read("");
    let more = "[profile.old]\nsoap = \"1.1\"\nto = \"none\"\n[[peer]]\nname = \"N\"\nhome_community_id = \"urn:oid:2.999.5\"\n\
        responding_gateway = [\"https://a.example/x\"]\nprofile = \"old\"\nlocated_by = \"urn:oid:2.999.2\"\ncertificates = [\"CN=n\"]\n\
        shares = { allow = { class = [\"a\"] } }\nnodes = [{ name = \"B\", home_community_id = \"urn:oid:2.999.5.1\" }]\n\
        changes = [{ from = \"2026-12-01\", state = \"closed\" }]\nsince = \"2026-01-01\"\n[locator]\npolicy = \"directed\"\nwait = \"1s\"\n";
    let whole: toml::Value = toml::Value::Table(format!("{SMALL}{EVERYTHING}{more}").parse().unwrap());
    let mut count = 0;
    mutants(&whole, &mut |other| {
        count += 1;
        if let toml::Value::Table(table) = other {
            read(&table.to_string());
        }
    });
    assert!(count > 1000 && fixes.len() > 150, "{count} {}", fixes.len());
    let wrong: Vec<_> = fixes
        .iter()
        .flat_map(|(fix, key)| snippets(fix).into_iter().map(move |snippet| (key, fix, snippet)))
        .filter(|(.., snippet)| !is_toml(snippet))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where a list of tables is meant, what is told to be written is what is read.
#[test]
fn lists_of_tables_are_written_as_they_are_told() {
    let peer =
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e/x\"\n";
    for (before, key) in [(peer, "nodes"), (peer, "changes"), ("[patients]\n", "domains")] {
        for wrong in ["\"x\"", "[\"x\"]", "{ x = 1 }", "3"] {
            let found = findings(&format!("{before}{key} = {wrong}\n"));
            let [(.., fix)] = &found[..] else { panic!("{found:?}") };
            let snippets = snippets(fix);
            let [snippet] = &snippets[..] else { panic!("{fix}") };
            assert!(with(&format!("{before}{snippet}\n")).is_ok(), "{snippet}");
        }
    }
}
