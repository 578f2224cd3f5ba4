//! ITI-57, ITI-92 and ITI-62 against what the registry holds (Metadata Update §3.57.4.1.3, Restricted Metadata
//! Update §3.92.4.1.3, Remove Metadata and Documents §3.62.4.1.3).

use super::*;

const NONE: [&str; 0] = [];
const UPDATE: &str = "XDSMetadataUpdateError";
const OPERATION: &str = "XDSMetadataUpdateOperationError";
const VERSION: &str = "XDSMetadataVersionError";
const RECONCILIATION: &str = "XDSPatientIDReconciliationError";
const METADATA: &str = "XDSRegistryMetadataError";

fn titled(mut object: RegistryObject<'static>, title: &'static str) -> RegistryObject<'static> {
    object.common.names = build::name(title);
    object
}

fn of_patient(mut object: RegistryObject<'static>, patient: &str) -> RegistryObject<'static> {
    for scheme in [identifier::ENTRY_PATIENT_ID, identifier::FOLDER_PATIENT_ID] {
        set_identifier(&mut object, scheme, patient);
    }
    object
}

/// A registry with a document in a folder, its addendum, and a second document.
async fn rules() -> Rules {
    let rules = Rules::new();
    rules.accepts(message("s1").entry("a").folder("f").file("f", "a")).await;
    rules.accepts(message("s2").entry("addendum").relate(association::APND, "addendum", "a")).await;
    rules.accepts(message("s3").entry("b")).await;
    rules
}

/// The slots of the HasMember that announces `label`.
fn annotate(label: &str, change: impl FnOnce(&mut Vec<Slot<'static>>)) -> impl FnOnce(Message) -> Message {
    let member = format!("{label}:m");
    move |message| message.with(&member, |object| change(&mut object.common.slots))
}

fn without_propagation(label: &str) -> impl FnOnce(Message) -> Message {
    annotate(label, |slots| slots.push(Slot::single(slot::ASSOCIATION_PROPAGATION, "no")))
}

#[tokio::test]
async fn a_new_version_takes_associations_over() {
    let rules = rules().await;
    rules.at("2026-02-02T02:02:02Z");
    let entry = rules.object("a").await;
    assert_eq!(codes(&rules.update(message("u1").version(entry, "a2", "a", "1")).await), NONE);
    let new = rules.object("a2").await;
    assert_eq!(new.common.lid, Some(id("a")));
    assert_eq!(new.common.version.as_ref().and_then(|v| v.name.as_deref()), Some("2"));
    assert!(new.is_approved() && !rules.is_approved("a").await);
    assert!(rules.is_filed("f", "a2").await && !rules.is_filed("f", "a").await);
    assert_eq!(rules.updated("f").await, "20260202020202");
    // As the target of a relationship, and as its source.
    assert_eq!(rules.count(association::APND, "addendum", "a2").await, 1);
    assert_eq!(rules.count(association::APND, "addendum", "a").await, 0, "each fact once");
    let addendum = rules.object("addendum").await;
    assert_eq!(codes(&rules.update(message("u2").version(addendum, "addendum2", "addendum", "1")).await), NONE);
    assert_eq!(rules.count(association::APND, "addendum2", "a2").await, 1);
    // Its own SubmissionSet has it, not the former one's.
    assert_eq!(rules.count(association::HAS_MEMBER, "u1", "a2").await, 1);
    assert_eq!(rules.count(association::HAS_MEMBER, "s1", "a2").await, 0);
    // What the first version of the member said is kept with it.
    let member = rules.object("a2:m").await;
    assert_eq!(member.common.slot_value(slot::PREVIOUS_VERSION), Some("1"));
    // The next is a version of the second.
    let again = |previous: &'static str, label: &'static str| {
        let new = new.clone();
        message(label).version(new, "a3", "a", previous)
    };
    assert_eq!(codes(&rules.update(again("1", "u3")).await), [VERSION]);
    assert_eq!(codes(&rules.update(again("2", "u3")).await), NONE);
    assert!(rules.is_filed("f", "a3").await && !rules.is_filed("f", "a2").await);
}

#[tokio::test]
async fn nothing_is_taken_over_where_it_is_not_wanted() {
    let rules = rules().await;
    rules.at("2026-02-02T02:02:02Z");
    let entry = rules.object("a").await;
    let update = without_propagation("a2")(message("u1").version(entry, "a2", "a", "1"));
    assert_eq!(codes(&rules.update(update).await), NONE);
    assert!(!rules.is_filed("f", "a2").await && !rules.is_filed("f", "a").await);
    assert_eq!(rules.count(association::APND, "addendum", "a2").await, 0);
    assert_eq!(rules.count(association::APND, "addendum", "a").await, 0);
    assert_eq!(rules.updated("f").await, "20260101000000");
    // Only with that may it be tied anew in one message.
    let rules = self::rules().await;
    let entry = rules.object("a").await;
    let tied = || message("u1").version(entry.clone(), "a2", "a", "1").submit("tie", association::XFRM, "a2", "b");
    assert_eq!(codes(&rules.update(tied()).await), [OPERATION]);
    assert_eq!(codes(&rules.update(without_propagation("a2")(tied())).await), NONE);
    assert_eq!(rules.count(association::XFRM, "a2", "b").await, 1);
}

#[tokio::test]
async fn a_folders_version_holds_what_is_approved() {
    let rules = rules().await;
    rules.accepts(message("s4").file("f", "b")).await;
    assert_eq!(codes(&rules.update(message("u1").change_status("b", v::APPROVED, v::DEPRECATED)).await), NONE);
    let folder = titled(rules.object("f").await, "Second");
    rules.at("2026-02-02T02:02:02Z");
    assert_eq!(codes(&rules.update(message("u2").version(folder.clone(), "f2", "f", "1")).await), NONE);
    assert!(rules.is_filed("f2", "a").await && !rules.is_filed("f2", "b").await && !rules.is_filed("f", "a").await);
    assert_eq!(rules.updated("f2").await, "20260202020202");
    // A document and its folder in one message: the new one is in the new one, once.
    let entry = rules.object("a").await;
    let both = message("u3").version(entry, "a2", "a", "1").version(rules.object("f2").await, "f3", "f", "2");
    assert_eq!(codes(&rules.update(both).await), NONE);
    assert!(rules.is_filed("f3", "a2").await && !rules.is_filed("f3", "a").await && !rules.is_filed("f2", "a2").await);
    // Its HasMember needs no SubmissionSetStatus.
    let folder = rules.object("f3").await;
    let bare = annotate("f4", |slots| slots.retain(|slot| slot.name == slot::PREVIOUS_VERSION));
    assert_eq!(codes(&rules.update(bare(message("u4").version(folder, "f4", "f", "3"))).await), NONE);
}

#[tokio::test]
async fn a_patient_is_corrected_only_where_nothing_ties_it_to_another() {
    let rules = rules().await;
    let entry = of_patient(rules.object("a").await, OTHER);
    assert_eq!(
        codes(&rules.update(message_of("u1", OTHER).version(entry.clone(), "a2", "a", "1")).await),
        [RECONCILIATION; 2],
        "the folder and the addendum are the former patient's"
    );
    // The SubmissionSet is of the new patient.
    assert_eq!(
        codes(&rules.update(message("u1").version(entry.clone(), "a2", "a", "1")).await),
        ["XDSPatientIdDoesNotMatch"]
    );
    // One that nothing ties may go, and all that are tied may go together.
    let alone = of_patient(rules.object("b").await, OTHER);
    assert_eq!(codes(&rules.update(message_of("u1", OTHER).version(alone, "b2", "b", "1")).await), NONE);
    let of = |label: &'static str| rules.object(label);
    let together = message_of("u2", OTHER)
        .version(entry, "a2", "a", "1")
        .version(of_patient(of("f").await, OTHER), "f2", "f", "1")
        .version(of_patient(of("addendum").await, OTHER), "addendum2", "addendum", "1");
    assert_eq!(codes(&rules.update(together).await), NONE);
    let theirs = rules.store.of_patient(&PatientId::parse(OTHER).unwrap(), Noun::DocumentEntry).await.unwrap();
    assert_eq!(theirs.len(), 3);
    let ours = rules.store.of_patient(&PatientId::parse(PATIENT).unwrap(), Noun::DocumentEntry).await.unwrap();
    assert!(ours.iter().all(|packed| packed.is_superseded()), "the former versions stay where they were");
    assert!(rules.is_filed("f2", "a2").await);
    assert_eq!(rules.count(association::APND, "addendum2", "a2").await, 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_version() {
    let rules = rules().await;
    rules.accepts(message("s4").entry("old")).await;
    assert_eq!(codes(&rules.update(message("u0").change_status("old", v::APPROVED, v::DEPRECATED)).await), NONE);
    let entry = titled(rules.object("a").await, "x");
    let (old, folder) = (rules.object("old").await, rules.object("f").await);
    let version = || message("u1").version(entry.clone(), "a2", "a", "1");
    let slots = |change: fn(&mut Vec<Slot<'static>>)| annotate("a2", change)(version());
    let other = |change: fn(&mut RegistryObject<'static>)| version().with("a2", change);
    let mut twice = version();
    let mut second = build::original(EntryUuid::random().into(), id("u1"), id("a2"));
    second.common.slots.push(Slot::single(slot::PREVIOUS_VERSION, "1"));
    twice.objects.push(second);
    let mut two_sets = version();
    two_sets.objects.push(message("u2").objects.remove(0));
    let mut unlabelled = version();
    let mut nothing = folder_of("nothing", PATIENT);
    nothing.classifications.clear();
    unlabelled.objects.push(nothing);
    let only_set = Message { patient: PATIENT, objects: message("u1").objects };
    for (n, (message, code)) in [
        (slots(|s| s.retain(|s| s.name != slot::PREVIOUS_VERSION)), OPERATION),
        (slots(|s| s.retain(|s| s.name != slot::SUBMISSION_SET_STATUS)), OPERATION),
        (slots(|s| s[0] = Slot::single(slot::SUBMISSION_SET_STATUS, "Reference")), OPERATION),
        (slots(|s| s[1] = Slot::single(slot::PREVIOUS_VERSION, "one")), OPERATION),
        (slots(|s| s[1] = Slot::single(slot::PREVIOUS_VERSION, "+1")), OPERATION),
        (slots(|s| s[1] = Slot::list(slot::PREVIOUS_VERSION, ["1", "1"])), OPERATION),
        (slots(|s| s.push(Slot::single(slot::ASSOCIATION_PROPAGATION, "maybe"))), OPERATION),
        (slots(|s| s.push(Slot::single("urn:example:x", "1"))), OPERATION),
        (twice, OPERATION),
        (two_sets, UPDATE),
        (unlabelled, METADATA),
        (only_set, UPDATE),
        (version().version(entry.clone(), "a3", "a", "1"), OPERATION),
        (message("u1").version(old, "old2", "old", "1"), UPDATE),
        (message("u1").version(entry.clone(), "a2", "f", "1"), UPDATE),
        (message("u1").version(folder, "f2", "a", "1"), UPDATE),
        (message("u1").version(entry.clone(), "a2", "nothing", "1"), VERSION),
        (message("u1").version(entry.clone(), "a2", "a", "2"), VERSION),
        (message("u1").version(entry.clone(), "a2", "a", "0"), VERSION),
        (other(|o| o.common.lid = None), UPDATE),
        (other(|o| o.common.lid = o.common.id.clone()), UPDATE),
        (other(|o| o.common.lid = Some(ObjectId::Symbol("a".into()))), UPDATE),
        (other(|o| set_identifier(o, identifier::ENTRY_UNIQUE_ID, "2.999.7")), UPDATE),
        (other(on_demand), UPDATE),
        (other(|o| o.common.slots.retain(|slot| slot.name != slot::CREATION_TIME)), METADATA),
        (version().change_status("a2", v::DEPRECATED, v::APPROVED), UPDATE),
        (version().tie(association::SUBMIT_ASSOCIATION, &id("u1"), &id("a2")), UPDATE),
        (version().tie(association::SUBMIT_ASSOCIATION, &id("u1"), &id("a2:m")), UPDATE),
        // The announcing HasMember is kept, so it is judged.
        (
            version().with("a2:m", |o| {
                let code = build::Code { code: "x".into(), scheme: "2.999".into(), display: "x".into() };
                o.classifications.push(build::code(scheme::ASSOCIATION_DOCUMENTATION, &code));
            }),
            METADATA,
        ),
        // A SubmissionSet is its own first version.
        (version().with("u1", |o| o.common.lid = Some(id("s1"))), METADATA),
    ]
    .into_iter()
    .enumerate()
    {
        let response = rules.update(message).await;
        // Twins of one uniqueId have two findings.
        assert!(codes(&response).contains(&code), "{n}: {:?}", response.errors);
    }
    assert!(rules.get(uuid("a2")).await.is_none() && rules.is_approved("a").await, "nothing has changed");
    // DECISION: what says where the bytes are, and what they are, may be corrected.
    let corrected = version().with("a2", |o| {
        o.common.set_slot(slot::HASH, "0000000000000000000000000000000000000000");
        o.common.set_slot(slot::SIZE, "7");
        o.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.81");
    });
    assert_eq!(codes(&rules.update(corrected).await), NONE);
    // After which a document of the former hash is another one.
    let former = |o: &mut RegistryObject<'static>| set_identifier(o, identifier::ENTRY_UNIQUE_ID, &unique_id("a"));
    assert_eq!(codes(&rules.register(message("s5").entry("c").with("c", former)).await), ["XDSNonIdenticalHash"]);
    let as_corrected = |o: &mut RegistryObject<'static>| {
        former(o);
        o.common.set_slot(slot::HASH, "0000000000000000000000000000000000000000");
        o.common.set_slot(slot::SIZE, "7");
    };
    rules.accepts(message("s5").entry("c").with("c", as_corrected)).await;
}

#[tokio::test]
async fn statuses_change_as_they_may() {
    let rules = rules().await;
    let change = async |set: &str, target: &str, from: &'static str, to: &'static str| {
        let response = rules.update(message(set).change_status(target, from, to)).await;
        codes(&response).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for target in ["a", "f"] {
        assert_eq!(change(&format!("{target}1"), target, v::APPROVED, v::DEPRECATED).await, NONE);
        assert!(!rules.is_approved(target).await);
        assert_eq!(change(&format!("{target}2"), target, v::APPROVED, v::DEPRECATED).await, [UPDATE], "it is not so");
        assert_eq!(change(&format!("{target}3"), target, v::DEPRECATED, v::APPROVED).await, NONE);
        assert!(rules.is_approved(target).await);
    }
    // A new version and its status in one message: both versions are Deprecated.
    let entry = rules.object("b").await;
    let both = message("u1").version(entry, "b2", "b", "1").change_status("b2", v::APPROVED, v::DEPRECATED);
    assert_eq!(codes(&rules.update(both).await), NONE);
    assert!(!rules.is_approved("b2").await && !rules.is_approved("b").await);
    assert_eq!(change("u2", "b", v::DEPRECATED, v::APPROVED).await, [UPDATE], "not the latest version");
    assert_eq!(change("u2", "b2", v::DEPRECATED, v::APPROVED).await, NONE);
    // Sets keep theirs, and so do their memberships.
    assert_eq!(change("u3", "s1", v::APPROVED, v::DEPRECATED).await, [UPDATE]);
    assert_eq!(change("u3", "b2:m", v::APPROVED, v::DEPRECATED).await, [UPDATE]);
    assert_eq!(change("u3", "nothing", v::APPROVED, v::DEPRECATED).await, [UPDATE]);
    let status = |change: fn(&mut RegistryObject<'static>)| {
        message("u3").change_status("a", v::APPROVED, v::DEPRECATED).with("a:s", change)
    };
    for (n, (message, code)) in [
        (status(|o| o.common.slots.truncate(1)), OPERATION),
        (status(|o| drop(o.common.slots.remove(0))), OPERATION),
        (status(|o| o.common.set_slot(slot::NEW_STATUS, v::APPROVED)), OPERATION),
        (status(|o| o.common.set_slot(slot::NEW_STATUS, "urn:x")), OPERATION),
        (status(|o| o.common.slots[1] = Slot::list(slot::NEW_STATUS, [v::DEPRECATED, v::DEPRECATED])), OPERATION),
        (status(|o| o.common.slots.push(Slot::single("urn:example:x", "1"))), OPERATION),
        (
            status(|o| {
                if let causeway::model::rim::Body::Association { source, .. } = &mut o.body {
                    *source = id("s1");
                }
            }),
            UPDATE,
        ),
        (
            {
                let mut twice = status(|_| ());
                let mut second = twice.objects[1].clone();
                second.common.id = Some(id("second"));
                twice.objects.push(second);
                twice
            },
            OPERATION,
        ),
        (message_of("u3", OTHER).change_status("a", v::APPROVED, v::DEPRECATED), RECONCILIATION),
        (message("u3").change_status("u3", v::APPROVED, v::DEPRECATED), UPDATE),
    ]
    .into_iter()
    .enumerate()
    {
        let response = rules.update(message).await;
        assert_eq!(codes(&response), [code], "{n}: {:?}", response.errors);
    }
    assert!(rules.is_approved("a").await);
}

#[tokio::test]
async fn associations_come_and_change_as_they_may() {
    let rules = rules().await;
    rules.accepts(message_of("o1", OTHER).entry("theirs").folder("theirs:f")).await;
    rules.accepts(message("s4").entry("old")).await;
    assert_eq!(codes(&rules.update(message("u0").change_status("old", v::APPROVED, v::DEPRECATED)).await), NONE);
    let on_demand_entry = message("s5").entry("d").with("d", on_demand).entry("e").with("e", on_demand);
    assert_eq!(codes(&rules.register_on_demand(on_demand_entry).await), NONE);
    let new = |kind: &'static str, from: &str, to: &str| message("u1").submit("tie", kind, from, to);
    let documented = new(association::HAS_MEMBER, "f", "b").with("tie", |o| {
        let code = build::Code { code: "x".into(), scheme: "2.999".into(), display: "x".into() };
        o.classifications.push(build::code(scheme::ASSOCIATION_DOCUMENTATION, &code));
    });
    let mut foreign = new(association::XFRM, "b", "a");
    foreign.objects[2] =
        build::association(EntryUuid::random().into(), association::SUBMIT_ASSOCIATION, id("s1"), id("tie"));
    for (n, (message, code)) in [
        (new(association::HAS_MEMBER, "f", "nothing"), UPDATE),
        (new(association::HAS_MEMBER, "nothing", "b"), UPDATE),
        (new(association::HAS_MEMBER, "f", "old"), UPDATE),
        (new(association::HAS_MEMBER, "f", "a"), UPDATE),
        (new(association::HAS_MEMBER, "a", "b"), UPDATE),
        (new(association::HAS_MEMBER, "f", "s1"), UPDATE),
        (new(association::HAS_MEMBER, "s1", "b"), UPDATE),
        (new(association::HAS_MEMBER, "f", "theirs"), RECONCILIATION),
        (new(association::RPLC, "a", "theirs"), RECONCILIATION),
        (new(association::RPLC, "f", "a"), UPDATE),
        (new(association::RPLC, "a", "f"), UPDATE),
        (new(association::RPLC, "a", "a"), UPDATE),
        (new(association::APND, "addendum", "a"), UPDATE),
        (new(association::IS_SNAPSHOT_OF, "b", "a"), UPDATE),
        (new(association::IS_SNAPSHOT_OF, "d", "e"), UPDATE),
        (new("urn:example:friend", "a", "b"), METADATA),
        (documented, METADATA),
        (new(association::XFRM, "b", "a").with("tie", |o| o.common.lid = Some(id("a"))), METADATA),
        (new(association::XFRM, "b", "a").submit("tie2", association::XFRM, "b", "a"), UPDATE),
    ]
    .into_iter()
    .enumerate()
    {
        let response = rules.update(message).await;
        assert_eq!(codes(&response), [code], "{n}: {:?}", response.errors);
    }
    assert_eq!(codes(&rules.update(foreign).await), [UPDATE; 2], "nothing of this message submits it");
    // The same two may be tied in another way; a replacement said so replaces nothing.
    assert_eq!(codes(&rules.update(new(association::RPLC, "addendum", "a")).await), NONE);
    assert!(rules.is_approved("a").await);
    assert_eq!(rules.count(association::RPLC, "addendum", "a").await, 1);
    rules.at("2026-02-02T02:02:02Z");
    assert_eq!(codes(&rules.update(message("u2").submit("in", association::HAS_MEMBER, "f", "b")).await), NONE);
    assert!(rules.is_filed("f", "b").await);
    assert_eq!(rules.updated("f").await, "20260202020202");
    // New and at once Deprecated.
    let both = message("u3").submit("t", association::XFRM, "b", "a").change_status("t", v::APPROVED, v::DEPRECATED);
    assert_eq!(codes(&rules.update(both).await), NONE);
    assert!(!rules.is_approved("t").await);
    // It comes back only between Approved ends.
    let change = |set: &str, target: &str, from: &'static str, to: &'static str| {
        rules.update(message(set).change_status(target, from, to))
    };
    assert_eq!(codes(&change("u4", "a", v::APPROVED, v::DEPRECATED).await), NONE);
    assert_eq!(codes(&change("u5", "t", v::DEPRECATED, v::APPROVED).await), [UPDATE]);
    assert_eq!(codes(&change("u5", "a", v::DEPRECATED, v::APPROVED).await), NONE);
    assert_eq!(codes(&change("u6", "t", v::DEPRECATED, v::APPROVED).await), NONE);
    assert!(rules.is_approved("t").await);
    // That one no longer replaces the other brings nothing back.
    rules
        .accepts(message("s6").entry("c").put(build::association(id("rplc"), association::RPLC, id("c"), id("b"))))
        .await;
    assert!(!rules.is_approved("b").await);
    assert_eq!(codes(&change("u7", "rplc", v::APPROVED, v::DEPRECATED).await), NONE);
    assert!(!rules.is_approved("b").await);
}

#[tokio::test]
async fn a_restricted_update_keeps_what_it_must() {
    let rules = rules().await;
    let entry = titled(rules.object("a").await, "x");
    let version = || message("u1").version(entry.clone(), "a2", "a", "1");
    let other = |change: fn(&mut RegistryObject<'static>)| version().with("a2", change);
    let slots = |change: fn(&mut Vec<Slot<'static>>)| annotate("a2", change)(version());
    const UNMODIFIABLE: &str = "UnmodifiableMetadataError";
    const ANNOTATION: &str = "XDSMetadataAnnotationError";
    const REQUEST: &str = "XDSInvalidRequestException";
    let mut unannounced = version();
    unannounced.objects.pop();
    let lone =
        Message { patient: PATIENT, objects: version().submit("t", association::XFRM, "b", "a").objects[..4].to_vec() };
    for (n, (message, code)) in [
        (other(|o| set_identifier(o, identifier::ENTRY_UNIQUE_ID, "2.999.7")), "XDSMetadataIdentifierError"),
        (other(on_demand), "XDSObjectTypeError"),
        (message("u1").version(rules.object("f").await, "f2", "f", "1"), "XDSObjectTypeError"),
        (message("u1").version(entry.clone(), "a2", "f", "1"), "XDSObjectTypeError"),
        (message_of("u1", OTHER).version(of_patient(entry.clone(), OTHER), "a2", "a", "1"), RECONCILIATION),
        (other(|o| o.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.81")), UNMODIFIABLE),
        (other(|o| o.common.set_slot(slot::DOCUMENT_AVAILABILITY, v::OFFLINE)), UNMODIFIABLE),
        (other(|o| o.common.set_slot(slot::SOURCE_PATIENT_ID, "4711^^^&2.999.826.2.1.2&ISO")), UNMODIFIABLE),
        (other(|o| o.common.status = Some(v::DEPRECATED.into())), UNMODIFIABLE),
        (version().change_status("b", v::APPROVED, v::DEPRECATED), UNMODIFIABLE),
        (version().submit("t", association::XFRM, "b", "a"), UNMODIFIABLE),
        (lone, UNMODIFIABLE),
        (slots(|s| s.retain(|s| s.name != slot::PREVIOUS_VERSION)), ANNOTATION),
        (slots(|s| s.push(Slot::single(slot::ASSOCIATION_PROPAGATION, "no"))), ANNOTATION),
        (unannounced, ANNOTATION),
        (other(|o| o.common.lid = o.common.id.clone()), REQUEST),
        (Message { patient: PATIENT, objects: message("u1").objects }, REQUEST),
        (message("u1").version(entry.clone(), "a2", "a", "2"), VERSION),
        (message("u1").version(entry.clone(), "a2", "nothing", "1"), VERSION),
    ]
    .into_iter()
    .enumerate()
    {
        let response = rules.restricted_update(message).await;
        assert!(codes(&response).contains(&code), "{n}: {:?}", response.errors);
    }
    assert!(rules.get(uuid("a2")).await.is_none());
    // A capital letter is another identifier; Online is what an absent documentAvailability means.
    let letters = |o: &mut RegistryObject<'static>| o.common.set_slot(slot::SOURCE_PATIENT_ID, "ab^^^&2.999.1&ISO");
    rules.accepts(message("s4").entry("c").with("c", letters)).await;
    let mut capital = rules.object("c").await;
    capital.common.set_slot(slot::SOURCE_PATIENT_ID, "AB^^^&2.999.1&ISO");
    let response = rules.restricted_update(message("u1").version(capital, "c2", "c", "1")).await;
    assert_eq!(codes(&response), [UNMODIFIABLE]);
    let online = other(|o| o.common.set_slot(slot::DOCUMENT_AVAILABILITY, v::ONLINE));
    assert_eq!(codes(&rules.restricted_update(online).await), NONE);
    // Without a logicalID its uniqueId tells what it is a version of, if that is one.
    let by_id = message("u2").version(rules.object("b").await, "b2", "b", "1").with("b2", |o| o.common.lid = None);
    assert_eq!(codes(&rules.restricted_update(by_id).await), NONE);
    assert_eq!(rules.object("b2").await.common.lid, Some(id("b")));
    let twin = |o: &mut RegistryObject<'static>| set_identifier(o, identifier::ENTRY_UNIQUE_ID, &unique_id("b"));
    rules.accepts(message("s5").entry("twin").with("twin", twin)).await;
    let unclear = message("u3").version(rules.object("b2").await, "b3", "b", "2").with("b3", |o| o.common.lid = None);
    assert_eq!(codes(&rules.restricted_update(unclear).await), [VERSION]);
    // The version of a Deprecated entry is Deprecated; an on-demand one may be updated.
    assert_eq!(codes(&rules.update(message("u4").change_status("c", v::APPROVED, v::DEPRECATED)).await), NONE);
    let old = rules.object("c").await;
    assert_eq!(codes(&rules.restricted_update(message("u5").version(old, "c2", "c", "1")).await), NONE);
    assert!(!rules.is_approved("c2").await);
    assert_eq!(codes(&rules.register_on_demand(message("s6").entry("d").with("d", on_demand)).await), NONE);
    let asked = titled(rules.object("d").await, "y");
    assert_eq!(codes(&rules.restricted_update(message("u6").version(asked, "d2", "d", "1")).await), NONE);
    assert!(rules.object("d2").await.is_on_demand());
    let mut ours = rules.object("d2").await;
    ours.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.81");
    let moved = rules.update(message("u7").version(ours, "d3", "d", "2")).await;
    assert_eq!(codes(&moved), [METADATA], "the repository beside the registry makes none");
    // An empty documentAvailability says nothing.
    let mut empty = rules.object("a2").await;
    empty.common.slots.retain(|slot| slot.name != slot::DOCUMENT_AVAILABILITY);
    empty.common.slots.push(Slot::list(slot::DOCUMENT_AVAILABILITY, [""]));
    assert_eq!(codes(&rules.restricted_update(message("u8").version(empty, "a3", "a", "2")).await), NONE);
}

#[tokio::test]
async fn removals_leave_what_stays_whole() {
    let rules = rules().await;
    rules.accepts(message("s4").entry("c").relate(association::RPLC, "c", "b")).await;
    let ties = async |label: &str| -> Vec<EntryUuid> {
        let packed = rules.store.associations_of(uuid(label)).await.unwrap();
        packed.iter().filter_map(|packed| packed.uuid()).collect()
    };
    let between = async |from: &str, to: &str| {
        let packed = rules.store.associations_of(uuid(from)).await.unwrap();
        let tie = packed.iter().find(|packed| packed.unpack().unwrap().ends() == Some((uuid(from), uuid(to))));
        tie.and_then(|packed| packed.uuid()).expect("a tie")
    };
    // A membership in a folder goes with the set's membership of it, not alone.
    let member = between("f", "a").await;
    assert_eq!(codes(&rules.remove(&[member]).await), ["ReferencesExistException"]);
    let of_it: Vec<EntryUuid> =
        rules.store.associations_of(member).await.unwrap().iter().filter_map(|p| p.uuid()).collect();
    assert_eq!(codes(&rules.remove(&[&[member][..], &of_it].concat()).await), NONE);
    assert!(!rules.is_filed("f", "a").await && rules.is_approved("a").await);
    // A replaced document goes with what replaces it said, not without.
    let of_b = between("s3", "b").await;
    assert_eq!(
        codes(&rules.remove(&[uuid("b"), of_b, uuid("s3")]).await),
        ["ReferencesExistException"],
        "the RPLC still points at it"
    );
    // A relationship alone may go; what was replaced stays so.
    assert_eq!(codes(&rules.remove(&[between("c", "b").await]).await), NONE);
    assert!(!rules.is_approved("b").await);
    assert_eq!(codes(&rules.remove(&[between("addendum", "a").await]).await), NONE);
    assert!(rules.is_approved("a").await && rules.is_approved("addendum").await);
    assert_eq!(codes(&rules.remove(&[uuid("b"), of_b, uuid("s3")]).await), NONE);
    assert!(rules.get(uuid("b")).await.is_none() && ties("b").await.is_empty());
    assert_eq!(codes(&rules.remove(&[uuid("b")]).await), ["UnresolvedReferenceException"]);
    // An object is left with something that has it.
    let of_c = between("s4", "c").await;
    assert_eq!(codes(&rules.remove(&[uuid("c"), of_c]).await), ["XDSUnreferencedObjectException"]);
}
