//! The header block by which a submission names the community that it is for (Cross-Community Document
//! Reliable Interchange §3.80.4.1.2).

use super::xml::{Node, Ns, push_text};
use crate::model::ids::HomeCommunityId;
use crate::model::vocabulary::ns;

/// Writes `xdr:homeCommunityBlock`. It says nothing of roles and of what must be understood: a gateway that
/// does not know it looks at the request's Slot.
pub fn home_block(home: &HomeCommunityId) -> String {
    let mut out = format!("<xdr:homeCommunityBlock xmlns:xdr=\"{}\"><xdr:homeCommunityId>", ns::XDR).into_bytes();
    push_text(&mut out, home.as_str());
    out.extend_from_slice(b"</xdr:homeCommunityId></xdr:homeCommunityBlock>");
    String::from_utf8_lossy(&out).into_owned()
}

/// What a header block names, if it is such a block and names something.
pub(super) fn home(block: Node<'_, '_>) -> Option<String> {
    let block = Some(block).filter(|block| block.is(Ns::Xdr, "homeCommunityBlock"))?;
    let name = block.child(Ns::Xdr, "homeCommunityId")?.text_ref().trim().to_owned();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::soap::{self, Addressing, Version};
    use super::super::xml::{Document, Limits};
    use super::*;

    fn named(blocks: &str) -> Vec<String> {
        let mut out = Vec::new();
        soap::write_start(&mut out, Version::V12, &Addressing::default(), Some(blocks));
        out.extend_from_slice(b"<x/>");
        soap::write_end(&mut out);
        let text = String::from_utf8(out).unwrap();
        let document = Document::parse(&text, Limits::default()).unwrap();
        soap::read(&document).unwrap().home_blocks
    }

    #[test]
    fn what_is_written_is_read() {
        let home = HomeCommunityId::parse("urn:oid:2.999.1").unwrap();
        assert_eq!(named(&home_block(&home)), ["urn:oid:2.999.1"]);
        assert_eq!(named(&home_block(&home).repeat(2)).len(), 2);
    }

    #[test]
    fn what_names_nothing_or_is_for_others_is_left_out() {
        let inside = |attributes: &str, content: &str| {
            named(&format!(
                "<x:homeCommunityBlock xmlns:x='{}' xmlns:e='{}' {attributes}>{content}</x:homeCommunityBlock>",
                ns::XDR,
                ns::SOAP12
            ))
        };
        let id = "<x:homeCommunityId>\n urn:oid:2.999.1 </x:homeCommunityId>";
        assert_eq!(inside("e:mustUnderstand='true'", id), ["urn:oid:2.999.1"]);
        assert!(inside("e:role='urn:somebody'", id).is_empty());
        for nothing in
            ["", "urn:oid:2.999.1", "<x:homeCommunityId> </x:homeCommunityId>", "<homeCommunityId>1</homeCommunityId>"]
        {
            assert!(inside("", nothing).is_empty(), "{nothing}");
        }
    }
}
