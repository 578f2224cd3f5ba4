//! Retrieves and their packages (ITI TF-2 §3.43, §3.39, §V.8; RFC 2387).

use super::response::fails;
use super::{Case, Judged, bad, weak};
use crate::model::response::ResponseStatus;
use crate::probe::answer::Package;
use crate::probe::schema::shown;
use crate::terminal::counted;
use crate::transaction::Service;
use crate::wire::mtom::MediaType;

fn package<'a>(case: &Case<'a>) -> Result<&'a Package, super::Verdict> {
    let answer = case.answer()?;
    match &answer.package {
        Some(package) => Ok(package),
        None => bad(format!("no package: {}", answer.words())),
    }
}

/// A package, from its first boundary to its last.
pub fn packaged(case: &Case<'_>) -> Judged {
    let package = package(case)?;
    match &package.broken {
        None => Ok(format!("{} of {}", package.media.essence(), counted(package.parts.len(), "part"))),
        Some(why) => bad(shown(why)),
    }
}

/// A parameter of the package's media type that is a media type.
pub fn parameter(case: &Case<'_>, name: &str, expected: &str) -> Judged {
    let package = package(case)?;
    let Some(value) = package.media.param(name) else { return bad(format!("no parameter {name}")) };
    match MediaType::parse(value) {
        Ok(media) if media.essence() == expected => Ok(shown(value)),
        _ => bad(shown(value)),
    }
}

/// `start` names the root part, in angle brackets, and it comes first.
pub fn start(case: &Case<'_>) -> Judged {
    let package = package(case)?;
    let Some(value) = package.media.param("start") else { return bad("no parameter start") };
    let value = value.trim();
    let bare = value.strip_prefix('<').and_then(|value| value.strip_suffix('>'));
    let id = |number: usize| package.parts.get(number).and_then(|(headers, _)| headers.content_id.as_ref());
    let named =
        (0..package.parts.len()).find(|number| id(*number).is_some_and(|id| id.as_str() == bare.unwrap_or(value)));
    match (named, bare) {
        (None, _) => bad(format!("{} is no part's Content-ID", shown(value))),
        (Some(0), Some(_)) => Ok(shown(value)),
        (Some(0), None) => weak(format!("{} without angle brackets", shown(value))),
        (Some(number), _) => weak(format!("it names part {}", number + 1)),
    }
}

/// The headers of the root part.
pub fn root_part(case: &Case<'_>) -> Judged {
    let package = package(case)?;
    let Some((headers, _)) = package.root_part() else { return bad("no root part") };
    let Some(media) = headers.media_type() else { return bad("no Content-Type") };
    let seen = shown(headers.content_type.as_deref().unwrap_or_default());
    let inner = media.param("type").and_then(|inner| MediaType::parse(inner).ok());
    match (media.essence(), inner) {
        ("application/xop+xml", Some(inner)) if inner.essence() == "application/soap+xml" => Ok(seen),
        _ => bad(seen),
    }
}

/// Read by the rules of the wire, and with nothing in it.
pub fn brings_nothing(case: &Case<'_>) -> Judged {
    let retrieve = case.retrieve()?;
    match &retrieve.read {
        Ok((_, documents)) if documents.is_empty() => Ok(retrieve.told.to_string()),
        Ok((_, documents)) => bad(format!("{} for an id that is made up", counted(documents.len(), "document"))),
        Err(why) => bad(format!("{}: {}", retrieve.told, shown(why))),
    }
}

/// What is missing is told. A Responding Gateway may keep failures to itself, by its policy, and says Success
/// with what it has (ITI TF-2 §3.39.4.1.3): that will do, though nobody learns what is missing.
pub fn missing_told(case: &Case<'_>, code: &str) -> Judged {
    let retrieve = case.retrieve()?;
    match &retrieve.read {
        Ok((answer, documents))
            if case.knowledge.settings.service == Service::RespondingGateway
                && answer.status == ResponseStatus::Success
                && retrieve.told.errors.is_empty()
                && documents.is_empty() =>
        {
            weak(format!("{}, and nothing with it: it keeps failures to itself", retrieve.told))
        }
        _ => fails(case, &[code], &[]),
    }
}

/// An error about a document is located at its uniqueId (ITI TF-2 §3.43.4.2.2).
pub fn located_at_document(case: &Case<'_>) -> Judged {
    let told = &case.retrieve()?.told;
    let asked = case.knowledge.made.unique_id.as_str();
    match told.errors.first().map(|error| error.location.as_deref()) {
        Some(Some(location)) if location == asked => Ok("the DocumentUniqueId".to_owned()),
        Some(Some(location)) if location.contains(asked) => weak("the DocumentUniqueId among other text"),
        Some(Some(location)) => bad(shown(location)),
        Some(None) => bad("no location"),
        None => bad(told.to_string()),
    }
}
