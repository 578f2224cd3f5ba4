//! Document requests: ids as written → typed, or the error that says what is wrong with them.

use crate::model::document::DocumentRequest;
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId, UniqueId};
use crate::model::response::{ErrorCode, RegistryError};
use crate::wire::xdsb::RawDocumentRequest;

/// Reads the entries of a RetrieveDocumentSetRequest; each that cannot be served has its error,
/// located by its DocumentUniqueId (ITI TF-2 §3.43.4.1.3).
pub fn requests(raw: Vec<RawDocumentRequest>) -> (Vec<DocumentRequest>, Vec<RegistryError>) {
    let (mut requests, mut errors) = (Vec::with_capacity(raw.len()), Vec::new());
    for entry in raw {
        match request(&entry) {
            Ok(request) => requests.push(request),
            Err(error) => errors.push(error.at(entry.unique_id)),
        }
    }
    (requests, errors)
}

fn request(raw: &RawDocumentRequest) -> Result<DocumentRequest, RegistryError> {
    let home = raw.home.as_deref().map(HomeCommunityId::parse_lenient).transpose().map_err(|e| {
        RegistryError::new(
            ErrorCode::XDSUnknownCommunity,
            format!("HomeCommunityId {}: {e}", raw.home.as_deref().unwrap_or_default()),
        )
    })?;
    let repository = RepositoryUniqueId::parse(&raw.repository).map_err(|e| {
        RegistryError::new(ErrorCode::XDSUnknownRepositoryId, format!("RepositoryUniqueId {}: {e}", raw.repository))
    })?;
    let unique_id = UniqueId::parse(&raw.unique_id)
        .map_err(|e| RegistryError::new(ErrorCode::XDSDocumentUniqueIdError, format!("DocumentUniqueId: {e}")))?;
    Ok(DocumentRequest { home, repository, unique_id })
}
