//! Answers as HTTP messages: in their envelopes, their documents behind them or in them.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::inbound::{ConnectionInfo, Refused};
use super::{Pipeline, Taken, fetched};
use crate::model::document::RetrieveResponse;
use crate::model::response::{ErrorCode, RegistryError};
use crate::transaction::{Packaging, Service, Transaction};
use crate::transport::answer::{self, Inline, OnFailure, OutBody, Package, Part};
use crate::transport::endpoint::Answer;
use crate::transport::wsdl;
use crate::wire::mtom::MtomError;
use crate::wire::soap::{self, Addressing, Fault, Version};
use crate::wire::{ebrs, xdsb};

/// Room made beforehand for an answer at most; a larger one grows.
const MOST_RESERVED: usize = 4 << 20;

/// What whoever finds no place is told to wait, in seconds, where HTTP can say it.
const RETRY_AFTER: &str = "1";

pub(super) fn response(status: u16, content_type: &str, body: OutBody) -> Response<OutBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// The HTTP answer of a message that was refused.
pub fn fault_response(refused: &Refused) -> Response<OutBody> {
    let body = soap::write_fault(refused.version, &refused.fault, refused.relates_to.as_deref());
    let content_type = format!("{}; charset=UTF-8", refused.version.media_type());
    let status = refused.fault.http_status(refused.version);
    let mut response = response(status, &content_type, answer::full(body));
    if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

impl Pipeline {
    pub(super) fn encode(&self, taken: &Taken, addressing: Addressing, answer: Answer) -> Response<OutBody> {
        let Taken { version, multipart, .. } = *taken;
        let (transaction, relates_to) = (taken.context.transaction, addressing.relates_to.clone());
        let on_failure = self.on_stream_failure(taken);
        let simple_type = format!("{}; charset=UTF-8", version.media_type());
        // Retrieves answer as they were asked: a client that sent no MTOM may not read it either.
        let packaged = multipart && transaction.packaging == Packaging::Mtom;
        let encoded = match answer {
            Answer::Retrieve(retrieve) => {
                return encode_retrieve(transaction, version, packaged, &addressing, retrieve, on_failure);
            }
            Answer::Fetch(fetch) => {
                return fetched::encode_fetch(transaction, version, packaged, &addressing, fetch, on_failure);
            }
            Answer::Query(query, return_type) => {
                let mut result = Ok(());
                let bytes = answer::envelope(version, &addressing, None, |out| {
                    out.reserve(query.objects.len().saturating_mul(8192).min(MOST_RESERVED));
                    result = ebrs::write_query_response(out, &query, return_type);
                });
                match result {
                    Ok(()) => bytes,
                    Err(damaged) => {
                        tracing::error!(%damaged, "a stored object cannot be read");
                        let error = RegistryError::new(
                            ErrorCode::XDSRegistryError,
                            "a stored object is damaged; tell the operator",
                        );
                        answer::envelope(version, &addressing, None, |out| {
                            let failure = crate::model::response::QueryResponse::failure(vec![error]);
                            // A failure holds no objects that could be damaged.
                            let _ = ebrs::write_query_response(out, &failure, return_type);
                        })
                    }
                }
            }
            Answer::Discovery(reply) => {
                reply.envelope(version, addressing, self.actors.responding.home(), self.clock.now())
            }
            Answer::Location(reply) => reply.envelope(version, &addressing),
            Answer::Registry(registry) => answer::envelope(version, &addressing, None, |out| {
                ebrs::write_registry_response(out, registry.status, &registry.errors);
            }),
        };
        if !packaged {
            return response(200, &simple_type, answer::full(encoded));
        }
        match Package::new(version, &answer::message_token(), encoded, Vec::new(), Vec::new()) {
            Ok(package) => {
                response(200, &package.content_type(transaction.response_action), package.into_body(on_failure))
            }
            Err(error) => internal(version, relates_to, &error.to_string()),
        }
    }
}

pub(super) fn internal(version: Version, relates_to: Option<String>, cause: &str) -> Response<OutBody> {
    tracing::error!(cause, "an answer could not be written");
    let fault = Fault::receiver("The answer could not be written; the log has the cause.");
    fault_response(&Refused { version, relates_to, attempted: None, is_answer: false, fault })
}

/// The HTTP answer of a retrieve: its root part, and the documents behind it or in it.
pub fn encode_retrieve(
    transaction: &'static Transaction,
    version: Version,
    packaged: bool,
    addressing: &Addressing,
    retrieve: RetrieveResponse,
    on_failure: OnFailure,
) -> Response<OutBody> {
    let status = retrieve.status();
    if !packaged {
        let mut start = Vec::with_capacity(4096);
        soap::write_start(&mut start, version, addressing, None);
        xdsb::write_retrieve_start(&mut start, status, &retrieve.errors);
        let mut end = Vec::new();
        xdsb::write_retrieve_end(&mut end);
        soap::write_end(&mut end);
        let head = |document| {
            let mut head = Vec::new();
            xdsb::write_inline_start(&mut head, document);
            head
        };
        let heads = retrieve.documents.iter().map(head).collect();
        let inline = Inline { start, heads, tail: xdsb::DOCUMENT_END, sources: retrieve.sources, end };
        return response(200, &format!("{}; charset=UTF-8", version.media_type()), inline.into_body(on_failure));
    }
    let token = answer::message_token();
    let parts: Vec<Part> = retrieve
        .documents
        .iter()
        .enumerate()
        .map(|(number, document)| Part {
            content_id: answer::content_id(&token, number + 1),
            media_type: document.mime_type.clone(),
            size: document.size,
        })
        .collect();
    let root = answer::envelope(version, addressing, None, |out| {
        xdsb::write_retrieve_start(out, status, &retrieve.errors);
        for (document, part) in retrieve.documents.iter().zip(&parts) {
            xdsb::write_retrieved_include(out, document, &part.content_id);
        }
        xdsb::write_retrieve_end(out);
    });
    let package = Package::new(version, &token, root, parts, retrieve.sources);
    send_package(transaction, version, addressing, package, on_failure)
}

/// The HTTP answer that is a package, its length said where that is known.
pub(super) fn send_package(
    transaction: &'static Transaction,
    version: Version,
    addressing: &Addressing,
    package: Result<Package, MtomError>,
    on_failure: OnFailure,
) -> Response<OutBody> {
    match package {
        Ok(package) => {
            let content_type = package.content_type(transaction.response_action);
            let length = package.content_length();
            let mut response = response(200, &content_type, package.into_body(on_failure));
            if let Some(length) = length {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            response
        }
        Err(error) => internal(version, addressing.relates_to.clone(), &error.to_string()),
    }
}

pub(super) fn describe(
    service: Service,
    request: &Request<Incoming>,
    connection: &ConnectionInfo,
) -> Response<OutBody> {
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    let address = format!("{}://{host}/services/{}", connection.scheme, service.name());
    match request.uri().query().and_then(|query| wsdl::describe(service, query, &address)) {
        Some(text) => response(200, "text/xml; charset=utf-8", answer::full(Bytes::from(text))),
        None => response(
            404,
            "text/plain; charset=utf-8",
            answer::full("GET ?wsdl describes this service; POST SOAP messages to it.\n"),
        ),
    }
}
