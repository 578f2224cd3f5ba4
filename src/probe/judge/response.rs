//! What queries and retrieves have in common: status, error list, schema (ITI TF-3 §4.2.4).

use super::{Case, Judged, bad, skip, weak};
use crate::model::response::{ResponseStatus, Severity};
use crate::probe::answer::{Told, leading_home};
use crate::probe::schema::shown;

fn status(told: &Told) -> Option<ResponseStatus> {
    told.status.as_deref().and_then(ResponseStatus::from_urn)
}

/// One of the three URNs.
pub fn status_urn(case: &Case<'_>) -> Judged {
    let told = case.told()?;
    match (status(told), &told.status) {
        (Some(_), Some(urn)) => Ok(urn.clone()),
        (_, Some(text)) => bad(shown(text)),
        (_, None) => bad("no status"),
    }
}

/// A status that fits the errors (ITI TF-3 Tables 4.2.4.2-1 to -4).
pub fn status_fits(case: &Case<'_>) -> Judged {
    let told = case.told()?;
    let errors =
        told.errors.iter().filter(|error| severity(error.severity.as_deref()) != Some(Severity::Warning)).count();
    match (status(told), errors) {
        (Some(ResponseStatus::Success), 0) | (Some(ResponseStatus::Failure | ResponseStatus::PartialSuccess), 1..) => {
            Ok(told.to_string())
        }
        (None, _) => bad(told.to_string()),
        _ => bad(format!("{told}: {errors} errors")),
    }
}

/// Nothing that the schemas do not know.
pub fn schema(case: &Case<'_>) -> Judged {
    let told = case.told()?;
    if told.strange.is_empty() { Ok("nothing strange".to_owned()) } else { bad(told.strange.join("; ")) }
}

fn severity(text: Option<&str>) -> Option<Severity> {
    // The schema's default.
    let Some(text) = text else { return Some(Severity::Error) };
    [Severity::Error, Severity::Warning].into_iter().find(|severity| severity.urn() == text)
}

/// Each error has its code, its context and its severity.
pub fn errors_whole(case: &Case<'_>) -> Judged {
    let told = case.told()?;
    if told.errors.is_empty() {
        return if told.has_list { bad("an empty error list") } else { skip("there is no error") };
    }
    for error in &told.errors {
        let code = shown(&error.code);
        if error.code.is_empty() {
            return bad("an error without errorCode");
        }
        if !error.has_context {
            return bad(format!("{code} has no codeContext"));
        }
        match (error.severity.as_deref(), severity(error.severity.as_deref())) {
            (None, _) => return weak(format!("{code} has no severity")),
            (Some(text), None) => return bad(format!("{code} has the severity {}", shown(text))),
            _ => {}
        }
    }
    Ok(told.to_string())
}

/// The most severe of the list, where it is stated.
pub fn highest_severity(case: &Case<'_>) -> Judged {
    let told = case.told()?;
    if !told.has_list {
        return skip("there is no error");
    }
    let Some(stated) = told.highest.as_deref() else { return Ok("not stated".to_owned()) };
    let highest = told.errors.iter().filter_map(|error| severity(error.severity.as_deref())).max();
    match highest {
        Some(highest) if highest.urn() == stated => Ok(stated.to_owned()),
        _ => bad(shown(stated)),
    }
}

/// A Failure with one of these codes; of `or` one will do.
pub fn fails(case: &Case<'_>, codes: &[&str], or: &[&str]) -> Judged {
    let told = case.told()?;
    let says = |codes: &[&str]| told.errors.iter().any(|error| codes.contains(&error.code.as_str()));
    match status(told) {
        Some(ResponseStatus::Failure) if codes.is_empty() || says(codes) => Ok(told.to_string()),
        Some(ResponseStatus::Failure) if says(or) => weak(told.to_string()),
        // What could not be asked for says nothing.
        Some(_) if told.errors.iter().any(|error| error.code == "XDSUnavailableCommunity") => weak(told.to_string()),
        _ => bad(told.to_string()),
    }
}

/// The same of a gateway that was asked by name.
pub fn fails_at_home(case: &Case<'_>, codes: &[&str], or: &[&str]) -> Judged {
    case.with_home()?;
    fails(case, codes, or)
}

/// Each error is located at a homeCommunityId (ITI TF-2 §3.38.4.1.3).
pub fn located_at_home(case: &Case<'_>) -> Judged {
    let told = case.told()?;
    if told.errors.is_empty() {
        return skip("there is no error");
    }
    for error in &told.errors {
        let home = error.location.as_deref().and_then(leading_home);
        match (home, &case.knowledge.settings.home) {
            (None, _) => return bad(format!("{} is not located at a homeCommunityId", shown(&error.code))),
            (Some(home), Some(given)) if home != *given => return weak(format!("{home}, not that of --home")),
            _ => {}
        }
    }
    let first = told.errors.first().and_then(|error| error.location.as_deref()).and_then(leading_home);
    Ok(first.map(|home| home.to_string()).unwrap_or_default())
}
