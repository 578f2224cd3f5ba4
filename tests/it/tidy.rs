//! The house rules that a machine can hold: which room uses which, who may name a library, and
//! what production code must not contain. ARCHITECTURE.md tells the reasons.

use std::path::{Path, PathBuf};

/// Which rooms a room may use; a room may always use itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("transaction", &["model"]),
    ("wire", &["model"]),
    ("transform", &["model", "wire"]),
    ("validate", &["model"]),
    ("store", &["model"]),
    ("actors", &["model", "transaction", "validate", "store"]),
    ("transport", &["model", "transaction", "wire", "transform", "validate", "store", "actors"]),
    ("config", &["model", "transaction", "validate", "transport"]),
    ("terminal", &["config"]),
    ("probe", &["model", "transaction", "wire", "validate", "transport", "terminal"]),
    ("broker", &["model", "transaction", "wire", "validate", "store", "actors", "transport", "config"]),
    (
        "demo",
        &["model", "transaction", "wire", "validate", "store", "actors", "transport", "config", "broker", "terminal"],
    ),
    ("simulate", &["model", "transaction", "wire", "transform", "store", "actors", "transport", "terminal"]),
    (
        "bench",
        &[
            "model",
            "transaction",
            "wire",
            "validate",
            "store",
            "actors",
            "transport",
            "config",
            "broker",
            "terminal",
            "simulate",
        ],
    ),
    (
        "commands",
        &[
            "model",
            "transaction",
            "wire",
            "transform",
            "validate",
            "store",
            "actors",
            "transport",
            "config",
            "broker",
            "terminal",
            "demo",
            "simulate",
            "bench",
            "probe",
        ],
    ),
];

/// Libraries that one place alone may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("openssl::", &["transport/certificates.rs", "transport/certificates/"]),
    ("::sled::", &["store/sled.rs"]),
    ("::fjall::", &["store/fjall/"]),
    ("quick_xml::", &["wire/audit.rs", "validate/codes.rs"]),
    ("prometheus_client::", &["transport/metrics.rs"]),
    ("prost::", &["transport/telemetry/"]),
    ("clap::", &["commands/", "main.rs"]),
    ("anyhow::", &["main.rs"]),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("a source folder").flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Source files by their path below `src`, without comments and without test modules.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below src").display().to_string();
            let text = std::fs::read_to_string(&path).expect("a source file");
            (name, text)
        })
        .filter(|(name, _)| !name.contains("tests") && !name.ends_with("suite.rs"))
        .collect()
}

/// The part of a file that is not its test module; one that is a file of its own ends nothing.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let for_tests = |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
    text.lines()
        .zip(text.lines().skip(1).chain([""]))
        .take_while(move |(line, next)| !for_tests(line) || next.ends_with(';'))
        .map(|(line, _)| line)
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn room(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or(name)
}

#[test]
fn rooms_use_only_the_rooms_above_them() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if matches!(name.as_str(), "lib.rs" | "main.rs") {
            continue;
        }
        let own = room(&name);
        let Some((_, allowed)) = ROOMS.iter().find(|(known, _)| *known == own) else {
            wrong.push(format!("{name}: {own} is no room of the table"));
            continue;
        };
        for (number, line) in production(&text) {
            for (at, _) in line.match_indices("crate::") {
                let used = line[at + 7..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                if used != own && !allowed.contains(&used) && ROOMS.iter().any(|(known, _)| *known == used) {
                    wrong.push(format!("{name}:{}: {own} must not use {used}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_are_named_by_their_owners_only() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (library, owners) in OWNERS {
            if owners.iter().any(|owner| name.starts_with(owner)) {
                continue;
            }
            for (number, line) in production(&text) {
                // `crate::store::sled::` is our own file, `::sled::` the library.
                let named = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                if line.match_indices(library).any(|(at, _)| named(at)) {
                    wrong.push(format!("{name}:{}: only {owners:?} name {library}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_that_panics_and_nothing_unfinished() {
    const FORBIDDEN: [&str; 9] =
        [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME"];
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (number, line) in production(&text) {
            for word in FORBIDDEN {
                if line.contains(word) {
                    wrong.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert!(wrong.is_empty(), "no //! at the top of {wrong:?}");
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = include_str!("../../Cargo.toml");
    let mut in_dependencies = false;
    let (mut wrong, mut explained) = (Vec::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && line.starts_with('#') {
            explained = true;
        } else if line.trim().is_empty() {
            explained = false;
        } else if in_dependencies && !explained {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_dependency_is_used() {
    let manifest = include_str!("../../Cargo.toml");
    let sections = manifest.split("\n[").filter(|section| {
        let name = section.lines().next().unwrap_or_default();
        name == "dependencies]" || (name.starts_with("target.") && name.ends_with(".dependencies]"))
    });
    let named = sections.flat_map(|section| section.lines().skip(1)).filter(|line| !line.starts_with('#'));
    let crates: Vec<String> =
        named.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect();
    assert!(crates.len() > 30, "the manifest is read in another way: {crates:?}");
    let sources = sources();
    let unused = crates.iter().filter(|name| {
        let path = format!("{name}::");
        // `crate::store::sled::` is our own file, `sled::` and `::sled::` are the library.
        let used = |line: &str| {
            line.match_indices(&path).any(|(at, _)| {
                let before = line[..at].strip_suffix("::").unwrap_or(&line[..at]);
                !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        };
        !sources.iter().any(|(_, text)| text.lines().any(used))
    });
    let unused: Vec<_> = unused.collect();
    assert!(unused.is_empty(), "nothing of src uses {unused:?}");
}
