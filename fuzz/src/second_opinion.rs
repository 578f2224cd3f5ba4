//! What a library that we did not write makes of a message: the same tree.

use causeway::wire::xml::Node;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, XmlVersion};

/// An element, apart from what is below it.
#[derive(Debug, PartialEq, Eq)]
struct Flat {
    depth: usize,
    uri: String,
    local: String,
    attributes: Vec<(String, String, String)>,
    /// Without white space: indentation is not joined.
    text: String,
}

fn push_dense(text: &mut String, more: &str) {
    text.extend(more.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')));
}

fn flatten(node: Node<'_, '_>, depth: usize, out: &mut Vec<Flat>) {
    let mut attributes: Vec<_> =
        node.attributes().map(|(uri, local, value)| (uri.to_owned(), local.to_owned(), value.to_owned())).collect();
    attributes.sort();
    let mut text = String::new();
    push_dense(&mut text, node.text_ref());
    out.push(Flat { depth, uri: node.uri().to_owned(), local: node.local().to_owned(), attributes, text });
    node.children().for_each(|child| flatten(child, depth + 1, out));
}

fn uri(resolved: &ResolveResult<'_>) -> String {
    match resolved {
        // It leaves white space and references in a namespace's name as they are.
        ResolveResult::Bound(namespace) => {
            let name: &str = namespace.as_ref();
            let name = name.replace("\r\n", " ").replace(['\t', '\n', '\r'], " ");
            quick_xml::escape::unescape(&name).expect("it was taken").into_owned()
        }
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(prefix) => panic!("prefix {prefix:?} is declared nowhere"),
    }
}

fn element(reader: &NsReader<&[u8]>, tag: &BytesStart<'_>, depth: usize) -> Flat {
    let (namespace, local) = reader.resolver().resolve_element(tag.name());
    let (namespace, local) = (uri(&namespace), local.as_ref().to_owned());
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.expect("an attribute");
        let name: &str = attribute.key.as_ref();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).expect("a value");
        attributes.push((uri(&namespace), local.as_ref().to_owned(), value.into_owned()));
    }
    attributes.sort();
    Flat { depth, uri: namespace, local, attributes, text: String::new() }
}

fn character(name: &str) -> String {
    quick_xml::escape::unescape(&format!("&{name};")).expect("a reference").into_owned()
}

/// Panics where the library refuses what we took, or reads something else.
pub fn agrees(text: &str, root: Node<'_, '_>) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::<Flat>::new());
    flatten(root, 0, &mut ours);
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut open: Vec<usize> = Vec::new();
    let add = |theirs: &mut Vec<Flat>, open: &[usize], more: &str| match open.last() {
        Some(index) => push_dense(&mut theirs[*index].text, more),
        None => assert!(more.trim().is_empty(), "text outside of the root"),
    };
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("we took what it refuses: {error}")) {
            Event::Start(tag) => {
                theirs.push(element(&reader, &tag, open.len()));
                open.push(theirs.len() - 1);
            }
            Event::Empty(tag) => theirs.push(element(&reader, &tag, open.len())),
            Event::End(_) => {
                open.pop();
            }
            Event::Text(text) => add(&mut theirs, &open, &text.into_inner()),
            Event::CData(text) => add(&mut theirs, &open, &text.into_inner()),
            Event::GeneralRef(name) => add(&mut theirs, &open, &character(&name)),
            Event::Comment(_) | Event::Decl(_) => {}
            Event::PI(_) | Event::DocType(_) => panic!("we took an instruction or a DOCTYPE"),
            Event::Eof => break,
        }
    }
    assert!(open.is_empty(), "it sees an element that does not end");
    assert_eq!(ours, theirs);
}
