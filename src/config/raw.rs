//! The configuration as written: a tree in which every value knows its line, or the environment
//! variable that it came from, and sections that hand out typed values.
//!
//! Not serde: it stops at the first thing it dislikes and forgets where it was, and an operator
//! wants all findings with their lines at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigFinding;
use super::units;

/// Environment variables that override the file begin with this.
pub(super) const ENVIRONMENT_PREFIX: &str = "CAUSEWAY__";

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Line of the file, from 1.
    Line(usize),
    /// Environment variable.
    Variable(String),
    /// Nowhere: the section is absent and stands for its defaults.
    Absent,
}

/// A value with the place it was written at.
#[derive(Debug, Clone)]
pub(super) struct Node {
    origin: Origin,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// As it is written.
    Fraction(String),
    /// Without quotes, as it is written.
    Date(String),
    /// Nothing here takes one.
    Other(&'static str),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Fraction(_) => "a fraction",
            Self::List(_) => "a list",
            Self::Table(_) => "a section",
            Self::Date(_) => "a date",
            Self::Other(kind) => kind,
        }
    }

    /// What was meant, if only the quotes are missing.
    fn unquoted(&self) -> Option<String> {
        match self {
            Self::Integer(number) => Some(number.to_string()),
            Self::Boolean(boolean) => Some(boolean.to_string()),
            Self::Fraction(written) | Self::Date(written) => Some(written.clone()),
            Self::Text(_) | Self::List(_) | Self::Table(_) | Self::Other(_) => None,
        }
    }
}

/// A key with its place, to be blamed.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) key: String,
    pub(super) origin: Origin,
}

/// A text value with its place.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) spot: Spot,
}

/// Collects everything that is wrong, and beside it what deserves a look.
#[derive(Debug, Default)]
pub(super) struct Findings {
    wrong: RefCell<Vec<ConfigFinding>>,
    notes: RefCell<Vec<ConfigFinding>>,
}

/// In the order of the file; what has no line comes last.
fn sorted(mut all: Vec<ConfigFinding>) -> Vec<ConfigFinding> {
    all.sort_by_key(|finding| finding.line.unwrap_or(usize::MAX));
    all
}

impl ConfigFinding {
    fn at(spot: &Spot, what: &str, fix: String) -> Self {
        let (line, what) = match &spot.origin {
            Origin::Line(line) => (Some(*line), what.to_owned()),
            Origin::Variable(name) => (None, format!("{what} (environment variable {name})")),
            Origin::Absent => (None, what.to_owned()),
        };
        Self { line, key: spot.key.clone(), what, fix }
    }
}

impl Findings {
    pub(super) fn add(&self, spot: &Spot, what: impl AsRef<str>, fix: impl Into<String>) {
        self.wrong.borrow_mut().push(ConfigFinding::at(spot, what.as_ref(), fix.into()));
    }

    /// Something that works, and is most likely not what was meant.
    pub(super) fn note(&self, spot: &Spot, what: impl AsRef<str>, fix: impl Into<String>) {
        self.notes.borrow_mut().push(ConfigFinding::at(spot, what.as_ref(), fix.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wrong.borrow().is_empty()
    }

    /// All that is wrong.
    pub(super) fn into_sorted(self) -> Vec<ConfigFinding> {
        sorted(self.wrong.into_inner())
    }

    /// What deserves a look.
    pub(super) fn into_notes(self) -> Vec<ConfigFinding> {
        sorted(self.notes.into_inner())
    }
}

/// A name as a key of TOML.
pub(super) fn as_key(name: &str) -> String {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return name.to_owned();
    }
    quoted(name)
}

/// A text as a value of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The path of a section as its header has it: entries of lists have no numbers there.
fn header(path: &str) -> String {
    let (mut header, mut in_quotes, mut in_number, mut escaped) = (String::new(), false, false, false);
    for c in path.chars() {
        in_quotes ^= c == '"' && !escaped;
        escaped = in_quotes && c == '\\' && !escaped;
        in_number |= c == '[' && !in_quotes;
        if !in_number {
            header.push(c);
        }
        in_number &= c != ']';
    }
    header
}

// --- reading the file ------------------------------------------------------------------------

/// Reads a TOML text; each syntax error is a finding.
pub(super) fn parse(text: &str, findings: &Findings) -> Node {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        findings.add(
            &Spot { key: "syntax".to_owned(), origin: Origin::Line(line) },
            error.message(),
            "correct this line: key = \"text\", key = 5, key = true, [section], [[listener]]",
        );
    }
    Node { origin: Origin::Line(1), value: lines.table(document.into_inner()) }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect())
    }

    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    fn table(&self, table: DeTable<'_>) -> Value {
        let entries = table.into_iter().map(|(key, value)| {
            // Keys rather than values: a text may go over many lines, a table is elsewhere.
            let line = self.at(key.span().start);
            let node = Node { origin: Origin::Line(line), value: self.value(value.into_inner()) };
            (key.into_inner().into_owned(), node)
        });
        Value::Table(entries.collect())
    }

    fn element(&self, element: Spanned<DeValue<'_>>) -> Node {
        Node { origin: Origin::Line(self.at(element.span().start)), value: self.value(element.into_inner()) }
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                i64::from_str_radix(&digits, number.radix())
                    .map_or(Value::Other("a number out of range"), Value::Integer)
            }
            DeValue::Boolean(boolean) => Value::Boolean(boolean),
            DeValue::Float(number) => Value::Fraction(number.as_str().replace('_', "")),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(list) => Value::List(list.into_iter().map(|element| self.element(element)).collect()),
            DeValue::Table(table) => self.table(table),
        }
    }
}

// --- the environment -------------------------------------------------------------------------

/// Puts `CAUSEWAY__SECTION__KEY=value` over what the file says; lists by their index, from 0.
pub(super) fn override_with(
    root: &mut Node,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    findings: &Findings,
) {
    let mut ours = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        ours.push((path, name.to_owned(), value));
    }
    // Indexes in numeric order, so that 0 is there before 1 and 9 before 10.
    ours.sort_by_cached_key(|(path, _, _)| {
        let rank = |part: &String| (part.parse::<usize>().unwrap_or(usize::MAX), part.clone());
        path.iter().map(rank).collect::<Vec<_>>()
    });
    for (path, name, value) in ours {
        let spot = Spot { key: path.join("."), origin: Origin::Variable(name.clone()) };
        let Ok(value) = value.into_string() else {
            findings.add(&spot, "the value is not UTF-8", "set it again in UTF-8");
            continue;
        };
        let node = variable_value(&value, &spot.origin);
        if let Err(what) = place(root, &path, node, &spot.origin) {
            findings.add(
                &spot,
                what,
                "names are CAUSEWAY__SECTION__KEY, list entries CAUSEWAY__PEER__0__KEY, without gaps",
            );
        }
    }
}

/// A list or an inline table as in the file, else a text that the reader of the key understands.
fn variable_value(text: &str, origin: &Origin) -> Node {
    if text.starts_with(['[', '{'])
        && let Ok(value) = DeValue::parse(text)
    {
        let mut node = Lines::of(text).element(value);
        node.blame(origin);
        return node;
    }
    Node { origin: origin.clone(), value: Value::Text(text.to_owned()) }
}

impl Node {
    fn blame(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.value {
            Value::List(list) => list.iter_mut().for_each(|node| node.blame(origin)),
            Value::Table(table) => table.values_mut().for_each(|node| node.blame(origin)),
            _ => {}
        }
    }
}

fn place(at: &mut Node, path: &[String], node: Node, origin: &Origin) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *at = node;
        return Ok(());
    };
    if first.is_empty() {
        return Err("a part of the name is empty".to_owned());
    }
    let fresh = |next: Option<&String>| Node {
        origin: origin.clone(),
        value: match next {
            Some(next) if next.parse::<usize>().is_ok() => Value::List(Vec::new()),
            _ => Value::Table(BTreeMap::new()),
        },
    };
    match &mut at.value {
        Value::Table(table) => {
            let next = table.entry(first.clone()).or_insert_with(|| fresh(rest.first()));
            place(next, rest, node, origin)
        }
        Value::List(list) => {
            let index: usize = first.parse().map_err(|_| format!("{first} is not the index of a list entry"))?;
            if index == list.len() {
                list.push(fresh(rest.first()));
            }
            let length = list.len();
            let next = list
                .get_mut(index)
                .ok_or_else(|| format!("there are {length} entries, so the next new index is {length}"))?;
            place(next, rest, node, origin)
        }
        other => Err(format!("{first} would be inside of {}", other.kind())),
    }
}

// --- handing out -----------------------------------------------------------------------------

/// A section being read: what nobody takes from it is an unknown key.
pub(super) struct Section<'f> {
    path: String,
    origin: Origin,
    entries: BTreeMap<String, Node>,
    known: Vec<&'static str>,
    findings: &'f Findings,
}

impl<'f> Section<'f> {
    pub(super) fn new(path: &str, node: Node, findings: &'f Findings) -> Self {
        let spot = Spot { key: path.to_owned(), origin: node.origin.clone() };
        let entries = match node.value {
            Value::Table(entries) => entries,
            other => {
                let what = format!("{} is not a section", other.kind());
                findings.add(&spot, what, format!("write [{}] and its keys below", header(path)));
                BTreeMap::new()
            }
        };
        Self { path: spot.key, origin: spot.origin, entries, known: Vec::new(), findings }
    }

    fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The place of a key, whether it was written or not.
    pub(super) fn spot(&self, key: &str) -> Spot {
        let written = self.entries.get(key).map(|node| node.origin.clone());
        Spot { key: self.child(key), origin: written.unwrap_or_else(|| self.origin.clone()) }
    }

    /// The place of the section itself.
    pub(super) fn own_spot(&self) -> Spot {
        Spot { key: self.path.clone(), origin: self.origin.clone() }
    }

    fn take(&mut self, key: &'static str) -> Option<(Node, Spot)> {
        self.known.push(key);
        let spot = self.spot(key);
        self.entries.remove(key).map(|node| (node, spot))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A text, if the key is there.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Text> {
        let (node, spot) = self.take(key)?;
        match node.value {
            Value::Text(value) => Some(Text { value, spot }),
            other => {
                let what = format!("{} where a text is expected", other.kind());
                let fix = match other.unquoted() {
                    Some(meant) => format!("write {key} = \"{meant}\", in quotes"),
                    None => format!("write {key} = \"…\""),
                };
                self.findings.add(&spot, what, fix);
                None
            }
        }
    }

    /// A text, or a list of them.
    pub(super) fn one_or_more(&mut self, key: &'static str) -> Vec<Text> {
        match self.entries.get(key).map(|node| &node.value) {
            Some(Value::List(_)) => self.texts(key),
            _ => self.text(key).into_iter().collect(),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, key: &'static str, example: &str) -> Option<Text> {
        if !self.has(key) {
            self.known.push(key);
            let fix = format!("add {key} = \"{example}\"");
            self.findings.add(&self.spot(key), "the key is missing", fix);
            return None;
        }
        self.text(key)
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some((node, spot)) = self.take(key) else {
            return default;
        };
        let value = match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::Text(text) if matches!(spot.origin, Origin::Variable(_)) => text.parse().ok(),
            _ => None,
        };
        value.unwrap_or_else(|| {
            let what = "neither true nor false";
            self.findings.add(&spot, what, format!("write {key} = {default}, without quotes"));
            default
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        let found = words.iter().find(|(word, _)| *word == text.value);
        found.map_or_else(
            || {
                let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let what = format!("\"{}\" is not one of its values", text.value);
                let fix = suggestion(&text.value, &list);
                self.findings.add(&text.spot, what, fix);
                default
            },
            |(_, value)| *value,
        )
    }

    fn bounded<T: PartialOrd + Copy>(
        &mut self,
        key: &'static str,
        default: T,
        (min, max): (T, T),
        read: impl Fn(&str) -> Option<T>,
        write: impl Fn(T) -> String,
    ) -> T {
        let Some((node, spot)) = self.take(key) else {
            return default;
        };
        let text = match node.value {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Fraction(number) => number,
            other => other.kind().to_owned(),
        };
        let fix = format!("write for example {key} = {}", write(default));
        match read(&text) {
            None => {
                let what = format!("\"{text}\" is not understood");
                self.findings.add(&spot, what, fix);
                default
            }
            Some(value) if value < min || value > max => {
                let what = format!("it must be from {} to {}", write(min), write(max));
                self.findings.add(&spot, what, fix);
                default
            }
            Some(value) => value,
        }
    }

    /// A number of things.
    pub(super) fn count(&mut self, key: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let read = |text: &str| text.replace('_', "").parse().ok();
        self.bounded(key, default, (min, max), read, |number| number.to_string())
    }

    /// A part of a whole, from 0 to 1.
    pub(super) fn part(&mut self, key: &'static str, default: f64) -> f64 {
        let read = |text: &str| text.parse().ok().filter(|part: &f64| part.is_finite());
        self.bounded(key, default, (0.0, 1.0), read, |part| format!("{part:?}"))
    }

    /// A size in bytes, with unit or without.
    pub(super) fn size(&mut self, key: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let write = |size| format!("\"{}\"", units::exact_size(size));
        self.bounded(key, default, (min, max), units::parse_size, write)
    }

    /// A duration, with unit or in seconds.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration, min: Duration, max: Duration) -> Duration {
        let write = |duration| format!("\"{}\"", units::exact_duration(duration));
        self.bounded(key, default, (min, max), units::parse_duration, write)
    }

    /// Whether a list is written there, and nothing in it.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|node| match (&node.value, &node.origin) {
            (Value::List(list), _) => list.is_empty(),
            (Value::Text(text), Origin::Variable(_)) => text.split(',').all(|part| part.trim().is_empty()),
            _ => false,
        })
    }

    fn list(&mut self, key: &'static str, fix: &str) -> Vec<Node> {
        let Some((node, spot)) = self.take(key) else {
            return Vec::new();
        };
        match node.value {
            Value::List(list) => list,
            Value::Text(text) if matches!(spot.origin, Origin::Variable(_)) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Node { origin: spot.origin.clone(), value: Value::Text(part.to_owned()) })
                .collect(),
            other => {
                let what = format!("{} where a list is expected", other.kind());
                self.findings.add(&spot, what, fix);
                Vec::new()
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<Text> {
        let path = self.child(key);
        let mut texts = Vec::new();
        let fix = format!("write {key} = [\"…\", \"…\"]");
        for (index, node) in self.list(key, &fix).into_iter().enumerate() {
            let spot = Spot { key: format!("{path}[{index}]"), origin: node.origin };
            match node.value {
                Value::Text(value) => texts.push(Text { value, spot }),
                other => {
                    let what = format!("{} where a text is expected", other.kind());
                    self.findings.add(&spot, what, fix.as_str());
                }
            }
        }
        texts
    }

    /// A section below this one; an absent one is empty.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'f> {
        let path = self.child(key);
        let node = self
            .take(key)
            .map_or(Node { origin: Origin::Absent, value: Value::Table(BTreeMap::new()) }, |(node, _)| node);
        Section::new(&path, node, self.findings)
    }

    /// Sections that have names of their own: `[profile.NAME]`.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(String, Section<'f>)> {
        let path = self.child(key);
        let Some((node, spot)) = self.take(key) else { return Vec::new() };
        let Value::Table(entries) = node.value else {
            let what = format!("{} is not a section", node.value.kind());
            self.findings.add(&spot, what, format!("write [{path}.NAME] and its keys below"));
            return Vec::new();
        };
        let named = entries.into_iter();
        let section = |name: &str, node| Section::new(&format!("{path}.{}", as_key(name)), node, self.findings);
        named.map(|(name, node)| (name.clone(), section(&name, node))).collect()
    }

    /// Repeated sections: `[[peer]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'f>> {
        let fix = format!("write [[{key}]] with two brackets, and its keys below: there can be several");
        self.repeated(key, &fix)
    }

    /// The same in a list within a section, whose entries are like this one.
    pub(super) fn tables(&mut self, key: &'static str, entry: &str) -> Vec<Section<'f>> {
        self.repeated(key, &format!("write {key} = [{entry}]: there can be several"))
    }

    fn repeated(&mut self, key: &'static str, fix: &str) -> Vec<Section<'f>> {
        let path = self.child(key);
        if self.entries.get(key).is_some_and(|node| matches!(node.value, Value::Table(_))) {
            self.findings.add(&self.spot(key), "it is a list of sections", fix);
            self.take(key);
            return Vec::new();
        }
        let mut sections = Vec::new();
        for (index, node) in self.list(key, fix).into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            if matches!(node.value, Value::Table(_)) {
                sections.push(Section::new(&path, node, self.findings));
            } else {
                let what = format!("{} where a section is expected", node.value.kind());
                self.findings.add(&Spot { key: path, origin: node.origin }, what, fix);
            }
        }
        sections
    }

    /// Ends reading: what is left is unknown.
    pub(super) fn finish(self) {
        for (key, node) in &self.entries {
            let spot = Spot { key: self.child(key), origin: node.origin.clone() };
            self.findings.add(&spot, "unknown key", suggestion(key, &self.known));
        }
    }
}

/// What was probably meant, else everything that is possible.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    nearest(word, known)
        .map_or_else(|| format!("possible here: {}", known.join(", ")), |near| format!("did you mean {near}?"))
}

fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let tolerance = 2.max(word.chars().count() / 3);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    // Longer names are no slips of the pen, and the cost is quadratic.
    let from: Vec<char> = from.chars().take(64).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.chars().count()).collect();
    let mut previous = None;
    for (row, &a) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut left_char = None;
        for (column, b) in to.chars().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (at(&last, column) + usize::from(a != b)).min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            if column > 0 && previous == Some(b) && left_char == Some(a) {
                best = best.min(at(&before_last, column - 1).saturating_add(1));
            }
            current.push(best);
            left_char = Some(b);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(a);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("metadata", "metadata", 0),
            ("metdata", "metadata", 1),
            ("bidn", "bind", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn nothing_near_lists_all() {
        assert_eq!(suggestion("zebra", &["bind", "tls"]), "possible here: bind, tls");
        assert_eq!(suggestion("tsl", &["bind", "tls"]), "did you mean tls?");
    }

    #[test]
    fn names_are_keys_and_paths_are_headers() {
        for name in ["old", "old engine", "a.b", "", "a\"]b\\", "x\ny", "é"] {
            let text = format!("[profile.{}]\n", as_key(name));
            let read: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(read["profile"].get(name).is_some(), "{text}");
            assert_eq!(header(&format!("a[3].{}", as_key(name))), format!("a.{}", as_key(name)));
        }
        assert_eq!(header("peer[12].shares.allow"), "peer.shares.allow");
        assert_eq!(header("profile.\"a[1]\".x[1]"), "profile.\"a[1]\".x");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[\\[\\]a-z.=\"'{}\n#0-9, ]{0,200}") {
            let findings = Findings::default();
            let node = parse(&text, &findings);
            Section::new("", node, &findings).finish();
        }

        #[test]
        fn distance_is_symmetric(a in "[a-e]{0,8}", b in "[a-e]{0,8}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
