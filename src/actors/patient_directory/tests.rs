//! Who is found by what, and who is not.

use super::*;
use crate::model::discovery::Gender;
use crate::model::ids::IdentifierRule;
use crate::model::time::Dtm;

const NHS: &str = "2.16.840.1.113883.2.1.4.1";

fn id(extension: &str, root: &str) -> PatientId {
    PatientId::new(extension, Oid::parse(root).unwrap()).unwrap()
}

fn name(given: &str, family: &str) -> PersonName {
    let words = |text: &str| text.split('|').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    PersonName { given: words(given), family: words(family), ..PersonName::default() }
}

fn born(text: &str) -> Option<BirthTime> {
    Some(BirthTime::At(Dtm::parse(text).unwrap()))
}

fn address(line: &str, code: &str) -> Address {
    Address { lines: vec![line.into()], postal_code: Some(code.into()), ..Address::default() }
}

fn person(local: &str, nhs: &str, given: &str, family: &str, birth: &str) -> Person {
    Person {
        id: id(local, "2.999.2.3"),
        demographics: PatientDemographics {
            names: vec![name(given, family)],
            birth_time: born(birth),
            gender: Some(Gender::Female),
            addresses: vec![address("1 Example Row", "SW4 9ZZ")],
            telecoms: vec!["tel:+44 20 7946 0001".into()],
            other_ids: if nhs.is_empty() { Vec::new() } else { vec![id(nhs, NHS)] },
            mothers_maiden_name: None,
            birth_place: None,
        },
        restricted: false,
    }
}

fn policy() -> PatientPolicy {
    let rule = IdentifierRule::NhsNumber { test_numbers: true };
    PatientPolicy { domains: vec![(Oid::parse(NHS).unwrap(), rule)], reject_unknown: false }
}

fn listed(people: Vec<Person>) -> ListedPatients {
    ListedPatients::new(Arc::new(people), policy())
}

/// Wilhelmina; Seán; two of one name and day; a restricted person; one without an NHS number.
fn directory() -> ListedPatients {
    let mut twin = person("T2", "9990010269", "Jasper|Lee", "Hollowell-Pyne", "20010505");
    twin.demographics.gender = Some(Gender::Male);
    twin.demographics.telecoms = vec!["tel:+441632960001".into()];
    let restricted =
        Person { restricted: true, ..person("R", "9990010196", "Persephone", "Ashcombe-Quill", "19860214") };
    listed(vec![
        person("W", "9990010013", "Wilhelmina|Ann", "Quillfeather", "19510417"),
        person("S", "9990010315", "Seán-Pádraig", "Ó Fictícheáll-D'Örnament|van Exampleton", "19720229"),
        person("T1", "9990010250", "Jasper", "Hollowell-Pyne", "20010505"),
        twin,
        restricted,
        person("X", "", "Xanthe", "Nowhere-Traveller", "19990816"),
    ])
}

fn by_name(given: &str, family: &str, birth: &str) -> Criteria {
    Criteria { names: vec![name(given, family)], birth_time: born(birth), ..Criteria::default() }
}

fn by_nhs(number: &str) -> Criteria {
    Criteria { ids: vec![id(number, NHS)], ..Criteria::default() }
}

#[track_caller]
fn check(criteria: &Criteria, expected: &str) {
    let found = match directory().matched(criteria) {
        Found::One(person) => person.id.id().to_owned(),
        Found::Nobody => "-".to_owned(),
        Found::Several(wanted) => format!("{wanted:?}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn names_are_whole_and_without_case_and_diacritics() {
    for (given, family, birth, expected) in [
        ("Wilhelmina", "Quillfeather", "19510417", "W"),
        ("WILHELMINA", "quillfeather", "19510417", "W"),
        ("Wilhelmina|Ann", "Quillfeather", "19510417", "W"),
        ("Wilhelmina Ann", "Quillfeather", "19510417", "W"),
        ("Wilhelmina", "Quillfeather", "1951", "W"),
        ("Wilhelmina", "Quillfeather", "19510417093000", "W"),
        ("sean-padraig", "O Ficticheall-D\u{2019}Ornament van Exampleton", "19720229", "S"),
        ("Se\u{61}\u{301}n-Pádraig", "Ó Fictícheáll-D'Örnament|van Exampleton", "19720229", "S"),
        // Not a beginning, not a part, no wildcard, not another order, not the second name alone.
        ("Wilhelm", "Quillfeather", "19510417", "-"),
        ("Wilhelmina", "Quill", "19510417", "-"),
        ("W*", "Quillfeather", "19510417", "-"),
        ("Wilhelmin_", "Quillfeather", "19510417", "-"),
        ("Ann", "Quillfeather", "19510417", "-"),
        ("Wilhelmina|Mary", "Quillfeather", "19510417", "-"),
        ("Quillfeather", "Wilhelmina", "19510417", "-"),
        ("Wilhelmina", "Quillfeather", "19510418", "-"),
        ("Wilhelmina", "", "19510417", "-"),
        ("", "Quillfeather", "19510417", "-"),
    ] {
        check(&by_name(given, family, birth), expected);
    }
    let variants = Criteria {
        names: vec![name("Mina", "Feather"), name("Wilhelmina", "Quillfeather")],
        ..by_name("", "", "19510417")
    };
    check(&variants, "W");
    let text = PersonName { text: Some("Wilhelmina Quillfeather".into()), ..PersonName::default() };
    check(&Criteria { names: vec![text], ..by_name("", "", "19510417") }, "-");
}

#[test]
fn all_that_is_asked_must_hold() {
    let base = by_name("Wilhelmina", "Quillfeather", "19510417");
    for (criteria, expected) in [
        (Criteria { gender: Some(Gender::Female), ..base.clone() }, "W"),
        (Criteria { gender: Some(Gender::Male), ..base.clone() }, "-"),
        (Criteria { addresses: vec![address("1 example row", "sw49zz")], ..base.clone() }, "W"),
        (Criteria { addresses: vec![address("2 Example Row", "SW4 9ZZ")], ..base.clone() }, "-"),
        (
            Criteria {
                addresses: vec![address("2 Example Row", "SW4 9ZZ"), address("1 Example Row", "SW4 9ZZ")],
                ..base.clone()
            },
            "W",
        ),
        (Criteria { telecoms: vec!["tel:+442079460001".into()], ..base.clone() }, "W"),
        (Criteria { telecoms: vec!["tel:+442079460002".into()], ..base.clone() }, "-"),
        // What the record has not is not matched by demographics alone.
        (Criteria { birth_places: vec!["London".into()], ..base.clone() }, "-"),
        (Criteria { others: true, ..base.clone() }, "-"),
        (Criteria { ids: by_nhs("9990010013").ids, ..base.clone() }, "W"),
        (Criteria { ids: by_nhs("9990010315").ids, ..base }, "-"),
    ] {
        check(&criteria, expected);
    }
}

#[test]
fn by_identifier() {
    check(&by_nhs("9990010013"), "W");
    // A number that cannot be one, one that nobody has.
    check(&by_nhs("9990010014"), "-");
    check(&by_nhs("9990010021"), "-");
    let known = by_nhs("9990010013");
    let with = |more: Criteria| Criteria { ids: known.ids.clone(), ..more };
    // What the record lacks does not speak against who is known by the number; what differs does.
    check(&with(Criteria { birth_places: vec!["London".into()], others: true, ..Criteria::default() }), "W");
    check(&with(by_name("", "Quillfeather", "1951")), "W");
    check(&with(by_name("Wilhelmina", "Quillfeather", "19510418")), "-");
    check(&with(by_name("Mina", "Quillfeather", "19510417")), "-");
    // An identifier of a domain that is known to nobody here says nothing; one of another person does.
    let two = |other: PatientId| Criteria { ids: vec![known.ids[0].clone(), other], ..Criteria::default() };
    check(&two(id("4711", "2.999.77")), "W");
    check(&two(id("W", "2.999.2.3")), "W");
    check(&two(id("S", "2.999.2.3")), "-");
    check(&two(id("unknown", "2.999.2.3")), "-");
    check(&Criteria { ids: vec![id("4711", "2.999.77")], ..Criteria::default() }, "-");
    let foreign = Criteria { ids: vec![id("4711", "2.999.77")], ..by_name("Wilhelmina", "Quillfeather", "19510417") };
    check(&foreign, "W");
    // Somebody without an NHS number is nobody's match who has one.
    let numbered = Criteria { ids: by_nhs("9990010021").ids, ..by_name("Xanthe", "Nowhere-Traveller", "19990816") };
    check(&numbered, "-");
}

#[test]
fn several_are_told_apart_by_what_differs() {
    let twins = by_name("Jasper", "Hollowell-Pyne", "20010505");
    check(&twins, "[Gender, Telecom]");
    check(&Criteria { gender: Some(Gender::Male), ..twins.clone() }, "T2");
    // Two whom nothing tells apart: nothing is asked for, nobody is given.
    let two = vec![person("1", "", "Ada", "Meyer", "1970"), person("2", "", "Ada", "Meyer", "1970")];
    assert_eq!(listed(two).matched(&by_name("Ada", "Meyer", "1970")), Found::Several(Vec::new()));
}

#[test]
fn restricted_people_are_found_by_number_name_and_birth_date_only() {
    let named = by_name("Persephone", "Ashcombe-Quill", "19860214");
    let whole = Criteria { ids: by_nhs("9990010196").ids, ..named.clone() };
    check(&whole, "R");
    check(&Criteria { gender: Some(Gender::Female), ..whole.clone() }, "R");
    check(&named, "-");
    check(&by_nhs("9990010196"), "-");
    check(&Criteria { birth_time: None, ..whole.clone() }, "-");
    check(&Criteria { names: Vec::new(), ..whole.clone() }, "-");
    check(&Criteria { names: vec![name("", "Ashcombe-Quill")], ..whole.clone() }, "-");
    check(&Criteria { addresses: vec![address("1 Example Row", "SW4 9ZZ")], ..whole.clone() }, "-");
    check(&Criteria { telecoms: vec!["tel:+442079460001".into()], ..whole.clone() }, "-");
    check(&Criteria { others: true, ..whole.clone() }, "-");
    let directory = directory();
    let Found::One(person) = directory.matched(&whole) else { panic!("nobody") };
    let told = told(&person, &whole, &policy());
    assert!(told.addresses.is_empty() && told.telecoms.is_empty());
    assert_eq!((told.names.len(), told.other_ids.len()), (1, 1));
}

#[test]
fn who_does_not_know_name_and_birthday_is_not_told_where_somebody_is() {
    let directory = directory();
    let asked = by_nhs("9990010013");
    let Found::One(person) = directory.matched(&asked) else { panic!("nobody") };
    let since = Some(BirthTime::Between(Some(Dtm::parse("1900").unwrap()), None));
    let named = by_name("Wilhelmina", "Quillfeather", "19510417");
    for (criteria, is_told) in [
        (asked.clone(), false),
        (Criteria { others: true, ..asked.clone() }, false),
        (Criteria { gender: Some(Gender::Female), ..asked.clone() }, false),
        (Criteria { birth_time: since.clone(), ..asked.clone() }, false),
        (Criteria { birth_time: born("19510417"), ..asked.clone() }, false),
        (Criteria { names: vec![name("", "Quillfeather")], birth_time: born("19510417"), ..asked.clone() }, false),
        (Criteria { birth_time: since, ..named.clone() }, false),
        (Criteria { birth_time: born("195104"), ..named.clone() }, false),
        (Criteria { ids: asked.ids.clone(), ..named.clone() }, true),
        (named.clone(), true),
    ] {
        assert_eq!(!told(&person, &criteria, &policy()).addresses.is_empty(), is_told);
    }
    // Identifiers of other hospitals are not told; the shared one is.
    let mut known = *person;
    known.demographics.other_ids.push(id("9", "2.999.55"));
    assert_eq!(told(&known, &named, &policy()).other_ids, [id("9990010013", NHS)]);
}

#[test]
fn a_name_and_any_day_is_no_description() {
    let between = |low: &str, high: Option<&str>| {
        Some(BirthTime::Between(Dtm::parse(low).ok(), high.and_then(|high| Dtm::parse(high).ok())))
    };
    let named = |birth_time| Criteria { birth_time, ..by_name("Wilhelmina", "Quillfeather", "1951") };
    check(&named(between("19510101", Some("19511231"))), "W");
    check(&named(between("19500101", Some("19511231"))), "-");
    check(&named(between("1900", None)), "-");
    let hidden = by_name("Persephone", "Ashcombe-Quill", "1986");
    check(&Criteria { ids: by_nhs("9990010196").ids, ..hidden.clone() }, "-");
    check(&Criteria { ids: by_nhs("9990010196").ids, birth_time: between("1900", None), ..hidden }, "-");
}

#[tokio::test]
async fn the_registry_knows_whom_it_was_told_of() {
    let store = crate::store::memory::MemoryStore::default();
    let known = id("9990010013", NHS);
    let change = crate::store::Change { patients: vec![known.clone()], ..crate::store::Change::default() };
    store.commit(change).await.unwrap();
    let directory = RegisteredPatients::new(Arc::new(store), policy());
    let Found::One(person) = directory.find(&by_nhs("9990010013")).await.unwrap() else { panic!("nobody") };
    assert_eq!((person.id, person.demographics), (known, PatientDemographics::default()));
    for criteria in [
        by_nhs("9990010021"),
        by_nhs("9990010014"),
        by_name("Wilhelmina", "Quillfeather", "19510417"),
        Criteria { ids: vec![id("9990010013", "2.999.1")], ..Criteria::default() },
    ] {
        assert_eq!(directory.find(&criteria).await.unwrap(), Found::Nobody);
    }
}
