//! A registry object in compact binary: what the store keeps, what gateways merge, what answers
//! are rendered from.
//!
//! The record is decoded without copying its texts, and well-known texts are numbers
//! ([`super::vocabulary::KNOWN`]), so a DocumentEntry of 6 KB of XML is some hundred bytes.
//! The layout is a disk format: change it only with a new format number.
//!
//! ```text
//! object         = format 1 | kind | status | flags | uuid(16)? | attributes | kind's attributes | parts
//!                  | count classification* | count identifier*
//! classification = attributes | classified | scheme | node | representation | parts
//! identifier     = attributes | registry object | scheme | value | parts
//! attributes     = mask | id | home? | lid? | object type? | status? | version?
//! parts          = slots? | names? | descriptions?
//! ```

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::ids::EntryUuid;
use super::rim::{
    Body, Classification, Common, ExternalIdentifier, LocalizedString, ObjectId, RegistryObject, Slot, Text,
    VersionInfo,
};
use super::vocabulary::{APPROVED, DEPRECATED, KNOWN, OFFLINE, slot};

const FORMAT: u8 = 1;
const HEADER: usize = 4;
/// Room made beforehand for so many things at most: a damaged count must not ask for memory.
const MOST_AT_ONCE: usize = 64;
/// Flags of the header: the id is a UUID; the entry is on-demand; its document is Offline; the
/// registry has a later version of the object.
const HAS_UUID: u8 = 1;
const ON_DEMAND_ENTRY: u8 = 2;
const OFFLINE_ENTRY: u8 = 4;
const SUPERSEDED: u8 = 8;
const FLAGS: u8 = HAS_UUID | ON_DEMAND_ENTRY | OFFLINE_ENTRY | SUPERSEDED;

/// Whoever sends texts to be looked up does not choose what they are looked up in: any hash is safe.
static NUMBERS: LazyLock<FxHashMap<&'static str, usize>> =
    LazyLock::new(|| KNOWN.iter().enumerate().map(|(number, text)| (*text, number)).collect());

/// A record that does not decode: damage, or a newer version's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("packed object is damaged or of an unknown format, at byte {at}")]
pub struct Damaged {
    /// Offset of the first byte that makes no sense.
    pub at: usize,
}

/// A registry object in its packed form; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedObject(Bytes);

impl std::fmt::Debug for PackedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.kind(), self.uuid())
    }
}

/// The kind of a packed object, readable without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackedKind {
    /// DocumentEntry
    DocumentEntry,
    /// SubmissionSet or Folder
    Package,
    /// Association
    Association,
    /// ObjectRef
    ObjectRef,
}

impl PackedObject {
    /// Packs an object.
    pub fn pack(object: &RegistryObject<'_>) -> Self {
        let mut out = Vec::with_capacity(512);
        encode(object, &mut out);
        Self(out.into())
    }

    /// Takes bytes as they came from a store.
    ///
    /// # Errors
    /// When the header is not one of ours.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Damaged> {
        match bytes.as_ref() {
            [FORMAT, 0..=3, _, flags, rest @ ..] if *flags <= FLAGS && (*flags & HAS_UUID == 0 || rest.len() >= 16) => {
                Ok(Self(bytes))
            }
            _ => Err(Damaged { at: 0 }),
        }
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// What it is.
    pub fn kind(&self) -> PackedKind {
        match self.0.get(1) {
            Some(0) => PackedKind::DocumentEntry,
            Some(1) => PackedKind::Package,
            Some(2) => PackedKind::Association,
            _ => PackedKind::ObjectRef,
        }
    }

    /// Its entryUUID, if the id is one.
    pub fn uuid(&self) -> Option<EntryUuid> {
        if self.flag(HAS_UUID) {
            self.0.get(HEADER..HEADER + 16).and_then(|b| b.try_into().ok()).map(EntryUuid)
        } else {
            None
        }
    }

    fn flag(&self, flag: u8) -> bool {
        self.0.get(3).is_some_and(|flags| flags & flag != 0)
    }

    /// availabilityStatus, where it is one of the framework's two.
    pub fn status(&self) -> Option<&'static str> {
        match self.0.get(2) {
            Some(1) => Some(APPROVED),
            Some(2) => Some(DEPRECATED),
            _ => None,
        }
    }

    /// Whether it is an on-demand DocumentEntry.
    pub fn is_on_demand(&self) -> bool {
        self.flag(ON_DEMAND_ENTRY)
    }

    /// Whether its documentAvailability is Offline.
    pub fn is_offline(&self) -> bool {
        self.flag(OFFLINE_ENTRY)
    }

    /// Whether a later version of the object took its place (Metadata Update).
    pub fn is_superseded(&self) -> bool {
        self.flag(SUPERSEDED)
    }

    /// The same object, told whether a later version took its place: no attribute of the object
    /// says so.
    pub fn with_superseded(self, superseded: bool) -> Self {
        if self.is_superseded() == superseded {
            return self;
        }
        let mut bytes = self.0.to_vec();
        if let Some(flags) = bytes.get_mut(3) {
            *flags ^= SUPERSEDED;
        }
        Self(bytes.into())
    }

    /// Whether availabilityStatus is Approved.
    pub fn is_approved(&self) -> bool {
        self.0.get(2) == Some(&1)
    }

    /// Whether it names a homeCommunityId of its own.
    pub fn has_home(&self) -> bool {
        let common = if self.flag(HAS_UUID) { HEADER + 16 } else { HEADER };
        self.0.get(common).is_some_and(|mask| mask & 1 != 0)
    }

    /// The homeCommunityId that it names.
    pub fn home(&self) -> Option<Text<'_>> {
        if !self.has_home() {
            return None;
        }
        open(&self.0).ok().and_then(|(head, _)| head.attributes.home).map(Piece::into_text)
    }

    /// Its head, and a cursor at what follows: for rendering it without making it.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn open(&self) -> Result<(Head<'_>, Cursor<'_>), Damaged> {
        open(&self.0)
    }

    /// Decodes it; texts borrow from this value.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn unpack(&self) -> Result<RegistryObject<'_>, Damaged> {
        decode(&self.0)
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// 0: none; then twice the number of a known text plus 2, or twice the length plus 1 and the text.
fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => put_varint(out, 0),
        Some(text) => match NUMBERS.get(text) {
            Some(number) => put_varint(out, (*number as u64) * 2 + 2),
            None => {
                put_varint(out, (text.len() as u64) * 2 + 1);
                out.extend_from_slice(text.as_bytes());
            }
        },
    }
}

fn put_id(out: &mut Vec<u8>, id: Option<&ObjectId<'_>>, parent: Option<&ObjectId<'_>>) {
    match id {
        None => out.push(0),
        Some(_) if parent.is_some() && id == parent => out.push(3),
        Some(ObjectId::Uuid(uuid)) => {
            out.push(1);
            out.extend_from_slice(&uuid.0);
        }
        Some(ObjectId::Symbol(text)) => {
            out.push(2);
            put_text(out, Some(text));
        }
    }
}

fn put_strings(out: &mut Vec<u8>, strings: &[LocalizedString<'_>]) {
    put_varint(out, strings.len() as u64);
    for string in strings {
        put_text(out, Some(&string.value));
        put_text(out, string.lang.as_deref());
        put_text(out, string.charset.as_deref());
    }
}

/// Attributes with an id of their own, or none where that is known otherwise.
fn put_attributes(
    out: &mut Vec<u8>,
    common: &Common<'_>,
    id: Option<&ObjectId<'_>>,
    parent: Option<&ObjectId<'_>>,
    default_type: &str,
) {
    // Absent parts cost one bit.
    let object_type = common.object_type.as_deref().filter(|t| *t != default_type);
    let mask = u8::from(common.home.is_some())
        | u8::from(common.lid.is_some()) << 1
        | u8::from(object_type.is_some()) << 2
        | u8::from(common.status.is_some()) << 3
        | u8::from(common.version.is_some()) << 4
        | u8::from(!common.slots.is_empty()) << 5
        | u8::from(!common.names.is_empty()) << 6
        | u8::from(!common.descriptions.is_empty()) << 7;
    out.push(mask);
    put_id(out, id, None);
    if common.home.is_some() {
        put_text(out, common.home.as_deref());
    }
    if common.lid.is_some() {
        put_id(out, common.lid.as_ref(), parent);
    }
    if object_type.is_some() {
        put_text(out, object_type);
    }
    if common.status.is_some() {
        put_text(out, common.status.as_deref());
    }
    if let Some(version) = &common.version {
        put_text(out, version.name.as_deref());
        put_text(out, version.comment.as_deref());
    }
}

fn put_parts(out: &mut Vec<u8>, common: &Common<'_>) {
    if !common.slots.is_empty() {
        put_varint(out, common.slots.len() as u64);
        for slot in &common.slots {
            put_text(out, Some(&slot.name));
            put_text(out, slot.slot_type.as_deref());
            put_varint(out, slot.values.len() as u64);
            for value in &slot.values {
                put_text(out, Some(value));
            }
        }
    }
    if !common.names.is_empty() {
        put_strings(out, &common.names);
    }
    if !common.descriptions.is_empty() {
        put_strings(out, &common.descriptions);
    }
}

fn encode(object: &RegistryObject<'_>, out: &mut Vec<u8>) {
    let kind = match &object.body {
        Body::ExtrinsicObject { .. } => 0,
        Body::RegistryPackage => 1,
        Body::Association { .. } => 2,
        Body::ObjectRef => 3,
    };
    let status = match object.common.status.as_deref() {
        None => 0,
        Some(APPROVED) => 1,
        Some(DEPRECATED) => 2,
        Some(_) => 3,
    };
    let uuid = object.uuid();
    let offline = object.common.slot_value(slot::DOCUMENT_AVAILABILITY) == Some(OFFLINE);
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags =
        flag(uuid.is_some(), HAS_UUID) | flag(object.is_on_demand(), ON_DEMAND_ENTRY) | flag(offline, OFFLINE_ENTRY);
    out.extend_from_slice(&[FORMAT, kind, status, flags]);
    if let Some(uuid) = uuid {
        out.extend_from_slice(&uuid.0);
    }
    let parent = object.common.id.as_ref();
    // The id is in the header already when it is a UUID.
    put_attributes(out, &object.common, parent.filter(|_| uuid.is_none()), parent, "");
    match &object.body {
        Body::ExtrinsicObject { mime_type, opaque } => {
            put_text(out, mime_type.as_deref());
            out.push(match opaque {
                None => 0,
                Some(false) => 1,
                Some(true) => 2,
            });
        }
        Body::Association { kind, source, target } => {
            put_text(out, Some(kind));
            put_id(out, Some(source), None);
            put_id(out, Some(target), None);
        }
        Body::RegistryPackage | Body::ObjectRef => {}
    }
    put_parts(out, &object.common);
    put_varint(out, object.classifications.len() as u64);
    for c in &object.classifications {
        put_attributes(out, &c.common, c.common.id.as_ref(), parent, super::vocabulary::CLASSIFICATION_TYPE);
        put_id(out, c.classified.as_ref(), parent);
        put_text(out, c.scheme.as_deref());
        put_text(out, c.node.as_deref());
        put_text(out, c.representation.as_deref());
        put_parts(out, &c.common);
    }
    put_varint(out, object.identifiers.len() as u64);
    for i in &object.identifiers {
        put_attributes(out, &i.common, i.common.id.as_ref(), parent, super::vocabulary::IDENTIFIER_TYPE);
        put_id(out, i.registry_object.as_ref(), parent);
        put_text(out, i.scheme.as_deref());
        put_text(out, i.value.as_deref());
        put_parts(out, &i.common);
    }
}

/// Attributes of a packed object or part, read without allocating.
pub struct Attributes<'a> {
    mask: u8,
    /// `@id`
    pub id: Option<ObjectId<'a>>,
    /// `@home`
    pub home: Option<Piece<'a>>,
    /// `@lid`
    pub lid: Option<ObjectId<'a>>,
    /// `@objectType`; absent on a part: the one fixed for it.
    pub object_type: Option<Piece<'a>>,
    /// `@status`
    pub status: Option<Piece<'a>>,
    /// `VersionInfo`
    pub version: Option<VersionInfo<'a>>,
}

impl Attributes<'_> {
    /// Whether slots follow, then names, then descriptions.
    pub fn parts(&self) -> [bool; 3] {
        [5, 6, 7].map(|bit| self.mask & (1 << bit) != 0)
    }
}

/// A text of a packed object.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// One of the vocabulary's, in which nothing ever needs escaping.
    Known(&'static str),
    /// Any other.
    Other(&'a str),
}

impl<'a> Piece<'a> {
    fn into_text(self) -> Text<'a> {
        match self {
            Self::Known(text) => Cow::Borrowed(text),
            Self::Other(text) => Cow::Borrowed(text),
        }
    }
}

/// Reads a packed object piece by piece, in the order of the module's layout: for rendering it
/// without making it.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn damaged<T>(&self) -> Result<T, Damaged> {
        Err(Damaged { at: self.at })
    }

    /// One octet.
    ///
    /// # Errors
    /// When the record ends.
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        match self.bytes.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => self.damaged(),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let end = self.at.checked_add(len).ok_or(Damaged { at: self.at })?;
        match self.bytes.get(self.at..end) {
            Some(slice) => {
                self.at = end;
                Ok(slice)
            }
            None => self.damaged(),
        }
    }

    fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.damaged()
    }

    /// A count of things that each take a byte at least, so that damage cannot ask for memory.
    ///
    /// # Errors
    /// When it is larger than what is left.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.varint()? as usize;
        if count > self.bytes.len() - self.at { self.damaged() } else { Ok(count) }
    }

    /// A text that may be absent.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn option(&mut self) -> Result<Option<Text<'a>>, Damaged> {
        Ok(self.piece()?.map(Piece::into_text))
    }

    /// A text that may be absent, well-known ones told apart.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn piece(&mut self) -> Result<Option<Piece<'a>>, Damaged> {
        let code = self.varint()?;
        if code == 0 {
            return Ok(None);
        }
        if code % 2 == 0 {
            return match KNOWN.get((code / 2 - 1) as usize) {
                Some(text) => Ok(Some(Piece::Known(text))),
                None => self.damaged(),
            };
        }
        let slice = self.take((code / 2) as usize)?;
        match std::str::from_utf8(slice) {
            Ok(text) => Ok(Some(Piece::Other(text))),
            Err(_) => self.damaged(),
        }
    }

    /// A piece that must be there.
    ///
    /// # Errors
    /// When it is damaged or absent.
    pub fn required_piece(&mut self) -> Result<Piece<'a>, Damaged> {
        match self.piece()? {
            Some(piece) => Ok(piece),
            None => self.damaged(),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// When it is damaged or absent.
    pub fn text(&mut self) -> Result<Text<'a>, Damaged> {
        match self.option()? {
            Some(text) => Ok(text),
            None => self.damaged(),
        }
    }

    fn uuid(&mut self) -> Result<EntryUuid, Damaged> {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(self.take(16)?);
        Ok(EntryUuid(uuid))
    }

    /// An id that may be absent, or be the parent's.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn id(&mut self, parent: Option<&ObjectId<'a>>) -> Result<Option<ObjectId<'a>>, Damaged> {
        Ok(match self.byte()? {
            0 => None,
            1 => Some(ObjectId::Uuid(self.uuid()?)),
            2 => Some(ObjectId::Symbol(self.text()?)),
            3 if parent.is_some() => parent.cloned(),
            _ => return self.damaged(),
        })
    }

    /// `@isOpaque`
    ///
    /// # Errors
    /// When it is damaged.
    pub fn opaque(&mut self) -> Result<Option<bool>, Damaged> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(false)),
            2 => Ok(Some(true)),
            _ => self.damaged(),
        }
    }

    /// Nothing may follow.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&self) -> Result<(), Damaged> {
        if self.at == self.bytes.len() { Ok(()) } else { self.damaged() }
    }

    /// An id that must be there.
    ///
    /// # Errors
    /// When it is damaged or absent.
    pub fn required_id(&mut self) -> Result<ObjectId<'a>, Damaged> {
        match self.id(None)? {
            Some(id) => Ok(id),
            None => self.damaged(),
        }
    }

    fn strings(&mut self) -> Result<Vec<LocalizedString<'a>>, Damaged> {
        let count = self.count()?;
        let mut strings = Vec::with_capacity(count.min(MOST_AT_ONCE));
        for _ in 0..count {
            strings.push(LocalizedString { value: self.text()?, lang: self.option()?, charset: self.option()? });
        }
        Ok(strings)
    }

    /// The attributes of an object or part.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn attributes(&mut self, parent: Option<&ObjectId<'a>>) -> Result<Attributes<'a>, Damaged> {
        let mask = self.byte()?;
        let has = |bit: u8| mask & (1 << bit) != 0;
        let id = self.id(None)?;
        Ok(Attributes {
            mask,
            home: if has(0) { self.piece()? } else { None },
            // The object's own id is the parent of its lid; a part's is not, and no writer refers to it.
            lid: if has(1) { self.id(parent.or(id.as_ref()))? } else { None },
            object_type: if has(2) { self.piece()? } else { None },
            status: if has(3) { self.piece()? } else { None },
            version: if has(4) { Some(VersionInfo { name: self.option()?, comment: self.option()? }) } else { None },
            id,
        })
    }

    /// Attributes and parts as one.
    fn common(&mut self, attributes: Attributes<'a>) -> Result<Common<'a>, Damaged> {
        let [slots, names, descriptions] = attributes.parts();
        let mut common = Common {
            id: attributes.id,
            home: attributes.home.map(Piece::into_text),
            lid: attributes.lid,
            object_type: attributes.object_type.map(Piece::into_text),
            status: attributes.status.map(Piece::into_text),
            version: attributes.version,
            ..Common::default()
        };
        if slots {
            let count = self.count()?;
            common.slots.reserve_exact(count.min(MOST_AT_ONCE));
            for _ in 0..count {
                let (name, slot_type) = (self.text()?, self.option()?);
                let count = self.count()?;
                let mut values = Vec::with_capacity(count.min(MOST_AT_ONCE));
                for _ in 0..count {
                    values.push(self.text()?);
                }
                common.slots.push(Slot { name, slot_type, values });
            }
        }
        if names {
            common.names = self.strings()?;
        }
        if descriptions {
            common.descriptions = self.strings()?;
        }
        Ok(common)
    }
}

/// What the header of a record says.
pub struct Head<'a> {
    /// Its kind.
    pub kind: PackedKind,
    /// Its attributes, the id among them.
    pub attributes: Attributes<'a>,
}

fn open(bytes: &[u8]) -> Result<(Head<'_>, Cursor<'_>), Damaged> {
    let mut cursor = Cursor { bytes, at: 0 };
    let (format, kind, _status, flags) = (cursor.byte()?, cursor.byte()?, cursor.byte()?, cursor.byte()?);
    if format != FORMAT || flags > FLAGS {
        return Err(Damaged { at: 0 });
    }
    let kind = match kind {
        0 => PackedKind::DocumentEntry,
        1 => PackedKind::Package,
        2 => PackedKind::Association,
        3 => PackedKind::ObjectRef,
        _ => return Err(Damaged { at: 1 }),
    };
    let uuid = if flags & HAS_UUID != 0 { Some(ObjectId::Uuid(cursor.uuid()?)) } else { None };
    let mut attributes = cursor.attributes(uuid.as_ref())?;
    match (uuid, &attributes.id) {
        (None, None | Some(ObjectId::Symbol(_))) => {}
        (Some(uuid), None) => attributes.id = Some(uuid),
        // A UUID stands in the header and nowhere else, so that it is known without decoding.
        _ => return Err(Damaged { at: HEADER }),
    }
    Ok((Head { kind, attributes }, cursor))
}

fn decode(bytes: &[u8]) -> Result<RegistryObject<'_>, Damaged> {
    let (head, mut reader) = open(bytes)?;
    let body = match head.kind {
        PackedKind::DocumentEntry => Body::ExtrinsicObject { mime_type: reader.option()?, opaque: reader.opaque()? },
        PackedKind::Package => Body::RegistryPackage,
        PackedKind::Association => {
            Body::Association { kind: reader.text()?, source: reader.required_id()?, target: reader.required_id()? }
        }
        PackedKind::ObjectRef => Body::ObjectRef,
    };
    let common = reader.common(head.attributes)?;
    let parent = common.id.clone();
    let count = reader.count()?;
    let mut classifications = Vec::with_capacity(count.min(MOST_AT_ONCE));
    for _ in 0..count {
        let attributes = reader.attributes(parent.as_ref())?;
        let classified = reader.id(parent.as_ref())?;
        let (scheme, node, representation) = (reader.option()?, reader.option()?, reader.option()?);
        let common = reader.common(attributes)?;
        classifications.push(Classification { common, classified, scheme, node, representation });
    }
    let count = reader.count()?;
    let mut identifiers = Vec::with_capacity(count.min(MOST_AT_ONCE));
    for _ in 0..count {
        let attributes = reader.attributes(parent.as_ref())?;
        let registry_object = reader.id(parent.as_ref())?;
        let (scheme, value) = (reader.option()?, reader.option()?);
        let common = reader.common(attributes)?;
        identifiers.push(ExternalIdentifier { common, registry_object, scheme, value });
    }
    reader.end()?;
    Ok(RegistryObject { common, body, classifications, identifiers })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Text<'static>> {
        prop_oneof!["[ -~é€𝄞]{0,20}".prop_map(Cow::Owned), (0..KNOWN.len()).prop_map(|n| Cow::Borrowed(KNOWN[n])),]
    }

    fn id() -> impl Strategy<Value = ObjectId<'static>> {
        prop_oneof![
            any::<[u8; 16]>().prop_map(|b| ObjectId::Uuid(EntryUuid(b))),
            "[a-z]{1,8}".prop_map(|s| ObjectId::Symbol(Cow::Owned(s))),
        ]
    }

    fn strings() -> impl Strategy<Value = Vec<LocalizedString<'static>>> {
        prop::collection::vec(
            (text(), prop::option::of(text()), prop::option::of(text()))
                .prop_map(|(value, lang, charset)| LocalizedString { value, lang, charset }),
            0..3,
        )
    }

    fn common() -> impl Strategy<Value = Common<'static>> {
        let slots = prop::collection::vec(
            (text(), prop::option::of(text()), prop::collection::vec(text(), 0..3))
                .prop_map(|(name, slot_type, values)| Slot { name, slot_type, values }),
            0..4,
        );
        let version = prop::option::of(
            (prop::option::of(text()), prop::option::of(text()))
                .prop_map(|(name, comment)| VersionInfo { name, comment }),
        );
        (
            (prop::option::of(id()), prop::option::of(text()), prop::option::of(id()), prop::option::of(text())),
            prop::option::of(text()),
            version,
            slots,
            strings(),
            strings(),
        )
            .prop_map(|((id, home, lid, object_type), status, version, slots, names, descriptions)| Common {
                id,
                home,
                lid,
                // A part's fixed objectType is what its absence means.
                object_type: object_type.filter(|t| {
                    !t.is_empty()
                        && t != super::super::vocabulary::CLASSIFICATION_TYPE
                        && t != super::super::vocabulary::IDENTIFIER_TYPE
                }),
                status,
                version,
                slots,
                names,
                descriptions,
            })
    }

    /// Any object at all, for round trips here and in the wire room.
    pub(crate) fn any_object() -> impl Strategy<Value = RegistryObject<'static>> {
        let body = prop_oneof![
            (prop::option::of(text()), prop::option::of(any::<bool>()))
                .prop_map(|(mime_type, opaque)| Body::ExtrinsicObject { mime_type, opaque }),
            Just(Body::RegistryPackage),
            (text(), id(), id()).prop_map(|(kind, source, target)| Body::Association { kind, source, target }),
        ];
        let classifications = prop::collection::vec(
            (
                common(),
                prop::option::of(id()),
                prop::option::of(text()),
                prop::option::of(text()),
                prop::option::of(text()),
            )
                .prop_map(|(common, classified, scheme, node, representation)| Classification {
                    common,
                    classified,
                    scheme,
                    node,
                    representation,
                }),
            0..4,
        );
        let identifiers = prop::collection::vec(
            (common(), prop::option::of(id()), prop::option::of(text()), prop::option::of(text())).prop_map(
                |(common, registry_object, scheme, value)| ExternalIdentifier {
                    common,
                    registry_object,
                    scheme,
                    value,
                },
            ),
            0..3,
        );
        (common(), body, classifications, identifiers).prop_map(|(common, body, classifications, identifiers)| {
            RegistryObject { common, body, classifications, identifiers }
        })
    }

    proptest! {
        #[test]
        fn pack_unpack_is_identity(object in any_object()) {
            let packed = PackedObject::pack(&object);
            prop_assert!(packed.unpack().unwrap() == object);
            prop_assert_eq!(packed.uuid(), object.uuid());
            prop_assert!(PackedObject::from_bytes(packed.as_bytes().clone()).is_ok());
        }

        #[test]
        fn damage_is_an_error_not_a_panic(object in any_object(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = PackedObject::pack(&object).as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode(&bytes);
            bytes.truncate(at);
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_logical_id_may_equal_any_form_of_id() {
        for id in [ObjectId::Symbol("sym".into()), ObjectId::Uuid(EntryUuid([7; 16]))] {
            let mut object = RegistryObject::new(Body::RegistryPackage, id.clone());
            object.common.lid = Some(id);
            assert!(PackedObject::pack(&object).unpack().is_ok_and(|again| again == object));
        }
    }

    #[test]
    fn a_uuid_stands_in_the_header_only() {
        let object = RegistryObject::new(Body::ObjectRef, ObjectId::Symbol("abcdefghijklmnop".into()));
        let mut bytes = PackedObject::pack(&object).as_bytes().to_vec();
        // mask, then the id: a symbol of sixteen bytes becomes a UUID.
        bytes.splice(HEADER + 1..HEADER + 3, [1]);
        assert!(decode(&bytes).is_err());
    }

    #[test]
    fn superseded_is_told_beside_the_object() {
        let object = RegistryObject::new(Body::RegistryPackage, EntryUuid([7; 16]).into());
        let packed = PackedObject::pack(&object);
        assert!(!packed.is_superseded() && packed.clone().with_superseded(false) == packed);
        let old = packed.clone().with_superseded(true);
        assert!(old.is_superseded() && old.clone().with_superseded(true) == old && old != packed);
        assert!(old.unpack().unwrap() == object && PackedObject::from_bytes(old.as_bytes().clone()).is_ok());
        assert!(old.with_superseded(false) == packed);
    }

    #[test]
    fn known_texts_are_distinct() {
        assert_eq!(NUMBERS.len(), KNOWN.len());
        let needs_escaping = |c: char| c < ' ' || "&<>\"\u{fffe}\u{ffff}".contains(c);
        assert!(KNOWN.iter().all(|text| !text.contains(needs_escaping)), "they are written as they are");
    }
}
