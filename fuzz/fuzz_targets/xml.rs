//! The reader of XML: what it accepts has no DOCTYPE and keeps its limits; its tree, written anew, is
//! read as the same tree, and a library reads that tree too; a fragment keeps its meaning outside of its message.
#![no_main]

use causeway::wire::xml::{Document, Limits, Node, decode};
use causeway_fuzz::{GENEROUS, second_opinion, tree, with_written};
use libfuzzer_sys::fuzz_target;

fn count(node: Node<'_, '_>, depth: usize, elements: &mut usize, deepest: &mut usize) {
    *elements += 1;
    *deepest = depth.max(*deepest);
    node.children().for_each(|child| count(child, depth + 1, elements, deepest));
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = decode(bytes) else { return };
    let tight = Limits { depth: 4, elements: 8, attributes: 3, namespaces: 2, name: 16, value: 24 };
    if let Ok(document) = Document::parse(&text, tight) {
        let (mut elements, mut deepest) = (0, 0);
        count(document.root(), 1, &mut elements, &mut deepest);
        assert!(elements <= tight.elements && deepest <= tight.depth);
        assert!(Document::parse(&text, Limits::default()).is_ok(), "wider limits refuse nothing more");
    }
    let Ok(document) = Document::parse(&text, Limits::default()) else { return };
    second_opinion::agrees(&text, document.root());
    // Behind the XML declaration.
    let behind = if text.starts_with("<?xml") { text.split_once("?>").map_or("", |(_, rest)| rest) } else { &text };
    let markup = tree::without_comments(behind);
    assert!(!markup.contains("<!"), "a declaration was accepted");
    assert!(!markup.contains("<?"), "an instruction was accepted");

    let mut out = Vec::new();
    tree::write(&mut out, document.root());
    with_written(out, |again| assert!(tree::same(document.root(), again.root())));

    let mut node = document.root();
    for _ in 0..8 {
        let fragment = node.fragment();
        let alone = Document::parse(&fragment, GENEROUS).expect("a fragment is a message");
        assert!(tree::same(node, alone.root()), "{fragment}");
        assert!(text.get(node.span()).is_some_and(|raw| raw.starts_with('<') && raw.ends_with('>')));
        match node.children().last() {
            Some(child) => node = child,
            None => break,
        }
    }
});
