//! ITI-80 Cross Gateway Document Provide: at the Responding Gateway, where it ends as ITI-41 does; and from the
//! Initiating Gateway, for a submission of ITI-41 that names another community.

use super::{Answer, Provide, Scope, iti41};
use crate::actors::document_provide::{Destination, HOME_SLOT, media_type_of};
use crate::actors::merge::locate;
use crate::actors::ports::Delivery;
use crate::model::ids::HomeCommunityId;
use crate::model::response::{RegistryError, RegistryResponse};
use crate::transport::handed_on::{Broken, HandedOn};
use crate::transport::message::Attachments;
use crate::wire::soap::Fault;

fn failure(error: RegistryError) -> Answer {
    Answer::Registry(RegistryResponse::from_errors(vec![error]))
}

/// Takes what another gateway sends for us.
///
/// # Errors
/// The fault for a package that is broken.
pub async fn answer(scope: &Scope<'_>, provide: Provide, attachments: &mut Attachments) -> Result<Answer, Fault> {
    match scope.actors.responding.judge_target(&provide.homes()) {
        Err(error) => Ok(failure(error)),
        Ok(()) => {
            let home = scope.actors.responding.home();
            Ok(located(iti41::keep(scope, provide, attachments).await?, home))
        }
    }
}

fn located(answer: Answer, home: &HomeCommunityId) -> Answer {
    match answer {
        Answer::Registry(mut response) => {
            response.errors = response.errors.into_iter().map(|error| locate(error, home)).collect();
            Answer::Registry(response)
        }
        other => other,
    }
}

/// Takes what a source of ours sends for a community: ours, or another that it is handed on to as it comes.
///
/// # Errors
/// The fault for a package that is broken.
pub async fn hand_on(scope: &Scope<'_>, provide: Provide, attachments: &mut Attachments) -> Result<Answer, Fault> {
    let home = match scope.actors.initiating.destination(&provide.homes()) {
        Err(error) => return Ok(failure(error)),
        Ok(Destination::Here) => {
            let home = scope.actors.responding.home();
            return Ok(located(iti41::keep(scope, provide, attachments).await?, home));
        }
        Ok(Destination::There(home)) => home,
    };
    let Provide { mut slots, objects, documents, .. } = provide;
    slots.retain(|slot| slot.name != HOME_SLOT);
    let contents = documents.iter().map(|document| (document.id.as_str(), &document.content));
    let (source, numbers, behind) = HandedOn::new(contents, attachments)?;
    let mut bodies = vec![String::new(); numbers.iter().max().map_or(0, |last| last + 1)];
    for (document, number) in documents.iter().zip(&numbers) {
        if let Some(media_type) = bodies.get_mut(*number) {
            *media_type = media_type_of(&objects, &document.id);
        }
    }
    let documents = documents.into_iter().map(|document| document.id).zip(numbers).collect();
    let delivery = Delivery { home, slots, objects, documents, bodies, source: Box::new(source) };
    let response = scope.actors.initiating.deliver(scope.context, delivery).await;
    match behind.take_back(attachments).await {
        None => Ok(Answer::Registry(response)),
        // What the source did wrong is what it is told.
        Some(Broken::Message(fault)) => Err(*fault),
        Some(Broken::Rule(error)) => Ok(failure(error.at(scope.actors.responding.home().as_str()))),
    }
}
