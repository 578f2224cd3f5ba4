//! The data types of HL7 v3 that patient discovery needs: II, CS, TS, IVL_TS, EN, AD, TEL.

use super::push;
use crate::model::discovery::{Address, BirthTime, InstanceId, PersonName};
use crate::model::ids::{Oid, PatientId};
use crate::model::time::Dtm;
use crate::wire::xml::{Node, Ns, push_attr, push_text};

/// The first child element of that name.
pub(super) fn child<'d, 'a>(node: Node<'d, 'a>, name: &str) -> Option<Node<'d, 'a>> {
    node.child(Ns::Hl7v3, name)
}

/// The child elements of that name that have a value: one with a nullFlavor is absent.
pub(super) fn present<'d, 'a: 'd>(node: Node<'d, 'a>, name: &'d str) -> impl Iterator<Item = Node<'d, 'a>> {
    node.children().filter(move |child| child.is(Ns::Hl7v3, name) && !is_null(*child))
}

pub(super) fn is_null(node: Node<'_, '_>) -> bool {
    node.attr("nullFlavor").is_some()
}

/// An attribute that is not empty, without white space around it.
pub(super) fn value(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attr(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The `code` of a child.
pub(super) fn code(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name).and_then(|node| value(node, "code"))
}

/// The text of an element.
pub(super) fn text(node: Node<'_, '_>) -> Option<String> {
    Some(node.text_ref().trim().to_owned()).filter(|text| !text.is_empty())
}

/// The type that `xsi:type` names, without its prefix.
pub(super) fn xsi_type(node: Node<'_, '_>) -> Option<String> {
    let named = node.attr_ns(Ns::Xsi, "type")?;
    Some(named.trim().rsplit(':').next().unwrap_or_default().to_owned())
}

pub(super) fn read_instance_id(node: Node<'_, '_>) -> Option<InstanceId> {
    if is_null(node) {
        return None;
    }
    Some(InstanceId { root: value(node, "root")?, extension: value(node, "extension") })
}

/// A patient's identifier: the root is the OID of the assigning authority, both halves are there.
pub(super) fn read_patient_id(node: Node<'_, '_>) -> Option<PatientId> {
    let authority = Oid::parse(&value(node, "root")?).ok()?;
    PatientId::new(&value(node, "extension")?, authority).ok()
}

/// TS: `YYYYMMDD[hhmm[ss[.s]]][±zzzz]`, less of it allowed. Fraction and zone are not kept: what is
/// read here are days.
pub(super) fn read_time(text: &str) -> Option<Dtm> {
    let digits = text.trim().split(['.', '+', '-', 'Z']).next().unwrap_or_default();
    Dtm::parse(digits).ok()
}

/// IVL_TS as `@value`, or `low` and `high`.
pub(super) fn read_interval(node: Node<'_, '_>) -> Option<BirthTime> {
    if let Some(value) = value(node, "value") {
        return read_time(&value).map(BirthTime::At);
    }
    let end = |name: &str| match child(node, name).filter(|end| !is_null(*end)) {
        Some(end) => value(end, "value").and_then(|value| read_time(&value)).map(Some),
        None => Some(None),
    };
    match (end("low")?, end("high")?) {
        (None, None) => None,
        (low, high) => Some(BirthTime::Between(low, high)),
    }
}

/// EN and PN, in parts or as a mere text.
pub(super) fn read_name(node: Node<'_, '_>) -> Option<PersonName> {
    let part = |name: &str| present(node, name).filter_map(text).collect();
    let mut name = PersonName {
        given: part("given"),
        family: part("family"),
        prefix: part("prefix"),
        suffix: part("suffix"),
        text: None,
    };
    if name.is_empty() {
        name.text = text(node);
    }
    Some(name).filter(|name| !name.is_empty())
}

/// AD; its parts come in any order.
pub(super) fn read_address(node: Node<'_, '_>) -> Option<Address> {
    const LINES: [&str; 4] = ["streetAddressLine", "streetName", "houseNumber", "additionalLocator"];
    let one = |name: &str| present(node, name).find_map(text);
    let lines = node.children().filter(|part| part.ns() == Ns::Hl7v3 && LINES.contains(&part.local()));
    let mut address = Address {
        lines: lines.filter(|part| !is_null(*part)).filter_map(text).collect(),
        city: one("city"),
        state: one("state"),
        postal_code: one("postalCode"),
        country: one("country"),
    };
    if address.is_empty() {
        address.lines.extend(text(node));
    }
    Some(address).filter(|address| !address.is_empty())
}

/// ` name="value"`
pub(super) fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    push(out, &format!(" {name}=\""));
    push_attr(out, value);
    push(out, "\"");
}

pub(super) fn element(out: &mut Vec<u8>, name: &str, content: &str) {
    push(out, &format!("<{name}>"));
    push_text(out, content);
    push(out, &format!("</{name}>"));
}

pub(super) fn instance_id(out: &mut Vec<u8>, name: &str, id: &InstanceId) {
    push(out, &format!("<{name}"));
    attribute(out, "root", &id.root);
    if let Some(extension) = &id.extension {
        attribute(out, "extension", extension);
    }
    push(out, "/>");
}

pub(super) fn patient_id(out: &mut Vec<u8>, name: &str, id: &PatientId) {
    push(out, &format!("<{name}"));
    attribute(out, "root", id.authority().as_str());
    attribute(out, "extension", id.id());
    push(out, "/>");
}

pub(super) fn telecom(out: &mut Vec<u8>, name: &str, address: &str) {
    push(out, &format!("<{name}"));
    attribute(out, "value", address);
    push(out, "/>");
}

pub(super) fn interval(out: &mut Vec<u8>, name: &str, time: &BirthTime) {
    match time {
        BirthTime::At(time) => push(out, &format!("<{name} value=\"{}\"/>", time.as_str())),
        BirthTime::Between(low, high) => {
            push(out, &format!("<{name}>"));
            for (end, time) in [("low", low), ("high", high)] {
                if let Some(time) = time {
                    push(out, &format!("<{end} value=\"{}\"/>", time.as_str()));
                }
            }
            push(out, &format!("</{name}>"));
        }
    }
}

pub(super) fn name(out: &mut Vec<u8>, element_name: &str, name: &PersonName) {
    push(out, &format!("<{element_name}>"));
    let parts = [("prefix", &name.prefix), ("given", &name.given), ("family", &name.family), ("suffix", &name.suffix)];
    for (part, texts) in parts {
        for text in texts {
            element(out, part, text);
        }
    }
    if let Some(text) = &name.text {
        push_text(out, text);
    }
    push(out, &format!("</{element_name}>"));
}

pub(super) fn address(out: &mut Vec<u8>, element_name: &str, address: &Address) {
    push(out, &format!("<{element_name}>"));
    for line in &address.lines {
        element(out, "streetAddressLine", line);
    }
    let parts = [
        ("city", &address.city),
        ("state", &address.state),
        ("postalCode", &address.postal_code),
        ("country", &address.country),
    ];
    for (part, text) in parts {
        if let Some(text) = text {
            element(out, part, text);
        }
    }
    push(out, &format!("</{element_name}>"));
}
