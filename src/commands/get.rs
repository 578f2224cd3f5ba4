//! `causeway get`: all attributes of documents by id (GetDocuments, ITI-18 or ITI-38).

use std::process::ExitCode;

use super::Outcome;
use super::client::{self, Client, ClientArgs, DoorArgs, Target};
use super::find::{self, AuthorView, CodeView, DocumentView, Report};
use super::print;
use crate::model::ids::HomeCommunityId;
use crate::model::response::ResponseStatus;
use crate::model::stored_query::Kind;
use crate::terminal::{Align, Cell, Colour, Table, Tone, human_size};

/// Arguments of `causeway get`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  By entryUUID, as it is in what find prints with --json:
    causeway get --to https://localhost:8443 --uuid urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb
  By uniqueId, from another community through the gateway:
    causeway get --to https://localhost:8443 --gateway --home urn:oid:2.999.826.1.21 --unique-id 2.999.1.2.3
  What of it the standard has no attribute for:
    causeway get --to https://localhost:8443 --unique-id 2.999.1.2.3 --json

The exit code is 1 if a document was not found.")]
pub struct Args {
    /// Connection and output.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Which actor.
    #[command(flatten)]
    pub door: DoorArgs,
    /// An entryUUID (repeatable)
    #[arg(help_heading = "Selection", long, value_name = "URN", num_args = 1.., conflicts_with = "unique_id", required_unless_present = "unique_id")]
    pub uuid: Vec<String>,
    /// A uniqueId (repeatable)
    #[arg(help_heading = "Selection", long, value_name = "ID", num_args = 1..)]
    pub unique_id: Vec<String>,
    /// The community that holds it; a gateway needs to know
    #[arg(help_heading = "Selection", long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home: Option<HomeCommunityId>,
}

/// Asks, and prints what came.
///
/// # Errors
/// When no answer comes back.
pub async fn run(args: Args) -> Outcome {
    let (kind, ids) = match args.uuid.as_slice() {
        [] => (Kind::UniqueId, args.unique_id.clone()),
        uuids => (Kind::Uuid, uuids.iter().map(|uuid| find::uuid(uuid)).collect()),
    };
    let query = find::documents_by(kind, &ids, args.home.as_ref())?;
    let target = Target::query(&args.client.to, args.door)?;
    let client = Client::open(&args.client)?;
    let response = client.query(&target, &query).await?;
    let report = Report::new(&response)?;
    let missing = missing(&report, kind, &ids);
    let text = if args.client.json { client::json(&report)? } else { render(&report, &missing, Colour::of_stdout()) };
    print(&text)?;
    let failed = response.status == ResponseStatus::Failure || !missing.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn missing<'i>(report: &Report, kind: Kind, ids: &'i [String]) -> Vec<&'i str> {
    let of = |document: &DocumentView| match kind {
        Kind::Uuid => document.entry_uuid.clone(),
        _ => document.unique_id.clone(),
    };
    let found: Vec<String> = report.documents.iter().filter_map(of).collect();
    ids.iter().map(String::as_str).filter(|id| !found.iter().any(|found| found == id)).collect()
}

fn render(report: &Report, missing: &[&str], colour: Colour) -> String {
    let mut out = String::new();
    for document in &report.documents {
        out.push_str(&attributes(document).render(colour));
        out.push('\n');
    }
    out.push_str(&client::error_lines(&report.errors, colour));
    for id in missing {
        out.push_str(&format!("{}: {}\n", Tone::Bad.paint("not found", colour), client::printable(id)));
    }
    out
}

/// The attributes that are there, in the standard's words.
fn attributes(document: &DocumentView) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.row([Cell::new(name, Tone::Strong), value.into()]);
        }
    };
    let time = |value: &Option<String>| value.as_deref().map(find::shown_time);
    add("title", document.title.clone());
    add("comments", document.comments.clone());
    add("availabilityStatus", document.status.clone());
    add("entryUUID", document.entry_uuid.clone());
    add("logicalID", document.logical_id.clone().filter(|id| Some(id) != document.entry_uuid.as_ref()));
    add("version", document.version.clone());
    add("uniqueId", document.unique_id.clone());
    add("repositoryUniqueId", document.repository_unique_id.clone());
    add("homeCommunityId", document.home_community_id.clone());
    add("patientId", document.patient_id.clone());
    add("sourcePatientId", document.source_patient_id.clone());
    for info in &document.source_patient_info {
        add("sourcePatientInfo", Some(info.clone()));
    }
    add("creationTime", time(&document.creation_time));
    add("serviceStartTime", time(&document.service_start_time));
    add("serviceStopTime", time(&document.service_stop_time));
    for (name, codes) in codes(document) {
        for code in codes {
            add(name, Some(written(code)));
        }
    }
    for author in &document.authors {
        add("author", Some(author_line(author)));
    }
    add("legalAuthenticator", document.legal_authenticator.clone());
    add("languageCode", document.language_code.clone());
    add("mimeType", document.mime_type.clone());
    add(
        "size",
        document
            .size
            .map(|size| if size < 1 << 10 { size.to_string() } else { format!("{size} ({})", human_size(size)) }),
    );
    add("hash", document.hash.clone());
    for id in &document.reference_ids {
        add("referenceIdList", Some(id.clone()));
    }
    add("documentAvailability", document.document_availability.clone());
    add("objectType", document.object_type.clone());
    for slot in &document.extra_slots {
        add(&slot.name, Some(slot.values.join(" | ")));
    }
    table
}

fn codes(document: &DocumentView) -> Vec<(&'static str, Vec<&CodeView>)> {
    vec![
        ("classCode", document.class_code.iter().collect()),
        ("typeCode", document.type_code.iter().collect()),
        ("formatCode", document.format_code.iter().collect()),
        ("healthcareFacilityTypeCode", document.healthcare_facility_type_code.iter().collect()),
        ("practiceSettingCode", document.practice_setting_code.iter().collect()),
        ("confidentialityCode", document.confidentiality_codes.iter().collect()),
        ("eventCodeList", document.event_codes.iter().collect()),
    ]
}

fn written(code: &CodeView) -> String {
    match code.display.as_deref().filter(|display| !display.is_empty()) {
        Some(display) => format!("{display} ({}^^{})", code.code, code.scheme),
        None => format!("{}^^{}", code.code, code.scheme),
    }
}

fn author_line(author: &AuthorView) -> String {
    [&author.persons, &author.roles, &author.specialties, &author.institutions, &author.telecommunications]
        .into_iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::build;
    use crate::model::packed::PackedObject;
    use crate::model::response::QueryResponse;
    use crate::model::rim::{ObjectId, Slot};
    use crate::model::vocabulary::{identifier, scheme};
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn report() -> Report {
        let mut entry =
            build::document_entry(ObjectId::read("urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb".into()), "text/plain");
        entry.common.names = build::name("Ward note");
        entry.common.slots.extend([
            Slot::single("creationTime", "20240311094500"),
            Slot::single("size", "2048"),
            Slot::list("urn:example:extra", ["a", "b"]),
        ]);
        let code = build::Code { code: "1".into(), scheme: "2.999".into(), display: "Letter".into() };
        entry.classifications.push(build::code(scheme::CLASS_CODE, &code));
        entry
            .classifications
            .push(build::author(scheme::ENTRY_AUTHOR, &[("authorPerson", "1^Sampleton"), ("authorRole", "Doctor")]));
        entry.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, "2.999.7"));
        Report::new(&QueryResponse::success(vec![PackedObject::pack(&entry)])).unwrap()
    }

    #[test]
    fn every_attribute_that_is_there() {
        assert_eq!(
            render(&report(), &["9.9"], Colour::Off),
            "\
title              Ward note
entryUUID          urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb
uniqueId           2.999.7
creationTime       2024-03-11 09:45:00
classCode          Letter (1^^2.999)
author             1^Sampleton; Doctor
mimeType           text/plain
size               2048 (2.0 KiB)
objectType         stable
urn:example:extra  a | b

not found: 9.9
"
        );
    }

    #[test]
    fn ids_that_were_not_found_are_told() {
        let ids = ["2.999.7".to_owned(), "2.999.8".to_owned()];
        assert_eq!(missing(&report(), Kind::UniqueId, &ids), ["2.999.8"]);
    }

    #[test]
    fn ids_are_of_one_kind() {
        let parse =
            |more: &[&str]| Cli::try_parse_from(["x", "--to", "https://h"].iter().chain(more)).map(|cli| cli.args);
        assert!(parse(&[]).is_err());
        assert!(parse(&["--uuid", "a", "--unique-id", "b"]).is_err());
        assert_eq!(parse(&["--unique-id", "a", "b"]).unwrap().unique_id.len(), 2);
    }
}
