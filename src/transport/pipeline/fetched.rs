//! The answer of a fetch: entries in the root part, their documents behind it or in it (Cross-Community Fetch
//! §3.63).

use http::Response;

use super::encode::{internal, response, send_package};
use crate::model::fetch::FetchResponse;
use crate::model::packed::Damaged;
use crate::transaction::Transaction;
use crate::transport::answer::{self, Inline, OnFailure, OutBody, Package, Part};
use crate::wire::ebrs;
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::xcf;

/// The HTTP answer of a fetch, packaged as its request was.
pub(super) fn encode_fetch(
    transaction: &'static Transaction,
    version: Version,
    packaged: bool,
    addressing: &Addressing,
    fetch: FetchResponse,
    on_failure: OnFailure,
) -> Response<OutBody> {
    let encoded = match packaged {
        true => package(version, addressing, fetch)
            .map(|package| send_package(transaction, version, addressing, package, on_failure)),
        false => inline(version, addressing, fetch).map(|inline| {
            response(200, &format!("{}; charset=UTF-8", version.media_type()), inline.into_body(on_failure))
        }),
    };
    encoded.unwrap_or_else(|damaged| internal(version, addressing.relates_to.clone(), &damaged.to_string()))
}

fn package(
    version: Version,
    addressing: &Addressing,
    fetch: FetchResponse,
) -> Result<Result<Package, crate::wire::mtom::MtomError>, Damaged> {
    let token = answer::message_token();
    let parts: Vec<Part> = fetch
        .documents
        .into_iter()
        .enumerate()
        .map(|(number, document)| Part {
            content_id: answer::content_id(&token, number + 1),
            media_type: document.mime_type,
            size: document.size,
        })
        .collect();
    let home = fetch.answer.home.as_ref().map(|home| home.as_str());
    let mut written = Ok(());
    let root = answer::envelope(version, addressing, None, |out| {
        ebrs::write_query_response_start(out, &fetch.answer);
        written = fetch
            .answer
            .objects
            .iter()
            .zip(&parts)
            .try_for_each(|(entry, part)| xcf::write_entry_include(out, entry, home, &part.content_id));
        ebrs::write_query_response_end(out);
    });
    written.map(|()| Package::new(version, &token, root, parts, fetch.sources))
}

fn inline(version: Version, addressing: &Addressing, fetch: FetchResponse) -> Result<Inline, Damaged> {
    let home = fetch.answer.home.as_ref().map(|home| home.as_str());
    let head = |entry| {
        let mut head = Vec::new();
        xcf::write_entry_start(&mut head, entry, home).map(|()| head)
    };
    let heads = fetch.answer.objects.iter().map(head).collect::<Result<_, _>>()?;
    let (mut start, mut end) = (Vec::with_capacity(4096), Vec::new());
    soap::write_start(&mut start, version, addressing, None);
    ebrs::write_query_response_start(&mut start, &fetch.answer);
    ebrs::write_query_response_end(&mut end);
    soap::write_end(&mut end);
    Ok(Inline { start, heads, tail: xcf::DOCUMENT_END, sources: fetch.sources, end })
}
