//! ebRS 3.0: requests and responses around registry objects (ITI TF-3 §4.2.4, TF-2 §3.18, §3.42).

use std::borrow::Cow;
use std::collections::HashSet;

use super::ebrim::{self, EbrimError};
use super::xml::{Document, Limits, Node, Ns, XmlError, push_attr};
use crate::model::ids::EntryUuid;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, RegistryResponse, ResponseStatus, Severity};
use crate::model::rim::{ObjectId, RegistryObject, Slot};
use crate::model::stored_query::{AdhocQuery, ReturnType};
use crate::model::vocabulary::ns;

/// A body that is not the message it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not XML we accept.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// An element is missing or wrong: the message's frame.
    #[error("{0}")]
    Frame(&'static str),
    /// A metadata object does not keep the schema.
    #[error("not schema-valid: {0}")]
    Object(#[from] EbrimError),
}

/// `lcm:SubmitObjectsRequest` (ITI TF-2 §3.42.4.1.2).
pub struct SubmitObjectsRequest<'a> {
    /// `rs:RequestSlotList`
    pub slots: Vec<Slot<'a>>,
    /// The objects, without `ObjectRef`s, which say nothing in a submission.
    pub objects: Vec<RegistryObject<'a>>,
}

/// Reads `lcm:SubmitObjectsRequest`.
///
/// # Errors
/// When the frame or an object is not as the schema wants it.
pub fn read_submit<'a>(node: Node<'_, 'a>) -> Result<SubmitObjectsRequest<'a>, BodyError> {
    if !node.is(Ns::Lcm, "SubmitObjectsRequest") {
        return Err(BodyError::Frame("lcm:SubmitObjectsRequest is required here"));
    }
    let slots = node.child(Ns::Rs, "RequestSlotList").map(ebrim::slots).unwrap_or_default();
    let list = node
        .child(Ns::Rim, "RegistryObjectList")
        .ok_or(BodyError::Frame("lcm:SubmitObjectsRequest needs a rim:RegistryObjectList"))?;
    let mut objects = ebrim::read_list(list)?;
    objects.retain(|object| object.body != crate::model::rim::Body::ObjectRef);
    Ok(SubmitObjectsRequest { slots, objects })
}

/// Writes `lcm:SubmitObjectsRequest`.
pub fn write_submit(out: &mut Vec<u8>, objects: &[RegistryObject<'_>]) {
    write_submit_with(out, &[], objects);
}

/// The same with a `rs:RequestSlotList`, if there are slots for one.
pub fn write_submit_with(out: &mut Vec<u8>, slots: &[Slot<'_>], objects: &[RegistryObject<'_>]) {
    let open = |out: &mut Vec<u8>, name: &str, prefix: &str, uri: &str| {
        out.extend_from_slice(format!("<{prefix}:{name} xmlns:{prefix}=\"{uri}\"").as_bytes());
    };
    open(out, "SubmitObjectsRequest", "lcm", ns::LCM);
    out.push(b'>');
    if !slots.is_empty() {
        open(out, "RequestSlotList", "rs", ns::RS);
        out.extend_from_slice(format!(" xmlns:rim=\"{}\">", ns::RIM).as_bytes());
        ebrim::write_slot_list(out, slots);
        out.extend_from_slice(b"</rs:RequestSlotList>");
    }
    open(out, "RegistryObjectList", "rim", ns::RIM);
    out.push(b'>');
    for object in objects {
        ebrim::write_object(out, object, None);
    }
    out.extend_from_slice(b"</rim:RegistryObjectList></lcm:SubmitObjectsRequest>");
}

/// Reads `lcm:RemoveObjectsRequest` (Remove Metadata and Documents §3.62.4.1.2): the objects to
/// remove, each once.
///
/// # Errors
/// When there is no object in it, or one that no UUID names, or something else than objects.
pub fn read_remove(node: Node<'_, '_>) -> Result<Vec<EntryUuid>, BodyError> {
    if !node.is(Ns::Lcm, "RemoveObjectsRequest") {
        return Err(BodyError::Frame("lcm:RemoveObjectsRequest is required here"));
    }
    if node.child(Ns::Rim, "AdhocQuery").is_some() {
        return Err(BodyError::Frame("lcm:RemoveObjectsRequest names its objects: rim:AdhocQuery is not allowed"));
    }
    if node.attr("deletionScope").is_some_and(|scope| scope.trim() != DELETE_ALL) {
        return Err(BodyError::Frame("lcm:RemoveObjectsRequest: deletionScope is not allowed"));
    }
    if node.children().any(|child| !child.is(Ns::Rim, "ObjectRefList") && !child.is(Ns::Rs, "RequestSlotList")) {
        return Err(BodyError::Frame("lcm:RemoveObjectsRequest holds a rim:ObjectRefList, and nothing else"));
    }
    let mut lists = node.children().filter(|child| child.is(Ns::Rim, "ObjectRefList"));
    let (Some(list), None) = (lists.next(), lists.next()) else {
        return Err(BodyError::Frame("lcm:RemoveObjectsRequest needs one rim:ObjectRefList"));
    };
    let mut uuids = Vec::new();
    let mut seen = HashSet::new();
    for child in list.children() {
        if !child.is(Ns::Rim, "ObjectRef") {
            return Err(BodyError::Frame("rim:ObjectRefList holds rim:ObjectRef, and nothing else"));
        }
        let uuid = EntryUuid::parse(child.attr("id").unwrap_or_default().trim())
            .map_err(|_| BodyError::Frame("rim:ObjectRef names an object of the registry by its urn:uuid:"))?;
        if seen.insert(uuid) {
            uuids.push(uuid);
        }
    }
    if uuids.is_empty() {
        return Err(BodyError::Frame("rim:ObjectRefList names no object"));
    }
    Ok(uuids)
}

/// Writes `lcm:RemoveObjectsRequest`.
pub fn write_remove(out: &mut Vec<u8>, uuids: &[EntryUuid]) {
    out.extend_from_slice(
        format!("<lcm:RemoveObjectsRequest xmlns:lcm=\"{}\"><rim:ObjectRefList xmlns:rim=\"{}\">", ns::LCM, ns::RIM)
            .as_bytes(),
    );
    for uuid in uuids {
        out.extend_from_slice(format!("<rim:ObjectRef id=\"{uuid}\"/>").as_bytes());
    }
    out.extend_from_slice(b"</rim:ObjectRefList></lcm:RemoveObjectsRequest>");
}

/// The schema's default of `deletionScope`.
///
/// DECISION(Remove Metadata and Documents §3.62.4.1.2): the attribute is not allowed, but some stacks
/// write defaults out; the default asks for what is done anyway.
const DELETE_ALL: &str = "urn:oasis:names:tc:ebxml-regrep:DeletionScopeType:DeleteAll";

/// Reads `query:AdhocQueryRequest`.
///
/// # Errors
/// When there is no `rim:AdhocQuery` in it.
pub fn read_query(node: Node<'_, '_>) -> Result<AdhocQuery, BodyError> {
    if !node.is(Ns::Query, "AdhocQueryRequest") {
        return Err(BodyError::Frame("query:AdhocQueryRequest is required here"));
    }
    let query =
        node.child(Ns::Rim, "AdhocQuery").ok_or(BodyError::Frame("query:AdhocQueryRequest needs a rim:AdhocQuery"))?;
    Ok(AdhocQuery {
        id: query.attr("id").unwrap_or_default().trim().to_owned(),
        home: query.attr("home").map(|home| home.trim().to_owned()).filter(|home| !home.is_empty()),
        return_type: node
            .child(Ns::Query, "ResponseOption")
            .map(|option| option.attr("returnType").unwrap_or_default().into_owned()),
        slots: ebrim::slots(query).into_iter().map(Slot::into_owned).collect(),
    })
}

/// Writes `query:AdhocQueryRequest`.
pub fn write_query(out: &mut Vec<u8>, query: &AdhocQuery) {
    out.extend_from_slice(
        format!("<query:AdhocQueryRequest xmlns:query=\"{}\" xmlns:rim=\"{}\"><query:ResponseOption returnComposedObjects=\"true\" returnType=\"", ns::QUERY, ns::RIM).as_bytes(),
    );
    push_attr(out, query.return_type.as_deref().unwrap_or("LeafClass"));
    out.extend_from_slice(b"\"/><rim:AdhocQuery id=\"");
    push_attr(out, &query.id);
    if let Some(home) = &query.home {
        out.extend_from_slice(b"\" home=\"");
        push_attr(out, home);
    }
    out.extend_from_slice(b"\">");
    ebrim::write_slot_list(out, &query.slots);
    out.extend_from_slice(b"</rim:AdhocQuery></query:AdhocQueryRequest>");
}

fn write_errors(out: &mut Vec<u8>, errors: &[RegistryError]) {
    let Some(highest) = errors.iter().map(|e| e.severity).max() else {
        return;
    };
    out.extend_from_slice(format!("<rs:RegistryErrorList highestSeverity=\"{}\">", highest.urn()).as_bytes());
    for error in errors {
        out.extend_from_slice(b"<rs:RegistryError errorCode=\"");
        push_attr(out, error.code.as_str());
        out.extend_from_slice(b"\" codeContext=\"");
        push_attr(out, &error.context);
        out.extend_from_slice(b"\" severity=\"");
        push_attr(out, error.severity.urn());
        if let Some(location) = &error.location {
            out.extend_from_slice(b"\" location=\"");
            push_attr(out, location);
        }
        out.extend_from_slice(b"\"/>");
    }
    out.extend_from_slice(b"</rs:RegistryErrorList>");
}

fn read_errors(node: Node<'_, '_>) -> Vec<RegistryError> {
    let Some(list) = node.child(Ns::Rs, "RegistryErrorList") else {
        return Vec::new();
    };
    list.children()
        .filter(|child| child.is(Ns::Rs, "RegistryError"))
        .map(|child| RegistryError {
            code: ErrorCode::received(child.attr("errorCode").unwrap_or_default().trim()),
            context: child.attr("codeContext").unwrap_or_default().into_owned(),
            location: child.attr("location").map(Cow::into_owned).filter(|l| !l.trim().is_empty()),
            // Legacy peers write the bare word; anything else counts as an error.
            severity: if child.attr("severity").is_some_and(|s| s.ends_with("Warning")) {
                Severity::Warning
            } else {
                Severity::Error
            },
        })
        .collect()
}

/// Writes `rs:RegistryResponse`.
pub fn write_registry_response(out: &mut Vec<u8>, status: ResponseStatus, errors: &[RegistryError]) {
    out.extend_from_slice(
        format!("<rs:RegistryResponse xmlns:rs=\"{}\" status=\"{}\">", ns::RS, status.urn()).as_bytes(),
    );
    write_errors(out, errors);
    out.extend_from_slice(b"</rs:RegistryResponse>");
}

/// Reads `rs:RegistryResponse`.
///
/// # Errors
/// When it is something else, has no status we know, or is a Failure without errors.
pub fn read_registry_response(node: Node<'_, '_>) -> Result<RegistryResponse, BodyError> {
    if !node.is(Ns::Rs, "RegistryResponse") {
        return Err(BodyError::Frame("rs:RegistryResponse is required here"));
    }
    let status = read_status(node)?;
    let errors = read_errors(node);
    if status == ResponseStatus::Failure && errors.is_empty() {
        return Err(BodyError::Frame("a Failure needs a rs:RegistryErrorList"));
    }
    Ok(RegistryResponse { status, errors })
}

fn read_status(node: Node<'_, '_>) -> Result<ResponseStatus, BodyError> {
    node.attr("status")
        .as_deref()
        .and_then(ResponseStatus::from_urn)
        .ok_or(BodyError::Frame("a response needs a status: Success, PartialSuccess or Failure"))
}

/// Writes `query:AdhocQueryResponse` with its objects or, for ObjectRef, their ids.
///
/// # Errors
/// A packed object that is damaged; nothing of it has been sent yet.
pub fn write_query_response(
    out: &mut Vec<u8>,
    response: &QueryResponse,
    return_type: ReturnType,
) -> Result<(), crate::model::packed::Damaged> {
    write_query_response_start(out, response);
    let home = response.home.as_ref().map(|home| home.as_str());
    for packed in &response.objects {
        match (return_type, packed.uuid()) {
            // The id is in the header: no need to decode, unless a peer's object has its own home.
            (ReturnType::ObjectRef, Some(uuid)) if home.is_some() && !packed.has_home() => {
                ebrim::write_object_ref(out, &ObjectId::Uuid(uuid), home);
            }
            (ReturnType::ObjectRef, _) => {
                let object = packed.unpack()?;
                if let Some(id) = &object.common.id {
                    ebrim::write_object_ref(out, id, object.common.home.as_deref().or(home));
                }
            }
            (ReturnType::LeafClass, _) => ebrim::write_packed(out, packed, home)?,
        }
    }
    write_query_response_end(out);
    Ok(())
}

/// Writes `query:AdhocQueryResponse` up to its first object.
pub fn write_query_response_start(out: &mut Vec<u8>, response: &QueryResponse) {
    out.extend_from_slice(
        format!(
            "<query:AdhocQueryResponse xmlns:query=\"{}\" xmlns:rim=\"{}\" xmlns:rs=\"{}\" status=\"{}\">",
            ns::QUERY,
            ns::RIM,
            ns::RS,
            response.status.urn()
        )
        .as_bytes(),
    );
    write_errors(out, &response.errors);
    out.extend_from_slice(b"<rim:RegistryObjectList>");
}

/// Ends what [`write_query_response_start`] began.
pub fn write_query_response_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</rim:RegistryObjectList></query:AdhocQueryResponse>");
}

/// Reads `query:AdhocQueryResponse`.
///
/// # Errors
/// When it is something else or not schema-valid.
pub fn read_query_response(node: Node<'_, '_>) -> Result<QueryResponse, BodyError> {
    let (status, errors, list) = read_query_response_head(node)?;
    let objects = match list {
        Some(list) => ebrim::read_list(list)?.iter().map(PackedObject::pack).collect(),
        None => Vec::new(),
    };
    Ok(QueryResponse { status, errors, objects, home: None })
}

/// The status and errors of a `query:AdhocQueryResponse`, and its list of objects, which a Failure may lack.
///
/// # Errors
/// When it is something else, or its frame is not as the schema wants it.
pub fn read_query_response_head<'d, 'a>(node: Node<'d, 'a>) -> Result<QueryResponseHead<'d, 'a>, BodyError> {
    if !node.is(Ns::Query, "AdhocQueryResponse") {
        return Err(BodyError::Frame("query:AdhocQueryResponse is required here"));
    }
    let status = read_status(node)?;
    let errors = read_errors(node);
    if status == ResponseStatus::Failure && errors.is_empty() {
        return Err(BodyError::Frame("a Failure needs a rs:RegistryErrorList"));
    }
    match node.child(Ns::Rim, "RegistryObjectList") {
        None if status != ResponseStatus::Failure => {
            Err(BodyError::Frame("query:AdhocQueryResponse needs a rim:RegistryObjectList"))
        }
        list => Ok((status, errors, list)),
    }
}

/// What comes before the objects of an answer, and where they are.
pub type QueryResponseHead<'d, 'a> = (ResponseStatus, Vec<RegistryError>, Option<Node<'d, 'a>>);

/// Parses a body that stands alone, for tests and tools.
///
/// # Errors
/// When the text is not XML we accept.
pub fn parse_body(text: &str) -> Result<Document<'_>, XmlError> {
    Document::parse(text, Limits::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_round_trip() {
        let query = AdhocQuery {
            id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into(),
            home: Some("urn:oid:2.999.1".into()),
            return_type: Some("ObjectRef".into()),
            slots: vec![
                Slot::list("$XDSDocumentEntryStatus", ["('a','b')", "('c')"]),
                Slot::single("$x", "'it''s & <'"),
            ],
        };
        let mut out = Vec::new();
        write_query(&mut out, &query);
        let text = String::from_utf8(out).unwrap();
        let document = parse_body(&text).unwrap();
        assert_eq!(read_query(document.root()).unwrap(), query);
    }

    #[test]
    fn responses_round_trip() {
        let errors = vec![
            RegistryError::new(ErrorCode::XDSUnavailableCommunity, "did not answer & <went>").at("urn:oid:2.999.5"),
            RegistryError::new(ErrorCode::received("urn:x#Strange"), "w").warning(),
        ];
        let mut out = Vec::new();
        write_registry_response(&mut out, ResponseStatus::PartialSuccess, &errors);
        let text = String::from_utf8(out).unwrap();
        let document = parse_body(&text).unwrap();
        let read = read_registry_response(document.root()).unwrap();
        assert_eq!((read.status, read.errors), (ResponseStatus::PartialSuccess, errors));
    }

    #[test]
    fn a_failure_names_its_errors() {
        let text = format!("<r:RegistryResponse xmlns:r='{}' status='{}'/>", ns::RS, ResponseStatus::Failure.urn());
        assert!(read_registry_response(parse_body(&text).unwrap().root()).is_err());
    }
}
