//! Document Registry: ITI-18 and ITI-51, one function per stored query (ITI TF-2 §3.18.4.1.2.3.7,
//! §3.51.4.1.2.3).
//!
//! Which parameters a query has, and what they are compared with, is in the tables of
//! [`crate::model::stored_query`]; here is what each query gives back (§3.18.4.1.2.3.7.1 ff).

use std::collections::HashSet;

use super::document_registry::{DocumentRegistry, store_error};
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError};
use crate::model::rim::{Body, RegistryObject};
use crate::model::stored_query::{AdhocQuery, Kind, QueryKind, ReturnType, StoredQuery, Values};
use crate::model::vocabulary::association::HAS_MEMBER;
use crate::store::StoreError;
use crate::validate::stored_query::{header_matches, matches, read, read_fetch, read_multi_patient};

/// What a query has found so far: each object once, in the order found.
#[derive(Default)]
struct Found {
    objects: Vec<PackedObject>,
    ids: HashSet<EntryUuid>,
}

impl Found {
    fn add(&mut self, object: PackedObject) {
        if object.uuid().is_none_or(|id| self.ids.insert(id)) {
            self.objects.push(object);
        }
    }

    fn has(&self, id: Option<EntryUuid>) -> bool {
        id.is_some_and(|id| self.ids.contains(&id))
    }
}

fn ends(object: &RegistryObject<'_>) -> (Option<EntryUuid>, Option<EntryUuid>) {
    match &object.body {
        Body::Association { source, target, .. } => (source.uuid(), target.uuid()),
        _ => (None, None),
    }
}

fn association_kind<'o>(object: &'o RegistryObject<'_>) -> &'o str {
    match &object.body {
        Body::Association { kind, .. } => kind,
        _ => "",
    }
}

impl DocumentRegistry {
    /// ITI-18: judges the query and answers it. Gives the return type too, for the writer.
    pub async fn stored_query(&self, query: &AdhocQuery) -> (QueryResponse, ReturnType) {
        self.answer_read(read(query)).await
    }

    /// ITI-51: the same over many patients, or all (ITI TF-2 §3.51.4.1.3).
    pub async fn multi_patient_query(&self, query: &AdhocQuery) -> (QueryResponse, ReturnType) {
        self.answer_read(read_multi_patient(query)).await
    }

    /// The entries that ITI-63 asks for; their documents are the repository's (Cross-Community Fetch §3.63).
    pub async fn fetched_entries(&self, query: &AdhocQuery) -> QueryResponse {
        self.answer_read(read_fetch(query)).await.0
    }

    async fn answer_read(&self, read: Result<StoredQuery, Vec<RegistryError>>) -> (QueryResponse, ReturnType) {
        match read {
            Ok(query) => match self.refuse_values(&query) {
                Some(refused) => (refused, query.return_type),
                None => (self.answer(&query).await, query.return_type),
            },
            Err(errors) => (QueryResponse::failure(errors), ReturnType::LeafClass),
        }
    }

    /// More values than a query may have.
    fn refuse_values(&self, query: &StoredQuery) -> Option<QueryResponse> {
        let (values, limit) = (query.value_count(), self.limits.values);
        let context = format!("the query has {values} values, {limit} at most are taken: ask in several queries");
        let refused =
            || QueryResponse::failure(vec![RegistryError::new(ErrorCode::XDSStoredQueryParamNumber, context)]);
        (values > limit).then(refused)
    }

    async fn answer(&self, query: &StoredQuery) -> QueryResponse {
        match self.run(query).await {
            Ok(found) => self.bounded(query, found),
            Err(error) => QueryResponse::failure(vec![store_error(&error)]),
        }
    }

    fn bounded(&self, query: &StoredQuery, found: Found) -> QueryResponse {
        // References over all patients may be as many as there are.
        let many = query.definition.parameters.iter().any(|parameter| parameter.kind == Kind::Patients);
        if query.return_type == ReturnType::LeafClass || many {
            if found.objects.len() > self.limits.results {
                return QueryResponse::failure(vec![RegistryError::new(
                    ErrorCode::XDSTooManyResults,
                    if many {
                        format!(
                            "more than {} objects match, the bound of one answer: narrow the query",
                            self.limits.results
                        )
                    } else {
                        format!(
                            "{} objects match, {} at most are given whole: narrow the query, or ask for ObjectRef",
                            found.objects.len(),
                            self.limits.results
                        )
                    },
                )]);
            }
            if !many && query.definition.single_patient() && several_patients(&found.objects) {
                return QueryResponse::failure(vec![RegistryError::new(
                    ErrorCode::XDSResultNotSinglePatient,
                    "the objects asked for are about several patients: ask for ObjectRef, or one by one (ITI TF-2 §3.18.4.1.2.4)",
                )]);
            }
        }
        QueryResponse::success(found.objects)
    }

    async fn run(&self, query: &StoredQuery) -> Result<Found, StoreError> {
        let mut found = Found::default();
        match query.definition.kind {
            QueryKind::FindDocuments | QueryKind::FindDocumentsByReferenceId | QueryKind::Fetch => {
                self.of_patient(query, Noun::DocumentEntry, &mut found).await?;
            }
            QueryKind::FindSubmissionSets => self.of_patient(query, Noun::SubmissionSet, &mut found).await?,
            QueryKind::FindFolders => self.of_patient(query, Noun::Folder, &mut found).await?,
            QueryKind::FindDocumentsForMultiplePatients | QueryKind::FindDocumentsByReferenceIdForMultiplePatients => {
                self.of_patients(query, Noun::DocumentEntry, &mut found).await?;
            }
            QueryKind::FindFoldersForMultiplePatients => self.of_patients(query, Noun::Folder, &mut found).await?,
            QueryKind::GetAll => {
                for noun in [Noun::SubmissionSet, Noun::DocumentEntry, Noun::Folder] {
                    self.of_patient(query, noun, &mut found).await?;
                }
                let ids: Vec<_> = found.objects.iter().filter_map(PackedObject::uuid).collect();
                self.associations(query, &ids, &mut found).await?;
            }
            QueryKind::GetDocuments => self.by_ids(query, Noun::DocumentEntry, &mut found).await?,
            QueryKind::GetFolders => self.by_ids(query, Noun::Folder, &mut found).await?,
            QueryKind::GetAssociations => {
                let ids = uuids(query).to_vec();
                self.associations(query, &ids, &mut found).await?;
            }
            QueryKind::GetDocumentsAndAssociations => {
                self.by_ids(query, Noun::DocumentEntry, &mut found).await?;
                let ids: Vec<_> = found.objects.iter().filter_map(PackedObject::uuid).collect();
                self.associations(query, &ids, &mut found).await?;
            }
            QueryKind::GetSubmissionSets => self.submission_sets(query, &mut found).await?,
            QueryKind::GetSubmissionSetAndContents => self.set_and_contents(query, &mut found).await?,
            QueryKind::GetFolderAndContents => self.folder_and_contents(query, &mut found).await?,
            QueryKind::GetFoldersForDocument => self.folders_for_document(query, &mut found).await?,
            QueryKind::GetRelatedDocuments => self.related_documents(query, &mut found).await?,
        }
        Ok(found)
    }

    async fn of_patient(&self, query: &StoredQuery, noun: Noun, found: &mut Found) -> Result<(), StoreError> {
        let Some(patient) = query.patient() else { return Ok(()) };
        self.filter(query, self.store.of_patient(patient, noun).await?, found)
    }

    /// What a query's filters let through.
    fn filter(&self, query: &StoredQuery, objects: Vec<PackedObject>, found: &mut Found) -> Result<(), StoreError> {
        for packed in objects {
            let wanted = match header_matches(query, &packed) {
                Some(wanted) => wanted,
                None => wanted(query, &packed, &packed.unpack()?),
            };
            if wanted {
                found.add(packed);
            }
        }
        Ok(())
    }

    /// The objects of the patients that a query names, or of all; no more are looked at once there
    /// are too many.
    async fn of_patients(&self, query: &StoredQuery, noun: Noun, found: &mut Found) -> Result<(), StoreError> {
        let Some(patients) = query.patients() else {
            let mut page = self.store.page(Some(noun), None).await?.whole()?;
            loop {
                self.filter(query, page.items, found)?;
                let Some(next) = page.next.filter(|_| found.objects.len() <= self.limits.results) else {
                    return Ok(());
                };
                tokio::task::yield_now().await;
                page = self.store.page(Some(noun), Some(&next)).await?.whole()?;
            }
        };
        let mut seen = HashSet::new();
        for patient in patients.iter().filter(|patient| seen.insert(*patient)) {
            if found.objects.len() > self.limits.results {
                break;
            }
            self.filter(query, self.store.of_patient(patient, noun).await?, found)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The objects of a noun that a query names by entryUUID or uniqueId, filtered.
    async fn named(&self, query: &StoredQuery, noun: Noun) -> Result<Vec<PackedObject>, StoreError> {
        let mut objects = Vec::new();
        for uuid in uuids(query) {
            objects.extend(self.store.by_uuid(*uuid).await?);
        }
        for text in query.texts(Kind::UniqueId) {
            if let Ok(unique_id) = UniqueId::parse(text) {
                objects.extend(self.store.by_unique_id(&unique_id).await?);
            }
        }
        if let Some(Values::Uuids(lids)) = query.values(Kind::LogicalId) {
            for lid in lids {
                objects.extend(self.store.by_logical_id(*lid).await?);
            }
        }
        let mut kept = Vec::with_capacity(objects.len());
        for packed in objects {
            if packed.unpack()?.noun() == noun {
                kept.push(packed);
            }
        }
        Ok(kept)
    }

    async fn by_ids(&self, query: &StoredQuery, noun: Noun, found: &mut Found) -> Result<(), StoreError> {
        for packed in self.named(query, noun).await? {
            if wanted(query, &packed, &packed.unpack()?) {
                found.add(packed);
            }
        }
        Ok(())
    }

    /// Associations with one of the ids at either end that the query lets through.
    async fn associations(&self, query: &StoredQuery, ids: &[EntryUuid], found: &mut Found) -> Result<(), StoreError> {
        for id in ids {
            for packed in self.store.associations_of(*id).await? {
                if matches(query, &packed.unpack()?) {
                    found.add(packed);
                }
            }
        }
        Ok(())
    }

    async fn submission_sets(&self, query: &StoredQuery, found: &mut Found) -> Result<(), StoreError> {
        let mut members = Vec::new();
        for id in uuids(query) {
            for packed in self.store.associations_of(*id).await? {
                let association = packed.unpack()?;
                let (source, target) = ends(&association);
                if association_kind(&association) != HAS_MEMBER || target != Some(*id) || !matches(query, &association)
                {
                    continue;
                }
                let Some(source) = source else { continue };
                if let Some(set) = self.store.by_uuid(source).await?
                    && set.unpack()?.noun() == Noun::SubmissionSet
                {
                    found.add(set);
                    members.push(packed);
                }
            }
        }
        members.into_iter().for_each(|member| found.add(member));
        Ok(())
    }

    async fn set_and_contents(&self, query: &StoredQuery, found: &mut Found) -> Result<(), StoreError> {
        for set in self.named(query, Noun::SubmissionSet).await? {
            let Some(id) = set.uuid() else { continue };
            found.add(set);
            let members = self.store.associations_of(id).await?;
            let (mut kept, mut memberships) = (Vec::new(), Vec::new());
            for packed in members {
                let association = packed.unpack()?;
                let (source, Some(target)) = ends(&association) else { continue };
                if association_kind(&association) != HAS_MEMBER || source != Some(id) || !matches(query, &association) {
                    continue;
                }
                let Some(member) = self.store.by_uuid(target).await? else { continue };
                let object = member.unpack()?;
                match object.noun() {
                    Noun::DocumentEntry | Noun::Folder if wanted(query, &member, &object) => {
                        found.add(member);
                        kept.push(packed);
                    }
                    Noun::Association if matches(query, &object) => memberships.push((packed, member)),
                    _ => {}
                }
            }
            kept.into_iter().for_each(|member| found.add(member));
            // SS-HM last: only those whose own two ends are already in the answer.
            for (membership, member) in memberships {
                let (source, target) = ends(&member.unpack()?);
                if found.has(source) && found.has(target) {
                    found.add(member);
                    found.add(membership);
                }
            }
        }
        Ok(())
    }

    async fn folder_and_contents(&self, query: &StoredQuery, found: &mut Found) -> Result<(), StoreError> {
        for folder in self.named(query, Noun::Folder).await? {
            if !wanted(query, &folder, &folder.unpack()?) {
                continue;
            }
            let Some(id) = folder.uuid() else { continue };
            found.add(folder);
            let mut kept = Vec::new();
            for packed in self.store.associations_of(id).await? {
                let association = packed.unpack()?;
                let (source, Some(target)) = ends(&association) else { continue };
                if association_kind(&association) != HAS_MEMBER || source != Some(id) || !matches(query, &association) {
                    continue;
                }
                if let Some(entry) = self.store.by_uuid(target).await?
                    && wanted(query, &entry, &entry.unpack()?)
                {
                    found.add(entry);
                    kept.push(packed);
                }
            }
            kept.into_iter().for_each(|member| found.add(member));
        }
        Ok(())
    }

    async fn folders_for_document(&self, query: &StoredQuery, found: &mut Found) -> Result<(), StoreError> {
        for entry in self.named(query, Noun::DocumentEntry).await? {
            let Some(id) = entry.uuid() else { continue };
            for packed in self.store.associations_of(id).await? {
                let association = packed.unpack()?;
                let (Some(source), target) = ends(&association) else { continue };
                if association_kind(&association) != HAS_MEMBER || target != Some(id) || !matches(query, &association) {
                    continue;
                }
                if let Some(folder) = self.store.by_uuid(source).await? {
                    let object = folder.unpack()?;
                    if object.noun() == Noun::Folder && wanted(query, &folder, &object) {
                        found.add(folder);
                    }
                }
            }
        }
        Ok(())
    }

    async fn related_documents(&self, query: &StoredQuery, found: &mut Found) -> Result<(), StoreError> {
        let types: Vec<&str> = query.texts(Kind::AssociationType).collect();
        for entry in self.named(query, Noun::DocumentEntry).await? {
            let Some(id) = entry.uuid() else { continue };
            let (mut documents, mut associations) = (Vec::new(), Vec::new());
            for packed in self.store.associations_of(id).await? {
                let association = packed.unpack()?;
                if !types.contains(&association_kind(&association)) || !matches(query, &association) {
                    continue;
                }
                let (Some(source), Some(target)) = ends(&association) else { continue };
                let (Some(source), Some(target)) =
                    (self.store.by_uuid(source).await?, self.store.by_uuid(target).await?)
                else {
                    continue;
                };
                // DECISION: an association whose other end the type filter drops is dropped too.
                let (from, to) = (source.unpack()?, target.unpack()?);
                let both = |noun: Noun| noun == Noun::DocumentEntry;
                if both(from.noun()) && both(to.noun()) && wanted(query, &source, &from) && wanted(query, &target, &to)
                {
                    documents.extend([source.clone(), target.clone()]);
                    associations.push(packed);
                }
            }
            if !associations.is_empty() {
                found.add(entry);
            }
            documents.into_iter().chain(associations).for_each(|object| found.add(object));
        }
        Ok(())
    }
}

/// Whether a query's filters let an object through, and its level shows it: `$MetadataLevel` 1 shows
/// latest versions only (Metadata Update §3.18.4.1.2.3.5.1).
fn wanted(query: &StoredQuery, packed: &PackedObject, object: &RegistryObject<'_>) -> bool {
    (query.metadata_level() > 1 || !packed.is_superseded()) && matches(query, object)
}

fn uuids(query: &StoredQuery) -> &[EntryUuid] {
    match query.values(Kind::Uuid) {
        Some(Values::Uuids(uuids)) => uuids,
        _ => &[],
    }
}

fn several_patients(objects: &[PackedObject]) -> bool {
    let mut first: Option<PatientId> = None;
    for packed in objects {
        let Ok(object) = packed.unpack() else { continue };
        let Some(patient) = object.patient_id().and_then(|id| PatientId::parse(id.trim()).ok()) else { continue };
        match &first {
            None => first = Some(patient),
            Some(known) if *known != patient => return true,
            Some(_) => {}
        }
    }
    false
}
