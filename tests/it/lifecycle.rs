//! ITI-57, 61, 62, 86, 92 and 51: what becomes of metadata and documents after their submission.

use causeway::model::ids::EntryUuid;
use causeway::model::metadata::{Noun, build};
use causeway::model::response::{RegistryResponse, ResponseStatus};
use causeway::model::rim::{ObjectId, RegistryObject, Slot};
use causeway::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use causeway::model::vocabulary::{self as v, association, identifier, scheme, slot};
use causeway::wire::ebrs;

use crate::support::*;

const UPDATE: &str = "urn:ihe:iti:2010:UpdateDocumentSet";
const RESTRICTED: &str = "urn:ihe:iti:2018:RestrictedUpdateDocumentSet";
const REMOVE: &str = "urn:ihe:iti:2010:DeleteDocumentSet";
const REMOVE_DOCUMENTS: &str = "urn:ihe:iti:2017:RemoveDocuments";
const ON_DEMAND: &str = "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry";
const MANY_PATIENTS: &str = "urn:ihe:iti:2009:MultiPatientStoredQuery";
const OTHER_PATIENT: &str = "9990000026^^^&2.16.840.1.113883.2.1.4.1&ISO";

fn id(text: &str) -> ObjectId<'static> {
    ObjectId::read(text.to_owned().into())
}

async fn submit(broker: &TestBroker, action: &str, objects: &[RegistryObject<'_>]) -> RegistryResponse {
    broker.call("registry", action, |out| ebrs::write_submit(out, objects)).await.registry()
}

fn codes(response: &RegistryResponse) -> Vec<&str> {
    response.errors.iter().map(|error| error.code.as_str()).collect()
}

/// A query by its kind, with slots as they are written.
fn query(kind: QueryKind, slots: &[(&str, &str)]) -> AdhocQuery {
    AdhocQuery {
        id: QueryDefinition::of(kind).id.into(),
        home: None,
        return_type: Some("LeafClass".into()),
        slots: slots.iter().map(|(name, value)| Slot::single((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// The objects of an answer that has no errors.
async fn found(broker: &TestBroker, query: &AdhocQuery) -> Vec<RegistryObject<'static>> {
    let response = broker.query(query).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    unpacked(&response).into_iter().map(RegistryObject::into_owned).collect()
}

fn titles(objects: &[RegistryObject<'_>]) -> Vec<String> {
    let entries = objects.iter().filter(|object| object.noun() == Noun::DocumentEntry);
    entries.map(|entry| entry.title().unwrap_or_default().to_owned()).collect()
}

/// A SubmissionSet of that uniqueId.
fn set(unique_id: &str, patient: &str) -> RegistryObject<'static> {
    submission_of(unique_id, "2.999.1", patient, "text/plain").swap_remove(0)
}

/// A new version of an object, with its SubmissionSet and what announces it.
fn version(
    object: &RegistryObject<'static>,
    previous: u32,
    set_id: &str,
    change: impl FnOnce(&mut RegistryObject<'static>),
) -> Vec<RegistryObject<'static>> {
    let mut new = object.clone();
    let new_id = id("new-version");
    new.common.id = Some(new_id.clone());
    for classification in &mut new.classifications {
        classification.common.id = None;
        classification.classified = Some(new_id.clone());
    }
    for identifier in &mut new.identifiers {
        identifier.common.id = None;
        identifier.registry_object = Some(new_id.clone());
    }
    change(&mut new);
    let patient = new.patient_id().expect("a patient").to_owned();
    let mut member = build::original(id("member"), id("set"), new_id);
    member.common.slots.push(Slot::single(slot::PREVIOUS_VERSION, previous.to_string()));
    vec![set(set_id, &patient), new, member]
}

fn titled(title: &'static str) -> impl FnOnce(&mut RegistryObject<'static>) {
    move |object| object.common.names = build::name(title)
}

/// A document in a folder; both as they are in the registry.
async fn document_in_folder(broker: &TestBroker) -> (RegistryObject<'static>, RegistryObject<'static>) {
    let mut objects = submission("2.999.60.1", PATIENT, "text/plain");
    let mut folder = build::package(id("folder"), v::FOLDER_NODE);
    folder.common.names = build::name("Admission");
    folder.classifications.push(build::code(
        scheme::FOLDER_CODE,
        &build::Code { code: "1".into(), scheme: "2.999".into(), display: "x".into() },
    ));
    folder.identifiers = vec![
        build::external_identifier(identifier::FOLDER_PATIENT_ID, PATIENT),
        build::external_identifier(identifier::FOLDER_UNIQUE_ID, "2.999.61.1"),
    ];
    objects.push(folder);
    objects.push(build::association(id("a1"), association::HAS_MEMBER, id("set"), id("folder")));
    objects.push(build::association(id("a2"), association::HAS_MEMBER, id("folder"), id("entry")));
    objects.push(build::association(id("a3"), association::HAS_MEMBER, id("set"), id("a2")));
    let response = broker.provide_objects(&objects, &[("entry", b"letter")]).await.registry();
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let entry = found(broker, &find(PATIENT)).await.remove(0);
    let folders = query(QueryKind::GetFolders, &[("$XDSFolderUniqueId", "('2.999.61.1')")]);
    (entry, found(broker, &folders).await.remove(0))
}

fn by_logical_id(entry: &RegistryObject<'_>, level: &'static str) -> AdhocQuery {
    let lid = format!("('{}')", entry.common.lid.as_ref().expect("a logicalID"));
    query(QueryKind::GetDocuments, &[("$XDSDocumentEntryLogicalID", &lid), ("$MetadataLevel", level)])
}

#[tokio::test]
async fn an_update_makes_a_version_and_keeps_what_was() {
    let broker = TestBroker::start(Options::default()).await;
    let (entry, folder) = document_in_folder(&broker).await;
    let response = submit(&broker, UPDATE, &version(&entry, 1, "2.999.62.1", titled("corrected"))).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);

    let now = found(&broker, &find(PATIENT)).await;
    assert_eq!(titles(&now), ["corrected"]);
    assert!(now[0].is_approved() && now[0].common.lid == entry.common.lid && now[0].common.id != entry.common.id);
    assert_eq!(now[0].common.version.as_ref().and_then(|v| v.name.as_deref()), Some("2"));
    // All versions at level 2; the former ones never at level 1, whatever status is asked for.
    let all = found(&broker, &by_logical_id(&entry, "2")).await;
    assert_eq!(titles(&all), ["Letter 2.999.60.1", "corrected"]);
    assert!(!all[0].is_approved());
    assert_eq!(titles(&found(&broker, &by_logical_id(&entry, "1")).await), ["corrected"]);
    for (level, number) in [("1", 0), ("2", 1)] {
        let mut deprecated = find(PATIENT);
        deprecated.slots[1] = Slot::single("$XDSDocumentEntryStatus", format!("('{}')", v::DEPRECATED));
        deprecated.slots.push(Slot::single("$MetadataLevel", level));
        assert_eq!(found(&broker, &deprecated).await.len(), number);
    }
    // The folder holds the new version, once.
    let contents = query(QueryKind::GetFolderAndContents, &[("$XDSFolderUniqueId", "'2.999.61.1'")]);
    let contents = found(&broker, &contents).await;
    assert_eq!(titles(&contents), ["corrected"]);
    assert_eq!(contents.iter().filter(|object| object.noun() == Noun::Association).count(), 1);

    // The folder is updated too, with the document that it holds.
    let response = submit(&broker, UPDATE, &version(&folder, 1, "2.999.62.2", titled("Second admission"))).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let contents = query(QueryKind::GetFolderAndContents, &[("$XDSFolderUniqueId", "'2.999.61.1'")]);
    let contents = found(&broker, &contents).await;
    assert_eq!((titles(&contents), contents[0].title()), (vec!["corrected".to_owned()], Some("Second admission")));
    assert!(audit_records(&broker.broker).iter().any(|record| record.contains("csd-code=\"ITI-57\"")));
}

#[tokio::test]
async fn what_is_wrong_with_an_update_is_told_and_nothing_changes() {
    let broker = TestBroker::start(Options::default()).await;
    let (entry, _) = document_in_folder(&broker).await;
    let wrong: Vec<(&str, Vec<RegistryObject<'static>>)> = vec![
        ("XDSMetadataVersionError", version(&entry, 2, "2.999.62.1", titled("x"))),
        (
            "XDSMetadataVersionError",
            version(&entry, 1, "2.999.62.1", |o| o.common.lid = Some(EntryUuid([9; 16]).into())),
        ),
        ("XDSMetadataUpdateError", version(&entry, 1, "2.999.62.1", |o| o.common.lid = None)),
        ("XDSMetadataUpdateError", version(&entry, 1, "2.999.62.1", |o| o.common.lid = o.common.id.clone())),
        (
            "XDSMetadataUpdateError",
            version(&entry, 1, "2.999.62.1", |o| {
                o.identifiers
                    .iter_mut()
                    .filter(|i| i.scheme.as_deref() == Some(identifier::ENTRY_UNIQUE_ID))
                    .for_each(|i| i.value = Some("2.999.60.99".into()));
            }),
        ),
        (
            "XDSRegistryMetadataError",
            version(&entry, 1, "2.999.62.1", |o| o.common.slots.retain(|s| s.name != slot::CREATION_TIME)),
        ),
        ("XDSDuplicateUniqueIdInRegistry", version(&entry, 1, "2.999.60.1.1", titled("x"))),
        ("XDSMetadataUpdateError", version(&entry, 1, "2.999.62.1", titled("x"))[..2].to_vec()),
        ("XDSMetadataUpdateError", version(&entry, 1, "2.999.62.1", titled("x"))[..1].to_vec()),
        ("XDSMetadataUpdateError", version(&entry, 1, "2.999.62.1", titled("x"))[1..].to_vec()),
    ];
    for (code, objects) in wrong {
        let response = submit(&broker, UPDATE, &objects).await;
        assert_eq!((response.status, codes(&response)), (ResponseStatus::Failure, vec![code]), "{:?}", response.errors);
    }
    assert_eq!(titles(&found(&broker, &by_logical_id(&entry, "2")).await), ["Letter 2.999.60.1"]);
}

/// A SubmissionSet with one change of status.
fn status(target: &ObjectId<'static>, from: &str, to: &str, set_id: &str) -> Vec<RegistryObject<'static>> {
    let mut change = build::association(id("change"), association::UPDATE_STATUS, id("set"), target.clone());
    change.common.slots =
        vec![Slot::single(slot::ORIGINAL_STATUS, from.to_owned()), Slot::single(slot::NEW_STATUS, to.to_owned())];
    vec![set(set_id, PATIENT), change]
}

#[tokio::test]
async fn statuses_change_and_associations_are_added() {
    let broker = TestBroker::start(Options::default()).await;
    let (entry, folder) = document_in_folder(&broker).await;
    let target = entry.common.id.clone().expect("an id");
    let to = |from: &str, to: &str, set_id: &str| status(&target, from, to, set_id);
    let good = submit(&broker, UPDATE, &to(v::APPROVED, v::DEPRECATED, "2.999.62.1")).await;
    assert!(good.errors.is_empty(), "{:?}", good.errors);
    assert!(found(&broker, &find(PATIENT)).await.is_empty());
    for (objects, code) in [
        (to(v::APPROVED, v::DEPRECATED, "2.999.62.2"), "XDSMetadataUpdateError"),
        (to(v::APPROVED, v::APPROVED, "2.999.62.2"), "XDSMetadataUpdateOperationError"),
        (
            status(&id("urn:uuid:00000000-0000-4000-8000-000000000001"), v::APPROVED, v::DEPRECATED, "2.999.62.2"),
            "XDSMetadataUpdateError",
        ),
    ] {
        assert_eq!(codes(&submit(&broker, UPDATE, &objects).await), [code]);
    }
    let back = submit(&broker, UPDATE, &to(v::DEPRECATED, v::APPROVED, "2.999.62.3")).await;
    assert!(back.errors.is_empty(), "{:?}", back.errors);
    assert_eq!(found(&broker, &find(PATIENT)).await.len(), 1);

    // A second document joins the folder; once.
    broker.provide("2.999.60.2", PATIENT, b"second").await;
    let second = found(&broker, &find(PATIENT)).await.remove(1).common.id.expect("an id");
    let join = |set_id: &str| {
        let folder = folder.common.id.clone().expect("an id");
        vec![
            set(set_id, PATIENT),
            build::association(id("new"), association::HAS_MEMBER, folder, second.clone()),
            build::association(id("do"), association::SUBMIT_ASSOCIATION, id("set"), id("new")),
        ]
    };
    let joined = submit(&broker, UPDATE, &join("2.999.62.4")).await;
    assert!(joined.errors.is_empty(), "{:?}", joined.errors);
    let contents = query(QueryKind::GetFolderAndContents, &[("$XDSFolderUniqueId", "'2.999.61.1'")]);
    let contents = found(&broker, &contents).await;
    assert_eq!(titles(&contents).len(), 2);
    assert_eq!(codes(&submit(&broker, UPDATE, &join("2.999.62.5")).await), ["XDSMetadataUpdateError"]);
    // An association that no operation names does not slip in.
    let lone = join("2.999.62.6")[..2].to_vec();
    assert_eq!(codes(&submit(&broker, UPDATE, &lone).await), ["XDSMetadataUpdateError"]);
    // Its own status changes too.
    let member = contents.iter().rfind(|object| object.noun() == Noun::Association).expect("a member");
    let member = member.common.id.clone().expect("an id");
    let out = submit(&broker, UPDATE, &status(&member, v::APPROVED, v::DEPRECATED, "2.999.62.7")).await;
    assert!(out.errors.is_empty(), "{:?}", out.errors);
    let contents = query(QueryKind::GetFolderAndContents, &[("$XDSFolderUniqueId", "'2.999.61.1'")]);
    assert_eq!(titles(&found(&broker, &contents).await).len(), 1);

    // Relationships keep the rules that they have in a submission.
    broker.provide("2.999.60.3", PATIENT, b"third").await;
    let entries = found(&broker, &find(PATIENT)).await;
    let [first, second, third] = &entries[..] else { panic!("three entries") };
    let relate = |kind: &'static str, from: &RegistryObject<'_>, to: &RegistryObject<'_>, set_id: &str| {
        let end = |object: &RegistryObject<'_>| id(&object.common.id.as_ref().expect("an id").to_string());
        vec![
            set(set_id, PATIENT),
            build::association(id("new"), kind, end(from), end(to)),
            build::association(id("do"), association::SUBMIT_ASSOCIATION, id("set"), id("new")),
        ]
    };
    let transformed = submit(&broker, UPDATE, &relate(association::XFRM, second, first, "2.999.62.8")).await;
    assert!(transformed.errors.is_empty(), "{:?}", transformed.errors);
    for (kind, to, rule) in [
        (association::APND, second, "a transformation is not appended to"),
        (association::IS_SNAPSHOT_OF, first, "points at an on-demand DocumentEntry"),
    ] {
        let refused = submit(&broker, UPDATE, &relate(kind, third, to, "2.999.62.9")).await;
        assert_eq!(codes(&refused), ["XDSMetadataUpdateError"]);
        assert!(refused.errors[0].context.contains(rule), "{:?}", refused.errors);
    }
    let appended = submit(&broker, UPDATE, &relate(association::APND, third, first, "2.999.62.9")).await;
    assert!(appended.errors.is_empty(), "{:?}", appended.errors);
}

#[tokio::test]
async fn a_restricted_update_changes_less() {
    let broker = TestBroker::start(Options::default()).await;
    let (entry, folder) = document_in_folder(&broker).await;
    for (objects, code) in [
        (version(&folder, 1, "2.999.62.1", titled("x")), "XDSObjectTypeError"),
        (
            version(&entry, 1, "2.999.62.1", |o| o.common.set_slot(slot::SOURCE_PATIENT_ID, "1^^^&2.999&ISO")),
            "UnmodifiableMetadataError",
        ),
        (version(&entry, 3, "2.999.62.1", titled("x")), "XDSMetadataVersionError"),
        (
            status(&entry.common.id.clone().unwrap(), v::APPROVED, v::DEPRECATED, "2.999.62.1"),
            "UnmodifiableMetadataError",
        ),
    ] {
        assert!(codes(&submit(&broker, RESTRICTED, &objects).await).contains(&code), "{code}");
    }
    let good = submit(&broker, RESTRICTED, &version(&entry, 1, "2.999.62.2", titled("corrected"))).await;
    assert!(good.errors.is_empty(), "{:?}", good.errors);
    assert_eq!(titles(&found(&broker, &find(PATIENT)).await), ["corrected"]);
}

/// Sixteen update one version at once: one succeeds, the others learn that they came late.
#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_updates_of_one_version_one_counts() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    let (entry, _) = document_in_folder(&broker).await;
    let updates = (0..16).map(|n| {
        let (broker, entry) = (&broker, &entry);
        async move { submit(broker, UPDATE, &version(entry, 1, &format!("2.999.62.{n}"), titled("x"))).await }
    });
    let responses = futures_util::future::join_all(updates).await;
    let won = responses.iter().filter(|response| response.status == ResponseStatus::Success).count();
    let late = responses.iter().filter(|response| codes(response) == ["XDSMetadataVersionError"]).count();
    assert_eq!((won, late), (1, 15), "{responses:?}");
    assert_eq!(found(&broker, &by_logical_id(&entry, "2")).await.len(), 2);
    assert_eq!(found(&broker, &find(PATIENT)).await.len(), 1);
}

async fn remove(broker: &TestBroker, ids: &[ObjectId<'static>]) -> RegistryResponse {
    let uuids: Vec<EntryUuid> = ids.iter().filter_map(ObjectId::uuid).collect();
    broker.call("registry", REMOVE, |out| ebrs::write_remove(out, &uuids)).await.registry()
}

fn ids(objects: &[RegistryObject<'static>]) -> Vec<ObjectId<'static>> {
    objects.iter().filter_map(|object| object.common.id.clone()).collect()
}

#[tokio::test]
async fn removed_metadata_is_gone_and_what_stays_is_whole() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    broker.provide("2.999.60.1", PATIENT, b"letter").await;
    let contents = query(QueryKind::GetSubmissionSetAndContents, &[("$XDSSubmissionSetUniqueId", "'2.999.60.1.1'")]);
    let all = ids(&found(&broker, &contents).await);
    assert_eq!(all.len(), 3);
    let nothing = id("urn:uuid:00000000-0000-4000-8000-000000000001");
    assert_eq!(codes(&remove(&broker, &all[..1]).await), ["ReferencesExistException"]);
    assert_eq!(codes(&remove(&broker, &all[1..]).await), ["XDSUnreferencedObjectException"]);
    assert_eq!(codes(&remove(&broker, &[&all[..], &[nothing]].concat()).await), ["UnresolvedReferenceException"]);
    assert_eq!(found(&broker, &contents).await.len(), 3);
    let removed = remove(&broker, &all).await;
    assert!(removed.errors.is_empty(), "{:?}", removed.errors);
    assert!(found(&broker, &contents).await.is_empty() && found(&broker, &find(PATIENT)).await.is_empty());
    assert_eq!(codes(&remove(&broker, &all).await), ["UnresolvedReferenceException"; 3]);
    let records = audit_records(&broker.broker);
    let of_removal =
        |record: &&String| record.contains("csd-code=\"ITI-62\"") && record.contains("DataLifeCycle=\"15\"");
    assert!(records.iter().any(|record| of_removal(&record)), "{records:?}");

    // Versions go one by one, and the highest that stays is the latest again.
    let (entry, _) = document_in_folder(&broker).await;
    let updated = submit(&broker, UPDATE, &version(&entry, 1, "2.999.62.1", titled("corrected"))).await;
    assert!(updated.errors.is_empty(), "{:?}", updated.errors);
    let contents = query(
        QueryKind::GetSubmissionSetAndContents,
        &[("$XDSSubmissionSetUniqueId", "'2.999.62.1'"), ("$MetadataLevel", "2")],
    );
    let mut later = ids(&found(&broker, &contents).await);
    let ends = format!("('{}','{}')", later[0], later[1]);
    let more = query(QueryKind::GetAssociations, &[("$uuid", &ends), ("$MetadataLevel", "2")]);
    later.extend(ids(&found(&broker, &more).await));
    later.sort_by_key(|id| id.to_string());
    later.dedup();
    let removed = remove(&broker, &later).await;
    assert!(removed.errors.is_empty(), "{:?}", removed.errors);
    let former = found(&broker, &by_logical_id(&entry, "1")).await;
    assert_eq!(titles(&former), ["Letter 2.999.60.1"]);
}

#[tokio::test]
async fn bytes_go_with_the_last_document_that_has_them() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    for n in 1..=2 {
        broker.provide(&format!("2.999.60.{n}"), PATIENT, b"the same letter").await;
    }
    let remove = |ids: &[&str]| {
        let requests: Vec<_> = ids.iter().map(|id| (None, REPOSITORY, *id)).collect();
        let payload = String::from_utf8(retrieve(&requests)).unwrap();
        payload
            .replace(
                "<x:RetrieveDocumentSetRequest xmlns:x",
                "<r:RemoveDocumentsRequest xmlns:r=\"urn:ihe:iti:rmd:2017\" xmlns:x",
            )
            .replace("x:RetrieveDocumentSetRequest>", "r:RemoveDocumentsRequest>")
    };
    let send = async |ids: &[&str]| {
        let payload = remove(ids);
        broker.call("repository", REMOVE_DOCUMENTS, |out| out.extend_from_slice(payload.as_bytes())).await.registry()
    };
    let retrieved = async |id: &str| {
        let (content_type, body) =
            mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &retrieve(&[(None, REPOSITORY, id)]));
        broker.post("repository", &content_type, body).await.retrieve().1.len()
    };
    let files = || {
        fn count(folder: &std::path::Path) -> usize {
            std::fs::read_dir(folder).map_or(0, |entries| {
                entries.flatten().map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
            })
        }
        count(&broker.dir.path().join("data/documents/objects"))
    };
    assert_eq!(files(), 1);
    let mixed = send(&["2.999.60.1", "2.999.60.9"]).await;
    assert_eq!((mixed.status, codes(&mixed)), (ResponseStatus::PartialSuccess, vec!["XDSDocumentUniqueIdError"]));
    assert_eq!(mixed.errors[0].location.as_deref(), Some("2.999.60.9"));
    assert_eq!((retrieved("2.999.60.1").await, retrieved("2.999.60.2").await, files()), (0, 1, 1));
    let last = send(&["2.999.60.2"]).await;
    assert!(last.errors.is_empty(), "{:?}", last.errors);
    assert_eq!((retrieved("2.999.60.2").await, files()), (0, 0));
    assert_eq!(send(&["2.999.60.2"]).await.status, ResponseStatus::Failure);
    // The metadata stays: its removal is another transaction.
    assert_eq!(found(&broker, &find(PATIENT)).await.len(), 2);
    let records = audit_records(&broker.broker);
    for (document, outcome) in [("2.999.60.1", "0"), ("2.999.60.2", "0"), ("2.999.60.9", "8")] {
        let outcome = format!("EventOutcomeIndicator=\"{outcome}\"");
        let is_it = |record: &&String| {
            record.contains("csd-code=\"ITI-86\"")
                && record.contains(&format!("\"{document}\""))
                && record.contains(&outcome)
        };
        assert!(records.iter().any(|record| is_it(&record)), "{document}");
    }
}

#[tokio::test]
async fn only_administrators_change_and_remove() {
    let broker = TestBroker::start(Options { no_administrator: true, ..Options::default() }).await;
    let (entry, _) = document_in_folder(&broker).await;
    let update = version(&entry, 1, "2.999.62.1", titled("x"));
    let reply = broker.call("registry", UPDATE, |out| ebrs::write_submit(out, &update)).await;
    assert_eq!((reply.status, reply.fault().is_some()), (403, true), "{}", reply.text());
    let reply = broker.call("registry", RESTRICTED, |out| ebrs::write_submit(out, &update)).await;
    assert_eq!((reply.status, reply.fault().is_some()), (403, true), "{}", reply.text());
    let uuid = entry.uuid().unwrap();
    let reply = broker.call("registry", REMOVE, |out| ebrs::write_remove(out, &[uuid])).await;
    assert_eq!((reply.status, reply.fault().is_some()), (403, true), "{}", reply.text());
    let payload = "<r:RemoveDocumentsRequest xmlns:r=\"urn:ihe:iti:rmd:2017\"/>";
    let reply = broker.call("repository", REMOVE_DOCUMENTS, |out| out.extend_from_slice(payload.as_bytes())).await;
    assert_eq!((reply.status, reply.fault().is_some()), (403, true), "{}", reply.text());
    let many = query(QueryKind::FindDocumentsForMultiplePatients, &[]);
    let reply = broker.call("registry", MANY_PATIENTS, |out| ebrs::write_query(out, &many)).await;
    assert_eq!((reply.status, reply.fault().is_some()), (403, true), "{}", reply.text());
    assert_eq!(titles(&found(&broker, &find(PATIENT)).await), ["Letter 2.999.60.1"]);
    // The attempt is on record.
    assert!(
        audit_records(&broker.broker)
            .iter()
            .any(|record| { record.contains("csd-code=\"ITI-62\"") && record.contains("EventOutcomeIndicator=\"8\"") })
    );
}

#[tokio::test]
async fn on_demand_entries_are_found_where_they_are_asked_for() {
    let broker = TestBroker::start(Options::default()).await;
    let on_demand = |unique_id: &str, set_id: &str| {
        let mut objects = submission_of(set_id, unique_id, PATIENT, "text/plain");
        let entry = &mut objects[1].common;
        entry.object_type = Some(v::ON_DEMAND.into());
        entry.slots.retain(|slot| slot.name != slot::CREATION_TIME);
        entry.slots.push(Slot::single(slot::REPOSITORY_UNIQUE_ID, "2.999.80.1"));
        objects
    };
    let registered = submit(&broker, ON_DEMAND, &on_demand("2.999.60.1", "2.999.62.1")).await;
    assert!(registered.errors.is_empty(), "{:?}", registered.errors);
    // One uniqueId may have several of them, but none that is stable.
    let again = submit(&broker, ON_DEMAND, &on_demand("2.999.60.1", "2.999.62.2")).await;
    assert!(again.errors.is_empty(), "{:?}", again.errors);
    broker.provide("2.999.60.2", PATIENT, b"stable").await;
    let taken = submit(&broker, ON_DEMAND, &on_demand("2.999.60.2", "2.999.62.3")).await;
    assert_eq!(codes(&taken), ["XDSRegistryMetadataError"]);
    let mut complete = on_demand("2.999.60.3", "2.999.62.4");
    for (name, value) in
        [(slot::CREATION_TIME, "2026"), (slot::SIZE, "0"), (slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709")]
    {
        complete[1].common.set_slot(name, value);
    }
    let wrong = submit(&broker, "urn:ihe:iti:2007:RegisterDocumentSet-b", &complete).await;
    assert_eq!(codes(&wrong), ["XDSRegistryMetadataError"]);
    assert!(wrong.errors[0].context.contains("objectType"), "{:?}", wrong.errors);
    assert_eq!(found(&broker, &find(PATIENT)).await.len(), 1);
    let mut both = find(PATIENT);
    both.slots.push(Slot::single("$XDSDocumentEntryType", format!("('{}','{}')", v::STABLE, v::ON_DEMAND)));
    assert_eq!(found(&broker, &both).await.len(), 3);
}

#[tokio::test]
async fn a_query_over_many_patients() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    broker.provide("2.999.60.1", PATIENT, b"1").await;
    broker.provide("2.999.60.2", OTHER_PATIENT, b"2").await;
    let approved = format!("('{}')", v::APPROVED);
    let class = "('373942005^^2.16.840.1.113883.6.96')";
    let ask = async |slots: &[(&str, &str)]| {
        let query = query(QueryKind::FindDocumentsForMultiplePatients, slots);
        broker.query_at("registry", MANY_PATIENTS, &query).await
    };
    let status = ("$XDSDocumentEntryStatus", approved.as_str());
    let of_class = ("$XDSDocumentEntryClassCode", class);
    assert_eq!(ask(&[status, of_class]).await.objects.len(), 2);
    let patients = format!("('{PATIENT}', '{OTHER_PATIENT}')");
    for (patients, number) in [(patients.as_str(), 2), (&format!("('{OTHER_PATIENT}')"), 1)] {
        let response = ask(&[status, of_class, ("$XDSDocumentEntryPatientId", patients)]).await;
        assert_eq!(response.objects.len(), number);
    }
    let refused = ask(&[status, ("$XDSDocumentEntryPatientId", &patients)]).await;
    assert_eq!(refused.errors[0].code.as_str(), "XDSStoredQueryMissingParam");
    // It is no query of ITI-18, nor the reverse; one record for each patient that is named.
    let query_of_many = query(QueryKind::FindDocumentsForMultiplePatients, &[status, of_class]);
    assert_eq!(broker.query(&query_of_many).await.errors[0].code.as_str(), "XDSUnknownStoredQuery");
    let of_one = broker.query_at("registry", MANY_PATIENTS, &find(PATIENT)).await;
    assert_eq!(of_one.errors[0].code.as_str(), "XDSUnknownStoredQuery");
    let records = audit_records(&broker.broker);
    let of = |patient: &str| {
        let patient = patient.replace('&', "&amp;");
        records.iter().filter(|r| r.contains("csd-code=\"ITI-51\"") && r.contains(&patient)).count()
    };
    assert_eq!([of(PATIENT), of(OTHER_PATIENT)], [3, 3]);
}
