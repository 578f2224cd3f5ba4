//! Trees of XML: written anew from what the reader made of them, and compared.

use causeway::wire::xml::{Node, Ns, push_attr, push_text};

/// Two elements that mean the same: names, attributes in any order, texts, children in order.
pub fn same(a: Node<'_, '_>, b: Node<'_, '_>) -> bool {
    let attributes = |node: Node<'_, '_>| {
        let mut all: Vec<_> =
            node.attributes().map(|(uri, local, value)| (uri.to_owned(), local.to_owned(), value.to_owned())).collect();
        all.sort();
        all
    };
    a.uri() == b.uri()
        && a.local() == b.local()
        && a.text_ref() == b.text_ref()
        && attributes(a) == attributes(b)
        && a.children().count() == b.children().count()
        && a.children().zip(b.children()).all(|(a, b)| same(a, b))
}

/// Writes an element from its tree alone, every name with a prefix of its own.
pub fn write(out: &mut Vec<u8>, node: Node<'_, '_>) {
    let prefix = match node.ns() {
        Ns::None => "",
        Ns::Xml => "xml:",
        _ => "e:",
    };
    out.extend_from_slice(format!("<{prefix}{}", node.local()).as_bytes());
    if prefix == "e:" {
        declare(out, "e", node.uri());
    }
    for (n, (uri, local, value)) in node.attributes().enumerate() {
        let name = match uri {
            "" => local.to_owned(),
            "http://www.w3.org/XML/1998/namespace" => format!("xml:{local}"),
            uri => {
                declare(out, &format!("a{n}"), uri);
                format!("a{n}:{local}")
            }
        };
        out.extend_from_slice(format!(" {name}=\"").as_bytes());
        push_attr(out, value);
        out.push(b'"');
    }
    out.push(b'>');
    push_text(out, node.text_ref());
    for child in node.children() {
        write(out, child);
    }
    out.extend_from_slice(format!("</{prefix}{}>", node.local()).as_bytes());
}

fn declare(out: &mut Vec<u8>, prefix: &str, uri: &str) {
    out.extend_from_slice(format!(" xmlns:{prefix}=\"").as_bytes());
    push_attr(out, uri);
    out.push(b'"');
}

/// The text without comments and CDATA sections: what is left of `<!` would be a declaration.
pub fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    loop {
        let comment = rest.find("<!--").map(|at| (at, 4, "-->"));
        let section = rest.find("<![CDATA[").map(|at| (at, 9, "]]>"));
        let first = match (comment, section) {
            (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
        let Some((at, skip, end)) = first else {
            out.push_str(rest);
            return out;
        };
        out.push_str(&rest[..at]);
        let behind = &rest[at + skip..];
        rest = behind.find(end).map_or("", |to| &behind[to + end.len()..]);
    }
}
