//! Finding a patient in another community: who is asked for, what is answered (ITI TF-2 §3.55), and
//! where else a patient's data is (§3.56).
//!
//! Nothing here shows a person: `Debug` of all of it names no name, no date, no number.

use std::fmt;
use std::time::Duration;

use super::ids::{HomeCommunityId, Oid, PatientId};
use super::time::Dtm;

/// Implements `Debug` for what describes a person: the type's name, and nothing of it.
macro_rules! redacted {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        })+
    };
}

redacted!(PersonName, Address, Gender, BirthTime, PatientDemographics, Person, Criteria);

/// The identifier of a message or a query, an instance identifier of HL7 v3.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct InstanceId {
    /// The OID or UUID that is the identifier, or that it is unique under.
    pub root: String,
    /// What is unique under the root.
    pub extension: Option<String>,
}

impl InstanceId {
    /// One under a root.
    pub fn new(root: impl Into<String>, extension: impl Into<String>) -> Self {
        Self { root: root.into(), extension: Some(extension.into()) }
    }

    /// `extension@root`, or the root alone: how audit records name a message.
    pub fn to_text(&self) -> String {
        match &self.extension {
            Some(extension) => format!("{extension}@{}", self.root),
            None => self.root.clone(),
        }
    }
}

/// A person's name in its parts.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PersonName {
    /// Given names in order.
    pub given: Vec<String>,
    /// Family names in order.
    pub family: Vec<String>,
    /// Before it.
    pub prefix: Vec<String>,
    /// Behind it.
    pub suffix: Vec<String>,
    /// A name that somebody wrote without parts.
    pub text: Option<String>,
}

impl PersonName {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        let parts = [&self.given, &self.family, &self.prefix, &self.suffix];
        parts.iter().all(|part| part.is_empty()) && self.text.is_none()
    }
}

/// A postal address.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// Street address lines in order, house numbers among them.
    pub lines: Vec<String>,
    /// City.
    pub city: Option<String>,
    /// State or county.
    pub state: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country.
    pub country: Option<String>,
}

impl Address {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
            && [&self.city, &self.state, &self.postal_code, &self.country].iter().all(|part| part.is_none())
    }
}

/// Administrative gender (HL7 code system 2.16.840.1.113883.5.1); open, for what others send.
#[derive(Clone, PartialEq, Eq)]
pub enum Gender {
    /// F
    Female,
    /// M
    Male,
    /// UN
    Undifferentiated,
    /// Any other code.
    Other(String),
}

impl Gender {
    /// From its code.
    pub fn from_code(code: &str) -> Self {
        match code {
            "F" => Self::Female,
            "M" => Self::Male,
            "UN" => Self::Undifferentiated,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Its code.
    pub fn code(&self) -> &str {
        match self {
            Self::Female => "F",
            Self::Male => "M",
            Self::Undifferentiated => "UN",
            Self::Other(code) => code,
        }
    }
}

/// Values of all parameters of a query together: whoever sends more has no patient in mind.
pub const MOST_VALUES: usize = 200;

/// When somebody was born, as precisely as it is given, or an interval that it lies in.
#[derive(Clone, PartialEq, Eq)]
pub enum BirthTime {
    /// A time of some precision.
    At(Dtm),
    /// An interval with both its ends, either of them open.
    Between(Option<Dtm>, Option<Dtm>),
}

impl BirthTime {
    /// The first and the last day that it may mean, as digits that compare like days.
    ///
    /// DECISION(§3.55.4.1.2): a birth date is a day, and whoever has the hour too is not told apart
    /// from who has not: sources fill it with zeros.
    pub fn days(&self) -> ([u8; 8], [u8; 8]) {
        let (low, high) = match self {
            Self::At(time) => (Some(time), Some(time)),
            Self::Between(low, high) => (low.as_ref(), high.as_ref()),
        };
        (low.map_or([b'0'; 8], |time| padded(time, b'0')), high.map_or([b'9'; 8], |time| padded(time, b'9')))
    }

    /// Whether it is one day, and so says when somebody was born.
    pub fn is_day(&self) -> bool {
        let (first, last) = self.days();
        first == last
    }

    /// Whether it is no more than a year: an open or a wide interval says nothing of anybody.
    pub fn is_within_a_year(&self) -> bool {
        // As the digits of a day count.
        const YEAR: u32 = 10_000;
        let number =
            |day: [u8; 8]| day.iter().fold(0, |sum: u32, digit| sum * 10 + u32::from(digit.saturating_sub(b'0')));
        let (first, last) = self.days();
        number(last).saturating_sub(number(first)) <= YEAR
    }

    /// Whether every day of the other one is a day of this.
    pub fn covers(&self, other: &Self) -> bool {
        let ((low, high), (first, last)) = (self.days(), other.days());
        low <= first && last <= high
    }

    /// Whether both may mean the same day.
    pub fn overlaps(&self, other: &Self) -> bool {
        let ((low, high), (first, last)) = (self.days(), other.days());
        low <= last && first <= high
    }
}

/// The day of a time; what is missing of it filled with one digit.
fn padded(time: &Dtm, filler: u8) -> [u8; 8] {
    let mut day = [filler; 8];
    for (digit, given) in day.iter_mut().zip(time.as_str().bytes()) {
        *digit = given;
    }
    day
}

/// What is known of a patient besides the identifier.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PatientDemographics {
    /// Names, the first of them the usual one.
    pub names: Vec<PersonName>,
    /// Birth time.
    pub birth_time: Option<BirthTime>,
    /// Administrative gender.
    pub gender: Option<Gender>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Telephone numbers and mail addresses as URLs.
    pub telecoms: Vec<String>,
    /// Identifiers in other domains.
    pub other_ids: Vec<PatientId>,
    /// Mother's maiden name.
    pub mothers_maiden_name: Option<PersonName>,
    /// Name of the birth place.
    pub birth_place: Option<String>,
}

impl PatientDemographics {
    /// What may be told of a restricted person: nothing that says where to find them.
    #[must_use]
    pub fn without_whereabouts(self) -> Self {
        Self { addresses: Vec::new(), telecoms: Vec::new(), mothers_maiden_name: None, birth_place: None, ..self }
    }
}

/// A person of our community, as a directory of patients has one.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The identifier that documents are registered under.
    pub id: PatientId,
    /// All else.
    pub demographics: PatientDemographics,
    /// Not to be found by where they are, and never told where they are.
    pub restricted: bool,
}

/// What a patient is looked for by. All that is given must hold; of several values of one kind, one
/// (§3.55.4.1.2). Identifiers are each of another domain, so all of them must.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Criteria {
    /// LivingSubjectId
    pub ids: Vec<PatientId>,
    /// LivingSubjectName
    pub names: Vec<PersonName>,
    /// LivingSubjectBirthTime
    pub birth_time: Option<BirthTime>,
    /// LivingSubjectAdministrativeGender
    pub gender: Option<Gender>,
    /// PatientAddress
    pub addresses: Vec<Address>,
    /// PatientTelecom
    pub telecoms: Vec<String>,
    /// MothersMaidenName
    pub mothers_maiden_names: Vec<PersonName>,
    /// LivingSubjectBirthPlaceName
    pub birth_places: Vec<String>,
    /// Something else is asked for that nobody is described by here: the address of the birth place,
    /// who provides care.
    pub others: bool,
}

impl Criteria {
    /// Whether something in it says where somebody is or is cared for.
    pub fn ask_whereabouts(&self) -> bool {
        !self.addresses.is_empty() || !self.telecoms.is_empty() || !self.birth_places.is_empty() || self.others
    }
}

/// When an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// Now.
    #[default]
    Immediate,
    /// Later, by a message of its own (§3.55.6).
    Deferred,
}

/// Who sent a message of HL7 v3 and how to refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageHeader {
    /// The message's identifier.
    pub message_id: InstanceId,
    /// The sending device.
    pub sender_device: Option<InstanceId>,
    /// The sender's community.
    pub sender: Option<HomeCommunityId>,
    /// The receiving device.
    pub receiver_device: Option<InstanceId>,
    /// The receiver's community.
    pub receiver: Option<HomeCommunityId>,
}

/// Cross Gateway Patient Discovery request (§3.55.4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryQuery {
    /// Who asks.
    pub header: MessageHeader,
    /// The query's identifier.
    pub query_id: InstanceId,
    /// The domain of that LivingSubjectId which is the requester's own.
    pub requester_domain: Option<Oid>,
    /// When the answer is wanted.
    pub priority: Priority,
    /// Where an answer that comes later is to be sent.
    pub respond_to: Option<String>,
    /// How long the responder may remember the requester's identifier: the message's
    /// CorrelationTimeToLive.
    pub keep: Option<Duration>,
    /// Whom is asked for.
    pub criteria: Criteria,
}

/// What a community wants to know in addition (§3.55.4.2.2, case 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// Administrative gender.
    Gender,
    /// Address.
    Address,
    /// Telephone number or mail address.
    Telecom,
    /// Name of the birth place.
    BirthPlaceName,
    /// Address of the birth place.
    BirthPlaceAddress,
    /// Mother's maiden name.
    MothersMaidenName,
}

impl Attribute {
    /// All of them with their codes (code system 1.3.6.1.4.1.19376.1.2.27.1).
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Gender, "LivingSubjectAdministrativeGenderRequested"),
        (Self::Address, "PatientAddressRequested"),
        (Self::Telecom, "PatientTelecomRequested"),
        (Self::BirthPlaceName, "LivingSubjectBirthPlaceNameRequested"),
        (Self::BirthPlaceAddress, "LivingSubjectBirthPlaceAddressRequested"),
        (Self::MothersMaidenName, "MothersMaidenNameRequested"),
    ];
}

/// Why a community does not answer (§3.55.4.2.2, case 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// It has too much to do.
    ResponderBusy,
    /// It cannot, or may not say why.
    AnswerNotAvailable,
    /// It failed.
    InternalError,
}

impl Problem {
    /// All of them with their codes (code system 1.3.6.1.4.1.19376.1.2.27.3).
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::ResponderBusy, "ResponderBusy"),
        (Self::AnswerNotAvailable, "AnswerNotAvailable"),
        (Self::InternalError, "InternalError"),
    ];

    /// Its code.
    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(problem, _)| *problem == self).map_or("", |(_, code)| code)
    }
}

/// Whose fault it is that there is no answer (queryResponseCode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// AE, the application's.
    Application,
    /// QE, the query's.
    Query,
}

impl Fault {
    /// Its code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Application => "AE",
            Self::Query => "QE",
        }
    }
}

/// That there is no answer, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose fault.
    pub fault: Fault,
    /// The problem, where one is named.
    pub problem: Option<Problem>,
    /// In words, for those who look after the systems.
    pub details: Vec<String>,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A peer's words may quote the query.
        f.debug_struct("Refusal").field("fault", &self.fault).field("problem", &self.problem).finish_non_exhaustive()
    }
}

/// A patient who is the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientMatch {
    /// The identifier there.
    pub id: PatientId,
    /// The community that has the patient's data; none said: the one that answers.
    pub home: Option<HomeCommunityId>,
    /// What may be told, so that the requester can judge.
    pub demographics: PatientDemographics,
    /// How well it matches, in percent.
    pub degree: Option<u8>,
    /// Whether it can be asked where else the patient's data is (ITI-56).
    pub is_locator: bool,
}

/// Cross Gateway Patient Discovery answer (§3.55.4.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveryAnswer {
    /// Cases 1 and 2: at least one.
    Matches(Vec<PatientMatch>),
    /// Case 3: not before these are known.
    MoreWanted(Vec<Attribute>),
    /// Case 4.
    NotFound,
    /// Case 5.
    Refused(Refusal),
}

impl DiscoveryAnswer {
    /// A refusal that is nobody's fault but ours.
    pub fn unavailable(problem: Problem) -> Self {
        Self::Refused(Refusal { fault: Fault::Application, problem: Some(problem), details: Vec::new() })
    }
}

/// That a community takes back under which identifier it knows a patient (XCPD Revoke).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Who takes it back.
    pub header: MessageHeader,
    /// The identifier there.
    pub patient: PatientId,
}

/// A community that has data of a patient (ITI TF-2 §3.56.4.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientLocation {
    /// Which.
    pub home: HomeCommunityId,
    /// The patient there.
    pub id: PatientId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dtm(text: &str) -> Dtm {
        Dtm::parse(text).unwrap()
    }

    #[test]
    fn times_of_birth_cover_and_overlap_by_their_days() {
        let at = |text| BirthTime::At(dtm(text));
        let between = |low: &str, high: &str| {
            let end = |text: &str| (!text.is_empty()).then(|| dtm(text));
            BirthTime::Between(end(low), end(high))
        };
        // The query, the record, whether it covers, whether they overlap.
        for (query, record, covers, overlaps) in [
            (at("19700131"), at("19700131"), true, true),
            (at("197001"), at("19700131"), true, true),
            (at("1970"), at("197001"), true, true),
            (at("19700131"), at("1970"), false, true),
            (at("19700131000000"), at("19700131"), true, true),
            (at("197001311559"), at("19700131"), true, true),
            (at("19700131"), at("19700130"), false, false),
            (at("1970"), at("19710101"), false, false),
            (between("1970", "1971"), at("19711231"), true, true),
            (between("1970", "1971"), at("19720101"), false, false),
            (between("19700101", ""), at("20200101"), true, true),
            (between("", "19700101"), at("19700102"), false, false),
        ] {
            assert_eq!((query.covers(&record), query.overlaps(&record)), (covers, overlaps));
        }
    }

    #[test]
    fn debug_shows_nobody() {
        let name = PersonName { family: vec!["Quillfeather".into()], ..PersonName::default() };
        let demographics = PatientDemographics {
            names: vec![name.clone()],
            birth_time: Some(BirthTime::At(dtm("19510417"))),
            gender: Some(Gender::Other("Quillfeather".into())),
            addresses: vec![Address { lines: vec!["Quillfeather".into()], ..Address::default() }],
            telecoms: vec!["tel:Quillfeather".into()],
            ..PatientDemographics::default()
        };
        let id = PatientId::parse("9990010013^^^&2.16.840.1.113883.2.1.4.1&ISO").unwrap();
        let query = DiscoveryQuery {
            header: MessageHeader::default(),
            query_id: InstanceId::default(),
            requester_domain: None,
            priority: Priority::Immediate,
            respond_to: None,
            keep: None,
            criteria: Criteria {
                ids: vec![id.clone()],
                names: vec![name],
                birth_time: demographics.birth_time.clone(),
                ..Criteria::default()
            },
        };
        let found = PatientMatch {
            id: id.clone(),
            home: None,
            demographics: demographics.clone(),
            degree: None,
            is_locator: false,
        };
        let refused =
            Refusal { fault: Fault::Query, problem: None, details: vec!["no Quillfeather of 19510417".into()] };
        let person = Person { id, demographics, restricted: true };
        let shown = format!("{query:?} {person:?} {:?} {refused:?}", DiscoveryAnswer::Matches(vec![found]));
        for word in ["Quillfeather", "19510417", "9990010013"] {
            assert!(!shown.contains(word), "{shown}");
        }
    }

    #[test]
    fn whereabouts_are_left_out() {
        let known = PatientDemographics {
            names: vec![PersonName { text: Some("name".into()), ..PersonName::default() }],
            addresses: vec![Address::default()],
            telecoms: vec!["tel:1".into()],
            birth_place: Some("place".into()),
            mothers_maiden_name: Some(PersonName::default()),
            ..PatientDemographics::default()
        };
        let told = known.clone().without_whereabouts();
        assert_eq!(told, PatientDemographics { names: known.names, ..PatientDemographics::default() });
    }
}
