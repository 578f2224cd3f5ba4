//! What the assertion in a `wsse:Security` header says, as it stands there (XUA, ITI TF-2 §3.40.4.1.2). Nothing is
//! verified here: whoever reads it has a claim and no more.

use super::xml::{Document, Limits, Node, Ns};
use crate::model::vocabulary::purpose_of_use;

const SAML2: &str = "urn:oasis:names:tc:SAML:2.0:assertion";

/// Purposes of use of one message at most; what follows is not read.
const MOST: usize = 32;

/// A coded purpose of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurposeOfUse {
    /// The code.
    pub code: String,
    /// Its code system, an OID; empty where none is given.
    pub code_system: String,
}

fn is_saml(node: &Node<'_, '_>, local: &str) -> bool {
    node.local() == local && node.uri() == SAML2
}

fn coded(node: Node<'_, '_>) -> Option<PurposeOfUse> {
    if node.ns() != Ns::Hl7v3 || !purpose_of_use::ELEMENTS.contains(&node.local()) {
        return None;
    }
    let text = |name| node.attr(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    Some(PurposeOfUse { code: text("code"), code_system: text("codeSystem") })
}

/// The purposes of use that a `wsse:Security` header claims (ITI TF-2 §3.40.4.1.2); none if it cannot be read.
pub fn purposes_of_use(security: &str, limits: Limits) -> Vec<PurposeOfUse> {
    let Ok(document) = Document::parse(security, limits) else { return Vec::new() };
    let root = document.root();
    let assertions = root.children().filter(|node| is_saml(node, "Assertion"));
    let statements = assertions.flat_map(|node| node.children()).filter(|node| is_saml(node, "AttributeStatement"));
    let attributes = statements.flat_map(|node| node.children()).filter(|node| {
        is_saml(node, "Attribute")
            && node.attr("Name").is_some_and(|name| purpose_of_use::ATTRIBUTES.contains(&name.trim()))
    });
    let values = attributes.flat_map(|node| node.children()).filter(|node| is_saml(node, "AttributeValue"));
    values.flat_map(|value| value.children()).filter_map(coded).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(attribute: &str, value: &str) -> String {
        format!(
            "<wsse:Security xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\">\
             <s:Assertion xmlns:s=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_1\"><s:Issuer>x</s:Issuer>\
             <s:AttributeStatement><s:Attribute Name=\"urn:oasis:names:tc:xspa:1.0:subject:subject-id\">\
             <s:AttributeValue>Dr Ida Berg</s:AttributeValue></s:Attribute><s:Attribute Name=\"{attribute}\">\
             <s:AttributeValue>{value}</s:AttributeValue></s:Attribute></s:AttributeStatement></s:Assertion></wsse:Security>"
        )
    }

    fn read(text: &str) -> Vec<(String, String)> {
        let purposes = purposes_of_use(text, Limits::default());
        purposes.into_iter().map(|purpose| (purpose.code, purpose.code_system)).collect()
    }

    #[test]
    fn purposes_are_read_in_the_spellings_that_are_seen() {
        const NAME: &str = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse";
        let code = "code=\" ETREAT \" codeSystem=\"2.16.840.1.113883.5.8\" displayName=\"emergency\"";
        let both = ("ETREAT".to_owned(), "2.16.840.1.113883.5.8".to_owned());
        for name in [NAME, " urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse\n"] {
            for element in ["PurposeOfUse", "PurposeForUse"] {
                let text = header(name, &format!("<{element} xmlns=\"urn:hl7-org:v3\" {code}/>"));
                assert_eq!(read(&text), std::slice::from_ref(&both), "{name} {element}");
            }
        }
        let twice = format!(
            "<PurposeOfUse xmlns=\"urn:hl7-org:v3\" code=\"TREAT\"/><h:PurposeOfUse xmlns:h=\"urn:hl7-org:v3\" {code}/>"
        );
        assert_eq!(read(&header(NAME, &twice)), [("TREAT".to_owned(), String::new()), both]);
        // Another attribute, another namespace, plain text, no assertion, no XML.
        let plain = format!("<PurposeOfUse {code}/>");
        let right = format!("<PurposeOfUse xmlns=\"urn:hl7-org:v3\" {code}/>");
        for text in [
            header("urn:oasis:names:tc:xspa:1.0:subject:role", &right),
            header(NAME, &plain),
            header(NAME, "ETREAT"),
            right.clone(),
            right.replace('>', ""),
            String::new(),
        ] {
            assert_eq!(read(&text), [], "{text}");
        }
        let many = header(NAME, &right.repeat(100));
        assert_eq!(read(&many).len(), MOST);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(text in ".{0,200}") {
            read(&text);
        }
    }
}
