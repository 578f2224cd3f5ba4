//! Who is using a document right now: removing one must not take it from under a submission that
//! is just relying on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{RwLock, RwLockWriteGuard};

use crate::model::ids::UniqueId;

/// What a submission relies on until it has committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claim {
    /// That a uniqueId stays with its locator.
    Document(UniqueId),
    /// That bytes stay, by their SHA-256.
    Content([u8; 32]),
}

/// The claims of all submissions under way.
#[derive(Default)]
pub struct Claims {
    /// Held for writing while something is removed: nobody claims anything in between.
    gate: RwLock<()>,
    held: Mutex<HashMap<Claim, Held>>,
}

/// How many hold a claim, and how many have held it since it was free.
#[derive(Default)]
struct Held {
    now: usize,
    ever: usize,
}

/// A submission's claims, until it is dropped.
pub struct Claimed {
    claims: Arc<Claims>,
    all: Vec<Claim>,
}

impl Claims {
    /// Claims; waits while something is being removed.
    pub async fn claim(self: &Arc<Self>, mut all: Vec<Claim>) -> Claimed {
        // One holder, once.
        let mut seen = HashSet::with_capacity(all.len());
        all.retain(|claim| seen.insert(claim.clone()));
        let _gate = self.gate.read().await;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for claim in &all {
            let held = held.entry(claim.clone()).or_default();
            held.now += 1;
            held.ever += 1;
        }
        drop(held);
        Claimed { claims: Arc::clone(self), all }
    }

    /// No claim is made while this is held.
    pub async fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Whether nobody holds it.
    pub fn is_free(&self, claim: &Claim) -> bool {
        !self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(claim)
    }

    /// Whether only its one holder has held it all the time.
    pub fn is_alone(&self, claim: &Claim) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(claim).is_none_or(|held| held.ever <= 1)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock().unwrap_or_else(PoisonError::into_inner);
        for claim in &self.all {
            if let Some(entry) = held.get_mut(claim) {
                entry.now -= 1;
                if entry.now == 0 {
                    held.remove(claim);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn claims_are_counted_and_given_back() {
        let claims = Arc::new(Claims::default());
        let bytes = Claim::Content([7; 32]);
        let first = claims.claim(vec![bytes.clone()]).await;
        assert!(!claims.is_free(&bytes) && claims.is_alone(&bytes));
        drop(claims.claim(vec![bytes.clone()]).await);
        assert!(!claims.is_free(&bytes) && !claims.is_alone(&bytes), "another has relied on it meanwhile");
        drop(first);
        assert!(claims.is_free(&bytes) && claims.is_alone(&bytes));
        let closed = claims.close().await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), claims.claim(vec![bytes.clone()]));
        assert!(waiting.await.is_err());
        drop(closed);
        let twice = claims.claim(vec![bytes.clone(), bytes.clone()]).await;
        assert!(claims.is_alone(&bytes), "one holder");
        drop(twice);
        assert!(claims.is_free(&bytes));
    }
}
