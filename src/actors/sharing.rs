//! What a community is given of what there is (`[[peer]] shares`).
//!
//! Of our own: its questions are answered by a registry and a repository over a view of the store in which what is
//! not shared does not exist. So no query, in no form, finds, counts or hints at it; a retrieve does not know it; and
//! errors are those of things that are not there. A folder or SubmissionSet that holds a document which is not shared is
//! not shared either: its title, its codes and its times speak of that document too.
//!
//! Of members, on whose behalf it asks us: documents whose codes are in the answer, and associations between those. What
//! is in their folders and SubmissionSets cannot be judged here, so they are not given.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::context::RequestContext;
use super::explain::Doing;
use super::federation::{Federation, Peer, query_peer, query_peers};
use super::initiating_gateway::OwnCommunity;
use super::merge::{Outcome, locate, unavailable};
use super::ports::RegistryPort;
use crate::model::document::{BoxFuture, DocumentRequest};
use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use crate::model::rim::{Body, ObjectId, RegistryObject, Slot};
use crate::model::sharing::Shares;
use crate::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use crate::model::vocabulary::association::HAS_MEMBER;
use crate::model::vocabulary::slot;
use crate::store::{Change, Cursor, DocumentLocator, Page, Receipt, RegistryStore, Reindexed, StoreError, StoreResult};

/// Objects that one request has judged at most; a request that needs more is not answered.
const MOST_JUDGED: usize = 100_000;
/// How deep objects are judged by what they hold: an association of an association of a set of a folder of an entry.
const DEEPEST: usize = 6;

/// Whether all rules let a DocumentEntry through.
fn all_share(shares: &[Shares], entry: &RegistryObject<'_>) -> bool {
    shares.iter().all(|rules| rules.entry(entry))
}

// --- our own ---------------------------------------------------------------------------------

/// Our community as one asker sees it.
pub(super) struct Seen {
    pub(super) own: OwnCommunity,
    view: Option<Arc<SharedStore>>,
}

impl Seen {
    /// By whoever is behind a request.
    pub(super) fn by(context: &RequestContext, own: &OwnCommunity) -> Self {
        if context.asker.shares.is_empty() {
            return Self { own: own.clone(), view: None };
        }
        let view = Arc::new(SharedStore::new(own.registry.shared_store(), Arc::clone(&context.asker.shares)));
        let store = Arc::clone(&view) as Arc<dyn RegistryStore>;
        let registry = Arc::new(own.registry.seen_through(Arc::clone(&store)));
        let port = Arc::clone(&registry) as Arc<dyn RegistryPort>;
        let repository = Arc::new(own.repository.seen_through(store, port));
        Self { own: OwnCommunity { registry, repository, ..own.clone() }, view: Some(view) }
    }

    /// Notes how much was left out, for the operator alone.
    pub(super) fn note(&self, context: &RequestContext) {
        let hidden = self.view.as_ref().map_or(0, |view| view.hidden());
        note(context, None, hidden);
    }
}

fn note(context: &RequestContext, peer: Option<&Peer>, hidden: usize) {
    if hidden > 0 {
        let said = || format!("{hidden} not shared with whoever asked").into();
        context.steps.came_of(peer.map(|peer| &peer.home), Doing::LeftOut, Instant::now(), said);
    }
}

/// A registry's store in which only what is shared exists. It is for reading.
struct SharedStore {
    store: Arc<dyn RegistryStore>,
    shares: Arc<[Shares]>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    judged: HashMap<EntryUuid, bool>,
    hidden: HashSet<EntryUuid>,
}

impl SharedStore {
    fn new(store: Arc<dyn RegistryStore>, shares: Arc<[Shares]>) -> Self {
        Self { store, shares, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hidden(&self) -> usize {
        self.known().hidden.len()
    }

    async fn keep(&self, objects: Vec<PackedObject>) -> StoreResult<Vec<PackedObject>> {
        let mut kept = Vec::with_capacity(objects.len());
        for packed in objects {
            if self.is_shared(&packed, 0).await? {
                kept.push(packed);
            } else if let Some(id) = packed.uuid() {
                self.known().hidden.insert(id);
            }
        }
        Ok(kept)
    }

    /// Judges an object, each once.
    fn is_shared<'s>(&'s self, packed: &'s PackedObject, depth: usize) -> BoxFuture<'s, StoreResult<bool>> {
        Box::pin(async move {
            let Some(id) = packed.uuid() else { return Ok(false) };
            if let Some(judged) = self.known().judged.get(&id) {
                return Ok(*judged);
            }
            if depth > DEEPEST {
                return Ok(false);
            }
            let shared = self.judge(id, packed, depth).await?;
            let mut known = self.known();
            if known.judged.len() >= MOST_JUDGED {
                return Err(StoreError::Failed("too many objects to judge whether they are shared".into()));
            }
            known.judged.insert(id, shared);
            Ok(shared)
        })
    }

    async fn judge(&self, id: EntryUuid, packed: &PackedObject, depth: usize) -> StoreResult<bool> {
        let object = packed.unpack()?;
        match object.noun() {
            Noun::DocumentEntry => self.judge_entry(id, packed, &object).await,
            Noun::SubmissionSet | Noun::Folder => self.judge_contents(id, depth).await,
            Noun::Association => match object.ends() {
                Some((source, target)) => {
                    Ok(self.is_shared_by_id(source, depth).await? && self.is_shared_by_id(target, depth).await?)
                }
                None => Ok(false),
            },
            Noun::Other => Ok(false),
        }
    }

    async fn is_shared_by_id(&self, id: EntryUuid, depth: usize) -> StoreResult<bool> {
        match self.store.by_uuid(id).await? {
            Some(object) => self.is_shared(&object, depth + 1).await,
            None => Ok(false),
        }
    }

    /// A former version is shared if it is itself, and what it has become is: it is the same document.
    async fn judge_entry(&self, id: EntryUuid, packed: &PackedObject, entry: &RegistryObject<'_>) -> StoreResult<bool> {
        if !all_share(&self.shares, entry) {
            return Ok(false);
        }
        if packed.is_superseded() {
            let lid = entry.common.lid.as_ref().and_then(ObjectId::uuid).unwrap_or(id);
            for version in self.store.by_logical_id(lid).await? {
                if !version.is_superseded() && !all_share(&self.shares, &version.unpack()?) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// All that a folder or a set holds, and all that the associations in a set speak of.
    async fn judge_contents(&self, id: EntryUuid, depth: usize) -> StoreResult<bool> {
        for membership in self.store.associations_of(id).await? {
            let membership = membership.unpack()?;
            let is_member = matches!(&membership.body, Body::Association { kind, .. } if *kind == HAS_MEMBER);
            let Some((source, target)) = membership.ends().filter(|_| is_member) else { continue };
            if source != id {
                continue;
            }
            let Some(member) = self.store.by_uuid(target).await? else { continue };
            let object = member.unpack()?;
            let ends = object.ends().map_or_else(|| vec![target], |(source, target)| vec![source, target]);
            for end in ends.into_iter().filter(|end| *end != id) {
                let Some(spoken_of) = self.store.by_uuid(end).await? else { continue };
                let noun = spoken_of.unpack()?.noun();
                if matches!(noun, Noun::DocumentEntry | Noun::Folder) && !self.is_shared(&spoken_of, depth + 1).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a document may be retrieved: it has entries, and all of those that are not superseded are shared.
    async fn is_shared_document(&self, unique_id: &UniqueId) -> StoreResult<bool> {
        let mut shared = false;
        for packed in self.store.by_unique_id(unique_id).await? {
            if packed.is_superseded() || packed.unpack()?.noun() != Noun::DocumentEntry {
                continue;
            }
            if !self.is_shared(&packed, 0).await? {
                if let Some(id) = packed.uuid() {
                    self.known().hidden.insert(id);
                }
                return Ok(false);
            }
            shared = true;
        }
        Ok(shared)
    }
}

fn for_reading<T>() -> BoxFuture<'static, StoreResult<T>> {
    Box::pin(async { Err(StoreError::Failed("what one asker sees is for reading".into())) })
}

impl RegistryStore for SharedStore {
    fn commit(&self, _: Change) -> BoxFuture<'_, StoreResult<()>> {
        for_reading()
    }

    fn of_patient<'s>(&'s self, patient: &'s PatientId, noun: Noun) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.keep(self.store.of_patient(patient, noun).await?).await })
    }

    fn by_uuid(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Option<PackedObject>>> {
        Box::pin(async move { Ok(self.keep(self.store.by_uuid(uuid).await?.into_iter().collect()).await?.pop()) })
    }

    fn by_unique_id<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.keep(self.store.by_unique_id(unique_id).await?).await })
    }

    fn page<'s>(
        &'s self,
        noun: Option<Noun>,
        after: Option<&'s Cursor>,
    ) -> BoxFuture<'s, StoreResult<Page<PackedObject>>> {
        Box::pin(async move {
            let page = self.store.page(noun, after).await?;
            Ok(Page { items: self.keep(page.items).await?, ..page })
        })
    }

    fn document_page<'s>(&'s self, _: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<DocumentLocator>>> {
        for_reading()
    }

    fn receipt_page<'s>(&'s self, _: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<Receipt>>> {
        for_reading()
    }

    fn patient_page<'s>(&'s self, _: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<PatientId>>> {
        for_reading()
    }

    fn identity(&self) -> BoxFuture<'_, StoreResult<[u8; 16]>> {
        self.store.identity()
    }

    fn reindex(&self) -> BoxFuture<'_, StoreResult<Reindexed>> {
        for_reading()
    }

    fn by_logical_id(&self, lid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.keep(self.store.by_logical_id(lid).await?).await })
    }

    fn associations_of(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.keep(self.store.associations_of(uuid).await?).await })
    }

    fn document<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<DocumentLocator>>> {
        Box::pin(async move {
            if self.is_shared_document(unique_id).await? { self.store.document(unique_id).await } else { Ok(None) }
        })
    }

    fn is_referenced(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<bool>> {
        self.store.is_referenced(sha256)
    }

    fn receipt<'s>(&'s self, _: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<Receipt>>> {
        for_reading()
    }

    fn knows_patient<'s>(&'s self, patient: &'s PatientId) -> BoxFuture<'s, StoreResult<bool>> {
        self.store.knows_patient(patient)
    }
}

// --- members' --------------------------------------------------------------------------------

/// A query as a member is asked on behalf of somebody whom not all is shared with: for whole objects, in their latest
/// versions, so that they can be judged. None: what it asks for could not be.
fn judgeable(query: &AdhocQuery) -> Option<AdhocQuery> {
    use QueryKind::{FindDocuments, FindDocumentsByReferenceId, GetAll, GetDocuments, GetDocumentsAndAssociations};
    let kind = QueryDefinition::by_id(&query.id)?.kind;
    let kinds = [FindDocuments, FindDocumentsByReferenceId, GetAll, GetDocuments, GetDocumentsAndAssociations];
    kinds.contains(&kind).then(|| {
        let mut query = AdhocQuery { return_type: Some("LeafClass".into()), ..query.clone() };
        query.slots.retain(|slot| slot.name != "$MetadataLevel");
        query
    })
}

/// An object as all copies of it name it: whose it is, and its id.
type Named = (String, EntryUuid);

fn named(packed: &PackedObject, entry: &RegistryObject<'_>) -> Option<Named> {
    let home = entry.common.home.as_deref().map_or("", str::trim);
    let home = HomeCommunityId::parse_lenient(home).map_or_else(|_| home.to_owned(), |home| home.to_string());
    Some((home, packed.uuid()?))
}

/// The entries of which some copy is not shared: what another community still says of them does not count.
fn hidden<'a>(shares: &[Shares], answers: impl Iterator<Item = &'a QueryResponse>) -> HashSet<Named> {
    let objects = answers.flat_map(|answer| &answer.objects);
    let hidden = objects.filter_map(|packed| {
        let object = packed.unpack().ok()?;
        let is_hidden = object.noun() == Noun::DocumentEntry && !all_share(shares, &object);
        is_hidden.then(|| named(packed, &object)).flatten()
    });
    hidden.collect()
}

/// Leaves out of an answer what is not shared, is hidden in another copy, or cannot be judged; gives how much. What
/// it says of errors may speak of that too: their codes stay.
fn leave_out(shares: &[Shares], hidden: &HashSet<Named>, answer: &mut QueryResponse) -> usize {
    let is_shown = |packed: &PackedObject, entry: &RegistryObject<'_>| {
        all_share(shares, entry) && named(packed, entry).is_none_or(|name| !hidden.contains(&name))
    };
    let mut shared = HashSet::new();
    for packed in &answer.objects {
        if let (Some(id), Ok(entry)) = (packed.uuid(), packed.unpack())
            && is_shown(packed, &entry)
        {
            shared.insert(id);
        }
    }
    let before = answer.objects.len();
    answer.objects.retain(|packed| match packed.unpack() {
        Ok(object) => match object.noun() {
            Noun::DocumentEntry => is_shown(packed, &object),
            Noun::Association => object.ends().is_some_and(|(a, b)| shared.contains(&a) && shared.contains(&b)),
            _ => false,
        },
        Err(_) => false,
    });
    for error in &mut answer.errors {
        error.context = "as this community says; its words are not passed on".into();
    }
    before - answer.objects.len()
}

/// Asks a member for what can be judged.
async fn ask_member(
    context: &RequestContext,
    federation: &Federation,
    member: &Peer,
    query: &AdhocQuery,
) -> Outcome<QueryResponse> {
    if context.asker.shares.is_empty() {
        return query_peer(context, federation, member, query).await;
    }
    let Some(query) = judgeable(query) else {
        context.steps.came_of(Some(&member.home), Doing::NotAsked, Instant::now(), || {
            "what it would answer cannot be judged, and not all is shared with whoever asked".into()
        });
        let (home, nodes, name) = (member.home.clone(), member.nodes.clone(), member.name.clone());
        return Outcome { home, nodes, name, result: Ok(QueryResponse::success(Vec::new())) };
    };
    query_peer(context, federation, member, &query).await
}

/// Asks a member, and leaves out of its answer what is not for whoever asked.
pub(super) async fn query_member(
    context: &RequestContext,
    federation: &Federation,
    member: &Peer,
    query: &AdhocQuery,
) -> Outcome<QueryResponse> {
    let mut outcome = ask_member(context, federation, member, query).await;
    if let Ok(answer) = &mut outcome.result {
        shared_with(context, member, answer);
    }
    outcome
}

/// Leaves out of a member's answer what is not shared with whoever asks.
pub(super) fn shared_with(context: &RequestContext, member: &Peer, answer: &mut QueryResponse) {
    let shares = &context.asker.shares;
    if !shares.is_empty() {
        let hidden = hidden(shares, std::iter::once(&*answer));
        note(context, Some(member), leave_out(shares, &hidden, answer));
    }
}

/// The same of several members at once.
pub(super) async fn query_members(
    context: &RequestContext,
    federation: &Arc<Federation>,
    members: &[&Peer],
    query: &AdhocQuery,
) -> Vec<Outcome<QueryResponse>> {
    if context.asker.shares.is_empty() {
        return query_peers(context, federation, members, query).await;
    }
    let mut outcomes = join_all(members.iter().map(|member| async move {
        let query = AdhocQuery { home: Some(member.home.to_string()), ..query.clone() };
        ask_member(context, federation, member, &query).await
    }))
    .await;
    let shares = &context.asker.shares;
    let hidden = hidden(shares, outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()));
    for (member, outcome) in members.iter().zip(&mut outcomes) {
        if let Ok(answer) = &mut outcome.result {
            note(context, Some(member), leave_out(shares, &hidden, answer));
        }
    }
    outcomes
}

/// Which documents of a member may be retrieved: it is asked for their entries first, and those are judged. An error for
/// each of the others, the same whether it is not shared or not there.
pub(super) async fn retrievable(
    context: &RequestContext,
    federation: &Federation,
    member: &Peer,
    requests: Vec<DocumentRequest>,
) -> (Vec<DocumentRequest>, Vec<RegistryError>) {
    let shares = &context.asker.shares;
    if shares.is_empty() {
        return (requests, Vec::new());
    }
    let (mut given, mut errors) = (Vec::new(), Vec::new());
    let mut homes: Vec<_> = requests.iter().map(|request| request.home.clone()).collect();
    homes.sort();
    homes.dedup();
    for home in homes {
        let asked: Vec<&DocumentRequest> = requests.iter().filter(|request| request.home == home).collect();
        let mut query = entries_of(&asked);
        query.home = home.map(|home| home.to_string());
        let outcome = query_peer(context, federation, member, &query).await;
        let answer = match outcome.result {
            Ok(answer) if answer.status == ResponseStatus::Failure => {
                errors.extend(answer.errors.into_iter().map(|error| locate(error, &member.home)));
                continue;
            }
            Ok(answer) => answer,
            Err(failure) => {
                let ids: Vec<&str> = asked.iter().map(|request| request.unique_id.as_str()).collect();
                let mut error = unavailable(&member.home, &member.name, &failure);
                error.context = format!("{} ({})", error.context, ids.join(", "));
                errors.push(error);
                continue;
            }
        };
        let entries: Vec<RegistryObject<'_>> =
            answer.objects.iter().filter_map(|packed| packed.unpack().ok()).collect();
        let mut hidden = 0;
        for request in asked {
            let of_it = |entry: &&RegistryObject<'_>| entry.unique_id() == Some(request.unique_id.as_str());
            let there = |entry: &RegistryObject<'_>| {
                entry.common.slot_value(slot::REPOSITORY_UNIQUE_ID) == Some(request.repository.as_str())
            };
            let mut of_it = entries.iter().filter(of_it).peekable();
            let known = of_it.peek().is_some();
            let of_it: Vec<_> = of_it.collect();
            if of_it.iter().any(|entry| there(entry)) && of_it.iter().all(|entry| all_share(shares, entry)) {
                given.push(request.clone());
                continue;
            }
            hidden += usize::from(known);
            let told = format!("{}: no such document at {}", request.unique_id, member.name);
            errors.push(RegistryError::new(ErrorCode::XDSDocumentUniqueIdError, told).at(member.home.as_str()));
        }
        note(context, Some(member), hidden);
    }
    (given, errors)
}

/// GetDocuments for the entries of documents.
fn entries_of(requests: &[&DocumentRequest]) -> AdhocQuery {
    let ids = requests.iter().map(|request| format!("'{}'", request.unique_id.as_str().replace('\'', "''")));
    let list = format!("({})", ids.collect::<Vec<_>>().join(","));
    AdhocQuery {
        id: QueryDefinition::of(QueryKind::GetDocuments).id.to_owned(),
        home: None,
        return_type: Some("LeafClass".into()),
        slots: vec![Slot::single("$XDSDocumentEntryUniqueId", list)],
    }
}

#[cfg(test)]
mod tests;
