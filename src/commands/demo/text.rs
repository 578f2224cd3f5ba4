//! The demonstration's report and what to try next, for people.

use std::path::Path;
use std::time::Duration;

use crate::demo::report::{NextSteps, Report, RetrievedRow};
use crate::demo::trouble::Trouble;
use crate::model::response::ResponseStatus;
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted, human_duration, human_size};

/// The report.
pub fn report(report: &Report, colour: Colour) -> String {
    let live = report.communities.iter().filter(|row| row.state == "live").count();
    let mut out = String::new();
    let mut say = |text: String| out.push_str(&text);
    let head = |text: &str| format!("\n{}\n\n", Tone::Strong.paint(text, colour));
    let registered: usize = report.communities.iter().map(|row| row.registered).sum();
    say(format!(
        "{live} communities on this machine, each with its own certificates, stores, audit trail and ports;\n\
         every call between them, and to them, over mutual TLS\n"
    ));

    say(head("Registered, and asked once"));
    say(communities_table(report).render(colour));
    say(format!(
        "\n{registered} documents registered in {} (ITI-41)\n\
         1 question to the hub (ITI-18), passed on to {} communities (ITI-38):\n\
         {} in {}, TLS handshakes included: {}\n",
        human_duration(report.registering),
        report.communities.iter().filter(|row| row.asked).count().saturating_sub(1),
        counted(report.found, "document"),
        human_duration(report.asking),
        status(report.status),
    ));

    say(head("Retrieved from every community (ITI-43, relayed as ITI-39)"));
    say(retrieved_table(report).render(colour));
    let unchanged = |rows: &[RetrievedRow], took: Duration| {
        let good = rows.iter().filter(|row| row.hash_ok).count();
        let bytes = rows.iter().map(|row| row.bytes).sum();
        let (all, size, took) = (counted(rows.len(), "document"), human_size(bytes), human_duration(took));
        format!("{good} of {all} unchanged: {size} in {took}\n")
    };
    say(format!(
        "\n{}and of a patient with a scanned letter, streamed through the hub a chunk at a time:\n{}",
        unchanged(&report.retrieved, report.retrieving),
        unchanged(&report.large, report.streaming)
    ));

    say(head("One patient: under a clinic at home, then taken ill across town. One question shows both"));
    say(story_table(report).render(colour));

    say(head(&format!("{} is stopped, and the first question is asked again", report.stopped.0)));
    say(format!("{}: {} of the others\n", report.partial.status, counted(report.partial.found, "document")));
    for (home, words) in report.partial.missing.iter().zip(&report.partial.words) {
        say(format!("missing: {home}\n  {}\n", plain(words)));
    }

    say(head("A bad day: one community is stopped, one suspended, one slow, others are not connected yet"));
    say(trouble_table(&report.trouble).render(colour));
    say(format!(
        "\n{}: {} of those that answered\nrequest {}: 'causeway explain' shows what was done for it\n",
        report.trouble.status,
        counted(report.trouble.found, "document"),
        plain(&report.trouble.explain)
    ));

    let held = report.checks.iter().filter(|(held, _)| *held).count();
    let took = human_duration(Duration::from_millis(report.elapsed_ms));
    let verdict = if report.ok { Tone::Good.paint("ok", colour) } else { Tone::Bad.paint("FAIL", colour) };
    say(format!(
        "\n{verdict}  {held} of {} held, {took} from start to finish\n",
        counted(report.checks.len(), "check")
    ));
    for what in report.failed() {
        say(format!("{}  {what}\n", Tone::Bad.paint("FAIL", colour)));
    }
    out
}

fn communities_table(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("community", Align::Left),
        ("home", Align::Left),
        ("state", Align::Left),
        ("registered", Align::Right),
        ("answered", Align::Right),
        ("returned", Align::Right),
        ("", Align::Left),
    ]);
    for row in &report.communities {
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

fn trouble_table(trouble: &Trouble) -> Table {
    let mut table = Table::new(&[
        ("community", Align::Left),
        ("is", Align::Left),
        ("answered", Align::Right),
        ("returned", Align::Right),
        ("in the answer", Align::Left),
        ("", Align::Left),
    ]);
    for row in &trouble.communities {
        let tone = match row.is {
            "stopped" => Tone::Bad,
            "slow" | "suspended" => Tone::Warning,
            "live" => Tone::Plain,
            _ => Tone::Faint,
        };
        let answered = row.answered_ms.map_or_else(|| "no".to_owned(), |ms| format!("{ms} ms"));
        let said = if row.answered_ms.is_some() { "" } else { row.said.as_str() };
        table.row([
            Cell::new(&row.name, tone),
            Cell::new(row.is, tone),
            Cell::new(answered, tone),
            Cell::new(if row.answered_ms.is_some() { row.returned.to_string() } else { String::new() }, tone),
            Cell::new(row.named.unwrap_or(if row.answered_ms.is_some() { "its documents" } else { "nothing" }), tone),
            Cell::new(said, Tone::Faint),
        ]);
    }
    table
}

fn retrieved_table(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("community", Align::Left),
        ("document", Align::Left),
        ("bytes", Align::Right),
        ("SHA-1", Align::Left),
        ("", Align::Left),
    ]);
    for row in &report.retrieved {
        let name = report.communities.iter().find(|community| community.home_community_id == row.home_community_id);
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

fn story_table(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("when", Align::Left),
        ("what", Align::Left),
        ("from", Align::Left),
        ("type", Align::Left),
        ("bytes", Align::Right),
        ("", Align::Left),
    ]);
    for row in &report.story {
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

/// What to try next; `program` is how this program was called.
pub fn next_steps(steps: &NextSteps, program: &str, colour: Colour) -> String {
    let head = |text: &str| Tone::Strong.paint(text, colour);
    let mut table = Table::new(&[("community", Align::Left), ("address", Align::Left), ("console", Align::Left)]);
    for (name, address, console) in &steps.brokers {
        table.row([name.as_str().into(), address.as_str().into(), console.as_str().into()]);
    }
    let word = |path: &Path| shell(&path.display().to_string());
    let (cert, key) = (word(&steps.client.certificate), word(&steps.client.key));
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
        hub = steps.brokers.first().map_or("", |(_, address, _)| address),
        patient = steps.nhs_number,
        ca = word(&steps.client.client_ca),
        console = steps.console,
        folder = word(&steps.folder),
        gone = if steps.temporary { " (removed at the end; --data DIR keeps it)" } else { "" },
    )
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
    use crate::demo::report::example;

    #[test]
    fn the_text_tells_what_failed_and_steers_no_terminal() {
        let text = report(&example(), Colour::Off);
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
