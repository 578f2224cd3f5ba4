//! Registry objects out of the fuzzer's bytes, and what writing adds to one.

use arbitrary::{Result, Unstructured};
use causeway::model::ids::EntryUuid;
use causeway::model::rim::{
    Body, Classification, Common, ExternalIdentifier, LocalizedString, ObjectId, RegistryObject, Slot, Text,
    VersionInfo,
};
use causeway::model::vocabulary::{ASSOCIATION_TYPE, CLASSIFICATION_TYPE, IDENTIFIER_TYPE, KNOWN, PACKAGE_TYPE};

/// Values that keep, or nearly keep, the rules of one attribute or another.
const VALUES: &[&str] = &[
    "PX-881^^^&2.999.50.100&ISO",
    "2.999.70.1",
    "2.999.70.1^ext",
    "20240311094500",
    "2024",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "0",
    "en-GB",
    "text/plain",
    "7719^Lindqvist^Per^^^Dr^^^&2.999.50.8&ISO",
    "North Ward Hospital^^^^^^^^^2.999.50.1",
    "^^Internet^a@example.org",
    "PID-5|Osei^Ama",
    "ACC-77^^^&2.999.6&ISO^urn:ihe:iti:xds:2013:accession",
    "Original",
    "Reference",
    "urn:oid:2.999.1",
    "urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb",
    "doc",
    "set",
];

/// Characters that XML can carry, whatever the fuzzer wrote.
pub fn xml_text(u: &mut Unstructured<'_>) -> Result<String> {
    let text: &str = u.arbitrary()?;
    let cut = text.char_indices().nth(64).map_or(text.len(), |(at, _)| at);
    Ok(text[..cut].chars().map(|c| if crate::carried(c) { c } else { '?' }).collect())
}

fn text(u: &mut Unstructured<'_>) -> Result<Text<'static>> {
    Ok(match u.int_in_range(0..=3)? {
        0 => xml_text(u)?.into(),
        1 => (*u.choose(VALUES)?).into(),
        _ => (*u.choose(KNOWN)?).into(),
    })
}

fn optional<'b, T>(
    u: &mut Unstructured<'b>,
    make: impl FnOnce(&mut Unstructured<'b>) -> Result<T>,
) -> Result<Option<T>> {
    if u.arbitrary()? { make(u).map(Some) } else { Ok(None) }
}

fn several<'b, T>(
    u: &mut Unstructured<'b>,
    most: usize,
    mut make: impl FnMut(&mut Unstructured<'b>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| make(u)).collect()
}

fn id(u: &mut Unstructured<'_>) -> Result<ObjectId<'static>> {
    Ok(match u.int_in_range(0..=3)? {
        0 => ObjectId::read(xml_text(u)?.into()),
        1 => ObjectId::Uuid(EntryUuid(u.arbitrary()?)),
        _ => ObjectId::Symbol((*u.choose(&["doc", "set", "fol", "a1", "a2"])?).into()),
    })
}

fn slot(u: &mut Unstructured<'_>) -> Result<Slot<'static>> {
    Ok(Slot { name: text(u)?, slot_type: optional(u, text)?, values: several(u, 3, text)? })
}

fn string(u: &mut Unstructured<'_>) -> Result<LocalizedString<'static>> {
    Ok(LocalizedString { value: text(u)?, lang: optional(u, text)?, charset: optional(u, text)? })
}

fn common(u: &mut Unstructured<'_>) -> Result<Common<'static>> {
    Ok(Common {
        id: optional(u, id)?,
        home: optional(u, text)?,
        lid: optional(u, id)?,
        object_type: optional(u, text)?,
        status: optional(u, text)?,
        version: optional(u, |u| Ok(VersionInfo { name: optional(u, text)?, comment: optional(u, text)? }))?,
        slots: several(u, 4, slot)?,
        names: several(u, 2, string)?,
        descriptions: several(u, 2, string)?,
    })
}

/// Any object at all.
pub fn object(u: &mut Unstructured<'_>) -> Result<RegistryObject<'static>> {
    let body = match u.int_in_range(0..=3)? {
        0 => Body::ExtrinsicObject { mime_type: optional(u, text)?, opaque: u.arbitrary()? },
        1 => Body::RegistryPackage,
        2 => Body::Association { kind: text(u)?, source: id(u)?, target: id(u)? },
        _ => Body::ObjectRef,
    };
    Ok(RegistryObject {
        common: common(u)?,
        body,
        classifications: several(u, 4, |u| {
            Ok(Classification {
                common: common(u)?,
                classified: optional(u, id)?,
                scheme: optional(u, text)?,
                node: optional(u, text)?,
                representation: optional(u, text)?,
            })
        })?,
        identifiers: several(u, 3, |u| {
            Ok(ExternalIdentifier {
                common: common(u)?,
                registry_object: optional(u, id)?,
                scheme: optional(u, text)?,
                value: optional(u, text)?,
            })
        })?,
    })
}

/// Identifiers are numbered from here on.
const IDENTIFIERS_FROM: u16 = 0x8000;

/// The object as it is read back after writing: fixed objectTypes, derived ids, links to the parent.
pub fn completed<'a>(object: &RegistryObject<'a>) -> RegistryObject<'a> {
    let mut object = object.clone();
    let owner = object.common.id.clone();
    let uuid = object.uuid();
    let derived = |ordinal: u16| uuid.map(|uuid| ObjectId::Uuid(uuid.derived(ordinal)));
    let fixed = match &object.body {
        Body::RegistryPackage => Some(PACKAGE_TYPE),
        Body::Association { .. } => Some(ASSOCIATION_TYPE),
        Body::ExtrinsicObject { .. } | Body::ObjectRef => None,
    };
    object.common.object_type = object.common.object_type.or(fixed.map(Into::into));
    for (n, c) in object.classifications.iter_mut().enumerate() {
        c.common.id = c.common.id.take().or_else(|| derived(n as u16));
        c.common.object_type.get_or_insert(CLASSIFICATION_TYPE.into());
        c.classified = c.classified.take().or_else(|| owner.clone());
    }
    for (n, i) in object.identifiers.iter_mut().enumerate() {
        i.common.id = i.common.id.take().or_else(|| derived(IDENTIFIERS_FROM + n as u16));
        i.common.object_type.get_or_insert(IDENTIFIER_TYPE.into());
        i.registry_object = i.registry_object.take().or_else(|| owner.clone());
    }
    object
}

/// The object as it is unpacked after packing: the fixed objectType of a part is what its absence means.
pub fn repacked<'a>(object: &RegistryObject<'a>) -> RegistryObject<'a> {
    let mut object = object.clone();
    // At the object itself an empty type is no type.
    object.common.object_type = object.common.object_type.filter(|t| !t.is_empty());
    for c in &mut object.classifications {
        c.common.object_type = c.common.object_type.take().filter(|t| t != CLASSIFICATION_TYPE);
    }
    for i in &mut object.identifiers {
        i.common.object_type = i.common.object_type.take().filter(|t| t != IDENTIFIER_TYPE);
    }
    object
}
