//! Cross Gateway Document Provide at both gateways (Cross-Community Document Reliable Interchange §3.80):
//! documents for a community that the submission names.
//!
//! A submission is sent once. Where no answer says what became of it, who sent it is told that nobody knows.

use tokio::time::Instant;

use super::context::RequestContext;
use super::explain::Doing;
use super::initiating_gateway::{InitiatingGateway, OwnCommunity};
use super::merge::locate;
use super::ports::{Delivery, PeerFailure};
use super::responding_gateway::RespondingGateway;
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::{Body, ObjectId, RegistryObject};

/// The Slot of the request that names the community (§3.80.4.1.2).
pub const HOME_SLOT: &str = "homeCommunityId";

/// Where a submission goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into our own repository.
    Here,
    /// To the gateway of that community.
    There(HomeCommunityId),
}

/// The one community that all these names mean; none if there are none.
///
/// # Errors
/// In words, for names that are none or that differ.
pub fn meant(names: &[String]) -> Result<Option<HomeCommunityId>, String> {
    let mut meant = None;
    for name in names {
        let home = HomeCommunityId::parse_lenient(name.trim()).map_err(|error| format!("{name}: {error}"))?;
        match &meant {
            Some(other) if *other != home => return Err(format!("the submission names both {other} and {home}")),
            _ => meant = Some(home),
        }
    }
    Ok(meant)
}

impl OwnCommunity {
    fn destination(&self, names: &[String]) -> Result<Option<Destination>, RegistryError> {
        let home = meant(names).map_err(|what| self.refuse(ErrorCode::XDSUnknownCommunity, what))?;
        Ok(home.map(|home| if home == self.home { Destination::Here } else { Destination::There(home) }))
    }

    fn missing(&self, what: &str) -> RegistryError {
        self.refuse(ErrorCode::XDSMissingHomeCommunityId, what)
    }

    fn not_ours(&self, home: &HomeCommunityId, what: &str) -> RegistryError {
        self.refuse(
            ErrorCode::XDSUnknownCommunity,
            format!("the submission is for {home}, and this is {}{what}", self.home),
        )
    }
}

impl RespondingGateway {
    /// Judges whom a submission of another gateway is for: us.
    ///
    /// # Errors
    /// What is wrong with the communities that it names.
    pub fn judge_target(&self, names: &[String]) -> Result<(), RegistryError> {
        match self.own.destination(names)? {
            Some(Destination::Here) => Ok(()),
            Some(Destination::There(home)) => Err(self.own.not_ours(&home, "")),
            None => Err(self.own.missing(
                "the submission names no community, in xdr:homeCommunityBlock or in the Slot homeCommunityId",
            )),
        }
    }
}

impl InitiatingGateway {
    /// Judges whom a submission at our repository is for: us, or nobody in particular. One for others is not
    /// kept here as if it had reached them.
    ///
    /// # Errors
    /// What is wrong with the communities that it names.
    pub fn judge_own(&self, names: &[String]) -> Result<(), RegistryError> {
        match self.own.destination(names)? {
            Some(Destination::Here) | None => Ok(()),
            Some(Destination::There(home)) => {
                Err(self.own.not_ours(&home, ": send what is for others to the initiating gateway"))
            }
        }
    }

    /// Where a submission of a source of ours goes.
    ///
    /// # Errors
    /// What is wrong with the communities that it names.
    pub fn destination(&self, names: &[String]) -> Result<Destination, RegistryError> {
        self.own.destination(names)?.ok_or_else(|| {
            self.own.missing(
                "the submission names no community, in xdr:homeCommunityBlock or in the Slot homeCommunityId; the \
                 repository takes what is ours without",
            )
        })
    }

    /// ITI-80 to the community that a submission is for. Only those that are configured get documents: that a
    /// peer has answered for somebody does not make it the right receiver.
    pub async fn deliver(&self, context: &RequestContext, delivery: Delivery) -> RegistryResponse {
        let federation = self.federation.load_full();
        let home = delivery.home.clone();
        let Some(peer) = federation.peers.iter().find(|peer| peer.is_or_has(&home)) else {
            let what = format!("no community {home} is known here that could be sent documents");
            return RegistryResponse::from_errors(vec![self.own.refuse(ErrorCode::XDSUnknownCommunity, what)]);
        };
        let began = Instant::now();
        let result = match peer.not_asked(context) {
            Some(failure) => Err(failure),
            None => peer.community.provide(context, delivery).await,
        };
        context.steps.came_of(Some(&peer.home), Doing::Asked, began, || match &result {
            Ok(response) => format!("{:?}, {} errors or warnings", response.status, response.errors.len()).into(),
            Err(failure) => failure.without_their_words(),
        });
        match result {
            Ok(mut response) => {
                response.errors = response.errors.into_iter().map(|error| locate(error, &home)).collect();
                response
            }
            Err(failure) => {
                tracing::warn!(
                    correlation_id = %context.correlation_id, transaction = "ITI-80", community = %peer.home,
                    failure = %failure.without_their_words(),
                    "a community has not said that it took a submission"
                );
                RegistryResponse::from_errors(vec![undelivered(&home, &peer.name, &failure)])
            }
        }
    }
}

/// The error for documents of which no answer says that they were taken (ITI TF-3 Table 4.2.4.1-2).
fn undelivered(home: &HomeCommunityId, name: &str, failure: &PeerFailure) -> RegistryError {
    let advice = match failure {
        PeerFailure::Uncertain(_) => "ask there before they are sent again",
        _ => "nothing was delivered",
    };
    RegistryError::new(failure.code(), format!("{name} {}; {advice}", failure.told())).at(home.as_str())
}

/// The media type of the document of an entry, if it is one that a header can hold.
pub fn media_type_of(objects: &[RegistryObject<'static>], id: &str) -> String {
    let id = ObjectId::read(id.into());
    let entry = objects.iter().find(|object| object.common.id.as_ref() == Some(&id));
    let stated = entry.and_then(|entry| match &entry.body {
        Body::ExtrinsicObject { mime_type, .. } => mime_type.as_deref(),
        _ => None,
    });
    let fits = |text: &&str| !text.is_empty() && text.len() <= 127 && text.bytes().all(|b| b.is_ascii_graphic());
    stated.map(str::trim).filter(fits).unwrap_or("application/octet-stream").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Option<String>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        meant(&names).map(|home| home.map(|home| home.to_string()))
    }

    #[test]
    fn all_names_mean_one_community() {
        let home = || Ok(Some("urn:oid:2.999.1".to_owned()));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["urn:oid:2.999.1"]), home());
        assert_eq!(of(&[" URN:OID:2.999.1 ", "2.999.1", "urn:oid:2.999.1"]), home());
        for wrong in [&["urn:oid:2.999.1", "urn:oid:2.999.2"][..], &["urn:oid:"], &["urn:oid:2.999.1", "hospital"]] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn who_is_uncertain_says_so() {
        let home = HomeCommunityId::parse("urn:oid:2.999.1").unwrap();
        let late = PeerFailure::Uncertain(Box::new(PeerFailure::Unreachable("10.0.0.7: closed".into())));
        let error = undelivered(&home, "Far", &late);
        assert!(error.context.contains("not known") && !error.context.contains("10.0.0.7"), "{}", error.context);
        let error = undelivered(&home, "Far", &PeerFailure::Unreachable("10.0.0.7: refused".into()));
        assert!(error.context.ends_with("could not be reached; nothing was delivered"), "{}", error.context);
    }
}
