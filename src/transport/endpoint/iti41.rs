//! ITI-41 Provide and Register Document Set-b, at the repository; and at the Initiating Gateway, for a community
//! that it names.
//!
//! The root part says which documents are coming; they are staged one after another as they do,
//! and only when all are there is the repository asked to keep them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Answer, Provide, Scope, iti80};
use crate::actors::document_repository::Provided;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::ObjectId;
use crate::store::{StagedDocument, StoreError};
use crate::transaction::Service;
use crate::transport::message::{Attachments, MessageError};
use crate::wire::mtom::ContentId;
use crate::wire::soap::Fault;
use crate::wire::xdsb::Binary;

fn failure(errors: Vec<RegistryError>) -> Answer {
    Answer::Registry(RegistryResponse::from_errors(errors))
}

fn store_failure(error: &StoreError) -> Answer {
    tracing::error!(%error, "staging a document");
    let error = match error {
        StoreError::Full(_) => RegistryError::new(
            ErrorCode::XDSRepositoryOutOfResources,
            "the repository has no space left; nothing was stored",
        ),
        _ => RegistryError::new(ErrorCode::XDSRepositoryError, "a document could not be kept; nothing was stored"),
    };
    failure(vec![error])
}

/// Answers a submission.
///
/// # Errors
/// The fault for a package that is broken: a part missing, cut short or too large.
pub async fn answer(scope: &Scope<'_>, provide: Provide, attachments: &mut Attachments) -> Result<Answer, Fault> {
    if scope.service == Service::InitiatingGateway {
        return iti80::hand_on(scope, provide, attachments).await;
    }
    match scope.actors.initiating.judge_own(&provide.homes()) {
        Ok(()) => keep(scope, provide, attachments).await,
        Err(error) => Ok(failure(vec![error])),
    }
}

/// Receives the documents and registers them.
///
/// # Errors
/// The fault for a package that is broken: a part missing, cut short or too large.
pub async fn keep(scope: &Scope<'_>, provide: Provide, attachments: &mut Attachments) -> Result<Answer, Fault> {
    let repository = &scope.actors.repository;
    let Provide { objects, mut documents, .. } = provide;
    // A UUID is one in capitals too, as an entry's id is.
    for document in &mut documents {
        document.id = ObjectId::read(std::mem::take(&mut document.id).into()).to_string();
    }
    let ids: Vec<String> = documents.iter().map(|document| document.id.clone()).collect();
    let errors = repository.precheck(scope.context, &objects, &ids).await;
    let errors_before_parts = !errors.is_empty();
    let mut provided = Vec::with_capacity(documents.len());
    let mut awaited: Vec<(String, ContentId)> = Vec::new();
    for document in documents {
        match document.content {
            Binary::Include(href) => match ContentId::from_href(&href) {
                Ok(id) => awaited.push((document.id, id)),
                Err(error) => return Err(Fault::sender(format!("xds:Document {}: {error}.", document.id))),
            },
            Binary::Inline(text) if !errors_before_parts => match stage_inline(scope, &text).await {
                Ok(staged) => provided.push(Provided { entry_id: document.id, staged }),
                Err(answer) => {
                    return answer.map_err(|what| Fault::sender(format!("xds:Document {}: {what}.", document.id)));
                }
            },
            Binary::Inline(_) => {}
        }
    }
    let mut unreferenced = Vec::new();
    while let Some(headers) = attachments.next_part().await.map_err(|error| error.fault())? {
        let matched = headers
            .content_id
            .as_ref()
            .and_then(|id| id.best_match(awaited.iter().map(|(_, href)| href)))
            .map(|at| awaited[at].1.clone());
        let Some(href) = matched else {
            unreferenced.push(headers.number);
            continue;
        };
        // Two documents may name one part: both get its bytes.
        let (owners, rest): (Vec<_>, Vec<_>) = awaited.into_iter().partition(|(_, other)| *other == href);
        awaited = rest;
        if errors_before_parts {
            continue;
        }
        match stage_part(scope, attachments, owners.len()).await? {
            Ok(staged) => provided
                .extend(owners.into_iter().zip(staged).map(|((entry_id, _), staged)| Provided { entry_id, staged })),
            Err(error) => return Ok(store_failure(&error)),
        }
    }
    // DEVIATION(ITI TF-2 §3.41.4.1.2): a part that the package promises and lacks is a broken package,
    // whatever the metadata, so it gets a fault; XDSMissingDocument is said where an entry has no
    // xds:Document. The public test kit wants it so.
    if let Some((id, _)) = awaited.first() {
        return Err(Fault::sender(format!(
            "xds:Document {id}: its xop:Include names a part that is not in this message: a part's Content-ID must be the href without cid:."
        )));
    }
    if errors_before_parts {
        return Ok(failure(errors));
    }
    if !unreferenced.is_empty() {
        let parts: Vec<String> = unreferenced.iter().map(ToString::to_string).collect();
        return Ok(failure(vec![RegistryError::new(
            ErrorCode::XDSMissingDocumentMetadata,
            format!("part {} of the message is named by no xds:Document (ITI TF-2 §3.41.4.1.2)", parts.join(", ")),
        )]));
    }
    Ok(Answer::Registry(repository.provide_and_register(scope.context, objects, provided).await))
}

/// Stages the current part, once for each entry that names it.
async fn stage_part(
    scope: &Scope<'_>,
    attachments: &mut Attachments,
    copies: usize,
) -> Result<Result<Vec<StagedDocument>, StoreError>, Fault> {
    let store = scope.actors.repository.documents();
    let mut writers = Vec::with_capacity(copies);
    for _ in 0..copies {
        match store.stage().await {
            Ok(writer) => writers.push(writer),
            Err(error) => return Ok(Err(error)),
        }
    }
    loop {
        let chunk = match attachments.next_chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(MessageError::Store(error)) => return Ok(Err(error)),
            Err(error) => return Err(error.fault()),
        };
        for writer in &mut writers {
            if let Err(error) = writer.write(chunk.clone()).await {
                return Ok(Err(error));
            }
        }
    }
    let mut staged = Vec::with_capacity(copies);
    for writer in writers {
        match writer.finish().await {
            Ok(document) => staged.push(document),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(staged))
}

/// Stages a document that came as base64 text; its size is bounded by the envelope's.
async fn stage_inline(scope: &Scope<'_>, text: &str) -> Result<StagedDocument, Result<Answer, String>> {
    let compact: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(compact).map_err(|error| Err(format!("its base64 is broken: {error}")))?;
    let staged = async {
        let mut writer = scope.actors.repository.documents().stage().await?;
        writer.write(Bytes::from(bytes)).await?;
        writer.finish().await
    };
    staged.await.map_err(|error| Ok(store_failure(&error)))
}
