//! Troubles of an answer: what it says, and what its octets are.

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::fault::Fault;
use super::{bomb, records};
use crate::model::document::{BodyError, BodySource, BoxFuture, RetrieveResponse};
use crate::model::ids::{EntryUuid, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use crate::model::rim::{Body, RegistryObject};
use crate::transport::answer::{OutBody, full};
use crate::wire::soap::{self, Fault as SoapFault, Version};

/// Entries of a flood.
const FLOOD: usize = 100_000;

/// Octets of an envelope with far too much in it: below what readers take as a whole.
const CROWDED: usize = 9 << 20;

/// Pieces of an answer that is compressed: 4 MiB, and 4 GiB when it is not.
const BOMB: usize = 64;

/// What is announced of an answer that is too large for anyone.
const HUGE: u64 = 10 << 30;

/// The home of nobody.
pub(super) const NOBODY: &str = "urn:oid:2.999.826.1.999";

/// Makes an answer say what its community should not.
pub fn spoil_query(fault: Fault, response: &mut QueryResponse) {
    let failure = |code| QueryResponse::failure(vec![RegistryError::new(code, "as the simulation was told")]);
    match fault {
        Fault::Busy => *response = failure(ErrorCode::XDSRegistryBusy),
        Fault::UnknownPatient => *response = failure(ErrorCode::XDSUnknownPatientId),
        Fault::Partial | Fault::SuccessWithErrors => {
            response.errors.push(RegistryError::new(ErrorCode::XDSRegistryError, "as the simulation was told"));
            if fault == Fault::Partial {
                response.status = ResponseStatus::PartialSuccess;
            }
        }
        Fault::OtherPatient => {
            let mut other = match response.objects.first().and_then(|object| object.unpack().ok()) {
                Some(object) => object.into_owned(),
                None => records::entry(EntryUuid::random().into(), "x^^^&1.2&ISO", &nobodys_document(), 0),
            };
            other.common.id = Some(EntryUuid::random().into());
            for identifier in &mut other.identifiers {
                if identifier.scheme.as_deref() == Noun::DocumentEntry.patient_id_scheme() {
                    identifier.value = Some(records::patient(99_999, records::NHS_NUMBER).into());
                }
            }
            response.objects.push(PackedObject::pack(&other));
        }
        Fault::WrongHome => at_home(response, Some(NOBODY)),
        Fault::NoHome => response.home = None,
        Fault::Duplicates => response.objects.extend(response.objects.clone()),
        Fault::Flood => {
            let reference = |_| PackedObject::pack(&RegistryObject::new(Body::ObjectRef, EntryUuid::random().into()));
            response.objects = (0..FLOOD).map(reference).collect();
        }
        _ => {}
    }
}

fn nobodys_document() -> records::Document {
    records::Document { unique_id: format!("{}.999", records::ARC), mime_type: "text/plain", stored: None }
}

fn at_home(response: &mut QueryResponse, home: Option<&'static str>) {
    for packed in &mut response.objects {
        if let Ok(object) = packed.unpack() {
            let mut object = object.into_owned();
            object.common.home = home.map(Into::into);
            *packed = PackedObject::pack(&object);
        }
    }
}

/// The same of documents.
pub fn spoil_retrieve(fault: Fault, response: &mut RetrieveResponse) {
    match fault {
        Fault::Busy => {
            let busy = RegistryError::new(ErrorCode::XDSRepositoryBusy, "as the simulation was told");
            *response = RetrieveResponse::failure(vec![busy]);
        }
        Fault::OtherDocument => {
            if let (Some(document), Ok(other)) =
                (response.documents.first_mut(), UniqueId::parse(&format!("{}.998", records::ARC)))
            {
                document.request.unique_id = other;
            }
        }
        Fault::WrongBytes => {
            let sources = std::mem::take(&mut response.sources);
            response.sources =
                sources.into_iter().map(|source| -> Box<dyn BodySource> { Box::new(Flipped(source)) }).collect();
        }
        Fault::MissingDocument => *response = RetrieveResponse::failure(Vec::new()),
        Fault::NoHome => {
            for document in &mut response.documents {
                document.request.home = None;
            }
        }
        _ => {}
    }
}

/// Bodies whose first octets are others.
struct Flipped(Box<dyn BodySource>);

impl BodySource for Flipped {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        self.0.next_document()
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            let chunk = self.0.next_chunk().await?;
            Ok(chunk.map(|chunk| chunk.iter().map(|octet| octet ^ 1).collect()))
        })
    }
}

/// Another answer than the good one, octet by octet; none: the good one.
pub fn spoiled(fault: Fault, good: &[u8]) -> Option<Response<OutBody>> {
    const SOAP: &str = "application/soap+xml; charset=UTF-8";
    let soap = |body: Vec<u8>| answer(200, SOAP, full(body));
    let crowded = |start: &str, piece: &dyn Fn(usize) -> String, end: &str| {
        let mut body = format!("{OPEN}{start}");
        let mut number = 0;
        while body.len() < CROWDED {
            body.push_str(&piece(number));
            number += 1;
        }
        soap((body + end + CLOSE).into_bytes())
    };
    Some(match fault {
        Fault::Endless => answer(200, SOAP, endless(None)),
        Fault::Huge => {
            let mut huge = answer(200, SOAP, endless(Some(HUGE)));
            huge.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(HUGE));
            huge
        }
        Fault::TooShort | Fault::TooLong => {
            let mut wrong = soap(good.to_vec());
            let length = good.len() as u64;
            let said = if fault == Fault::TooShort { length + 1000 } else { length.saturating_sub(20) };
            // A stream, or the HTTP library would correct it.
            *wrong.body_mut() = pieces(vec![Bytes::copy_from_slice(good)]);
            wrong.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(said));
            wrong
        }
        Fault::Gzip => {
            let bomb = bomb::gzip(format!("{OPEN}<a>").as_bytes(), BOMB, format!("</a>{CLOSE}").as_bytes());
            let length: usize = bomb.iter().map(Bytes::len).sum();
            let mut compressed = answer(200, SOAP, pieces(bomb));
            compressed.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            compressed.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed
        }
        Fault::Html => answer(200, "text/html", full("<html><body><h1>Maintenance</h1></body></html>")),
        Fault::Http500 => answer(500, "text/plain", full("Internal Server Error")),
        Fault::Empty => soap(Vec::new()),
        Fault::Truncated => soap(good.get(..good.len().saturating_sub(30)).unwrap_or_default().to_vec()),
        Fault::Deep => crowded("", &|_| "<a>".to_owned(), ""),
        Fault::Attributes => crowded("<a", &|number| format!(" a{number:x}=\"\""), "/>"),
        Fault::Namespaces => crowded("<a", &|number| format!(" xmlns:a{number:x}=\"u\""), "/>"),
        Fault::Doctype => {
            let lol = "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">\
                       <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]>";
            soap(format!("<?xml version=\"1.0\"?>{lol}{OPEN}<a>&c;</a>{CLOSE}").into_bytes())
        }
        Fault::Encoding => {
            let text = String::from_utf8_lossy(good);
            soap(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
        }
        Fault::Utf8 => {
            let mut body = good.to_vec();
            if let Some(octet) = good.len().checked_div(2).and_then(|middle| body.get_mut(middle)) {
                *octet = 0xff;
            }
            soap(body)
        }
        Fault::SecondRoot => soap([good, good].concat()),
        Fault::SoapFault => {
            let fault = SoapFault::receiver("As the simulation was told.");
            answer(500, SOAP, full(soap::write_fault(Version::V12, &fault, None)))
        }
        _ => return None,
    })
}

const OPEN: &str = "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body>";
const CLOSE: &str = "</e:Body></e:Envelope>";

fn answer(status: u16, content_type: &'static str, body: OutBody) -> Response<OutBody> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body whose length the HTTP library does not know.
fn pieces(pieces: Vec<Bytes>) -> OutBody {
    let stream = futures_util::stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
    BodyExt::boxed_unsync(StreamBody::new(stream))
}

/// An envelope that goes on for so many octets, or for ever.
fn endless(octets: Option<u64>) -> OutBody {
    let mut open = OPEN.as_bytes().to_vec();
    open.extend_from_slice(b"<a>");
    let blanks = Bytes::from(vec![b' '; 64 * 1024]);
    let stream = unfold((Some(Bytes::from(open)), octets), move |(first, left)| {
        let blanks = blanks.clone();
        async move {
            let mut chunk = first.unwrap_or(blanks);
            if let Some(left) = left {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            }
            let left = left.map(|left| left - chunk.len() as u64);
            (!chunk.is_empty()).then_some((Ok(Frame::data(chunk)), (None, left)))
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(stream))
}
