//! Everything, bit by bit: for checks, exports and queries over all patients.

use super::draft::View;
use super::layout::{Place, damaged, patient_prefix};
use crate::model::packed::PackedObject;
use crate::store::{Cursor, PAGE, Page, StoreError, StoreResult};

/// How often a page looks for where the next patient's objects begin.
const PAGE_SEEKS: usize = 1024;

/// Objects of a noun or of all, patient by patient.
pub fn page(view: &impl View, noun: Option<u8>, after: Option<&Cursor>) -> StoreResult<Page<PackedObject>> {
    let (mut items, mut damaged) = (Vec::new(), Vec::new());
    let mut last: Option<Vec<u8>> = None;
    let (mut from, mut seeks) = (behind(after).unwrap_or_else(|| b"p".to_vec()), 0);
    'patients: loop {
        for pair in view.pairs(from.clone()) {
            let (key, record) = pair?;
            let Some(rest) = key.as_ref().strip_prefix(b"p") else { break 'patients };
            if items.len() + damaged.len() >= PAGE {
                return Ok(Page { items, damaged, next: last.map(Cursor) });
            }
            let place = match rest.split_at_checked(9).map(|(cluster, sequence)| Place::join(cluster, sequence)) {
                Some(Ok(place)) => place,
                _ => {
                    damaged.push(unreadable(key.as_ref(), &self::damaged("record key")));
                    last = Some(key.as_ref().to_vec());
                    continue;
                }
            };
            if let Some(noun) = noun.filter(|noun| *noun != place.noun) {
                // On to where this patient's, or the next one's, begin.
                let patient = if place.noun < noun { place.patient } else { place.patient.saturating_add(1) };
                from = patient_prefix(patient, noun);
                seeks += 1;
                if seeks == PAGE_SEEKS {
                    // Others wait meanwhile; a page may have few objects, or none.
                    return Ok(Page { items, damaged, next: Some(Cursor(from)) });
                }
                continue 'patients;
            }
            match view.decode_record(place.sequence, &record) {
                Ok(packed) => items.push(packed),
                Err(error @ StoreError::Damaged(_)) => damaged.push(unreadable(key.as_ref(), &error)),
                Err(error) => return Err(error),
            }
            last = Some(key.as_ref().to_vec());
        }
        break;
    }
    Ok(Page { items, damaged, next: None })
}

/// A record by its key, and why it cannot be read.
fn unreadable(key: &[u8], error: &StoreError) -> (String, String) {
    (format!("record {}", crate::store::hex(key)), error.to_string())
}

/// The first key behind a page.
fn behind(after: Option<&Cursor>) -> Option<Vec<u8>> {
    after.map(|Cursor(key)| [key.as_slice(), &[0]].concat())
}

/// What the keys of a tag have, in order; what decodes to nothing is left out.
pub fn tagged<T>(
    view: &impl View,
    tag: u8,
    after: Option<&Cursor>,
    decode: impl Fn(&[u8], &[u8]) -> StoreResult<Option<T>>,
) -> StoreResult<Page<T>> {
    let (mut items, mut damaged) = (Vec::new(), Vec::new());
    let mut last: Option<Vec<u8>> = None;
    for (seen, pair) in view.pairs(behind(after).unwrap_or_else(|| vec![tag])).enumerate() {
        let (key, value) = pair?;
        let Some(name) = key.as_ref().strip_prefix(&[tag]) else { break };
        if seen == PAGE {
            return Ok(Page { items, damaged, next: last.map(Cursor) });
        }
        match decode(name, value.as_ref()) {
            Ok(item) => items.extend(item),
            Err(error) => damaged.push(unreadable(key.as_ref(), &error)),
        }
        last = Some(key.as_ref().to_vec());
    }
    Ok(Page { items, damaged, next: None })
}
