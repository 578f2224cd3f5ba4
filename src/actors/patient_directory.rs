//! Who our patients are, for patient discovery (ITI TF-2 §3.55.4.1.3).
//!
//! The port [`PatientDirectory`] has two implementations: a list of people that is matched here, and
//! the registry, which knows identifiers only. Both would rather answer nothing than somebody else.
//!
//! DECISION(§3.55.4.1.2): names are compared part by part and whole, without regard to case and
//! diacritics. Who is found by an identifier may lack what else is asked for, but not contradict it;
//! who is found by demographics alone must have all of it, given and family name among it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::document_registry::PatientPolicy;
use crate::model::discovery::{
    Address, Attribute, BirthTime, Criteria, PatientDemographics, PatientMatch, Person, PersonName,
};
use crate::model::document::BoxFuture;
use crate::model::ids::{Oid, PatientId};
use crate::model::metadata::Noun;
use crate::store::{RegistryStore, StoreError};

/// Who was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nobody.
    Nobody,
    /// One person, and nobody else.
    One(Box<Person>),
    /// Several; to know these of the one who is meant would tell them apart, if anything would.
    Several(Vec<Attribute>),
}

/// The directory cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the directory of patients failed: {0}")]
pub struct DirectoryFailed(#[from] StoreError);

/// Knows patients.
pub trait PatientDirectory: Send + Sync {
    /// The person with that identifier, whatever domain it is of.
    fn by_id<'a>(&'a self, id: &'a PatientId) -> BoxFuture<'a, Result<Option<Person>, DirectoryFailed>>;

    /// The person whom all of that describes.
    fn find<'a>(&'a self, criteria: &'a Criteria) -> BoxFuture<'a, Result<Found, DirectoryFailed>>;
}

/// People in memory.
pub struct ListedPatients {
    people: Arc<Vec<Person>>,
    by_id: HashMap<PatientId, usize>,
    /// By family name, folded.
    by_family: HashMap<String, Vec<usize>>,
    /// Domains in which somebody here has an identifier.
    domains: BTreeSet<Oid>,
    policy: PatientPolicy,
}

impl ListedPatients {
    /// A directory of these people; each identifier is one person's.
    pub fn new(people: Arc<Vec<Person>>, policy: PatientPolicy) -> Self {
        let mut listed =
            Self { people, by_id: HashMap::new(), by_family: HashMap::new(), domains: BTreeSet::new(), policy };
        for (number, person) in listed.people.iter().enumerate() {
            for id in std::iter::once(&person.id).chain(&person.demographics.other_ids) {
                listed.by_id.entry(id.clone()).or_insert(number);
                if !listed.domains.contains(id.authority()) {
                    listed.domains.insert(id.authority().clone());
                }
            }
            let families: BTreeSet<_> = person.demographics.names.iter().map(|name| folded(&name.family)).collect();
            for family in families.into_iter().filter(|family| !family.is_empty()) {
                listed.by_family.entry(family).or_default().push(number);
            }
        }
        listed
    }

    fn person(&self, id: &PatientId) -> Option<&Person> {
        self.by_id.get(id).and_then(|number| self.people.get(*number))
    }

    fn matched(&self, criteria: &Criteria) -> Found {
        // An identifier of a domain that nobody here is known in says nothing about anybody here.
        let rule = |id: &PatientId| self.policy.domains.iter().find(|(domain, _)| domain == id.authority());
        let known: Vec<&PatientId> =
            criteria.ids.iter().filter(|id| rule(id).is_some() || self.domains.contains(id.authority())).collect();
        if known.iter().any(|id| rule(id).is_some_and(|(_, rule)| rule.judge(id.id()).is_err())) {
            return Found::Nobody;
        }
        if known.is_empty() {
            return self.described(criteria);
        }
        let mut people = known.iter().filter_map(|id| self.person(id));
        let Some(person) = people.next() else { return Found::Nobody };
        let contradicted = people.any(|other| other.id != person.id) || known.iter().any(|id| contradicts(person, id));
        if contradicted || !describes(criteria, person, true) {
            return Found::Nobody;
        }
        Found::One(Box::new(person.clone()))
    }

    /// By demographics alone.
    fn described(&self, criteria: &Criteria) -> Found {
        // A name and any day since 1900 is a name.
        if criteria.names.is_empty() || !criteria.birth_time.as_ref().is_some_and(BirthTime::is_within_a_year) {
            return Found::Nobody;
        }
        let families: BTreeSet<_> = criteria.names.iter().map(|name| folded(&name.family)).collect();
        let numbers: BTreeSet<usize> =
            families.iter().filter_map(|family| self.by_family.get(family)).flatten().copied().collect();
        let people: Vec<&Person> = numbers
            .into_iter()
            .filter_map(|number| self.people.get(number))
            .filter(|person| describes(criteria, person, false))
            .collect();
        match people.as_slice() {
            [] => Found::Nobody,
            [person] => Found::One(Box::new((*person).clone())),
            several => Found::Several(separating(criteria, several)),
        }
    }
}

impl PatientDirectory for ListedPatients {
    fn by_id<'a>(&'a self, id: &'a PatientId) -> BoxFuture<'a, Result<Option<Person>, DirectoryFailed>> {
        let person = self.person(id).cloned();
        Box::pin(async move { Ok(person) })
    }

    fn find<'a>(&'a self, criteria: &'a Criteria) -> BoxFuture<'a, Result<Found, DirectoryFailed>> {
        Box::pin(async move { Ok(self.matched(criteria)) })
    }
}

/// Whether a person has another identifier in the domain of one.
fn contradicts(person: &Person, id: &PatientId) -> bool {
    let mut own = std::iter::once(&person.id).chain(&person.demographics.other_ids);
    let mut there = own.by_ref().filter(|own| own.authority() == id.authority()).peekable();
    there.peek().is_some() && !there.any(|own| own == id)
}

/// Whether a person is who is asked for. One found by an identifier may lack what is asked for; a
/// restricted person must be named, dated, and not be looked for by where they are.
fn describes(criteria: &Criteria, person: &Person, identified: bool) -> bool {
    let dated = || criteria.birth_time.as_ref().is_some_and(BirthTime::is_day);
    if person.restricted && (!identified || criteria.names.is_empty() || !dated() || criteria.ask_whereabouts()) {
        return false;
    }
    let may_lack = identified && !person.restricted;
    let known = &person.demographics;
    // Of several values one must do, if the person has any.
    let any = |asked: bool, lacking: bool, holds: &dyn Fn() -> bool| !asked || if lacking { may_lack } else { holds() };
    any(!criteria.names.is_empty(), known.names.is_empty(), &|| {
        criteria.names.iter().any(|asked| known.names.iter().any(|name| is_named(asked, name, may_lack)))
    }) && criteria.birth_time.as_ref().is_none_or(|asked| match &known.birth_time {
        Some(born) if may_lack => asked.overlaps(born),
        Some(born) => asked.covers(born),
        None => may_lack,
    }) && criteria.gender.as_ref().is_none_or(|asked| match &known.gender {
        Some(gender) => asked == gender,
        None => may_lack,
    }) && any(!criteria.addresses.is_empty(), known.addresses.is_empty(), &|| {
        criteria.addresses.iter().any(|asked| known.addresses.iter().any(|address| is_address(asked, address)))
    }) && any(!criteria.telecoms.is_empty(), known.telecoms.is_empty(), &|| {
        criteria.telecoms.iter().any(|asked| known.telecoms.iter().any(|own| called(asked) == called(own)))
    }) && any(!criteria.mothers_maiden_names.is_empty(), known.mothers_maiden_name.is_none(), &|| {
        let own = known.mothers_maiden_name.as_ref().map(family_of);
        criteria.mothers_maiden_names.iter().any(|asked| Some(family_of(asked)) == own)
    }) && any(!criteria.birth_places.is_empty(), known.birth_place.is_none(), &|| {
        criteria.birth_places.iter().any(|asked| known.birth_place.as_deref().map(fold) == Some(fold(asked)))
    }) && (!criteria.others || may_lack)
}

/// Whether a name is the one asked for: the same family name; the first given name, and of the
/// others those that are asked for. One in part, or without parts, will do only for who is known.
fn is_named(asked: &PersonName, name: &PersonName, in_part: bool) -> bool {
    let (family, given) = (folded(&name.family), folded(&name.given));
    if let Some(text) = &asked.text {
        return in_part && fold(text) == format!("{given} {family}").trim();
    }
    let (asked_family, asked_given) = (folded(&asked.family), folded(&asked.given));
    if asked_family.is_empty() || asked_given.is_empty() {
        let same = |asked: &str, own: &str| asked.is_empty() || asked == own;
        return in_part && same(&asked_family, &family) && same(&asked_given, &given);
    }
    let words: Vec<&str> = given.split(' ').collect();
    let mut asked_words = asked_given.split(' ');
    family == asked_family
        && asked_words.next() == words.first().copied()
        && asked_words.all(|word| words.contains(&word))
}

/// Whether an address has all parts that are asked for.
fn is_address(asked: &Address, address: &Address) -> bool {
    let part = |asked: &Option<String>, own: &Option<String>| {
        asked.as_deref().is_none_or(|asked| own.as_deref().is_some_and(|own| fold(own) == fold(asked)))
    };
    let code = |code: &Option<String>| code.as_deref().map(|code| fold(code).replace(' ', ""));
    (asked.lines.is_empty() || folded(&asked.lines) == folded(&address.lines))
        && part(&asked.city, &address.city)
        && part(&asked.state, &address.state)
        && part(&asked.country, &address.country)
        && (asked.postal_code.is_none() || code(&asked.postal_code) == code(&address.postal_code))
}

/// A telephone number or mail address without what people write into it for the eye.
fn called(telecom: &str) -> String {
    telecom.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).flat_map(char::to_lowercase).collect()
}

fn family_of(name: &PersonName) -> String {
    name.text.as_deref().map_or_else(|| folded(&name.family), fold)
}

/// Texts as one, folded.
fn folded(texts: &[String]) -> String {
    fold(&texts.join(" "))
}

/// A text without case, diacritics, and white space that does not part words.
fn fold(text: &str) -> String {
    let plain: String = text
        .nfd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if matches!(c, '\u{2018}' | '\u{2019}' | '\u{2bc}') { '\'' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is not asked yet, that all of these people have, and not all the same.
fn separating(criteria: &Criteria, people: &[&Person]) -> Vec<Attribute> {
    type Known = fn(&PatientDemographics) -> Option<String>;
    let rows: [(Attribute, bool, Known); 5] = [
        (Attribute::Gender, criteria.gender.is_none(), |known| known.gender.as_ref().map(|g| g.code().to_owned())),
        (Attribute::Address, criteria.addresses.is_empty(), |known| {
            known.addresses.first().map(|address| {
                let Address { lines, city, postal_code, .. } = address;
                let parts = [city, postal_code].into_iter().flatten().map(|part| fold(part));
                std::iter::once(folded(lines)).chain(parts).collect::<Vec<_>>().join("\n")
            })
        }),
        (Attribute::Telecom, criteria.telecoms.is_empty(), |known| known.telecoms.first().map(|own| called(own))),
        (Attribute::BirthPlaceName, criteria.birth_places.is_empty(), |known| known.birth_place.as_deref().map(fold)),
        (Attribute::MothersMaidenName, criteria.mothers_maiden_names.is_empty(), |known| {
            known.mothers_maiden_name.as_ref().map(family_of)
        }),
    ];
    let separates = |known: Known| {
        let values: Option<BTreeSet<String>> = people.iter().map(|person| known(&person.demographics)).collect();
        values.is_some_and(|values| values.len() > 1)
    };
    rows.into_iter().filter(|(_, open, known)| *open && separates(*known)).map(|(attribute, ..)| attribute).collect()
}

/// What may be told of a person to who asked by that: where they are, only to who knows their whole name and the
/// day of their birth already, whatever else was asked; of a restricted person never.
pub fn told(person: &Person, criteria: &Criteria, policy: &PatientPolicy) -> PatientDemographics {
    let mut told = person.demographics.clone();
    if person.restricted || !knows(criteria, &person.demographics) {
        told = told.without_whereabouts();
    }
    told.other_ids.retain(|id| criteria.ids.contains(id) || policy.is_shared(id.authority()));
    told
}

/// Whether a query has a person's whole name and day of birth.
fn knows(criteria: &Criteria, known: &PatientDemographics) -> bool {
    let named = criteria.names.iter().any(|asked| known.names.iter().any(|name| is_named(asked, name, false)));
    let dated = criteria.birth_time.as_ref().zip(known.birth_time.as_ref());
    named && dated.is_some_and(|(asked, born)| asked.is_day() && asked.covers(born))
}

/// Why a match that somebody else gives for a patient of ours is not the same person; none: nothing speaks
/// against it. `asked` are the identifiers that it was asked for by.
pub fn is_other_person(
    ours: Option<&PatientDemographics>,
    asked: &[PatientId],
    found: &PatientMatch,
) -> Option<&'static str> {
    let theirs = &found.demographics;
    // Not the gender: it is recorded differently of one person more often than two people share the rest.
    let born = ours.and_then(|ours| ours.birth_time.as_ref()).zip(theirs.birth_time.as_ref());
    if born.is_some_and(|(ours, theirs)| !ours.overlaps(theirs)) {
        return Some("of another birth date");
    }
    // In a domain in which the patient has an identifier the match must not have others only.
    let given = || std::iter::once(&found.id).chain(&theirs.other_ids);
    let contradicted = |asked: &PatientId| {
        let mut there = given().filter(|given| given.authority() == asked.authority()).peekable();
        there.peek().is_some() && !there.any(|given| given == asked)
    };
    asked.iter().any(contradicted).then_some("with another identifier in the domain of one that was asked for")
}

/// The patients that the registry knows, by their identifiers alone.
pub struct RegisteredPatients {
    store: Arc<dyn RegistryStore>,
    policy: PatientPolicy,
}

impl RegisteredPatients {
    /// Those of a registry.
    pub fn new(store: Arc<dyn RegistryStore>, policy: PatientPolicy) -> Self {
        Self { store, policy }
    }

    async fn person(&self, id: &PatientId) -> Result<Option<Person>, DirectoryFailed> {
        let rule = self.policy.domains.iter().find(|(domain, _)| domain == id.authority());
        let refused = match rule {
            Some((_, rule)) => rule.judge(id.id()).is_err(),
            None => !self.policy.domains.is_empty(),
        };
        // Who has documents is known, whether an identity feed has named them or not.
        let is_known = !refused
            && (self.store.knows_patient(id).await?
                || !self.store.of_patient(id, Noun::DocumentEntry).await?.is_empty());
        let person = || Person { id: id.clone(), demographics: PatientDemographics::default(), restricted: false };
        Ok(is_known.then(person))
    }
}

impl PatientDirectory for RegisteredPatients {
    fn by_id<'a>(&'a self, id: &'a PatientId) -> BoxFuture<'a, Result<Option<Person>, DirectoryFailed>> {
        Box::pin(self.person(id))
    }

    /// By identifiers; what else is asked for nobody here knows. Two that are known may be two people.
    fn find<'a>(&'a self, criteria: &'a Criteria) -> BoxFuture<'a, Result<Found, DirectoryFailed>> {
        Box::pin(async move {
            let mut found = Found::Nobody;
            for id in &criteria.ids {
                let Some(person) = self.person(id).await? else { continue };
                found = match found {
                    Found::Nobody => Found::One(Box::new(person)),
                    _ => return Ok(Found::Several(Vec::new())),
                };
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests;
