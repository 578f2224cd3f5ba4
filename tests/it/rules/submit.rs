//! ITI-42 and ITI-61 against what the registry holds (ITI TF-2 §3.42.4.1.3, §3.61.4.1.3).

use causeway::model::ids::{IdentifierRule, Oid};
use causeway::model::rim::VersionInfo;

use super::*;

#[tokio::test]
async fn uniqueids_that_are_taken() {
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a").folder("f")).await;
    let taken = |label: &'static str| {
        move |object: &mut RegistryObject<'static>| {
            set_identifier(object, identifier::SET_UNIQUE_ID, &unique_id(label));
            set_identifier(object, identifier::FOLDER_UNIQUE_ID, &unique_id(label));
            set_identifier(object, identifier::ENTRY_UNIQUE_ID, &unique_id(label));
        }
    };
    let same = |hash: &'static str, size: &'static str| {
        move |object: &mut RegistryObject<'static>| {
            taken("a")(object);
            object.common.set_slot(slot::HASH, hash);
            object.common.set_slot(slot::SIZE, size);
        }
    };
    const EMPTY: &str = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709";
    const OTHER_HASH: &str = "0000000000000000000000000000000000000000";
    for (message, code) in [
        (message("s2").entry("b").with("s2", taken("s1")), "XDSDuplicateUniqueIdInRegistry"),
        (message("s2").entry("b").with("s2", taken("a")), "XDSDuplicateUniqueIdInRegistry"),
        (message("s2").folder("g").with("g", taken("f")), "XDSDuplicateUniqueIdInRegistry"),
        (message("s2").folder("g").with("g", taken("a")), "XDSDuplicateUniqueIdInRegistry"),
        (message("s2").entry("b").with("b", taken("s1")), "XDSRegistryMetadataError"),
        (message("s2").entry("b").with("b", taken("f")), "XDSRegistryMetadataError"),
        (message("s2").entry("b").with("b", same(OTHER_HASH, "0")), "XDSNonIdenticalHash"),
        (message("s2").entry("b").with("b", same(OTHER_HASH, "1")), "XDSNonIdenticalHash"),
        (message("s2").entry("b").with("b", same(EMPTY, "1")), "XDSNonIdenticalSize"),
    ] {
        let response = rules.register(message).await;
        assert_eq!(codes(&response), [code], "{:?}", response.errors);
        assert!(response.errors[0].context.contains("2.999."), "{:?}", response.errors);
    }
    // The same document once more is no fault, however its numbers are written.
    rules.accepts(message("s2").entry("b").with("b", same(EMPTY, "000"))).await;
}

#[tokio::test]
async fn entryuuids_are_kept_and_are_new() {
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a").folder("f").file("f", "a")).await;
    for message in [
        message("s2").entry("a").with("a", |o| set_identifier(o, identifier::ENTRY_UNIQUE_ID, "2.999.7")),
        message("s1").entry("b").with("s1", |o| set_identifier(o, identifier::SET_UNIQUE_ID, "2.999.7")),
        message("s2").folder("f").with("f", |o| set_identifier(o, identifier::FOLDER_UNIQUE_ID, "2.999.7")),
        message("s2")
            .entry("b")
            .folder("g")
            .put(build::association(id("a"), association::HAS_MEMBER, id("g"), id("b")))
            .tie(association::HAS_MEMBER, &id("s2"), &id("a")),
    ] {
        assert_eq!(codes(&rules.register(message).await), ["XDSRegistryMetadataError"]);
    }
    assert_eq!(rules.object("a").await.unique_id(), Some(unique_id("a").as_str()));
}

/// What a source says of status, version and home is the registry's to say.
#[tokio::test]
async fn what_the_registry_assigns() {
    let rules = Rules::new();
    let claim = |object: &mut RegistryObject<'static>| {
        object.common.status = Some(v::DEPRECATED.into());
        object.common.home = Some("urn:oid:2.999.9".into());
        object.common.version = Some(VersionInfo { name: Some("7".into()), comment: None });
        object.common.slots.push(Slot::list("urn:example:x", ["one", "two"]));
    };
    let message = message("s").entry("a").folder("f").file("f", "a");
    let (mut labels, mut claiming) = (Vec::new(), message.clone());
    for object in &mut claiming.objects {
        claim(object);
        labels.extend(object.uuid());
    }
    rules.accepts(claiming).await;
    assert_eq!(labels.len(), message.objects.len());
    for uuid in labels {
        let object = rules.get(uuid).await.unwrap();
        let common = &object.common;
        assert!(object.is_approved() && common.home.is_none(), "{:?}", object.noun());
        assert_eq!(common.lid.as_ref().and_then(|lid| lid.uuid()), Some(uuid));
        assert_eq!(common.version.as_ref().and_then(|version| version.name.as_deref()), Some("1"));
        assert_eq!(common.slot_values("urn:example:x").collect::<Vec<_>>(), ["one", "two"], "extra metadata is kept");
    }
}

#[tokio::test]
async fn patients_that_are_not_served() {
    let domain = |oid: &str, rule| (Oid::parse(oid).unwrap(), rule);
    let domains = vec![domain("2.16.840.1.113883.2.1.4.1", IdentifierRule::NhsNumber { test_numbers: true })];
    let rules = Rules::with_patients(PatientPolicy { domains: domains.clone(), reject_unknown: false });
    rules.accepts(message("s1").entry("a")).await;
    const BAD_DIGIT: &str = "9990000019^^^&2.16.840.1.113883.2.1.4.1&ISO";
    const FOREIGN: &str = "1^^^&2.999.50&ISO";
    for patient in [BAD_DIGIT, FOREIGN] {
        let response = rules.register(message_of("s2", patient).entry("b")).await;
        assert_eq!(codes(&response), ["XDSUnknownPatientId"]);
        let id = patient.split('^').next().unwrap();
        assert!(response.errors[0].context.contains(id), "the standard wants it told");
    }
    // The source's own number of the patient is of the source's own domain.
    rules.accepts(message("s3").entry("c").with("c", |o| o.common.set_slot(slot::SOURCE_PATIENT_ID, FOREIGN))).await;

    let rules = Rules::with_patients(PatientPolicy { domains, reject_unknown: true });
    assert_eq!(codes(&rules.register(message("s1").entry("a")).await), ["XDSUnknownPatientId"]);
    let patients = vec![PatientId::parse(PATIENT).unwrap()];
    rules.store.commit(causeway::store::Change { patients, ..Default::default() }).await.unwrap();
    rules.accepts(message("s1").entry("a")).await;
}

#[tokio::test]
async fn a_replacement_takes_transforms_and_addenda_with_it() {
    for kind in [association::RPLC, association::XFRM_RPLC] {
        let rules = Rules::new();
        rules.accepts(message("s1").entry("a")).await;
        rules.accepts(message("s2").entry("transform").relate(association::XFRM, "transform", "a")).await;
        rules.accepts(message("s3").entry("addendum").relate(association::APND, "addendum", "a")).await;
        rules.accepts(message("s4").entry("signature").relate(association::SIGNS, "signature", "a")).await;
        rules.accepts(message("s5").entry("deeper").relate(association::XFRM, "deeper", "addendum")).await;
        // What no longer is an addendum stays.
        rules.accepts(message("s6").entry("former").relate(association::APND, "former", "a")).await;
        let former = rules.ties_of(uuid("former")).await;
        assert!(former.iter().any(|tie| tie.0 == association::APND));
        let mut tie = None;
        for packed in rules.store.associations_of(uuid("former")).await.unwrap() {
            if packed.unpack().unwrap().ends() == Some((uuid("former"), uuid("a"))) {
                tie = packed.uuid();
            }
        }
        let mut deprecate = message("s7").change_status("former", v::APPROVED, v::DEPRECATED);
        let end = tie.unwrap().into();
        if let causeway::model::rim::Body::Association { target, .. } = &mut deprecate.objects[1].body {
            *target = end;
        }
        assert_eq!(codes(&rules.update(deprecate).await), [] as [&str; 0]);

        rules.accepts(message("s8").entry("new").relate(kind, "new", "a")).await;
        for (label, approved) in [
            ("a", false),
            ("transform", false),
            ("addendum", false),
            ("deeper", false),
            ("signature", true),
            ("former", true),
            ("new", true),
        ] {
            assert_eq!(rules.is_approved(label).await, approved, "{kind} {label}");
        }
    }
    // The other relationships change nobody's status.
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a")).await;
    let mut snapshot = message("s0").entry("d").with("d", on_demand);
    snapshot = snapshot.with("d", |o| o.common.slots.push(Slot::single("urn:example:x", "1")));
    assert_eq!(codes(&rules.register_on_demand(snapshot).await), [] as [&str; 0]);
    for (n, (kind, target)) in [
        (association::XFRM, "a"),
        (association::APND, "a"),
        (association::SIGNS, "a"),
        (association::IS_SNAPSHOT_OF, "d"),
    ]
    .into_iter()
    .enumerate()
    {
        let (set, new) = (format!("t{n}"), format!("new{n}"));
        rules.accepts(message(&set).entry(&new).relate(kind, &new, target)).await;
        assert!(rules.is_approved(target).await && rules.is_approved(&new).await, "{kind}");
    }
}

#[tokio::test]
async fn a_replacement_joins_the_folders_of_what_it_replaces() {
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a").folder("f").file("f", "a").folder("old").file("old", "a")).await;
    assert_eq!(
        codes(&rules.update(message("s2").change_status("old", v::APPROVED, v::DEPRECATED)).await),
        [] as [&str; 0]
    );
    rules.at("2026-02-02T02:02:02Z");
    rules.accepts(message("s3").entry("b").relate(association::RPLC, "b", "a")).await;
    assert!(rules.is_filed("f", "a").await && rules.is_filed("f", "b").await);
    assert!(!rules.is_filed("old", "b").await, "a Deprecated folder takes nothing up");
    assert_eq!(
        (rules.updated("f").await.as_str(), rules.updated("old").await.as_str()),
        ("20260202020202", "20260101000000")
    );
    // What the submission itself files and replaces is joined as well.
    rules.accepts(message("s5").entry("x").folder("g")).await;
    let both = message("s6").entry("y").file("g", "x").folder("h").file("h", "x").relate(association::RPLC, "y", "x");
    rules.accepts(both).await;
    assert!(rules.is_filed("g", "x").await && rules.is_filed("g", "y").await && rules.is_filed("h", "y").await);
    // Where the submission says so itself, it is there once.
    rules.accepts(message("s4").entry("c").relate(association::RPLC, "c", "b").file("f", "c")).await;
    assert!(rules.is_filed("f", "c").await);
}

/// A document and its transform are replaced in one submission: both replacements are filed, in
/// whatever order they come.
#[tokio::test]
async fn several_replacements_in_one_submission() {
    for first in ["a", "t"] {
        let rules = Rules::new();
        rules.accepts(message("s1").entry("a").folder("f").file("f", "a")).await;
        rules.accepts(message("s2").entry("t").relate(association::XFRM, "t", "a").file("f", "t")).await;
        let mut both = message("s3").entry("a2").entry("t2");
        let second = if first == "a" { "t" } else { "a" };
        for replaced in [first, second] {
            both = both.relate(association::RPLC, &format!("{replaced}2"), replaced);
        }
        rules.accepts(both).await;
        assert!(rules.is_filed("f", "a2").await && rules.is_filed("f", "t2").await, "{first} first");
        assert!(!rules.is_approved("a").await && !rules.is_approved("t").await);
    }
    // Two of one folder are replaced by one: it is there once. One is replaced by two: both are there.
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a").entry("b").folder("f").file("f", "a").file("f", "b")).await;
    rules
        .accepts(message("s2").entry("c").relate(association::RPLC, "c", "a").relate(association::RPLC, "c", "b"))
        .await;
    assert!(rules.is_filed("f", "c").await);
    let split = message("s3").entry("d").entry("e");
    rules.accepts(split.relate(association::RPLC, "d", "c").relate(association::RPLC, "e", "c")).await;
    assert!(rules.is_filed("f", "d").await && rules.is_filed("f", "e").await);
}

/// What one message makes of replacements and folders is bounded: it grows with both.
#[tokio::test]
async fn replacements_take_no_more_places_than_allowed() {
    let rules = Rules::new();
    let mut first = message("s1").entry("a");
    for n in 0..101 {
        first = first.folder(&format!("f{n}")).file(&format!("f{n}"), "a");
    }
    rules.accepts(first).await;
    let many = |replacements: usize| {
        (0..replacements).fold(message("s2"), |message, n| {
            let label = format!("r{n}");
            message.entry(&label).relate(association::RPLC, &label, "a")
        })
    };
    assert_eq!(codes(&rules.register(many(100)).await), ["XDSRegistryOutOfResources"]);
    assert!(rules.is_approved("a").await && rules.get(uuid("r0")).await.is_none(), "nothing of it is kept");
    rules.accepts(many(2)).await;
    assert!(rules.is_filed("f100", "r1").await);
}

#[tokio::test]
async fn what_an_association_may_point_at() {
    let rules = Rules::new();
    // Of one submission: what replaces points into the registry, others need not.
    for (kind, good) in [
        (association::RPLC, false),
        (association::XFRM_RPLC, false),
        (association::IS_SNAPSHOT_OF, false),
        (association::XFRM, true),
        (association::APND, true),
        (association::SIGNS, true),
    ] {
        let response = rules.register(message("m").entry("one").entry("two").relate(kind, "two", "one")).await;
        assert_eq!(codes(&response), if good { vec![] } else { vec!["UnresolvedReferenceException"] }, "{kind}");
        if good {
            let ties = rules.store.associations_of(uuid("m")).await.unwrap();
            let more = rules.store.associations_of(uuid("one")).await.unwrap();
            let mut all: Vec<EntryUuid> = ties.iter().chain(&more).filter_map(|packed| packed.uuid()).collect();
            all.extend(["m", "one", "two"].map(uuid));
            all.sort();
            all.dedup();
            assert_eq!(codes(&rules.remove(&all).await), [] as [&str; 0]);
        }
    }
    // An entry that no membership names is one fault, not two.
    let mut lone = message("m").entry("one");
    lone.objects.pop();
    assert_eq!(codes(&rules.register(lone).await), ["XDSRegistryMetadataError"]);
    rules.accepts(message("s1").entry("a").folder("f")).await;
    rules.accepts(message_of("s2", OTHER).entry("theirs").folder("theirs:f")).await;
    rules.accepts(message("s3").entry("old").folder("old:f")).await;
    rules.accepts(message("s4").entry("gone").relate(association::RPLC, "gone", "old")).await;
    assert_eq!(
        codes(&rules.update(message("s5").change_status("old:f", v::APPROVED, v::DEPRECATED)).await),
        [] as [&str; 0]
    );
    rules.accepts(message("s6").entry("t").relate(association::XFRM, "t", "a")).await;
    rules.accepts(message("s7").entry("tr").relate(association::XFRM_RPLC, "tr", "gone")).await;

    const NOT_THERE: &str = "UnresolvedReferenceException";
    const DEPRECATED: &str = "XDSRegistryDeprecatedDocumentError";
    const PATIENT_DIFFERS: &str = "XDSPatientIdDoesNotMatch";
    const METADATA: &str = "XDSRegistryMetadataError";
    let new = |tie: fn(Message) -> Message| tie(message("n").entry("new"));
    for (message, code) in [
        (new(|m| m.relate(association::RPLC, "new", "nothing")), NOT_THERE),
        (new(|m| m.relate(association::APND, "new", "nothing")), NOT_THERE),
        (new(|m| m.relate(association::RPLC, "new", "old")), DEPRECATED),
        (new(|m| m.relate(association::APND, "new", "old")), DEPRECATED),
        (new(|m| m.relate(association::RPLC, "new", "theirs")), PATIENT_DIFFERS),
        (new(|m| m.relate(association::XFRM, "new", "theirs")), PATIENT_DIFFERS),
        (new(|m| m.relate(association::RPLC, "new", "f")), METADATA),
        (new(|m| m.relate(association::APND, "new", "t")), METADATA),
        (new(|m| m.relate(association::IS_SNAPSHOT_OF, "new", "a")), METADATA),
        (new(|m| m.file("nothing", "new")), NOT_THERE),
        (new(|m| m.file("f", "nothing")), NOT_THERE),
        (new(|m| m.file("f", "old")), DEPRECATED),
        (new(|m| m.file("old:f", "new")), METADATA),
        (new(|m| m.file("s1", "new")), METADATA),
        (new(|m| m.file("a", "new")), METADATA),
        (new(|m| m.file("f", "s1")), METADATA),
        (new(|m| m.file("theirs:f", "new")), PATIENT_DIFFERS),
        (new(|m| m.file("f", "theirs")), PATIENT_DIFFERS),
        (new(|m| m.refer("nothing")), NOT_THERE),
        (new(|m| m.refer("old")), DEPRECATED),
        (new(|m| m.refer("f")), METADATA),
    ] {
        let response = rules.register(message).await;
        assert_eq!(codes(&response), [code], "{:?}", response.errors);
    }
    // A known document comes into a known folder, and another patient's document by reference.
    rules.at("2026-03-03T03:03:03Z");
    rules.accepts(message("s8").file("f", "a")).await;
    assert!(rules.is_filed("f", "a").await);
    assert_eq!(rules.updated("f").await, "20260303030303");
    rules.accepts(message("s9").refer("a").refer("theirs")).await;
    // A transformation that replaces its original stands for itself.
    rules.accepts(message("s11").entry("addendum").relate(association::APND, "addendum", "tr")).await;
    assert_eq!(rules.count(association::HAS_MEMBER, "s9", "theirs").await, 1);
    // The folder that a replaced document is in may not be another patient's either.
    let mut moved = rules.object("f").await;
    set_identifier(&mut moved, identifier::FOLDER_PATIENT_ID, OTHER);
    let put = causeway::store::Put::new(&moved, &PatientId::parse(OTHER).unwrap());
    rules.store.commit(causeway::store::Change { puts: vec![put], ..Default::default() }).await.unwrap();
    let response = rules.register(message("s10").entry("new").relate(association::RPLC, "new", "a")).await;
    assert_eq!(codes(&response), [PATIENT_DIFFERS]);
}

#[tokio::test]
async fn a_new_folder_has_the_time_of_its_coming() {
    let rules = Rules::new();
    rules.at("2026-04-04T04:04:04Z");
    let claims = |o: &mut RegistryObject<'static>| o.common.set_slot(slot::LAST_UPDATE_TIME, "19990101");
    rules.accepts(message("s1").entry("a").folder("f").file("f", "a").folder("empty").with("empty", claims)).await;
    for folder in ["f", "empty"] {
        assert_eq!(rules.updated(folder).await, "20260404040404");
    }
}

#[tokio::test]
async fn on_demand_entries() {
    let rules = Rules::new();
    rules.accepts(message("s1").entry("stable").folder("f")).await;
    let new = |label: &str| message(&format!("s:{label}")).entry(label).with(label, on_demand);
    assert_eq!(codes(&rules.register_on_demand(new("d")).await), [] as [&str; 0]);
    // One takes a stable one's place, or another's, or one in a folder.
    let replaced = new("e").relate(association::RPLC, "e", "stable").file("f", "e");
    assert_eq!(codes(&rules.register_on_demand(replaced).await), [] as [&str; 0]);
    assert_eq!(codes(&rules.register_on_demand(new("g").relate(association::RPLC, "g", "e")).await), [] as [&str; 0]);
    assert!(!rules.is_approved("stable").await && !rules.is_approved("e").await);
    assert!(rules.is_filed("f", "e").await && rules.is_filed("f", "g").await);
    // A snapshot is stable, and of an on-demand entry.
    let snapshot = rules.register_on_demand(new("h").relate(association::IS_SNAPSHOT_OF, "h", "d")).await;
    assert_eq!(codes(&snapshot), ["XDSRegistryMetadataError"]);
    assert!(snapshot.errors[0].context.contains("stable"), "{:?}", snapshot.errors);
    rules.accepts(message("s3").entry("snap").relate(association::IS_SNAPSHOT_OF, "snap", "d")).await;
    // A later snapshot replaces the former one.
    let later = message("s4").entry("later").relate(association::IS_SNAPSHOT_OF, "later", "d");
    rules.accepts(later.relate(association::RPLC, "later", "snap")).await;
    assert!(rules.is_approved("d").await && !rules.is_approved("snap").await);
    // A stable document has no uniqueId of an on-demand one, nor is it submitted as one.
    let same = |o: &mut RegistryObject<'static>| set_identifier(o, identifier::ENTRY_UNIQUE_ID, &unique_id("d"));
    assert_eq!(codes(&rules.register(message("s5").entry("i").with("i", same)).await), ["XDSRegistryMetadataError"]);
    // The repository beside the registry makes none.
    let ours = |o: &mut RegistryObject<'static>| o.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.81");
    assert_eq!(codes(&rules.register_on_demand(new("k").with("k", ours)).await), ["XDSRegistryMetadataError"]);
    rules.accepts(message("s6").entry("l").with("l", ours)).await;
    // Absent means absent.
    for name in [slot::CREATION_TIME, slot::HASH, slot::SIZE] {
        let empty = |o: &mut RegistryObject<'static>| o.common.slots.push(Slot::list(name, [] as [&str; 0]));
        assert_eq!(
            codes(&rules.register_on_demand(new("j").with("j", empty)).await),
            ["XDSRegistryMetadataError"],
            "{name}"
        );
    }
}

/// An update that is sent as a submission would become a second entry.
#[tokio::test]
async fn an_update_is_no_submission() {
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a")).await;
    for name in [slot::PREVIOUS_VERSION, slot::ASSOCIATION_PROPAGATION] {
        let mut update = message("s2").entry("b");
        update.objects[2].common.slots.push(Slot::single(name, "1"));
        assert_eq!(codes(&rules.register(update).await), ["XDSRegistryMetadataError"], "{name}");
    }
    let version = message("s2").entry("b").with("b", |o| o.common.lid = Some(id("a")));
    assert_eq!(codes(&rules.register(version).await), ["XDSRegistryMetadataError"]);
}

/// What is sent again is answered as the first was, until its SubmissionSet is removed.
#[tokio::test]
async fn receipts() {
    let rules = Rules::new();
    let context = context(TransactionId::RegisterDocumentSet, Some("urn:uuid:1"));
    let send =
        async || rules.registry.register_document_set(&context, message("s").entry("a").objects, Vec::new()).await;
    // Ties have other ids each time, so this is the same message only where they are the same.
    let message = message("s").entry("a");
    let same = async || rules.registry.register_document_set(&context, message.objects.clone(), Vec::new()).await;
    assert_eq!(codes(&same().await), [] as [&str; 0]);
    assert_eq!(codes(&same().await), [] as [&str; 0]);
    assert!(codes(&send().await).contains(&"XDSDuplicateUniqueIdInRegistry"), "another content of the same MessageID");
    let ids: Vec<EntryUuid> = message.objects.iter().filter_map(RegistryObject::uuid).collect();
    assert_eq!(codes(&rules.remove(&ids).await), [] as [&str; 0]);
    assert!(rules.get(uuid("a")).await.is_none());
    assert_eq!(codes(&same().await), [] as [&str; 0]);
    assert!(rules.get(uuid("a")).await.is_some(), "after its removal it is new");
}
