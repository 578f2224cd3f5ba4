//! The rules of registry and repository one by one, without sockets: what is accepted, what is refused with which
//! code, and what becomes of the objects.
//!
//! Objects are named by labels; a label is the object's entryUUID, so that it can be looked at afterwards.

mod query;
mod races;
mod repository;
mod submit;
mod update;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::actors::context::RequestContext;
use causeway::actors::document_registry::{DocumentRegistry, PatientPolicy, QueryLimits};
use causeway::actors::ports::Clock;
use causeway::model::ids::{EntryUuid, PatientId, RepositoryUniqueId};
use causeway::model::metadata::{Noun, build};
use causeway::model::response::{RegistryResponse, ResponseStatus};
use causeway::model::rim::{ObjectId, RegistryObject, Slot};
use causeway::model::vocabulary::{self as v, association, identifier, scheme, slot};
use causeway::store::RegistryStore;
use causeway::store::memory::MemoryStore;
use causeway::transaction::{Transaction, TransactionId};

use crate::support::{PATIENT, submission_of};

const OTHER: &str = "9990000026^^^&2.16.840.1.113883.2.1.4.1&ISO";

/// A clock that a test sets.
struct SetClock(Mutex<jiff::Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A registry to be asked in plain values.
struct Rules {
    registry: Arc<DocumentRegistry>,
    store: Arc<dyn RegistryStore>,
    clock: Arc<SetClock>,
}

fn uuid(label: &str) -> EntryUuid {
    let mut bytes = [0; 16];
    bytes[..label.len()].copy_from_slice(label.as_bytes());
    EntryUuid(bytes)
}

fn id(label: &str) -> ObjectId<'static> {
    uuid(label).into()
}

fn unique_id(label: &str) -> String {
    label.bytes().fold("2.999".to_owned(), |id, byte| format!("{id}.{byte}"))
}

fn context(transaction: TransactionId, message_id: Option<&str>) -> RequestContext {
    RequestContext {
        message_id: message_id.map(Into::into),
        ..RequestContext::of_our_own(Transaction::of(transaction), "test", Duration::from_secs(60))
    }
}

fn codes(response: &RegistryResponse) -> Vec<&str> {
    assert_eq!(response.status == ResponseStatus::Success, response.errors.is_empty(), "{:?}", response.errors);
    response.errors.iter().map(|error| error.code.as_str()).collect()
}

/// A message in the making; its SubmissionSet comes first.
#[derive(Clone)]
struct Message {
    patient: &'static str,
    objects: Vec<RegistryObject<'static>>,
}

fn message(set: &str) -> Message {
    message_of(set, PATIENT)
}

fn message_of(set: &str, patient: &'static str) -> Message {
    let mut object = submission_of(&unique_id(set), "1", patient, "text/plain").swap_remove(0);
    object.common.id = Some(id(set));
    Message { patient, objects: vec![object] }
}

/// A DocumentEntry with all that a registry requires.
fn entry_of(label: &str, patient: &str) -> RegistryObject<'static> {
    let mut entry = submission_of("1", &unique_id(label), patient, "text/plain").swap_remove(1);
    entry.common.id = Some(id(label));
    for (name, value) in [
        (slot::HASH, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (slot::SIZE, "0"),
        (slot::REPOSITORY_UNIQUE_ID, "2.999.80"),
    ] {
        entry.common.set_slot(name, value);
    }
    entry
}

fn folder_of(label: &str, patient: &str) -> RegistryObject<'static> {
    let mut folder = build::package(id(label), v::FOLDER_NODE);
    folder.common.names = build::name("Admission");
    let code = build::Code { code: "1".into(), scheme: "2.999".into(), display: "x".into() };
    folder.classifications.push(build::code(scheme::FOLDER_CODE, &code));
    folder.identifiers = vec![
        build::external_identifier(identifier::FOLDER_PATIENT_ID, patient.to_owned()),
        build::external_identifier(identifier::FOLDER_UNIQUE_ID, unique_id(label)),
    ];
    folder
}

fn on_demand(entry: &mut RegistryObject<'static>) {
    entry.common.object_type = Some(v::ON_DEMAND.into());
    entry.common.slots.retain(|slot| ![slot::CREATION_TIME, slot::HASH, slot::SIZE].contains(&slot.name.as_ref()));
}

fn set_identifier(object: &mut RegistryObject<'static>, scheme: &str, value: &str) {
    let of = |given: &&mut causeway::model::rim::ExternalIdentifier<'static>| given.scheme.as_deref() == Some(scheme);
    object.identifiers.iter_mut().filter(of).for_each(|given| given.value = Some(value.to_owned().into()));
}

impl Message {
    fn set(&self) -> ObjectId<'static> {
        self.objects[0].common.id.clone().expect("an id")
    }

    fn put(mut self, object: RegistryObject<'static>) -> Self {
        self.objects.push(object);
        self
    }

    /// A new DocumentEntry.
    fn entry(self, label: &str) -> Self {
        let member = build::original(EntryUuid::random().into(), self.set(), id(label));
        let entry = entry_of(label, self.patient);
        self.put(entry).put(member)
    }

    /// A new Folder.
    fn folder(self, label: &str) -> Self {
        let folder = folder_of(label, self.patient);
        let set = self.set();
        self.put(folder).tie(association::HAS_MEMBER, &set, &id(label))
    }

    fn tie(self, kind: &'static str, from: &ObjectId<'static>, to: &ObjectId<'static>) -> Self {
        self.put(build::association(EntryUuid::random().into(), kind, from.clone(), to.clone()))
    }

    /// A relationship between two documents.
    fn relate(self, kind: &'static str, from: &str, to: &str) -> Self {
        self.tie(kind, &id(from), &id(to))
    }

    /// A document's place in a folder, and the set's membership of that.
    fn file(self, folder: &str, entry: &str) -> Self {
        let member = EntryUuid::random();
        let set = self.set();
        self.put(build::association(member.into(), association::HAS_MEMBER, id(folder), id(entry))).tie(
            association::HAS_MEMBER,
            &set,
            &member.into(),
        )
    }

    /// A known DocumentEntry, by reference.
    fn refer(self, entry: &str) -> Self {
        let mut member = build::original(EntryUuid::random().into(), self.set(), id(entry));
        member.common.set_slot(slot::SUBMISSION_SET_STATUS, "Reference");
        self.put(member)
    }

    /// The same with the labelled object changed.
    fn with(mut self, label: &str, change: impl FnOnce(&mut RegistryObject<'static>)) -> Self {
        let wanted = Some(id(label));
        change(self.objects.iter_mut().find(|object| object.common.id == wanted).expect("an object of that label"));
        self
    }

    /// A new version of an object, whose HasMember says what it supersedes.
    fn version(self, mut object: RegistryObject<'static>, label: &str, of: &str, previous: &str) -> Self {
        object.common.id = Some(id(label));
        object.common.lid = Some(id(of));
        for classification in &mut object.classifications {
            (classification.common.id, classification.classified) = (None, None);
        }
        for identifier in &mut object.identifiers {
            (identifier.common.id, identifier.registry_object) = (None, None);
        }
        let mut member = build::original(id(&format!("{label}:m")), self.set(), id(label));
        member.common.slots.push(Slot::single(slot::PREVIOUS_VERSION, previous.to_owned()));
        self.put(object).put(member)
    }

    /// A change of status.
    fn change_status(self, target: &str, from: &'static str, to: &'static str) -> Self {
        let mut change =
            build::association(id(&format!("{target}:s")), association::UPDATE_STATUS, self.set(), id(target));
        change.common.slots = vec![Slot::single(slot::ORIGINAL_STATUS, from), Slot::single(slot::NEW_STATUS, to)];
        self.put(change)
    }

    /// A new association between what is there.
    fn submit(self, label: &str, kind: &'static str, from: &str, to: &str) -> Self {
        let set = self.set();
        self.put(build::association(id(label), kind, id(from), id(to))).tie(
            association::SUBMIT_ASSOCIATION,
            &set,
            &id(label),
        )
    }
}

impl Rules {
    fn new() -> Self {
        Self::with_patients(PatientPolicy::default())
    }

    fn with_patients(patients: PatientPolicy) -> Self {
        Self::over(Arc::new(MemoryStore::default()), patients)
    }

    fn over(store: Arc<dyn RegistryStore>, patients: PatientPolicy) -> Self {
        let clock = Arc::new(SetClock(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap())));
        let limits = QueryLimits { results: 1000, values: 1000 };
        let registry = DocumentRegistry::new(store.clone(), None, patients, clock.clone(), limits)
            .with_repository(RepositoryUniqueId::parse("2.999.81").unwrap());
        Self { registry: Arc::new(registry), store, clock }
    }

    fn at(&self, time: &str) {
        *self.clock.0.lock().unwrap() = time.parse().unwrap();
    }

    async fn register(&self, message: Message) -> RegistryResponse {
        let context = context(TransactionId::RegisterDocumentSet, None);
        self.registry.register_document_set(&context, message.objects, Vec::new()).await
    }

    async fn register_on_demand(&self, message: Message) -> RegistryResponse {
        let context = context(TransactionId::RegisterOnDemandDocumentEntry, None);
        self.registry.register_on_demand(&context, message.objects).await
    }

    async fn update(&self, message: Message) -> RegistryResponse {
        let context = context(TransactionId::UpdateDocumentSet, None);
        self.registry.update_document_set(&context, message.objects).await
    }

    async fn restricted_update(&self, message: Message) -> RegistryResponse {
        let context = context(TransactionId::RestrictedUpdateDocumentSet, None);
        self.registry.restricted_update_document_set(&context, message.objects).await
    }

    async fn remove(&self, ids: &[EntryUuid]) -> RegistryResponse {
        self.registry.remove_metadata(ids).await
    }

    /// Registers, and expects success.
    async fn accepts(&self, message: Message) {
        let response = self.register(message).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
    }

    /// An object as it is now.
    async fn object(&self, label: &str) -> RegistryObject<'static> {
        self.get(uuid(label)).await.unwrap_or_else(|| panic!("no {label}"))
    }

    async fn get(&self, uuid: EntryUuid) -> Option<RegistryObject<'static>> {
        let packed = self.store.by_uuid(uuid).await.unwrap()?;
        Some(packed.unpack().unwrap().into_owned())
    }

    async fn is_approved(&self, label: &str) -> bool {
        self.object(label).await.is_approved()
    }

    /// How many Approved associations of a type lead from one object to another.
    async fn count(&self, kind: &str, from: &str, to: &str) -> usize {
        let (from, to) = (uuid(from), uuid(to));
        let ties = self.ties_of(to).await;
        ties.into_iter().filter(|tie| tie.0 == kind && tie.1 == from && tie.2 == to && tie.3).count()
    }

    async fn ties_of(&self, at: EntryUuid) -> Vec<(String, EntryUuid, EntryUuid, bool)> {
        let packed = self.store.associations_of(at).await.unwrap();
        packed
            .iter()
            .map(|packed| {
                let object = packed.unpack().unwrap();
                let (from, to) = object.ends().unwrap();
                let causeway::model::rim::Body::Association { kind, .. } = &object.body else {
                    panic!("no association")
                };
                (kind.to_string(), from, to, object.is_approved())
            })
            .collect()
    }

    /// Whether a document is in a folder, once, and the membership is some SubmissionSet's, once.
    async fn is_filed(&self, folder: &str, entry: &str) -> bool {
        let mut members = Vec::new();
        for packed in self.store.associations_of(uuid(folder)).await.unwrap() {
            let object = packed.unpack().unwrap();
            if object.ends() == Some((uuid(folder), uuid(entry))) && object.is_approved() {
                members.push(packed.uuid().unwrap());
            }
        }
        assert!(members.len() <= 1, "{entry} is in {folder} {} times", members.len());
        for member in &members {
            let memberships = self.ties_of(*member).await;
            assert_eq!(memberships.len(), 1, "a membership is a SubmissionSet's, once");
            let set = self.get(memberships[0].1).await.unwrap();
            assert_eq!(set.noun(), Noun::SubmissionSet);
        }
        members.len() == 1
    }

    async fn updated(&self, folder: &str) -> String {
        self.object(folder).await.common.slot_value(slot::LAST_UPDATE_TIME).unwrap_or_default().to_owned()
    }
}
