//! The slots of a query, from what people write.

use super::{StatusArg, form};
use crate::commands::CommandError;
use crate::commands::client::{self, Codes};
use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId};
use crate::model::rim::Slot;
use crate::model::stored_query::{AdhocQuery, Kind, Multiplicity, Need, Parameter, QueryDefinition, ReturnType};
use crate::model::time::Dtm;
use crate::model::vocabulary::{self as v, association};

/// Collects the slots of a query.
pub(super) struct Maker<'c> {
    definition: &'static QueryDefinition,
    codes: &'c Codes,
    slots: Vec<Slot<'static>>,
    /// Values of lists, which become one slot whatever the number of options.
    lists: Vec<(&'static Parameter, Vec<String>)>,
}

impl<'c> Maker<'c> {
    pub(super) fn new(definition: &'static QueryDefinition, codes: &'c Codes) -> Self {
        Self { definition, codes, slots: Vec::new(), lists: Vec::new() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.slots.iter().any(|slot| slot.name == name)
            || self.lists.iter().any(|(parameter, _)| parameter.name == name)
    }

    /// The row of a name as people write it: with or without `$`, in any case, with or without
    /// the noun in front.
    fn parameter(&self, name: &str) -> Result<&'static Parameter, CommandError> {
        let bare = |name: &str| name.trim_start_matches('$').to_ascii_lowercase();
        let short = |name: &str| {
            let bare = bare(name);
            ["xdsdocumententry", "xdssubmissionset", "xdsfolder"]
                .iter()
                .find_map(|noun| bare.strip_prefix(noun).map(str::to_owned))
                .unwrap_or(bare)
        };
        let rows = self.definition.parameters;
        if let Some(row) = rows.iter().find(|row| bare(row.name) == bare(name)) {
            return Ok(row);
        }
        let mut near = rows.iter().filter(|row| short(row.name) == bare(name));
        match (near.next(), near.next()) {
            (Some(row), None) => Ok(row),
            _ => {
                let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
                Err(CommandError::failed(format!(
                    "{} has no parameter {}; it has {}; --raw-param sends any name as it is",
                    self.definition.name,
                    client::printable(name),
                    names.join(", ")
                )))
            }
        }
    }

    pub(super) fn set_kind(&mut self, kind: Kind, values: &[String]) -> Result<(), CommandError> {
        match self.definition.parameters.iter().find(|row| row.kind == kind) {
            Some(row) => self.set(row.name, values),
            None => Err(CommandError::failed(format!(
                "{} cannot be limited so ({}); 'causeway find --help' lists its parameters",
                self.definition.name,
                form(kind)
            ))),
        }
    }

    /// Sets a parameter: several values mean either of them.
    pub(super) fn set(&mut self, name: &str, values: &[String]) -> Result<(), CommandError> {
        let parameter = self.parameter(name)?;
        let encoded = values
            .iter()
            .map(|value| encode(parameter, value, self.codes))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|what| CommandError::failed(format!("{}: {what}", parameter.name)))?;
        match parameter.multiplicity {
            Multiplicity::Single => {
                let [value] = encoded.as_slice() else {
                    return Err(CommandError::failed(format!("{} takes one value", parameter.name)));
                };
                if self.has(parameter.name) {
                    return Err(CommandError::failed(format!("{} is given twice", parameter.name)));
                }
                self.slots.push(Slot::single(parameter.name, value.clone()));
            }
            Multiplicity::List => match self.lists.iter_mut().find(|(row, _)| row.name == parameter.name) {
                Some((_, list)) => list.extend(encoded),
                None => self.lists.push((parameter, encoded)),
            },
            Multiplicity::AndOr => self.slots.push(Slot::single(parameter.name, listed(&encoded))),
        }
        Ok(())
    }

    /// The status that the query demands, and that no option named.
    pub(super) fn set_missing_statuses(&mut self, status: StatusArg) -> Result<(), CommandError> {
        for parameter in self.definition.parameters {
            let wanted = matches!(parameter.kind, Kind::Status(_)) && parameter.need == Need::Required;
            if wanted && !self.has(parameter.name) {
                self.set(parameter.name, &status.urns())?;
            }
        }
        Ok(())
    }

    /// A slot as it is; of the same name again it is another value of it.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        // What is said raw replaces what was set for the same name by other options.
        self.lists.retain(|(parameter, _)| parameter.name != name);
        match self.slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => slot.values.push(value.to_owned().into()),
            None => self.slots.push(Slot::single(name.to_owned(), value.to_owned())),
        }
    }

    pub(super) fn finish(mut self, home: Option<&HomeCommunityId>, return_type: ReturnType) -> AdhocQuery {
        self.slots.extend(self.lists.iter().map(|(parameter, list)| Slot::single(parameter.name, listed(list))));
        let place = |slot: &Slot<'_>| {
            self.definition.parameters.iter().position(|row| row.name == slot.name).unwrap_or(usize::MAX)
        };
        self.slots.sort_by_key(place);
        AdhocQuery {
            id: self.definition.id.to_owned(),
            home: home.map(ToString::to_string),
            return_type: Some(return_type.as_str().to_owned()),
            slots: self.slots,
        }
    }
}

fn listed(values: &[String]) -> String {
    format!("({})", values.join(","))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One value in the grammar of stored queries (ITI TF-2 §3.18.4.1.2.3.5).
pub(super) fn encode(parameter: &Parameter, value: &str, codes: &Codes) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("the value is empty".to_owned());
    }
    let one_of = |known: &[(&str, &str)]| {
        known.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map_or(value, |(_, urn)| *urn).to_owned()
    };
    Ok(match parameter.kind {
        Kind::Patient | Kind::Patients => quoted(&PatientId::parse(value).map_err(|error| error.to_string())?.to_cx()),
        Kind::Code(attribute) => {
            let code = codes.read(attribute, value)?;
            quoted(&format!("{}^^{}", code.code, code.scheme))
        }
        Kind::From(_) | Kind::To(_) => {
            let digits: String = value.chars().filter(|c| !matches!(c, '-' | ':' | 'T' | ' ' | 'Z')).collect();
            Dtm::parse(&digits)?.as_str().to_owned()
        }
        Kind::MetadataLevel => match value {
            "1" | "2" => value.to_owned(),
            _ => return Err("the level is 1 or 2".to_owned()),
        },
        Kind::Status(_) => quoted(&one_of(&[("approved", v::APPROVED), ("deprecated", v::DEPRECATED)])),
        Kind::EntryType => {
            quoted(&one_of(&[("stable", v::STABLE), ("on-demand", v::ON_DEMAND), ("ondemand", v::ON_DEMAND)]))
        }
        Kind::Availability => quoted(&one_of(&[("online", v::ONLINE), ("offline", v::OFFLINE)])),
        Kind::AssociationType => {
            let short: Vec<(&str, &str)> = ASSOCIATION_TYPES.iter().map(|urn| (short_urn(urn), *urn)).collect();
            quoted(&one_of(&short))
        }
        Kind::Uuid | Kind::LogicalId => quoted(&uuid(value)),
        Kind::AuthorPerson | Kind::Like(_) | Kind::Identifier(_) | Kind::UniqueId => quoted(value),
    })
}

/// An entryUUID with its `urn:uuid:`, which people leave out; anything else stays as it is.
pub(in crate::commands) fn uuid(text: &str) -> String {
    let urn = format!("urn:uuid:{text}");
    match EntryUuid::parse(&urn) {
        Ok(uuid) => uuid.to_string(),
        Err(_) => text.to_owned(),
    }
}

const ASSOCIATION_TYPES: [&str; 7] = [
    association::HAS_MEMBER,
    association::RPLC,
    association::XFRM,
    association::APND,
    association::XFRM_RPLC,
    association::SIGNS,
    association::IS_SNAPSHOT_OF,
];

/// What is behind the last colon: `Approved`, `RPLC`.
pub(super) fn short_urn(urn: &str) -> &str {
    urn.rsplit(':').next().unwrap_or(urn)
}
