//! The one entry point for foreign XML: a namespace-aware tree under limits.
//!
//! A message is read once into a flat arena whose names and texts borrow from the message.
//! Refused before anything looks at it: DOCTYPE, processing instructions, entities other than
//! the five, characters XML forbids, undeclared prefixes, and whatever exceeds [`Limits`]
//! (ITI TF-2 Appendix V, `limits.xml` in the configuration). Not supported: XML 1.1, XInclude,
//! external anything.
//!
//! Writing is plain appending to a buffer: [`push_text`] and [`push_attr`] escape.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::model::vocabulary::ns;

/// Bounds of one XML message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of elements.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element, declarations included.
    pub attributes: usize,
    /// Distinct namespaces, and declarations in scope.
    pub namespaces: usize,
    /// Bytes of a name.
    pub name: usize,
    /// Bytes of an attribute value.
    pub value: usize,
}

impl Default for Limits {
    /// Ten times what the largest real messages need, a hundredth of what hurts.
    fn default() -> Self {
        Self { depth: 64, elements: 500_000, attributes: 128, namespaces: 256, name: 1024, value: 64 * 1024 }
    }
}

/// Why a message is not acceptable XML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct XmlError {
    /// The rule broken.
    pub what: Cow<'static, str>,
    /// Offset in the message.
    pub at: usize,
}

/// A namespace: one of ours, or the number of a foreign one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of `vocabulary::ns`.
pub enum Ns {
    None,
    Soap12,
    Soap11,
    Wsa,
    Wsse,
    Xop,
    Rim,
    Rs,
    Lcm,
    Query,
    Xdsb,
    Xcpd,
    Xdr,
    Direct,
    Hl7v3,
    Xsi,
    Xml,
    Foreign(u16),
}

fn known(uri: &str) -> Option<Ns> {
    Some(match uri {
        "" => Ns::None,
        ns::SOAP12 => Ns::Soap12,
        ns::SOAP11 => Ns::Soap11,
        ns::WSA => Ns::Wsa,
        ns::WSSE => Ns::Wsse,
        ns::XOP => Ns::Xop,
        ns::RIM => Ns::Rim,
        ns::RS => Ns::Rs,
        ns::LCM => Ns::Lcm,
        ns::QUERY => Ns::Query,
        ns::XDSB => Ns::Xdsb,
        ns::XCPD => Ns::Xcpd,
        ns::XDR => Ns::Xdr,
        ns::DIRECT => Ns::Direct,
        ns::HL7V3 => Ns::Hl7v3,
        ns::XSI => Ns::Xsi,
        ns::XML => Ns::Xml,
        _ => return None,
    })
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Element<'a> {
    ns: Ns,
    local: &'a str,
    attributes: (u32, u32),
    declarations: (u32, u32),
    text: Cow<'a, str>,
    parent: u32,
    first_child: u32,
    last_child: u32,
    next: u32,
    start: u32,
    end: u32,
    name_end: u32,
}

#[derive(Debug)]
struct Attribute<'a> {
    ns: Ns,
    local: &'a str,
    value: Cow<'a, str>,
}

/// A parsed message.
#[derive(Debug)]
pub struct Document<'a> {
    source: &'a str,
    elements: Vec<Element<'a>>,
    attributes: Vec<Attribute<'a>>,
    declarations: Vec<(&'a str, Cow<'a, str>)>,
    foreign: Vec<Cow<'a, str>>,
}

/// An element of a [`Document`].
#[derive(Clone, Copy)]
pub struct Node<'d, 'a> {
    document: &'d Document<'a>,
    index: u32,
}

/// Decodes a message's bytes: UTF-8 with or without a byte order mark, UTF-16 with one (E5).
///
/// # Errors
/// When the bytes are neither.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    let utf16 = |units: Vec<u16>| {
        String::from_utf16(&units).map(Cow::Owned).map_err(|_| XmlError { what: "invalid UTF-16".into(), at: 0 })
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect()),
        [0xfe, 0xff, rest @ ..] => utf16(rest.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect()),
        _ => {
            let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            std::str::from_utf8(rest)
                .map(Cow::Borrowed)
                .map_err(|e| XmlError { what: "invalid UTF-8".into(), at: e.valid_up_to() })
        }
    }
}

/// Where the first character is that XML forbids: all are below the blank but for two at the end of the plane.
fn forbidden(source: &str) -> Option<(usize, &'static str)> {
    let control = |b: &u8| *b < 0x20 && !matches!(*b, b'\t' | b'\n' | b'\r');
    // Whole pieces are judged without a branch for each octet.
    let piece = source.as_bytes().chunks(64).position(|piece| piece.iter().fold(false, |bad, b| bad | control(b)));
    if let Some(piece) = piece {
        let at = piece * 64;
        return Some((at + source.as_bytes()[at..].iter().position(control).unwrap_or(0), "a control character"));
    }
    let ends = |at: &usize| matches!(source.as_bytes().get(*at + 1..*at + 3), Some([0xbf, 0xbe | 0xbf]));
    let at = memchr::memchr_iter(0xef, source.as_bytes()).find(ends)?;
    Some((at, "a character that XML forbids"))
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// `part` as a slice of the source it was cut from.
fn slice_of<'a>(source: &'a str, part: &str) -> Option<&'a str> {
    let start = (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
    source.get(start..start + part.len())
}

fn reference(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(hex) if !hex.starts_with('+') => u32::from_str_radix(hex, 16).ok()?,
                None if !digits.starts_with('+') => digits.parse().ok()?,
                _ => return None,
            };
            return char::from_u32(code).filter(|c| is_xml_char(*c));
        }
    })
}

/// An attribute value as XML means it: references resolved, white space made blanks (XML §3.3.3).
fn attribute_value<'a>(raw: &'a str) -> Result<Cow<'a, str>, &'static str> {
    let special = raw.bytes().fold((false, false), |(less, other), b| {
        (less | (b == b'<'), other | matches!(b, b'&' | b'\t' | b'\n' | b'\r'))
    });
    match special {
        (true, _) => return Err("a < in an attribute value"),
        (false, false) => return Ok(Cow::Borrowed(raw)),
        (false, true) => {}
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if tail.starts_with('&') {
            let end = tail.find(';').ok_or("an & that begins no reference")?;
            out.push(
                reference(&tail[1..end]).ok_or("an entity that is not one of the five, or a forbidden character")?,
            );
            rest = &tail[end + 1..];
        } else {
            out.push(' ');
            rest = tail.strip_prefix("\r\n").unwrap_or(&tail[1..]);
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn text_value(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') { Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(raw) }
}

fn is_name(name: &str) -> bool {
    // Octets of characters beyond ASCII are all taken.
    let start = |b: u8| b.is_ascii_alphabetic() || b == b'_' || !b.is_ascii();
    let within = |b: u8| start(b) || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    name.bytes().next().is_some_and(start) && name.bytes().all(within)
}

struct Builder<'a> {
    document: Document<'a>,
    limits: Limits,
    /// Indices of the open elements.
    open: Vec<u32>,
    /// Declarations in scope: prefix, namespace.
    scope: Vec<(&'a str, Ns)>,
    marks: Vec<usize>,
    /// Attributes of the element that is being read, before their prefixes are resolved.
    plain: Vec<(&'a str, &'a str, Cow<'a, str>)>,
}

impl<'a> Builder<'a> {
    fn error<T>(at: usize, what: impl Into<Cow<'static, str>>) -> Result<T, XmlError> {
        Err(XmlError { what: what.into(), at })
    }

    fn intern(&mut self, uri: Cow<'a, str>, at: usize) -> Result<Ns, XmlError> {
        if let Some(ns) = known(&uri) {
            return Ok(ns);
        }
        if let Some(number) = self.document.foreign.iter().position(|known| *known == uri) {
            return Ok(Ns::Foreign(number as u16));
        }
        if self.document.foreign.len() >= self.limits.namespaces {
            return Self::error(at, format!("more than {} namespaces", self.limits.namespaces));
        }
        self.document.foreign.push(uri);
        Ok(Ns::Foreign((self.document.foreign.len() - 1) as u16))
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<Ns, XmlError> {
        if prefix == "xml" {
            return Ok(Ns::Xml);
        }
        match self.scope.iter().rev().find(|(known, _)| *known == prefix) {
            Some((_, ns)) => Ok(*ns),
            None if prefix.is_empty() => Ok(Ns::None),
            None => Self::error(at, "a prefix that is not declared"),
        }
    }

    fn split(&self, name: &'a str, at: usize) -> Result<(&'a str, &'a str), XmlError> {
        if name.len() > self.limits.name {
            return Self::error(at, format!("a name of more than {} bytes", self.limits.name));
        }
        let (prefix, local) = name.split_once(':').map_or((None, name), |(prefix, local)| (Some(prefix), local));
        if !is_name(local) || prefix.is_some_and(|prefix| !is_name(prefix)) {
            return Self::error(at, "a name that is not one");
        }
        Ok((prefix.unwrap_or_default(), local))
    }

    fn start(&mut self, tag: &BytesStart<'_>, source: &'a str, at: usize) -> Result<(), XmlError> {
        let broken = || XmlError { what: "a malformed tag".into(), at };
        if self.open.len() >= self.limits.depth {
            return Self::error(at, format!("elements nested deeper than {}", self.limits.depth));
        }
        if self.document.elements.len() >= self.limits.elements {
            return Self::error(at, format!("more than {} elements", self.limits.elements));
        }
        let name = slice_of(source, tag.name().into_inner()).ok_or_else(broken)?;
        self.marks.push(self.scope.len());
        let first_attribute = self.document.attributes.len() as u32;
        let first_declaration = self.document.declarations.len() as u32;
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let mut count = 0;
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| broken())?;
            count += 1;
            if count > self.limits.attributes {
                return Self::error(at, format!("more than {} attributes", self.limits.attributes));
            }
            let key = slice_of(source, attribute.key.into_inner()).ok_or_else(broken)?;
            let raw = slice_of(source, &attribute.value).ok_or_else(broken)?;
            let before = source.get(at..key.as_ptr() as usize - source.as_ptr() as usize);
            if !before.is_some_and(|before| before.ends_with([' ', '\t', '\n', '\r'])) {
                return Self::error(at, "an attribute without white space before it");
            }
            if raw.len() > self.limits.value {
                return Self::error(at, format!("an attribute of more than {} bytes", self.limits.value));
            }
            let value = attribute_value(raw).map_err(|what| XmlError { what: what.into(), at })?;
            let declared = if key == "xmlns" { Some("") } else { key.strip_prefix("xmlns:") };
            if let Some(prefix) = declared {
                if self.scope.len() >= self.limits.namespaces {
                    return Self::error(
                        at,
                        format!("more than {} namespace declarations in scope", self.limits.namespaces),
                    );
                }
                let named = key != "xmlns";
                // `xml` may be declared, as what it is anyway.
                let reserved = prefix == "xmlns" || (prefix == "xml" && value != ns::XML);
                if named && (!is_name(prefix) || reserved || value.is_empty()) {
                    return Self::error(at, "a namespace declaration that is not allowed");
                }
                let ns = self.intern(value.clone(), at)?;
                let fresh = *self.marks.last().unwrap_or(&0);
                if self.scope[fresh..].iter().any(|(known, _)| *known == prefix) {
                    return Self::error(at, "an attribute twice");
                }
                self.scope.push((prefix, ns));
                self.document.declarations.push((prefix, value));
            } else {
                let (prefix, local) = self.split(key, at)?;
                plain.push((prefix, local, value));
            }
        }
        for (prefix, local, value) in plain.drain(..) {
            let ns = if prefix.is_empty() { Ns::None } else { self.resolve(prefix, at)? };
            let own = &self.document.attributes[first_attribute as usize..];
            if own.iter().any(|a| a.local == local && a.ns == ns) {
                return Self::error(at, "an attribute twice");
            }
            self.document.attributes.push(Attribute { ns, local, value });
        }
        self.plain = plain;
        let (prefix, local) = self.split(name, at)?;
        let ns = self.resolve(prefix, at)?;
        let index = self.document.elements.len() as u32;
        let parent = self.open.last().copied().unwrap_or(NONE);
        if let Some(parent) = self.document.elements.get_mut(parent as usize) {
            let last = std::mem::replace(&mut parent.last_child, index);
            if last == NONE {
                parent.first_child = index;
            } else if let Some(last) = self.document.elements.get_mut(last as usize) {
                last.next = index;
            }
        } else if index != 0 {
            return Self::error(at, "a second root element");
        }
        let name_end = (name.as_ptr() as usize - source.as_ptr() as usize + name.len()) as u32;
        self.document.elements.push(Element {
            ns,
            local,
            attributes: (first_attribute, self.document.attributes.len() as u32),
            declarations: (first_declaration, self.document.declarations.len() as u32),
            text: Cow::Borrowed(""),
            parent,
            first_child: NONE,
            last_child: NONE,
            next: NONE,
            start: at as u32,
            end: at as u32,
            name_end,
        });
        self.open.push(index);
        Ok(())
    }

    fn end(&mut self, at: usize) {
        if let Some(element) = self.open.pop().and_then(|index| self.document.elements.get_mut(index as usize)) {
            element.end = at as u32;
        }
        if let Some(mark) = self.marks.pop() {
            self.scope.truncate(mark);
        }
    }

    fn text(&mut self, text: Cow<'a, str>, at: usize) -> Result<(), XmlError> {
        match self.open.last().and_then(|index| self.document.elements.get_mut(*index as usize)) {
            Some(element) if element.text.is_empty() => element.text = text,
            Some(element) => {
                // Indentation between child elements is not content worth joining.
                if element.first_child == NONE || !text.trim_matches([' ', '\t', '\n']).is_empty() {
                    element.text.to_mut().push_str(&text);
                }
            }
            None if text.trim_matches([' ', '\t', '\n', '\r']).is_empty() => {}
            None => return Self::error(at, "text outside the root element"),
        }
        Ok(())
    }
}

impl<'a> Document<'a> {
    /// Reads a whole message.
    ///
    /// # Errors
    /// When it is not well-formed, uses what is refused, or exceeds a limit.
    pub fn parse(source: &'a str, limits: Limits) -> Result<Self, XmlError> {
        if source.len() > (u32::MAX / 2) as usize {
            return Err(XmlError { what: "a message of more than 2 GiB".into(), at: 0 });
        }
        if let Some((at, what)) = forbidden(source) {
            return Err(XmlError { what: what.into(), at });
        }
        let mut builder = Builder {
            document: Self {
                source,
                elements: Vec::with_capacity(source.len() / 64),
                attributes: Vec::with_capacity(source.len() / 64),
                declarations: Vec::new(),
                foreign: Vec::new(),
            },
            limits,
            open: Vec::new(),
            scope: Vec::new(),
            marks: Vec::new(),
            plain: Vec::new(),
        };
        let mut reader = Reader::from_str(source);
        reader.config_mut().check_comments = true;
        loop {
            let at = reader.buffer_position() as usize;
            let event = reader.read_event().map_err(|e| XmlError {
                what: format!("not well-formed: {}", describe(&e)).into(),
                at: reader.error_position() as usize,
            })?;
            match event {
                Event::Start(tag) => builder.start(&tag, source, at)?,
                Event::Empty(tag) => {
                    builder.start(&tag, source, at)?;
                    builder.end(reader.buffer_position() as usize);
                }
                Event::End(_) => builder.end(reader.buffer_position() as usize),
                Event::Text(text) => {
                    let raw = text.into_inner();
                    if memchr::memchr(b']', raw.as_bytes()).is_some() && raw.contains("]]>") {
                        return Builder::error(at, "a ]]> outside of a CDATA section");
                    }
                    match slice_of(source, &raw) {
                        Some(raw) => builder.text(text_value(raw), at)?,
                        None => builder.text(Cow::Owned(text_value(&raw).into_owned()), at)?,
                    }
                }
                Event::CData(text) => {
                    let raw = text.into_inner();
                    builder.text(Cow::Owned(text_value(&raw).into_owned()), at)?;
                }
                Event::GeneralRef(name) => match reference(&name) {
                    Some(c) => builder.text(Cow::Owned(c.to_string()), at)?,
                    None => {
                        return Builder::error(at, "an entity that is not one of the five, or a forbidden character");
                    }
                },
                Event::Comment(_) => {}
                Event::Decl(declaration) if at == 0 => match declaration.version().as_deref() {
                    Ok("1.0") => {}
                    _ => return Builder::error(at, "an XML declaration that is not of XML 1.0"),
                },
                Event::Decl(_) => return Builder::error(at, "an XML declaration that is not at the start"),
                Event::PI(_) => return Builder::error(at, "a processing instruction: SOAP forbids them"),
                Event::DocType(_) => return Builder::error(at, "a DOCTYPE: SOAP forbids it"),
                Event::Eof => break,
            }
        }
        if !builder.open.is_empty() {
            return Builder::error(source.len(), "not well-formed: the message ends inside an element");
        }
        if builder.document.elements.is_empty() {
            return Builder::error(source.len(), "no element at all");
        }
        Ok(builder.document)
    }

    /// The root element.
    pub fn root(&self) -> Node<'_, 'a> {
        Node { document: self, index: 0 }
    }

    fn uri(&self, ns: Ns) -> &str {
        match ns {
            Ns::None => "",
            Ns::Soap12 => ns::SOAP12,
            Ns::Soap11 => ns::SOAP11,
            Ns::Wsa => ns::WSA,
            Ns::Wsse => ns::WSSE,
            Ns::Xop => ns::XOP,
            Ns::Rim => ns::RIM,
            Ns::Rs => ns::RS,
            Ns::Lcm => ns::LCM,
            Ns::Query => ns::QUERY,
            Ns::Xdsb => ns::XDSB,
            Ns::Xcpd => ns::XCPD,
            Ns::Xdr => ns::XDR,
            Ns::Direct => ns::DIRECT,
            Ns::Hl7v3 => ns::HL7V3,
            Ns::Xsi => ns::XSI,
            Ns::Xml => ns::XML,
            Ns::Foreign(number) => self.foreign.get(usize::from(number)).map_or("", AsRef::as_ref),
        }
    }
}

/// What quick-xml found, without the text it found it in.
fn describe(error: &quick_xml::Error) -> &'static str {
    match error {
        quick_xml::Error::Syntax(_) => "a tag, comment or section that does not end",
        quick_xml::Error::IllFormed(quick_xml::errors::IllFormedError::DoubleHyphenInComment) => {
            "a -- inside a comment"
        }
        quick_xml::Error::IllFormed(_) => "an end tag that does not match, or a stray one",
        quick_xml::Error::InvalidAttr(_) => "a malformed attribute",
        quick_xml::Error::Escape(_) => "a malformed reference",
        _ => "a malformed construct",
    }
}

impl<'d, 'a> Node<'d, 'a> {
    fn element(&self) -> &'d Element<'a> {
        // An index is only ever made by the document it points into.
        &self.document.elements[self.index as usize]
    }

    fn at(&self, index: u32) -> Option<Self> {
        (index != NONE).then_some(Self { document: self.document, index })
    }

    /// The namespace.
    pub fn ns(&self) -> Ns {
        self.element().ns
    }

    /// The namespace's URI.
    pub fn uri(&self) -> &'d str {
        self.document.uri(self.element().ns)
    }

    /// The local name.
    pub fn local(&self) -> &'a str {
        self.element().local
    }

    /// Whether it has that expanded name.
    pub fn is(&self, ns: Ns, local: &str) -> bool {
        self.element().ns == ns && self.element().local == local
    }

    /// The child elements, in order.
    pub fn children(&self) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
        let mut next = self.at(self.element().first_child);
        std::iter::from_fn(move || {
            let node = next?;
            next = node.at(node.element().next);
            Some(node)
        })
    }

    /// The first child of that name.
    pub fn child(&self, ns: Ns, local: &str) -> Option<Self> {
        self.children().find(|node| node.is(ns, local))
    }

    /// The text directly in it, comments joined over.
    pub fn text(&self) -> Cow<'a, str> {
        self.element().text.clone()
    }

    /// The text directly in it, borrowed.
    pub fn text_ref(&self) -> &'d str {
        &self.element().text
    }

    /// An attribute without a namespace.
    pub fn attr(&self, local: &str) -> Option<Cow<'a, str>> {
        self.attr_ns(Ns::None, local)
    }

    /// An attribute in a namespace.
    pub fn attr_ns(&self, ns: Ns, local: &str) -> Option<Cow<'a, str>> {
        let (from, to) = self.element().attributes;
        self.document.attributes[from as usize..to as usize]
            .iter()
            .find(|a| a.local == local && a.ns == ns)
            .map(|a| a.value.clone())
    }

    /// All attributes in order: namespace URI, local name, value. Declarations are none.
    pub fn attributes(&self) -> impl Iterator<Item = (&'d str, &'a str, &'d str)> + use<'d, 'a> {
        let (document, (from, to)) = (self.document, self.element().attributes);
        document.attributes[from as usize..to as usize]
            .iter()
            .map(move |attribute| (document.uri(attribute.ns), attribute.local, attribute.value.as_ref()))
    }

    /// The element as it stands in the message, with the declarations it inherits added to its
    /// tag, so that it keeps its meaning (and its signature) elsewhere.
    pub fn fragment(&self) -> String {
        let element = self.element();
        let raw = self.document.source.get(element.start as usize..element.end as usize).unwrap_or_default();
        let own = |node: &Element<'a>| {
            let (from, to) = node.declarations;
            from as usize..to as usize
        };
        let mut seen: Vec<&str> = self.document.declarations[own(element)].iter().map(|(prefix, _)| *prefix).collect();
        let mut added = String::new();
        let mut parent = element.parent;
        while let Some(node) = self.document.elements.get(parent as usize) {
            for (prefix, uri) in self.document.declarations[own(node)].iter().rev() {
                if !seen.contains(prefix) {
                    seen.push(prefix);
                    let colon = if prefix.is_empty() { "" } else { ":" };
                    let mut value = Vec::new();
                    push_attr(&mut value, uri);
                    added.push_str(&format!(" xmlns{colon}{prefix}=\"{}\"", String::from_utf8_lossy(&value)));
                }
            }
            parent = node.parent;
        }
        let cut = (element.name_end - element.start) as usize;
        match (raw.get(..cut), raw.get(cut..)) {
            (Some(head), Some(tail)) => format!("{head}{added}{tail}"),
            _ => raw.to_owned(),
        }
    }

    /// The bytes of the element in the message.
    pub fn span(&self) -> std::ops::Range<usize> {
        self.element().start as usize..self.element().end as usize
    }
}

impl std::fmt::Debug for Node<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{{{}}}{}>", self.uri(), self.local())
    }
}

/// Bytes that may need escaping, in texts or attributes; 0xef begins U+FFFE and U+FFFF.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'&' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'"' as usize] = true;
    table[0xef] = true;
    table
};

/// Whether nothing in a text needs escaping, as in nearly every one.
fn is_plain(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| SPECIAL[usize::from(*byte)])
}

fn push_escaped(out: &mut Vec<u8>, text: &str, special: impl Fn(u8) -> Option<&'static [u8]>) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let replaced = match byte {
            // U+FFFE and U+FFFF
            0xef if matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])) => Some(("\u{fffd}".as_bytes(), 3)),
            _ => special(*byte).map(|replacement| (replacement, 1)),
        };
        if let Some((replacement, len)) = replaced {
            out.extend_from_slice(&bytes[from..at]);
            out.extend_from_slice(replacement);
            from = at + len;
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Appends character data; characters that XML cannot carry become U+FFFD.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\r' => Some(b"&#13;"),
        b'\t' | b'\n' => None,
        0..=0x1f => Some("\u{fffd}".as_bytes()),
        _ => None,
    });
}

/// Appends an attribute value, without its quotes; characters that XML cannot carry become U+FFFD.
pub fn push_attr(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'"' => Some(b"&quot;"),
        b'\t' => Some(b"&#9;"),
        b'\n' => Some(b"&#10;"),
        b'\r' => Some(b"&#13;"),
        0..=0x1f => Some("\u{fffd}".as_bytes()),
        _ => None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Document<'_>, XmlError> {
        Document::parse(text, Limits::default())
    }

    #[test]
    fn names_texts_attributes() {
        let text = "<?xml version=\"1.0\"?>\n<a:r xmlns:a='urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0' xmlns='urn:x' q='1&amp;2&#10;'>\n <c>x<!-- c -->y&lt;<![CDATA[<z>]]></c><a:e/></a:r>";
        let document = parse(text).unwrap();
        let root = document.root();
        assert!(root.is(Ns::Rim, "r"));
        assert_eq!(root.attr("q").unwrap(), "1&2\n");
        let names: Vec<_> = root.children().map(|n| (n.uri(), n.local())).collect();
        assert_eq!(names, [("urn:x", "c"), (ns::RIM, "e")]);
        assert_eq!(root.children().next().unwrap().text(), "xy<<z>");
    }

    #[test]
    fn fragments_keep_their_namespaces() {
        let text = "<e xmlns='urn:d' xmlns:p='urn:p'><h xmlns:q='urn:q'><p:s q:a='1'>t</p:s></h></e>";
        let document = parse(text).unwrap();
        let node = document.root().children().next().unwrap().children().next().unwrap();
        let fragment = node.fragment();
        let again = parse(&fragment).unwrap();
        assert_eq!(again.root().uri(), "urn:p");
        assert_eq!(again.root().text(), "t");
        assert!(fragment.contains("xmlns=\"urn:d\"") && fragment.contains("xmlns:q=\"urn:q\""));
    }

    #[test]
    fn whatever_is_written_is_read() {
        let text = "a\u{1}\u{fffe}b\u{ffff}\u{fffd}\u{ef}\u{fdef}&<>\"\r\n\t\u{10ffff}";
        let (mut out, expected) = (b"<a b=\"".to_vec(), text.replace(['\u{1}', '\u{fffe}', '\u{ffff}'], "\u{fffd}"));
        push_attr(&mut out, text);
        out.extend_from_slice(b"\">");
        push_text(&mut out, text);
        out.extend_from_slice(b"</a>");
        let written = String::from_utf8(out).unwrap();
        let document = parse(&written).unwrap();
        assert_eq!(document.root().attr("b").unwrap(), expected);
        assert_eq!(document.root().text(), expected);
    }

    #[test]
    fn hostile_messages_are_refused() {
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        let wide = format!("<a {}/>", (0..200).map(|n| format!("a{n}='' ")).collect::<String>());
        let spaces = format!("<a {}/>", (0..100).map(|n| format!("xmlns:a{n}='u{n}' ")).collect::<String>());
        assert!(parse(&spaces).is_ok());
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a b='1'c='2'/>",
            "<a>]]></a>",
            "<a><!-- b -- c --></a>",
            "<?xml version='1.1'?><a/>",
            "<?xml encoding='UTF-8'?><a/>",
            "<:a/>",
            "<a :b='1'/>",
            "<a b:='1'/>",
            "<a xmlns:='urn:x'/>",
            "<a xmlns:1='urn:x'/>",
            "<a xmlns:b:c='urn:x'/>",
            "<a/>x",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<a>&nbsp;</a>",
            "<a>&#0;</a>",
            "<a>&#x1F;</a>",
            "<a>&#xD800;</a>",
            "<a>\u{1}</a>",
            "<a>\u{fffe}</a>",
            "<a b='<'/>",
            "<a b='1' b='2'/>",
            "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
            "<x:a/>",
            "<a x:b=''/>",
            "<?pi x?><a/>",
            "<a/><?xml version='1.0'?>",
            "<a b=1/>",
            "<a>&</a>",
            "<a>&amp</a>",
            "<1a/>",
            "<a xmlns:x=''/>",
            &deep,
            &wide,
        ] {
            assert!(parse(bad).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
    }

    #[test]
    fn limits_at_n_and_n_plus_1() {
        let limits = Limits { depth: 3, elements: 5, ..Limits::default() };
        assert!(Document::parse("<a><b><c/></b></a>", limits).is_ok());
        assert!(Document::parse("<a><b><c><d/></c></b></a>", limits).is_err());
        assert!(Document::parse("<a><b/><b/><b/><b/></a>", limits).is_ok());
        assert!(Document::parse("<a><b/><b/><b/><b/><b/></a>", limits).is_err());
    }

    #[test]
    fn encodings() {
        assert_eq!(decode(b"\xef\xbb\xbf<a/>").unwrap(), "<a/>");
        assert_eq!(decode(b"\xff\xfe<\0a\0/\0>\0").unwrap(), "<a/>");
        assert_eq!(decode(b"\xfe\xff\0<\0a\0/\0>").unwrap(), "<a/>");
        assert!(decode(b"<a>\xff</a>").is_err());
    }

    proptest! {
        #[test]
        fn escaped_texts_come_back(text in "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{0,60}") {
            let mut out = b"<a b=\"".to_vec();
            push_attr(&mut out, &text);
            out.extend_from_slice(b"\">");
            push_text(&mut out, &text);
            out.extend_from_slice(b"</a>");
            let message = String::from_utf8(out).unwrap();
            let document = parse(&message).unwrap();
            prop_assert_eq!(document.root().attr("b").unwrap(), text.as_str());
            prop_assert_eq!(document.root().text(), text.as_str());
        }

        #[test]
        fn no_input_panics(text in "[<>/a:&;='\"!?\\[\\] x-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
