//! ITI-57 Update Document Set, at the registry.

use super::{Answer, Scope};
use crate::model::rim::RegistryObject;

/// Updates metadata.
pub async fn answer(scope: &Scope<'_>, objects: Vec<RegistryObject<'static>>) -> Answer {
    Answer::Registry(scope.actors.registry.update_document_set(scope.context, objects).await)
}
