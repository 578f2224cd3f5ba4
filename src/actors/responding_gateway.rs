//! Responding Gateway: ITI-38 and ITI-39 from gateways of other communities (ITI TF-2 §3.38.4.1.3,
//! §3.39.4.1.3).
//!
//! What came from another gateway goes onward to members of our region at most, never to
//! neighbours; never to a gateway that it has passed, and not on and on (then each member that is
//! not asked is named by an error): no request can run in circles, even when two gateways take each other for members.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::{join, join_all};

use super::askers::{Asked, Asker};
use super::context::RequestContext;
use super::discovery::OwnPatients;
use super::federation::{Federation, Peer, Scope, targets};
use super::initiating_gateway::{OwnCommunity, add, unknown_community};
use super::locator::queries_about;
use super::merge::{self, Outcome};
use super::relay::{RetrieveShare, RetrieveTarget, retrieve};
use super::sharing::{Seen, query_member, query_members, retrievable};
use crate::model::community::ShownCertificate;
use crate::model::document::{DocumentRequest, RetrieveResponse};
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, QueryResponse};
use crate::model::stored_query::{AdhocQuery, QueryDefinition};

/// The Responding Gateway of our community.
pub struct RespondingGateway {
    pub(super) own: OwnCommunity,
    pub(super) federation: Arc<ArcSwap<Federation>>,
    pub(super) patients: Arc<OwnPatients>,
}

/// Gateways of our kind that a request may pass.
pub const MOST_GATEWAYS: usize = 4;

impl RespondingGateway {
    /// A gateway to our community and the members of the federation.
    pub fn new(own: OwnCommunity, federation: Arc<ArcSwap<Federation>>, patients: Arc<OwnPatients>) -> Self {
        Self { own, federation, patients }
    }

    /// Our community's patients.
    pub fn patients(&self) -> &Arc<OwnPatients> {
        &self.patients
    }

    /// Whether a request of another gateway may go on to that peer.
    pub(super) fn goes_on_to(&self, context: &RequestContext, peer: &Peer) -> bool {
        let passed = &context.via;
        let from = context.asker.community.as_ref();
        let goes_back = from == Some(&peer.home) || passed.contains(&peer.home) || passed.contains(&self.own.home);
        peer.scope == Scope::Member && !goes_back
    }

    /// Our community's identity.
    pub fn home(&self) -> &HomeCommunityId {
        &self.own.home
    }

    /// Whether a community is recognised by certificates that are listed for it, and by no other.
    pub fn is_pinned(&self, home: &HomeCommunityId) -> bool {
        self.federation.load().is_pinned(home)
    }

    /// The community whose certificate that is (`[[peer]] certificates`), if it is one's alone.
    pub fn recognised(&self, shown: &ShownCertificate<'_>) -> Option<HomeCommunityId> {
        self.federation.load().recognised(shown)
    }

    /// Who is behind a request: by the certificate that its caller shows, and by the gateways it has passed.
    pub fn asker(&self, shown: Option<&ShownCertificate<'_>>, via: &[HomeCommunityId], asked: Asked) -> Asker {
        self.federation.load().asker(shown, via, asked)
    }

    /// ITI-38.
    pub async fn cross_gateway_query(&self, context: &RequestContext, query: &AdhocQuery) -> QueryResponse {
        let seen = Seen::by(context, &self.own);
        let response = self.query_seen(context, &seen.own, query).await;
        seen.note(context);
        response
    }

    async fn query_seen(&self, context: &RequestContext, own: &OwnCommunity, query: &AdhocQuery) -> QueryResponse {
        let federation = self.federation.load_full();
        queries_about(context, &federation, query);
        // A query of ITI-63 is none of ITI-38: it is not handed on as one.
        if let Some(home) = query.home.as_ref().filter(|_| QueryDefinition::fetch_by_id(&query.id).is_none()) {
            let parsed = HomeCommunityId::parse(home).ok();
            if parsed.as_ref() == Some(&self.own.home) {
                return self.patient_or_ids(context, &federation, own, query).await;
            }
            return match parsed
                .as_ref()
                .and_then(|home| federation.peer(home))
                .filter(|peer| self.goes_on_to(context, peer))
            {
                Some(peer) => {
                    let outcome = query_member(context, &federation, peer, query).await;
                    merge::noted(context, &self.own.home, &federation, vec![outcome])
                }
                None => QueryResponse::failure(vec![self.own.refuse(
                    ErrorCode::XDSUnknownCommunity,
                    format!(
                        "{home} is not a community of this gateway, which is {} (ITI TF-2 §3.38.4.1.3)",
                        self.own.home
                    ),
                )]),
            };
        }
        match QueryDefinition::by_id(&query.id) {
            Some(definition) if definition.patient_parameter().is_none() => {
                QueryResponse::failure(vec![self.own.refuse(
                    ErrorCode::XDSMissingHomeCommunityId,
                    format!("{} asks by id and needs AdhocQuery/@home (ITI TF-2 §3.38.4.1.2.1)", definition.name),
                )])
            }
            _ => self.patient_or_ids(context, &federation, own, query).await,
        }
    }

    /// A query for us: by patient it goes to our members too, by id it is ours alone.
    async fn patient_or_ids(
        &self,
        context: &RequestContext,
        federation: &Arc<Federation>,
        own: &OwnCommunity,
        query: &AdhocQuery,
    ) -> QueryResponse {
        let by_patient =
            QueryDefinition::by_id(&query.id).is_some_and(|definition| definition.patient_parameter().is_some());
        // One behind another is asked by way of that, as at the Initiating Gateway.
        let resolved = |text: &str| {
            let home = HomeCommunityId::parse(text).ok()?;
            Some(federation.peer(&home).map_or(home, |peer| peer.home.clone()))
        };
        let targets: Option<Vec<_>> = targets(query).map(|given| given.into_iter().filter_map(resolved).collect());
        let is_target = |home: &HomeCommunityId| targets.as_ref().is_none_or(|targets| targets.contains(home));
        let wanted = |peer: &Peer| by_patient && is_target(&peer.home) && self.goes_on_to(context, peer);
        let (members, suspended) = federation.candidates(context, wanted);
        if members.is_empty() {
            // Also where no target is ours: whoever asked us meant us.
            let mut response = own.query(context, query).await;
            response.errors.extend(suspended);
            return response;
        }
        let local = async { if is_target(&own.home) { Some(own.query(context, query).await) } else { None } };
        let (local, others) = join(local, query_members(context, federation, &members, query)).await;
        let local = local.map(|local| Outcome {
            home: self.own.home.clone(),
            nodes: Vec::new(),
            name: self.own.name.clone(),
            result: Ok(local),
        });
        let outcomes = local.into_iter().chain(others).collect();
        let mut merged = merge::noted(context, &self.own.home, federation, outcomes);
        merged.errors.extend(suspended);
        merged
    }

    /// ITI-39.
    pub async fn cross_gateway_retrieve(
        &self,
        context: &RequestContext,
        requests: Vec<DocumentRequest>,
    ) -> RetrieveResponse {
        let federation = self.federation.load_full();
        let seen = Seen::by(context, &self.own);
        let mut errors = Vec::new();
        let mut shares: Vec<RetrieveShare<'_>> = Vec::new();
        for request in requests {
            match &request.home {
                None => errors.push(self.own.refuse(
                    ErrorCode::XDSMissingHomeCommunityId,
                    format!("{}: HomeCommunityId is required (ITI TF-2 §3.39.4.1.2)", request.unique_id),
                )),
                Some(home) if *home == self.own.home => {
                    add(&mut shares, request, RetrieveTarget::Local(&seen.own.repository))
                }
                Some(home) => match federation.peer(home).filter(|peer| self.goes_on_to(context, peer)) {
                    Some(peer) => add(&mut shares, request, RetrieveTarget::Peer(peer)),
                    None => errors.push(unknown_community(&self.own, &request, home)),
                },
            }
        }
        let judged = join_all(shares.into_iter().map(|mut share| async {
            let mut errors = Vec::new();
            if let RetrieveTarget::Peer(peer) = &share.target {
                (share.requests, errors) = retrievable(context, &federation, peer, share.requests).await;
            }
            (share, errors)
        }));
        let (shares, withheld): (Vec<_>, Vec<_>) = judged.await.into_iter().unzip();
        let shares = shares.into_iter().filter(|share| !share.requests.is_empty()).collect();
        let mut response = retrieve(context, &self.own.home, &federation, &self.own.spool, shares).await;
        response.errors.extend(withheld.into_iter().flatten());
        response.errors.extend(errors);
        seen.note(context);
        response
    }
}
