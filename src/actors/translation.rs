//! How a query speaks of a patient to another community: under the same id, under that of another
//! domain, or under one that the community is asked for (ITI TF-2 §3.38.4.1.2.1, §3.55).

use super::context::RequestContext;
use super::federation::{Federation, PatientTranslation, Peer, patient_parameter};
use super::ports::PeerFailure;
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::response::{ErrorCode, QueryResponse, RegistryError};
use crate::model::stored_query::AdhocQuery;
use crate::validate::stored_query::quoted_texts;

/// What has become of a query before it is sent.
pub(super) enum Translated {
    /// It is to be sent; the patient whom it was about, if the peer was asked for that one's id.
    Ready(Option<PatientId>),
    /// It need not be sent.
    Answered(Box<QueryResponse>),
    /// It need not be sent: nobody there knows the patient, as was said then.
    NotKnown(jiff::Timestamp),
}

/// Makes a query speak of the patient as the peer knows that one, and of nothing else (§3.38.4.1.2.1).
pub(super) async fn translate(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    query: &mut AdhocQuery,
) -> Result<Translated, PeerFailure> {
    match &peer.translation {
        PatientTranslation::SameDomain => {}
        PatientTranslation::Domain(domain) => {
            replace_patients(query, |patient| PatientId::new(patient.id(), domain.clone()).ok());
        }
        PatientTranslation::Discover => return discover(context, federation, peer, query).await,
    }
    Ok(Translated::Ready(None))
}

/// The same for a peer that is asked for its id of the patient. Who does not know the patient has no
/// documents of theirs, which is no error.
async fn discover(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    query: &mut AdhocQuery,
) -> Result<Translated, PeerFailure> {
    // What cannot be read goes on as it is, to be refused there; so does what is about no patient.
    let Some(patients) = asked_for(query) else { return Ok(Translated::Ready(None)) };
    let [patient] = patients.as_slice() else {
        return Err(PeerFailure::NotAsked("it is asked about one patient at a time".into()));
    };
    let Some(correlations) = &federation.correlations else {
        return Err(PeerFailure::NotAsked("nobody here knows how to find a patient there".into()));
    };
    let known = correlations.of(context, peer, patient).await?;
    if let Some(at) = correlations.knows_nobody(patient, &peer.home).filter(|_| known.is_empty()) {
        return Ok(Translated::NotKnown(at));
    }
    let wanted = query.home.as_deref().and_then(|home| HomeCommunityId::parse(home).ok());
    let wanted = wanted.unwrap_or_else(|| peer.home.clone());
    let at = |home: &HomeCommunityId| known.iter().find(|(there, _)| there == home);
    let behind = wanted != peer.home;
    let there = match (at(&wanted), &*known) {
        (Some(there), _) => Some(there),
        // Who speaks for another knows the patient by the id that it gave for itself.
        (None, _) if behind => at(&peer.home),
        // It speaks for another community alone: that is the one to ask for.
        (None, [other]) => Some(other),
        (None, [_, _, ..]) => {
            return Ok(Translated::Answered(Box::new(uncertain(peer, "in several communities behind it"))));
        }
        (None, []) => None,
    };
    match there {
        Some((home, Some(id))) => {
            replace_patients(query, |_| Some(id.clone()));
            query.home = Some(if behind { wanted.to_string() } else { home.to_string() });
            Ok(Translated::Ready(Some(patient.clone())))
        }
        Some((_, None)) => Ok(Translated::Answered(Box::new(uncertain(peer, "as one of several")))),
        None => Ok(Translated::Answered(Box::new(QueryResponse::success(Vec::new())))),
    }
}

/// The patient as a peer knows that one; none: it does not, or not for certain.
pub(super) async fn known_as(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    patient: &PatientId,
) -> Result<Option<PatientId>, PeerFailure> {
    let domain = match &peer.translation {
        PatientTranslation::SameDomain => return Ok(Some(patient.clone())),
        PatientTranslation::Domain(domain) => domain.clone(),
        PatientTranslation::Discover => {
            let Some(correlations) = &federation.correlations else { return Ok(None) };
            let known = correlations.of(context, peer, patient).await?;
            return Ok(known.iter().find(|(home, _)| *home == peer.home).and_then(|(_, id)| id.clone()));
        }
    };
    Ok(PatientId::new(patient.id(), domain).ok())
}

/// The empty answer of a peer that may have the patient's documents, and cannot be asked for them.
fn uncertain(peer: &Peer, how: &str) -> QueryResponse {
    let mut answer = QueryResponse::success(Vec::new());
    let context = format!(
        "{} may know the patient {how} and was not asked; its documents are missing from this answer",
        peer.name
    );
    let warning = RegistryError::new(ErrorCode::XDSUnavailableCommunity, context).at(peer.home.as_str()).warning();
    answer.errors.push(warning);
    answer
}

/// The patients whom a query is about; none if one of them is not named in a readable way.
pub(super) fn asked_for(query: &AdhocQuery) -> Option<Vec<PatientId>> {
    let parameter = patient_parameter(query)?;
    let mut asked = Vec::new();
    for value in query.slots.iter().filter(|slot| slot.name == parameter).flat_map(|slot| &slot.values) {
        for cx in quoted_texts(value).ok()? {
            let patient = PatientId::parse(cx.trim()).ok()?;
            if !asked.contains(&patient) {
                asked.push(patient);
            }
        }
    }
    (!asked.is_empty()).then_some(asked)
}

/// Replaces the patients of a query; who cannot be read stays.
pub(super) fn replace_patients(query: &mut AdhocQuery, there: impl Fn(&PatientId) -> Option<PatientId>) {
    let Some(parameter) = patient_parameter(query) else { return };
    for value in query.slots.iter_mut().filter(|slot| slot.name == parameter).flat_map(|slot| &mut slot.values) {
        let there = |cx: &str| there(&PatientId::parse(cx).ok()?);
        let texts = quoted_texts(value).unwrap_or_default();
        let translated: Option<Vec<String>> = texts
            .iter()
            .map(|cx| there(cx).map(|patient| format!("'{}'", patient.to_cx().replace('\'', "''"))))
            .collect();
        let Some(translated) = translated.filter(|translated| !translated.is_empty()) else { continue };
        let list = translated.join(",");
        *value = if value.trim().starts_with('(') { format!("({list})") } else { list }.into();
    }
}
