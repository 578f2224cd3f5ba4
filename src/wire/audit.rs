//! The ATNA audit message (DICOM PS3.15 A.5, schema of 2017c with the amendments of IHE) and its syslog frame
//! (RFC 5424, RFC 5425).
//!
//! [`AuditMessage`] has the shape of the schema and knows no more than it. [`AuditMessage::to_xml`] writes it on one
//! line, without XML declaration, so that it can go into a syslog message as it is; [`AuditMessage::from_xml`] reads
//! it back for search and for tests. Binary values (`ParticipantObjectQuery`, `ParticipantObjectDetail/@value`) are
//! plain bytes here and base64 only in the XML.
//!
//! Not supported, because a document broker has no use for them: `MediaIdentifier`, `ParticipantObjectDescription`.
//! The reader passes over them.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// Longest audit message the reader takes. A query travels base64 inside it, so this is above the root part limit.
pub const MAX_AUDIT_XML_BYTES: usize = 4 * 1024 * 1024;
/// Most elements the reader takes in one message; a retrieval of a thousand documents has about four thousand.
pub const MAX_AUDIT_ELEMENTS: usize = 65_536;
/// Deepest nesting the reader follows; the schema needs five.
pub const MAX_AUDIT_DEPTH: usize = 16;

/// Text of an attribute: constant for most codes, owned when it was received.
pub type Text = Cow<'static, str>;

/// `AuditMessage` (DICOM PS3.15 A.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct AuditMessage {
    /// `EventIdentification`.
    pub event: EventIdentification,
    /// `ActiveParticipant`, one or more.
    pub participants: Vec<ActiveParticipant>,
    /// `AuditSourceIdentification`.
    pub source: AuditSourceIdentification,
    /// `ParticipantObjectIdentification`.
    pub objects: Vec<ParticipantObjectIdentification>,
}

impl fmt::Debug for AuditMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Participants and objects name people; what kind of event it was is all that may be shown.
        f.debug_struct("AuditMessage")
            .field("event_id", &self.event.id.code)
            .field("participants", &self.participants.len())
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

/// A coded value, attribute group `CodedValueType` (DICOM PS3.15 A.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedValue {
    /// `@csd-code`.
    pub code: Text,
    /// `@codeSystemName`.
    pub code_system_name: Text,
    /// `@displayName`; may be absent.
    pub display_name: Option<Text>,
    /// `@originalText`; the schema wants it always.
    pub original_text: Text,
}

impl CodedValue {
    /// A coded value whose two texts are the same, as IHE writes them.
    #[must_use]
    pub fn new(code: impl Into<Text>, code_system_name: impl Into<Text>, text: impl Into<Text>) -> Self {
        let text = text.into();
        Self {
            code: code.into(),
            code_system_name: code_system_name.into(),
            display_name: Some(text.clone()),
            original_text: text,
        }
    }
}

/// `EventIdentification` (DICOM PS3.15 A.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct EventIdentification {
    /// `@EventActionCode`: C, R, U, D or E.
    pub action_code: Option<Text>,
    /// `@EventDateTime`, written in UTC to the millisecond.
    pub date_time: Timestamp,
    /// `@EventOutcomeIndicator`: 0, 4, 8 or 12.
    pub outcome_indicator: u8,
    /// `EventID`.
    pub id: CodedValue,
    /// `EventTypeCode`.
    pub type_codes: Vec<CodedValue>,
    /// `EventOutcomeDescription`.
    pub outcome_description: Option<String>,
    /// `PurposeOfUse`.
    pub purposes_of_use: Vec<CodedValue>,
}

/// `ActiveParticipant` (DICOM PS3.15 A.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct ActiveParticipant {
    /// `@UserID`.
    pub user_id: String,
    /// `@AlternativeUserID`.
    pub alternative_user_id: Option<String>,
    /// `@UserName`.
    pub user_name: Option<String>,
    /// `@UserIsRequestor`.
    pub is_requestor: bool,
    /// `@NetworkAccessPointID`.
    pub network_access_point_id: Option<String>,
    /// `@NetworkAccessPointTypeCode`, 1 to 5.
    pub network_access_point_type_code: Option<u8>,
    /// `RoleIDCode`.
    pub role_id_codes: Vec<CodedValue>,
}

/// `AuditSourceIdentification` (DICOM PS3.15 A.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct AuditSourceIdentification {
    /// `@AuditSourceID`.
    pub id: String,
    /// `@AuditEnterpriseSiteID`.
    pub enterprise_site_id: Option<String>,
    /// `AuditSourceTypeCode/@csd-code`.
    pub type_codes: Vec<Text>,
}

/// `ParticipantObjectIdentification` (DICOM PS3.15 A.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct ParticipantObjectIdentification {
    /// `@ParticipantObjectID`.
    pub id: Option<String>,
    /// `@ParticipantObjectTypeCode`, 1 to 4.
    pub type_code: Option<u8>,
    /// `@ParticipantObjectTypeCodeRole`, 1 to 26.
    pub type_code_role: Option<u8>,
    /// `@ParticipantObjectDataLifeCycle`, 1 to 15.
    pub data_life_cycle: Option<u8>,
    /// `@ParticipantObjectSensitivity`.
    pub sensitivity: Option<String>,
    /// `ParticipantObjectIDTypeCode`.
    pub id_type_code: CodedValue,
    /// `ParticipantObjectName` or `ParticipantObjectQuery`.
    pub content: Option<ParticipantObjectContent>,
    /// `ParticipantObjectDetail`.
    pub details: Vec<ParticipantObjectDetail>,
}

/// The choice of the schema between a name and a query.
#[derive(Clone, PartialEq, Eq)]
pub enum ParticipantObjectContent {
    /// `ParticipantObjectName`.
    Name(String),
    /// `ParticipantObjectQuery`, decoded.
    Query(Bytes),
}

/// `ParticipantObjectDetail`, attribute group `ValuePair`.
#[derive(Clone, PartialEq, Eq)]
pub struct ParticipantObjectDetail {
    /// `@type`.
    pub kind: Text,
    /// `@value`, decoded.
    pub value: Bytes,
}

impl AuditMessage {
    /// The message as one line of UTF-8 XML, valid by the schema if the codes in it are the standard's.
    ///
    /// A character that XML 1.0 cannot carry at all, as U+0000, becomes U+FFFD; binary values are base64 and keep
    /// every byte.
    #[must_use]
    pub fn to_xml(&self) -> Vec<u8> {
        let mut w = Writer { out: Vec::with_capacity(self.size_hint()) };
        w.out.extend_from_slice(b"<AuditMessage>");
        self.write_event(&mut w);
        for participant in &self.participants {
            write_participant(&mut w, participant);
        }
        w.start("AuditSourceIdentification");
        w.attribute("AuditSourceID", &self.source.id);
        w.optional("AuditEnterpriseSiteID", self.source.enterprise_site_id.as_deref());
        w.body("AuditSourceIdentification", self.source.type_codes.is_empty(), |w| {
            for code in &self.source.type_codes {
                w.start("AuditSourceTypeCode");
                w.attribute("csd-code", code);
                w.out.extend_from_slice(b"/>");
            }
        });
        for object in &self.objects {
            write_object(&mut w, object);
        }
        w.out.extend_from_slice(b"</AuditMessage>");
        w.out
    }

    fn write_event(&self, w: &mut Writer) {
        let event = &self.event;
        w.start("EventIdentification");
        w.optional("EventActionCode", event.action_code.as_deref());
        w.display("EventDateTime", format_args!("{:.3}", event.date_time));
        w.display("EventOutcomeIndicator", format_args!("{}", event.outcome_indicator));
        w.body("EventIdentification", false, |w| {
            w.coded("EventID", &event.id);
            for code in &event.type_codes {
                w.coded("EventTypeCode", code);
            }
            if let Some(description) = &event.outcome_description {
                w.text_element("EventOutcomeDescription", description);
            }
            for code in &event.purposes_of_use {
                w.coded("PurposeOfUse", code);
            }
        });
    }

    /// Near enough that the buffer seldom grows: the queries dominate, the rest is a few hundred bytes each.
    fn size_hint(&self) -> usize {
        let queries = self.objects.iter().map(|object| match &object.content {
            Some(ParticipantObjectContent::Query(query)) => query.len() / 3 * 4 + 512,
            _ => 512,
        });
        1024 + self.participants.len() * 384 + queries.sum::<usize>()
    }
}

fn write_participant(w: &mut Writer, participant: &ActiveParticipant) {
    w.start("ActiveParticipant");
    w.attribute("UserID", &participant.user_id);
    w.optional("AlternativeUserID", participant.alternative_user_id.as_deref());
    w.optional("UserName", participant.user_name.as_deref());
    w.attribute("UserIsRequestor", if participant.is_requestor { "true" } else { "false" });
    w.optional("NetworkAccessPointID", participant.network_access_point_id.as_deref());
    w.number("NetworkAccessPointTypeCode", participant.network_access_point_type_code);
    w.body("ActiveParticipant", participant.role_id_codes.is_empty(), |w| {
        for code in &participant.role_id_codes {
            w.coded("RoleIDCode", code);
        }
    });
}

fn write_object(w: &mut Writer, object: &ParticipantObjectIdentification) {
    w.start("ParticipantObjectIdentification");
    w.optional("ParticipantObjectID", object.id.as_deref());
    w.number("ParticipantObjectTypeCode", object.type_code);
    w.number("ParticipantObjectTypeCodeRole", object.type_code_role);
    w.number("ParticipantObjectDataLifeCycle", object.data_life_cycle);
    w.optional("ParticipantObjectSensitivity", object.sensitivity.as_deref());
    w.body("ParticipantObjectIdentification", false, |w| {
        w.coded("ParticipantObjectIDTypeCode", &object.id_type_code);
        match &object.content {
            Some(ParticipantObjectContent::Name(name)) => w.text_element("ParticipantObjectName", name),
            Some(ParticipantObjectContent::Query(query)) => {
                w.out.extend_from_slice(b"<ParticipantObjectQuery>");
                w.base64(query);
                w.out.extend_from_slice(b"</ParticipantObjectQuery>");
            }
            None => {}
        }
        for detail in &object.details {
            w.start("ParticipantObjectDetail");
            w.attribute("type", &detail.kind);
            w.out.extend_from_slice(b" value=\"");
            w.base64(&detail.value);
            w.out.extend_from_slice(b"\"/>");
        }
    });
}

/// Element and attribute names are ours; every value goes through an escape.
struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn start(&mut self, element: &str) {
        self.out.push(b'<');
        self.out.extend_from_slice(element.as_bytes());
    }

    fn body(&mut self, element: &str, empty: bool, content: impl FnOnce(&mut Self)) {
        if empty {
            self.out.extend_from_slice(b"/>");
            return;
        }
        self.out.push(b'>');
        content(self);
        self.end(element);
    }

    fn end(&mut self, element: &str) {
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(element.as_bytes());
        self.out.push(b'>');
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(b' ');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        self.escaped(value);
        self.out.push(b'"');
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.attribute(name, value);
        }
    }

    fn number(&mut self, name: &str, value: Option<u8>) {
        if let Some(value) = value {
            self.display(name, format_args!("{value}"));
        }
    }

    /// For values that need no escape: numbers and dates.
    fn display(&mut self, name: &str, value: fmt::Arguments<'_>) {
        // Writing into a Vec cannot fail.
        let _ = write!(self.out, " {name}=\"{value}\"");
    }

    fn coded(&mut self, element: &str, value: &CodedValue) {
        self.start(element);
        self.attribute("csd-code", &value.code);
        self.attribute("codeSystemName", &value.code_system_name);
        self.optional("displayName", value.display_name.as_deref());
        self.attribute("originalText", &value.original_text);
        self.out.extend_from_slice(b"/>");
    }

    fn text_element(&mut self, element: &str, text: &str) {
        self.start(element);
        self.out.push(b'>');
        self.escaped(text);
        self.end(element);
    }

    fn base64(&mut self, value: &[u8]) {
        let start = self.out.len();
        let Some(length) = base64::encoded_len(value.len(), true) else {
            return;
        };
        self.out.resize(start + length, b'=');
        let written = BASE64.encode_slice(value, &mut self.out[start..]).unwrap_or(0);
        self.out.truncate(start + written);
    }

    /// One escape for attributes and text: white space other than the space as references, so that attribute value
    /// normalization does not eat it and the message stays on one line.
    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut done = 0;
        for (at, char) in text.char_indices() {
            let replacement: &[u8] = match char {
                '&' => b"&amp;",
                '<' => b"&lt;",
                '>' => b"&gt;",
                '"' => b"&quot;",
                '\t' => b"&#9;",
                '\n' => b"&#10;",
                '\r' => b"&#13;",
                // XML 1.0 §2.2: not even a reference may stand for these.
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}".as_bytes(),
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[done..at]);
            self.out.extend_from_slice(replacement);
            done = at + char.len_utf8();
        }
        self.out.extend_from_slice(&bytes[done..]);
    }
}

/// Why an audit message could not be read. Never quotes the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditReadError {
    /// Over [`MAX_AUDIT_XML_BYTES`], [`MAX_AUDIT_ELEMENTS`] or [`MAX_AUDIT_DEPTH`].
    #[error("audit message is over the limit of {0}")]
    TooLarge(&'static str),
    /// Not UTF-8.
    #[error("audit message is not UTF-8")]
    NotUtf8,
    /// Not well-formed XML, or a document type in it.
    #[error("audit message is not well-formed XML: {0}")]
    Malformed(&'static str),
    /// Something the schema requires is absent.
    #[error("audit message has no {0}")]
    Missing(&'static str),
    /// A value the schema does not allow.
    #[error("audit message has a bad value of {0}")]
    BadValue(&'static str),
}

impl AuditMessage {
    /// Reads a message. Elements in a namespace, unknown elements and unknown attributes are passed over; order is
    /// not checked.
    ///
    /// # Errors
    /// See [`AuditReadError`].
    pub fn from_xml(xml: &[u8]) -> Result<Self, AuditReadError> {
        if xml.len() > MAX_AUDIT_XML_BYTES {
            return Err(AuditReadError::TooLarge("bytes"));
        }
        let text = std::str::from_utf8(xml).map_err(|_| AuditReadError::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = quick_xml::Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut parts = Parts::default();
        let mut path: Vec<String> = Vec::new();
        let mut content = String::new();
        let mut elements = 0_usize;
        loop {
            let event = reader.read_event().map_err(|_| AuditReadError::Malformed("token"))?;
            match event {
                Event::Start(start) => {
                    elements += 1;
                    if elements > MAX_AUDIT_ELEMENTS {
                        return Err(AuditReadError::TooLarge("elements"));
                    }
                    if path.len() == MAX_AUDIT_DEPTH {
                        return Err(AuditReadError::TooLarge("depth"));
                    }
                    if path.is_empty() && parts.root_seen {
                        return Err(AuditReadError::Malformed("second root element"));
                    }
                    parts.root_seen = true;
                    path.push(start.name().as_ref().to_owned());
                    content.clear();
                    parts.open(&path, &start)?;
                }
                Event::End(_) => {
                    parts.close(&path, &content)?;
                    path.pop();
                    content.clear();
                }
                Event::Text(text) => content.push_str(&text.xml10_content()),
                Event::CData(text) => content.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let bad = |_| AuditReadError::Malformed("character reference");
                    if let Some(char) = reference.resolve_char_ref().map_err(bad)? {
                        content.push(char);
                    } else {
                        content.push_str(match reference.xml10_content().as_ref() {
                            "amp" => "&",
                            "lt" => "<",
                            "gt" => ">",
                            "quot" => "\"",
                            "apos" => "'",
                            _ => return Err(AuditReadError::Malformed("entity reference")),
                        });
                    }
                }
                Event::DocType(_) => return Err(AuditReadError::Malformed("document type")),
                Event::Eof if path.is_empty() => return parts.finish(),
                Event::Eof => return Err(AuditReadError::Malformed("unfinished")),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    root_seen: bool,
    event: Option<(Option<Text>, Timestamp, u8)>,
    event_id: Option<CodedValue>,
    type_codes: Vec<CodedValue>,
    outcome_description: Option<String>,
    purposes: Vec<CodedValue>,
    participants: Vec<ActiveParticipant>,
    source: Option<AuditSourceIdentification>,
    objects: Vec<PartialObject>,
}

/// An object whose required child has not been met yet.
struct PartialObject {
    object: ParticipantObjectIdentification,
    has_id_type_code: bool,
}

impl Parts {
    fn open(&mut self, path: &[String], start: &BytesStart<'_>) -> Result<(), AuditReadError> {
        let names = path.iter().map(String::as_str).collect::<Vec<_>>();
        match names.as_slice() {
            ["AuditMessage"] => {}
            [_] => return Err(AuditReadError::Missing("AuditMessage")),
            [_, "EventIdentification"] => {
                let at = Attributes::read(start)?;
                let date = at.required("EventDateTime")?;
                let date = date.trim().parse().map_err(|_| AuditReadError::BadValue("EventDateTime"))?;
                let outcome = at.required("EventOutcomeIndicator")?;
                let outcome = match outcome.trim() {
                    "0" => 0,
                    "4" => 4,
                    "8" => 8,
                    "12" => 12,
                    _ => return Err(AuditReadError::BadValue("EventOutcomeIndicator")),
                };
                self.event = Some((at.optional("EventActionCode").map(Cow::Owned), date, outcome));
            }
            [_, "EventIdentification", "EventID"] => self.event_id = Some(coded(start)?),
            [_, "EventIdentification", "EventTypeCode"] => self.type_codes.push(coded(start)?),
            [_, "EventIdentification", "PurposeOfUse"] => self.purposes.push(coded(start)?),
            [_, "ActiveParticipant"] => self.participants.push(participant(start)?),
            [_, "ActiveParticipant", "RoleIDCode"] => {
                if let Some(participant) = self.participants.last_mut() {
                    participant.role_id_codes.push(coded(start)?);
                }
            }
            [_, "AuditSourceIdentification"] => {
                let at = Attributes::read(start)?;
                self.source = Some(AuditSourceIdentification {
                    id: at.required("AuditSourceID")?,
                    enterprise_site_id: at.optional("AuditEnterpriseSiteID"),
                    type_codes: Vec::new(),
                });
            }
            [_, "AuditSourceIdentification", "AuditSourceTypeCode"] => {
                if let Some(source) = &mut self.source {
                    source.type_codes.push(Cow::Owned(Attributes::read(start)?.required("csd-code")?));
                }
            }
            [_, "ParticipantObjectIdentification"] => self.objects.push(object(start)?),
            [_, "ParticipantObjectIdentification", child] => {
                if let Some(partial) = self.objects.last_mut() {
                    match *child {
                        "ParticipantObjectIDTypeCode" => {
                            partial.object.id_type_code = coded(start)?;
                            partial.has_id_type_code = true;
                        }
                        "ParticipantObjectDetail" => {
                            let at = Attributes::read(start)?;
                            partial.object.details.push(ParticipantObjectDetail {
                                kind: Cow::Owned(at.required("type")?),
                                value: unbase64(&at.required("value")?, "ParticipantObjectDetail")?,
                            });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, path: &[String], content: &str) -> Result<(), AuditReadError> {
        let names = path.iter().map(String::as_str).collect::<Vec<_>>();
        match names.as_slice() {
            [_, "EventIdentification", "EventOutcomeDescription"] => {
                self.outcome_description = Some(content.to_owned());
            }
            [_, "ParticipantObjectIdentification", "ParticipantObjectName"] => {
                if let Some(partial) = self.objects.last_mut() {
                    partial.object.content = Some(ParticipantObjectContent::Name(content.to_owned()));
                }
            }
            [_, "ParticipantObjectIdentification", "ParticipantObjectQuery"] => {
                if let Some(partial) = self.objects.last_mut() {
                    let query = unbase64(content, "ParticipantObjectQuery")?;
                    partial.object.content = Some(ParticipantObjectContent::Query(query));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<AuditMessage, AuditReadError> {
        let (action_code, date_time, outcome_indicator) =
            self.event.ok_or(AuditReadError::Missing("EventIdentification"))?;
        if self.participants.is_empty() {
            return Err(AuditReadError::Missing("ActiveParticipant"));
        }
        let objects = self.objects.into_iter().map(|partial| {
            if partial.has_id_type_code {
                Ok(partial.object)
            } else {
                Err(AuditReadError::Missing("ParticipantObjectIDTypeCode"))
            }
        });
        Ok(AuditMessage {
            event: EventIdentification {
                action_code,
                date_time,
                outcome_indicator,
                id: self.event_id.ok_or(AuditReadError::Missing("EventID"))?,
                type_codes: self.type_codes,
                outcome_description: self.outcome_description,
                purposes_of_use: self.purposes,
            },
            participants: self.participants,
            source: self.source.ok_or(AuditReadError::Missing("AuditSourceIdentification"))?,
            objects: objects.collect::<Result<_, _>>()?,
        })
    }
}

struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn read(start: &BytesStart<'_>) -> Result<Self, AuditReadError> {
        let mut all = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| AuditReadError::Malformed("attribute"))?;
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|_| AuditReadError::Malformed("attribute value"))?;
            all.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Self(all))
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn required(&self, name: &'static str) -> Result<String, AuditReadError> {
        self.optional(name).ok_or(AuditReadError::Missing(name))
    }

    fn number(&self, name: &'static str, most: u8) -> Result<Option<u8>, AuditReadError> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        match text.trim().parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(AuditReadError::BadValue(name)),
        }
    }
}

fn coded(start: &BytesStart<'_>) -> Result<CodedValue, AuditReadError> {
    let at = Attributes::read(start)?;
    Ok(CodedValue {
        code: at.required("csd-code")?.into(),
        code_system_name: at.required("codeSystemName")?.into(),
        display_name: at.optional("displayName").map(Cow::Owned),
        original_text: at.required("originalText")?.into(),
    })
}

fn participant(start: &BytesStart<'_>) -> Result<ActiveParticipant, AuditReadError> {
    let at = Attributes::read(start)?;
    Ok(ActiveParticipant {
        user_id: at.required("UserID")?,
        alternative_user_id: at.optional("AlternativeUserID"),
        user_name: at.optional("UserName"),
        is_requestor: match at.required("UserIsRequestor")?.trim() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(AuditReadError::BadValue("UserIsRequestor")),
        },
        network_access_point_id: at.optional("NetworkAccessPointID"),
        network_access_point_type_code: at.number("NetworkAccessPointTypeCode", 5)?,
        role_id_codes: Vec::new(),
    })
}

fn object(start: &BytesStart<'_>) -> Result<PartialObject, AuditReadError> {
    let at = Attributes::read(start)?;
    let object = ParticipantObjectIdentification {
        id: at.optional("ParticipantObjectID"),
        type_code: at.number("ParticipantObjectTypeCode", 4)?,
        type_code_role: at.number("ParticipantObjectTypeCodeRole", 26)?,
        data_life_cycle: at.number("ParticipantObjectDataLifeCycle", 15)?,
        sensitivity: at.optional("ParticipantObjectSensitivity"),
        id_type_code: CodedValue::new("", "", ""),
        content: None,
        details: Vec::new(),
    };
    Ok(PartialObject { object, has_id_type_code: false })
}

fn unbase64(text: &str, name: &'static str) -> Result<Bytes, AuditReadError> {
    // xs:base64Binary allows white space between the groups.
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(compact).map(Bytes::from).map_err(|_| AuditReadError::BadValue(name))
}

/// Severity of a syslog message (RFC 5424 §6.2.1); the facility is always 10, security and authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyslogSeverity {
    /// 4, for failures.
    Warning,
    /// 5, for everything else.
    Notice,
}

/// The header of a syslog message (RFC 5424 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogHeader<'a> {
    /// Severity.
    pub severity: SyslogSeverity,
    /// When the message was made; written in UTC to the millisecond.
    pub timestamp: Timestamp,
    /// HOSTNAME, our fully qualified name.
    pub hostname: &'a str,
    /// APP-NAME.
    pub app_name: &'a str,
    /// PROCID.
    pub process_id: u32,
    /// Whether a byte order mark goes before the XML. RFC 5424 §6.4 asks for it and IHE advises against it, so it
    /// is a matter of the receiving repository; off by default elsewhere.
    pub byte_order_mark: bool,
}

/// MSGID of every audit message (ITI TF-2 §3.20.4.1.2.1); repositories also know DICOM's `DICOM+RFC3881`.
pub const SYSLOG_MESSAGE_ID: &str = "IHE+RFC-3881";

/// A whole syslog message around audit XML (RFC 5424 §6), not yet framed.
#[must_use]
pub fn syslog_message(header: &SyslogHeader<'_>, xml: &[u8]) -> Vec<u8> {
    let priority = match header.severity {
        SyslogSeverity::Warning => 84,
        SyslogSeverity::Notice => 85,
    };
    let mut out = format!(
        "<{priority}>1 {:.3} {} {} {} {SYSLOG_MESSAGE_ID} - ",
        header.timestamp,
        header_field(header.hostname, 255),
        header_field(header.app_name, 48),
        header.process_id,
    )
    .into_bytes();
    out.reserve(xml.len() + 3);
    if header.byte_order_mark {
        out.extend_from_slice("\u{feff}".as_bytes());
    }
    out.extend_from_slice(xml);
    out
}

/// Header fields are printable ASCII without spaces, bounded, and `-` when there is nothing (RFC 5424 §6).
fn header_field(text: &str, longest: usize) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars().take(longest).map(|char| if char.is_ascii_graphic() { char } else { '_' }).collect()
}

/// The octet-counted frame of syslog over TLS: `LEN SP MSG`, nothing after it (RFC 5425 §4.3).
#[must_use]
pub fn syslog_frame(message: &[u8]) -> Vec<u8> {
    let mut out = format!("{} ", message.len()).into_bytes();
    out.extend_from_slice(message);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> AuditMessage {
        AuditMessage {
            event: EventIdentification {
                action_code: Some("E".into()),
                date_time: "2025-03-01T12:00:00.123Z".parse().unwrap(),
                outcome_indicator: 0,
                id: CodedValue::new("110112", "DCM", "Query"),
                type_codes: vec![CodedValue::new("ITI-18", "IHE Transactions", "Registry Stored Query")],
                outcome_description: Some("a <b> & \"c\"\r\n\td \u{0}\u{1b}\u{ffff}]]>".to_owned()),
                purposes_of_use: vec![],
            },
            participants: vec![ActiveParticipant {
                user_id: "adoc<u123@https://sts.example.org>".to_owned(),
                alternative_user_id: None,
                user_name: None,
                is_requestor: true,
                network_access_point_id: None,
                network_access_point_type_code: None,
                role_id_codes: vec![],
            }],
            source: AuditSourceIdentification {
                id: "broker-1".to_owned(),
                enterprise_site_id: None,
                type_codes: vec!["4".into()],
            },
            objects: vec![ParticipantObjectIdentification {
                id: Some("x".to_owned()),
                type_code: Some(2),
                type_code_role: Some(24),
                data_life_cycle: None,
                sensitivity: None,
                id_type_code: CodedValue::new("ITI-18", "IHE Transactions", "Registry Stored Query"),
                content: Some(ParticipantObjectContent::Query(Bytes::from_static(b"<q/>\0"))),
                details: vec![],
            }],
        }
    }

    #[test]
    fn escapes_everything_and_stays_on_one_line() {
        let xml = String::from_utf8(message().to_xml()).unwrap();
        let description = "a &lt;b&gt; &amp; &quot;c&quot;&#13;&#10;&#9;d \u{fffd}\u{fffd}\u{fffd}]]&gt;";
        assert!(xml.contains(&format!("<EventOutcomeDescription>{description}</Event")), "{xml}");
        assert!(xml.contains(r#" UserID="adoc&lt;u123@https://sts.example.org&gt;" UserIsRequestor="true"/>"#));
        assert!(xml.contains("<ParticipantObjectQuery>PHEvPgA=</ParticipantObjectQuery>"));
        assert!(!xml.contains(['\n', '\r', '\t']));
    }

    #[test]
    fn reads_what_it_writes() {
        let mut expected = message();
        let read = AuditMessage::from_xml(&expected.to_xml()).unwrap();
        let description = "a <b> & \"c\"\r\n\td \u{fffd}\u{fffd}\u{fffd}]]>";
        expected.event.outcome_description = Some(description.to_owned());
        assert!(read == expected);
    }

    #[test]
    fn reads_layout_declaration_and_offsets_and_skips_the_unknown() {
        let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<AuditMessage>\n  \
            <EventIdentification EventDateTime=\"2025-03-01T13:00:00+01:00\" EventOutcomeIndicator=\"8\" x=\"y\">\n\
            <EventID csd-code='1' codeSystemName='DCM' originalText='a'/><Other/></EventIdentification>\
            <ActiveParticipant UserID='u' UserIsRequestor='1'><MediaIdentifier><MediaType csd-code='1' \
            codeSystemName='x' originalText='x'/></MediaIdentifier></ActiveParticipant><!-- c -->\
            <AuditSourceIdentification AuditSourceID='s'/></AuditMessage>\n";
        let message = AuditMessage::from_xml(xml.as_bytes()).unwrap();
        assert_eq!(message.event.date_time.to_string(), "2025-03-01T12:00:00Z");
        assert!(message.participants.iter().all(|participant| participant.is_requestor));
        assert_eq!(message.event.id.display_name, None);
    }

    #[test]
    fn refuses_what_is_no_audit_message() {
        let whole = String::from_utf8(message().to_xml()).unwrap();
        let cases = [
            (String::new(), AuditReadError::Missing("EventIdentification")),
            ("<Other/>".to_owned(), AuditReadError::Missing("AuditMessage")),
            (format!("<!DOCTYPE a>{whole}"), AuditReadError::Malformed("document type")),
            (format!("{whole}{whole}"), AuditReadError::Malformed("second root element")),
            (whole.replace("]]&gt;", "&nbsp;"), AuditReadError::Malformed("entity reference")),
            (whole.replace("PHEvPgA=", "PHEvPgA"), AuditReadError::BadValue("ParticipantObjectQuery")),
            (whole.replace("Indicator=\"0\"", "Indicator=\"3\""), AuditReadError::BadValue("EventOutcomeIndicator")),
            (whole.replace("2025-03-01T", "2025-03-01"), AuditReadError::BadValue("EventDateTime")),
            (whole.replace(" UserID=", " UserI="), AuditReadError::Missing("UserID")),
            ("x".repeat(MAX_AUDIT_XML_BYTES + 1), AuditReadError::TooLarge("bytes")),
        ];
        for (xml, expected) in cases {
            assert_eq!(AuditMessage::from_xml(xml.as_bytes()).err(), Some(expected));
        }
        let deep = |levels| format!("{}{}", "<AuditMessage>".repeat(levels), "</AuditMessage>".repeat(levels));
        let cases = [
            (MAX_AUDIT_DEPTH, AuditReadError::Missing("EventIdentification")),
            (MAX_AUDIT_DEPTH + 1, AuditReadError::TooLarge("depth")),
        ];
        for (levels, expected) in cases {
            assert_eq!(AuditMessage::from_xml(deep(levels).as_bytes()).err(), Some(expected));
        }
        let many = "<a/>".repeat(MAX_AUDIT_ELEMENTS);
        let many = format!("<AuditMessage>{many}</AuditMessage>");
        assert_eq!(AuditMessage::from_xml(many.as_bytes()).err(), Some(AuditReadError::TooLarge("elements")));
    }

    #[test]
    fn every_cut_is_an_error_and_no_panic() {
        let whole = message().to_xml();
        for cut in 0..whole.len() {
            assert!(AuditMessage::from_xml(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn syslog_header_is_exact() {
        let mut header = SyslogHeader {
            severity: SyslogSeverity::Notice,
            timestamp: "2025-03-01T12:00:00.123456Z".parse().unwrap(),
            hostname: "ig.example.org",
            app_name: "Causeway Bröker",
            process_id: 4711,
            byte_order_mark: false,
        };
        let text = String::from_utf8(syslog_message(&header, b"<AuditMessage/>")).unwrap();
        let expected =
            "<85>1 2025-03-01T12:00:00.123Z ig.example.org Causeway_Br_ker 4711 IHE+RFC-3881 - <AuditMessage/>";
        assert_eq!(text, expected);
        header.severity = SyslogSeverity::Warning;
        header.byte_order_mark = true;
        header.hostname = "";
        let long = "a".repeat(60);
        header.app_name = &long;
        let message = syslog_message(&header, b"<x/>");
        let expected = format!("<84>1 2025-03-01T12:00:00.123Z - {} 4711 IHE+RFC-3881 - ", "a".repeat(48));
        let expected = [expected.as_bytes(), b"\xef\xbb\xbf<x/>"].concat();
        assert_eq!(message, expected);
    }

    #[test]
    fn frame_counts_octets_not_characters() {
        assert_eq!(syslog_frame("é".as_bytes()), [b"2 ".as_slice(), "é".as_bytes()].concat());
        assert_eq!(syslog_frame(&vec![b'x'; 65_536]).len(), 6 + 65_536);
    }

    prop_compose! {
        fn coded_value()(code in "\\PC{0,8}", system in "\\PC{0,8}", display in proptest::option::of("\\PC{0,8}"),
            text in any::<String>()) -> CodedValue {
            CodedValue {
                code: code.into(),
                code_system_name: system.into(),
                display_name: display.map(Cow::Owned),
                original_text: representable(&text).into(),
            }
        }
    }

    fn representable(text: &str) -> String {
        let keep = |char: &char| !matches!(*char, '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}') || "\t\n\r".contains(*char);
        text.chars().filter(keep).collect()
    }

    proptest! {
        #[test]
        fn round_trip(
            millis in -2_000_000_000_000_i64..4_000_000_000_000,
            codes in proptest::collection::vec(coded_value(), 1..4),
            user in any::<String>(),
            name in proptest::option::of(any::<String>()),
            query in proptest::collection::vec(any::<u8>(), 0..64),
            role in 1_u8..=26,
        ) {
            let mut message = message();
            message.event.date_time = Timestamp::from_millisecond(millis).unwrap();
            message.event.outcome_description = None;
            message.event.purposes_of_use = codes.clone();
            message.participants[0].user_id = representable(&user);
            message.participants[0].role_id_codes = codes.clone();
            message.objects[0].type_code_role = Some(role);
            message.objects[0].details =
                vec![ParticipantObjectDetail { kind: codes[0].code.clone(), value: Bytes::from(query.clone()) }];
            message.objects[0].content = Some(match name {
                Some(name) => ParticipantObjectContent::Name(representable(&name)),
                None => ParticipantObjectContent::Query(Bytes::from(query)),
            });
            let read = AuditMessage::from_xml(&message.to_xml());
            prop_assert!(read == Ok(message));
        }

        #[test]
        fn never_panics(xml in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let _ = AuditMessage::from_xml(&xml);
            let mut flipped = message().to_xml();
            let at = at.index(flipped.len());
            flipped[at] = byte;
            let _ = AuditMessage::from_xml(&flipped);
        }

        #[test]
        fn written_is_always_legal_xml_text(text in any::<String>()) {
            let mut message = message();
            message.source.id = text;
            let xml = String::from_utf8(message.to_xml()).unwrap();
            let illegal = |char: char| char < ' ' || matches!(char, '\u{fffe}' | '\u{ffff}');
            prop_assert!(!xml.contains(illegal));
            prop_assert!(AuditMessage::from_xml(xml.as_bytes()).is_ok());
        }
    }
}
