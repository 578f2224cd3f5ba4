//! ITI-62 Remove Metadata, at the registry.

use super::{Answer, Scope};
use crate::model::ids::EntryUuid;

/// Removes registry objects.
pub async fn answer(scope: &Scope<'_>, uuids: &[EntryUuid]) -> Answer {
    Answer::Registry(scope.actors.registry.remove_metadata(uuids).await)
}
