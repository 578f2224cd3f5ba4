//! ebRIM 3.0: registry objects as XML, both ways (ITI TF-3 §4.2, schema `rim.xsd`).
//!
//! Reading keeps whatever an object carries, known or not, apart from elements of foreign
//! namespaces, which the schema does not allow. Writing follows the schema's order and fills in
//! what an answer must have: fixed `objectType`s, derived ids, links to the parent.

use std::borrow::Cow;
use std::collections::HashMap;

use super::xml::{Node, Ns, push_attr, push_text};
use crate::model::ids::EntryUuid;
use crate::model::packed::{Attributes, Cursor, Damaged, PackedKind, PackedObject, Piece};
use crate::model::rim::{
    Body, Classification, Common, ExternalIdentifier, LocalizedString, ObjectId, RegistryObject, Slot, VersionInfo,
};
use crate::model::vocabulary::{ASSOCIATION_TYPE, CLASSIFICATION_TYPE, IDENTIFIER_TYPE, PACKAGE_TYPE};

/// A registry object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{element}{}: {what}", .id.as_deref().map(|id| format!(" {id}")).unwrap_or_default())]
pub struct EbrimError {
    /// Its element name.
    pub element: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// What is wrong.
    pub what: &'static str,
}

fn slot<'a>(node: Node<'_, 'a>) -> Slot<'a> {
    let values = node
        .child(Ns::Rim, "ValueList")
        .map(|list| list.children().filter(|v| v.is(Ns::Rim, "Value")).map(|v| v.text()).collect())
        .unwrap_or_default();
    Slot { name: node.attr("name").unwrap_or_default(), slot_type: node.attr("slotType"), values }
}

/// Reads the `rim:Slot` children of a node: a request's, or a query's parameters.
pub fn slots<'a>(node: Node<'_, 'a>) -> Vec<Slot<'a>> {
    node.children().filter(|child| child.is(Ns::Rim, "Slot")).map(slot).collect()
}

fn strings<'a>(node: Node<'_, 'a>) -> Vec<LocalizedString<'a>> {
    node.children()
        .filter(|child| child.is(Ns::Rim, "LocalizedString"))
        .map(|child| LocalizedString {
            value: child.attr("value").unwrap_or_default(),
            lang: child.attr_ns(Ns::Xml, "lang"),
            charset: child.attr("charset"),
        })
        .collect()
}

fn id_attr<'a>(node: Node<'_, 'a>, name: &str) -> Option<ObjectId<'a>> {
    node.attr(name).map(ObjectId::read)
}

/// The parts of a registry object in the order of the schema: a part that comes after a later one
/// makes the object schema-invalid.
fn rank(local: &str) -> Option<u8> {
    Some(match local {
        "Slot" => 0,
        "Name" => 1,
        "Description" => 2,
        "VersionInfo" => 3,
        "Classification" => 4,
        "ExternalIdentifier" => 5,
        "ContentVersionInfo" | "RegistryObjectList" => 6,
        _ => return None,
    })
}

struct Parts<'a> {
    common: Common<'a>,
    classifications: Vec<Classification<'a>>,
    identifiers: Vec<ExternalIdentifier<'a>>,
}

fn parts<'a>(node: Node<'_, 'a>) -> Result<Parts<'a>, EbrimError> {
    Ok(parts_with(node, false)?.0)
}

/// The parts, and the document that an entry of ITI-63 has as its last one (Cross-Community Fetch §3.63).
fn parts_with<'d, 'a>(
    node: Node<'d, 'a>,
    with_document: bool,
) -> Result<(Parts<'a>, Option<Node<'d, 'a>>), EbrimError> {
    let mut document = None;
    let fail = |what| EbrimError { element: node.local().to_owned(), id: node.attr("id").map(Cow::into_owned), what };
    let mut parts = Parts {
        common: Common {
            id: id_attr(node, "id"),
            home: node.attr("home"),
            lid: id_attr(node, "lid"),
            object_type: node.attr("objectType"),
            status: node.attr("status"),
            ..Common::default()
        },
        classifications: Vec::new(),
        identifiers: Vec::new(),
    };
    let mut last = 0;
    for child in node.children() {
        if document.is_some() {
            return Err(fail("something stands behind its xds:Document, which comes last"));
        }
        if with_document && child.is(Ns::Xdsb, "Document") {
            document = Some(child);
            continue;
        }
        let place = (child.ns() == Ns::Rim).then(|| rank(child.local())).flatten();
        let Some(place) = place else {
            return Err(fail("it holds an element that the schema does not allow there"));
        };
        if place < last {
            return Err(fail(
                "its parts are not in the order of the schema: Slot, Name, Description, VersionInfo, Classification, ExternalIdentifier",
            ));
        }
        last = place;
        match place {
            0 => parts.common.slots.push(slot(child)),
            1 => parts.common.names = strings(child),
            2 => parts.common.descriptions = strings(child),
            3 => {
                parts.common.version =
                    Some(VersionInfo { name: child.attr("versionName"), comment: child.attr("comment") })
            }
            4 => parts.classifications.push(classification(child)?),
            5 => {
                let inner = self::parts(child)?;
                parts.identifiers.push(ExternalIdentifier {
                    common: inner.common,
                    registry_object: id_attr(child, "registryObject"),
                    scheme: child.attr("identificationScheme"),
                    value: child.attr("value"),
                });
            }
            _ if child.local() == "RegistryObjectList" && child.children().next().is_some() => {
                return Err(fail("a package with objects inside it: list them beside it"));
            }
            _ => {}
        }
    }
    Ok((parts, document))
}

fn classification<'a>(node: Node<'_, 'a>) -> Result<Classification<'a>, EbrimError> {
    let inner = parts(node)?;
    Ok(Classification {
        common: inner.common,
        classified: id_attr(node, "classifiedObject"),
        scheme: node.attr("classificationScheme"),
        node: node.attr("classificationNode"),
        representation: node.attr("nodeRepresentation"),
    })
}

/// Reads one object; `None` for an element that is no metadata object.
///
/// # Errors
/// When its parts are not as the schema wants them.
pub fn read_object<'a>(node: Node<'_, 'a>) -> Result<Option<RegistryObject<'a>>, EbrimError> {
    Ok(read_object_with(node, false)?.map(|(object, _)| object))
}

/// An object of ITI-63, and its `xds:Document`.
pub type WithDocument<'d, 'a> = (RegistryObject<'a>, Option<Node<'d, 'a>>);

fn read_object_with<'d, 'a>(
    node: Node<'d, 'a>,
    with_document: bool,
) -> Result<Option<WithDocument<'d, 'a>>, EbrimError> {
    if node.ns() != Ns::Rim {
        return Ok(None);
    }
    let body = match node.local() {
        "ExtrinsicObject" => Body::ExtrinsicObject {
            mime_type: node.attr("mimeType"),
            opaque: node.attr("isOpaque").map(|v| matches!(v.as_ref(), "true" | "1")),
        },
        "RegistryPackage" => Body::RegistryPackage,
        "Association" => Body::Association {
            kind: node.attr("associationType").unwrap_or_default(),
            source: ObjectId::read(node.attr("sourceObject").unwrap_or_default()),
            target: ObjectId::read(node.attr("targetObject").unwrap_or_default()),
        },
        "ObjectRef" => Body::ObjectRef,
        _ => return Ok(None),
    };
    let is_entry = matches!(body, Body::ExtrinsicObject { .. });
    let (parts, document) = parts_with(node, with_document && is_entry)?;
    let object = RegistryObject {
        common: parts.common,
        body,
        classifications: parts.classifications,
        identifiers: parts.identifiers,
    };
    Ok(Some((object, document)))
}

/// Reads a `rim:RegistryObjectList` of ITI-63: objects, and what is beside them the documents inside them.
///
/// # Errors
/// The first object whose parts are not as the schema wants them.
pub fn read_list_with_documents<'d, 'a>(list: Node<'d, 'a>) -> Result<Vec<WithDocument<'d, 'a>>, EbrimError> {
    list.children().filter_map(|node| read_object_with(node, true).transpose()).collect()
}

/// Reads a `rim:RegistryObjectList`. Classifications that stand beside a package are put into it
/// (ITI TF-3 §4.2.1.2.1); `ObjectRef`s of a submission are informational and are kept for the
/// caller to skip.
///
/// # Errors
/// The first object whose parts are not as the schema wants them.
pub fn read_list<'a>(list: Node<'_, 'a>) -> Result<Vec<RegistryObject<'a>>, EbrimError> {
    let mut objects: Vec<RegistryObject<'a>> = Vec::new();
    let mut beside = Vec::new();
    for node in list.children() {
        if let Some(object) = read_object(node)? {
            objects.push(object);
        } else if node.is(Ns::Rim, "Classification") {
            beside.push(classification(node)?);
        }
    }
    if beside.is_empty() {
        return Ok(objects);
    }
    let places: HashMap<ObjectId<'a>, usize> =
        objects.iter().enumerate().rev().filter_map(|(at, object)| Some((object.common.id.clone()?, at))).collect();
    for classification in beside {
        let owner =
            classification.classified.as_ref().and_then(|id| places.get(id)).and_then(|at| objects.get_mut(*at));
        match owner {
            Some(owner) => owner.classifications.push(classification),
            None => {
                return Err(EbrimError {
                    element: "Classification".to_owned(),
                    id: classification.common.id.map(|id| id.to_string()),
                    what: "its classifiedObject is not in the message",
                });
            }
        }
    }
    Ok(objects)
}

/// An attribute's name as it is written, in one piece.
macro_rules! named {
    ($name:literal) => {
        concat!(" ", $name, "=\"").as_bytes()
    };
}

fn attr(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(name);
    push_attr(out, value);
    out.push(b'"');
}

fn optional(out: &mut Vec<u8>, name: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        attr(out, name, value);
    }
}

fn id(out: &mut Vec<u8>, name: &[u8], id: &ObjectId<'_>) {
    match id {
        ObjectId::Uuid(uuid) => {
            out.extend_from_slice(name);
            uuid.write_urn(out);
            out.push(b'"');
        }
        ObjectId::Symbol(text) => attr(out, name, text),
    }
}

fn write_slots(out: &mut Vec<u8>, slots: &[Slot<'_>]) {
    for slot in slots {
        out.extend_from_slice(b"<rim:Slot");
        attr(out, named!("name"), &slot.name);
        optional(out, named!("slotType"), slot.slot_type.as_deref());
        out.extend_from_slice(b"><rim:ValueList>");
        for value in &slot.values {
            out.extend_from_slice(b"<rim:Value>");
            push_text(out, value);
            out.extend_from_slice(b"</rim:Value>");
        }
        out.extend_from_slice(b"</rim:ValueList></rim:Slot>");
    }
}

/// Writes the slots of a query or a request.
pub fn write_slot_list(out: &mut Vec<u8>, slots: &[Slot<'_>]) {
    write_slots(out, slots);
}

fn write_strings(out: &mut Vec<u8>, element: &str, strings: &[LocalizedString<'_>]) {
    if strings.is_empty() {
        return;
    }
    out.extend_from_slice(b"<rim:");
    out.extend_from_slice(element.as_bytes());
    out.push(b'>');
    for string in strings {
        out.extend_from_slice(b"<rim:LocalizedString");
        optional(out, named!("xml:lang"), string.lang.as_deref());
        optional(out, named!("charset"), string.charset.as_deref());
        attr(out, named!("value"), &string.value);
        out.extend_from_slice(b"/>");
    }
    out.extend_from_slice(b"</rim:");
    out.extend_from_slice(element.as_bytes());
    out.push(b'>');
}

/// Attributes that every registry object may have; `fallback` stands in for an absent id.
fn write_common_attrs(
    out: &mut Vec<u8>,
    common: &Common<'_>,
    fallback: Option<EntryUuid>,
    home: Option<&str>,
    object_type: &str,
) {
    match (&common.id, fallback) {
        (Some(own), _) => id(out, named!("id"), own),
        (None, Some(uuid)) => id(out, named!("id"), &ObjectId::Uuid(uuid)),
        (None, None) => {}
    }
    optional(out, named!("home"), common.home.as_deref().or(home));
    if let Some(lid) = &common.lid {
        id(out, named!("lid"), lid);
    }
    match common.object_type.as_deref() {
        Some(own) => attr(out, named!("objectType"), own),
        None if !object_type.is_empty() => attr(out, named!("objectType"), object_type),
        None => {}
    }
    optional(out, named!("status"), common.status.as_deref());
}

fn write_common_parts(out: &mut Vec<u8>, common: &Common<'_>) {
    write_slots(out, &common.slots);
    write_strings(out, "Name", &common.names);
    write_strings(out, "Description", &common.descriptions);
    if let Some(version) = &common.version {
        write_version(out, version);
    }
}

fn write_version(out: &mut Vec<u8>, version: &VersionInfo<'_>) {
    out.extend_from_slice(b"<rim:VersionInfo");
    optional(out, named!("versionName"), version.name.as_deref());
    optional(out, named!("comment"), version.comment.as_deref());
    out.extend_from_slice(b"/>");
}

/// Identifiers are numbered behind all classifications an object can have.
const IDENTIFIERS_FROM: u16 = 0x8000;

/// Writes one object with the prefix `rim` bound; `home` is stamped where it has none of its own.
pub fn write_object(out: &mut Vec<u8>, object: &RegistryObject<'_>, home: Option<&str>) {
    let (element, object_type) = match &object.body {
        Body::ExtrinsicObject { .. } => ("ExtrinsicObject", ""),
        Body::RegistryPackage => ("RegistryPackage", PACKAGE_TYPE),
        Body::Association { .. } => ("Association", ASSOCIATION_TYPE),
        Body::ObjectRef => ("ObjectRef", ""),
    };
    let uuid = object.uuid();
    let derived = |ordinal: u16| uuid.map(|uuid| uuid.derived(ordinal));
    out.extend_from_slice(b"<rim:");
    out.extend_from_slice(element.as_bytes());
    write_common_attrs(out, &object.common, None, home, object_type);
    match &object.body {
        Body::ExtrinsicObject { mime_type, opaque } => {
            optional(out, named!("mimeType"), mime_type.as_deref());
            optional(out, named!("isOpaque"), opaque.map(|o| if o { "true" } else { "false" }));
        }
        Body::Association { kind, source, target } => {
            attr(out, named!("associationType"), kind);
            id(out, named!("sourceObject"), source);
            id(out, named!("targetObject"), target);
        }
        Body::RegistryPackage | Body::ObjectRef => {}
    }
    out.push(b'>');
    write_common_parts(out, &object.common);
    for (n, c) in object.classifications.iter().enumerate() {
        out.extend_from_slice(b"<rim:Classification");
        write_common_attrs(out, &c.common, derived(n as u16), None, CLASSIFICATION_TYPE);
        optional(out, named!("classificationScheme"), c.scheme.as_deref());
        if let Some(owner) = c.classified.as_ref().or(object.common.id.as_ref()) {
            id(out, named!("classifiedObject"), owner);
        }
        optional(out, named!("classificationNode"), c.node.as_deref());
        optional(out, named!("nodeRepresentation"), c.representation.as_deref());
        out.push(b'>');
        write_common_parts(out, &c.common);
        out.extend_from_slice(b"</rim:Classification>");
    }
    for (n, i) in object.identifiers.iter().enumerate() {
        out.extend_from_slice(b"<rim:ExternalIdentifier");
        write_common_attrs(out, &i.common, derived(IDENTIFIERS_FROM.wrapping_add(n as u16)), None, IDENTIFIER_TYPE);
        if let Some(owner) = i.registry_object.as_ref().or(object.common.id.as_ref()) {
            id(out, named!("registryObject"), owner);
        }
        optional(out, named!("identificationScheme"), i.scheme.as_deref());
        optional(out, named!("value"), i.value.as_deref());
        out.push(b'>');
        write_common_parts(out, &i.common);
        out.extend_from_slice(b"</rim:ExternalIdentifier>");
    }
    out.extend_from_slice(b"</rim:");
    out.extend_from_slice(element.as_bytes());
    out.push(b'>');
}

/// An attribute from a packed text: a well-known one is copied as it is.
fn piece(out: &mut Vec<u8>, name: &[u8], text: Option<Piece<'_>>) {
    match text {
        None => {}
        Some(Piece::Other(text)) => attr(out, name, text),
        Some(Piece::Known(text)) => {
            out.extend_from_slice(name);
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
    }
}

/// Writes an object straight from its packed form: the same text as [`write_object`] makes of the
/// object, without making it.
///
/// # Errors
/// When the record is damaged; what was written of it by then is of no use.
pub fn write_packed(out: &mut Vec<u8>, packed: &PackedObject, home: Option<&str>) -> Result<(), Damaged> {
    let element = write_packed_start(out, packed, home)?;
    write_packed_end(out, element);
    Ok(())
}

/// Ends what [`write_packed_start`] began.
pub fn write_packed_end(out: &mut Vec<u8>, element: &str) {
    out.extend_from_slice(b"</rim:");
    out.extend_from_slice(element.as_bytes());
    out.push(b'>');
}

/// The same but for its end tag, whose name it gives back: what ITI-63 adds comes before that.
///
/// # Errors
/// As [`write_packed`].
pub fn write_packed_start(
    out: &mut Vec<u8>,
    packed: &PackedObject,
    home: Option<&str>,
) -> Result<&'static str, Damaged> {
    let (head, mut cursor) = packed.open()?;
    let (element, object_type) = match head.kind {
        PackedKind::DocumentEntry => ("ExtrinsicObject", ""),
        PackedKind::Package => ("RegistryPackage", PACKAGE_TYPE),
        PackedKind::Association => ("Association", ASSOCIATION_TYPE),
        PackedKind::ObjectRef => ("ObjectRef", ""),
    };
    let own = head.attributes.id.as_ref();
    let derived = |ordinal: u16| own.and_then(ObjectId::uuid).map(|uuid| uuid.derived(ordinal));
    out.extend_from_slice(b"<rim:");
    out.extend_from_slice(element.as_bytes());
    packed_attributes(out, &head.attributes, None, home, object_type);
    match head.kind {
        PackedKind::DocumentEntry => {
            piece(out, named!("mimeType"), cursor.piece()?);
            optional(out, named!("isOpaque"), cursor.opaque()?.map(|o| if o { "true" } else { "false" }));
        }
        PackedKind::Association => {
            piece(out, named!("associationType"), Some(cursor.required_piece()?));
            id(out, named!("sourceObject"), &cursor.required_id()?);
            id(out, named!("targetObject"), &cursor.required_id()?);
        }
        PackedKind::Package | PackedKind::ObjectRef => {}
    }
    out.push(b'>');
    packed_parts(out, &mut cursor, &head.attributes)?;
    for n in 0..cursor.count()? {
        let attributes = cursor.attributes(own)?;
        out.extend_from_slice(b"<rim:Classification");
        packed_attributes(out, &attributes, derived(n as u16), None, CLASSIFICATION_TYPE);
        let classified = cursor.id(own)?;
        piece(out, named!("classificationScheme"), cursor.piece()?);
        if let Some(owner) = classified.as_ref().or(own) {
            id(out, named!("classifiedObject"), owner);
        }
        piece(out, named!("classificationNode"), cursor.piece()?);
        piece(out, named!("nodeRepresentation"), cursor.piece()?);
        out.push(b'>');
        packed_parts(out, &mut cursor, &attributes)?;
        out.extend_from_slice(b"</rim:Classification>");
    }
    for n in 0..cursor.count()? {
        let attributes = cursor.attributes(own)?;
        out.extend_from_slice(b"<rim:ExternalIdentifier");
        packed_attributes(out, &attributes, derived(IDENTIFIERS_FROM.wrapping_add(n as u16)), None, IDENTIFIER_TYPE);
        if let Some(owner) = cursor.id(own)?.as_ref().or(own) {
            id(out, named!("registryObject"), owner);
        }
        piece(out, named!("identificationScheme"), cursor.piece()?);
        piece(out, named!("value"), cursor.piece()?);
        out.push(b'>');
        packed_parts(out, &mut cursor, &attributes)?;
        out.extend_from_slice(b"</rim:ExternalIdentifier>");
    }
    cursor.end()?;
    Ok(element)
}

fn packed_attributes(
    out: &mut Vec<u8>,
    attributes: &Attributes<'_>,
    fallback: Option<EntryUuid>,
    home: Option<&str>,
    object_type: &'static str,
) {
    match (&attributes.id, fallback) {
        (Some(own), _) => id(out, named!("id"), own),
        (None, Some(uuid)) => id(out, named!("id"), &ObjectId::Uuid(uuid)),
        (None, None) => {}
    }
    piece(out, named!("home"), attributes.home.or(home.map(Piece::Other)));
    if let Some(lid) = &attributes.lid {
        id(out, named!("lid"), lid);
    }
    let fixed = Some(Piece::Known(object_type)).filter(|_| !object_type.is_empty());
    piece(out, named!("objectType"), attributes.object_type.or(fixed));
    piece(out, named!("status"), attributes.status);
}

fn packed_parts<'a>(out: &mut Vec<u8>, cursor: &mut Cursor<'a>, attributes: &Attributes<'a>) -> Result<(), Damaged> {
    let [slots, names, descriptions] = attributes.parts();
    for _ in 0..if slots { cursor.count()? } else { 0 } {
        out.extend_from_slice(b"<rim:Slot");
        piece(out, named!("name"), Some(cursor.required_piece()?));
        piece(out, named!("slotType"), cursor.piece()?);
        out.extend_from_slice(b"><rim:ValueList>");
        for _ in 0..cursor.count()? {
            out.extend_from_slice(b"<rim:Value>");
            match cursor.required_piece()? {
                Piece::Known(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Other(text) => push_text(out, text),
            }
            out.extend_from_slice(b"</rim:Value>");
        }
        out.extend_from_slice(b"</rim:ValueList></rim:Slot>");
    }
    for (there, open, close) in
        [(names, &b"<rim:Name>"[..], &b"</rim:Name>"[..]), (descriptions, b"<rim:Description>", b"</rim:Description>")]
    {
        if !there {
            continue;
        }
        out.extend_from_slice(open);
        for _ in 0..cursor.count()? {
            let value = cursor.required_piece()?;
            out.extend_from_slice(b"<rim:LocalizedString");
            piece(out, named!("xml:lang"), cursor.piece()?);
            piece(out, named!("charset"), cursor.piece()?);
            piece(out, named!("value"), Some(value));
            out.extend_from_slice(b"/>");
        }
        out.extend_from_slice(close);
    }
    if let Some(version) = &attributes.version {
        write_version(out, version);
    }
    Ok(())
}

/// Writes a `rim:ObjectRef`.
pub fn write_object_ref(out: &mut Vec<u8>, uuid: &ObjectId<'_>, home: Option<&str>) {
    out.extend_from_slice(b"<rim:ObjectRef");
    id(out, named!("id"), uuid);
    optional(out, named!("home"), home);
    out.extend_from_slice(b"/>");
}

#[cfg(test)]
mod tests {
    use super::super::xml::{Document, Limits};
    use super::*;
    use crate::model::packed::tests::any_object;
    use crate::model::vocabulary::ns;
    use proptest::prelude::*;

    fn round_trip(object: &RegistryObject<'_>) -> String {
        let mut out = format!("<rim:RegistryObjectList xmlns:rim=\"{}\">", ns::RIM).into_bytes();
        write_object(&mut out, object, None);
        out.extend_from_slice(b"</rim:RegistryObjectList>");
        String::from_utf8(out).unwrap()
    }

    /// What writing fills in, filled in beforehand, so that both sides can be compared whole.
    fn complete(mut object: RegistryObject<'static>) -> RegistryObject<'static> {
        let owner = object.common.id.get_or_insert(ObjectId::Symbol("id".into())).clone();
        let object_type = match &object.body {
            Body::RegistryPackage => PACKAGE_TYPE,
            Body::Association { .. } => ASSOCIATION_TYPE,
            _ => "urn:x",
        };
        object.common.object_type.get_or_insert(object_type.into());
        for c in &mut object.classifications {
            c.common.id.get_or_insert(ObjectId::Symbol("c".into()));
            c.common.object_type.get_or_insert(CLASSIFICATION_TYPE.into());
            c.classified.get_or_insert(owner.clone());
        }
        for i in &mut object.identifiers {
            i.common.id.get_or_insert(ObjectId::Symbol("i".into()));
            i.common.object_type.get_or_insert(IDENTIFIER_TYPE.into());
            i.registry_object.get_or_insert(owner.clone());
        }
        object
    }

    proptest! {
        #[test]
        fn write_read_is_identity(object in any_object()) {
            let object = complete(object);
            let text = round_trip(&object);
            let document = Document::parse(&text, Limits::default()).unwrap();
            let read = read_list(document.root()).unwrap();
            prop_assert_eq!(read.len(), 1);
            prop_assert!(read[0] == object, "{}", text);
        }
    }

    proptest! {
        #[test]
        fn packed_objects_are_written_as_the_objects_they_are(object in any_object(), home in prop::option::of("[a-z:&]{1,9}")) {
            let (mut made, mut straight) = (Vec::new(), Vec::new());
            let packed = PackedObject::pack(&object);
            write_object(&mut made, &packed.unpack().unwrap(), home.as_deref());
            write_packed(&mut straight, &packed, home.as_deref()).unwrap();
            prop_assert_eq!(String::from_utf8(straight).unwrap(), String::from_utf8(made).unwrap());
        }
    }

    #[test]
    fn parts_out_of_order_are_schema_errors() {
        let text = format!(
            "<l xmlns='{}'><ExtrinsicObject id='a'><Name/><Slot name='x'><ValueList/></Slot></ExtrinsicObject></l>",
            ns::RIM
        );
        let document = Document::parse(&text, Limits::default()).unwrap();
        assert!(read_list(document.root()).unwrap_err().to_string().starts_with("ExtrinsicObject a: its parts"));
    }
}
