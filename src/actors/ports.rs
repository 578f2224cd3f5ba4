//! What actors need from outside, as traits: so an actor is tested with plain values, and the
//! registry of a repository can be the one in this process or one across the network.

use std::borrow::Cow;
use std::fmt;

use super::context::RequestContext;
use crate::model::discovery::{DiscoveryAnswer, DiscoveryQuery, PatientLocation};
use crate::model::document::{BodySource, BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::fetch::FetchResponse;
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, QueryResponse, RegistryResponse};
use crate::model::rim::{RegistryObject, Slot};
use crate::model::stored_query::AdhocQuery;
use crate::store::DocumentLocator;
use crate::validate::Mode;

/// A Document Registry, as a repository sees it (ITI-42).
pub trait RegistryPort: Send + Sync {
    /// Judges a submission before its documents are received, as far as that is possible; empty
    /// when nothing is wrong or the registry is too far away to ask.
    fn precheck<'a>(
        &'a self,
        context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
    ) -> BoxFuture<'a, Vec<crate::model::response::RegistryError>>;

    /// Registers a document set; `documents` become retrievable in the same commit if the
    /// registry shares the repository's store, else they are the repository's to keep.
    fn register<'a>(
        &'a self,
        context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
        documents: Vec<DocumentLocator>,
    ) -> BoxFuture<'a, RegistryResponse>;

    /// Whether it commits documents together with their metadata.
    fn shares_store(&self) -> bool;
}

/// Why a community did not deliver (ITI TF-2 §3.38.4.1.3: XDSUnavailableCommunity).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFailure {
    /// No connection, or none with a certificate we accept.
    #[error("could not be reached: {0}")]
    Unreachable(String),
    /// It shows a certificate that we do not accept: nothing was sent to it (ITI TF-2 §3.19).
    #[error("could not be reached: {0}")]
    Untrusted(String),
    /// The answer did not come in time.
    #[error("did not answer within {0} ms")]
    Timeout(u64),
    /// The answer was no answer.
    #[error("answered with something that is not acceptable: {0}")]
    Garbage(String),
    /// The answer was a SOAP fault.
    #[error("answered with a fault: {0}")]
    Fault(String),
    /// HTTP 503 and no answer, or a fault: it has too much to do.
    #[error("answered that it has too much to do (HTTP 503)")]
    Overloaded,
    /// Its answer found no room here: too many large ones at once (`limits.all_envelopes_bytes`), or its
    /// documents did (`limits.spool_bytes`, the disk).
    #[error("answered, and too many large answers are under way here to take it; ask again in a moment")]
    NoRoom,
    /// Its answer holds more objects than one answer may (`limits.results`).
    #[error("answered with more than {0} objects, the bound of one answer; narrow the query")]
    TooMany(usize),
    /// A document has other bytes than its entry stated.
    #[error("delivered other bytes than its entry states (hash or size)")]
    OtherBytes,
    /// It does not say whether it knows the patient (ITI-55): its code for why.
    #[error("does not say whether it knows the patient ({0})")]
    Declined(&'static str),
    /// It has taken a question whose answer comes later, and that is not here in time.
    #[error("has taken the question, and its answer is not here yet")]
    NotYet,
    /// Nobody waits for its answer any more.
    #[error("was not waited for: {0}")]
    GivenUp(&'static str),
    /// It is not one to be asked these days: what it is.
    #[error("is {0}, and was not asked")]
    Absent(String),
    /// It answered, and is not one to be asked any more: what it is.
    #[error("is {0}: its answer was not taken")]
    NotTaken(String),
    /// It may have done what it was asked for: all of a submission was sent, and no answer came that says so.
    #[error("{0}; it is not known whether it has taken the documents")]
    Uncertain(Box<PeerFailure>),
    /// We did not ask: too many requests under way to it, or it is not to be asked.
    #[error("was not asked: {0}")]
    NotAsked(String),
}

const UNCERTAIN: &str = "it is not known whether it has taken the documents";

impl PeerFailure {
    /// The error that tells a consumer of it (ITI TF-3 Table 4.2.4.1-2).
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooMany(_) => ErrorCode::XDSTooManyResults,
            Self::OtherBytes => ErrorCode::XDSRepositoryError,
            Self::Unreachable(_)
            | Self::Untrusted(_)
            | Self::Timeout(_)
            | Self::Garbage(_)
            | Self::Fault(_)
            | Self::Overloaded
            | Self::NoRoom
            | Self::Declined(_)
            | Self::NotYet
            | Self::GivenUp(_)
            | Self::Absent(_)
            | Self::NotTaken(_)
            | Self::Uncertain(_)
            | Self::NotAsked(_) => ErrorCode::XDSUnavailableCommunity,
        }
    }

    /// What a consumer is told: who is missing, and nothing of our network or of certificates, which is in the
    /// log and in the request's explanation.
    pub fn told(&self) -> Cow<'static, str> {
        match self {
            Self::Unreachable(_) | Self::Untrusted(_) => "could not be reached".into(),
            Self::Uncertain(why) => match &**why {
                // It was reached, or nothing would be uncertain.
                Self::Unreachable(_) => format!("did not answer; {UNCERTAIN}").into(),
                why => format!("{}; {UNCERTAIN}", why.told()).into(),
            },
            other => other.to_string().into(),
        }
    }

    /// What a log or the audit trail may say: nothing of the peer's own words, which may hold
    /// patients' data.
    pub fn without_their_words(&self) -> Cow<'static, str> {
        match self {
            Self::Fault(_) => "answered with a fault".into(),
            Self::Garbage(_) => "answered with something that is not acceptable".into(),
            Self::Uncertain(why) => format!("{}; {UNCERTAIN}", why.without_their_words()).into(),
            Self::Unreachable(_)
            | Self::Untrusted(_)
            | Self::Timeout(_)
            | Self::Overloaded
            | Self::NoRoom
            | Self::TooMany(_)
            | Self::OtherBytes
            | Self::Declined(_)
            | Self::NotYet
            | Self::GivenUp(_)
            | Self::Absent(_)
            | Self::NotTaken(_)
            | Self::NotAsked(_) => self.to_string().into(),
        }
    }
}

/// What a community says of a patient, and until when that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// What it says.
    pub answer: DiscoveryAnswer,
    /// When it is to be forgotten; none: it does not say.
    pub expires: Option<jiff::Timestamp>,
}

/// One of a community's Responding Gateways, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayView {
    /// Its address.
    pub address: String,
    /// How long it is not asked because it has not answered lately; none: it is asked.
    pub again_in: Option<std::time::Duration>,
}

impl GatewayView {
    /// In words for the console.
    pub fn words(&self) -> String {
        match self.again_in {
            None => self.address.clone(),
            Some(again_in) => {
                format!("{} (has not answered lately; tried again in about {} s)", self.address, again_in.as_secs() + 1)
            }
        }
    }
}

/// A community behind its Responding Gateways (ITI-38, 39, 55, 56, 63, 80).
pub trait Community: Send + Sync {
    /// Cross Gateway Query.
    fn query<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<QueryResponse, PeerFailure>>;

    /// Cross Gateway Patient Discovery.
    fn discover<'a>(
        &'a self,
        _context: &'a RequestContext,
        _query: &'a DiscoveryQuery,
    ) -> BoxFuture<'a, Result<Discovered, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NotAsked("it is not asked for patients".into())) })
    }

    /// Patient Location Query: where else there is something of a patient, who is named as that community knows
    /// them. Who is no locator need not say more.
    fn locate<'a>(
        &'a self,
        _context: &'a RequestContext,
        _patient: &'a PatientId,
    ) -> BoxFuture<'a, Result<Vec<PatientLocation>, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NotAsked("it is no locator".into())) })
    }

    /// Whether its answers to that may come after nobody waits for them any more.
    fn answers_later(&self) -> bool {
        false
    }

    /// Cross Gateway Retrieve; answers when the root part has come.
    fn retrieve<'a>(
        &'a self,
        context: &'a RequestContext,
        requests: Vec<DocumentRequest>,
    ) -> BoxFuture<'a, Result<RetrieveResponse, PeerFailure>>;

    /// How much it is asked at this moment, where that is counted.
    fn load(&self) -> Option<CommunityLoad> {
        None
    }

    /// Its Responding Gateways, in order of preference.
    fn gateways(&self) -> Vec<GatewayView> {
        Vec::new()
    }

    /// Cross Gateway Fetch; answers when the root part has come.
    fn fetch<'a>(
        &'a self,
        _context: &'a RequestContext,
        _query: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<FetchResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NotAsked("nothing is fetched from it".into())) })
    }

    /// Cross Gateway Document Provide; sent once, whatever becomes of it.
    fn provide<'a>(
        &'a self,
        _context: &'a RequestContext,
        _delivery: Delivery,
    ) -> BoxFuture<'a, Result<RegistryResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NotAsked("nothing is sent to it".into())) })
    }
}

/// A community that answers nothing, for tests of those that ask.
#[cfg(test)]
pub struct Nobody;

#[cfg(test)]
impl Community for Nobody {
    fn query<'a>(
        &'a self,
        _: &'a RequestContext,
        _: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<QueryResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NoRoom) })
    }

    fn retrieve<'a>(
        &'a self,
        _: &'a RequestContext,
        _: Vec<DocumentRequest>,
    ) -> BoxFuture<'a, Result<RetrieveResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NoRoom) })
    }
}

/// A document set on its way to another community (Cross-Community Document Reliable Interchange §3.80).
pub struct Delivery {
    /// The community it is for.
    pub home: HomeCommunityId,
    /// `rs:RequestSlotList` of the request, without the one that names the community.
    pub slots: Vec<Slot<'static>>,
    /// The metadata, as its source wrote it.
    pub objects: Vec<RegistryObject<'static>>,
    /// Its documents: the id of each one's DocumentEntry, and the number of its bytes in `source`.
    pub documents: Vec<(String, usize)>,
    /// The media types of what `source` gives, by number.
    pub bodies: Vec<String>,
    /// Their bytes, as they come.
    pub source: Box<dyn BodySource>,
}

/// How much a community is asked at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommunityLoad {
    /// Requests to it.
    pub under_way: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// How many there may be, as it is doing now.
    pub limit: usize,
    /// How many there may be while it is well.
    pub most: usize,
}

impl fmt::Display for CommunityLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { under_way, waiting, limit, most } = self;
        write!(f, "{under_way} of {limit}")?;
        if limit < most {
            write!(f, ", {most} when it is well")?;
        }
        if *waiting > 0 { write!(f, "; {waiting} wait") } else { Ok(()) }
    }
}

/// Counts what nobody would see otherwise.
pub trait Tally: Send + Sync {
    /// A community that a query by patient was not sent to (`[locator]`).
    fn left_out(&self, community: &HomeCommunityId, why: &'static str);

    /// One finding about that attribute in an accepted submission of that source, which a judge let through
    /// (`[validation]`).
    fn tolerated(&self, mode: Mode, source: &str, noun: Noun, attribute: &'static str);
}

/// The time, an input so that tests can set it.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> jiff::Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_said_of_a_patient_is_not_logged() {
        for failure in [PeerFailure::Fault("Mary Smith 9999999999".into()), PeerFailure::Garbage("Mary Smith".into())] {
            assert!(!failure.without_their_words().contains("Mary"), "{failure:?}");
        }
        assert!(PeerFailure::Unreachable("refused".into()).without_their_words().contains("refused"));
    }
}
