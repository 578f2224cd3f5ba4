//! The one entry point for foreign XML: a namespace-aware tree under limits.
//!
//! A message is read once into a flat arena whose names and texts borrow from the message.
//! Refused before anything looks at it: DOCTYPE, processing instructions, entities other than
//! the five, characters XML forbids, undeclared prefixes, and whatever exceeds [`Limits`]
//! (ITI TF-2 Appendix V, `limits.xml` in the configuration). Not supported: XML 1.1, XInclude,
//! external anything.
//!
//! Writing is plain appending to a buffer: [`push_text`] and [`push_attr`] escape.

mod reader;

use std::borrow::Cow;

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

impl<'a> Document<'a> {
    /// Reads a whole message.
    ///
    /// # Errors
    /// When it is not well-formed, uses what is refused, or exceeds a limit.
    pub fn parse(source: &'a str, limits: Limits) -> Result<Self, XmlError> {
        reader::read(source, limits)
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
            "<a:b:c xmlns:a='u'/>",
            "<a$/>",
            "<a/ >",
            "<a / >",
            "</ a>",
            "<a></ a>",
            "<a></ab>",
            "<ab></a>",
            "<a></a b='1'>",
            "< a/>",
            "<a b/>",
            "<a b='1\"/>",
            "<a b=\"1'/>",
            "<a b='1'",
            "<a b='1",
            "<a",
            "<",
            "<a><",
            "<a></",
            "<a></a",
            "<a><!- b --></a>",
            "<a><!-- b ---></a>",
            "<a><!-->",
            "<a><![CDATA[b]]</a>",
            "<![CDATA[x]]><a/>",
            "<a/>&#32;",
            "<a><!ELEMENT a></a>",
            "<?xml?><a/>",
            "<?xml ?><a/>",
            "<?xml version='1.0'",
            "<?xml version='1.0' version='1.0'?><a/>",
            "<?xml version='1.0' other='x'?><a/>",
            "<?xml version='1.0'encoding='x'?><a/>",
            "<?xml-stylesheet href='x'?><a/>",
            " <?xml version='1.0'?><a/>",
            "<a xmlns:xml='u'/>",
            "<a xmlns:xmlns='u'/>",
            "<a xmlns:b='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns:b='http://www.w3.org/2000/xmlns/'/>",
            "<a xmlns='u' xmlns='v'/>",
            "<a xmlns:p='u' xmlns:p='v'/>",
            "<a x:b='1' xmlns:y='u'/>",
            "<a b='&#xFFFE;'/>",
            "<a b='&lt'/>",
            "<a xmlns:x=''/>",
            &deep,
            &wide,
        ] {
            assert!(parse(bad).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
    }

    #[test]
    fn unusual_messages_are_read() {
        for (good, text) in [
            ("<?xml version='1.0' encoding='utf-8' standalone = \"yes\" ?>\r\n<a>1</a>\n<!-- c -->", "1"),
            ("<a\tb = '1'\n\tc\r\n=\r\n\"2\"\t>1</a\r\n>", "1"),
            ("<a ><!---->1<!-- a - b --></a >", "1"),
            ("<a><![CDATA[]]]]><![CDATA[>]]></a>", "]]>"),
            ("<a>]]&gt;]</a>", "]]>]"),
            ("<a>1\r\n2\r3&#13;4</a>", "1\n2\n3\r4"),
            ("<\u{e9}:\u{e9}-1.\u{e9} xmlns:\u{e9}='u'>1</\u{e9}:\u{e9}-1.\u{e9}>", "1"),
            ("<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang=''>1</a>", "1"),
            ("<p:a p:b='1' b='2' xmlns:p='u'>1</p:a>", "1"),
            ("<a xmlns='u'><b xmlns=''>2</b>1</a>", "1"),
        ] {
            let document = parse(good).unwrap_or_else(|error| panic!("{good}: {error}"));
            assert_eq!(document.root().text(), text, "{good}");
        }
        let document = parse("<a b='1\r\n2\t3&#10;4&#x1F600;' c=\">'\"/>").unwrap();
        assert_eq!(document.root().attr("b").unwrap(), "1 2 3\n4\u{1f600}");
        assert_eq!(document.root().attr("c").unwrap(), ">'");
    }

    #[test]
    fn errors_say_where() {
        for (bad, at) in [
            ("<a><b></a></b>", 6),
            ("<a>\n<b x='1' x='2'/></a>", 4),
            ("<a b='1'c='2'/>", 8),
            ("<a>&nbsp;</a>", 3),
            ("<a>\u{1}</a>", 3),
            ("<a/> x", 4),
            ("<a>", 3),
        ] {
            assert_eq!(parse(bad).err().map(|error| error.at), Some(at), "{bad}");
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
    fn every_bound_holds_at_n_and_not_beyond() {
        let limits = Limits { depth: 2, elements: 3, attributes: 2, namespaces: 2, name: 8, value: 3 };
        for (good, bad) in [
            ("<a><b/></a>", "<a><b><c/></b></a>"),
            ("<a><b/><b/></a>", "<a><b/><b/><b/></a>"),
            ("<a b='' c=''/>", "<a b='' c='' d=''/>"),
            ("<a b='' xmlns='u'/>", "<a b='' c='' xmlns='u'/>"),
            ("<a xmlns='u' xmlns:b='v'/>", "<a xmlns='u' xmlns:b='v'><b xmlns:c='u'/></a>"),
            ("<a xmlns='u'><b xmlns='v'/></a>", "<a xmlns='u'><b xmlns='v'/><b xmlns='w'/></a>"),
            ("<abcdefgh/>", "<abcdefghi/>"),
            ("<a bcdefghi=''/>", "<a bcdefghij=''/>"),
            ("<a:bcdefg xmlns:a='u'/>", "<a:bcdefgh xmlns:a='u'/>"),
            ("<a b='123'/>", "<a b='1234'/>"),
        ] {
            assert!(Document::parse(good, limits).is_ok(), "{good}");
            assert!(Document::parse(bad, limits).is_err(), "{bad}");
        }
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
