//! ITI-41, 42, 43 and 18 at one broker: what is acknowledged is there, what is wrong is told.

use std::path::Path;

use causeway::model::ids::EntryUuid;
use causeway::model::metadata::build;
use causeway::model::response::{ResponseStatus, Severity};
use causeway::model::rim::ObjectId;
use causeway::model::vocabulary::{association, scheme, slot};
use causeway::wire::ebrs;

use crate::support::*;

const SUBMIT: &str = "urn:ihe:iti:2007:RegisterDocumentSet-b";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
/// The common name of the tests' client certificate.
const CLIENT: &str = "Causeway development client";

#[tokio::test]
async fn a_document_goes_in_is_found_and_comes_out() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    let content = b"Progress note: patient reviewed, stable.\r\n--b not a boundary\n".to_vec();
    broker.provide("2.999.1.1", PATIENT, &content).await;

    let response = broker.query(&find(PATIENT)).await;
    assert_eq!(response.status, ResponseStatus::Success);
    let objects = unpacked(&response);
    assert_eq!(objects.len(), 1);
    let entry = &objects[0];
    assert_eq!(entry.unique_id(), Some("2.999.1.1"));
    assert_eq!(entry.common.slot_value(slot::REPOSITORY_UNIQUE_ID), Some(REPOSITORY));
    assert_eq!(entry.common.slot_value(slot::SIZE), Some(content.len().to_string().as_str()));
    assert!(entry.is_approved());
    assert_eq!(entry.author_persons().next(), Some("^Okafor^Nneka^^^Dr"));

    for multipart in [true, false] {
        let payload = retrieve(&[(None, REPOSITORY, "2.999.1.1")]);
        let reply = if multipart {
            let (content_type, body) = mtom_request(RETRIEVE, &payload);
            broker.post("repository", &content_type, body).await
        } else {
            broker.call("repository", RETRIEVE, |out| out.extend_from_slice(&payload)).await
        };
        let (status, documents) = reply.retrieve();
        assert_eq!(status.status, ResponseStatus::Success);
        assert_eq!(documents, [("2.999.1.1".to_owned(), None, "text/plain".to_owned())]);
        if multipart {
            assert_eq!(reply.parts()[1], content);
        } else {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(&content);
            assert!(reply.text().contains(&encoded));
        }
    }

    // Every one of the five transactions is in the audit trail, and the start of the broker.
    let records = audit_records(&broker.broker);
    for code in ["ITI-41", "ITI-18", "ITI-43"] {
        assert!(records.iter().any(|record| record.contains(code)), "{code}");
    }
    broker.broker.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    broker.provide("2.999.1.2", PATIENT, b"kept").await;
    let dir = broker.dir;
    broker.broker.stop().await;
    let broker = TestBroker::start_in(dir, Options { on_disk: true, ..Options::default() }).await;
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 1);
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(None, REPOSITORY, "2.999.1.2")]));
    assert_eq!(broker.post("repository", &content_type, body).await.parts()[1], b"kept");
}

#[tokio::test]
async fn a_replacement_deprecates_what_it_replaces() {
    let broker = TestBroker::start(Options::default()).await;
    broker.provide("2.999.2.1", PATIENT, b"first").await;
    let first: EntryUuid = broker.query(&find(PATIENT)).await.objects[0].uuid().unwrap();
    let mut objects = submission("2.999.2.2", PATIENT, "text/plain");
    let symbol = |text: &'static str| ObjectId::Symbol(text.into());
    objects.push(build::association(symbol("rplc"), association::RPLC, symbol("entry"), first.into()));
    let reply = broker.provide_objects(&objects, &[("entry", b"second")]).await;
    assert_eq!(reply.registry().status, ResponseStatus::Success);

    let approved = broker.query(&find(PATIENT)).await;
    assert_eq!(unpacked(&approved)[0].unique_id(), Some("2.999.2.2"));
    assert_eq!(approved.objects.len(), 1);
    let old = broker.query(&get(first)).await;
    assert!(!unpacked(&old)[0].is_approved());

    // A second replacement of the same entry comes too late.
    let mut objects = submission("2.999.2.3", PATIENT, "text/plain");
    objects.push(build::association(symbol("rplc"), association::RPLC, symbol("entry"), first.into()));
    let response = broker.provide_objects(&objects, &[("entry", b"third")]).await.registry();
    assert_eq!(response.errors[0].code.as_str(), "XDSRegistryDeprecatedDocumentError");
}

#[tokio::test]
async fn a_message_sent_again_is_answered_as_the_first_was() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    let (content_type, body) = package(&submission("2.999.3.1", PATIENT, "text/plain"), &[("entry", b"once")]);
    for _ in 0..3 {
        let response = broker.post("repository", &content_type, body.clone()).await.registry();
        assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    }
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 1);
    // The same submission under another message id is a duplicate, not a retry.
    let (content_type, body) = package(&submission("2.999.3.1", PATIENT, "text/plain"), &[("entry", b"once")]);
    let response = broker.post("repository", &content_type, body).await.registry();
    assert_eq!(response.errors[0].code.as_str(), "XDSDuplicateUniqueIdInRegistry");
}

#[tokio::test]
async fn all_findings_are_told_at_once_and_nothing_is_kept() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    let mut objects = submission("2.999.4.1", PATIENT, "text/plain");
    objects[1].common.slots.retain(|slot| slot.name != "creationTime" && slot.name != "languageCode");
    objects[1].classifications.retain(|c| c.scheme.as_deref() != Some(causeway::model::vocabulary::scheme::TYPE_CODE));
    let response = broker.provide_objects(&objects, &[("entry", b"never kept")]).await.registry();
    assert_eq!(response.status, ResponseStatus::Failure);
    let all: String =
        response.errors.iter().map(|error| format!("{}: {}\n", error.code.as_str(), error.context)).collect();
    for attribute in ["creationTime", "languageCode", "typeCode"] {
        assert!(all.contains(attribute), "{attribute} is not named in\n{all}");
    }
    assert!(broker.query(&find(PATIENT)).await.objects.is_empty());
    let documents = broker.dir.path().join("data/documents");
    assert_eq!(count_files(&documents.join("objects")) + count_files(&documents.join("staging")), 0);
}

fn count_files(path: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn documents_and_entries_must_pair() {
    let broker = TestBroker::start(Options::default()).await;
    let objects = submission("2.999.5.1", PATIENT, "text/plain");
    let missing = broker.provide_objects(&objects, &[]).await.registry();
    assert_eq!(missing.errors[0].code.as_str(), "XDSMissingDocument");
    let extra = broker.provide_objects(&objects, &[("entry", b"a"), ("other", b"b")]).await.registry();
    assert_eq!(extra.errors[0].code.as_str(), "XDSMissingDocumentMetadata");
    let mut wrong = submission("2.999.5.1", PATIENT, "text/plain");
    wrong[1].common.set_slot(slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    wrong[1].common.set_slot(slot::SIZE, "7");
    let response = broker.provide_objects(&wrong, &[("entry", b"not so")]).await.registry();
    let codes: Vec<&str> = response.errors.iter().map(|error| error.code.as_str()).collect();
    assert_eq!(codes, ["XDSRepositoryMetadataError"; 2]);
}

#[tokio::test]
async fn unknown_documents_and_repositories_are_named() {
    let broker = TestBroker::start(Options::default()).await;
    broker.provide("2.999.6.1", PATIENT, b"there").await;
    let payload =
        retrieve(&[(None, REPOSITORY, "2.999.6.1"), (None, REPOSITORY, "2.999.6.9"), (None, "2.999.9", "2.999.6.1")]);
    let (content_type, body) = mtom_request(RETRIEVE, &payload);
    let (response, documents) = broker.post("repository", &content_type, body).await.retrieve();
    assert_eq!(response.status, ResponseStatus::PartialSuccess);
    assert_eq!(documents.len(), 1);
    let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
    assert_eq!(told, [("XDSDocumentUniqueIdError", Some("2.999.6.9")), ("XDSUnknownRepositoryId", Some("2.999.6.1"))]);
}

#[tokio::test]
async fn metadata_alone_is_registered_by_iti_42() {
    let broker = TestBroker::start(Options::default()).await;
    let mut objects = submission("2.999.7.1", PATIENT, "text/plain");
    objects[1].common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.99");
    objects[1].common.set_slot(slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    objects[1].common.set_slot(slot::SIZE, "0");
    let reply = broker.call("registry", SUBMIT, |out| ebrs::write_submit(out, &objects)).await;
    assert_eq!(reply.registry().status, ResponseStatus::Success);
    assert!(reply.content_type.starts_with("application/soap+xml"));
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 1);
}

/// A repository whose registry is another broker's: what that says is handed on, and decides what can be retrieved.
#[tokio::test]
async fn a_repository_with_its_registry_elsewhere() {
    let registry = TestBroker::start(Options::default()).await;
    let at = |url: &str| Options {
        more: format!("services = [\"repository\"]\n[registry]\nurl = \"{url}\"\n"),
        ..Options::default()
    };
    let repository = TestBroker::start(at(&registry.url("registry"))).await;
    repository.provide("2.999.9.1", PATIENT, b"far away").await;
    assert_eq!(registry.query(&find(PATIENT)).await.objects.len(), 1);
    let retrieve = async |broker: &TestBroker, id: &str| {
        let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(None, REPOSITORY, id)]));
        let reply = broker.post("repository", &content_type, body).await;
        let (response, documents) = reply.retrieve();
        (response.errors.first().map(|error| error.code.as_str().to_owned()), documents.len())
    };
    assert_eq!(retrieve(&repository, "2.999.9.1").await, (None, 1));
    // Refused there: all findings are told here, and the document is not kept.
    let mut wrong = submission("2.999.9.2", PATIENT, "text/plain");
    wrong[1].common.slots.retain(|slot| slot.name != slot::CREATION_TIME && slot.name != slot::LANGUAGE_CODE);
    let refused = repository.provide_objects(&wrong, &[("entry", b"refused")]).await.registry();
    let codes: Vec<&str> = refused.errors.iter().map(|error| error.code.as_str()).collect();
    assert_eq!(codes, ["XDSRegistryMetadataError"; 2], "{:?}", refused.errors);
    assert_eq!(retrieve(&repository, "2.999.9.2").await, (Some("XDSDocumentUniqueIdError".into()), 0));
    // Sent again with its message id it is the same submission there too.
    let (content_type, body) = package(&submission("2.999.9.3", PATIENT, "text/plain"), &[("entry", b"twice")]);
    for _ in 0..2 {
        let response = repository.post("repository", &content_type, body.clone()).await.registry();
        assert!(response.errors.is_empty(), "{:?}", response.errors);
    }
    assert_eq!(registry.query(&find(PATIENT)).await.objects.len(), 2);
    // Both sides have ITI-42 on record.
    for broker in [&repository, &registry] {
        let records = audit_records(&broker.broker);
        assert!(records.iter().any(|record| record.contains("csd-code=\"ITI-42\"")));
    }

    // Nobody there: the document stays, for the registry may have it all the same.
    let nobody = TestBroker::start(at("https://127.0.0.1:1/services/registry")).await;
    let objects = submission("2.999.9.4", PATIENT, "text/plain");
    let lost = nobody.provide_objects(&objects, &[("entry", b"unheard")]).await.registry();
    assert_eq!(lost.errors[0].code.as_str(), "XDSRegistryNotAvailable");
    assert_eq!(retrieve(&nobody, "2.999.9.4").await, (None, 1));
}

#[tokio::test]
async fn sixteen_replace_one_and_one_wins() {
    let broker = TestBroker::start(Options { on_disk: true, ..Options::default() }).await;
    broker.provide("2.999.8.1", PATIENT, b"original").await;
    let target: EntryUuid = broker.query(&find(PATIENT)).await.objects[0].uuid().unwrap();
    let broker = arc(broker);
    let attempts = (0..16).map(|n| {
        let broker = broker.clone();
        async move {
            let mut objects = submission(&format!("2.999.8.2.{n}"), PATIENT, "text/plain");
            let symbol = |text: &'static str| ObjectId::Symbol(text.into());
            objects.push(build::association(symbol("rplc"), association::RPLC, symbol("entry"), target.into()));
            broker.provide_objects(&objects, &[("entry", format!("{n}").as_bytes())]).await.registry().status
        }
    });
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|status| **status == ResponseStatus::Success).count(), 1);
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 1);
}

/// A running broker takes a new code file in without a restart.
#[tokio::test]
async fn codes_are_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("codes.xml");
    let codes = |class: &str| {
        let text = format!(
            "<Codes><CodeType name=\"classCode\" classScheme=\"urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a\">\
             <Code code=\"{class}\" display=\"x\" codingScheme=\"2.16.840.1.113883.6.96\"/></CodeType></Codes>"
        );
        std::fs::write(&file, text).unwrap();
    };
    codes("1");
    let options = || Options { codes: Some(file.clone()), ..Options::default() };
    let broker = TestBroker::start(options()).await;
    let objects = submission("2.999.77.1", PATIENT, "text/plain");
    let refused = broker.provide_objects(&objects, &[("entry", b"letter")]).await.registry();
    assert!(refused.errors.iter().any(|error| error.context.contains("classCode")), "{:?}", refused.errors);
    codes("373942005");
    let text = toml(broker.dir.path(), &options());
    let config = causeway::config::Config::from_toml(&text, broker.dir.path()).unwrap();
    broker.broker.reload(config).unwrap();
    let accepted = broker.provide_objects(&objects, &[("entry", b"letter")]).await.registry();
    assert!(accepted.errors.is_empty(), "{:?}", accepted.errors);
}

/// Validation modes: one source's misfits are taken with a word, another's silently and counted,
/// and nothing that makes a document unsafe is taken from anybody.
#[tokio::test]
async fn each_source_is_judged_in_its_mode() {
    let codes = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/codes.xml");
    // The set's contentTypeCode is in no list.
    let misfit = submission("2.999.70.1", PATIENT, "text/plain");
    let with_confidentiality = |code: &str| {
        let mut objects = submission("2.999.70.2", PATIENT, "text/plain");
        for classification in &mut objects[1].classifications {
            if classification.scheme.as_deref() == Some(scheme::CONFIDENTIALITY_CODE) {
                classification.representation = Some(code.to_owned().into());
            }
        }
        objects
    };
    // A client certificate's own name counts before what is for all others.
    for (mode, others) in [("strict", "lenient"), ("lenient", "strict"), ("shadow", "strict")] {
        let more = format!("[validation]\nmode = \"{others}\"\n{mode} = [\"{CLIENT}\"]\n");
        let broker = TestBroker::start(Options { more, codes: Some(codes.clone()), ..Options::default() }).await;
        let response = broker.provide_objects(&misfit, &[("entry", b"letter")]).await.registry();
        let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.severity)).collect();
        let found = broker.query(&find(PATIENT)).await.objects.len();
        let counted = format!(
            "causeway_tolerated_findings_total{{mode=\"{mode}\",source=\"{CLIENT}\",attribute=\"SubmissionSet.contentTypeCode\"}} 1"
        );
        let metrics = broker.broker.metrics().text();
        match mode {
            "strict" => {
                assert_eq!((response.status, found), (ResponseStatus::Failure, 0));
                assert_eq!(told, [("XDSRegistryMetadataError", Severity::Error)]);
                assert!(!metrics.contains("causeway_tolerated_findings_total{"), "{metrics}");
            }
            "lenient" => {
                assert_eq!((response.status, found), (ResponseStatus::Success, 1));
                assert_eq!(told, [("XDSRegistryMetadataError", Severity::Warning)]);
                assert!(response.errors[0].context.contains("contentTypeCode"), "{:?}", response.errors);
                assert!(metrics.contains(&counted), "{metrics}");
            }
            _ => {
                assert_eq!((response.status, found), (ResponseStatus::Success, 1));
                assert!(told.is_empty(), "{told:?}");
                assert!(metrics.contains(&counted), "{metrics}");
            }
        }
        let refused = broker.provide_objects(&with_confidentiality("S3CRET"), &[("entry", b"letter")]).await.registry();
        assert_eq!(refused.status, ResponseStatus::Failure);
        let errors: Vec<_> = refused.errors.iter().filter(|e| e.severity == Severity::Error).collect();
        assert!(errors.iter().any(|e| e.context.contains("confidentialityCode")), "{errors:?}");
        assert_eq!(errors.len(), if mode == "strict" { 2 } else { 1 });
        assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), found, "nothing of it is kept");
        // What was tolerated in a refused submission is not counted, nor what is sent again.
        let again = broker.provide_objects(&misfit, &[("entry", b"letter")]).await.registry();
        assert!(mode == "strict" || again.status == ResponseStatus::Failure, "another message of the same ids");
        assert!(mode == "strict" || broker.broker.metrics().text().contains(&counted));
        // Modes are reloaded.
        if mode == "strict" {
            let more = "[validation]\nmode = \"shadow\"\n".to_owned();
            let text = toml(broker.dir.path(), &Options { more, codes: Some(codes.clone()), ..Options::default() });
            let config = causeway::config::Config::from_toml(&text, broker.dir.path()).unwrap();
            broker.broker.reload(config).unwrap();
            let accepted = broker.provide_objects(&misfit, &[("entry", b"letter")]).await.registry();
            assert_eq!((accepted.status, accepted.errors.len()), (ResponseStatus::Success, 0));
        }
        broker.broker.stop().await;
    }
}
