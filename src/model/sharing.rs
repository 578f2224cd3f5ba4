//! What a community is given: rules over the codes of DocumentEntries (`[[peer]] shares`).
//!
//! On doubt nothing is given: an entry that lacks what a rule is about is not shared.

use super::metadata::Noun;
use super::rim::RegistryObject;
use super::vocabulary::scheme;

/// A code that a rule names, in any coding scheme or in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRule {
    code: String,
    scheme: Option<String>,
}

impl CodeRule {
    /// Reads `code`, or `code^^scheme` as stored queries write it (ITI TF-2 §3.18.4.1.2.3.4).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (code, scheme) = match text.trim().split_once('^') {
            None => (text.trim(), None),
            Some((code, rest)) => {
                let scheme = rest.strip_prefix('^').filter(|scheme| !scheme.is_empty() && !scheme.contains('^'));
                (code, Some(scheme.ok_or("it is neither code nor code^^scheme")?))
            }
        };
        if code.is_empty() {
            return Err("the code is empty");
        }
        Ok(Self { code: code.to_owned(), scheme: scheme.map(str::to_owned) })
    }

    /// The code, and the scheme if it is of one alone.
    pub fn parts(&self) -> (&str, Option<&str>) {
        (&self.code, self.scheme.as_deref())
    }

    fn is(&self, (code, scheme): (&str, &str)) -> bool {
        self.code == code.trim() && self.scheme.as_deref().is_none_or(|own| own == scheme.trim())
    }
}

impl std::fmt::Display for CodeRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.scheme {
            None => f.write_str(&self.code),
            Some(scheme) => write!(f, "{}^^{scheme}", self.code),
        }
    }
}

/// Lists of codes, for each attribute that documents are told apart by; an empty one is no rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeLists {
    /// confidentialityCode, of which an entry may have several (ITI TF-3 §4.2.3.2.5).
    pub confidentiality: Vec<CodeRule>,
    /// classCode (ITI TF-3 §4.2.3.2.3).
    pub class: Vec<CodeRule>,
    /// typeCode (ITI TF-3 §4.2.3.2.25).
    pub type_code: Vec<CodeRule>,
}

impl CodeLists {
    fn rows(&self) -> [(&'static str, &[CodeRule]); 3] {
        [
            (scheme::CONFIDENTIALITY_CODE, &self.confidentiality),
            (scheme::CLASS_CODE, &self.class),
            (scheme::TYPE_CODE, &self.type_code),
        ]
    }

    fn is_empty(&self) -> bool {
        self.rows().iter().all(|(_, codes)| codes.is_empty())
    }
}

/// What is shared with a community; everything unless told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// Only documents all of whose codes are in these lists.
    pub allow: CodeLists,
    /// No document with a code in these lists.
    pub deny: CodeLists,
}

impl Shares {
    /// Whether there is no rule.
    pub fn is_everything(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether the rules let a DocumentEntry through. What is no DocumentEntry is not theirs to judge.
    pub fn entry(&self, entry: &RegistryObject<'_>) -> bool {
        let codes = |attribute: &'static str| entry.codes(attribute).collect::<Vec<_>>();
        let allowed =
            self.allow.rows().into_iter().filter(|(_, listed)| !listed.is_empty()).all(|(attribute, listed)| {
                let codes = codes(attribute);
                !codes.is_empty() && codes.iter().all(|code| listed.iter().any(|rule| rule.is(*code)))
            });
        let denied =
            self.deny.rows().into_iter().filter(|(_, listed)| !listed.is_empty()).any(|(attribute, listed)| {
                let codes = codes(attribute);
                codes.is_empty() || codes.iter().any(|code| listed.iter().any(|rule| rule.is(*code)))
            });
        entry.noun() == Noun::DocumentEntry && allowed && !denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::EntryUuid;
    use crate::model::metadata::build::{self, Code};
    use crate::model::rim::ObjectId;

    fn entry(confidentiality: &[&str], type_code: Option<&str>) -> RegistryObject<'static> {
        let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([1; 16])), "text/plain");
        let code = |code: &str| Code { code: code.into(), scheme: "2.999.5".into(), display: code.into() };
        let confidential = confidentiality.iter().map(|c| build::code(scheme::CONFIDENTIALITY_CODE, &code(c)));
        entry.classifications.extend(confidential);
        entry.classifications.extend(type_code.map(|c| build::code(scheme::TYPE_CODE, &code(c))));
        entry
    }

    fn rules(texts: &[&str]) -> Vec<CodeRule> {
        texts.iter().map(|text| CodeRule::parse(text).unwrap()).collect()
    }

    #[test]
    fn everything_is_shared_unless_told() {
        assert!(Shares::default().is_everything());
        assert!(Shares::default().entry(&entry(&[], None)));
    }

    #[test]
    fn all_codes_must_be_allowed_and_none_denied_and_what_is_missing_is_doubt() {
        let allow = |codes: &[&str]| Shares {
            allow: CodeLists { confidentiality: rules(codes), ..CodeLists::default() },
            ..Shares::default()
        };
        let deny = |codes: &[&str]| Shares {
            deny: CodeLists { type_code: rules(codes), ..CodeLists::default() },
            ..Shares::default()
        };
        for (shares, confidentiality, type_code, shared) in [
            (allow(&["N"]), &["N"][..], None, true),
            (allow(&["N"]), &["R"], None, false),
            (allow(&["N"]), &["N", "R"], None, false),
            (allow(&["N", "R"]), &["N", "R"], None, true),
            (allow(&["N"]), &[], None, false),
            (allow(&["N^^2.999.5"]), &["N"], None, true),
            (allow(&["N^^2.999.6"]), &["N"], None, false),
            (deny(&["hiv"]), &["N"], Some("letter"), true),
            (deny(&["hiv"]), &["N"], Some("hiv"), false),
            (deny(&["hiv^^2.999.6"]), &["N"], Some("hiv"), true),
            (deny(&["hiv"]), &["N"], None, false),
        ] {
            assert!(!shares.is_everything());
            assert_eq!(shares.entry(&entry(confidentiality, type_code)), shared, "{shares:?} {confidentiality:?}");
        }
        let other = build::package(ObjectId::Uuid(EntryUuid([2; 16])), crate::model::vocabulary::FOLDER_NODE);
        assert!(!Shares::default().entry(&other), "a package is judged by what is in it");
    }

    #[test]
    fn codes_are_read() {
        for wrong in ["", " ", "^^2.999", "a^2.999", "a^^", "a^^b^c"] {
            assert!(CodeRule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
