//! Making anew what leads to records, from the records themselves.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Engine;
use super::draft::{Look, View};
use super::layout::{Place, Writes, content_key, decode_named_locator, entries_of};
use crate::store::{Reindexed, StoreResult};

/// Keys looked at, or written, between two writes.
const STEP: usize = 1000;

/// Makes all keys but the records' anew: adds what is missing, then removes what leads nowhere.
///
/// # Errors
/// When the store fails, or a document's locator cannot be read.
pub fn reindex<E: Engine>(engine: &E) -> StoreResult<Reindexed> {
    let mut done = Reindexed::default();
    // Whether a record has a key that cannot be read: what leads to none may lead to that.
    let mut lost = false;
    walk(engine, b"p", |view, key, record, writes| {
        let place = key.get(1..).and_then(|rest| rest.split_at_checked(9));
        let Some(Ok(place)) = place.map(|(cluster, sequence)| Place::join(cluster, sequence)) else {
            done.damaged += 1;
            lost = true;
            return Ok(());
        };
        done.objects += 1;
        let Ok(entries) = view.decode_record(place.sequence, record).and_then(|packed| entries_of(&packed, place))
        else {
            done.damaged += 1;
            return Ok(());
        };
        for (key, value) in entries {
            if view.get(&key)?.as_ref().map(<E::View as Look>::Octets::as_ref) != value.as_deref() {
                writes.insert(key, value);
                done.added += 1;
            }
        }
        Ok(())
    })?;
    for tag in [b"u", b"x", b"a", b"l"] {
        walk(engine, tag, |view, key, value, writes| {
            let value = value.as_ref();
            let place = if tag == b"u" { Place::decode(value) } else { Place::of_index(key, value) };
            let leads = match place {
                Ok(place) => match view.get(&place.key())? {
                    // What cannot be read may still be what it leads to.
                    Some(record) => view
                        .decode_record(place.sequence, &record)
                        .and_then(|packed| entries_of(&packed, place))
                        .map_or(true, |entries| entries.get(key).and_then(Option::as_deref) == Some(value)),
                    None => lost,
                },
                Err(_) => false,
            };
            if !leads {
                writes.insert(key.to_vec(), None);
                done.removed += 1;
            }
            Ok(())
        })?;
    }
    recount(engine, &mut done)?;
    Ok(done)
}

/// Shows all keys that begin so, and applies what is to be written for them, bit by bit.
fn walk<E: Engine>(
    engine: &E,
    tag: &[u8],
    mut step: impl FnMut(&E::View, &[u8], &<E::View as Look>::Octets, &mut Writes) -> StoreResult<()>,
) -> StoreResult<()> {
    let mut from = Some(tag.to_vec());
    while let Some(first) = from {
        let (writes, next) = engine.read(|view| {
            let mut writes = Writes::new();
            for (seen, pair) in view.pairs(first).enumerate() {
                let (key, value) = pair?;
                let key = key.as_ref();
                if !key.starts_with(tag) {
                    break;
                }
                if seen == STEP || writes.len() >= STEP {
                    return Ok((writes, Some(key.to_vec())));
                }
                step(view, key, &value, &mut writes)?;
            }
            Ok((writes, None))
        })?;
        if !writes.is_empty() {
            engine.apply(writes)?;
        }
        from = next;
    }
    Ok(())
}

/// Counts the locators of each content anew.
fn recount<E: Engine>(engine: &E, done: &mut Reindexed) -> StoreResult<()> {
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    walk(engine, b"d", |_, key, locator, _| {
        let locator = decode_named_locator(key.get(1..).unwrap_or_default(), locator.as_ref())?;
        *counts.entry(content_key(&locator.content.sha256)).or_default() += 1;
        Ok(())
    })?;
    walk(engine, b"c", |_, key, value, writes| {
        match counts.remove(key).map(u32::to_be_bytes) {
            Some(count) if value.as_ref() == count => {}
            Some(count) => {
                writes.insert(key.to_vec(), Some(Bytes::copy_from_slice(&count)));
                done.added += 1;
            }
            None => {
                writes.insert(key.to_vec(), None);
                done.removed += 1;
            }
        }
        Ok(())
    })?;
    // Those that are left had no count.
    done.added += counts.len();
    let writes = counts.into_iter().map(|(key, count)| (key, Some(Bytes::copy_from_slice(&count.to_be_bytes()))));
    engine.apply(writes.collect())
}
