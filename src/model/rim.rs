//! The registry information model: the objects that metadata is made of (ITI TF-3 §4.2, ebRIM 3.0).
//!
//! One lossless shape for everything a source, a peer or our store holds: what we do not know is
//! carried as received. Texts borrow from the message or the stored record they came from. What
//! the standard gives meaning to is read through the views of [`super::metadata`].

use std::borrow::Cow;
use std::fmt;

use super::ids::EntryUuid;

/// A text borrowed from a message or a record.
pub type Text<'a> = Cow<'a, str>;

/// The `id` of an object: a UUID, or a symbol that stands for one inside one submission
/// (ITI TF-3 §4.2.3.1.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum ObjectId<'a> {
    /// `urn:uuid:…`
    Uuid(EntryUuid),
    /// Anything else.
    Symbol(Text<'a>),
}

impl<'a> ObjectId<'a> {
    /// Reads either form; a `urn:uuid:` that is malformed stays a symbol for the rules to judge.
    pub fn read(text: Text<'a>) -> Self {
        match EntryUuid::parse(&text) {
            Ok(uuid) => Self::Uuid(uuid),
            Err(_) => Self::Symbol(text),
        }
    }

    /// The UUID, if it is one.
    pub fn uuid(&self) -> Option<EntryUuid> {
        match self {
            Self::Uuid(uuid) => Some(*uuid),
            Self::Symbol(_) => None,
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> ObjectId<'static> {
        match self {
            Self::Uuid(uuid) => ObjectId::Uuid(uuid),
            Self::Symbol(text) => ObjectId::Symbol(Cow::Owned(text.into_owned())),
        }
    }
}

impl fmt::Display for ObjectId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Symbol(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for ObjectId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<EntryUuid> for ObjectId<'_> {
    fn from(uuid: EntryUuid) -> Self {
        Self::Uuid(uuid)
    }
}

/// A named list of values (ebRIM Slot).
#[derive(Clone, PartialEq, Eq)]
pub struct Slot<'a> {
    /// `@name`
    pub name: Text<'a>,
    /// `@slotType`
    pub slot_type: Option<Text<'a>>,
    /// The values, in order.
    pub values: Vec<Text<'a>>,
}

impl<'a> Slot<'a> {
    /// A slot of one value.
    pub fn single(name: impl Into<Text<'a>>, value: impl Into<Text<'a>>) -> Self {
        Self { name: name.into(), slot_type: None, values: vec![value.into()] }
    }

    /// A slot of several values.
    pub fn list<I, T>(name: impl Into<Text<'a>>, values: I) -> Self
    where
        I: IntoIterator<Item = T>,
        T: Into<Text<'a>>,
    {
        Self { name: name.into(), slot_type: None, values: values.into_iter().map(Into::into).collect() }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Slot<'static> {
        let text = |text: Text<'_>| Text::Owned(text.into_owned());
        Slot {
            name: text(self.name),
            slot_type: self.slot_type.map(text),
            values: self.values.into_iter().map(text).collect(),
        }
    }
}

/// A text in a language (ebRIM LocalizedString).
#[derive(Clone, PartialEq, Eq)]
pub struct LocalizedString<'a> {
    /// `@value`
    pub value: Text<'a>,
    /// `@xml:lang`
    pub lang: Option<Text<'a>>,
    /// `@charset`
    pub charset: Option<Text<'a>>,
}

/// `VersionInfo` (Metadata Update).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VersionInfo<'a> {
    /// `@versionName`
    pub name: Option<Text<'a>>,
    /// `@comment`
    pub comment: Option<Text<'a>>,
}

/// What every registry object has (ebRIM RegistryObject).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Common<'a> {
    /// `@id`; absent on a classification or identifier: derived from its parent's.
    pub id: Option<ObjectId<'a>>,
    /// `@home`, the homeCommunityId.
    pub home: Option<Text<'a>>,
    /// `@lid`, the logicalID.
    pub lid: Option<ObjectId<'a>>,
    /// `@objectType`
    pub object_type: Option<Text<'a>>,
    /// `@status`, the availabilityStatus.
    pub status: Option<Text<'a>>,
    /// `VersionInfo`
    pub version: Option<VersionInfo<'a>>,
    /// Slots in order.
    pub slots: Vec<Slot<'a>>,
    /// `Name`, the title or display name.
    pub names: Vec<LocalizedString<'a>>,
    /// `Description`, the comments.
    pub descriptions: Vec<LocalizedString<'a>>,
}

impl<'a> Common<'a> {
    /// The slot of that name.
    pub fn slot(&self, name: &str) -> Option<&Slot<'a>> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// The first value of the slot of that name, trimmed as the framework's typed values are; an empty one
    /// is none (ITI TF-3 §4.2.3.1.6).
    pub fn slot_value(&self, name: &str) -> Option<&str> {
        self.slot(name)?.values.iter().map(|value| value.trim()).find(|value| !value.is_empty())
    }

    /// The values of the slot of that name.
    pub fn slot_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(move |slot| slot.name == name).flat_map(|slot| slot.values.iter().map(AsRef::as_ref))
    }

    /// Sets the slot of that name to one value, keeping its place.
    pub fn set_slot(&mut self, name: &'static str, value: impl Into<Text<'a>>) {
        let value = value.into();
        match self.slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => slot.values = vec![value],
            None => self.slots.push(Slot { name: name.into(), slot_type: None, values: vec![value] }),
        }
    }
}

/// A code, an author, or the node that says what a package is (ebRIM Classification).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Classification<'a> {
    /// Attributes, slots (codingScheme, authorPerson …), display name.
    pub common: Common<'a>,
    /// `@classifiedObject`; absent: the object it stands in.
    pub classified: Option<ObjectId<'a>>,
    /// `@classificationScheme`
    pub scheme: Option<Text<'a>>,
    /// `@classificationNode`
    pub node: Option<Text<'a>>,
    /// `@nodeRepresentation`, the code.
    pub representation: Option<Text<'a>>,
}

/// A patientId, uniqueId or sourceId (ebRIM ExternalIdentifier).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ExternalIdentifier<'a> {
    /// Attributes and name.
    pub common: Common<'a>,
    /// `@registryObject`; absent: the object it stands in.
    pub registry_object: Option<ObjectId<'a>>,
    /// `@identificationScheme`
    pub scheme: Option<Text<'a>>,
    /// `@value`
    pub value: Option<Text<'a>>,
}

/// What kind of object it is, with the attributes of that kind.
#[derive(Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// A DocumentEntry.
    ExtrinsicObject {
        /// `@mimeType`
        mime_type: Option<Text<'a>>,
        /// `@isOpaque`
        opaque: Option<bool>,
    },
    /// A SubmissionSet or a Folder.
    RegistryPackage,
    /// An Association.
    Association {
        /// `@associationType`
        kind: Text<'a>,
        /// `@sourceObject`
        source: ObjectId<'a>,
        /// `@targetObject`
        target: ObjectId<'a>,
    },
    /// A mere reference, the answer to a query for ObjectRef.
    ObjectRef,
}

/// A DocumentEntry, SubmissionSet, Folder, Association or ObjectRef.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryObject<'a> {
    /// What every object has.
    pub common: Common<'a>,
    /// What its kind has.
    pub body: Body<'a>,
    /// Codes, authors, nodes.
    pub classifications: Vec<Classification<'a>>,
    /// External identifiers.
    pub identifiers: Vec<ExternalIdentifier<'a>>,
}

impl<'a> RegistryObject<'a> {
    /// An object of that kind with nothing in it.
    pub fn new(body: Body<'a>, id: ObjectId<'a>) -> Self {
        Self {
            common: Common { id: Some(id), ..Common::default() },
            body,
            classifications: Vec::new(),
            identifiers: Vec::new(),
        }
    }

    /// The UUID in `@id`, if it is one.
    pub fn uuid(&self) -> Option<EntryUuid> {
        self.common.id.as_ref().and_then(ObjectId::uuid)
    }

    /// The value of the external identifier of that scheme.
    pub fn identifier(&self, scheme: &str) -> Option<&str> {
        self.identifiers.iter().find(|id| id.scheme.as_deref() == Some(scheme)).and_then(|id| id.value.as_deref())
    }

    /// The classifications of that scheme.
    pub fn classified_by<'s>(&'s self, scheme: &'s str) -> impl Iterator<Item = &'s Classification<'a>> {
        self.classifications.iter().filter(move |c| c.scheme.as_deref() == Some(scheme))
    }

    /// Whether a classification names that node.
    pub fn has_node(&self, node: &str) -> bool {
        self.classifications.iter().any(|c| c.node.as_deref() == Some(node))
    }
}

/// `Debug` of the parts shows names and counts only: values name patients.
macro_rules! discreet_debug {
    ($($name:ident => |$value:ident| $($shown:expr),+;)+) => {
        $(impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $value = self;
                f.debug_tuple(stringify!($name))$(.field(&$shown))+.finish()
            }
        })+
    };
}

discreet_debug! {
    Slot => |slot| slot.name, slot.values.len();
    LocalizedString => |string| string.value.len();
    VersionInfo => |version| version.name;
    Common => |common| common.id, common.slots;
    Classification => |classification| classification.scheme, classification.node;
    ExternalIdentifier => |identifier| identifier.scheme;
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExtrinsicObject { .. } => "ExtrinsicObject",
            Self::RegistryPackage => "RegistryPackage",
            Self::Association { .. } => "Association",
            Self::ObjectRef => "ObjectRef",
        })
    }
}

/// Shows kind and id only: slots and identifiers name patients.
impl fmt::Debug for RegistryObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.body, self.common.id)
    }
}

impl RegistryObject<'_> {
    /// Source and target of an association, where both are UUIDs.
    pub fn ends(&self) -> Option<(EntryUuid, EntryUuid)> {
        match &self.body {
            Body::Association { source, target, .. } => source.uuid().zip(target.uuid()),
            _ => None,
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> RegistryObject<'static> {
        fn text(t: Text<'_>) -> Text<'static> {
            Text::Owned(t.into_owned())
        }
        fn strings(list: Vec<LocalizedString<'_>>) -> Vec<LocalizedString<'static>> {
            list.into_iter()
                .map(|s| LocalizedString { value: text(s.value), lang: s.lang.map(text), charset: s.charset.map(text) })
                .collect()
        }
        fn common(c: Common<'_>) -> Common<'static> {
            Common {
                id: c.id.map(ObjectId::into_owned),
                home: c.home.map(text),
                lid: c.lid.map(ObjectId::into_owned),
                object_type: c.object_type.map(text),
                status: c.status.map(text),
                version: c.version.map(|v| VersionInfo { name: v.name.map(text), comment: v.comment.map(text) }),
                slots: c
                    .slots
                    .into_iter()
                    .map(|s| Slot {
                        name: text(s.name),
                        slot_type: s.slot_type.map(text),
                        values: s.values.into_iter().map(text).collect(),
                    })
                    .collect(),
                names: strings(c.names),
                descriptions: strings(c.descriptions),
            }
        }
        RegistryObject {
            common: common(self.common),
            body: match self.body {
                Body::ExtrinsicObject { mime_type, opaque } => {
                    Body::ExtrinsicObject { mime_type: mime_type.map(text), opaque }
                }
                Body::RegistryPackage => Body::RegistryPackage,
                Body::Association { kind, source, target } => {
                    Body::Association { kind: text(kind), source: source.into_owned(), target: target.into_owned() }
                }
                Body::ObjectRef => Body::ObjectRef,
            },
            classifications: self
                .classifications
                .into_iter()
                .map(|c| Classification {
                    common: common(c.common),
                    classified: c.classified.map(ObjectId::into_owned),
                    scheme: c.scheme.map(text),
                    node: c.node.map(text),
                    representation: c.representation.map(text),
                })
                .collect(),
            identifiers: self
                .identifiers
                .into_iter()
                .map(|i| ExternalIdentifier {
                    common: common(i.common),
                    registry_object: i.registry_object.map(ObjectId::into_owned),
                    scheme: i.scheme.map(text),
                    value: i.value.map(text),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_none() {
        let of = |values: &[&'static str]| {
            let slots = vec![Slot::list("size", values.to_vec())];
            Common { slots, ..Common::default() }.slot_value("size").map(str::to_owned)
        };
        assert_eq!([of(&[]), of(&[""]), of(&[" "])], [None, None, None]);
        assert_eq!(of(&["", " 7 ", "8"]).as_deref(), Some("7"));
        assert_eq!(Common::default().slot_value("size"), None);
    }
}
