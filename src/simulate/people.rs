//! Made-up people: who the patients are, the same at every community, and the troubles of what a community
//! says of them (ITI-55, ITI-56).

use std::sync::Arc;

use super::fault::Fault;
use super::latency::Dice;
use super::{Settings, SimulateError};
use crate::actors::document_registry::PatientPolicy;
use crate::actors::patient_directory::ListedPatients;
use crate::model::discovery::{
    Address, Attribute, BirthTime, DiscoveryAnswer, Gender, InstanceId, PatientDemographics, PatientMatch, Person,
    PersonName, Problem,
};
use crate::model::ids::{HomeCommunityId, Oid, PatientId};
use crate::model::time::Dtm;

/// A purpose of the dice that no community has.
const PEOPLE: u64 = 2_000_000;

/// The domain of identifiers that nobody has.
const NOBODYS: &str = "2.999.826.9.99";

const GIVEN: [(&str, &str); 12] = [
    ("Ada", "F"),
    ("Barnaby", "M"),
    ("Clementine", "F"),
    ("Dashiell", "M"),
    ("Euphemia", "F"),
    ("Ferdinand", "M"),
    ("Guinevere", "F"),
    ("Horatio", "M"),
    ("Isadora", "F"),
    ("Jolyon", "M"),
    ("Keziah", "F"),
    ("Lysander", "M"),
];
const FAMILY: [&str; 12] = [
    "Appleyard",
    "Birdwhistle",
    "Crackenthorpe",
    "Dunwoody",
    "Entwhistle",
    "Fothergill",
    "Gotobed",
    "Honeychurch",
    "Inchbald",
    "Jellicoe",
    "Kettlewell",
    "Lillicrap",
];
const TOWNS: [&str; 6] = ["Ambleford", "Brackwater", "Coldharbour", "Dunmere", "Eastwick", "Fernhollow"];

fn one<T: Copy>(of: &[T], dice: &Dice, otherwise: T) -> T {
    let at = usize::try_from(dice.next() % of.len().max(1) as u64).unwrap_or_default();
    of.get(at).copied().unwrap_or(otherwise)
}

/// The n-th patient as a person: what is made up follows from the seed alone.
///
/// # Errors
/// Never: what is made up is well formed.
pub fn person(settings: &Settings, number: u32) -> Result<Person, SimulateError> {
    let dice = Dice::new(settings.seed, PEOPLE + u64::from(number));
    let (given, gender) = one(&GIVEN, &dice, ("Ada", "F"));
    let family = one(&FAMILY, &dice, "Appleyard");
    let day = format!("{}{:02}{:02}", 1930 + dice.up_to(90), dice.up_to(12), dice.up_to(28));
    Ok(Person {
        id: settings.patient(number)?,
        demographics: PatientDemographics {
            names: vec![PersonName {
                given: vec![given.to_owned()],
                family: vec![family.to_owned()],
                ..PersonName::default()
            }],
            birth_time: Dtm::parse(&day).ok().map(BirthTime::At),
            gender: Some(Gender::from_code(gender)),
            addresses: vec![Address {
                lines: vec![format!("{} Example Row", dice.up_to(200))],
                city: Some(one(&TOWNS, &dice, "Ambleford").to_owned()),
                ..Address::default()
            }],
            ..PatientDemographics::default()
        },
        restricted: false,
    })
}

/// A directory of some of the patients.
///
/// # Errors
/// Never: what is made up is well formed.
pub fn directory<'p>(
    settings: &Settings,
    known: impl IntoIterator<Item = &'p PatientId>,
) -> Result<ListedPatients, SimulateError> {
    let known: std::collections::HashSet<&PatientId> = known.into_iter().collect();
    let mut people = Vec::with_capacity(known.len());
    for number in 0..settings.patients {
        let person = person(settings, number)?;
        if known.contains(&person.id) {
            people.push(person);
        }
    }
    Ok(ListedPatients::new(Arc::new(people), PatientPolicy::default()))
}

/// Makes an answer say what its community should not.
pub fn spoil_discovery(fault: Fault, answer: &mut DiscoveryAnswer) {
    let other = |found: &PatientMatch| {
        let nobodys = Oid::parse(NOBODYS).and_then(|domain| PatientId::new("1", domain));
        PatientMatch { id: nobodys.unwrap_or_else(|_| found.id.clone()), ..found.clone() }
    };
    match (fault, answer) {
        (Fault::Busy, answer) => *answer = DiscoveryAnswer::unavailable(Problem::ResponderBusy),
        (Fault::NotAvailable, answer) => *answer = DiscoveryAnswer::unavailable(Problem::AnswerNotAvailable),
        (Fault::MoreWanted, answer) => {
            *answer = DiscoveryAnswer::MoreWanted(vec![Attribute::BirthPlaceName, Attribute::MothersMaidenName]);
        }
        (Fault::UnknownPatient, answer) => *answer = DiscoveryAnswer::NotFound,
        (Fault::TwoMatches, DiscoveryAnswer::Matches(matches)) => {
            let others: Vec<_> = matches.iter().map(other).collect();
            matches.extend(others);
        }
        (Fault::Duplicates, DiscoveryAnswer::Matches(matches)) => matches.extend(matches.clone()),
        (Fault::OtherPatient, DiscoveryAnswer::Matches(matches)) => {
            for found in matches {
                *found = other(found);
                found.demographics.birth_time = Dtm::parse("18500101").ok().map(BirthTime::At);
            }
        }
        (Fault::WrongHome, DiscoveryAnswer::Matches(matches)) => {
            for found in matches {
                found.home = HomeCommunityId::parse(super::answer::NOBODY).ok();
            }
        }
        _ => {}
    }
}

/// The identifiers that an answer refers to: of another message and another query, if that is the trouble.
pub fn referred(fault: Option<Fault>, id: InstanceId) -> InstanceId {
    if fault == Some(Fault::OtherQuery) { InstanceId::new(NOBODYS, "another") } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tls::TlsFiles;

    #[test]
    fn people_are_the_same_for_the_same_seed() {
        let files = TlsFiles::in_folder(std::path::Path::new("x"), "server");
        let settings = |seed| Settings { seed, ..Settings::new(files.clone()) };
        let made = |seed| -> Vec<Person> { (0..50).map(|n| person(&settings(seed), n).unwrap()).collect() };
        assert!(made(1) == made(1));
        assert!(made(1) != made(2));
        let people = made(1);
        assert!(people.iter().all(|person| person.demographics.birth_time.is_some()));
        let names: std::collections::HashSet<_> =
            people.iter().map(|person| person.demographics.names[0].family[0].clone()).collect();
        assert!(names.len() > 6, "{names:?}");
    }
}
