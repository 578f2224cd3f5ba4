//! What people write, as queries; and what comes, as they read it.

use super::table::short;
use super::*;
use crate::model::ids::EntryUuid;
use crate::model::metadata::build;
use crate::model::packed::PackedObject;
use crate::model::response::QueryResponse;
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Body, ObjectId, RegistryObject, Slot};
use crate::model::stored_query::QueryKind;
use crate::model::vocabulary::identifier;
use crate::terminal::Cell;
use crate::validate::stored_query;
use clap::Parser;
use proptest::prelude::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn parse(more: &[&str]) -> Result<Args, clap::Error> {
    Cli::try_parse_from(["x", "--to", "https://h"].iter().chain(more)).map(|cli| cli.args)
}

fn made(more: &[&str]) -> Result<AdhocQuery, String> {
    build(&parse(more).unwrap(), &Codes::built_in()).map_err(|error| error.to_string())
}

fn slots(query: &AdhocQuery) -> Vec<(String, Vec<String>)> {
    query
        .slots
        .iter()
        .map(|slot| (slot.name.to_string(), slot.values.iter().map(ToString::to_string).collect()))
        .collect()
}

fn slot_of(query: &AdhocQuery, name: &str) -> Vec<String> {
    query
        .slots
        .iter()
        .filter(|slot| slot.name == name)
        .flat_map(|slot| slot.values.iter().map(ToString::to_string))
        .collect()
}

const PATIENT: [&str; 2] = ["--nhs-number", "9990010226"];

#[test]
fn a_patient_is_enough() {
    let query = made(&PATIENT).unwrap();
    let status = format!("('{}')", v::APPROVED);
    assert_eq!(
        slots(&query),
        [
            ("$XDSDocumentEntryPatientId".to_owned(), vec!["'9990010226^^^&2.16.840.1.113883.2.1.4.1&ISO'".to_owned()]),
            ("$XDSDocumentEntryStatus".to_owned(), vec![status]),
        ]
    );
    assert_eq!(query.return_type.as_deref(), Some("LeafClass"));
    assert_eq!(stored_query::read(&query).unwrap().definition.kind, QueryKind::FindDocuments);
}

#[test]
fn options_become_slots() {
    let more = [
        "--status",
        "both",
        "--class",
        "823751000000102",
        "--class",
        "373942005",
        "--from-date",
        "2024-01-31",
        "--to-date",
        "2024-02-01T10:30",
        "--object-refs",
        "--home",
        "urn:oid:2.999.1",
        "--param",
        "authorperson=O'Hara%",
        "--param",
        "ConfidentialityCode=N|R",
        "--param",
        "$XDSDocumentEntryConfidentialityCode=V",
        "--param",
        "type=stable|on-demand",
    ];
    let query = made(&[&PATIENT[..], &more].concat()).unwrap();
    let sct = "2.16.840.1.113883.6.96";
    let hl7 = "2.16.840.1.113883.5.25";
    for (name, values) in [
        ("$XDSDocumentEntryClassCode", vec![format!("('823751000000102^^{sct}','373942005^^{sct}')")]),
        ("$XDSDocumentEntryCreationTimeFrom", vec!["20240131".to_owned()]),
        ("$XDSDocumentEntryCreationTimeTo", vec!["202402011030".to_owned()]),
        ("$XDSDocumentEntryAuthorPerson", vec!["('O''Hara%')".to_owned()]),
        ("$XDSDocumentEntryConfidentialityCode", vec![format!("('N^^{hl7}','R^^{hl7}')"), format!("('V^^{hl7}')")]),
        ("$XDSDocumentEntryType", vec![format!("('{}','{}')", v::STABLE, v::ON_DEMAND)]),
        ("$XDSDocumentEntryStatus", vec![format!("('{}','{}')", v::APPROVED, v::DEPRECATED)]),
    ] {
        assert_eq!(slot_of(&query, name), values, "{name}");
    }
    assert_eq!((query.home.as_deref(), query.return_type.as_deref()), (Some("urn:oid:2.999.1"), Some("ObjectRef")));
    assert!(stored_query::read(&query).is_ok());
}

/// Every query, with every parameter that it has, is one that a registry understands.
#[test]
fn every_parameter_of_every_query() {
    for definition in all_queries() {
        let mut more = vec!["--query".to_owned(), definition.name.to_lowercase()];
        let mut one_of = false;
        for parameter in definition.parameters {
            if parameter.need == Need::OneOf && std::mem::replace(&mut one_of, true) {
                continue;
            }
            let value = match parameter.kind {
                Kind::Patient | Kind::Patients => "P^^^&2.999&ISO",
                Kind::Code(_) => "a^^2.999",
                Kind::From(_) | Kind::To(_) => "2024",
                Kind::Status(_) => "approved",
                Kind::EntryType => "on-demand",
                Kind::Availability => "online",
                Kind::Uuid | Kind::LogicalId => "8b97cb13-dc32-5e68-8751-b529953172bb",
                Kind::AssociationType => "RPLC",
                Kind::MetadataLevel => "1",
                Kind::AuthorPerson | Kind::Like(_) | Kind::Identifier(_) | Kind::UniqueId => "2.999",
            };
            more.extend(["--param".to_owned(), format!("{}={value}", parameter.name.trim_start_matches('$'))]);
        }
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let query = made(&more).unwrap();
        let read = if MULTI_PATIENT_QUERIES.contains(definition) {
            stored_query::read_multi_patient(&query)
        } else {
            stored_query::read(&query)
        };
        let read = read.unwrap_or_else(|errors| panic!("{}: {errors:?}", definition.name));
        let given = definition.parameters.iter().filter(|row| row.need != Need::OneOf).count() + usize::from(one_of);
        assert_eq!(read.arguments.len(), given, "{}", definition.name);
    }
}

#[test]
fn raw_parameters_stay_as_they_are_and_go_first() {
    let query = made(
        &[
            &PATIENT[..],
            &[
                "--raw-param",
                "$XDSDocumentEntryStatus=Approved",
                "--raw-param",
                "$XDSDocumentEntryStatus=x",
                "--raw-param",
                "$y=1",
            ],
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!(slot_of(&query, "$XDSDocumentEntryStatus"), ["Approved", "x"]);
    assert_eq!(slot_of(&query, "$y"), ["1"]);
    let without = made(&["--raw-param", "$XDSDocumentEntryPatientId=nobody"]).unwrap();
    assert_eq!(slot_of(&without, "$XDSDocumentEntryPatientId"), ["nobody"]);
}

#[test]
fn what_is_wrong_is_said() {
    for (more, what) in [
        (&["--param", "bogus=1"][..], "no parameter bogus"),
        (&["--param", "bogus"], "NAME=VALUE"),
        (&["--class", "unheard-of"], "no code list"),
        (&["--from-date", "soon"], "CreationTimeFrom"),
        (&["--param", "MetadataLevel=3"], "1 or 2"),
        (&["--param", "MetadataLevel=1|2"], "one value"),
        (&["--query", "GetDocuments"], "by id, not by patient"),
        (&["--query", "FindFolders", "--class", "373942005"], "cannot be limited"),
        (&["--param", "patientid=P^^^&2.999&ISO"], "given twice"),
    ] {
        let error = made(&[&PATIENT[..], more].concat()).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    assert!(made(&[]).unwrap_err().contains("needs a patient"));
    assert!(parse(&["--query", "FindAll"]).is_err());
    assert!(parse(&["--gateway", "--cross"]).is_err());
    assert!(parse(&["--patient", "P^^^&2.999&ISO", "--nhs-number", "9990010226"]).is_err());
}

#[test]
fn help_lists_every_query_and_parameter() {
    let help = long_help();
    for query in QUERIES {
        assert!(help.contains(query.name));
        assert!(query.parameters.iter().all(|parameter| help.contains(parameter.name)));
    }
}

fn entry() -> RegistryObject<'static> {
    let id = ObjectId::read("urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb".into());
    let mut entry = build::document_entry(id, "text/plain");
    entry.common.home = Some("urn:oid:2.999.1".into());
    entry.common.status = Some(v::APPROVED.into());
    entry.common.names = build::name("Ward note");
    entry.common.slots.extend([
        Slot::single(slot::CREATION_TIME, "202403110945"),
        Slot::single(slot::SIZE, "6"),
        Slot::single(slot::REPOSITORY_UNIQUE_ID, "2.999.2"),
        Slot::single("urn:example:extra", "kept"),
    ]);
    let code = build::Code { code: "1".into(), scheme: "2.999".into(), display: "Letter".into() };
    entry.classifications.push(build::code(scheme::CLASS_CODE, &code));
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, "2.999.3"));
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, "P^^^&2.999&ISO"));
    entry
}

fn response() -> QueryResponse {
    let uuid = |n: u8| ObjectId::from(EntryUuid([n; 16]));
    let mut folder = build::package(uuid(2), v::FOLDER_NODE);
    folder.common.names = build::name("Stay");
    let mut set = build::package(uuid(3), v::SUBMISSION_SET_NODE);
    set.common.slots.push(Slot::single(slot::SUBMISSION_TIME, "20240311"));
    set.identifiers.push(build::external_identifier(identifier::SET_UNIQUE_ID, "2.999.4"));
    let association = build::original(uuid(4), uuid(3), uuid(2));
    let reference = RegistryObject::new(Body::ObjectRef, uuid(5));
    let objects = [entry(), folder, set, association, reference].iter().map(PackedObject::pack).collect();
    let error = RegistryError::new(ErrorCode::XDSUnavailableCommunity, "did not answer").at("urn:oid:2.999.9");
    QueryResponse { status: ResponseStatus::PartialSuccess, errors: vec![error], ..QueryResponse::success(objects) }
}

#[test]
fn answers_as_tables() {
    assert_eq!(
        Report::new(&response()).unwrap().render(Colour::Off),
        "\
created           title      class   type  community        repository  uniqueId  status
2024-03-11 09:45  Ward note  Letter        urn:oid:2.999.1  2.999.2     2.999.3   Approved

submitted   title  code  community  uniqueId  entryUUID                                      status
2024-03-11                          2.999.4   urn:uuid:03030303-0303-0303-0303-030303030303

updated  title  code  community  uniqueId  entryUUID                                      status
         Stay                              urn:uuid:02020202-0202-0202-0202-020202020202

association  source                                         target                                         community  status
HasMember    urn:uuid:03030303-0303-0303-0303-030303030303  urn:uuid:02020202-0202-0202-0202-020202020202

entryUUID                                      community
urn:uuid:05050505-0505-0505-0505-050505050505

Error XDSUnavailableCommunity at urn:oid:2.999.9: did not answer
PartialSuccess: 1 document, 1 submission set, 1 folder, 1 association, 1 reference
"
    );
    let nothing = Report::new(&QueryResponse::success(Vec::new())).unwrap();
    assert_eq!(nothing.render(Colour::Off), "Success: nothing found\n");
}

#[test]
fn answers_as_json() {
    let json: serde_json::Value =
        serde_json::from_str(&client::json(&Report::new(&response()).unwrap()).unwrap()).unwrap();
    assert_eq!(json["status"], "PartialSuccess");
    assert_eq!(json["errors"][0]["location"], "urn:oid:2.999.9");
    let document = &json["documents"][0];
    assert_eq!(document["unique_id"], "2.999.3");
    assert_eq!(document["size"], 6);
    assert_eq!(document["class_code"]["code"], "1");
    assert_eq!(document["status"], "Approved");
    assert_eq!(document["object_type"], "stable");
    assert_eq!(document["extra_slots"][0]["name"], "urn:example:extra");
    assert_eq!(json["associations"][0]["type"], "HasMember");
    assert_eq!(json["associations"][0]["submission_set_status"], "Original");
    assert_eq!(json["object_refs"][0]["entry_uuid"], "urn:uuid:05050505-0505-0505-0505-050505050505");
}

#[test]
fn long_titles_and_broken_times() {
    assert_eq!(short(Some(&"é".repeat(49))), Cell::from(format!("{}…", "é".repeat(47))));
    assert_eq!(shown_time("2024"), "2024");
    assert_eq!(shown_time("20240311094500"), "2024-03-11 09:45:00");
    assert_eq!(shown_time("yesterday"), "yesterday");
}

#[test]
fn debug_shows_no_patient() {
    let args = parse(&["--nhs-number", "9990010226", "--param", "patientId=9990010226"]).unwrap();
    assert!(!format!("{args:?}").contains("9990010226"));
}

proptest! {
    /// What a person writes is what the registry reads.
    #[test]
    fn texts_survive_quoting(value in "[^|=\\s\\pC]{1,20}( [^|\\s\\pC]{1,5})?") {
        let definition = QueryDefinition::of(QueryKind::FindDocuments);
        let codes = Codes::built_in();
        let mut maker = Maker::new(definition, &codes);
        maker.set_kind(Kind::Patient, &["P^^^&2.999&ISO".to_owned()]).unwrap();
        maker.set_missing_statuses(StatusArg::Both).unwrap();
        maker.set("AuthorPerson", std::slice::from_ref(&value)).unwrap();
        let query = stored_query::read(&maker.finish(None, ReturnType::LeafClass)).unwrap();
        let texts: Vec<&str> = query.texts(Kind::AuthorPerson).collect();
        let composed: String = unicode_normalization::UnicodeNormalization::nfc(value.as_str()).collect();
        prop_assert_eq!(texts, [composed.as_str()]);
    }
}
