//! Stored queries: the value grammar, the rules of each parameter, and the filter that they make
//! (ITI TF-2 §3.18.4.1.2.3).
//!
//! [`read`] turns an [`AdhocQuery`] into a [`StoredQuery`] or says all that is wrong with it, by
//! the rows of [`crate::model::stored_query::QUERIES`]. [`matches()`] then tells for one object
//! whether the query's filters let it through. Which objects are candidates (by patient, by id,
//! by membership) is the registry's business.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::trim;
use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId};
use crate::model::metadata::Noun;
use crate::model::packed::{PackedKind, PackedObject};
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Body, RegistryObject, Slot};
use crate::model::stored_query::{
    APPROVED_UNLESS_SAID, AdhocQuery, Argument, Kind, Multiplicity, Need, Parameter, QueryDefinition, ReturnType,
    StoredQuery, Values, WITH_DOCUMENTS,
};
use crate::model::time::Dtm;
use crate::model::vocabulary::{self as v, scheme, slot};

/// More values than this in one parameter are refused; long lists of ids are legal and usual.
const MAX_VALUES: usize = 100_000;

/// One value of the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Single<'t> {
    /// In quotes.
    Text(Cow<'t, str>),
    /// Digits.
    Number(&'t str),
}

impl<'t> Single<'t> {
    /// The text of a string parameter.
    ///
    /// DECISION(ITI TF-2 §3.18.4.1.2.3.5): it is always in quotes, a patient id too: a sample of the
    /// framework leaves them out, but the public test kit wants that refused.
    fn quoted(self) -> Result<Cow<'t, str>, &'static str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Number(_) => Err("a text stands in single quotes"),
        }
    }

    /// The text of a number or time; quotes are tolerated, since test suites send both.
    fn bare(self) -> Cow<'t, str> {
        match self {
            Self::Text(text) => text,
            Self::Number(digits) => Cow::Borrowed(digits),
        }
    }
}

/// A parsed `Value`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parsed<'t> {
    in_parentheses: bool,
    singles: Vec<Single<'t>>,
}

/// The texts of one `Value`, whether it is a list of them or one alone.
///
/// # Errors
/// When it is of another form.
pub fn quoted_texts(value: &str) -> Result<Vec<Cow<'_, str>>, &'static str> {
    parse_value(value)?.singles.into_iter().map(Single::quoted).collect()
}

/// Reads one `Value` (ITI TF-2 §3.18.4.1.2.3.5): `'text'`, digits, or a list of them in
/// parentheses; `''` in a text is one quote, and commas and parentheses in a text are text.
fn parse_value(text: &str) -> Result<Parsed<'_>, &'static str> {
    let mut rest = trim(text);
    let in_parentheses = rest.starts_with('(');
    let mut singles = Vec::new();
    if in_parentheses {
        loop {
            // Behind the opening parenthesis or a comma, both one byte.
            let (single, tail) = parse_single(skip(rest.get(1..).unwrap_or_default()))?;
            singles.push(single);
            if singles.len() > MAX_VALUES {
                return Err("the list is too long");
            }
            rest = skip(tail);
            match rest.as_bytes().first() {
                Some(b',') => {}
                Some(b')') => break,
                Some(_) => return Err("a comma stands between the values of a list"),
                None => return Err("the closing parenthesis is missing"),
            }
        }
        rest = rest.get(1..).unwrap_or_default();
    } else {
        let (single, tail) = parse_single(rest)?;
        singles.push(single);
        rest = tail;
    }
    if skip(rest).is_empty() { Ok(Parsed { in_parentheses, singles }) } else { Err("nothing follows the value") }
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

fn parse_single(text: &str) -> Result<(Single<'_>, &str), &'static str> {
    if let Some(body) = text.strip_prefix('\'') {
        let mut from = 0;
        loop {
            let Some(at) = body.get(from..).and_then(|rest| rest.find('\'')).map(|at| from + at) else {
                return Err("the closing quote is missing");
            };
            let (inside, tail) = (&body[..at], &body[at + 1..]);
            if tail.starts_with('\'') {
                from = at + 2;
                continue;
            }
            let value =
                if inside.contains('\'') { Cow::Owned(inside.replace("''", "'")) } else { Cow::Borrowed(inside) };
            return Ok((Single::Text(value), tail));
        }
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.split_at_checked(digits) {
        Some((number, tail)) if digits > 0 => Ok((Single::Number(number), tail)),
        _ => Err("a value is a text in single quotes or digits"),
    }
}

/// What is wrong with one parameter.
struct Broken {
    code: ErrorCode,
    why: &'static str,
}

impl From<&'static str> for Broken {
    /// Bad syntax and bad values have no finer code (ITI TF-3 Table 4.2.4.1-2).
    fn from(why: &'static str) -> Self {
        Self { code: ErrorCode::XDSRegistryError, why }
    }
}

fn too_many(why: &'static str) -> Broken {
    Broken { code: ErrorCode::XDSStoredQueryParamNumber, why }
}

/// Reads a stored query, by the rows of its definition.
///
/// A home that is no homeCommunityId is left out: a registry ignores it, a gateway looks at
/// [`AdhocQuery::home`] itself.
///
/// # Errors
/// All findings, when there is any.
pub fn read(query: &AdhocQuery) -> Result<StoredQuery, Vec<RegistryError>> {
    read_as(query, QueryDefinition::by_id, listed_return_type)
}

/// Reads a query of ITI-51. DECISION: a query of ITI-18 is not known there, nor the reverse.
///
/// # Errors
/// All findings, when there is any.
pub fn read_multi_patient(query: &AdhocQuery) -> Result<StoredQuery, Vec<RegistryError>> {
    read_as(query, QueryDefinition::multi_patient_by_id, listed_return_type)
}

/// Reads the query of ITI-63, which no other transaction knows, nor it any other.
///
/// # Errors
/// All findings, when there is any.
pub fn read_fetch(query: &AdhocQuery) -> Result<StoredQuery, Vec<RegistryError>> {
    let mut read = read_as(query, QueryDefinition::fetch_by_id, |text| match text {
        WITH_DOCUMENTS => Ok(ReturnType::LeafClass),
        _ => Err("returnType of ResponseOption is LeafClassWithRepositoryItem (Cross-Community Fetch §3.63)"),
    })?;
    if read.values(APPROVED_UNLESS_SAID.kind).is_none() {
        let values = Values::Texts(vec![vec![v::APPROVED.to_owned()]]);
        read.arguments.push(Argument { parameter: &APPROVED_UNLESS_SAID, values });
    }
    Ok(read)
}

fn listed_return_type(text: &str) -> Result<ReturnType, &'static str> {
    match text {
        "LeafClass" => Ok(ReturnType::LeafClass),
        "ObjectRef" => Ok(ReturnType::ObjectRef),
        _ => Err("returnType of ResponseOption is LeafClass or ObjectRef (ITI TF-2 §3.18.4.1.2.2)"),
    }
}

fn read_as(
    query: &AdhocQuery,
    by_id: impl Fn(&str) -> Option<&'static QueryDefinition>,
    return_type: impl Fn(&str) -> Result<ReturnType, &'static str>,
) -> Result<StoredQuery, Vec<RegistryError>> {
    let mut errors = Vec::new();
    let return_type = return_type(query.return_type.as_deref().map(trim).unwrap_or_default());
    let return_type =
        return_type.map_err(|rule| errors.push(RegistryError::new(ErrorCode::XDSRegistryError, rule))).ok();
    let Some(definition) = by_id(trim(&query.id)) else {
        let context = format!("no stored query has the id {} (ITI TF-2 §3.18.4.1.2.4)", super::Shown(&query.id));
        errors.push(RegistryError::new(ErrorCode::XDSUnknownStoredQuery, context));
        return Err(errors);
    };
    let mut arguments: Vec<Argument> = Vec::new();
    let (mut alternatives, mut any_of) = (Vec::new(), false);
    for parameter in definition.parameters {
        let slots: Vec<&Slot<'_>> =
            query.slots.iter().filter(|slot| slot.name == parameter.name && !slot.values.is_empty()).collect();
        if slots.is_empty() {
            if parameter.need == Need::Required {
                errors.push(missing(definition, parameter.name));
            }
            continue;
        }
        if parameter.need == Need::OneOf {
            alternatives.push(parameter.name);
        }
        any_of |= parameter.need == Need::AnyOf;
        match read_parameter(parameter, &slots) {
            // Optional, and no status that is known: not given.
            Ok(Values::Texts(lists))
                if matches!(parameter.kind, Kind::Status(_)) && lists.iter().all(Vec::is_empty) => {}
            Ok(values) => arguments.push(Argument { parameter, values }),
            Err(Broken { code, why }) => {
                let context = format!("{}: {}: {why} (ITI TF-2 §3.18.4.1.2.3)", definition.name, parameter.name);
                errors.push(RegistryError::new(code, context));
            }
        }
    }
    judge_alternatives(definition, &alternatives, &mut errors);
    let mut any = definition.parameters.iter().filter(|parameter| parameter.need == Need::AnyOf).peekable();
    if !any_of && any.peek().is_some() {
        let names: Vec<&str> = any.map(|parameter| parameter.name).collect();
        errors.push(missing(definition, &names.join(" or ")));
    }
    let (Some(return_type), true) = (return_type, errors.is_empty()) else {
        return Err(errors);
    };
    let home = query.home.as_deref().and_then(|home| HomeCommunityId::parse(trim(home)).ok());
    // DECISION(Metadata Update): a logicalID at level 1 is no error, though one test suite says so;
    // other consumers send it, and mean the latest version.
    Ok(StoredQuery { definition, return_type, home, arguments })
}

fn missing(definition: &QueryDefinition, name: &str) -> RegistryError {
    let context = format!("{}: {name} is required (ITI TF-2 §3.18.4.1.2.3.7)", definition.name);
    RegistryError::new(ErrorCode::XDSStoredQueryMissingParam, context)
}

/// Exactly one of the parameters marked so is given (ITI TF-2 §3.18.4.1.2.3.7).
fn judge_alternatives(definition: &QueryDefinition, given: &[&str], errors: &mut Vec<RegistryError>) {
    let mut all = definition.parameters.iter().filter(|parameter| parameter.need == Need::OneOf).peekable();
    if all.peek().is_none() {
        return;
    }
    if given.is_empty() {
        let names: Vec<&str> = all.map(|parameter| parameter.name).collect();
        errors.push(missing(definition, &names.join(" or ")));
    } else if given.len() > 1 {
        let context =
            format!("{}: {} exclude each other (ITI TF-2 §3.18.4.1.2.3.7)", definition.name, given.join(" and "));
        errors.push(RegistryError::new(ErrorCode::XDSStoredQueryParamNumber, context));
    }
}

/// Reads the values of one parameter: OR within a Slot, AND between Slots.
fn read_parameter(parameter: &Parameter, slots: &[&Slot<'_>]) -> Result<Values, Broken> {
    if slots.len() > 1 && parameter.multiplicity != Multiplicity::AndOr {
        return Err(too_many("the Slot is there more than once, which this parameter does not allow"));
    }
    let mut groups = Vec::with_capacity(slots.len());
    let mut count = 0;
    for slot in slots {
        let mut group = Vec::new();
        for value in &slot.values {
            let parsed = parse_value(value)?;
            // DECISION(ITI TF-2 §3.18.4.1.2.3.5): one id without parentheses is a list of one, as
            // senders in the field write it; other lists must be lists.
            let lone = matches!(parameter.kind, Kind::Uuid | Kind::UniqueId | Kind::LogicalId);
            if parameter.multiplicity != Multiplicity::Single && !parsed.in_parentheses && !lone {
                return Err("a list stands in parentheses, also when it has one value".into());
            }
            count += parsed.singles.len();
            if count > MAX_VALUES {
                return Err("too many values".into());
            }
            group.extend(parsed.singles);
        }
        groups.push(group);
    }
    if parameter.multiplicity == Multiplicity::Single && count > 1 {
        return Err(too_many("one value is allowed"));
    }
    typed(parameter, groups)
}

/// Gives the values the type that the parameter's kind has.
fn typed(parameter: &Parameter, groups: Vec<Vec<Single<'_>>>) -> Result<Values, Broken> {
    let first = || groups.iter().flatten().next().cloned().ok_or("a value is required");
    Ok(match parameter.kind {
        Kind::Patient => {
            let text = first()?.quoted()?;
            Values::Patient(PatientId::parse(trim(&text)).map_err(|e| e.why)?)
        }
        Kind::Patients => {
            let ids = each(groups, |text| PatientId::parse(trim(&text)).map_err(|e| e.why))?;
            Values::Patients(ids.into_iter().flatten().collect())
        }
        Kind::From(_) | Kind::To(_) => Values::Time(Dtm::parse(trim(&first()?.bare()))?),
        Kind::MetadataLevel => match trim(&first()?.bare()) {
            "1" => Values::Number(1),
            "2" => Values::Number(2),
            _ => return Err("the level is 1 or 2".into()),
        },
        Kind::Code(_) => Values::Codes(each(groups, |text| {
            let rule = "a code has the form code^^scheme";
            let (code, scheme) = text.split_once("^^").ok_or(rule)?;
            if code.is_empty() || scheme.is_empty() {
                return Err(rule);
            }
            Ok((code.to_owned(), scheme.to_owned()))
        })?),
        Kind::Status(_) => {
            let mut lists = each(groups, |text| Ok(trim(&text).to_owned()))?;
            for list in &mut lists {
                list.retain(|status| status == v::APPROVED || status == v::DEPRECATED);
            }
            // Unknown values are ignored (ITI TF-2 §3.18.4.1.2.3.7); nothing left is nothing given.
            if parameter.need == Need::Required && lists.iter().all(Vec::is_empty) {
                return Err(Broken {
                    code: ErrorCode::XDSStoredQueryMissingParam,
                    why: "none of the values is a known status URN",
                });
            }
            Values::Texts(lists)
        }
        Kind::EntryType => Values::Texts(each(groups, |text| match trim(&text) {
            v::STABLE | v::ON_DEMAND => Ok(trim(&text).to_owned()),
            _ => Err("the UUID of stable or on-demand DocumentEntries"),
        })?),
        Kind::Availability => Values::Texts(each(groups, |text| match trim(&text) {
            v::ONLINE | v::OFFLINE => Ok(trim(&text).to_owned()),
            _ => Err("the URN of Online or Offline"),
        })?),
        Kind::Uuid | Kind::LogicalId => {
            let ids = each(groups, |text| Ok(EntryUuid::parse(trim(&text)).ok()))?;
            // What is no UUID is the id of nothing here, and unknown ids match nothing.
            Values::Uuids(ids.into_iter().flatten().flatten().collect())
        }
        Kind::AuthorPerson | Kind::Like(_) => Values::Texts(each(groups, |text| Ok(composed(&text).into_owned()))?),
        Kind::Identifier(_) | Kind::UniqueId | Kind::AssociationType => {
            Values::Texts(each(groups, |text| Ok(text.into_owned()))?)
        }
    })
}

fn each<'t, T>(
    groups: Vec<Vec<Single<'t>>>,
    read: impl Fn(Cow<'t, str>) -> Result<T, &'static str>,
) -> Result<Vec<Vec<T>>, &'static str> {
    groups.into_iter().map(|group| group.into_iter().map(|single| read(single.quoted()?)).collect()).collect()
}

/// Whether a query's filters let an object through: codes, times, statuses, types, authors,
/// sources, references, availability, and what `$MetadataLevel` 1 hides.
///
/// Patient, entryUUID, uniqueId and logicalID are not compared here: they select the candidates.
/// Nothing is allocated but for texts that are not composed.
pub fn matches(query: &StoredQuery, object: &RegistryObject<'_>) -> bool {
    let noun = object.noun();
    if noun == Noun::Other {
        return false;
    }
    query.arguments.iter().all(|argument| passes(query, argument, noun, object))
        && defaults(query, noun, object)
        && (query.metadata_level() > 1 || visible_at_level_one(noun, object))
}

/// What [`matches()`] would say of a DocumentEntry, if the header of its record tells: so the common
/// query by patient and status decodes nothing that it does not give. `None`: ask [`matches()`].
pub fn header_matches(query: &StoredQuery, entry: &PackedObject) -> Option<bool> {
    if entry.kind() != PackedKind::DocumentEntry {
        return None;
    }
    let status = entry.status()?;
    let kind = if entry.is_on_demand() { v::ON_DEMAND } else { v::STABLE };
    let types = query.definition.parameters.iter().any(|parameter| parameter.kind == Kind::EntryType);
    let mut wanted = !types || query.values(Kind::EntryType).is_some() || !entry.is_on_demand();
    for argument in &query.arguments {
        let among = |text: &str| match &argument.values {
            Values::Texts(groups) => Some(is_one_of(groups, Some(text))),
            _ => None,
        };
        match argument.parameter.kind {
            Kind::Patient | Kind::Patients | Kind::MetadataLevel => {}
            Kind::Status(Noun::DocumentEntry) => wanted &= among(status)?,
            Kind::EntryType => wanted &= among(kind)?,
            _ => return None,
        }
    }
    Some(wanted && (query.metadata_level() > 1 || !(entry.is_offline() || entry.is_superseded())))
}

/// What holds for parameters that were not given.
fn defaults(query: &StoredQuery, noun: Noun, object: &RegistryObject<'_>) -> bool {
    let unsaid = |kind: Kind| {
        query.definition.parameters.iter().any(|parameter| parameter.kind == kind) && query.values(kind).is_none()
    };
    match noun {
        // ITI TF-2 §3.18.4.1.2.3.6.2: stable, for every query that has the parameter.
        Noun::DocumentEntry => !unsaid(Kind::EntryType) || object.common.object_type.as_deref() == Some(v::STABLE),
        // DECISION(Metadata Update): Approved, as other registries do.
        Noun::Association => !unsaid(Kind::Status(Noun::Association)) || object.is_approved(),
        _ => true,
    }
}

/// Level 1 shows no Offline DocumentEntry, no Deprecated Folder and no Deprecated Association
/// (Metadata Update). Former versions are the registry's to leave out.
fn visible_at_level_one(noun: Noun, object: &RegistryObject<'_>) -> bool {
    match noun {
        Noun::DocumentEntry => object.common.slot_value(slot::DOCUMENT_AVAILABILITY) != Some(v::OFFLINE),
        Noun::Folder | Noun::Association => object.common.status.as_deref() != Some(v::DEPRECATED),
        Noun::SubmissionSet | Noun::Other => true,
    }
}

/// The noun whose attribute a parameter filters.
fn filtered(query: &StoredQuery, kind: Kind) -> Option<Noun> {
    match kind {
        Kind::Code(scheme::CONTENT_TYPE_CODE) | Kind::From(slot::SUBMISSION_TIME) | Kind::To(slot::SUBMISSION_TIME) => {
            Some(Noun::SubmissionSet)
        }
        Kind::Code(scheme::FOLDER_CODE) | Kind::From(slot::LAST_UPDATE_TIME) | Kind::To(slot::LAST_UPDATE_TIME) => {
            Some(Noun::Folder)
        }
        Kind::Code(_) | Kind::From(_) | Kind::To(_) | Kind::Like(_) | Kind::EntryType | Kind::Availability => {
            Some(Noun::DocumentEntry)
        }
        Kind::Identifier(_) => Some(Noun::SubmissionSet),
        Kind::AuthorPerson
            if query.definition.parameters.iter().any(|p| p.kind == Kind::Status(Noun::SubmissionSet)) =>
        {
            Some(Noun::SubmissionSet)
        }
        Kind::AuthorPerson => Some(Noun::DocumentEntry),
        Kind::Status(noun) => Some(noun),
        Kind::AssociationType => Some(Noun::Association),
        Kind::Patient | Kind::Patients | Kind::Uuid | Kind::UniqueId | Kind::LogicalId | Kind::MetadataLevel => None,
    }
}

/// Whether an object passes one argument; objects of other nouns do.
fn passes(query: &StoredQuery, argument: &Argument, noun: Noun, object: &RegistryObject<'_>) -> bool {
    let kind = argument.parameter.kind;
    if filtered(query, kind) != Some(noun) {
        return true;
    }
    let common = &object.common;
    match (kind, &argument.values) {
        (Kind::Code(scheme), Values::Codes(groups)) => groups
            .iter()
            .all(|any| object.codes(scheme).any(|(code, coding)| any.iter().any(|(c, s)| code == c && coding == s))),
        (Kind::From(name), Values::Time(bound)) => time(object, name, |at| at >= bound.earliest()),
        // The framework's formula excludes the upper bound (ITI TF-2 §3.18.4.1.2.3.7.1).
        (Kind::To(name), Values::Time(bound)) => time(object, name, |at| at < bound.earliest()),
        (Kind::AuthorPerson, Values::Texts(groups)) => groups
            .iter()
            .all(|any| object.author_persons().any(|person| any.iter().any(|p| like(p, &composed(person))))),
        (Kind::Like(name), Values::Texts(groups)) => groups
            .iter()
            .all(|any| common.slot_values(name).any(|value| any.iter().any(|p| like(p, &composed(trim(value)))))),
        (Kind::Identifier(scheme), Values::Texts(groups)) => is_one_of(groups, object.identifier(scheme)),
        (Kind::Status(_), Values::Texts(groups)) => is_one_of(groups, common.status.as_deref()),
        (Kind::EntryType, Values::Texts(groups)) => is_one_of(groups, common.object_type.as_deref()),
        (Kind::Availability, Values::Texts(groups)) => {
            is_one_of(groups, Some(common.slot_value(slot::DOCUMENT_AVAILABILITY).unwrap_or(v::ONLINE)))
        }
        (Kind::AssociationType, Values::Texts(groups)) => match &object.body {
            Body::Association { kind, .. } => is_one_of(groups, Some(kind)),
            _ => false,
        },
        // A value of another shape than its kind's cannot come out of `read`.
        _ => false,
    }
}

fn is_one_of(groups: &[Vec<String>], value: Option<&str>) -> bool {
    value.is_some_and(|value| groups.iter().all(|any| any.iter().any(|one| one == value)))
}

/// Compares a time. An entry without service times passes their bounds; one without any other
/// time does not, save that an on-demand entry has no creationTime to ask for
/// (ITI TF-2 §3.18.4.1.2.3.7.1).
fn time(object: &RegistryObject<'_>, name: &str, within: impl Fn(&[u8; 14]) -> bool) -> bool {
    if name == slot::CREATION_TIME && object.is_on_demand() {
        return true;
    }
    match object.common.slot_value(name).and_then(|text| Dtm::parse(text).ok()) {
        Some(at) => within(at.earliest()),
        None => name == slot::SERVICE_START_TIME || name == slot::SERVICE_STOP_TIME,
    }
}

/// Composed characters, by which LIKE compares (NFC, ITI TF-2 Appendix F); nearly all texts are so already.
///
/// DECISION(ITI TF-2 Appendix F): codes and identifiers are compared as they are: they are not written by hand,
/// and two that differ must stay two.
fn composed(text: &str) -> Cow<'_, str> {
    match unicode_normalization::is_nfc_quick(text.chars()) {
        unicode_normalization::IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// LIKE: `%` is any run of characters, `_` is one; there is no escape (ITI TF-2 §3.18.4.1.2.3.5).
///
/// Without recursion, so that no pattern costs more than its length times the text's: a later
/// `%` never has to give back what an earlier one took.
pub fn like(pattern: &str, text: &str) -> bool {
    let (mut p, mut t) = (pattern.chars(), text.chars());
    // Behind the last `%`, and where in the text its run ends so far.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = p.clone();
        match ahead.next() {
            Some('%') => {
                if ahead.as_str().is_empty() {
                    return true;
                }
                retry = Some((ahead.clone(), t.clone()));
                p = ahead;
                continue;
            }
            Some(wanted) => {
                let mut rest = t.clone();
                match rest.next() {
                    Some(found) if wanted == '_' || wanted == found => {
                        p = ahead;
                        t = rest;
                        continue;
                    }
                    Some(_) => {}
                    None => return false,
                }
            }
            None if t.as_str().is_empty() => return true,
            None => {}
        }
        // A mismatch: let the last `%` take one character more.
        match &mut retry {
            Some((behind, from)) => {
                if from.next().is_none() {
                    return false;
                }
                p = behind.clone();
                t = from.clone();
            }
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::metadata::build;
    use crate::model::rim::ObjectId;
    use crate::model::stored_query::{QUERIES, QueryKind};
    use crate::model::vocabulary::{association, identifier};

    const APPROVED: &str = "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')";
    const BOTH: &str = "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved', 'urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated')";
    const PATIENT: &str = "'PX-881^^^&2.999.50.100&ISO'";
    const UUID: &str = "'urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb'";
    const UUIDS: &str = "('urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb')";

    fn query(kind: QueryKind, slots: &[(&str, &[&str])]) -> AdhocQuery {
        AdhocQuery {
            id: QueryDefinition::of(kind).id.to_owned(),
            home: None,
            return_type: Some("LeafClass".to_owned()),
            slots: slots
                .iter()
                .map(|(name, values)| Slot::list((*name).to_owned(), values.iter().map(|value| (*value).to_owned())))
                .collect(),
        }
    }

    fn find(more: &[(&str, &[&str])]) -> AdhocQuery {
        let mut slots: Vec<(&str, &[&str])> =
            vec![("$XDSDocumentEntryPatientId", &[PATIENT]), ("$XDSDocumentEntryStatus", &[APPROVED])];
        slots.extend_from_slice(more);
        query(QueryKind::FindDocuments, &slots)
    }

    fn codes(query: &AdhocQuery) -> Vec<String> {
        match read(query) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| error.code.as_str().to_owned()).collect(),
        }
    }

    fn texts(value: &str) -> Result<Vec<String>, &'static str> {
        quoted_texts(value).map(|texts| texts.into_iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn a_fetch_has_rules_of_its_own() {
        let class: (&str, &[&str]) = ("$XDSDocumentEntryClassCode", &["('a^^1.2')"]);
        let patient: (&str, &[&str]) = ("$XDSDocumentEntryPatientId", &[PATIENT]);
        let fetch = |return_type: &str, slots: &[(&str, &[&str])]| AdhocQuery {
            return_type: Some(return_type.to_owned()),
            ..query(QueryKind::Fetch, slots)
        };
        let errors = |query: &AdhocQuery| -> Vec<String> {
            let errors = read_fetch(query).err().unwrap_or_default();
            errors.iter().map(|error| error.code.as_str().to_owned()).collect()
        };
        let good = read_fetch(&fetch(WITH_DOCUMENTS, &[patient, class])).unwrap();
        // What has no status said is Approved; what has one is not touched.
        let status = |query: &StoredQuery| -> Vec<String> {
            query.texts(Kind::Status(Noun::DocumentEntry)).map(str::to_owned).collect()
        };
        assert_eq!(status(&good), [v::APPROVED]);
        let both = read_fetch(&fetch(WITH_DOCUMENTS, &[patient, class, ("$XDSDocumentEntryStatus", &[BOTH])])).unwrap();
        assert_eq!(status(&both), [v::APPROVED, v::DEPRECATED]);
        assert_eq!(errors(&fetch("LeafClass", &[patient, class])), ["XDSRegistryError"]);
        assert_eq!(errors(&fetch(WITH_DOCUMENTS, &[class])), ["XDSStoredQueryMissingParam"]);
        assert_eq!(errors(&fetch(WITH_DOCUMENTS, &[patient])), ["XDSStoredQueryMissingParam"]);
        assert_eq!(
            errors(&AdhocQuery { return_type: Some(WITH_DOCUMENTS.into()), ..find(&[class]) }),
            ["XDSUnknownStoredQuery"]
        );
        for read in [read, read_multi_patient] {
            let errors = read(&fetch("LeafClass", &[patient, class])).err().unwrap();
            assert_eq!(errors[0].code.as_str(), "XDSUnknownStoredQuery");
        }
    }

    #[test]
    fn grammar_vectors() {
        let good: &[(&str, &[&str])] = &[
            ("'a'", &["a"]),
            ("('a','b')", &["a", "b"]),
            ("('a,b')", &["a,b"]),
            ("('it''s')", &["it's"]),
            ("''", &[""]),
            ("''''", &["'"]),
            (" ( 'a' ,\n 'b)' ) ", &["a", "b)"]),
            ("('a''')", &["a'"]),
        ];
        for (value, expected) in good {
            assert_eq!(texts(value).unwrap(), *expected, "{value}");
        }
        for bad in [
            "('a'",
            "(a)",
            "()",
            "",
            "('a',)",
            "(,'a')",
            "('a' 'b')",
            "'a",
            "'a' 'b'",
            "\"a\"",
            "a",
            "('a') x",
            "(('a'))",
            "(",
            "-1",
        ] {
            assert!(parse_value(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_value("20240301").unwrap().singles, [Single::Number("20240301")]);
        assert_eq!(parse_value("(1,2)").unwrap().singles, [Single::Number("1"), Single::Number("2")]);
    }

    #[test]
    fn the_frameworks_example() {
        let read = read(&find(&[
            ("$XDSDocumentEntryCreationTimeFrom", &["20240301"]),
            ("$XDSDocumentEntryEventCodeList", &["('E1^^2.999.60.9','E2^^2.999.60.9')"]),
            ("$XDSDocumentEntryEventCodeList", &["('E7^^2.999.60.9')"]),
            ("$XDSDocumentEntryAuthorPerson", &["('%^O''Neil^%')"]),
        ]))
        .unwrap();
        let code = |code: &str| (code.to_owned(), "2.999.60.9".to_owned());
        let events = read.values(Kind::Code(scheme::EVENT_CODE)).unwrap();
        assert!(*events == Values::Codes(vec![vec![code("E1"), code("E2")], vec![code("E7")]]));
        assert_eq!(read.texts(Kind::AuthorPerson).collect::<Vec<_>>(), ["%^O'Neil^%"]);
        assert_eq!(read.patient().unwrap().id(), "PX-881");
        assert!(read.home.is_none());
    }

    #[test]
    fn leniencies() {
        for good in [
            find(&[("$Unknown", &["rubbish("])]),
            find(&[("$XDSDocumentEntryCreationTimeFrom", &["'20240301'"])]),
            find(&[("$XDSDocumentEntryCreationTimeFrom", &["(20240301)"])]),
            find(&[("$MetadataLevel", &["'2'"])]),
            find(&[("$XDSDocumentEntryClassCode", &[])]),
            query(QueryKind::GetDocuments, &[("$XDSDocumentEntryEntryUUID", &[UUID])]),
            query(QueryKind::GetDocuments, &[("$XDSDocumentEntryEntryUUID", &["('no-uuid')"])]),
            query(QueryKind::GetDocuments, &[("$XDSDocumentEntryLogicalID", &[UUIDS]), ("$MetadataLevel", &["1"])]),
            query(QueryKind::GetFolderAndContents, &[("$XDSFolderUniqueId", &["('2.999.1')"])]),
            query(
                QueryKind::FindDocuments,
                &[
                    ("$XDSDocumentEntryPatientId", &[PATIENT]),
                    ("$XDSDocumentEntryStatus", &["('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved','urn:x')"]),
                ],
            ),
            find(&[("$XDSDocumentEntryClassCode", &[format!("('{}^^2.999')", "x".repeat(300)).as_str()])]),
            AdhocQuery { id: format!(" {} ", QUERIES[0].id), ..find(&[]) },
            AdhocQuery { home: Some("rubbish".to_owned()), ..find(&[]) },
        ] {
            assert_eq!(codes(&good), [] as [&str; 0]);
        }
        let union = query(QueryKind::GetDocuments, &[("$XDSDocumentEntryUniqueId", &["('a')", "('b','c')"])]);
        assert_eq!(read(&union).unwrap().texts(Kind::UniqueId).collect::<Vec<_>>(), ["a", "b", "c"]);
        let home = AdhocQuery { home: Some("urn:oid:2.999.1".to_owned()), ..find(&[]) };
        assert_eq!(read(&home).unwrap().home.unwrap().oid(), "2.999.1");
    }

    #[test]
    fn each_fault_has_its_code() {
        const ERROR: &str = "XDSRegistryError";
        const MISSING: &str = "XDSStoredQueryMissingParam";
        const NUMBER: &str = "XDSStoredQueryParamNumber";
        let one = |name, value| query(QueryKind::FindDocuments, &[(name, &[value])]);
        let two = |patient, status| {
            query(
                QueryKind::FindDocuments,
                &[("$XDSDocumentEntryPatientId", &[patient]), ("$XDSDocumentEntryStatus", &[status])],
            )
        };
        let both_ids: &[(&str, &[&str])] =
            &[("$XDSDocumentEntryEntryUUID", &[UUIDS]), ("$XDSDocumentEntryUniqueId", &["('1')"])];
        let unknown = "urn:uuid:00000000-0000-0000-0000-000000000000";
        let returning = |kind: &str| AdhocQuery { return_type: Some(kind.to_owned()), ..find(&[]) };
        let table: &[(AdhocQuery, &[&str])] = &[
            (AdhocQuery { id: unknown.to_owned(), ..find(&[]) }, &["XDSUnknownStoredQuery"]),
            (AdhocQuery { return_type: None, ..find(&[]) }, &[ERROR]),
            (returning("RegistryObject"), &[ERROR]),
            (returning("LeafClassWithRepositoryItem"), &[ERROR]),
            (query(QueryKind::FindDocuments, &[]), &[MISSING, MISSING]),
            (
                query(
                    QueryKind::FindDocuments,
                    &[("$XDSDocumentEntryPatientId", &[PATIENT]), ("$XDSDocumentEntryStatus", &[])],
                ),
                &[MISSING],
            ),
            (one("$XDSDocumentEntryPatientId", "PX-881^^^&2.999.50.100&ISO"), &[ERROR, MISSING]),
            (one("$XDSDocumentEntryPatientId", "9990000018^^^&2.999.50.100&ISO"), &[ERROR, MISSING]),
            (two("'PX-881'", "('other')"), &[ERROR, MISSING]),
            (two("('A^^^&2.9&ISO','B^^^&2.9&ISO')", "(urn:oasis)"), &[NUMBER, ERROR]),
            (find(&[("$XDSDocumentEntryPatientId", &[PATIENT])]), &[NUMBER]),
            (
                find(&[("$XDSDocumentEntryClassCode", &["('a^^b')"]), ("$XDSDocumentEntryClassCode", &["('c^^d')"])]),
                &[NUMBER],
            ),
            (find(&[("$XDSDocumentEntryCreationTimeFrom", &["2024", "2025"])]), &[NUMBER]),
            (find(&[("$XDSDocumentEntryClassCode", &["'a^^b'"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryClassCode", &["('a')"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryClassCode", &["('^^b')"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryClassCode", &["('a^^')"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryClassCode", &["('a^x^b')"])]), &[ERROR]),
            (
                query(
                    QueryKind::FindSubmissionSets,
                    &[
                        ("$XDSSubmissionSetPatientId", &[PATIENT]),
                        ("$XDSSubmissionSetStatus", &[APPROVED]),
                        ("$XDSSubmissionSetAuthorPerson", &["('a','b')"]),
                    ],
                ),
                &[NUMBER],
            ),
            (find(&[("$XDSDocumentEntryClassCode", &["()"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryAuthorPerson", &["(123)"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryType", &["('urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d')"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryDocumentAvailability", &["('Online')"])]), &[ERROR]),
            (find(&[("$XDSDocumentEntryCreationTimeTo", &["20241301"])]), &[ERROR]),
            (find(&[("$MetadataLevel", &["3"])]), &[ERROR]),
            (query(QueryKind::GetDocuments, &[]), &[MISSING]),
            (query(QueryKind::GetDocuments, both_ids), &[NUMBER]),
            (query(QueryKind::GetFoldersForDocument, &[("$XDSDocumentEntryUniqueId", &["('1','2')"])]), &[NUMBER]),
            (query(QueryKind::GetRelatedDocuments, &[("$XDSDocumentEntryUniqueId", &["'1'"])]), &[MISSING]),
        ];
        for (n, (query, expected)) in table.iter().enumerate() {
            assert_eq!(codes(query), *expected, "row {n}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let list = |values: usize| format!("({})", vec!["'a'"; values].join(","));
        assert_eq!(parse_value(&list(MAX_VALUES)).unwrap().singles.len(), MAX_VALUES);
        assert_eq!(parse_value(&list(MAX_VALUES + 1)), Err("the list is too long"));
        let half = list(MAX_VALUES / 2);
        let ids = |values: &[&str]| codes(&query(QueryKind::GetDocuments, &[("$XDSDocumentEntryUniqueId", values)]));
        assert_eq!(ids(&[&half, &half]), [] as [&str; 0]);
        assert_eq!(ids(&[&half, &half, "('a')"]), ["XDSRegistryError"]);
    }

    #[test]
    fn a_code_is_split_at_the_first_separator() {
        let read = read(&find(&[("$XDSDocumentEntryClassCode", &["('a^^b^^c')"])])).unwrap();
        let codes = read.values(Kind::Code(scheme::CLASS_CODE)).unwrap();
        assert!(*codes == Values::Codes(vec![vec![("a".to_owned(), "b^^c".to_owned())]]));
    }

    #[test]
    fn queries_over_many_patients_need_something_to_look_for() {
        let codes = |kind: QueryKind, slots: &[(&str, &[&str])]| match read_multi_patient(&query(kind, slots)) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| error.code.as_str().to_owned()).collect(),
        };
        let (documents, folders) =
            (QueryKind::FindDocumentsForMultiplePatients, QueryKind::FindFoldersForMultiplePatients);
        let status: (&str, &[&str]) = ("$XDSDocumentEntryStatus", &[APPROVED]);
        for name in ["ClassCode", "EventCodeList", "HealthcareFacilityTypeCode"] {
            let name = format!("$XDSDocumentEntry{name}");
            assert_eq!(codes(documents, &[status, (&name, &["('a^^b')"])]), [] as [&str; 0], "{name}");
        }
        for name in ["TypeCode", "PracticeSettingCode", "ConfidentialityCode", "FormatCode"] {
            let name = format!("$XDSDocumentEntry{name}");
            assert_eq!(codes(documents, &[status, (&name, &["('a^^b')"])]), ["XDSStoredQueryMissingParam"], "{name}");
        }
        assert_eq!(codes(documents, &[status]), ["XDSStoredQueryMissingParam"]);
        let status: (&str, &[&str]) = ("$XDSFolderStatus", &[APPROVED]);
        assert_eq!(codes(folders, &[status]), ["XDSStoredQueryMissingParam"]);
        assert_eq!(codes(folders, &[status, ("$XDSFolderCodeList", &["('a^^b')"])]), [] as [&str; 0]);
        let references = QueryKind::FindDocumentsByReferenceIdForMultiplePatients;
        assert_eq!(codes(references, &[("$XDSDocumentEntryStatus", &[APPROVED])]), ["XDSStoredQueryMissingParam"]);
    }

    #[test]
    fn contexts_name_no_patient() {
        let errors =
            read(&query(QueryKind::FindDocuments, &[("$XDSDocumentEntryPatientId", &["'SECRET'"])])).unwrap_err();
        assert!(errors.iter().all(|error| !error.context.contains("SECRET")));
        assert!(errors[0].context.contains("$XDSDocumentEntryPatientId"));
    }

    fn entry() -> RegistryObject<'static> {
        let mut entry = build::document_entry(ObjectId::Symbol("doc".into()), "text/plain");
        entry.common.status = Some(v::APPROVED.into());
        entry.common.slots.extend([
            Slot::single(slot::CREATION_TIME, "20240311094500"),
            Slot::single(slot::SERVICE_START_TIME, "202403"),
            Slot::single(slot::REFERENCE_ID_LIST, "ACC-77^^^&2.999.6&ISO^urn:ihe:iti:xds:2013:accession"),
        ]);
        for (scheme, value) in [
            (scheme::CLASS_CODE, "REPORT"),
            (scheme::EVENT_CODE, "E1"),
            (scheme::EVENT_CODE, "E7"),
            (scheme::CONFIDENTIALITY_CODE, "N"),
            (scheme::TYPE_CODE, "TYPE"),
            (scheme::PRACTICE_SETTING_CODE, "SETTING"),
            (scheme::FACILITY_TYPE_CODE, "FACILITY"),
            (scheme::FORMAT_CODE, "FORMAT"),
        ] {
            let code = build::Code { code: value.to_owned(), scheme: "2.999.60.1".to_owned(), display: String::new() };
            entry.classifications.push(build::code(scheme, &code));
        }
        entry.classifications.push(build::author(scheme::ENTRY_AUTHOR, &[(slot::AUTHOR_PERSON, "7719^O'Neil^Per")]));
        entry
    }

    fn package(node: &'static str, time: &'static str) -> RegistryObject<'static> {
        let mut package = build::package(ObjectId::Symbol("package".into()), node);
        package.common.status = Some(v::APPROVED.into());
        package.common.slots.push(Slot::single(time, "20240311"));
        package
    }

    fn passes(query: &AdhocQuery, object: &RegistryObject<'_>) -> bool {
        matches(&read(query).unwrap(), object)
    }

    #[test]
    fn the_header_of_a_record_agrees_with_the_record() {
        let only = |urn: &str| format!("('{urn}')");
        let (deprecated, on_demand) = (only(v::DEPRECATED), only(v::ON_DEMAND));
        let queries = [
            find(&[]),
            find(&[("$XDSDocumentEntryType", &[on_demand.as_str()])]),
            find(&[("$MetadataLevel", &["2"])]),
            query(
                QueryKind::FindDocuments,
                &[("$XDSDocumentEntryPatientId", &[PATIENT]), ("$XDSDocumentEntryStatus", &[deprecated.as_str()])],
            ),
        ];
        let mut decided = 0;
        for status in [v::APPROVED, v::DEPRECATED] {
            for object_type in [v::STABLE, v::ON_DEMAND] {
                for availability in [v::ONLINE, v::OFFLINE] {
                    let mut object = entry();
                    object.common.status = Some(status.into());
                    object.common.object_type = Some(object_type.into());
                    object.common.set_slot(slot::DOCUMENT_AVAILABILITY, availability);
                    let packed = PackedObject::pack(&object);
                    for query in &queries {
                        let query = read(query).unwrap();
                        if let Some(wanted) = header_matches(&query, &packed) {
                            decided += 1;
                            assert_eq!(wanted, matches(&query, &object), "{status} {object_type} {availability}");
                        }
                    }
                }
            }
        }
        assert_eq!(decided, 32);
        let by_class = read(&find(&[("$XDSDocumentEntryClassCode", &["('REPORT^^2.999.60.1')"])])).unwrap();
        assert_eq!(header_matches(&by_class, &PackedObject::pack(&entry())), None);
    }

    #[test]
    fn filters_of_document_entries() {
        let table: &[(&str, &str, bool)] = &[
            ("$XDSDocumentEntryClassCode", "('x^^y','REPORT^^2.999.60.1')", true),
            ("$XDSDocumentEntryClassCode", "('REPORT^^2.999.60.2')", false),
            ("$XDSDocumentEntryFormatCode", "('REPORT^^2.999.60.1')", false),
            ("$XDSDocumentEntryFormatCode", "('FORMAT^^2.999.60.1')", true),
            ("$XDSDocumentEntryTypeCode", "('TYPE^^2.999.60.1')", true),
            ("$XDSDocumentEntryTypeCode", "('REPORT^^2.999.60.1')", false),
            ("$XDSDocumentEntryPracticeSettingCode", "('SETTING^^2.999.60.1')", true),
            ("$XDSDocumentEntryPracticeSettingCode", "('REPORT^^2.999.60.1')", false),
            ("$XDSDocumentEntryHealthcareFacilityTypeCode", "('FACILITY^^2.999.60.1')", true),
            ("$XDSDocumentEntryHealthcareFacilityTypeCode", "('REPORT^^2.999.60.1')", false),
            ("$XDSDocumentEntryEventCodeList", "('REPORT^^2.999.60.1')", false),
            ("$XDSDocumentEntryConfidentialityCode", "('N^^2.999.60.1')", true),
            ("$XDSDocumentEntryConfidentialityCode", "('REPORT^^2.999.60.1')", false),
            ("$XDSDocumentEntryCreationTimeFrom", "20240311094500", true),
            ("$XDSDocumentEntryCreationTimeFrom", "20240311094501", false),
            ("$XDSDocumentEntryCreationTimeTo", "20240311094500", false),
            ("$XDSDocumentEntryCreationTimeTo", "20240311094501", true),
            ("$XDSDocumentEntryServiceStartTimeFrom", "20240301", true),
            ("$XDSDocumentEntryServiceStartTimeFrom", "20240302", false),
            ("$XDSDocumentEntryServiceStartTimeTo", "20240301", false),
            ("$XDSDocumentEntryServiceStartTimeTo", "20240302", true),
            ("$XDSDocumentEntryServiceStopTimeFrom", "2030", true),
            ("$XDSDocumentEntryServiceStopTimeTo", "2000", true),
            ("$XDSDocumentEntryAuthorPerson", "('nobody','%^O''Neil^%')", true),
            ("$XDSDocumentEntryAuthorPerson", "('O''Neil')", false),
            ("$XDSDocumentEntryType", "('urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1')", true),
            ("$XDSDocumentEntryType", "('urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248')", false),
            ("$XDSDocumentEntryDocumentAvailability", "('urn:ihe:iti:2010:DocumentAvailability:Online')", true),
            ("$XDSDocumentEntryDocumentAvailability", "('urn:ihe:iti:2010:DocumentAvailability:Offline')", false),
            ("$XDSSubmissionSetSourceId", "('not a parameter here')", true),
        ];
        for (name, value, expected) in table {
            assert_eq!(passes(&find(&[(name, &[value])]), &entry()), *expected, "{name} {value}");
        }
        let mut deprecated = entry();
        deprecated.common.status = Some(v::DEPRECATED.into());
        assert!(!passes(&find(&[]), &deprecated));
        assert!(passes(&find(&[]), &entry()));
    }

    #[test]
    fn slots_are_and_and_lists_are_or() {
        let any = |value: &'static [&'static str]| ("$XDSDocumentEntryEventCodeList", value);
        assert!(passes(
            &find(&[any(&["('E1^^2.999.60.1','E2^^2.999.60.1')"]), any(&["('E7^^2.999.60.1')"])]),
            &entry()
        ));
        assert!(!passes(&find(&[any(&["('E1^^2.999.60.1')"]), any(&["('E2^^2.999.60.1')"])]), &entry()));
        assert!(passes(&find(&[any(&["('E2^^2.999.60.1')", "('E1^^2.999.60.1')"])]), &entry()));
    }

    #[test]
    fn types_times_and_levels_by_default() {
        let mut on_demand = entry();
        on_demand.common.object_type = Some(v::ON_DEMAND.into());
        on_demand.common.slots.retain(|slot| slot.name != slot::CREATION_TIME);
        let kind: (&str, &[&str]) = ("$XDSDocumentEntryType", &["('urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248')"]);
        assert!(!passes(&find(&[]), &on_demand), "stable by default");
        let late = ("$XDSDocumentEntryCreationTimeFrom", &["2030"] as &[&str]);
        assert!(passes(&find(&[kind, late]), &on_demand), "no creationTime to ask for");
        let by_id = query(QueryKind::GetDocuments, &[("$XDSDocumentEntryEntryUUID", &[UUIDS])]);
        assert!(passes(&by_id, &on_demand), "a query without the parameter does not filter by type");

        let mut timeless = entry();
        timeless.common.slots.retain(|slot| slot.name != slot::SERVICE_START_TIME);
        assert!(passes(&find(&[("$XDSDocumentEntryServiceStartTimeFrom", &["2030"])]), &timeless), "not used for it");

        let mut stopped = entry();
        stopped.common.slots.push(Slot::single(slot::SERVICE_STOP_TIME, "2024"));
        for (name, value, expected) in [
            ("$XDSDocumentEntryServiceStopTimeFrom", "2024", true),
            ("$XDSDocumentEntryServiceStopTimeFrom", "2025", false),
            ("$XDSDocumentEntryServiceStopTimeTo", "2024", false),
            ("$XDSDocumentEntryServiceStopTimeTo", "2025", true),
        ] {
            assert_eq!(passes(&find(&[(name, &[value])]), &stopped), expected, "{name} {value}");
        }

        let mut undated = entry();
        undated.common.slots.retain(|slot| slot.name != slot::CREATION_TIME);
        assert!(!passes(&find(&[("$XDSDocumentEntryCreationTimeFrom", &["1900"])]), &undated));

        let mut offline = entry();
        offline.common.set_slot(slot::DOCUMENT_AVAILABILITY, v::OFFLINE);
        assert!(!passes(&find(&[]), &offline));
        assert!(passes(&find(&[("$MetadataLevel", &["2"])]), &offline));
    }

    #[test]
    fn filters_by_reference_id() {
        let by = |more: &[(&str, &[&str])]| {
            let mut query = find(more);
            query.id = QueryDefinition::of(QueryKind::FindDocumentsByReferenceId).id.to_owned();
            query
        };
        let name = "$XDSDocumentEntryReferenceIdList";
        assert!(passes(&by(&[(name, &["('ACC-77^^^&2.999.6&ISO^urn:ihe:iti:xds:2013:accession')"])]), &entry()));
        assert!(passes(&by(&[(name, &["('ACC-%')"])]), &entry()));
        assert!(!passes(&by(&[(name, &["('ACC-%')"]), (name, &["('ORD-%')"])]), &entry()));
    }

    #[test]
    fn filters_of_submission_sets() {
        let mut set = package(v::SUBMISSION_SET_NODE, slot::SUBMISSION_TIME);
        set.identifiers.push(build::external_identifier(identifier::SET_SOURCE_ID, "2.999.50.9"));
        let content = build::Code { code: "CONTENT".into(), scheme: "2.999.60.1".into(), display: String::new() };
        set.classifications.push(build::code(scheme::CONTENT_TYPE_CODE, &content));
        set.classifications.push(build::author(scheme::SET_AUTHOR, &[(slot::AUTHOR_PERSON, "^Osei")]));
        let table: &[(&str, &str, bool)] = &[
            ("$XDSSubmissionSetSourceId", "('2.999.50.9')", true),
            ("$XDSSubmissionSetSourceId", "('2.999.50.8')", false),
            ("$XDSSubmissionSetAuthorPerson", "'%sei'", true),
            ("$XDSSubmissionSetAuthorPerson", "'%sai'", false),
            ("$XDSSubmissionSetSubmissionTimeTo", "20240311", false),
            ("$XDSSubmissionSetSubmissionTimeFrom", "20240311", true),
            ("$XDSSubmissionSetSubmissionTimeTo", "20240312", true),
            ("$XDSSubmissionSetSubmissionTimeFrom", "20240312", false),
            ("$XDSSubmissionSetContentType", "('a^^b')", false),
            ("$XDSSubmissionSetContentType", "('a^^b','CONTENT^^2.999.60.1')", true),
        ];
        for (name, value, expected) in table {
            let slots: &[(&str, &[&str])] = &[
                ("$XDSSubmissionSetPatientId", &[PATIENT]),
                ("$XDSSubmissionSetStatus", &[APPROVED]),
                (name, &[value]),
            ];
            assert_eq!(passes(&query(QueryKind::FindSubmissionSets, slots), &set), *expected, "{name} {value}");
        }
        set.common.slots.retain(|slot| slot.name != slot::SUBMISSION_TIME);
        let slots: &[(&str, &[&str])] = &[
            ("$XDSSubmissionSetPatientId", &[PATIENT]),
            ("$XDSSubmissionSetStatus", &[APPROVED]),
            ("$XDSSubmissionSetSubmissionTimeFrom", &["1900"]),
        ];
        assert!(!passes(&query(QueryKind::FindSubmissionSets, slots), &set), "no time, no match");
    }

    #[test]
    fn filters_of_folders() {
        let mut folder = package(v::FOLDER_NODE, slot::LAST_UPDATE_TIME);
        let folders = |name, value| {
            let slots: &[(&str, &[&str])] =
                &[("$XDSFolderPatientId", &[PATIENT]), ("$XDSFolderStatus", &[BOTH]), (name, &[value])];
            query(QueryKind::FindFolders, slots)
        };
        assert!(passes(&folders("$XDSFolderLastUpdateTimeFrom", "2024"), &folder));
        assert!(!passes(&folders("$XDSFolderLastUpdateTimeFrom", "2025"), &folder));
        assert!(!passes(&folders("$XDSFolderLastUpdateTimeTo", "20240311"), &folder));
        assert!(passes(&folders("$XDSFolderLastUpdateTimeTo", "20240312"), &folder));
        assert!(!passes(&folders("$XDSFolderCodeList", "('a^^b')"), &folder));
        for code in ["A", "B"] {
            let code = build::Code { code: code.into(), scheme: "2.999.60.1".into(), display: String::new() };
            folder.classifications.push(build::code(scheme::FOLDER_CODE, &code));
        }
        assert!(passes(&folders("$XDSFolderCodeList", "('x^^y','B^^2.999.60.1')"), &folder));
        let mut two = folders("$XDSFolderCodeList", "('A^^2.999.60.1')");
        two.slots.push(Slot::single("$XDSFolderCodeList", "('C^^2.999.60.1')"));
        assert!(!passes(&two, &folder), "Slots are AND");
        let mut timeless = folder.clone();
        timeless.common.slots.retain(|slot| slot.name != slot::LAST_UPDATE_TIME);
        assert!(!passes(&folders("$XDSFolderLastUpdateTimeFrom", "1900"), &timeless), "no time, no match");
        folder.common.status = Some(v::DEPRECATED.into());
        assert!(!passes(&folders("$MetadataLevel", "1"), &folder));
        assert!(passes(&folders("$MetadataLevel", "2"), &folder));
    }

    #[test]
    fn filters_of_associations() {
        let end = |id: &'static str| ObjectId::Symbol(id.into());
        let mut link = build::association(end("a"), association::RPLC, end("b"), end("c"));
        link.common.status = Some(v::APPROVED.into());
        let related = |kind: &str| {
            query(
                QueryKind::GetRelatedDocuments,
                &[("$XDSDocumentEntryEntryUUID", &[UUID]), ("$AssociationTypes", &[kind])],
            )
        };
        assert!(passes(&related("('urn:ihe:iti:2007:AssociationType:RPLC')"), &link));
        assert!(!passes(&related("('urn:ihe:iti:2007:AssociationType:XFRM')"), &link));
        link.common.status = Some(v::DEPRECATED.into());
        let of = |more: &[(&str, &[&str])]| {
            let mut slots: Vec<(&str, &[&str])> = vec![("$uuid", &[UUIDS])];
            slots.extend_from_slice(more);
            query(QueryKind::GetAssociations, &slots)
        };
        assert!(!passes(&of(&[("$MetadataLevel", &["2"])]), &link), "Approved by default");
        assert!(passes(&of(&[("$MetadataLevel", &["2"]), ("$XDSAssociationStatus", &[BOTH])]), &link));
        assert!(!passes(&of(&[("$XDSAssociationStatus", &[BOTH])]), &link), "hidden at level 1");
        let unknown: (&str, &[&str]) = ("$XDSAssociationStatus", &["('urn:x')"]);
        assert!(!passes(&of(&[("$MetadataLevel", &["2"]), unknown]), &link), "Approved by default");
        link.common.status = Some(v::APPROVED.into());
        assert!(passes(&of(&[unknown]), &link), "no known status is none given");
        assert!(!passes(&find(&[]), &RegistryObject::new(Body::ObjectRef, end("r"))));
    }

    #[test]
    fn texts_are_compared_composed() {
        let mut object = entry();
        object.classifications.push(build::author(scheme::ENTRY_AUTHOR, &[(slot::AUTHOR_PERSON, "^Bronte\u{308}")]));
        for pattern in ["('^Bront\u{eb}')", "('^Bronte\u{308}')", "('^Bront_')"] {
            assert!(passes(&find(&[("$XDSDocumentEntryAuthorPerson", &[pattern])]), &object), "{pattern}");
        }
        assert!(!passes(&find(&[("$XDSDocumentEntryAuthorPerson", &["('^Bronte')"])]), &object));
    }

    #[test]
    fn like_vectors() {
        let good =
            [("", ""), ("%", ""), ("%%", "x"), ("_", "ø"), ("a%b%c", "a1b2b3c"), ("%aab", "aaaab"), ("_%_", "ab")];
        for (pattern, text) in good {
            assert!(like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("_", ""), ("%a", "ab"), ("A", "a"), ("_%_", "a"), ("a%b", "ac")]
        {
            assert!(!like(pattern, text), "{pattern} {text}");
        }
        let start = std::time::Instant::now();
        assert!(!like(&"%a".repeat(2000), &"a".repeat(1999)));
        assert!(!like(&format!("{}b", "%a".repeat(100)), &"a".repeat(20_000)));
        assert!(start.elapsed().as_secs() < 5, "a hostile pattern stays cheap");
    }

    /// The definition of LIKE, exponential and plain.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            ['_', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn like_agrees_with_its_definition(pattern in "[ab%_é]{0,7}", text in "[abé]{0,9}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(like(&pattern, &text), naive(&p, &t));
        }

        #[test]
        fn values_never_panic(text in "[ ()',0-9aé\n]{0,30}") {
            let _ = parse_value(&text);
        }

        #[test]
        fn queries_never_panic(value in "\\PC{0,40}", which in 0..QUERIES.len(), parameter in 0..32_usize) {
            let definition = &QUERIES[which];
            let parameter = &definition.parameters[parameter % definition.parameters.len()];
            let quoted = format!("('{value}')");
            for text in [value.as_str(), quoted.as_str()] {
                if let Ok(stored) = read(&query(definition.kind, &[(parameter.name, &[text])])) {
                    let _ = matches(&stored, &entry());
                }
            }
        }

        #[test]
        fn printed_values_are_read_back(values in proptest::collection::vec("\\PC{0,12}", 1..6), spaces in " {0,2}") {
            let printed: Vec<String> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
            let list = format!("({spaces}{}{spaces})", printed.join(&format!("{spaces},")));
            let parsed = parse_value(&list).unwrap();
            prop_assert!(parsed.in_parentheses);
            let read: Vec<String> = parsed.singles.into_iter().map(|single| single.bare().into_owned()).collect();
            prop_assert_eq!(read, values);
        }
    }
}
