//! The directory of patients: a file with one person a line, as JSON (`[patients] directory`).
//!
//! ```json
//! {"id": "P-77^^^&2.999.2.3&ISO", "other_ids": ["9990010013^^^&2.16.840.1.113883.2.1.4.1&ISO"],
//!  "names": [{"given": ["Ada"], "family": ["Meyer"]}], "birth_time": "19700131", "gender": "F",
//!  "addresses": [{"lines": ["1 Lake Road"], "city": "Linz", "postal_code": "4020"}],
//!  "telecoms": ["tel:+4369911"], "mothers_maiden_name": "Gordon", "birth_place": "London",
//!  "restricted": false}
//! ```
//!
//! (on one line). All but `id` may be left out. A finding tells the line and the rule, never what
//! stands there.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;

use super::raw::Text;
use super::read::{MAX_KNOWN_FINDINGS, Reader, known_patient, read_bounded};
use super::{IdentifierCheck, NHS_NUMBER_DOMAIN, Patients, Profile};
use crate::model::discovery::{Address, BirthTime, Gender, PatientDemographics, Person, PersonName};
use crate::model::ids::PatientId;
use crate::model::time::Dtm;

/// A larger directory belongs into a database.
const MAX_DIRECTORY_BYTES: u64 = 512 << 20;
/// People of a directory: they are all in memory.
pub(super) const MAX_PEOPLE: usize = 1_000_000;
/// Values of one kind that one person has.
const MAX_VALUES: usize = 100;

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    #[serde(default)]
    other_ids: Vec<String>,
    #[serde(default)]
    names: Vec<NameLine>,
    birth_time: Option<String>,
    gender: Option<String>,
    #[serde(default)]
    addresses: Vec<AddressLine>,
    #[serde(default)]
    telecoms: Vec<String>,
    mothers_maiden_name: Option<String>,
    birth_place: Option<String>,
    #[serde(default)]
    restricted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameLine {
    #[serde(default)]
    given: Vec<String>,
    #[serde(default)]
    family: Vec<String>,
    #[serde(default)]
    prefix: Vec<String>,
    #[serde(default)]
    suffix: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressLine {
    #[serde(default)]
    lines: Vec<String>,
    city: Option<String>,
    state: Option<String>,
    postal_code: Option<String>,
    country: Option<String>,
}

impl Reader<'_> {
    /// Reads the directory; what is wrong with it is found line by line.
    pub(super) fn people(&self, file: &Text, patients: &Patients, profile: Profile) -> Option<Arc<Vec<Person>>> {
        let text = match read_bounded(&self.base.join(&file.value), MAX_DIRECTORY_BYTES) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("{} cannot be read: {error}", file.value);
                self.findings.add(&file.spot, what, "give a file with one person a line, as JSON");
                return None;
            }
        };
        let (mut people, mut seen, mut wrong) = (Vec::new(), HashSet::new(), 0_usize);
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let judged = person(line, patients, profile).and_then(|person| {
                let mut ids = std::iter::once(&person.id).chain(&person.demographics.other_ids);
                if ids.all(|id| seen.insert(id.clone())) {
                    Ok(person)
                } else {
                    Err("one of its identifiers is there already: each is one person's".to_owned().into())
                }
            });
            match judged {
                Ok(_) if people.len() >= MAX_PEOPLE => {
                    let what = format!("{} has more than {MAX_PEOPLE} people", file.value);
                    self.findings.add(&file.spot, what, "check that the path names the right file");
                    return None;
                }
                Ok(person) => people.push(person),
                Err(Wrong { what, fix }) => {
                    wrong += 1;
                    if wrong <= MAX_KNOWN_FINDINGS {
                        let what = format!("line {number} of {}: {what}", file.value);
                        self.findings.add(&file.spot, what, fix);
                    }
                }
            }
        }
        if wrong > MAX_KNOWN_FINDINGS {
            let what = format!("{wrong} lines of {} are wrong in all", file.value);
            self.findings.add(&file.spot, what, "check that the path names the right file");
        }
        Some(Arc::new(people))
    }
}

/// What is wrong with a line, and what to do about it.
struct Wrong {
    what: String,
    fix: &'static str,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, fix: "one person a line, as JSON" }
    }
}

/// The administrative gender, by the codes that queries use (HL7 AdministrativeGender): another one would be
/// nobody's, and the person never found.
fn gender(code: &str) -> Result<Gender, Wrong> {
    match Gender::from_code(code) {
        Gender::Other(_) => Err(Wrong {
            what: "gender: no code of HL7 AdministrativeGender".to_owned(),
            fix: "write \"F\", \"M\" or \"UN\", in capitals, or leave gender out where it is not known",
        }),
        known => Ok(known),
    }
}

/// A person of a line; what is wrong is told without the person.
fn person(line: &str, patients: &Patients, profile: Profile) -> Result<Person, Wrong> {
    // The reader's own words quote what it stumbled over.
    let read: Line = serde_json::from_str(line).map_err(|error| {
        format!("at character {} it is not the JSON object of a person (its keys are id, other_ids, names, birth_time, gender, addresses, telecoms, mothers_maiden_name, birth_place, restricted)", error.column())
    })?;
    let counts = [read.other_ids.len(), read.names.len(), read.addresses.len(), read.telecoms.len()];
    if counts.iter().any(|count| *count > MAX_VALUES) {
        return Err(format!("more than {MAX_VALUES} values of one kind").into());
    }
    let id = known_patient(&read.id, &patients.domains, profile)?;
    let other_ids = read.other_ids.iter().map(|id| other_id(id, patients, profile)).collect::<Result<_, String>>()?;
    let birth_time =
        read.birth_time.as_deref().map(|text| Dtm::parse(text).map_err(|rule| format!("birth_time: {rule}")));
    let trimmed = |texts: Vec<String>| -> Vec<String> {
        texts.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
    };
    let one = |text: Option<String>| trimmed(text.into_iter().collect()).pop();
    let names = read.names.into_iter().map(|name| PersonName {
        given: trimmed(name.given),
        family: trimmed(name.family),
        prefix: trimmed(name.prefix),
        suffix: trimmed(name.suffix),
        text: None,
    });
    let addresses = read.addresses.into_iter().map(|address| Address {
        lines: trimmed(address.lines),
        city: one(address.city),
        state: one(address.state),
        postal_code: one(address.postal_code),
        country: one(address.country),
    });
    Ok(Person {
        id,
        demographics: PatientDemographics {
            names: names.filter(|name| !name.is_empty()).collect(),
            birth_time: birth_time.transpose()?.map(BirthTime::At),
            gender: one(read.gender).as_deref().map(gender).transpose()?,
            addresses: addresses.filter(|address| !address.is_empty()).collect(),
            telecoms: trimmed(read.telecoms),
            other_ids,
            mothers_maiden_name: one(read.mothers_maiden_name)
                .map(|family| PersonName { family: vec![family], ..PersonName::default() }),
            birth_place: one(read.birth_place),
        },
        restricted: read.restricted,
    })
}

/// An identifier of any domain; it keeps its domain's rule, if that has one.
fn other_id(text: &str, patients: &Patients, profile: Profile) -> Result<PatientId, String> {
    let id = PatientId::parse(text).map_err(|error| error.to_string())?;
    let check = match patients.domains.iter().find(|domain| domain.oid == *id.authority()) {
        Some(domain) => domain.check,
        None if id.authority().as_str() == NHS_NUMBER_DOMAIN => IdentifierCheck::NhsNumber,
        None => IdentifierCheck::None,
    };
    check.judge(id.id(), profile)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const GOOD: &str = r#"{"id":"P-77^^^&2.999.2.3&ISO","other_ids":["9990010013^^^&2.16.840.1.113883.2.1.4.1&ISO"],"names":[{"given":["Ada"],"family":["Quillfeather"]}],"birth_time":"19700131","gender":"F"}"#;

    fn read(lines: &str) -> Result<Config, crate::config::ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("people.jsonl"), lines).unwrap();
        let text = "[community]\nname = \"C\"\nhome_community_id = \"urn:oid:2.999.1\"\nrepository_unique_id = \"2.999.2\"\n\
             [patients]\ndirectory = \"people.jsonl\"\n\
             [[listener]]\nbind = \"127.0.0.1:0\"\ntls = { certificate = \"c\", key = \"k\", client_ca = \"a\" }\n";
        Config::from_toml(text, dir.path())
    }

    #[test]
    fn people_are_read() {
        let people =
            read(&format!("# ours\n\n{GOOD}\n{}\n", r#"{"id":"2^^^&2.999.2.3&ISO","restricted":true}"#)).unwrap();
        let people = people.patients.people.unwrap();
        assert_eq!((people.len(), people[0].restricted, people[1].restricted), (2, false, true));
        assert_eq!(people[0].demographics.names[0].family, ["Quillfeather"]);
        assert_eq!(people[0].demographics.other_ids[0].id(), "9990010013");
    }

    #[test]
    fn a_gender_is_one_that_is_asked_for() {
        let written = |code: &str| read(&GOOD.replace("\"F\"", &format!("\"{code}\"")));
        for code in ["F", "M", "UN", " F ", ""] {
            assert!(written(code).is_ok(), "{code:?}");
        }
        for code in ["f", "female", "U", "X", "1"] {
            let error = written(code).unwrap_err().to_string();
            assert!(error.contains("line 1 of people.jsonl: gender") && error.contains("in capitals"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_without_the_person() {
        for (bad, told) in [
            (GOOD.replace("\"gender\"", "\"sex\""), "not the JSON object"),
            (GOOD.replace("[\"Ada\"]", "7"), "not the JSON object"),
            (GOOD.replace("19700131", "19700231"), "birth_time: the day is not in that month"),
            (GOOD.replace("9990010013", "9990010014"), "the check digit"),
            (GOOD.replace("P-77^^^&2.999.2.3&ISO", "P-77"), "patient id"),
            (format!("{GOOD}\n{GOOD}"), "each is one person's"),
        ] {
            let error = read(&format!("\n{bad}\n")).unwrap_err().to_string();
            let line = if told.starts_with("each") { "line 3 of" } else { "line 2 of" };
            assert!(error.contains(told) && error.contains(line), "{error}");
            for word in ["Quillfeather", "Ada", "99900100", "P-77"] {
                assert!(!error.contains(word), "{error}");
            }
        }
    }
}
