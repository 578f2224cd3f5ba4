//! Whether the assertion in a `wsse:Security` header says that it is an emergency, as it stands there (XUA, ITI TF-2
//! §3.40.4.1.2). Nothing is verified here: whoever reads it has a claim and no more.
//!
//! There is one reading, for all who want to know. Those who give something for a claim go by a clear one alone; those
//! who would withhold something without one do not where there may be one.

use super::xml::{Node, Ns};
use crate::model::emergency::EmergencyClaim;
use crate::model::vocabulary::purpose_of_use as pou;

const SAML2: &str = "urn:oasis:names:tc:SAML:2.0:assertion";

/// Purposes of use of one message at most; what follows is not read.
const MOST: usize = 32;

/// A coded purpose of use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PurposeOfUse {
    code: String,
    /// An OID; empty where none is given.
    code_system: String,
}

impl PurposeOfUse {
    /// Whether it is of a code system whose emergencies are not known here.
    fn is_foreign(&self) -> bool {
        !self.code_system.is_empty() && self.code_system != pou::ACT_REASON && self.code_system != pou::NHIN
    }

    fn is_emergency(&self) -> bool {
        self.code_system == pou::ACT_REASON && pou::EMERGENCY.contains(&self.code.as_str())
    }
}

/// What a `wsse:Security` header says (ITI TF-2 §3.40.4.1.2).
pub fn emergency_claim(security: Node<'_, '_>) -> EmergencyClaim {
    let mut purposes = purposes_of_use(security);
    if purposes.by_ref().take(MOST).any(|purpose| purpose.is_emergency()) {
        return EmergencyClaim::Yes;
    }
    let is_foreign = purposes_of_use(security).take(MOST).any(|purpose| purpose.is_foreign());
    let unread = is_foreign || purposes.next().is_some() || security.children().any(is_sealed);
    match unread || any(security, &is_unclear) {
        true => EmergencyClaim::Unclear,
        false => EmergencyClaim::No,
    }
}

fn is_saml(node: &Node<'_, '_>, local: &str) -> bool {
    node.local() == local && node.uri() == SAML2
}

fn coded(node: Node<'_, '_>) -> Option<PurposeOfUse> {
    if node.ns() != Ns::Hl7v3 || !pou::ELEMENTS.contains(&node.local()) {
        return None;
    }
    let text = |name| node.attr(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    Some(PurposeOfUse { code: text("code"), code_system: text("codeSystem") })
}

/// Those that stand where they should.
fn purposes_of_use<'d, 'a>(security: Node<'d, 'a>) -> impl Iterator<Item = PurposeOfUse> + use<'d, 'a> {
    let assertions = security.children().filter(|node| is_saml(node, "Assertion"));
    let statements = assertions.flat_map(|node| node.children()).filter(|node| is_saml(node, "AttributeStatement"));
    let attributes = statements.flat_map(|node| node.children()).filter(|node| {
        is_saml(node, "Attribute") && node.attr("Name").is_some_and(|name| pou::ATTRIBUTES.contains(&name.trim()))
    });
    let values = attributes.flat_map(|node| node.children()).filter(|node| is_saml(node, "AttributeValue"));
    values.flat_map(|value| value.children()).filter_map(coded)
}

/// Whether that is true of an element or of anything in it.
fn any(node: Node<'_, '_>, is: &impl Fn(Node<'_, '_>) -> bool) -> bool {
    is(node) || node.children().any(|child| any(child, is))
}

/// Whether a token may be an assertion that cannot be read: an encrypted one, or one of another version.
fn is_sealed(token: Node<'_, '_>) -> bool {
    match token.local() {
        "EncryptedAssertion" | "EncryptedData" => true,
        "Assertion" => token.uri() != SAML2,
        _ => false,
    }
}

/// Whether something that speaks of a purpose of use, or may, leaves it open which: it is encrypted, it says nothing,
/// or it has a word for an emergency that [`purposes_of_use`] has not read. That whom it is about is encrypted, or a
/// key, says nothing.
fn is_unclear(node: Node<'_, '_>) -> bool {
    let speaks_of_it = pou::ELEMENTS.contains(&node.local())
        || node.local() == "Attribute"
            && node.attr("Name").is_some_and(|name| name.to_ascii_lowercase().contains("purpose"));
    let holds_sealed = !matches!(node.local(), "EncryptedID" | "KeyInfo" | "EncryptedKey")
        && node.children().any(|child| child.local() == "EncryptedData");
    node.local() == "EncryptedAttribute"
        || holds_sealed
        || speaks_of_it && (!any(node, &says_something) || any(node, &has_a_word))
}

fn says_something(node: Node<'_, '_>) -> bool {
    !node.text_ref().trim().is_empty() || node.attr("code").is_some_and(|code| !code.trim().is_empty())
}

fn has_a_word(node: Node<'_, '_>) -> bool {
    let is_word = |text: &str| pou::EMERGENCY_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    let has = |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_word);
    has(node.text_ref()) || ["code", "displayName"].iter().any(|name| node.attr(name).is_some_and(|text| has(&text)))
}

#[cfg(test)]
mod tests {
    use super::EmergencyClaim::{No, Unclear, Yes};
    use super::*;
    use crate::wire::xml::{Document, Limits};
    use proptest::prelude::*;

    const NAME: &str = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse";

    fn header(attribute: &str, value: &str) -> String {
        security(&format!(
            "<s:Assertion xmlns:s=\"{SAML2}\" ID=\"_1\"><s:Issuer>x</s:Issuer>\
             <s:AttributeStatement><s:Attribute Name=\"urn:oasis:names:tc:xspa:1.0:subject:subject-id\">\
             <s:AttributeValue>Dr Ida Berg</s:AttributeValue></s:Attribute><s:Attribute Name=\"{attribute}\">\
             <s:AttributeValue>{value}</s:AttributeValue></s:Attribute></s:AttributeStatement></s:Assertion>"
        ))
    }

    fn security(tokens: &str) -> String {
        format!(
            "<wsse:Security xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\">\
             {tokens}</wsse:Security>"
        )
    }

    fn coded(code: &str, system: &str) -> String {
        format!("<PurposeOfUse xmlns=\"urn:hl7-org:v3\" code=\"{code}\" codeSystem=\"{system}\"/>")
    }

    fn read(text: &str) -> Option<EmergencyClaim> {
        let document = Document::parse(text, Limits::default()).ok()?;
        Some(emergency_claim(document.root()))
    }

    fn assert_all(cases: &[(String, EmergencyClaim)]) {
        for (text, claim) in cases {
            assert_eq!(read(text), Some(*claim), "{text}");
        }
    }

    #[test]
    fn purposes_are_read_in_the_spellings_that_are_seen() {
        let code = "code=\" ETREAT \" codeSystem=\"2.16.840.1.113883.5.8\" displayName=\"emergency\"";
        for name in [NAME, " urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse\n"] {
            for element in ["PurposeOfUse", "PurposeForUse"] {
                let text = header(name, &format!("<{element} xmlns=\"urn:hl7-org:v3\" {code}/>"));
                assert_eq!(read(&text), Some(Yes), "{name} {element}");
            }
        }
        let treat = coded("TREAT", pou::ACT_REASON);
        let emergency = format!("<h:PurposeOfUse xmlns:h=\"urn:hl7-org:v3\" {code}/>");
        assert_all(&[
            (header(NAME, &coded("BTG", pou::ACT_REASON)), Yes),
            (header(NAME, &format!("{treat}{emergency}")), Yes),
            (header(NAME, &format!("{}{emergency}", treat.repeat(MOST - 1))), Yes),
            (header(NAME, &treat), No),
            (header(NAME, &coded("TREATMENT", "2.16.840.1.113883.3.18.7.1")), No),
            (header(NAME, "TREATMENT"), No),
        ]);
    }

    #[test]
    fn what_may_be_one_leaves_it_open() {
        let sealed = "<e:EncryptedData xmlns:e=\"http://www.w3.org/2001/04/xmlenc#\"><e:CipherValue>abc</e:CipherValue></e:EncryptedData>";
        let national = "<PurposeOfUse xmlns=\"urn:hl7-org:v3\" code=\"5\" displayName=\"Emergency care\"/>";
        let subject = |inner: &str| {
            security(&format!("<s:Assertion xmlns:s=\"{SAML2}\"><s:Subject>{inner}</s:Subject></s:Assertion>"))
        };
        assert_all(&[
            (header(NAME, "http://terminology.hl7.org/CodeSystem/v3-ActReason|ETREAT"), Unclear),
            (header(NAME, "ETREAT^^2.16.840.1.113883.5.8"), Unclear),
            (header(NAME, national), Unclear),
            (header(NAME, &coded("1", "1.0.14265.1")), Unclear),
            (header(NAME, sealed), Unclear),
            (header("urn:x", sealed), Unclear),
            (subject(&format!("<s:EncryptedID>{sealed}</s:EncryptedID>")), No),
            (subject(sealed), Unclear),
        ]);
    }

    /// A word in a signature, or in a name, says nothing of a purpose.
    #[test]
    fn a_word_elsewhere_is_none() {
        assert_all(&[
            (security(""), No),
            (security("<SignatureValue>abBTGcd/BTG=</SignatureValue><Id>BTG</Id>"), No),
            (header("urn:oasis:names:tc:xspa:1.0:subject:organization", "EMERGENCY"), No),
            (header("urn:oasis:names:tc:xspa:1.0:subject:role", "<r code=\"ETREAT\"/>"), No),
            (security("<BinarySecurityToken>ETREAT</BinarySecurityToken>"), No),
        ]);
    }

    #[test]
    fn what_cannot_be_read_is_unclear() {
        let right = coded("ETREAT", pou::ACT_REASON);
        let treat = coded("TREAT", pou::ACT_REASON);
        let beside = |more: &str| header(NAME, &treat).replace("</s:AttributeStatement>", more);
        assert_all(&[
            // The code means something in its own system alone, and written as it is there.
            (header(NAME, &coded("ETREAT", "2.999.1")), Unclear),
            (header(NAME, &coded("ETREAT", "")), Unclear),
            (header(NAME, &coded("etreat", pou::ACT_REASON)), Unclear),
            // Plain text, another namespace, another name, another place.
            (header(NAME, " Emergency "), Unclear),
            (header(NAME, "<PurposeOfUse code=\"ETREAT\" codeSystem=\"2.16.840.1.113883.5.8\"/>"), Unclear),
            (header("urn:nhin:names:saml:PurposeOfUse", &right), Unclear),
            (security(&right), Unclear),
            // It is said that there is a purpose, and not which.
            (header(NAME, ""), Unclear),
            (header(NAME, "<PurposeOfUse xmlns=\"urn:hl7-org:v3\" nullFlavor=\"UNK\"/>"), Unclear),
            (header(NAME, &format!("{}{right}", treat.repeat(MOST))), Unclear),
            // Encrypted, as a whole or in part; another version of assertions.
            (security("<s:EncryptedAssertion xmlns:s=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>"), Unclear),
            (security("<x:EncryptedData xmlns:x=\"http://www.w3.org/2001/04/xmlenc#\"/>"), Unclear),
            (beside("<s:EncryptedAttribute/></s:AttributeStatement>"), Unclear),
            (security("<Assertion xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\"/>"), Unclear),
            // A key and the name of whoever asks may be encrypted: they are no purposes.
            (
                beside("</s:AttributeStatement><s:Subject><s:EncryptedID><EncryptedData/></s:EncryptedID></s:Subject>"),
                No,
            ),
        ]);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(text in ".{0,200}", value in "<?[a-zA-Z ='/>\"]{0,60}") {
            read(&text);
            read(&header(NAME, &value));
        }
    }
}
