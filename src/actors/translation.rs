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
    /// These are to be sent, one for each community that it speaks for; the patient whom they are about, if the
    /// peer was asked for that one's id; and what is to be told beside their answers.
    Ready(Vec<AdhocQuery>, Option<PatientId>, Vec<RegistryError>),
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
    query: &AdhocQuery,
) -> Result<Translated, PeerFailure> {
    let mut query = query.clone();
    match &peer.translation {
        PatientTranslation::SameDomain => {}
        PatientTranslation::Domain(domain) => {
            // What cannot be read goes on as it is, to be refused there.
            let _ = replace_patients(&mut query, |patient| PatientId::new(patient.id(), domain.clone()).ok());
        }
        PatientTranslation::Discover => return discover(context, federation, peer, query).await,
    }
    Ok(Translated::Ready(vec![query], None, Vec::new()))
}

/// The same for a peer that is asked for its id of the patient. Who does not know the patient has no
/// documents of theirs, which is no error.
async fn discover(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    query: AdhocQuery,
) -> Result<Translated, PeerFailure> {
    // What cannot be read goes on as it is, to be refused there; so does what is about no patient.
    let Some(patients) = asked_for(&query) else { return Ok(Translated::Ready(vec![query], None, Vec::new())) };
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
    let at = |home: &HomeCommunityId| known.iter().filter(|(there, _)| there == home).collect::<Vec<_>>();
    // Who speaks for another knows the patient by the id that it gave for that one, or else for itself.
    let there = match wanted == peer.home {
        false => Some(at(&wanted)).filter(|there| !there.is_empty()).unwrap_or_else(|| at(&peer.home)),
        // Each community that it speaks for has an id of its own; those with a way of their own are asked there.
        true => known.iter().filter(|(home, _)| !federation.has_another_way(peer, home)).collect(),
    };
    let (mut queries, mut unsure) = (Vec::new(), Vec::new());
    for (home, id) in there {
        let home = if wanted == peer.home { home } else { &wanted };
        let Some(id) = id else {
            unsure.push(uncertain(peer, home));
            continue;
        };
        let mut query = AdhocQuery { home: Some(home.to_string()), ..query.clone() };
        if !replace_patients(&mut query, |_| Some(id.clone())) {
            return Err(PeerFailure::NotAsked("the patient could not be named as it is known there".into()));
        }
        queries.push(query);
    }
    Ok(match queries.is_empty() {
        false => Translated::Ready(queries, Some(patient.clone()), unsure),
        true => {
            let mut answer = QueryResponse::success(Vec::new());
            answer.errors = unsure;
            Translated::Answered(Box::new(answer))
        }
    })
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

/// What is told of a community that may have the patient's documents, and cannot be asked for them.
fn uncertain(peer: &Peer, home: &HomeCommunityId) -> RegistryError {
    let context = format!(
        "{} may know the patient, as one of several or under other particulars, and was not asked; its documents are \
         missing from this answer",
        peer.name
    );
    RegistryError::new(ErrorCode::XDSUnavailableCommunity, context).at(home.as_str()).warning()
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

/// Replaces the patients of a query; who cannot be read stays. Whether all are replaced.
pub(super) fn replace_patients(query: &mut AdhocQuery, there: impl Fn(&PatientId) -> Option<PatientId>) -> bool {
    let Some(parameter) = patient_parameter(query) else { return true };
    let mut all = true;
    for value in query.slots.iter_mut().filter(|slot| slot.name == parameter).flat_map(|slot| &mut slot.values) {
        let there = |cx: &str| there(&PatientId::parse(cx.trim()).ok()?);
        let texts = quoted_texts(value).unwrap_or_default();
        let translated: Option<Vec<String>> = texts
            .iter()
            .map(|cx| there(cx).map(|patient| format!("'{}'", patient.to_cx().replace('\'', "''"))))
            .collect();
        let Some(translated) = translated.filter(|translated| !translated.is_empty()) else {
            all = false;
            continue;
        };
        let list = translated.join(",");
        *value = if value.trim().starts_with('(') { format!("({list})") } else { list }.into();
    }
    all
}
