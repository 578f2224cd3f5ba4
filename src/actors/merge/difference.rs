//! Whether two communities say the same of one object, and if not, what is different.
//!
//! Gateways write an object anew: the order of its parts, the ids of its parts, white space and what goes
//! without saying are no difference. Nor is what the other one leaves out: gateways of other makers drop what
//! they do not know. A difference is what the other one says and the answer does not.

use std::borrow::Cow;

use crate::model::metadata::Noun;
use crate::model::rim::{Body, Classification, RegistryObject, Slot};
use crate::model::vocabulary::slot;
use crate::validate::metadata::{ATTRIBUTES, Place};

use super::ROUTE_SLOTS;

/// Characters of a value that are told.
const LONGEST_VALUE: usize = 80;

/// Attributes whose values are told too: they say which of the two is the later one, or whether both are
/// about the same bytes.
const TOLD: [&str; 6] =
    ["availabilityStatus", "versionInfo", slot::HASH, slot::SIZE, "mimeType", slot::DOCUMENT_AVAILABILITY];

/// Something that is said of an object: the attribute's name, and its value.
type Fact<'o> = (Cow<'o, str>, String);

/// What `other` says and `shown` does not, attribute by attribute; empty: they say the same.
pub fn difference(shown: &RegistryObject<'_>, other: &RegistryObject<'_>) -> Vec<String> {
    // A mere reference says nothing of the object.
    if matches!(shown.body, Body::ObjectRef) || matches!(other.body, Body::ObjectRef) {
        return Vec::new();
    }
    let (shown, other) = (facts(shown, true), facts(other, false));
    let mut told: Vec<String> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (name, value) in &other {
        if names.contains(&&**name) || shown.binary_search_by(|fact| by_both(fact, name, value)).is_ok() {
            continue;
        }
        names.push(name);
        if !TOLD.contains(&&**name) {
            told.push(name.chars().take(LONGEST_VALUE).collect());
            continue;
        }
        let here = shown.iter().find(|(known, _)| known == name);
        told.push(match here {
            Some((_, here)) => format!("{name} {} instead of {}", short(value), short(here)),
            None => format!("{name} {}", short(value)),
        });
    }
    told
}

fn by_both(fact: &Fact<'_>, name: &str, value: &str) -> std::cmp::Ordering {
    (&*fact.0, fact.1.as_str()).cmp(&(name, value))
}

/// A value as people read it: of a URN the last word.
fn short(value: &str) -> String {
    let word = if value.starts_with("urn:") { value.rsplit(':').next().unwrap_or(value) } else { value };
    word.chars().take(LONGEST_VALUE).collect()
}

/// Everything that is said of an object, in one order; with or without what is said by leaving it out.
fn facts<'o>(object: &'o RegistryObject<'_>, with_defaults: bool) -> Vec<Fact<'o>> {
    let (common, noun) = (&object.common, object.noun());
    let mut facts: Vec<Fact<'o>> = Vec::with_capacity(40);
    let mut say = |name: Cow<'o, str>, value: &str| {
        let value = value.trim();
        if !value.is_empty() {
            facts.push((name, value.to_owned()));
        }
    };
    match &object.body {
        Body::ExtrinsicObject { mime_type, opaque } => {
            say("mimeType".into(), mime_type.as_deref().unwrap_or_default());
            // Absent means false (schema of ebRIM 3.0).
            if let Some(opaque) = opaque.or(with_defaults.then_some(false)) {
                say("isOpaque".into(), if opaque { "true" } else { "false" });
            }
        }
        Body::Association { kind, source, target } => {
            say("associationType".into(), kind);
            say("sourceObject".into(), &source.to_string());
            say("targetObject".into(), &target.to_string());
        }
        Body::RegistryPackage | Body::ObjectRef => {}
    }
    say("objectType".into(), common.object_type.as_deref().unwrap_or_default());
    say("availabilityStatus".into(), common.status.as_deref().unwrap_or_default());
    // A first version's logicalID is its own id, and its number 1.1 (ITI TF-3 §4.2.3.1, Metadata Update).
    if let Some(lid) = common.lid.as_ref().or(common.id.as_ref().filter(|_| with_defaults)) {
        say("logicalID".into(), &lid.to_string());
    }
    let version = common.version.as_ref().and_then(|version| version.name.as_deref());
    say("versionInfo".into(), version.or(with_defaults.then_some("1.1")).unwrap_or_default());
    for name in &common.names {
        say("title".into(), &name.value);
    }
    for description in &common.descriptions {
        say("comments".into(), &description.value);
    }
    for slot in common.slots.iter().filter(|slot| !ROUTE_SLOTS.contains(&&*slot.name)) {
        say(Cow::Borrowed(&slot.name), &values(slot));
    }
    for classification in &object.classifications {
        say(named(noun, classified_in(classification)), &classified(classification));
    }
    for identifier in &object.identifiers {
        let scheme = identifier.scheme.as_deref().unwrap_or_default();
        let value = identifier.value.as_deref().unwrap_or_default();
        // Gateways on the way may have replaced the assigning authority.
        let is_patient = noun.patient_id_scheme() == Some(scheme);
        let value = if is_patient { value.split('^').next().unwrap_or_default() } else { value };
        say(named(noun, scheme), value);
    }
    facts.sort();
    facts
}

/// The standard's name of the attribute that has a scheme, or the scheme itself.
fn named<'o>(noun: Noun, scheme: &'o str) -> Cow<'o, str> {
    let has = |place: &Place| match place {
        Place::Code(known) | Place::Author(known) | Place::Identifier(known) | Place::Node(known) => *known == scheme,
        _ => false,
    };
    let row = ATTRIBUTES.iter().find(|row| row.noun == noun && has(&row.place));
    row.map_or(Cow::Borrowed(scheme), |row| Cow::Borrowed(row.name))
}

fn classified_in<'o>(classification: &'o Classification<'_>) -> &'o str {
    classification.scheme.as_deref().or(classification.node.as_deref()).unwrap_or("classification")
}

/// What a code or an author says; the name that it is shown under does not change its meaning.
fn classified(classification: &Classification<'_>) -> String {
    let mut slots: Vec<String> = classification
        .common
        .slots
        .iter()
        .map(|slot| format!("{}={}", slot.name, values(slot)))
        .filter(|said| !said.ends_with('='))
        .collect();
    slots.sort();
    let words = [&classification.representation, &classification.node];
    let words = words.map(|word| word.as_deref().unwrap_or_default().trim());
    format!("{} {}", words.join(" "), slots.join("|"))
}

/// The values of a slot in one order: lists have none.
fn values(slot: &Slot<'_>) -> String {
    let mut values: Vec<&str> = slot.values.iter().map(|value| value.trim()).filter(|v| !v.is_empty()).collect();
    values.sort_unstable();
    values.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::EntryUuid;
    use crate::model::metadata::build::{self, Code};
    use crate::model::rim::{ObjectId, VersionInfo};
    use crate::model::vocabulary::{APPROVED, DEPRECATED, identifier, scheme};

    fn entry() -> RegistryObject<'static> {
        let code = |code: &str| Code { code: code.into(), scheme: "2.999.6".into(), display: code.into() };
        let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([7; 16])), "text/plain");
        entry.common.home = Some("urn:oid:2.999.1".into());
        entry.common.status = Some(APPROVED.into());
        entry.common.names = build::name("Letter");
        entry.common.slots = vec![
            Slot::single(slot::HASH, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            Slot::list("urn:x:list", ["b", "a"]),
        ];
        entry.classifications = vec![
            build::code(scheme::CLASS_CODE, &code("letter")),
            build::code(scheme::CONFIDENTIALITY_CODE, &code("N")),
        ];
        entry.identifiers = vec![
            build::external_identifier(identifier::ENTRY_PATIENT_ID, "999^^^&2.999.2&ISO"),
            build::external_identifier(identifier::ENTRY_UNIQUE_ID, "2.999.5"),
        ];
        entry
    }

    #[test]
    fn what_gateways_write_anew_is_no_difference() {
        let mut again = entry();
        again.common.home = Some("URN:OID:2.999.1".into());
        again.common.lid = again.common.id.clone();
        again.common.version = Some(VersionInfo { name: Some("1.1".into()), comment: None });
        again.body = Body::ExtrinsicObject { mime_type: Some("text/plain ".into()), opaque: Some(false) };
        again.common.slots.reverse();
        again.common.slots[0].values.reverse();
        again.common.slots.push(Slot::list("urn:x:empty", Vec::<String>::new()));
        again.common.slots.push(Slot::single(ROUTE_SLOTS[0], "urn:oid:2.999.1"));
        again.classifications.reverse();
        again.classifications[0].common.id = Some(ObjectId::Symbol("new".into()));
        again.classifications[0].common.home = Some("urn:oid:2.999.1".into());
        again.classifications[0].common.names = build::name("normal");
        again.identifiers[0].value = Some("999^^^&2.999.3&ISO".into());
        assert_eq!(difference(&entry(), &again), Vec::<String>::new());
        // What it leaves out hides nothing.
        again.common.slots.clear();
        again.classifications.pop();
        assert_eq!(difference(&entry(), &again), Vec::<String>::new());
        let reference = RegistryObject::new(Body::ObjectRef, ObjectId::Uuid(EntryUuid([7; 16])));
        assert!(difference(&entry(), &reference).is_empty() && difference(&reference, &entry()).is_empty());
    }

    #[test]
    fn what_only_the_other_one_says_is_told() {
        type Change = fn(&mut RegistryObject<'static>);
        let changes: &[(Change, &[&str])] = &[
            (|o| o.common.status = Some(DEPRECATED.into()), &["availabilityStatus Deprecated instead of Approved"]),
            (
                |o| o.common.version = Some(VersionInfo { name: Some("2".into()), comment: None }),
                &["versionInfo 2 instead of 1.1"],
            ),
            (|o| o.common.set_slot(slot::HASH, "0"), &["hash 0 instead of a9993e364706816aba3e25717850c26c9cd0d89d"]),
            (|o| o.common.set_slot(slot::SIZE, "5"), &["size 5"]),
            // Values that may name a patient are not told, and each attribute once.
            (|o| o.common.names = build::name("About Mary Smith"), &["title"]),
            (|o| o.identifiers[0].value = Some("998^^^&2.999.2&ISO".into()), &["patientId"]),
            (|o| o.classifications[1].representation = Some("R".into()), &["confidentialityCode"]),
            (
                |o| {
                    for n in ["1", "2"] {
                        let code = Code { code: n.into(), scheme: "s".into(), display: n.into() };
                        o.classifications.push(build::code(scheme::EVENT_CODE, &code));
                    }
                },
                &["eventCodeList"],
            ),
        ];
        for (change, told) in changes {
            let mut other = entry();
            change(&mut other);
            assert_eq!(difference(&entry(), &other), *told);
        }
    }
}
