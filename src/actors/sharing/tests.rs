use super::*;
use crate::model::metadata::build::{self, Code};
use crate::model::sharing::{CodeLists, CodeRule};
use crate::model::vocabulary::{self as v, association, identifier, scheme};
use crate::store::memory::MemoryStore;
use crate::store::{Content, Put};

const PATIENT: &str = "1^^^&2.999.1&ISO";

fn uuid(n: u8) -> EntryUuid {
    EntryUuid([n; 16])
}

fn unique_id(n: u8) -> UniqueId {
    UniqueId::parse(&format!("2.999.2.{n}")).unwrap()
}

fn entry(n: u8, confidentiality: &str) -> RegistryObject<'static> {
    let mut entry = build::document_entry(uuid(n).into(), "text/plain");
    let code = Code { code: confidentiality.into(), scheme: "2.16.840.1.113883.5.25".into(), display: "x".into() };
    entry.classifications.push(build::code(scheme::CONFIDENTIALITY_CODE, &code));
    entry.identifiers = vec![
        build::external_identifier(identifier::ENTRY_PATIENT_ID, PATIENT),
        build::external_identifier(identifier::ENTRY_UNIQUE_ID, unique_id(n).to_string()),
    ];
    entry
}

fn package(n: u8, node: &'static str) -> RegistryObject<'static> {
    let (patient, unique) = match node {
        v::FOLDER_NODE => (identifier::FOLDER_PATIENT_ID, identifier::FOLDER_UNIQUE_ID),
        _ => (identifier::SET_PATIENT_ID, identifier::SET_UNIQUE_ID),
    };
    let mut package = build::package(uuid(n).into(), node);
    package.identifiers = vec![
        build::external_identifier(patient, PATIENT),
        build::external_identifier(unique, unique_id(n).to_string()),
    ];
    package
}

fn tie(n: u8, kind: &'static str, from: u8, to: u8) -> RegistryObject<'static> {
    build::association(uuid(n).into(), kind, uuid(from).into(), uuid(to).into())
}

fn normal_only() -> Arc<[Shares]> {
    let allow = CodeLists { confidentiality: vec![CodeRule::parse("N").unwrap()], ..CodeLists::default() };
    Arc::new([Shares { allow, ..Shares::default() }])
}

/// Entries 1 and 2 are shared and 3 is not, nor is what has become of 4, which is 5; folder 10 holds 1, folder 11
/// holds 1 and 3, folder 12 nothing; set 20 holds 1, set 21 holds 1 and 3, set 22 folder 11, set 23 an association
/// that replaces 3 by 2.
async fn view() -> SharedStore {
    let patient = PatientId::parse(PATIENT).unwrap();
    let mut later = entry(5, "R");
    later.common.lid = Some(uuid(4).into());
    let member = association::HAS_MEMBER;
    let objects = [
        entry(1, "N"),
        entry(2, "N"),
        entry(3, "R"),
        entry(4, "N"),
        later,
        package(10, v::FOLDER_NODE),
        package(11, v::FOLDER_NODE),
        package(12, v::FOLDER_NODE),
        package(20, v::SUBMISSION_SET_NODE),
        package(21, v::SUBMISSION_SET_NODE),
        package(22, v::SUBMISSION_SET_NODE),
        package(23, v::SUBMISSION_SET_NODE),
        tie(30, member, 10, 1),
        tie(31, member, 11, 1),
        tie(32, member, 11, 3),
        tie(33, member, 20, 1),
        tie(34, member, 21, 1),
        tie(35, member, 21, 3),
        tie(36, member, 22, 11),
        tie(37, association::RPLC, 2, 3),
        tie(38, member, 23, 37),
        tie(39, association::APND, 2, 1),
    ];
    let store = MemoryStore::default();
    for object in &objects {
        let mut put = Put::new(object, &patient);
        put.object = put.object.with_superseded(object.uuid() == Some(uuid(4)));
        store.commit(Change { puts: vec![put], ..Change::default() }).await.unwrap();
    }
    let content = Content { sha256: [0; 32], sha1: [0; 20], crc32: 0, size: 0 };
    let documents =
        (1..=6).map(|n| DocumentLocator { unique_id: unique_id(n), content, mime_type: "text/plain".into() });
    store.commit(Change { documents: documents.collect(), ..Change::default() }).await.unwrap();
    SharedStore::new(Arc::new(store), normal_only())
}

fn ids(objects: &[PackedObject]) -> Vec<u8> {
    objects.iter().filter_map(|object| object.uuid()).map(|EntryUuid(octets)| octets[0]).collect()
}

#[tokio::test]
async fn what_is_not_shared_does_not_exist() {
    let view = view().await;
    let patient = PatientId::parse(PATIENT).unwrap();
    for (noun, shared) in
        [(Noun::DocumentEntry, vec![1, 2]), (Noun::Folder, vec![10, 12]), (Noun::SubmissionSet, vec![20])]
    {
        assert_eq!(ids(&view.of_patient(&patient, noun).await.unwrap()), shared, "{noun:?}");
        assert_eq!(ids(&view.page(Some(noun), None).await.unwrap().items), shared, "{noun:?}");
    }
    for n in 1..=39 {
        let shared = [1, 2, 10, 12, 20, 30, 33, 39].contains(&n);
        assert_eq!(view.by_uuid(uuid(n)).await.unwrap().is_some(), shared, "{n}");
        let named = shared && n < 30;
        assert_eq!(!view.by_unique_id(&unique_id(n)).await.unwrap().is_empty(), named, "{n}");
    }
    assert!(view.by_logical_id(uuid(4)).await.unwrap().is_empty());
    for (of, shared) in [(1, vec![30, 33, 39]), (2, vec![39]), (3, vec![]), (11, vec![]), (21, vec![]), (37, vec![])] {
        assert_eq!(ids(&view.associations_of(uuid(of)).await.unwrap()), shared, "of {of}");
    }
    // A document whose entry is not shared, or that has none, is not there.
    for (n, there) in [(1, true), (2, true), (3, false), (4, false), (5, false), (6, false)] {
        assert_eq!(view.document(&unique_id(n)).await.unwrap().is_some(), there, "{n}");
    }
    assert!(view.hidden() > 0);
    assert!(view.commit(Change::default()).await.is_err(), "it is for reading");
}

#[test]
fn of_members_documents_pass_and_what_ties_them() {
    let home = |mut object: RegistryObject<'static>| {
        object.common.home = Some("urn:oid:2.999.9".into());
        PackedObject::pack(&object)
    };
    let mut answer = QueryResponse::success(
        [
            entry(1, "N"),
            entry(2, "N"),
            entry(3, "R"),
            package(10, v::FOLDER_NODE),
            package(20, v::SUBMISSION_SET_NODE),
            tie(30, association::HAS_MEMBER, 20, 1),
            tie(31, association::RPLC, 2, 3),
            tie(32, association::APND, 2, 1),
            RegistryObject::new(Body::ObjectRef, uuid(3).into()),
        ]
        .map(home)
        .into(),
    );
    let hides = hidden(&normal_only(), std::iter::once(&answer));
    assert_eq!(leave_out(&normal_only(), &hides, &mut answer), 6);
    assert_eq!(ids(&answer.objects), [1, 2, 32]);
}

#[test]
fn what_one_copy_hides_no_other_shows() {
    let of = |object: RegistryObject<'static>, home: &'static str| {
        let mut object = object;
        object.common.home = Some(home.into());
        QueryResponse::success(vec![PackedObject::pack(&object)])
    };
    // Its own community has restricted it since; a member still holds it as it was, in another spelling of the home.
    let mut answers = [
        of(entry(1, "R"), "urn:oid:2.999.9"),
        of(entry(1, "N"), "URN:OID:2.999.9"),
        // The same id in another community is another document.
        of(entry(1, "N"), "urn:oid:2.999.8"),
    ];
    answers[1].errors = vec![RegistryError::new(ErrorCode::XDSRegistryError, "its hash is …")];
    let hides = hidden(&normal_only(), answers.iter());
    let left: Vec<usize> = answers.iter_mut().map(|answer| leave_out(&normal_only(), &hides, answer)).collect();
    assert_eq!(left, [1, 1, 0]);
    assert!(!answers[1].errors[0].context.contains("hash"), "{:?}", answers[1].errors);
}

#[test]
fn a_member_is_asked_for_what_can_be_judged() {
    let query = |kind: QueryKind| AdhocQuery {
        id: QueryDefinition::of(kind).id.to_owned(),
        home: None,
        return_type: Some("ObjectRef".into()),
        slots: vec![Slot::single("$MetadataLevel", "2"), Slot::single("$other", "'x'")],
    };
    let asked = judgeable(&query(QueryKind::FindDocuments)).unwrap();
    assert_eq!((asked.return_type.as_deref(), asked.slots.len()), (Some("LeafClass"), 1));
    for kind in [
        QueryKind::FindFolders,
        QueryKind::FindSubmissionSets,
        QueryKind::GetFolders,
        QueryKind::GetAssociations,
        QueryKind::GetSubmissionSets,
        QueryKind::GetSubmissionSetAndContents,
        QueryKind::GetFolderAndContents,
        QueryKind::GetFoldersForDocument,
        QueryKind::GetRelatedDocuments,
    ] {
        assert!(judgeable(&query(kind)).is_none(), "{kind:?}");
    }
    let request = |id: &str| DocumentRequest {
        home: None,
        repository: crate::model::ids::RepositoryUniqueId::parse("2.999.3").unwrap(),
        unique_id: UniqueId::parse(id).unwrap(),
    };
    let query = entries_of(&[&request("2.999.1"), &request("2.999.2")]);
    assert_eq!(query.slots[0].values[0], "('2.999.1','2.999.2')");
}
