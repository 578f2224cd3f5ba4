//! Initiating Gateway with the XDS Affinity Domain Option: ITI-18 and ITI-43 from consumers,
//! ITI-38 and ITI-39 to communities (ITI TF-2 §3.18.4.1.3, §3.38, §3.39, §3.43).

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join;
use tokio::time::Instant;

use super::context::RequestContext;
use super::document_registry::DocumentRegistry;
use super::document_repository::DocumentRepository;
use super::explain::{Doing, counted};
use super::federation::{Federation, query_peer, query_peers, targets};
use super::merge::{self, Outcome};
use super::relay::{RetrieveShare, RetrieveTarget, retrieve};
use super::spool::Spool;
use crate::model::document::{DocumentRequest, RetrieveResponse};
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError};
use crate::model::stored_query::{AdhocQuery, QueryDefinition, ReturnType};
use crate::validate::stored_query::read;

/// Our own community, as both gateways see it.
#[derive(Clone)]
pub struct OwnCommunity {
    /// Its identity.
    pub home: HomeCommunityId,
    /// Its name, for people.
    pub name: String,
    /// Its registry.
    pub registry: Arc<DocumentRegistry>,
    /// Its repository.
    pub repository: Arc<DocumentRepository>,
    /// Where other communities' documents wait for their turn.
    pub spool: Spool,
}

impl OwnCommunity {
    /// Answers from our own registry, each object and error to be stamped with our home.
    pub async fn query(&self, context: &RequestContext, query: &AdhocQuery) -> QueryResponse {
        let began = Instant::now();
        let (mut response, _) = self.registry.stored_query(query).await;
        context.steps.came_of(None, Doing::Local, began, || counted(&response));
        response.home = Some(self.home.clone());
        response.errors = response.errors.into_iter().map(|error| merge::locate(error, &self.home)).collect();
        response
    }

    /// A failure about the request itself, located here.
    pub fn refuse(&self, code: ErrorCode, context: impl Into<String>) -> RegistryError {
        RegistryError::new(code, context).at(self.home.as_str())
    }
}

/// The Initiating Gateway of our community.
pub struct InitiatingGateway {
    own: OwnCommunity,
    pub(super) federation: Arc<ArcSwap<Federation>>,
}

/// The return type a query asks for; the rules judge it where the query is answered.
pub fn return_type(query: &AdhocQuery) -> ReturnType {
    match query.return_type.as_deref() {
        Some("ObjectRef") => ReturnType::ObjectRef,
        _ => ReturnType::LeafClass,
    }
}

impl InitiatingGateway {
    /// A gateway for our community to those of the federation.
    pub fn new(own: OwnCommunity, federation: Arc<ArcSwap<Federation>>) -> Self {
        Self { own, federation }
    }

    /// ITI-18 from a consumer.
    pub async fn stored_query(&self, context: &RequestContext, query: &AdhocQuery) -> QueryResponse {
        let federation = self.federation.load_full();
        let definition = QueryDefinition::by_id(&query.id);
        if let Some(home) = &query.home {
            return self.query_one(context, &federation, home, query).await;
        }
        let Some(definition) = definition else {
            return QueryResponse::failure(vec![self.own.refuse(
                ErrorCode::XDSUnknownStoredQuery,
                format!("{} is no stored query known here (ITI TF-2 §3.18.4.1.2.4)", query.id),
            )]);
        };
        if definition.patient_parameter().is_none() {
            return QueryResponse::failure(vec![self.own.refuse(
                ErrorCode::XDSMissingHomeCommunityId,
                format!(
                    "{} asks by id and needs AdhocQuery/@home: copy it from the metadata (ITI TF-2 §3.18.4.1.2.3.8)",
                    definition.name
                ),
            )]);
        }
        // Judged once here, so that a wrong query is not sent to everybody.
        if let Err(errors) = read(query) {
            return QueryResponse::failure(
                errors.into_iter().map(|error| merge::locate(error, &self.own.home)).collect(),
            );
        }
        let (targets, mut errors) = self.targets(&federation, query);
        let is_target = |home: &HomeCommunityId| targets.as_ref().is_none_or(|targets| targets.contains(home));
        let (peers, suspended) = match &targets {
            // Who is asked for by name is never left out in silence.
            Some(targets) => {
                (federation.peers.iter().filter(|peer| targets.contains(&peer.home)).collect(), Vec::new())
            }
            None => federation.candidates(context, |_| true),
        };
        errors.extend(suspended);
        let local = async { if is_target(&self.own.home) { Some(self.own.query(context, query).await) } else { None } };
        let (local, others) = join(local, query_peers(context, &federation, &peers, query)).await;
        let local = local.map(|response| Outcome {
            home: self.own.home.clone(),
            nodes: Vec::new(),
            name: self.own.name.clone(),
            result: Ok(response),
        });
        let began = Instant::now();
        let mut merged = merge::queries(&self.own.home, local.into_iter().chain(others).collect());
        context.steps.came_of(None, Doing::Merge, began, || counted(&merged));
        if crate::model::response::has_error(&errors)
            && merged.status == crate::model::response::ResponseStatus::Success
        {
            merged.status = crate::model::response::ResponseStatus::PartialSuccess;
        }
        merged.errors.extend(errors);
        merged
    }

    async fn query_one(
        &self,
        context: &RequestContext,
        federation: &Federation,
        home: &str,
        query: &AdhocQuery,
    ) -> QueryResponse {
        let parsed = HomeCommunityId::parse(home).ok();
        if parsed.as_ref() == Some(&self.own.home) {
            return self.own.query(context, query).await;
        }
        let peer = parsed.as_ref().and_then(|home| federation.peer(home));
        let Some(peer) = peer else {
            return QueryResponse::failure(vec![self.own.refuse(
                ErrorCode::XDSUnknownCommunity,
                format!("no community {home} is known here (ITI TF-2 §3.18.4.1.3)"),
            )]);
        };
        merge::queries(&self.own.home, vec![query_peer(context, federation, peer, query).await])
    }

    /// The communities that the consumer limits its query to, and an error for each unknown one.
    fn targets(
        &self,
        federation: &Federation,
        query: &AdhocQuery,
    ) -> (Option<Vec<HomeCommunityId>>, Vec<RegistryError>) {
        let Some(given) = targets(query) else { return (None, Vec::new()) };
        let (mut targets, mut errors) = (Vec::new(), Vec::new());
        for text in given {
            let home = HomeCommunityId::parse(text).ok();
            if home.as_ref() == Some(&self.own.home) {
                targets.extend(home);
                continue;
            }
            match home.as_ref().and_then(|home| federation.peer(home)) {
                // One behind another is asked by way of that, which reads the list too.
                Some(peer) => targets.push(peer.home.clone()),
                None => errors.push(self.own.refuse(
                    ErrorCode::XDSUnknownCommunity,
                    format!("$targetCommunityIdList: no community {text} is known here"),
                )),
            }
        }
        (Some(targets), errors)
    }

    /// ITI-43 from a consumer.
    pub async fn retrieve(&self, context: &RequestContext, requests: Vec<DocumentRequest>) -> RetrieveResponse {
        let federation = self.federation.load_full();
        let mut errors = Vec::new();
        let mut shares: Vec<RetrieveShare<'_>> = Vec::new();
        for request in requests {
            match &request.home {
                None => add(&mut shares, request, RetrieveTarget::Local(&self.own.repository)),
                Some(home) if *home == self.own.home => {
                    add(&mut shares, request, RetrieveTarget::Local(&self.own.repository))
                }
                Some(home) => match federation.peer(home) {
                    Some(peer) => add(&mut shares, request, RetrieveTarget::Peer(peer)),
                    None => errors.push(unknown_community(&self.own, &request, home)),
                },
            }
        }
        let mut response = retrieve(context, &self.own.home, &federation, &self.own.spool, shares).await;
        response.errors.extend(errors);
        response
    }
}

/// The error for a document of a community that we do not know.
pub fn unknown_community(own: &OwnCommunity, request: &DocumentRequest, home: &HomeCommunityId) -> RegistryError {
    own.refuse(ErrorCode::XDSUnknownCommunity, format!("{}: no community {home} is known here", request.unique_id))
}

/// Puts a request into the share of its target, once.
pub fn add<'a>(shares: &mut Vec<RetrieveShare<'a>>, request: DocumentRequest, target: RetrieveTarget<'a>) {
    let same = |share: &RetrieveShare<'_>| match (&share.target, &target) {
        (RetrieveTarget::Local(_), RetrieveTarget::Local(_)) => true,
        (RetrieveTarget::Peer(a), RetrieveTarget::Peer(b)) => a.home == b.home,
        _ => false,
    };
    match shares.iter_mut().find(|share| same(share)) {
        // Asked twice, answered once at gateways (§3.39.4.1.3).
        Some(share) if share.requests.contains(&request) => {}
        Some(share) => share.requests.push(request),
        None => shares.push(RetrieveShare { target, requests: vec![request] }),
    }
}
