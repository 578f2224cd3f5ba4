//! Writes the seeds of all targets: `cargo run --example seeds`. They are messages of our own making,
//! so that the fuzzers begin behind the first check.

use std::fs;
use std::path::Path;

use causeway::config::{Template, default_toml};
use causeway::model::discovery::PatientLocation;
use causeway::model::document::{DocumentRequest, RetrievedDocument};
use causeway::model::ids::{EntryUuid, HomeCommunityId, PatientId, RepositoryUniqueId, UniqueId};
use causeway::model::metadata::build::{self, Code};
use causeway::model::packed::PackedObject;
use causeway::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use causeway::model::rim::{LocalizedString, ObjectId, RegistryObject, Slot, VersionInfo};
use causeway::model::stored_query::{AdhocQuery, Kind, Multiplicity, QUERIES, ReturnType};
use causeway::model::vocabulary::{self as v, association, identifier, scheme, slot};
use causeway::transport::certificates::DevelopmentAuthority;
use causeway::wire::audit::{
    ActiveParticipant, AuditMessage, AuditSourceIdentification, CodedValue, EventIdentification,
    ParticipantObjectContent, ParticipantObjectDetail, ParticipantObjectIdentification,
};
use causeway::wire::mtom::MultipartWriter;
use causeway::wire::soap::{self, Fault, Version};
use causeway::wire::{ebrs, xcf, xcpd, xdsb};
use causeway_fuzz::reference;
use jiff::Timestamp;

const PATIENT: &str = "PX-881^^^&2.999.50.100&ISO";
const KNOWN: &str = "urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb";

fn seed(target: &str, name: &str, content: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), content).expect("a file");
}

fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn id(text: &'static str) -> ObjectId<'static> {
    ObjectId::read(text.into())
}

/// The golden messages of patient discovery, and the two of where a patient is.
fn discovery() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/iti55");
    for entry in fs::read_dir(golden).expect("golden messages") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        seed("discovery", &name, fs::read(&path).expect("a message"));
    }
    let patient = PatientId::parse(PATIENT).expect("a patient");
    let home = HomeCommunityId::parse("urn:oid:2.999.1").expect("a home");
    let locations = [PatientLocation { home, id: patient.clone() }];
    seed("discovery", "where.xml", made(|out| xcpd::write_location_request(out, &patient)));
    seed("discovery", "there.xml", made(|out| xcpd::write_location_response(out, &patient, &locations)));
    seed("discovery", "duration.txt", "P1Y2M3DT4H5M6S");
}

fn code(object: &mut RegistryObject<'static>, scheme: &'static str, code: &str) {
    let code = Code { code: code.to_owned(), scheme: "2.999.60.1".to_owned(), display: "shown".to_owned() };
    object.classifications.push(build::code(scheme, &code));
}

fn finished(mut object: RegistryObject<'static>) -> RegistryObject<'static> {
    let owner = object.common.id.clone();
    for c in &mut object.classifications {
        c.classified = owner.clone();
    }
    for i in &mut object.identifiers {
        i.registry_object = owner.clone();
    }
    object
}

fn submission() -> Vec<RegistryObject<'static>> {
    let mut entry = build::document_entry(id("doc"), "text/plain");
    entry.common.slots.extend([
        Slot::single(slot::CREATION_TIME, "20240311094500"),
        Slot::single(slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        Slot::single(slot::SIZE, "0"),
        Slot::single(slot::LANGUAGE_CODE, "en-GB"),
        Slot::single(slot::REPOSITORY_UNIQUE_ID, "2.999.80.1"),
        Slot::single(slot::SERVICE_START_TIME, "202403110900"),
        Slot::single(slot::SERVICE_STOP_TIME, "202403110930"),
        Slot::single(slot::SOURCE_PATIENT_ID, "W-0042^^^&2.999.50.7&ISO"),
        Slot::list(slot::SOURCE_PATIENT_INFO, ["PID-5|Osei^Ama", "PID-7|19720604"]),
        Slot::list(slot::REFERENCE_ID_LIST, ["ACC-77^^^&2.999.6&ISO^urn:ihe:iti:xds:2013:accession"]),
    ]);
    entry.common.names = build::name("Ward note & <more>");
    entry.classifications.push(build::author(
        scheme::ENTRY_AUTHOR,
        &[
            (slot::AUTHOR_PERSON, "7719^Lindqvist^Per^^^Dr^^^&2.999.50.8&ISO"),
            (slot::AUTHOR_INSTITUTION, "North Ward Hospital^^^^^^^^^2.999.50.1"),
            (slot::AUTHOR_TELECOMMUNICATION, "^^Internet^a@example.org"),
        ],
    ));
    for (scheme, value) in [
        (scheme::CLASS_CODE, "REPORT"),
        (scheme::CONFIDENTIALITY_CODE, "N"),
        (scheme::FORMAT_CODE, "F"),
        (scheme::FACILITY_TYPE_CODE, "HOSP"),
        (scheme::PRACTICE_SETTING_CODE, "GENMED"),
        (scheme::TYPE_CODE, "T"),
    ] {
        code(&mut entry, scheme, value);
    }
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, PATIENT));
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, "2.999.70.1^ext"));
    let mut folder = build::package(id("fol"), v::FOLDER_NODE);
    folder.common.names = build::name("Admission");
    code(&mut folder, scheme::FOLDER_CODE, "ADM");
    folder.identifiers.push(build::external_identifier(identifier::FOLDER_PATIENT_ID, PATIENT));
    folder.identifiers.push(build::external_identifier(identifier::FOLDER_UNIQUE_ID, "2.999.72.1"));
    let mut set = build::package(id("set"), v::SUBMISSION_SET_NODE);
    set.common.slots.push(Slot::single(slot::SUBMISSION_TIME, "20240311095012"));
    code(&mut set, scheme::CONTENT_TYPE_CODE, "ROUND");
    set.identifiers.push(build::external_identifier(identifier::SET_PATIENT_ID, PATIENT));
    set.identifiers.push(build::external_identifier(identifier::SET_SOURCE_ID, "2.999.50.9"));
    set.identifiers.push(build::external_identifier(identifier::SET_UNIQUE_ID, "2.999.71.1"));
    let mut transform = build::association(id("a5"), association::XFRM, id("doc"), id(KNOWN));
    code(&mut transform, scheme::ASSOCIATION_DOCUMENTATION, "AMEND");
    [
        entry,
        folder,
        set,
        build::original(id("a1"), id("set"), id("doc")),
        build::association(id("a2"), association::HAS_MEMBER, id("set"), id("fol")),
        build::association(id("a3"), association::HAS_MEMBER, id("fol"), id("doc")),
        build::association(id("a4"), association::HAS_MEMBER, id("set"), id("a3")),
        transform,
    ]
    .map(finished)
    .into()
}

/// As a registry gives it out.
fn registered() -> RegistryObject<'static> {
    let mut entry = submission().swap_remove(0);
    let uuid: ObjectId<'static> = id(KNOWN);
    entry.common.id = Some(uuid.clone());
    entry.common.lid = Some(uuid);
    entry.common.home = Some("urn:oid:2.999.1".into());
    entry.common.status = Some(v::APPROVED.into());
    entry.common.version = Some(VersionInfo { name: Some("1".into()), comment: None });
    entry.common.descriptions =
        vec![LocalizedString { value: "ä\n".into(), lang: Some("de".into()), charset: Some("UTF-8".into()) }];
    finished(entry)
}

fn envelope(action: &str, payload: &[u8]) -> Vec<u8> {
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some("urn:uuid:11111111-2222-4333-8444-555555555555".to_owned()),
        to: Some("https://localhost/registry".to_owned()),
        reply_to: Some(soap::ANONYMOUS.to_owned()),
        ..soap::Addressing::default()
    };
    let security = "<s:Security xmlns:s=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\"><t xmlns=\"urn:t\" a='1'/></s:Security>";
    made(|out| {
        soap::write_start(out, Version::V12, &addressing, Some(security));
        out.extend_from_slice(payload);
        soap::write_end(out);
    })
}

fn value_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Patient => "'PX-881^^^&2.999.50.100&ISO'",
        Kind::Code(_) => "('REPORT^^2.999.60.1','it''s^^2.999.60.2')",
        Kind::From(_) => "2023",
        Kind::To(_) => "'20250101'",
        Kind::Status(_) => "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')",
        Kind::Uuid | Kind::LogicalId => "('urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb')",
        Kind::UniqueId => "('2.999.70.1^ext')",
        Kind::MetadataLevel => "2",
        Kind::EntryType => "('urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1')",
        Kind::Availability => "('urn:ihe:iti:2010:DocumentAvailability:Online')",
        Kind::AssociationType => "('urn:ihe:iti:2007:AssociationType:XFRM')",
        _ => "('%Lind_vist%')",
    }
}

fn queries() {
    for definition in QUERIES {
        let slots = definition
            .parameters
            .iter()
            .map(|parameter| {
                let value = value_of(parameter.kind);
                let single = parameter.multiplicity == Multiplicity::Single;
                let value = if single { value.trim_matches(['(', ')']) } else { value };
                Slot::single(parameter.name, value)
            })
            .collect();
        let query = AdhocQuery {
            id: definition.id.to_owned(),
            home: Some("urn:oid:2.999.1".to_owned()),
            return_type: Some("LeafClass".to_owned()),
            slots,
        };
        seed("query", &format!("{}.xml", definition.name), made(|out| ebrs::write_query(out, &query)));
    }
}

fn answers() {
    let errors = [
        RegistryError::new(ErrorCode::XDSUnavailableCommunity, "did not answer & <went>").at("urn:oid:2.999.5"),
        RegistryError::new(ErrorCode::received("urn:x#Strange"), "w").warning(),
    ];
    let status = ResponseStatus::PartialSuccess;
    seed("response", "registry.xml", made(|out| ebrs::write_registry_response(out, status, &errors)));
    let mut found: Vec<PackedObject> = submission().iter().map(PackedObject::pack).collect();
    found.push(PackedObject::pack(&registered()));
    let answer = QueryResponse { status, errors: errors.to_vec(), objects: found, home: None };
    for (name, kind) in [("leaf.xml", ReturnType::LeafClass), ("references.xml", ReturnType::ObjectRef)] {
        seed("response", name, made(|out| ebrs::write_query_response(out, &answer, kind).expect("objects of ours")));
    }
    let fetched = made(|out| {
        ebrs::write_query_response_start(out, &answer);
        let entry = PackedObject::pack(&registered());
        xcf::write_entry_include(out, &entry, Some("urn:oid:2.999.1"), "1@b").expect("an object of ours");
        ebrs::write_query_response_end(out);
    });
    seed("response", "fetch.xml", fetched);
    let request = DocumentRequest {
        home: HomeCommunityId::parse("urn:oid:2.999.1").ok(),
        repository: RepositoryUniqueId::parse("2.999.2").expect("an OID"),
        unique_id: UniqueId::parse("2.999.3^a&b").expect("an id"),
    };
    seed("retrieve", "request.xml", made(|out| xdsb::write_retrieve(out, &[request.clone(), request.clone()])));
    discovery();
    let document = RetrievedDocument {
        request,
        new_repository: RepositoryUniqueId::parse("2.999.4").ok(),
        new_unique_id: UniqueId::parse("2.999.5").ok(),
        mime_type: "text/plain".to_owned(),
        size: None,
    };
    seed(
        "retrieve",
        "response.xml",
        made(|out| {
            xdsb::write_retrieve_start(out, status, &errors);
            xdsb::write_retrieved_include(out, &document, "1@b");
            xdsb::write_inline_start(out, &document);
            out.extend_from_slice(b"AAAA");
            out.extend_from_slice(xdsb::DOCUMENT_END);
            xdsb::write_retrieve_end(out);
        }),
    );
}

fn audit() {
    let coded = |code: &str| CodedValue::new(code.to_owned(), "DCM", "Query");
    let message = AuditMessage {
        event: EventIdentification {
            action_code: Some("E".into()),
            date_time: "2025-03-01T12:00:00.123Z".parse().expect("a time"),
            outcome_indicator: 4,
            id: coded("110112"),
            type_codes: vec![coded("ITI-18")],
            outcome_description: Some("a <b> & \"c\"\r\n".to_owned()),
            purposes_of_use: vec![coded("TREAT")],
        },
        participants: vec![ActiveParticipant {
            user_id: "alias<user@https://sts.example.org>".to_owned(),
            alternative_user_id: Some("7".to_owned()),
            user_name: Some("n".to_owned()),
            is_requestor: true,
            network_access_point_id: Some("192.0.2.1".to_owned()),
            network_access_point_type_code: Some(2),
            role_id_codes: vec![coded("110153")],
        }],
        source: AuditSourceIdentification {
            id: "broker".to_owned(),
            enterprise_site_id: Some("urn:oid:2.999.1".to_owned()),
            type_codes: vec!["4".into()],
        },
        objects: vec![ParticipantObjectIdentification {
            id: Some("x".to_owned()),
            type_code: Some(2),
            type_code_role: Some(24),
            data_life_cycle: Some(1),
            sensitivity: Some("N".to_owned()),
            id_type_code: coded("ITI-18"),
            content: Some(ParticipantObjectContent::Query(b"<q/>"[..].into())),
            details: vec![ParticipantObjectDetail { kind: "QueryEncoding".into(), value: b"UTF-8"[..].into() }],
        }],
    };
    seed("audit_message", "query.xml", message.to_xml());
    let named = ParticipantObjectIdentification {
        content: Some(ParticipantObjectContent::Name("n & m".to_owned())),
        ..message.objects[0].clone()
    };
    seed("audit_message", "named.xml", AuditMessage { objects: vec![named], ..message }.to_xml());

    let mut segment = reference::segment_header(1);
    segment.extend(reference::segment_record(b"one", 20, 1));
    segment.extend(reference::segment_record(b"two", 47, 2));
    // The layout of the target's input is the fuzzer's business; the bytes are what helps.
    seed("audit_trail", "segment", [&[1, 3], &segment[..], &[0, 1, 2, 3]].concat());
}

fn certificates() {
    let now: Timestamp = "2025-01-01T00:00:00Z".parse().expect("a time");
    let mut authority = DevelopmentAuthority::new("Fuzz", now).expect("an authority");
    let address = "127.0.0.1".parse().expect("an address");
    let server = authority.issue_server(&["localhost", "*.example.org"], &[address], "server").expect("a certificate");
    let client = authority.issue_client("client").expect("a certificate");
    authority.revoke(&client);
    let due = Timestamp::from_second(now.as_second() + 86_400).expect("a time");
    let list = authority.revocation_list_pem(now, due).expect("a list");
    let pem = authority.certificate_pem().expect("PEM");
    let der = openssl::x509::X509::from_pem(pem.as_bytes()).and_then(|c| c.to_der()).expect("DER");
    seed("certificates", "authority.der", der);
    seed("certificates", "server.der", &server.certificate_der);
    seed("certificates", "client.der", &client.certificate_der);
    let der = openssl::x509::X509Crl::from_pem(list.as_bytes()).and_then(|c| c.to_der()).expect("DER");
    seed("certificates", "list.der", der);
    seed("certificates", "chain.pem", format!("{}{pem}{list}", server.certificate_pem));
    seed("tls", "foreign-certificate", [&[0, 0, 0], server.certificate_pem.as_bytes()].concat());
    seed("tls", "foreign-authority", [&[2, 0, 0], pem.as_bytes()].concat());
    seed("tls", "foreign-list", [&[3, 0, 0], list.as_bytes()].concat());
    seed("tls", "cut-key", [1 + 4, 90, 0]);
    seed("tls", "hole", [&[1 + 8, 90, 0], &b"AAAA"[..]].concat());
}

fn main() {
    let objects = submission();
    seed("submit", "register.xml", made(|out| ebrs::write_submit(out, &objects)));
    let documents = [("doc".to_owned(), "1@b".to_owned())];
    let provide = made(|out| xdsb::write_provide(out, &objects[..1], &documents));
    seed("submit", "provide.xml", &provide);
    for (n, object) in objects.iter().chain([&registered()]).enumerate() {
        seed("packed", &format!("{n}"), PackedObject::pack(object).as_bytes());
    }

    seed("soap", "provide.xml", envelope("urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b", b"<x xmlns='urn:x'/>"));
    let fault = Fault::action_not_supported("urn:x", "No such action.");
    seed("soap", "fault12.xml", soap::write_fault(Version::V12, &fault, Some("urn:uuid:1")));
    seed("soap", "fault11.xml", soap::write_fault(Version::V11, &fault, None));
    seed("xml", "envelope.xml", envelope("urn:x", b"<x/>"));
    seed(
        "xml",
        "small.xml",
        "<?xml version=\"1.0\"?>\n<a:r xmlns:a='urn:a' xmlns='urn:x' q='1&amp;2&#10;'>\n <c a:q=\"\">x<!-- c -->y&lt;<![CDATA[<z>]]></c><a:e xml:lang='en'/></a:r>",
    );

    let writer = MultipartWriter::new("B".to_owned(), "root@b".to_owned()).expect("a boundary");
    let part = writer.document_part("1@b", "text/plain").expect("a part");
    let message = [&writer.root_part()[..], b"<e/>", &part, b"content\r\n--not", &writer.close()].concat();
    for (n, choice) in [0_u8, 8, 16].into_iter().enumerate() {
        seed("mtom", &format!("ours{n}"), [&[choice, 1, 2, 3, 4, 5, 6, 7, 8][..], &message].concat());
    }
    let old = b"--B \r\nContent-ID: <a%40b>\r\nContent-Type: text/plain;\r\n charset=x\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\nRA==\r\n--B\r\ncontent-transfer-encoding: quoted-printable\r\n\r\na=3D=\r\nb \r\n--B--";
    seed("mtom", "encoded", [&[0, 1, 2, 3, 4, 5, 6, 7, 8], &old[..]].concat());
    seed("mtom", "bare", [&[0, 1, 2, 3, 4, 5, 6, 7, 8], &b"--B\nContent-ID: <a>\n\nx\n--B--"[..]].concat());

    seed("content_type", "multipart", writer.content_type(Some("urn:ihe:iti:2007:RetrieveDocumentSet")));
    seed(
        "content_type",
        "nested",
        "multipart/related; boundary=b; type=application/xop+xml; start=\"<a@b>\"; start-info=\"application/soap+xml; action=\\\"urn:x\\\"\"",
    );
    seed("content_type", "simple", "application/soap+xml; charset=UTF-8; action=\"urn:x\"");
    seed("content_type", "cid", "cid:http%3A%2F%2Ftempuri.org%2F1%2F635");

    queries();
    for (name, text) in [("like", "%b_c%\0abcd"), ("quotes", "it's\0('x','y')\0")] {
        seed("query_values", name, text);
    }
    answers();
    audit();
    for (n, text) in [
        "PX-881^^^&2.999.50.100&ISO\x002.999.1",
        "20240311094500\x002024",
        "7719^Lindqvist^Per^^^Dr^^^&2.999.50.8&ISO",
        "North Ward Hospital^^^^^&2.999.9&ISO^^^^45",
        "^^Internet^a@example.org",
        "Clinic|^Okafor|^^PH^^^^1",
        "ACC-77^^^&2.999.6&ISO^urn:ihe:iti:xds:2013:accession",
        "PID-5|Osei^Ama",
        "en-GB",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "urn:oid:2.999.1",
        KNOWN,
        "a\\S\\b\\E\\",
        "application/hl7-v3+xml",
    ]
    .into_iter()
    .enumerate()
    {
        seed("hl7", &format!("{n}"), text);
    }
    seed("config", "init.toml", default_toml(&Template::example().expect("a template")));
    seed("config", "size", "64 MiB");
    seed("config", "duration", "90 s");
    seed("config", "override", "[community]\nname = \"x\"\0CAUSEWAY_LIMITS__XML__DEPTH=3\nCAUSEWAY_COMMUNITY_NAME=y\n");
    for n in 0..4_u8 {
        let bytes: Vec<u8> = (0..=255_u8).cycle().take(600).map(|b| b.wrapping_mul(31).wrapping_add(n * 77)).collect();
        seed("objects", &format!("{n}"), bytes);
    }
    certificates();
    assert!(EntryUuid::parse(KNOWN).is_ok());
}
