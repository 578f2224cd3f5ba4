//! The affinity domain's code lists, in the code file format of the public XDS test tools.
//!
//! `<Codes>` holds one `<CodeType name classScheme>` per coded attribute, each with its
//! `<Code code codingScheme display>` rows, and `<AssigningAuthority id display>` rows. A list
//! that is there restricts its attribute; one that is not leaves it open
//! (ITI TF-2 §3.42.4.1.3.3.3).

use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::model::ids::{EntryUuid, Oid};
use crate::model::vocabulary::scheme;

/// A code file larger than this is a mistake.
const MAX_BYTES: usize = 64 << 20;

/// Name of the list of mimeTypes, which has no classScheme.
pub const MIME_TYPE: &str = "mimeType";

/// Name of the list of languageCodes, which has no classScheme.
pub const LANGUAGE_CODE: &str = "languageCode";

/// The lists that are found by name where the file gives no classScheme.
const SCHEME_OF_NAME: &[(&str, &str)] = &[
    ("classCode", scheme::CLASS_CODE),
    ("confidentialityCode", scheme::CONFIDENTIALITY_CODE),
    ("eventCodeList", scheme::EVENT_CODE),
    ("formatCode", scheme::FORMAT_CODE),
    ("healthcareFacilityTypeCode", scheme::FACILITY_TYPE_CODE),
    ("practiceSettingCode", scheme::PRACTICE_SETTING_CODE),
    ("typeCode", scheme::TYPE_CODE),
    ("contentTypeCode", scheme::CONTENT_TYPE_CODE),
    ("folderCodeList", scheme::FOLDER_CODE),
    ("associationDocumentation", scheme::ASSOCIATION_DOCUMENTATION),
];

/// What is wrong with a code file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct CodeFileError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

#[derive(Debug, Clone)]
struct Entry {
    coding_scheme: String,
    display: Option<String>,
}

/// The code lists of an affinity domain (ITI TF-2 §3.42.4.1.3.3.3).
#[derive(Debug, Clone, Default)]
pub struct CodeSet {
    /// classScheme, or name where there is none → code → its coding schemes.
    lists: HashMap<String, HashMap<String, Vec<Entry>>>,
    authorities: Vec<Oid>,
}

impl CodeSet {
    /// Reads a code file.
    ///
    /// # Errors
    /// The first thing in it that is wrong.
    pub fn parse(xml: &str) -> Result<Self, CodeFileError> {
        if xml.len() > MAX_BYTES {
            return Err(CodeFileError { line: 1, what: format!("the file has more than {MAX_BYTES} bytes") });
        }
        let mut reader = Reader::from_str(xml);
        let mut set = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut list: Option<String> = None;
        let mut seen_root = false;
        loop {
            let start = reader.buffer_position();
            let event = reader.read_event().map_err(|e| fault(xml, reader.error_position(), e.to_string()))?;
            let (element, empty) = match event {
                Event::Start(element) => (element, false),
                Event::Empty(element) => (element, true),
                Event::End(_) => {
                    let name = path.pop();
                    if path.len() == 1 && name.as_deref() == Some("CodeType") {
                        set.close(list.take()).map_err(|what| fault(xml, start, what))?;
                    }
                    continue;
                }
                Event::DocType(_) => return Err(fault(xml, start, "a code file has no DOCTYPE")),
                Event::Eof => break,
                _ => continue,
            };
            let name = element.local_name();
            let name = name.as_ref();
            let step = match (path.len(), list.as_deref(), name) {
                (0, _, "Codes") if !seen_root => {
                    seen_root = true;
                    Ok(())
                }
                (0, ..) => Err("the file is one <Codes> element".to_owned()),
                (1, _, "CodeType") => set.open(&element).map(|key| list = Some(key)),
                (1, _, "AssigningAuthority") => set.authority(&element),
                (2, Some(list), "Code") => set.code(list, &element),
                // Foreign additions to the format are none of our business.
                _ => Ok(()),
            };
            step.map_err(|what| fault(xml, start, what))?;
            if !empty {
                if path.len() >= 16 {
                    return Err(fault(xml, start, "elements are nested too deeply"));
                }
                path.push(name.to_owned());
            } else if path.len() == 1 && name == "CodeType" {
                set.close(list.take()).map_err(|what| fault(xml, start, what))?;
            }
        }
        if !seen_root || !path.is_empty() {
            return Err(fault(xml, xml.len() as u64, "the file ends before </Codes>"));
        }
        Ok(set)
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<String, String> {
        let name = attribute(element, "name")?.filter(|name| !name.is_empty()).ok_or("CodeType needs a name")?;
        let key = match attribute(element, "classScheme")? {
            Some(uuid) if EntryUuid::parse(&uuid).is_ok() => uuid.to_ascii_lowercase(),
            Some(_) => return Err(format!("classScheme of {name} is urn:uuid: and a UUID")),
            None => match SCHEME_OF_NAME.iter().find(|(known, _)| *known == name) {
                Some((_, uuid)) => (*uuid).to_owned(),
                None => name,
            },
        };
        self.lists.entry(key.clone()).or_default();
        Ok(key)
    }

    fn close(&mut self, list: Option<String>) -> Result<(), String> {
        match list {
            // A list without a row would refuse every value, which nobody means.
            Some(key) if self.lists.get(&key).is_none_or(HashMap::is_empty) => {
                Err(format!("CodeType {key} lists no code; leave it out to leave the attribute open"))
            }
            _ => Ok(()),
        }
    }

    fn code(&mut self, list: &str, element: &BytesStart<'_>) -> Result<(), String> {
        let code = attribute(element, "code")?.filter(|code| !code.is_empty()).ok_or("Code needs a code")?;
        let coding_scheme = attribute(element, "codingScheme")?.unwrap_or_default();
        if coding_scheme.is_empty() && list.starts_with("urn:uuid:") {
            return Err(format!("code {code} needs a codingScheme"));
        }
        let entry = Entry { coding_scheme, display: attribute(element, "display")? };
        // RFC 2045 and RFC 5646 compare mimeType and languageCode without regard to case.
        let code = if list.starts_with("urn:uuid:") { code } else { code.to_ascii_lowercase() };
        self.lists.entry(list.to_owned()).or_default().entry(code).or_default().push(entry);
        Ok(())
    }

    fn authority(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let id = attribute(element, "id")?.unwrap_or_default();
        let oid = id.strip_prefix('&').and_then(|rest| rest.strip_suffix("&ISO")).unwrap_or(&id);
        let oid = Oid::parse(oid).map_err(|_| "AssigningAuthority's id is &OID&ISO".to_owned())?;
        if !self.authorities.contains(&oid) {
            self.authorities.push(oid);
        }
        Ok(())
    }

    /// Whether the attribute of that classification scheme is limited to a list.
    pub fn is_restricted(&self, class_scheme: &str) -> bool {
        self.lists.contains_key(class_scheme)
    }

    /// Whether a code may be used in the attribute of that classification scheme; display names
    /// are never compared (ITI TF-2 §3.42.4.1.3.3.3).
    pub fn allows(&self, class_scheme: &str, coding_scheme: &str, code: &str) -> bool {
        self.lists.get(class_scheme).is_none_or(|codes| {
            codes.get(code).is_some_and(|entries| entries.iter().any(|entry| entry.coding_scheme == coding_scheme))
        })
    }

    /// Whether a code is there for the attribute, of that coding scheme or of any; where there is no list each is.
    pub fn has_code(&self, class_scheme: &str, coding_scheme: Option<&str>, code: &str) -> bool {
        let fits = |entry: &Entry| coding_scheme.is_none_or(|scheme| entry.coding_scheme == scheme);
        self.lists.get(class_scheme).is_none_or(|codes| codes.get(code).is_some_and(|found| found.iter().any(fits)))
    }

    /// Whether a mimeType is in the list, if there is one (ITI TF-2 §3.42.4.1.3.3.4).
    pub fn allows_mime_type(&self, mime_type: &str) -> bool {
        self.allows_by_name(MIME_TYPE, mime_type)
    }

    /// Whether a languageCode is in the list, if there is one.
    pub fn allows_language(&self, language: &str) -> bool {
        self.allows_by_name(LANGUAGE_CODE, language)
    }

    fn allows_by_name(&self, name: &str, value: &str) -> bool {
        self.lists.get(name).is_none_or(|codes| codes.contains_key(&value.to_ascii_lowercase()))
    }

    /// The display name that the file gives a code.
    pub fn display(&self, class_scheme: &str, coding_scheme: &str, code: &str) -> Option<&str> {
        let entries = self.lists.get(class_scheme)?.get(code)?;
        entries.iter().find(|entry| entry.coding_scheme == coding_scheme)?.display.as_deref()
    }

    /// The assigning authorities that the file names; whether they are enforced is the
    /// registry's business.
    pub fn assigning_authorities(&self) -> &[Oid] {
        &self.authorities
    }

    /// How many codes there are in all lists.
    pub fn len(&self) -> usize {
        self.lists.values().flat_map(HashMap::values).map(Vec::len).sum()
    }

    /// Whether no attribute is restricted.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    match element.try_get_attribute(name) {
        Ok(None) => Ok(None),
        Ok(Some(attribute)) => attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map(|value| Some(value.trim().to_owned()))
            .map_err(|e| format!("attribute {name}: {e}")),
        Err(e) => Err(e.to_string()),
    }
}

fn fault(xml: &str, at: u64, what: impl Into<String>) -> CodeFileError {
    let at = usize::try_from(at).unwrap_or(usize::MAX).min(xml.len());
    let line = 1 + xml.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    CodeFileError { line, what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"<?xml version="1.0"?>
<!-- ours -->
<Codes>
  <CodeType name="classCode" classScheme="urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a">
    <Code code="REPORT" display="Report" codingScheme="2.999.60.1"/>
    <Code code="REPORT" display="Other report" codingScheme="2.999.60.2"/>
    <Code code="a&amp;b" display="And" codingScheme="2.999.60.1"></Code>
  </CodeType>
  <CodeType name="typeCode"><Code code="T" codingScheme="2.999.60.1"/></CodeType>
  <CodeType name="mimeType"><Code code="text/plain" ext="txt"/></CodeType>
  <AssigningAuthority id="&amp;2.999.50.100&amp;ISO" display="Here"/>
</Codes>"#;

    #[test]
    fn looks_up_by_attribute_scheme_and_code() {
        let codes = CodeSet::parse(FILE).unwrap();
        assert_eq!((codes.len(), codes.is_empty()), (5, false));
        let allowed = |coding_scheme, code| codes.allows(scheme::CLASS_CODE, coding_scheme, code);
        assert!(allowed("2.999.60.1", "REPORT"));
        assert!(allowed("2.999.60.2", "REPORT"));
        assert!(allowed("2.999.60.1", "a&b"));
        assert!(!allowed("2.999.60.2", "a&b"));
        assert!(!allowed("2.999.60.3", "REPORT"));
        assert!(!allowed("2.999.60.1", "report"));
        assert_eq!(codes.display(scheme::CLASS_CODE, "2.999.60.2", "REPORT"), Some("Other report"));
        assert_eq!(codes.assigning_authorities(), [Oid::parse("2.999.50.100").unwrap()]);
    }

    #[test]
    fn lists_inside_of_other_elements_are_none() {
        let list = |inner: &str| {
            let text = format!(
                r#"<Codes><CodeType name="typeCode"><Code code="A" codingScheme="2.999.1"/>{inner}<Code code="B" codingScheme="2.999.1"/></CodeType>{inner}</Codes>"#
            );
            CodeSet::parse(&text).unwrap().len()
        };
        for inner in
            ["", "<x><CodeType/></x>", "<x><CodeType></CodeType></x>", "<x><Code code='C' codingScheme='2.999.1'/></x>"]
        {
            assert_eq!(list(inner), 2, "{inner}");
        }
        let nested = r#"<Codes><CodeType name="typeCode"><CodeType></CodeType><Code code="B" codingScheme="2.999.1"/></CodeType></Codes>"#;
        assert!(CodeSet::parse(nested).unwrap().allows(scheme::TYPE_CODE, "2.999.1", "B"));
    }

    #[test]
    fn what_is_not_listed_is_open() {
        let codes = CodeSet::parse(FILE).unwrap();
        assert!(!codes.is_restricted(scheme::FORMAT_CODE));
        assert!(codes.allows(scheme::FORMAT_CODE, "any", "thing"));
        assert!(codes.is_restricted(scheme::TYPE_CODE), "found by its name");
        assert!(codes.allows_language("en-GB"));
        assert!(codes.allows_mime_type("Text/Plain"));
        assert!(!codes.allows_mime_type("text/goofy"));
        let with_language = FILE.replace("mimeType", "languageCode").replace("text/plain", "en-GB");
        let codes = CodeSet::parse(&with_language).unwrap();
        assert!(codes.allows_language("en-gb") && !codes.allows_language("de"));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let table: &[(&str, &str, usize, &str)] = &[
            ("display=\"Report\" codingScheme=\"2.999.60.1\"", "display=\"Report\"", 5, "needs a codingScheme"),
            ("<Code code=\"T\"", "<Code", 9, "needs a code"),
            ("name=\"typeCode\"", "", 9, "needs a name"),
            ("urn:uuid:41a5887f", "41a5887f", 4, "urn:uuid:"),
            ("&amp;2.999.50.100", "&amp;NS", 11, "&OID&ISO"),
            ("<Code code=\"text/plain\" ext=\"txt\"/>", "", 10, "lists no code"),
            ("<Codes>", "<!DOCTYPE Codes><Codes>", 3, "DOCTYPE"),
            ("<Codes>", "<Kodes>", 3, "<Codes>"),
            ("</Codes>", "", 12, "ends before"),
            ("</CodeType>\n  <CodeType name=\"typeCode\">", "</Codetype>\n  <CodeType name=\"typeCode\">", 8, ""),
            ("code=\"T\"", "code=\"&nope;\"", 9, ""),
        ];
        for (from, to, line, what) in table {
            let error = CodeSet::parse(&FILE.replace(from, to)).expect_err(from);
            assert_eq!(error.line, *line, "{from}: {error}");
            assert!(error.what.contains(what), "{from}: {error}");
        }
        assert!(CodeSet::parse("").is_err());
        assert!(CodeSet::parse(&"<Codes>".repeat(40)).is_err());
        assert!(CodeSet::parse("<Codes></Codes>").unwrap().is_empty());
        for two in ["<Codes/><Codes/>", "<Codes><CodeType name='typeCode'/></Codes>"] {
            assert!(CodeSet::parse(two).is_err(), "{two}");
        }
    }

    #[test]
    fn a_file_is_bounded() {
        let of = |octets: usize| format!("<Codes></Codes>{}", " ".repeat(octets - 15));
        assert!(CodeSet::parse(&of(MAX_BYTES)).is_ok());
        assert!(CodeSet::parse(&of(MAX_BYTES + 1)).unwrap_err().what.contains("bytes"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[<>/a-zCodesTyp&;\"= \n!?-]{0,200}") {
            let _ = CodeSet::parse(&text);
            let _ = CodeSet::parse(&format!("<Codes>{text}</Codes>"));
        }
    }
}
