//! Which elements and attributes an answer may have (schemas `query.xsd`, `rs.xsd`, `rim.xsd` and the
//! one of XDS.b), as one table: a partner that reads by the schema throws anything else away.
//!
//! Not judged: types of values. What a value must be is the metadata's business.

use crate::wire::xml::{Node, Ns};

/// So much is listed; one finding is as good as many.
const MOST: usize = 5;

/// What an element may have.
struct Element {
    ns: Ns,
    local: &'static str,
    /// Attributes that it must have.
    required: &'static [&'static str],
    /// Attributes that it may have.
    optional: &'static [&'static str],
    /// Elements in it, in order; those in one group in any order.
    children: &'static [&'static [(Ns, &'static str)]],
    /// Whether it has text.
    text: bool,
}

const fn element(
    ns: Ns,
    local: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    children: &'static [&'static [(Ns, &'static str)]],
) -> Element {
    Element { ns, local, required, optional, children, text: false }
}

const fn leaf(ns: Ns, local: &'static str) -> Element {
    Element { ns, local, required: &[], optional: &[], children: &[], text: true }
}

use Ns::{Query, Rim, Rs, Xdsb, Xop};

const PARTS: &[&[(Ns, &str)]] = &[
    &[(Rim, "Slot")],
    &[(Rim, "Name")],
    &[(Rim, "Description")],
    &[(Rim, "VersionInfo")],
    &[(Rim, "Classification")],
    &[(Rim, "ExternalIdentifier")],
];
const ENTRY_PARTS: &[&[(Ns, &str)]] =
    &[PARTS[0], PARTS[1], PARTS[2], PARTS[3], PARTS[4], PARTS[5], &[(Rim, "ContentVersionInfo")]];
const PACKAGE_PARTS: &[&[(Ns, &str)]] =
    &[PARTS[0], PARTS[1], PARTS[2], PARTS[3], PARTS[4], PARTS[5], &[(Rim, "RegistryObjectList")]];
const OBJECTS: &[&[(Ns, &str)]] = &[&[
    (Rim, "ExtrinsicObject"),
    (Rim, "RegistryPackage"),
    (Rim, "Association"),
    (Rim, "Classification"),
    (Rim, "ExternalIdentifier"),
    (Rim, "ObjectRef"),
]];
const RESPONSE: &[&[(Ns, &str)]] = &[&[(Rs, "ResponseSlotList")], &[(Rs, "RegistryErrorList")]];
const QUERY_RESPONSE: &[&[(Ns, &str)]] = &[RESPONSE[0], RESPONSE[1], &[(Rim, "RegistryObjectList")]];

#[rustfmt::skip] // A table reads in rows.
const ELEMENTS: &[Element] = &[
    element(Query, "AdhocQueryResponse", &["status"], &["requestId", "startIndex", "totalResultCount"], QUERY_RESPONSE),
    element(Rs, "RegistryResponse", &["status"], &["requestId"], RESPONSE),
    element(Rs, "ResponseSlotList", &[], &[], &[&[(Rim, "Slot")]]),
    element(Rs, "RegistryErrorList", &[], &["highestSeverity"], &[&[(Rs, "RegistryError")]]),
    // Its type is a text, though nothing stands in it.
    Element { text: true, ..element(Rs, "RegistryError", &["errorCode", "codeContext"], &["severity", "location"], &[]) },
    element(Rim, "RegistryObjectList", &[], &[], OBJECTS),
    element(Rim, "ObjectRef", &["id"], &["home", "createReplica"], &[&[(Rim, "Slot")]]),
    element(Rim, "ExtrinsicObject", &["id"], &["home", "lid", "objectType", "status", "mimeType", "isOpaque"], ENTRY_PARTS),
    element(Rim, "RegistryPackage", &["id"], &["home", "lid", "objectType", "status"], PACKAGE_PARTS),
    element(Rim, "Association", &["id", "associationType", "sourceObject", "targetObject"], &["home", "lid", "objectType", "status"], PARTS),
    element(Rim, "Classification", &["id", "classifiedObject"], &["home", "lid", "objectType", "status", "classificationScheme", "classificationNode", "nodeRepresentation"], PARTS),
    element(Rim, "ExternalIdentifier", &["id", "registryObject", "identificationScheme", "value"], &["home", "lid", "objectType", "status"], PARTS),
    element(Rim, "Slot", &["name"], &["slotType"], &[&[(Rim, "ValueList")]]),
    element(Rim, "ValueList", &[], &[], &[&[(Rim, "Value")]]),
    leaf(Rim, "Value"),
    element(Rim, "Name", &[], &[], &[&[(Rim, "LocalizedString")]]),
    element(Rim, "Description", &[], &[], &[&[(Rim, "LocalizedString")]]),
    element(Rim, "LocalizedString", &["value"], &["charset"], &[]),
    element(Rim, "VersionInfo", &[], &["versionName", "comment"], &[]),
    element(Rim, "ContentVersionInfo", &[], &["versionName", "comment"], &[]),
    element(Xdsb, "RetrieveDocumentSetResponse", &[], &[], &[&[(Rs, "RegistryResponse")], &[(Xdsb, "DocumentResponse")]]),
    element(Xdsb, "DocumentResponse", &[], &[], &[
        &[(Xdsb, "HomeCommunityId")], &[(Xdsb, "RepositoryUniqueId")], &[(Xdsb, "DocumentUniqueId")],
        &[(Xdsb, "NewRepositoryUniqueId")], &[(Xdsb, "NewDocumentUniqueId")], &[(Xdsb, "mimeType")], &[(Xdsb, "Document")],
    ]),
    leaf(Xdsb, "HomeCommunityId"),
    leaf(Xdsb, "RepositoryUniqueId"),
    leaf(Xdsb, "DocumentUniqueId"),
    leaf(Xdsb, "NewRepositoryUniqueId"),
    leaf(Xdsb, "NewDocumentUniqueId"),
    leaf(Xdsb, "mimeType"),
    Element { text: true, ..element(Xdsb, "Document", &[], &[], &[&[(Xop, "Include")]]) },
    element(Xop, "Include", &["href"], &[], &[]),
];

/// Namespaces whose attributes may stand anywhere: XML's own, of schema instances, of media types.
const ANYWHERE: [&str; 3] = [
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/2001/XMLSchema-instance",
    "http://www.w3.org/2005/05/xmlmime",
];

/// A name of somebody else's, short and on one line.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let short: String = text.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if text.chars().nth(MOST).is_some() { short + "…" } else { short }
}

fn found(node: Node<'_, '_>) -> Option<&'static Element> {
    ELEMENTS.iter().find(|element| node.is(element.ns, element.local))
}

/// What in an answer's body the schemas do not allow; the first few, in the order of the message.
pub fn judge(root: Node<'_, '_>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        if findings.len() >= MOST {
            break;
        }
        let name = shown(node.local());
        let Some(element) = found(node) else {
            findings.push(format!("{name}: the schema has no such element"));
            continue;
        };
        judge_attributes(node, element, &name, &mut findings);
        judge_children(node, element, &name, &mut findings);
        if !element.text && !node.text_ref().trim().is_empty() {
            findings.push(format!("{name}: it has text"));
        }
        let children: Vec<_> = node.children().filter(|child| found(*child).is_some()).collect();
        open.extend(children.into_iter().rev());
    }
    findings.truncate(MOST);
    findings
}

fn judge_attributes(node: Node<'_, '_>, element: &Element, name: &str, findings: &mut Vec<String>) {
    for (uri, local, _) in node.attributes() {
        let known = match uri {
            "" => element.required.contains(&local) || element.optional.contains(&local),
            uri => ANYWHERE.contains(&uri),
        };
        if !known {
            findings.push(format!("{name}: the schema has no attribute {}", shown(local)));
        }
    }
    for required in element.required {
        if node.attr(required).is_none() {
            findings.push(format!("{name}: its attribute {required} is missing"));
        }
    }
}

fn judge_children(node: Node<'_, '_>, element: &Element, name: &str, findings: &mut Vec<String>) {
    let mut last = 0;
    for child in node.children() {
        let group = element.children.iter().position(|group| group.iter().any(|(ns, local)| child.is(*ns, local)));
        match group {
            None => findings.push(format!("{name}: {} may not stand in it", shown(child.local()))),
            Some(group) if group < last => {
                findings.push(format!("{name}: {} stands too late in it", shown(child.local())));
            }
            Some(group) => last = group,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vocabulary::ns;
    use crate::wire::ebrs::parse_body;

    fn judged(body: &str) -> Vec<String> {
        let text = format!(
            "<q:AdhocQueryResponse xmlns:q='{}' xmlns:m='{}' xmlns:r='{}' xmlns:xsi='{}' status='s'>{body}</q:AdhocQueryResponse>",
            ns::QUERY,
            ns::RIM,
            ns::RS,
            ANYWHERE[1]
        );
        judge(parse_body(&text).unwrap().root())
    }

    #[test]
    fn what_the_schema_allows_is_left_alone() {
        let good = "<r:RegistryErrorList highestSeverity='x'><r:RegistryError errorCode='a' codeContext='b'/></r:RegistryErrorList>\
            <m:RegistryObjectList><m:ExtrinsicObject id='a' xsi:type='m:ExtrinsicObjectType'><m:Slot name='n'><m:ValueList>\
            <m:Value>v</m:Value></m:ValueList></m:Slot><m:Name><m:LocalizedString xml:lang='en' value='v'/></m:Name>\
            </m:ExtrinsicObject><m:ObjectRef id='b'/></m:RegistryObjectList>";
        assert_eq!(judged(good), Vec::<String>::new());
    }

    #[test]
    fn what_it_does_not_allow_is_named() {
        for (body, finding) in [
            ("<m:RegistryObjectList><m:ObjectRef id='a' owner='x'/></m:RegistryObjectList>", "no attribute owner"),
            ("<m:RegistryObjectList><m:ObjectRef/></m:RegistryObjectList>", "ObjectRef: its attribute id is missing"),
            ("<m:RegistryObjectList/><r:RegistryErrorList/>", "RegistryErrorList stands too late"),
            ("<m:Slot name='x'/>", "Slot may not stand in it"),
            ("<m:RegistryObjectList>text</m:RegistryObjectList>", "it has text"),
            ("<m:RegistryObjectList><x/></m:RegistryObjectList>", "x may not stand in it"),
        ] {
            let findings = judged(body);
            assert!(matches!(&findings[..], [one] if one.contains(finding)), "{findings:?}");
        }
        let many = "<m:Strange/>".repeat(50);
        assert_eq!(judged(&many).len(), MOST);
    }

    #[test]
    fn every_element_named_in_a_row_has_a_row() {
        for element in ELEMENTS {
            for (ns, local) in element.children.iter().flat_map(|group| group.iter()) {
                assert!(ELEMENTS.iter().any(|e| e.ns == *ns && e.local == *local), "{local}");
            }
        }
    }
}
