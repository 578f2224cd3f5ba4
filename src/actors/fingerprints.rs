//! What entries said of their documents' bytes: hash and size, remembered from answers to queries, so
//! that a document of another community is held against its entry when it is retrieved (ITI TF-3
//! §4.2.3.2.10, §4.2.3.2.23).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use bytes::Bytes;

use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest};
use crate::model::ids::HomeCommunityId;
use crate::model::metadata::Noun;
use crate::model::rim::RegistryObject;
use crate::model::vocabulary::slot;

/// The SHA-1 of nothing: with size 0 it says that hash and size are not known yet (Delayed Document
/// Assembly, ITI TF-1 §18.2.3).
const OF_NOTHING: [u8; 20] = [
    0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf, 0xd8, 0x07,
    0x09,
];

/// Hash and size of a document, as its entry states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    sha1: [u8; 20],
    size: u64,
}

impl Fingerprint {
    /// Whether bytes of that size and SHA-1 are the document.
    pub fn fits(&self, size: u64, sha1: &[u8]) -> bool {
        self.size == size && self.sha1 == sha1
    }

    /// What an entry states; none if it states nothing that could be compared.
    pub(super) fn stated(entry: &RegistryObject<'_>) -> Option<Self> {
        if entry.noun() != Noun::DocumentEntry || entry.is_on_demand() {
            return None;
        }
        let size = entry.common.slot_value(slot::SIZE)?.parse().ok()?;
        let hash = entry.common.slot_value(slot::HASH).filter(|hash| hash.len() == 40 && hash.is_ascii())?;
        let mut sha1 = [0; 20];
        for (octet, at) in sha1.iter_mut().zip((0..40).step_by(2)) {
            *octet = u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()?;
        }
        ((size, sha1) != (0, OF_NOTHING)).then_some(Self { sha1, size })
    }
}

/// Fingerprints of documents that answers told of last; the oldest go when there are too many.
#[derive(Default)]
pub struct Fingerprints {
    most: usize,
    /// The younger half, and the older one, which goes as a whole when the younger is full.
    halves: Mutex<[HashMap<Box<str>, Fingerprint>; 2]>,
}

fn key(home: &str, repository: &str, unique_id: &str) -> Box<str> {
    // None of the three has a blank in it.
    format!("{home} {repository} {unique_id}").into()
}

impl Fingerprints {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Self { most, halves: Mutex::default() }
    }

    /// Remembers what an entry of that community states.
    pub fn learn(&self, home: &HomeCommunityId, entry: &RegistryObject<'_>) {
        let Some(fingerprint) = Fingerprint::stated(entry) else { return };
        let (Some(repository), Some(unique_id)) =
            (entry.common.slot_value(slot::REPOSITORY_UNIQUE_ID), entry.unique_id())
        else {
            return;
        };
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *halves;
        if young.len() >= self.most.div_ceil(2) {
            *old = std::mem::take(young);
        }
        young.insert(key(home.as_str(), repository, unique_id.trim()), fingerprint);
    }

    /// What is known of a document.
    pub fn of(&self, request: &DocumentRequest) -> Option<Fingerprint> {
        let key = key(request.home.as_ref()?.as_str(), request.repository.as_str(), request.unique_id.as_str());
        let halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.iter().find_map(|half| half.get(&key)).copied()
    }
}

/// A source whose documents must be what their entries said: one that is not breaks off at its end.
pub struct Checked {
    source: Box<dyn BodySource>,
    /// By number; none where nothing is known.
    expected: Arc<Vec<Option<Fingerprint>>>,
    current: Option<(Fingerprint, digest::Context, u64)>,
}

impl Checked {
    /// Holds a source's documents against what is known of them.
    pub fn new(source: Box<dyn BodySource>, expected: Arc<Vec<Option<Fingerprint>>>) -> Self {
        Self { source, expected, current: None }
    }
}

impl BodySource for Checked {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(async move {
            let number = self.source.next_document().await?;
            let expected = number.and_then(|number| self.expected.get(number).copied().flatten());
            self.current =
                expected.map(|expected| (expected, digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY), 0));
            Ok(number)
        })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            let chunk = self.source.next_chunk().await?;
            match (&chunk, self.current.take()) {
                (Some(octets), Some((expected, mut hash, size))) => {
                    hash.update(octets);
                    self.current = Some((expected, hash, size + octets.len() as u64));
                }
                (None, Some((expected, hash, size))) => {
                    if !expected.fits(size, hash.finish().as_ref()) {
                        return Err(BodyError::OtherBytes);
                    }
                }
                (_, None) => {}
            }
            Ok(chunk)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{EntryUuid, RepositoryUniqueId, UniqueId};
    use crate::model::metadata::build;
    use crate::model::vocabulary::identifier;

    fn entry(number: usize, hash: &str, size: &str) -> RegistryObject<'static> {
        let mut entry = build::document_entry(EntryUuid::random().into(), "text/plain");
        for (name, value) in [(slot::HASH, hash), (slot::SIZE, size), (slot::REPOSITORY_UNIQUE_ID, "2.999.3")] {
            entry.common.set_slot(name, value.to_owned());
        }
        entry.identifiers = vec![build::external_identifier(identifier::ENTRY_UNIQUE_ID, format!("2.999.2.{number}"))];
        entry
    }

    fn home() -> HomeCommunityId {
        HomeCommunityId::parse("urn:oid:2.999.1").unwrap()
    }

    fn request(number: usize) -> DocumentRequest {
        DocumentRequest {
            home: Some(home()),
            repository: RepositoryUniqueId::parse("2.999.3").unwrap(),
            unique_id: UniqueId::parse(&format!("2.999.2.{number}")).unwrap(),
        }
    }

    const HASH: &str = "A9993E364706816ABA3E25717850C26C9CD0D89D";

    #[test]
    fn what_is_stated_is_known_and_the_oldest_goes() {
        let known = Fingerprints::new(10);
        for number in 0..12 {
            known.learn(&home(), &entry(number, HASH, "3"));
        }
        assert_eq!(known.of(&request(0)), None);
        let last = known.of(&request(11)).unwrap();
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, b"abc");
        assert!(last.fits(3, sha1.as_ref()) && !last.fits(4, sha1.as_ref()) && !last.fits(3, &OF_NOTHING));
        // Nothing that says nothing, or nothing that can be compared.
        for (hash, size) in [("da39a3ee5e6b4b0d3255bfef95601890afd80709", "0"), ("x", "3"), (HASH, "three")] {
            known.learn(&home(), &entry(20, hash, size));
            assert_eq!(known.of(&request(20)), None, "{hash}");
        }
        // An empty document is one, if its entry says no more than that.
        let mut on_demand = entry(21, HASH, "3");
        on_demand.common.object_type = Some(crate::model::vocabulary::ON_DEMAND.into());
        known.learn(&home(), &on_demand);
        assert_eq!(known.of(&request(21)), None);
    }
}
