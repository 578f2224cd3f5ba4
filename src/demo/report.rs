//! What a demonstration has shown: as one JSON object, and as a text for people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::model::response::ResponseStatus;
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted, human_duration, human_size};
use crate::transport::tls::TlsFiles;

/// The report. What is serialized is public interface; the rest is for people.
#[derive(Serialize)]
pub struct Report {
    /// Whether every check held.
    pub ok: bool,
    /// Hub, members, neighbours, and those that are planned.
    pub communities: Vec<CommunityRow>,
    /// Documents that the one question found.
    pub found: usize,
    /// Each of them, retrieved.
    pub retrieved: Vec<RetrievedRow>,
    /// The same question with one community stopped.
    pub partial: Partial,
    /// From the start of the first broker to the end of the last check.
    pub elapsed_ms: u64,
    /// The hub's console.
    pub console: String,
    /// Time for all submissions.
    #[serde(skip)]
    pub registering: Duration,
    /// Time for the one question.
    #[serde(skip)]
    pub asking: Duration,
    /// Time for the one retrieve.
    #[serde(skip)]
    pub retrieving: Duration,
    /// Documents of a patient who has a large one.
    #[serde(skip)]
    pub large: Vec<RetrievedRow>,
    /// Time for retrieving those.
    #[serde(skip)]
    pub streaming: Duration,
    /// Status of the one question's answer.
    #[serde(skip)]
    pub status: ResponseStatus,
    /// One patient's documents.
    #[serde(skip)]
    pub story: Vec<StoryRow>,
    /// Name and homeCommunityId of the community that was stopped.
    #[serde(skip)]
    pub stopped: (String, String),
    /// What was held against the samples, and whether it held.
    #[serde(skip)]
    pub checks: Vec<(bool, String)>,
}

/// One community in the report.
#[derive(Debug, Clone, Serialize)]
pub struct CommunityRow {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub home_community_id: String,
    /// live or planned.
    pub state: &'static str,
    /// Documents that it acknowledged.
    pub registered: usize,
    /// Whether the hub asked it.
    pub asked: bool,
    /// How long its answer took, as the hub measured it.
    pub answered_ms: Option<u64>,
    /// Documents in its answer.
    pub returned: usize,
    /// What went wrong.
    pub error: Option<String>,
}

/// One retrieved document.
#[derive(Debug, Clone, Serialize)]
pub struct RetrievedRow {
    /// Where it came from.
    pub home_community_id: String,
    /// Which.
    pub unique_id: String,
    /// Octets received.
    pub bytes: u64,
    /// Whether their SHA-1 is that of the entry and of the sample.
    pub hash_ok: bool,
    /// The SHA-1 of what was received.
    #[serde(skip)]
    pub hash: String,
}

/// The answer while one community is down.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Partial {
    /// Success, PartialSuccess or Failure.
    pub status: &'static str,
    /// Communities named as missing.
    pub missing: Vec<String>,
    /// Documents of the others.
    pub found: usize,
    /// What the answer says about those that are missing.
    #[serde(skip)]
    pub words: Vec<String>,
}

/// One document of the story.
#[derive(Debug, Clone)]
pub struct StoryRow {
    /// creationTime.
    pub time: String,
    /// Who holds it.
    pub community: String,
    /// Its title.
    pub title: String,
    /// Its media type.
    pub mime_type: String,
    /// What became of retrieving it.
    pub retrieved: RetrievedRow,
}

impl Report {
    /// For machines.
    pub fn json(&self) -> String {
        // Texts and numbers only: there is nothing in it that JSON could not say.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What did not hold.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|(held, _)| !held).map(|(_, what)| what.as_str())
    }

    /// For people.
    pub fn text(&self, colour: Colour) -> String {
        let live = self.communities.iter().filter(|row| row.state == "live").count();
        let mut out = String::new();
        let mut say = |text: String| out.push_str(&text);
        let head = |text: &str| format!("\n{}\n\n", Tone::Strong.paint(text, colour));
        let registered: usize = self.communities.iter().map(|row| row.registered).sum();
        say(format!(
            "{live} communities on this machine, each with its own certificates, stores, audit trail and ports;\n\
             every call between them, and to them, over mutual TLS\n"
        ));

        say(head("Registered, and asked once"));
        say(self.communities_table().render(colour));
        say(format!(
            "\n{registered} documents registered in {} (ITI-41)\n\
             1 question to the hub (ITI-18), passed on to {} communities (ITI-38):\n\
             {} in {}, TLS handshakes included: {}\n",
            human_duration(self.registering),
            self.communities.iter().filter(|row| row.asked).count().saturating_sub(1),
            counted(self.found, "document"),
            human_duration(self.asking),
            status(self.status),
        ));

        say(head("Retrieved from every community (ITI-43, relayed as ITI-39)"));
        say(self.retrieved_table().render(colour));
        let unchanged = |rows: &[RetrievedRow], took: Duration| {
            let good = rows.iter().filter(|row| row.hash_ok).count();
            let bytes = rows.iter().map(|row| row.bytes).sum();
            let (all, size, took) = (counted(rows.len(), "document"), human_size(bytes), human_duration(took));
            format!("{good} of {all} unchanged: {size} in {took}\n")
        };
        say(format!(
            "\n{}and of a patient with a scanned letter, streamed through the hub a chunk at a time:\n{}",
            unchanged(&self.retrieved, self.retrieving),
            unchanged(&self.large, self.streaming)
        ));

        say(head("One patient: under a clinic at home, then taken ill across town. One question shows both"));
        say(self.story_table().render(colour));

        say(head(&format!("{} is stopped, and the first question is asked again", self.stopped.0)));
        say(format!("{}: {} of the others\n", self.partial.status, counted(self.partial.found, "document")));
        for (home, words) in self.partial.missing.iter().zip(&self.partial.words) {
            say(format!("missing: {home}\n  {}\n", plain(words)));
        }

        let held = self.checks.iter().filter(|(held, _)| *held).count();
        let took = human_duration(Duration::from_millis(self.elapsed_ms));
        let verdict = if self.ok { Tone::Good.paint("ok", colour) } else { Tone::Bad.paint("FAIL", colour) };
        say(format!(
            "\n{verdict}  {held} of {} held, {took} from start to finish\n",
            counted(self.checks.len(), "check")
        ));
        for what in self.failed() {
            say(format!("{}  {what}\n", Tone::Bad.paint("FAIL", colour)));
        }
        out
    }

    fn communities_table(&self) -> Table {
        let mut table = Table::new(&[
            ("community", Align::Left),
            ("home", Align::Left),
            ("state", Align::Left),
            ("registered", Align::Right),
            ("answered", Align::Right),
            ("returned", Align::Right),
            ("", Align::Left),
        ]);
        for row in &self.communities {
            let tone = if row.asked { Tone::Plain } else { Tone::Faint };
            let answered = match row.answered_ms {
                Some(ms) => format!("{ms} ms"),
                None if row.asked => "no answer".to_owned(),
                None => "not asked".to_owned(),
            };
            let number = |number: usize| Cell::new(if row.asked { number.to_string() } else { String::new() }, tone);
            table.row([
                Cell::new(&row.name, tone),
                Cell::new(&row.home_community_id, Tone::Faint),
                Cell::new(row.state, tone),
                number(row.registered),
                Cell::new(answered, if row.asked && row.answered_ms.is_none() { Tone::Bad } else { tone }),
                number(row.returned),
                Cell::new(row.error.as_deref().unwrap_or_default(), Tone::Bad),
            ]);
        }
        table
    }

    fn retrieved_table(&self) -> Table {
        let mut table = Table::new(&[
            ("community", Align::Left),
            ("document", Align::Left),
            ("bytes", Align::Right),
            ("SHA-1", Align::Left),
            ("", Align::Left),
        ]);
        for row in &self.retrieved {
            let name = self.communities.iter().find(|community| community.home_community_id == row.home_community_id);
            table.row([
                name.map_or(row.home_community_id.as_str(), |community| &community.name).into(),
                row.unique_id.as_str().into(),
                row.bytes.to_string().into(),
                Cell::new(short(&row.hash), Tone::Faint),
                mark(row.hash_ok),
            ]);
        }
        table
    }

    fn story_table(&self) -> Table {
        let mut table = Table::new(&[
            ("when", Align::Left),
            ("what", Align::Left),
            ("from", Align::Left),
            ("type", Align::Left),
            ("bytes", Align::Right),
            ("", Align::Left),
        ]);
        for row in &self.story {
            table.row([
                when(&row.time).into(),
                row.title.as_str().into(),
                row.community.as_str().into(),
                Cell::new(&row.mime_type, Tone::Faint),
                row.retrieved.bytes.to_string().into(),
                mark(row.retrieved.hash_ok),
            ]);
        }
        table
    }
}

fn status(status: ResponseStatus) -> &'static str {
    match status {
        ResponseStatus::Success => "Success",
        ResponseStatus::PartialSuccess => "PartialSuccess",
        ResponseStatus::Failure => "Failure",
    }
}

fn mark(good: bool) -> Cell {
    if good { Cell::new("same as sent", Tone::Good) } else { Cell::new("DIFFERS", Tone::Bad) }
}

/// Words from an answer: a terminal obeys control characters, so they go.
fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Enough of a hash to compare by eye.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// `20251103101500` as `2025-11-03 10:15`.
fn when(time: &str) -> String {
    match (time.get(..4), time.get(4..6), time.get(6..8), time.get(8..10), time.get(10..12)) {
        (Some(year), Some(month), Some(day), Some(hour), Some(minute)) => {
            format!("{year}-{month}-{day} {hour}:{minute}")
        }
        (Some(year), Some(month), Some(day), ..) => format!("{year}-{month}-{day}"),
        _ => time.to_owned(),
    }
}

/// What one can try while the federation runs.
pub struct NextSteps {
    /// The hub's console.
    pub console: String,
    /// The certificate for clients.
    pub client: TlsFiles,
    /// Where everything is.
    pub folder: PathBuf,
    /// Whether that goes when the demonstration stops.
    pub temporary: bool,
    /// A patient that every community knows.
    pub nhs_number: String,
    /// Name, address of the services, and console of each broker; the hub first.
    pub brokers: Vec<(String, String, String)>,
}

impl NextSteps {
    /// For people; `program` is how this program was called.
    pub fn text(&self, program: &str, colour: Colour) -> String {
        let head = |text: &str| Tone::Strong.paint(text, colour);
        let mut table = Table::new(&[("community", Align::Left), ("address", Align::Left), ("console", Align::Left)]);
        for (name, address, console) in &self.brokers {
            table.row([name.as_str().into(), address.as_str().into(), console.as_str().into()]);
        }
        let word = |path: &Path| shell(&path.display().to_string());
        let (cert, key) = (word(&self.client.certificate), word(&self.client.key));
        format!(
            "\n{runs}\n\n{table}\n{next}\n\n\
             # ask all communities for a patient's documents\n\
             {program} find --to {hub} --gateway --cert {cert} \\\n    --nhs-number {patient}\n\n\
             # fetch them all, from wherever they are\n\
             {program} retrieve --to {hub} --gateway --cert {cert} \\\n    --nhs-number {patient} --out letters\n\n\
             # what the hub offers to SOAP stacks, and its numbers\n\
             curl --cert {cert} --key {key} --cacert {ca} \\\n    '{hub}/services/initiating-gateway?wsdl'\n\
             curl {console}metrics\n\n\
             Client certificate: {cert}\n\
             its key: {key}\n\
             authority: {ca}\n\
             data of all communities: {folder}{gone}\n\n\
             Ctrl-C stops everything.\n",
            runs = head("The federation runs, all communities up"),
            table = table.render(colour),
            next = head("What to try next"),
            program = shell(program),
            hub = self.brokers.first().map_or("", |(_, address, _)| address),
            patient = self.nhs_number,
            ca = word(&self.client.client_ca),
            console = self.console,
            folder = word(&self.folder),
            gone = if self.temporary { " (removed at the end; --data DIR keeps it)" } else { "" },
        )
    }
}

/// A word as a shell takes it whole.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let retrieved = RetrievedRow {
            home_community_id: "urn:oid:2.999.1".into(),
            unique_id: "2.999.2".into(),
            bytes: 7,
            hash_ok: true,
            hash: "da39a3ee5e6b4b0d3255bfef95601890afd80709".into(),
        };
        Report {
            ok: false,
            communities: vec![CommunityRow {
                name: "North".into(),
                home_community_id: "urn:oid:2.999.1".into(),
                state: "live",
                registered: 3,
                asked: true,
                answered_ms: None,
                returned: 0,
                error: Some("it\x1b[2J broke".into()),
            }],
            found: 1,
            retrieved: vec![retrieved.clone()],
            partial: Partial {
                status: "PartialSuccess",
                missing: vec!["urn:oid:2.999.1".into()],
                found: 0,
                words: vec!["went\x07 away".into()],
            },
            elapsed_ms: 1234,
            console: "http://127.0.0.1:1/".into(),
            registering: Duration::from_millis(5),
            asking: Duration::from_millis(5),
            retrieving: Duration::from_millis(5),
            large: Vec::new(),
            streaming: Duration::ZERO,
            status: ResponseStatus::Success,
            story: vec![StoryRow {
                time: "20251103101500".into(),
                community: "North".into(),
                title: "Letter".into(),
                mime_type: "text/plain".into(),
                retrieved,
            }],
            stopped: ("North".into(), "urn:oid:2.999.1".into()),
            checks: vec![(true, "held".into()), (false, "North answered".into())],
        }
    }

    #[test]
    fn json_has_the_promised_names_and_no_others() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        let names = |value: &serde_json::Value| {
            let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(names(&json), "communities console elapsed_ms found ok partial retrieved");
        assert_eq!(
            names(&json["communities"][0]),
            "answered_ms asked error home_community_id name registered returned state"
        );
        assert_eq!(names(&json["retrieved"][0]), "bytes hash_ok home_community_id unique_id");
        assert_eq!(names(&json["partial"]), "found missing status");
        assert!(json["communities"][0]["answered_ms"].is_null());
    }

    #[test]
    fn the_text_tells_what_failed_and_steers_no_terminal() {
        let text = report().text(Colour::Off);
        assert!(text.contains("FAIL  1 of 2 checks held"), "{text}");
        assert!(text.contains("FAIL  North answered"), "{text}");
        assert!(text.contains("no answer"), "{text}");
        assert!(text.contains("2025-11-03 10:15  Letter"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(shell("/tmp/a-b.c/client.pem"), "/tmp/a-b.c/client.pem");
        assert_eq!(shell("/tmp/it's here"), r"'/tmp/it'\''s here'");
        assert_eq!(shell(""), "''");
        assert_eq!(when("20251103"), "2025-11-03");
        assert_eq!(when("2025"), "2025");
    }
}
