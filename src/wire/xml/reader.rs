//! Reads a message into its tree, in one pass over its octets.
//!
//! Names are read by a table of what each octet may be; values and texts are searched for their end, and looked into
//! only where they hold what XML means otherwise. Namespaces and bounds are judged where they are met.
//! Nothing is copied but texts and values with references or foreign line ends in them.

use std::borrow::Cow;

use memchr::memmem;

use super::{Attribute, Document, Element, Limits, NONE, Ns, XmlError, known};
use crate::model::vocabulary::ns;

/// White space.
const SPACE: u8 = 1;
/// May stand in a name; octets of characters beyond ASCII are all taken.
const WITHIN: u8 = 2;
/// May begin a name.
const BEGINS: u8 = 4;

/// What each octet may be.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut class = 0;
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            class |= SPACE;
        }
        if byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii() {
            class |= BEGINS | WITHIN;
        }
        if byte.is_ascii_digit() || byte == b'-' || byte == b'.' {
            class |= WITHIN;
        }
        table[byte as usize] = class;
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

#[inline]
fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// Whether there is such an octet; without a branch for each.
#[inline]
fn has(text: &str, is_such: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |met, byte| met | is_such(byte))
}

/// The namespace of declarations, which none may name.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
const REFERENCE: &str = "an entity that is not one of the five, or a forbidden character";
const DECLARATION: &str = "an XML declaration that is not of XML 1.0";
const UNENDED: &str = "not well-formed: a tag, comment or section that does not end";

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

/// With references resolved, and what is between them as `plain` has it.
fn resolved(raw: &str, plain: impl Fn(&mut String, &str)) -> Result<String, &'static str> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, tail)) = rest.split_once('&') {
        plain(&mut out, before);
        let (name, behind) = tail.split_once(';').ok_or("an & that begins no reference")?;
        out.push(reference(name).ok_or(REFERENCE)?);
        rest = behind;
    }
    plain(&mut out, rest);
    Ok(out)
}

/// An attribute value as XML means it: references resolved, white space made blanks (XML §3.3.3).
fn attribute_value(raw: &str) -> Result<String, &'static str> {
    if raw.contains('<') {
        return Err("a < in an attribute value");
    }
    resolved(raw, |out, plain| {
        let mut characters = plain.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                // One line end is one blank.
                '\r' if characters.peek() == Some(&'\n') => {}
                '\t' | '\n' | '\r' => out.push(' '),
                c => out.push(c),
            }
        }
    })
}

/// A text as XML means it: references resolved, line ends made one (XML §2.11).
fn text_value(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if raw.contains("]]>") {
        return Err("a ]]> outside of a CDATA section");
    }
    if !raw.contains(['&', '\r']) {
        return Ok(Cow::Borrowed(raw));
    }
    resolved(raw, |out, plain| out.push_str(&line_ends(plain))).map(Cow::Owned)
}

fn line_ends(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') { Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(raw) }
}

fn error<T>(at: usize, what: impl Into<Cow<'static, str>>) -> Result<T, XmlError> {
    Err(XmlError { what: what.into(), at })
}

/// A name, its prefix and what is behind that.
type Name<'a> = (&'a str, &'a str);

struct Reader<'a> {
    document: Document<'a>,
    limits: Limits,
    /// The octet that comes next.
    at: usize,
    /// Indices of the open elements.
    open: Vec<u32>,
    /// Declarations in scope: prefix, namespace.
    scope: Vec<(&'a str, Ns)>,
    marks: Vec<usize>,
    /// Attributes of the element that is being read whose prefixes are to be resolved, by their indices.
    prefixed: Vec<(usize, &'a str)>,
}

/// Reads a whole message.
pub(super) fn read(source: &str, limits: Limits) -> Result<Document<'_>, XmlError> {
    if source.len() > (u32::MAX / 2) as usize {
        return error(0, "a message of more than 2 GiB");
    }
    if let Some((at, what)) = forbidden(source) {
        return error(at, what);
    }
    let mut reader = Reader {
        document: Document {
            source,
            elements: Vec::with_capacity(source.len() / 64),
            attributes: Vec::with_capacity(source.len() / 64),
            declarations: Vec::new(),
            foreign: Vec::new(),
        },
        limits,
        at: 0,
        open: Vec::new(),
        scope: Vec::new(),
        marks: Vec::new(),
        prefixed: Vec::new(),
    };
    reader.message()?;
    Ok(reader.document)
}

impl<'a> Reader<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.document.source.as_bytes().get(self.at).copied()
    }

    /// What comes next.
    fn rest(&self) -> &'a str {
        // Only ever behind an octet of ASCII, which ends a character.
        self.document.source.get(self.at..).unwrap_or_default()
    }

    /// From there to what comes next.
    fn since(&self, from: usize) -> &'a str {
        self.document.source.get(from..self.at).unwrap_or_default()
    }

    /// Goes on while octets are of a class.
    #[inline]
    fn skip(&mut self, of: u8) {
        let bytes = self.document.source.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| class(*byte) & of != 0) {
            self.at += 1;
        }
    }

    /// Goes on to the next such octet, over what is before it; to the end, if there is none.
    #[inline]
    fn until(&mut self, byte: u8) -> &'a str {
        let from = self.at;
        let rest = self.document.source.as_bytes().get(from..).unwrap_or_default();
        self.at += memchr::memchr(byte, rest).unwrap_or(rest.len());
        self.since(from)
    }

    fn white_space(&mut self) -> bool {
        let from = self.at;
        self.skip(SPACE);
        self.at > from
    }

    fn message(&mut self) -> Result<(), XmlError> {
        self.declaration()?;
        while let Some(byte) = self.peek() {
            if byte != b'<' {
                self.text()?;
                continue;
            }
            match self.document.source.as_bytes().get(self.at + 1) {
                Some(b'/') => self.end_tag()?,
                Some(b'!') => self.comment_or_section()?,
                Some(b'?') if self.rest().starts_with("<?xml ") => {
                    return error(self.at, "an XML declaration that is not at the start");
                }
                Some(b'?') => return error(self.at, "a processing instruction: SOAP forbids them"),
                _ => self.start_tag()?,
            }
        }
        if !self.open.is_empty() {
            return error(self.at, "not well-formed: the message ends inside an element");
        }
        if self.document.elements.is_empty() {
            return error(self.at, "no element at all");
        }
        Ok(())
    }

    /// The XML declaration, if there is one.
    fn declaration(&mut self) -> Result<(), XmlError> {
        const OPENED: &str = "<?xml";
        let is_one = |rest: &str| {
            rest.strip_prefix(OPENED).and_then(|rest| rest.bytes().next()).is_some_and(|byte| class(byte) & SPACE != 0)
        };
        if !is_one(self.rest()) {
            return Ok(());
        }
        self.at += OPENED.len();
        let mut first = true;
        loop {
            let spaced = self.white_space();
            if !first && self.rest().starts_with("?>") {
                self.at += 2;
                return Ok(());
            }
            let at = self.at;
            if !spaced {
                return error(at, DECLARATION);
            }
            let (name, raw) = self.pair()?;
            match (name, raw) {
                (("", "version"), "1.0") if first => {}
                (("", "encoding" | "standalone"), _) if !first => {}
                _ => return error(at, DECLARATION),
            }
            first = false;
        }
    }

    fn name(&mut self) -> Result<Name<'a>, XmlError> {
        let from = self.at;
        let mut part = from;
        let mut prefix = "";
        loop {
            self.skip(WITHIN);
            let local = self.since(part);
            if local.bytes().next().is_none_or(|byte| class(byte) & BEGINS == 0) {
                return error(from, "a name that is not one");
            }
            if self.at - from > self.limits.name {
                return error(from, format!("a name of more than {} bytes", self.limits.name));
            }
            if self.peek() != Some(b':') {
                return Ok((prefix, local));
            }
            if part > from {
                return error(from, "a name that is not one");
            }
            prefix = local;
            self.at += 1;
            part = self.at;
        }
    }

    /// A name, and a value as it is written.
    fn pair(&mut self) -> Result<(Name<'a>, &'a str), XmlError> {
        let name = self.name()?;
        self.white_space();
        if self.peek() != Some(b'=') {
            return error(self.at, "not well-formed: an attribute without its value");
        }
        self.at += 1;
        self.white_space();
        let Some(quote) = self.peek().filter(|byte| matches!(byte, b'"' | b'\'')) else {
            return error(self.at, "not well-formed: an attribute value without its quotes");
        };
        self.at += 1;
        let from = self.at;
        let raw = self.until(quote);
        if self.peek().is_none() {
            return error(from, UNENDED);
        }
        self.at += 1;
        Ok((name, raw))
    }

    fn intern(&mut self, uri: Cow<'a, str>, at: usize) -> Result<Ns, XmlError> {
        if let Some(ns) = known(&uri) {
            return Ok(ns);
        }
        if let Some(number) = self.document.foreign.iter().position(|known| *known == uri) {
            return Ok(Ns::Foreign(number as u16));
        }
        if self.document.foreign.len() >= self.limits.namespaces {
            return error(at, format!("more than {} namespaces", self.limits.namespaces));
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
            None => error(at, "a prefix that is not declared"),
        }
    }

    fn declare(&mut self, prefix: &'a str, named: bool, value: Cow<'a, str>, at: usize) -> Result<(), XmlError> {
        if self.scope.len() >= self.limits.namespaces {
            return error(at, format!("more than {} namespace declarations in scope", self.limits.namespaces));
        }
        // `xml` may be declared, as what it is anyway, and nothing else as that (Namespaces in XML §3).
        let reserved = prefix == "xmlns" || (prefix == "xml") != (value == ns::XML) || value == XMLNS;
        if reserved || (named && value.is_empty()) {
            return error(at, "a namespace declaration that is not allowed");
        }
        let ns = self.intern(value.clone(), at)?;
        let fresh = *self.marks.last().unwrap_or(&0);
        if self.scope[fresh..].iter().any(|(known, _)| *known == prefix) {
            return error(at, "an attribute twice");
        }
        self.scope.push((prefix, ns));
        self.document.declarations.push((prefix, value));
        Ok(())
    }

    fn attribute(&mut self) -> Result<(), XmlError> {
        let at = self.at;
        let (name, raw) = self.pair()?;
        if raw.len() > self.limits.value {
            return error(at, format!("an attribute of more than {} bytes", self.limits.value));
        }
        let value = match has(raw, |b| matches!(b, b'<' | b'&' | b'\t' | b'\n' | b'\r')) {
            false => Cow::Borrowed(raw),
            true => Cow::Owned(attribute_value(raw).or_else(|what| error(at, what))?),
        };
        match name {
            ("", "xmlns") => self.declare("", false, value, at),
            ("xmlns", prefix) => self.declare(prefix, true, value, at),
            (prefix, local) => {
                if !prefix.is_empty() {
                    self.prefixed.push((self.document.attributes.len(), prefix));
                }
                self.document.attributes.push(Attribute { ns: Ns::None, local, value });
                Ok(())
            }
        }
    }

    /// Puts an element into the tree, below the one that is open.
    fn element(&mut self, element: Element<'a>, at: usize) -> Result<u32, XmlError> {
        let index = self.document.elements.len() as u32;
        if let Some(parent) = self.document.elements.get_mut(element.parent as usize) {
            let last = std::mem::replace(&mut parent.last_child, index);
            if last == NONE {
                parent.first_child = index;
            } else if let Some(last) = self.document.elements.get_mut(last as usize) {
                last.next = index;
            }
        } else if index != 0 {
            return error(at, "a second root element");
        }
        self.document.elements.push(element);
        Ok(index)
    }

    fn start_tag(&mut self) -> Result<(), XmlError> {
        let at = self.at;
        if self.open.len() >= self.limits.depth {
            return error(at, format!("elements nested deeper than {}", self.limits.depth));
        }
        if self.document.elements.len() >= self.limits.elements {
            return error(at, format!("more than {} elements", self.limits.elements));
        }
        self.at += 1;
        let (prefix, local) = self.name()?;
        let name_end = self.at as u32;
        self.marks.push(self.scope.len());
        let first_attribute = self.document.attributes.len();
        let first_declaration = self.document.declarations.len();
        let mut count = 0;
        let is_empty = loop {
            let spaced = self.white_space();
            match self.peek() {
                Some(b'>') => break false,
                Some(b'/') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'>') => break true,
                        _ => return error(at, "a malformed tag"),
                    }
                }
                None => return error(at, UNENDED),
                Some(_) if !spaced && count == 0 => return error(at, "a name that is not one"),
                Some(_) if !spaced => return error(self.at, "an attribute without white space before it"),
                Some(_) if count == self.limits.attributes => {
                    return error(at, format!("more than {} attributes", self.limits.attributes));
                }
                Some(_) => self.attribute()?,
            }
            count += 1;
        };
        self.at += 1;
        // Declarations may stand behind what they are of.
        while let Some((index, prefix)) = self.prefixed.pop() {
            let ns = self.resolve(prefix, at)?;
            if let Some(attribute) = self.document.attributes.get_mut(index) {
                attribute.ns = ns;
            }
        }
        let own = self.document.attributes.get(first_attribute..).unwrap_or_default();
        let is_twice = |(index, one): (usize, &Attribute<'_>)| {
            own.iter().take(index).any(|other| other.local == one.local && other.ns == one.ns)
        };
        if own.iter().enumerate().any(is_twice) {
            return error(at, "an attribute twice");
        }
        let ns = self.resolve(prefix, at)?;
        let parent = self.open.last().copied().unwrap_or(NONE);
        let element = Element {
            ns,
            local,
            attributes: (first_attribute as u32, self.document.attributes.len() as u32),
            declarations: (first_declaration as u32, self.document.declarations.len() as u32),
            text: Cow::Borrowed(""),
            parent,
            first_child: NONE,
            last_child: NONE,
            next: NONE,
            start: at as u32,
            end: self.at as u32,
            name_end,
        };
        let index = self.element(element, at)?;
        if is_empty {
            self.leave_scope();
        } else {
            self.open.push(index);
        }
        Ok(())
    }

    fn leave_scope(&mut self) {
        if let Some(mark) = self.marks.pop() {
            self.scope.truncate(mark);
        }
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        const UNMATCHED: &str = "not well-formed: an end tag that does not match, or a stray one";
        let at = self.at;
        let source = self.document.source;
        let index = self.open.pop().unwrap_or(NONE) as usize;
        let Some(element) = self.document.elements.get(index) else { return error(at, UNMATCHED) };
        let name = source.get(element.start as usize + 1..element.name_end as usize).unwrap_or_default();
        if !source.as_bytes().get(at + 2..).is_some_and(|rest| rest.starts_with(name.as_bytes())) {
            return error(at, UNMATCHED);
        }
        self.at = at + 2 + name.len();
        self.white_space();
        match self.peek() {
            Some(b'>') => self.at += 1,
            Some(_) => return error(at, UNMATCHED),
            None => return error(at, UNENDED),
        }
        if let Some(element) = self.document.elements.get_mut(index) {
            element.end = self.at as u32;
        }
        self.leave_scope();
        Ok(())
    }

    fn comment_or_section(&mut self) -> Result<(), XmlError> {
        const COMMENT: &str = "<!--";
        const SECTION: &str = "<![CDATA[";
        let (at, rest) = (self.at, self.rest());
        if let Some(comment) = rest.strip_prefix(COMMENT) {
            let Some(end) = memmem::find(comment.as_bytes(), b"--") else { return error(at, UNENDED) };
            self.at += COMMENT.len() + end + 2;
            return match self.peek() {
                Some(b'>') => {
                    self.at += 1;
                    Ok(())
                }
                Some(_) => error(at, "not well-formed: a -- inside a comment"),
                None => error(at, UNENDED),
            };
        }
        if let Some(section) = rest.strip_prefix(SECTION) {
            let Some(end) = memmem::find(section.as_bytes(), b"]]>") else { return error(at, UNENDED) };
            self.at += SECTION.len() + end + 3;
            return self.add_text(line_ends(section.get(..end).unwrap_or_default()), at);
        }
        if rest.starts_with("<!DOCTYPE") {
            return error(at, "a DOCTYPE: SOAP forbids it");
        }
        error(at, "a malformed construct")
    }

    fn text(&mut self) -> Result<(), XmlError> {
        let at = self.at;
        let raw = self.until(b'<');
        if self.open.is_empty() {
            return match raw.bytes().all(|byte| class(byte) & SPACE != 0) {
                true => Ok(()),
                false => error(at, "text outside the root element"),
            };
        }
        let text = match has(raw, |b| matches!(b, b'&' | b']' | b'\r')) {
            false => Cow::Borrowed(raw),
            true => text_value(raw).or_else(|what| error(at, what))?,
        };
        self.add_text(text, at)
    }

    fn add_text(&mut self, text: Cow<'a, str>, at: usize) -> Result<(), XmlError> {
        match self.open.last().and_then(|index| self.document.elements.get_mut(*index as usize)) {
            Some(element) if element.text.is_empty() => element.text = text,
            Some(element) => {
                // Indentation between child elements is not content worth joining.
                if element.first_child == NONE || !text.trim_matches([' ', '\t', '\n']).is_empty() {
                    element.text.to_mut().push_str(&text);
                }
            }
            None => return error(at, "text outside the root element"),
        }
        Ok(())
    }
}
