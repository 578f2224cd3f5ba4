//! XDS.b: the messages that carry documents (ITI TF-2 §3.41, §3.43, §3.39).

use std::borrow::Cow;

use super::ebrs::{self, BodyError, SubmitObjectsRequest};
use super::xml::{Node, Ns, push_attr, push_text};
use crate::model::document::RetrievedDocument;
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId, UniqueId};
use crate::model::response::{RegistryError, RegistryResponse, ResponseStatus};
use crate::model::rim::{RegistryObject, Slot};
use crate::model::vocabulary::ns;

/// Where the bytes of a document element are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binary<'a> {
    /// Base64 text inside the element.
    Inline(Cow<'a, str>),
    /// `xop:Include/@href`, as written.
    Include(Cow<'a, str>),
}

pub(super) fn binary<'a>(node: Node<'_, 'a>) -> Result<Binary<'a>, BodyError> {
    let mut children = node.children();
    match (children.next(), children.next()) {
        // Taken for base64 it would be a document of no bytes.
        (None, _) if node.attr("href").is_some() => Err(BodyError::Frame(
            "a document element with an href of its own is SOAP with Attachments: MTOM/XOP has an xop:Include in it",
        )),
        (None, _) => Ok(Binary::Inline(node.text())),
        (Some(include), None) if include.is(Ns::Xop, "Include") => {
            let href = include.attr("href").ok_or(BodyError::Frame("xop:Include needs an href"))?;
            // Only parts of this very message: anything else would make us fetch for a stranger.
            if !href.starts_with("cid:") {
                return Err(BodyError::Frame(
                    "xop:Include refers to something other than a part of this message: only cid: is allowed",
                ));
            }
            if !node.text_ref().trim().is_empty() {
                return Err(BodyError::Frame("xop:Include stands beside text"));
            }
            Ok(Binary::Include(href))
        }
        _ => Err(BodyError::Frame("a document element holds base64 text or one xop:Include")),
    }
}

/// `xds:ProvideAndRegisterDocumentSetRequest` (ITI TF-2 §3.41.4.1.2).
pub struct ProvideRequest<'a> {
    /// The metadata.
    pub submit: SubmitObjectsRequest<'a>,
    /// `xds:Document`: id of its DocumentEntry, and where its bytes are.
    pub documents: Vec<(Cow<'a, str>, Binary<'a>)>,
}

/// Reads `xds:ProvideAndRegisterDocumentSetRequest`.
///
/// # Errors
/// When the frame, an object or a document element is not as the schema wants it.
pub fn read_provide<'a>(node: Node<'_, 'a>) -> Result<ProvideRequest<'a>, BodyError> {
    let submit = node
        .child(Ns::Lcm, "SubmitObjectsRequest")
        .ok_or(BodyError::Frame("xds:ProvideAndRegisterDocumentSetRequest needs a lcm:SubmitObjectsRequest"))?;
    let submit = ebrs::read_submit(submit)?;
    let mut documents = Vec::new();
    for child in node.children().filter(|child| child.is(Ns::Xdsb, "Document")) {
        let id = child.attr("id").ok_or(BodyError::Frame("xds:Document needs the id of its DocumentEntry"))?;
        documents.push((id, binary(child)?));
    }
    Ok(ProvideRequest { submit, documents })
}

/// Writes the request around metadata; each document is an `xop:Include` of its Content-ID.
pub fn write_provide(out: &mut Vec<u8>, objects: &[RegistryObject<'_>], documents: &[(String, String)]) {
    write_provide_with(out, &[], objects, documents);
}

/// The same with slots of the request.
pub fn write_provide_with(
    out: &mut Vec<u8>,
    slots: &[Slot<'_>],
    objects: &[RegistryObject<'_>],
    documents: &[(String, String)],
) {
    out.extend_from_slice(format!("<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds=\"{}\">", ns::XDSB).as_bytes());
    ebrs::write_submit_with(out, slots, objects);
    for (id, content_id) in documents {
        out.extend_from_slice(b"<xds:Document id=\"");
        push_attr(out, id);
        out.extend_from_slice(b"\">");
        write_include(out, content_id);
        out.extend_from_slice(b"</xds:Document>");
    }
    out.extend_from_slice(b"</xds:ProvideAndRegisterDocumentSetRequest>");
}

pub(super) fn write_include(out: &mut Vec<u8>, content_id: &str) {
    out.extend_from_slice(format!("<xop:Include xmlns:xop=\"{}\" href=\"cid:", ns::XOP).as_bytes());
    push_attr(out, content_id);
    out.extend_from_slice(b"\"/>");
}

/// One `xds:DocumentRequest` as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawDocumentRequest {
    /// `xds:HomeCommunityId`, trimmed; empty counts as absent.
    pub home: Option<String>,
    /// `xds:RepositoryUniqueId`
    pub repository: String,
    /// `xds:DocumentUniqueId`
    pub unique_id: String,
}

fn trimmed(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.child(Ns::Xdsb, name).map(|child| child.text_ref().trim().to_owned()).filter(|text| !text.is_empty())
}

/// The children of a sequence must come in the schema's order; `order` lists them.
fn in_order(node: Node<'_, '_>, order: &[&str]) -> bool {
    let mut last = 0;
    node.children().filter(|c| c.ns() == Ns::Xdsb).all(|child| {
        match order.iter().position(|name| *name == child.local()) {
            Some(place) if place >= last => {
                last = place;
                true
            }
            _ => false,
        }
    })
}

/// Reads `xds:RetrieveDocumentSetRequest`.
///
/// # Errors
/// When an entry lacks an id, or its parts are out of the schema's order.
pub fn read_retrieve(node: Node<'_, '_>) -> Result<Vec<RawDocumentRequest>, BodyError> {
    let mut requests = Vec::new();
    for child in node.children().filter(|child| child.is(Ns::Xdsb, "DocumentRequest")) {
        if !in_order(child, &["HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId"]) {
            return Err(BodyError::Frame(
                "xds:DocumentRequest: HomeCommunityId, RepositoryUniqueId, DocumentUniqueId come in this order",
            ));
        }
        requests.push(RawDocumentRequest {
            home: trimmed(child, "HomeCommunityId"),
            repository: trimmed(child, "RepositoryUniqueId")
                .ok_or(BodyError::Frame("xds:DocumentRequest needs a RepositoryUniqueId"))?,
            unique_id: trimmed(child, "DocumentUniqueId")
                .ok_or(BodyError::Frame("xds:DocumentRequest needs a DocumentUniqueId"))?,
        });
    }
    if requests.is_empty() {
        return Err(BodyError::Frame("xds:RetrieveDocumentSetRequest needs a DocumentRequest"));
    }
    Ok(requests)
}

/// Writes `xds:RetrieveDocumentSetRequest`.
pub fn write_retrieve(out: &mut Vec<u8>, requests: &[crate::model::document::DocumentRequest]) {
    out.extend_from_slice(format!("<xds:RetrieveDocumentSetRequest xmlns:xds=\"{}\">", ns::XDSB).as_bytes());
    for request in requests {
        out.extend_from_slice(b"<xds:DocumentRequest>");
        if let Some(home) = &request.home {
            element(out, "HomeCommunityId", home.as_str());
        }
        element(out, "RepositoryUniqueId", request.repository.as_str());
        element(out, "DocumentUniqueId", request.unique_id.as_str());
        out.extend_from_slice(b"</xds:DocumentRequest>");
    }
    out.extend_from_slice(b"</xds:RetrieveDocumentSetRequest>");
}

fn element(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(format!("<xds:{name}>").as_bytes());
    push_text(out, text);
    out.extend_from_slice(format!("</xds:{name}>").as_bytes());
}

fn write_document_head(out: &mut Vec<u8>, document: &RetrievedDocument) {
    out.extend_from_slice(b"<xds:DocumentResponse>");
    if let Some(home) = &document.request.home {
        element(out, "HomeCommunityId", home.as_str());
    }
    element(out, "RepositoryUniqueId", document.request.repository.as_str());
    element(out, "DocumentUniqueId", document.request.unique_id.as_str());
    if let Some(repository) = &document.new_repository {
        element(out, "NewRepositoryUniqueId", repository.as_str());
    }
    if let Some(unique_id) = &document.new_unique_id {
        element(out, "NewDocumentUniqueId", unique_id.as_str());
    }
    element(out, "mimeType", &document.mime_type);
    out.extend_from_slice(b"<xds:Document>");
}

/// What stands behind the base64 content of a document that is written inline.
pub const DOCUMENT_END: &[u8] = b"</xds:Document></xds:DocumentResponse>";

/// Writes the start of `xds:RetrieveDocumentSetResponse` with its status and errors.
pub fn write_retrieve_start(out: &mut Vec<u8>, status: ResponseStatus, errors: &[RegistryError]) {
    out.extend_from_slice(format!("<xds:RetrieveDocumentSetResponse xmlns:xds=\"{}\">", ns::XDSB).as_bytes());
    ebrs::write_registry_response(out, status, errors);
}

/// Writes a document as a reference to the part of that Content-ID.
pub fn write_retrieved_include(out: &mut Vec<u8>, document: &RetrievedDocument, content_id: &str) {
    write_document_head(out, document);
    write_include(out, content_id);
    out.extend_from_slice(DOCUMENT_END);
}

/// Writes a document up to its base64 content; the caller appends that and [`DOCUMENT_END`].
pub fn write_inline_start(out: &mut Vec<u8>, document: &RetrievedDocument) {
    write_document_head(out, document);
}

/// Ends `xds:RetrieveDocumentSetResponse`.
pub fn write_retrieve_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</xds:RetrieveDocumentSetResponse>");
}

/// One `xds:DocumentResponse` of a peer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentResponse<'a> {
    /// `xds:HomeCommunityId`
    pub home: Option<HomeCommunityId>,
    /// `xds:RepositoryUniqueId`
    pub repository: Option<RepositoryUniqueId>,
    /// `xds:DocumentUniqueId`
    pub unique_id: Option<UniqueId>,
    /// `xds:NewRepositoryUniqueId`
    pub new_repository: Option<RepositoryUniqueId>,
    /// `xds:NewDocumentUniqueId`
    pub new_unique_id: Option<UniqueId>,
    /// `xds:mimeType`
    pub mime_type: String,
    /// Where its bytes are.
    pub content: Binary<'a>,
}

/// Reads `xds:RetrieveDocumentSetResponse`.
///
/// # Errors
/// When the frame is not as the schema wants it.
pub fn read_retrieve_response<'a>(
    node: Node<'_, 'a>,
) -> Result<(RegistryResponse, Vec<DocumentResponse<'a>>), BodyError> {
    if !node.is(Ns::Xdsb, "RetrieveDocumentSetResponse") {
        return Err(BodyError::Frame("xds:RetrieveDocumentSetResponse is required here"));
    }
    let response = node
        .child(Ns::Rs, "RegistryResponse")
        .ok_or(BodyError::Frame("xds:RetrieveDocumentSetResponse needs a rs:RegistryResponse"))?;
    let response = ebrs::read_registry_response(response)?;
    let mut documents = Vec::new();
    for child in node.children().filter(|child| child.is(Ns::Xdsb, "DocumentResponse")) {
        let content =
            child.child(Ns::Xdsb, "Document").ok_or(BodyError::Frame("xds:DocumentResponse needs a Document"))?;
        documents.push(DocumentResponse {
            home: trimmed(child, "HomeCommunityId").and_then(|t| HomeCommunityId::parse(&t).ok()),
            repository: trimmed(child, "RepositoryUniqueId").and_then(|t| RepositoryUniqueId::parse(&t).ok()),
            unique_id: trimmed(child, "DocumentUniqueId").and_then(|t| UniqueId::parse(&t).ok()),
            new_repository: trimmed(child, "NewRepositoryUniqueId").and_then(|t| RepositoryUniqueId::parse(&t).ok()),
            new_unique_id: trimmed(child, "NewDocumentUniqueId").and_then(|t| UniqueId::parse(&t).ok()),
            mime_type: trimmed(child, "mimeType").unwrap_or_else(|| "application/octet-stream".to_owned()),
            content: binary(content)?,
        });
    }
    Ok((response, documents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::DocumentRequest;

    #[test]
    fn retrieve_requests_round_trip() {
        let request = DocumentRequest {
            home: Some(HomeCommunityId::parse("urn:oid:2.999.1").unwrap()),
            repository: RepositoryUniqueId::parse("2.999.2").unwrap(),
            unique_id: UniqueId::parse("2.999.3^a&b").unwrap(),
        };
        let mut out = Vec::new();
        write_retrieve(&mut out, std::slice::from_ref(&request));
        let text = String::from_utf8(out).unwrap();
        let document = ebrs::parse_body(&text).unwrap();
        let read = read_retrieve(document.root()).unwrap();
        assert_eq!(read[0].unique_id, "2.999.3^a&b");
        assert_eq!(read[0].home.as_deref(), Some("urn:oid:2.999.1"));
    }

    #[test]
    fn includes_point_into_the_message_only() {
        for (href, good) in [("cid:1@x", true), ("http://169.254.169.254/", false), ("file:///etc/hosts", false)] {
            let text = format!("<d><x:Include xmlns:x='{}' href='{href}'/></d>", ns::XOP);
            let document = ebrs::parse_body(&text).unwrap();
            assert_eq!(binary(document.root()).is_ok(), good, "{href}");
        }
        let with_attachments = ebrs::parse_body("<d href='cid:1@x'/>").unwrap();
        assert!(binary(with_attachments.root()).is_err());
    }
}
