//! ITI-42 Register Document Set-b, at the registry.

use super::{Answer, Scope};
use crate::model::rim::RegistryObject;

/// Registers metadata.
pub async fn answer(scope: &Scope<'_>, objects: Vec<RegistryObject<'static>>) -> Answer {
    Answer::Registry(scope.actors.registry.register_document_set(scope.context, objects, Vec::new()).await)
}
