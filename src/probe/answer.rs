//! An answer taken apart once, leniently: what is wrong with it is for the judges to say, each for
//! itself. What a server writes for people (reasons, contexts) is not kept.

use bytes::Bytes;

use super::line::TlsFacts;
use super::schema;
use crate::model::ids::{HomeCommunityId, UniqueId};
use crate::model::response::{ErrorCode, QueryResponse, RegistryResponse};
use crate::wire::mtom::{ContentId, Event, Limits as PartLimits, MediaType, MultipartReader, Packaging, PartHeaders};
use crate::wire::soap::{self, Version};
use crate::wire::xdsb::{self, Binary};
use crate::wire::xml::{self, Document, Limits, Node, Ns};
use crate::wire::{ebrs, mtom};

/// An HTTP answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its Content-Type, empty if it has none.
    pub content_type: String,
    /// Its Content-Encoding.
    pub content_encoding: Option<String>,
    /// How many octets its body has.
    pub octets: usize,
    /// Whether a WSDL is in it.
    pub is_wsdl: bool,
    /// Its parts, if it is a package.
    pub package: Option<Package>,
    /// The SOAP message in it, or why there is none.
    pub envelope: Result<Envelope, String>,
    /// How it came.
    pub tls: Option<TlsFacts>,
}

/// A `multipart/related` package.
pub struct Package {
    /// Its media type with all parameters.
    pub media: MediaType,
    /// Its parts in order.
    pub parts: Vec<(PartHeaders, Bytes)>,
    /// Why it is none that can be read to its end.
    pub broken: Option<String>,
}

/// A SOAP message.
pub struct Envelope {
    /// Its SOAP version, if it is one of those known.
    pub version: Option<Version>,
    /// Whether a strict reader takes it, or why not.
    pub form: Result<(), String>,
    /// `wsa:Action`
    pub action: Option<String>,
    /// Whether that must be understood.
    pub action_marked: bool,
    /// `wsa:RelatesTo`
    pub relates_to: Option<String>,
    /// `wsa:MessageID`
    pub message_id: Option<String>,
    /// What is in its body.
    pub payload: Payload,
}

/// The one element of a body.
pub enum Payload {
    /// A fault.
    Fault(Fault),
    /// `query:AdhocQueryResponse`
    Query(Box<QueryAnswer>),
    /// `xds:RetrieveDocumentSetResponse`
    Retrieve(Box<RetrieveAnswer>),
    /// Something else: its name.
    Other(String),
}

/// A fault's codes, from outer to inner, without prefixes.
pub struct Fault {
    /// `Sender`, `MustUnderstand`, …
    pub code: String,
    /// `ActionNotSupported`, …
    pub subcodes: Vec<String>,
}

impl Fault {
    /// Whether any of its codes is that one.
    pub fn says(&self, code: &str) -> bool {
        self.code == code || self.subcodes.iter().any(|subcode| subcode == code)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a fault {}", self.code)?;
        self.subcodes.iter().try_for_each(|subcode| write!(f, "/{subcode}"))
    }
}

/// What a response says of itself, as written.
pub struct Told {
    /// Its status.
    pub status: Option<String>,
    /// `highestSeverity`
    pub highest: Option<String>,
    /// Whether it has an error list.
    pub has_list: bool,
    /// Its errors and warnings.
    pub errors: Vec<Error>,
    /// What its schema does not allow.
    pub strange: Vec<String>,
}

/// An entry of an error list.
pub struct Error {
    /// `errorCode`, without a namespace before it.
    pub code: String,
    /// Whether there is a codeContext with something in it.
    pub has_context: bool,
    /// `severity`
    pub severity: Option<String>,
    /// `location`
    pub location: Option<String>,
}

/// The answer to a query.
pub struct QueryAnswer {
    /// What it says of itself.
    pub told: Told,
    /// Whether it has a list of objects.
    pub has_objects: bool,
    /// The answer as our gateway reads it, or why it would not.
    pub read: Result<QueryResponse, String>,
}

/// The answer to a retrieve.
pub struct RetrieveAnswer {
    /// What it says of itself.
    pub told: Told,
    /// The answer as our gateway reads it, or why it would not.
    pub read: Result<(RegistryResponse, Vec<Retrieved>), String>,
}

/// A document that came.
pub struct Retrieved {
    /// Its community.
    pub home: Option<HomeCommunityId>,
    /// Which it is.
    pub unique_id: Option<UniqueId>,
    /// Its octets, or why there are none.
    pub content: Result<Bytes, String>,
}

/// Bounds for answers: those of a whole patient's metadata and a document beside it.
fn limits() -> Limits {
    Limits { elements: 2_000_000, value: 1 << 20, ..Limits::default() }
}

/// The homeCommunityId that a location begins with.
pub fn leading_home(location: &str) -> Option<HomeCommunityId> {
    HomeCommunityId::parse(location.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ';', ':']))
        .ok()
}

impl Answer {
    /// Takes an answer apart.
    pub fn read(
        status: u16,
        content_type: String,
        content_encoding: Option<String>,
        body: Bytes,
        tls: Option<TlsFacts>,
    ) -> Self {
        let package = Package::read(&content_type, &body);
        let root = match &package {
            Some(package) => package.root().ok_or_else(|| "the package has no root part".to_owned()),
            None => Ok(&body),
        };
        let envelope = root.and_then(|root| read_envelope(root, package.as_ref()));
        Self {
            status,
            octets: body.len(),
            is_wsdl: is_wsdl(&body),
            content_type,
            content_encoding,
            package,
            envelope,
            tls,
        }
    }

    /// What it is, in a few words.
    pub fn words(&self) -> String {
        let what = match &self.envelope {
            Ok(envelope) => envelope.payload.to_string(),
            Err(_) if self.octets == 0 => "no body".to_owned(),
            Err(_) if self.content_type.is_empty() => "no SOAP message".to_owned(),
            Err(_) => format!("no SOAP message ({})", schema::shown(&self.content_type)),
        };
        format!("HTTP {}: {what}", self.status)
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Query(query) => write!(f, "{}", query.told),
            Self::Retrieve(retrieve) => write!(f, "{}", retrieve.told),
            Self::Other(name) => write!(f, "a {name}"),
        }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 4;
        let status = self.status.as_deref().unwrap_or("no status");
        write!(f, "{}", schema::shown(status.rsplit(':').next().unwrap_or(status)))?;
        for (number, error) in self.errors.iter().take(MOST).enumerate() {
            write!(f, "{}{}", if number == 0 { ", " } else { " " }, schema::shown(&error.code))?;
        }
        if self.errors.len() > MOST { write!(f, " and {} more", self.errors.len() - MOST) } else { Ok(()) }
    }
}

impl Package {
    fn read(content_type: &str, body: &Bytes) -> Option<Self> {
        let media = MediaType::parse(content_type).ok().filter(|media| media.essence() == "multipart/related")?;
        let mut package = Self { media, parts: Vec::new(), broken: None };
        if let Err(error) = package.fill(content_type, body) {
            package.broken = Some(error.to_string());
        }
        Some(package)
    }

    fn fill(&mut self, content_type: &str, body: &Bytes) -> Result<(), mtom::MtomError> {
        let Packaging::Multipart(params) = Packaging::parse(content_type)? else { return Ok(()) };
        let mut reader = MultipartReader::new(params.boundary.as_bytes(), PartLimits::default());
        reader.feed(body.clone());
        let mut open = None;
        let read = self.fill_from(&mut reader, &mut open);
        // A part without its end is judged as far as it came; that the package is broken is judged for itself.
        self.parts.extend(open.map(|(headers, content): (PartHeaders, Vec<u8>)| (headers, content.into())));
        read
    }

    fn fill_from(
        &mut self,
        reader: &mut MultipartReader,
        open: &mut Option<(PartHeaders, Vec<u8>)>,
    ) -> Result<(), mtom::MtomError> {
        let mut ended = false;
        loop {
            match reader.next_event()? {
                Some(Event::PartStart(headers)) => *open = Some((headers, Vec::new())),
                Some(Event::Data(data)) => {
                    if let Some((_, content)) = open {
                        content.extend_from_slice(&data);
                    }
                }
                Some(Event::PartEnd) => {
                    self.parts.extend(open.take().map(|(headers, content)| (headers, content.into())))
                }
                Some(Event::End) => return Ok(()),
                None if ended => return Ok(()),
                None => {
                    reader.finish()?;
                    ended = true;
                }
            }
        }
    }

    /// The part that `start` names, or else the first.
    pub fn root_part(&self) -> Option<&(PartHeaders, Bytes)> {
        let start = self.media.param("start").and_then(|start| ContentId::from_header(start).ok());
        let named = start.and_then(|start| {
            self.parts
                .iter()
                .find(|(headers, _)| headers.content_id.as_ref().is_some_and(|id| id.rank(&start).is_some()))
        });
        named.or_else(|| self.parts.first())
    }

    fn root(&self) -> Option<&Bytes> {
        self.root_part().map(|(_, content)| content)
    }

    fn part(&self, href: &str) -> Option<&Bytes> {
        let href = ContentId::from_href(href).ok()?;
        let of_it = |headers: &PartHeaders| headers.content_id.as_ref().is_some_and(|id| id.rank(&href).is_some());
        self.parts.iter().find(|(headers, _)| of_it(headers)).map(|(_, content)| content)
    }
}

/// A description is XML that need not be a message, and may have what messages must not have.
fn is_wsdl(body: &Bytes) -> bool {
    const START: usize = 4096;
    let start = String::from_utf8_lossy(body.get(..START).unwrap_or(body));
    start.contains("http://schemas.xmlsoap.org/wsdl/") || start.contains("http://www.w3.org/ns/wsdl")
}

fn read_envelope(root: &[u8], package: Option<&Package>) -> Result<Envelope, String> {
    let text = xml::decode(root).map_err(|error| error.to_string())?;
    let document = Document::parse(&text, limits()).map_err(|error| error.to_string())?;
    let root = document.root();
    if root.local() != "Envelope" {
        return Err(format!("its root element is {}", schema::shown(root.local())));
    }
    let version = match root.ns() {
        Ns::Soap12 => Some(Version::V12),
        Ns::Soap11 => Some(Version::V11),
        _ => None,
    };
    let of_envelope = |name: &str| root.children().find(|child| child.local() == name);
    let header = of_envelope("Header");
    let block = |name| header.and_then(|header| header.child(Ns::Wsa, name));
    let text_of = |name| block(name).map(|node| node.text_ref().trim().to_owned()).filter(|text| !text.is_empty());
    let payload = of_envelope("Body").and_then(|body| body.children().next()).ok_or("its body is empty")?;
    let marked = |node: Node<'_, '_>| node.attr_ns(root.ns(), "mustUnderstand").map(|mark| mark.trim().to_owned());
    Ok(Envelope {
        version,
        form: soap::read(&document).map(|_| ()).map_err(|fault| fault.reason),
        action: text_of("Action"),
        action_marked: block("Action").and_then(marked).is_some_and(|mark| mark == "true" || mark == "1"),
        relates_to: text_of("RelatesTo"),
        message_id: text_of("MessageID"),
        payload: read_payload(payload, package),
    })
}

fn read_payload(node: Node<'_, '_>, package: Option<&Package>) -> Payload {
    match (node.ns(), node.local()) {
        (Ns::Soap12 | Ns::Soap11, "Fault") => Payload::Fault(read_fault(node)),
        (Ns::Query, "AdhocQueryResponse") => Payload::Query(Box::new(QueryAnswer {
            told: read_told(node, node),
            has_objects: node.child(Ns::Rim, "RegistryObjectList").is_some(),
            read: ebrs::read_query_response(node).map_err(|error| error.to_string()),
        })),
        (Ns::Xdsb, "RetrieveDocumentSetResponse") => {
            let inner = node.child(Ns::Rs, "RegistryResponse");
            let read = xdsb::read_retrieve_response(node).map_err(|error| error.to_string());
            let read = read.map(|(response, documents)| {
                let documents = documents.into_iter().map(|document| Retrieved {
                    home: document.home,
                    unique_id: document.unique_id,
                    content: content(&document.content, package),
                });
                (response, documents.collect())
            });
            Payload::Retrieve(Box::new(RetrieveAnswer { told: read_told(inner.unwrap_or(node), node), read }))
        }
        _ => Payload::Other(schema::shown(node.local())),
    }
}

fn content(binary: &Binary<'_>, package: Option<&Package>) -> Result<Bytes, String> {
    use base64::Engine as _;
    match binary {
        Binary::Include(href) => package
            .and_then(|package| package.part(href))
            .cloned()
            .ok_or_else(|| "its xop:Include names no part of the package".to_owned()),
        Binary::Inline(text) => {
            let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
            decoded.map(Bytes::from).map_err(|_| "its base64 is broken".to_owned())
        }
    }
}

/// Codes are compared without their prefix, which some senders do not declare.
fn local_code(text: &str) -> String {
    let text = text.trim();
    schema::shown(text.rsplit(':').next().unwrap_or(text))
}

fn inner<'d>(node: Node<'d, '_>, name: &str) -> Option<&'d str> {
    node.children().find(|child| child.local() == name).map(|child| child.text_ref())
}

fn read_fault(node: Node<'_, '_>) -> Fault {
    const MOST: usize = 8;
    if let Some(code) = inner(node, "faultcode") {
        return Fault { code: local_code(code), subcodes: Vec::new() };
    }
    let mut at = node.children().find(|child| child.local() == "Code");
    let mut codes = Vec::new();
    while let Some(code) = at
        && codes.len() < MOST
    {
        codes.push(local_code(inner(code, "Value").unwrap_or_default()));
        at = code.children().find(|child| child.local() == "Subcode");
    }
    let mut codes = codes.into_iter();
    Fault { code: codes.next().unwrap_or_default(), subcodes: codes.collect() }
}

fn read_told(response: Node<'_, '_>, body: Node<'_, '_>) -> Told {
    let list = response.child(Ns::Rs, "RegistryErrorList");
    let owned = |node: Node<'_, '_>, name: &str| node.attr(name).map(|value| value.trim().to_owned());
    let errors = list.into_iter().flat_map(|list| list.children()).filter(|child| child.is(Ns::Rs, "RegistryError"));
    Told {
        status: owned(response, "status"),
        highest: list.and_then(|list| owned(list, "highestSeverity")),
        has_list: list.is_some(),
        errors: errors
            .map(|error| Error {
                code: ErrorCode::received(&owned(error, "errorCode").unwrap_or_default()).as_str().to_owned(),
                has_context: owned(error, "codeContext").is_some_and(|context| !context.is_empty()),
                severity: owned(error, "severity"),
                location: owned(error, "location").filter(|location| !location.is_empty()),
            })
            .collect(),
        strange: schema::judge(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(content_type: &str, body: &str) -> Answer {
        Answer::read(200, content_type.to_owned(), None, Bytes::copy_from_slice(body.as_bytes()), None)
    }

    #[test]
    fn faults_have_their_codes_and_not_their_words() {
        let fault = "<e:Fault><e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value>a:InvalidAddressingHeader</e:Value>\
            <e:Subcode><e:Value>a:InvalidCardinality</e:Value></e:Subcode></e:Subcode></e:Code>\
            <e:Reason><e:Text>of Mrs Secret</e:Text></e:Reason></e:Fault>";
        let text = format!(
            "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body>{fault}</e:Body></e:Envelope>"
        );
        let words = read("application/soap+xml", &text).words();
        assert_eq!(words, "HTTP 200: a fault Sender/InvalidAddressingHeader/InvalidCardinality");
        let legacy = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><e:Fault>\
            <faultcode>e:VersionMismatch</faultcode></e:Fault></e:Body></e:Envelope>";
        assert_eq!(read("text/xml", legacy).words(), "HTTP 200: a fault VersionMismatch");
    }

    #[test]
    fn a_location_may_say_more_than_its_home() {
        for text in ["urn:oid:2.999.1", "urn:oid:2.999.1 registry", "urn:oid:2.999.1: module x"] {
            assert_eq!(leading_home(text).unwrap().as_str(), "urn:oid:2.999.1", "{text}");
        }
        assert_eq!(leading_home("registry urn:oid:2.999.1"), None);
    }

    #[test]
    fn what_is_no_message_is_said_to_be_none() {
        assert_eq!(read("text/html", "<html>").words(), "HTTP 200: no SOAP message (text/html)");
        assert_eq!(read("", "").words(), "HTTP 200: no body");
        assert!(read("multipart/related; boundary=b", "--b\r\n").package.unwrap().broken.is_some());
    }

    proptest! {
        #[test]
        fn anything_can_be_read(content_type in "(multipart/related; boundary=b|text/xml|\\PC{0,20})", body in "\\PC{0,200}") {
            let _ = read(&content_type, &body).words();
        }
    }
}
