//! ITI-61 Register On-Demand Document Entry, at the registry.

use super::{Answer, Scope};
use crate::model::rim::RegistryObject;

/// Registers entries whose documents are made on demand.
pub async fn answer(scope: &Scope<'_>, objects: Vec<RegistryObject<'static>>) -> Answer {
    Answer::Registry(scope.actors.registry.register_on_demand(scope.context, objects).await)
}
