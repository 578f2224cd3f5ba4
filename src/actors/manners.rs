//! What a community does otherwise than others, as far as it is for an actor to see to.

use crate::model::ids::HomeCommunityId;
use crate::model::packed::PackedObject;
use crate::model::response::QueryResponse;

/// The manners of a community; none of them unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manners {
    /// Documents that it is asked for in one request at most; 0: all of them.
    pub documents_per_request: usize,
    /// What it returns without homeCommunityId is its own.
    pub assume_home: bool,
}

impl Manners {
    /// Into how large parts a request for so many documents is split, if it is.
    pub(super) fn part(&self, documents: usize) -> Option<usize> {
        Some(self.documents_per_request).filter(|part| *part > 0 && documents > *part)
    }
}

/// Writes a homeCommunityId into the objects that have none; gives how many.
pub(super) fn stamp(answer: &mut QueryResponse, home: &HomeCommunityId) -> usize {
    let mut stamped = 0;
    for packed in &mut answer.objects {
        if packed.home().is_some_and(|home| !home.trim().is_empty()) {
            continue;
        }
        let Ok(mut object) = packed.unpack() else { continue };
        object.common.home = Some(home.as_str().into());
        let with_home = PackedObject::pack(&object);
        *packed = with_home;
        stamped += 1;
    }
    stamped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::EntryUuid;
    use crate::model::metadata::build;
    use crate::model::rim::ObjectId;

    #[test]
    fn only_what_has_no_home_is_stamped() {
        let entry = |home: Option<&str>| {
            let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([1; 16])), "text/plain");
            entry.common.home = home.map(|home| home.to_owned().into());
            PackedObject::pack(&entry)
        };
        let mut answer = QueryResponse::success(vec![entry(None), entry(Some(" ")), entry(Some("urn:oid:2.999.9"))]);
        let home = HomeCommunityId::parse("urn:oid:2.999.1").unwrap();
        assert_eq!(stamp(&mut answer, &home), 2);
        let homes: Vec<_> = answer.objects.iter().map(|object| object.home().unwrap().into_owned()).collect();
        assert_eq!(homes, ["urn:oid:2.999.1", "urn:oid:2.999.1", "urn:oid:2.999.9"]);
    }

    #[test]
    fn requests_are_split_where_they_are_larger() {
        let of =
            |documents_per_request, documents| Manners { documents_per_request, ..Manners::default() }.part(documents);
        assert_eq!([of(0, 9), of(3, 3), of(3, 4)], [None, None, Some(3)]);
    }
}
