//! What a query by patient asks for, and what an answer without anything proves.

use crate::model::ids::PatientId;
use crate::model::metadata::Noun;
use crate::model::stored_query::{AdhocQuery, Kind, QueryDefinition, QueryKind, StoredQuery, Values};
use crate::model::vocabulary::{APPROVED, DEPRECATED, ON_DEMAND, STABLE};
use crate::validate::stored_query::read;

/// Kinds of objects of a patient: a set of pairs of noun and status, of DocumentEntries with their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent(u8);

impl Extent {
    /// Everything that a query by patient can ask for.
    pub(super) const ALL: Self = Self(u8::MAX);
    /// Nothing.
    pub(super) const NONE: Self = Self(0);

    const APPROVED_STABLE: u8 = 1;
    const APPROVED_ON_DEMAND: u8 = 1 << 1;
    const DEPRECATED_STABLE: u8 = 1 << 2;
    const DEPRECATED_ON_DEMAND: u8 = 1 << 3;
    const APPROVED_SET: u8 = 1 << 4;
    const DEPRECATED_SET: u8 = 1 << 5;
    const APPROVED_FOLDER: u8 = 1 << 6;
    const DEPRECATED_FOLDER: u8 = 1 << 7;

    /// Both together.
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other is in it.
    pub(super) fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What a query asks for of one noun.
    fn of(noun: Noun, query: &StoredQuery) -> Self {
        let given = |kind| query.texts(kind).collect::<Vec<_>>();
        let status = given(Kind::Status(noun));
        // Stable ones alone are meant where no type is named (ITI TF-2 §3.18.4.1.2.3.7.1).
        let types = match given(Kind::EntryType) {
            types if types.is_empty() => vec![STABLE],
            types => types,
        };
        let rows: &[(&str, &str, u8)] = match noun {
            Noun::DocumentEntry => &[
                (APPROVED, STABLE, Self::APPROVED_STABLE),
                (APPROVED, ON_DEMAND, Self::APPROVED_ON_DEMAND),
                (DEPRECATED, STABLE, Self::DEPRECATED_STABLE),
                (DEPRECATED, ON_DEMAND, Self::DEPRECATED_ON_DEMAND),
            ],
            Noun::SubmissionSet => &[(APPROVED, "", Self::APPROVED_SET), (DEPRECATED, "", Self::DEPRECATED_SET)],
            Noun::Folder => &[(APPROVED, "", Self::APPROVED_FOLDER), (DEPRECATED, "", Self::DEPRECATED_FOLDER)],
            _ => &[],
        };
        let asked =
            rows.iter().filter(|(of, kind, _)| status.contains(of) && (kind.is_empty() || types.contains(kind)));
        Self(asked.fold(0, |bits, (_, _, bit)| bits | bit))
    }
}

/// A query about one patient whose extent is understood.
pub(super) struct Question {
    /// Whom it is about.
    pub(super) patient: PatientId,
    /// What it asks for at most.
    pub(super) extent: Extent,
    /// Whether it asks for all of that: an answer without anything proves that nothing of it is there. To a
    /// narrower question it proves only that nothing fits.
    pub(super) is_whole: bool,
}

impl Question {
    /// Of a query; none where it is about nobody, about several, or may ask for more than is understood here.
    pub(super) fn of(query: &AdhocQuery) -> Option<Self> {
        let definition = QueryDefinition::by_id(&query.id)?;
        // What a parameter of others' making widens is not known.
        if query.slots.iter().any(|slot| definition.parameters.iter().all(|row| row.name != slot.name)) {
            return None;
        }
        let query = read(query).ok()?;
        let patient = query.patient()?.clone();
        // At level 2 there are former versions too.
        if query.metadata_level() != 1 {
            return None;
        }
        let nouns: &[Noun] = match definition.kind {
            QueryKind::FindDocuments | QueryKind::FindDocumentsByReferenceId => &[Noun::DocumentEntry],
            QueryKind::FindSubmissionSets => &[Noun::SubmissionSet],
            QueryKind::FindFolders => &[Noun::Folder],
            QueryKind::GetAll => &[Noun::DocumentEntry, Noun::SubmissionSet, Noun::Folder],
            _ => return None,
        };
        let extent = nouns.iter().fold(Extent::NONE, |all, noun| all.with(Extent::of(*noun, &query)));
        let narrows = |kind, values: &Values| match kind {
            Kind::Patient | Kind::Status(_) | Kind::EntryType | Kind::MetadataLevel => false,
            _ => !matches!(values, Values::Texts(lists) if lists.is_empty()),
        };
        let is_whole = !query.arguments.iter().any(|given| narrows(given.parameter.kind, &given.values));
        Some(Self { patient, extent, is_whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rim::Slot;

    const PATIENT: &str = "'1^^^&2.999.1&ISO'";

    fn of(kind: QueryKind, slots: &[(&'static str, &str)]) -> Option<(u8, bool)> {
        let query = AdhocQuery {
            id: QueryDefinition::of(kind).id.into(),
            home: None,
            return_type: Some("LeafClass".into()),
            slots: slots.iter().map(|(name, value)| Slot::single(*name, (*value).to_owned())).collect(),
        };
        Question::of(&query).map(|question| (question.extent.0, question.is_whole))
    }

    #[test]
    fn what_is_asked_for_and_whether_all_of_it() {
        let approved = format!("('{APPROVED}')");
        let both = format!("('{APPROVED}','{DEPRECATED}')");
        let (patient, status) = ("$XDSDocumentEntryPatientId", "$XDSDocumentEntryStatus");
        let types = format!("('{STABLE}','{ON_DEMAND}')");
        let on_demand = format!("('{ON_DEMAND}')");
        let find =
            |more: &[(&'static str, &str)]| of(QueryKind::FindDocuments, &[&[(patient, PATIENT)], more].concat());
        assert_eq!(find(&[(status, &approved)]), Some((1, true)));
        assert_eq!(find(&[(status, &both)]), Some((5, true)));
        assert_eq!(find(&[(status, &approved), ("$XDSDocumentEntryType", &types)]), Some((3, true)));
        assert_eq!(find(&[(status, &both), ("$XDSDocumentEntryType", &on_demand)]), Some((10, true)));
        assert_eq!(find(&[(status, &approved), ("$MetadataLevel", "1")]), Some((1, true)));
        // It narrows.
        for (name, value) in [
            ("$XDSDocumentEntryClassCode", "('1^^2')"),
            ("$XDSDocumentEntryCreationTimeFrom", "2020"),
            ("$XDSDocumentEntryServiceStopTimeTo", "2020"),
            ("$XDSDocumentEntryAuthorPerson", "('%x%')"),
            ("$XDSDocumentEntryConfidentialityCode", "('N^^2')"),
            ("$XDSDocumentEntryDocumentAvailability", "('urn:ihe:iti:2010:DocumentAvailability:Online')"),
        ] {
            assert_eq!(find(&[(status, &approved), (name, value)]), Some((1, false)), "{name}");
        }
        // It may widen, or cannot be read.
        for (name, value) in [
            ("$MetadataLevel", "2"),
            ("$targetCommunityIdList", "('urn:oid:2.999.1')"),
            ("$ofOurOwn", "'x'"),
            ("$XDSDocumentEntryCreationTimeTo", "'never'"),
        ] {
            assert_eq!(find(&[(status, &approved), (name, value)]), None, "{name}");
        }
        assert_eq!(find(&[]), None);
        let sets = [("$XDSSubmissionSetPatientId", PATIENT), ("$XDSSubmissionSetStatus", approved.as_str())];
        assert_eq!(of(QueryKind::FindSubmissionSets, &sets), Some((16, true)));
        let folders = [("$XDSFolderPatientId", PATIENT), ("$XDSFolderStatus", both.as_str())];
        assert_eq!(of(QueryKind::FindFolders, &folders), Some((192, true)));
        let all = [
            ("$patientId", PATIENT),
            (status, approved.as_str()),
            ("$XDSSubmissionSetStatus", approved.as_str()),
            ("$XDSFolderStatus", approved.as_str()),
        ];
        assert_eq!(of(QueryKind::GetAll, &all), Some((1 | 16 | 64, true)));
        let references = [
            (patient, PATIENT),
            (status, approved.as_str()),
            ("$XDSDocumentEntryReferenceIdList", "('1^^^&2.999.1&ISO^urn:x')"),
        ];
        assert_eq!(of(QueryKind::FindDocumentsByReferenceId, &references), Some((1, false)));
        assert_eq!(of(QueryKind::GetDocuments, &[("$XDSDocumentEntryUniqueId", "('1.2')")]), None);
    }

    #[test]
    fn extents_cover() {
        let (one, two) = (Extent(1), Extent(2));
        assert!(one.with(two).covers(two) && !one.covers(two) && Extent::ALL.covers(one.with(two)));
        assert!(one.covers(Extent::NONE) && !Extent::NONE.covers(one));
    }
}
