//! HL7 v2 data types as slot values carry them (ITI TF-3 Table 4.2.3.1.7-2).
//!
//! These are judges, not parsers: a broker stores what it got and hands it on unchanged, so all
//! it needs to know is whether a value keeps the rules, and which rule it breaks.

use std::borrow::Cow;

use super::ids::{PatientId, is_oid};

/// Resolves the escape sequences `\F\ \S\ \T\ \R\ \E\` of a component; an unknown one stays.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let literal = match tail.as_bytes().get(1..3) {
            Some(b"F\\") => '|',
            Some(b"S\\") => '^',
            Some(b"T\\") => '&',
            Some(b"R\\") => '~',
            Some(b"E\\") => '\\',
            _ => {
                out.push('\\');
                rest = &tail[1..];
                continue;
            }
        };
        out.push(literal);
        rest = &tail[3..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Writes delimiters of a component as escape sequences.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['|', '^', '&', '~', '\\']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\\' => out.push_str("\\E\\"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The rule a value breaks, in one sentence; `Ok` when it keeps all.
pub type Verdict = Result<(), &'static str>;

fn component<'a>(components: &[&'a str], number: usize) -> &'a str {
    components.get(number - 1).copied().unwrap_or("")
}

fn iso_authority(text: &str, rule: &'static str) -> Verdict {
    let mut parts = text.split('&');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(""), Some(oid), Some("ISO"), None) if is_oid(oid) => Ok(()),
        _ => Err(rule),
    }
}

/// CX: `id^^^&OID&ISO`.
pub fn cx(text: &str) -> Verdict {
    PatientId::parse(text).map(|_| ()).map_err(|e| e.why)
}

/// CXi of referenceIdList: `id^^^authority^typeCode`.
pub fn cxi(text: &str) -> Verdict {
    let components: Vec<&str> = text.split('^').collect();
    if component(&components, 1).is_empty() {
        return Err("CXi.1, the identifier, is required");
    }
    if !component(&components, 2).is_empty() || !component(&components, 3).is_empty() {
        return Err("CXi.2 and CXi.3 are empty");
    }
    if component(&components, 5).is_empty() {
        return Err("CXi.5, the type code, is required");
    }
    // CXi.6 as a home community (CP-1292) is accepted: IPF writes it.
    if components.iter().skip(6).any(|c| !c.is_empty()) {
        return Err("components after CXi.6 are forbidden");
    }
    let authority = component(&components, 4);
    if authority.contains('&') {
        iso_authority(authority, "CXi.4 is a namespace or &OID&ISO")?;
    }
    Ok(())
}

/// XCN: a person or a device; an id (XCN.1) or a family name (XCN.2) is required.
pub fn xcn(text: &str) -> Verdict {
    let components: Vec<&str> = text.split('^').collect();
    let (id, family) = (component(&components, 1), component(&components, 2));
    if id.is_empty() && family.is_empty() {
        return Err("XCN.1, an id, or XCN.2, a family name, is required");
    }
    let authority = component(&components, 9);
    if !authority.is_empty() {
        if id.is_empty() {
            return Err("XCN.9, the assigning authority, needs an id in XCN.1");
        }
        iso_authority(authority, "XCN.9 has the form &OID&ISO")?;
    }
    Ok(())
}

/// XON: an organisation; its name (XON.1) is required.
pub fn xon(text: &str) -> Verdict {
    let components: Vec<&str> = text.split('^').collect();
    if component(&components, 1).is_empty() {
        return Err("XON.1, the organisation's name, is required");
    }
    if (2..=5).chain(7..=9).any(|n| !component(&components, n).is_empty())
        || components.iter().skip(10).any(|c| !c.is_empty())
    {
        return Err("only XON.1, XON.6 and XON.10 are allowed");
    }
    let (authority, id) = (component(&components, 6), component(&components, 10));
    if !authority.is_empty() {
        iso_authority(authority, "XON.6 has the form &OID&ISO")?;
    } else if !id.is_empty() && !is_oid(id) {
        return Err("XON.10 that is no OID needs its authority in XON.6");
    }
    Ok(())
}

/// XTN: an e-mail address or a telephone number.
pub fn xtn(text: &str) -> Verdict {
    let components: Vec<&str> = text.split('^').collect();
    match component(&components, 3) {
        "Internet" => {
            if component(&components, 4).is_empty() {
                return Err("XTN.4, the address, is required for Internet");
            }
            Ok(())
        }
        "PH" | "CP" | "FX" | "MD" | "TDD" | "TTY" => {
            if component(&components, 7).is_empty() && component(&components, 12).is_empty() {
                return Err("XTN.7, the number, is required for a telephone");
            }
            Ok(())
        }
        _ => Err("XTN.3 is Internet, PH or CP"),
    }
}

/// intendedRecipient: `XON|XCN|XTN`, at least one part.
pub fn recipient(text: &str) -> Verdict {
    let parts: Vec<&str> = text.split('|').collect();
    if parts.len() > 3 {
        return Err("at most three parts: organisation|person|telecom");
    }
    let judges: [fn(&str) -> Verdict; 3] = [xon, xcn, xtn];
    let mut seen = false;
    for (part, judge) in parts.iter().zip(judges) {
        if !part.is_empty() {
            judge(part)?;
            seen = true;
        }
    }
    if seen { Ok(()) } else { Err("one of organisation|person|telecom is required") }
}

/// sourcePatientInfo: `PID-n|data`.
pub fn source_patient_info(text: &str) -> Verdict {
    let Some(rest) = text.strip_prefix("PID-") else {
        return Err("it starts with PID-, the field's number and a bar");
    };
    let Some((number, data)) = rest.split_once('|') else {
        return Err("a bar follows PID- and the field's number");
    };
    match number.parse::<u8>() {
        Ok(1..=39) if !number.starts_with(['0', '+']) => {}
        _ => return Err("the PID field's number is 1 to 39"),
    }
    if number == "3" && !data.is_empty() {
        for repetition in data.split('~').filter(|r| !r.is_empty()) {
            // The framework asks for CX here, yet a broker must not stop a document for a local
            // number that it never acts on: only its presence is judged.
            if repetition.starts_with('^') {
                return Err("PID-3 has an identifier in its first component");
            }
        }
    }
    Ok(())
}

/// languageCode: RFC 5646 in its outer shape.
pub fn language(text: &str) -> Verdict {
    let mut subtags = text.split('-');
    let first = subtags.next().unwrap_or_default();
    let good = (1..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
    if good { Ok(()) } else { Err("a language tag such as en-GB (RFC 5646)") }
}

/// hash: SHA-1 in forty hexadecimal digits.
pub fn sha1(text: &str) -> Verdict {
    if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(())
    } else {
        Err("forty hexadecimal digits (SHA-1)")
    }
}

/// size: octets, digits only.
pub fn size(text: &str) -> Verdict {
    if !text.is_empty() && text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err("a number of octets, digits only")
    }
}

/// mimeType: `type/subtype` (RFC 2046).
pub fn mime(text: &str) -> Verdict {
    // RFC 6838 §4.2 ends each name at 127.
    let token = |s: &str| {
        (1..=127).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match text.split_once('/') {
        Some((kind, sub)) if token(kind) && token(sub) => Ok(()),
        _ => Err("type/subtype (RFC 2046)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (fn(&str) -> Verdict, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn vectors() {
        let table: &[Case] = &[
            (
                xcn,
                &[
                    "^Okafor",
                    "^Okafor^Nneka^^^Dr^MD",
                    "40217^Okafor^Nneka^Ada^III^Dr^^^&2.999.50.8&ISO",
                    "2.999.50.8.40217^Okafor",
                    "40217^^^^^^^^&2.999.50.8&ISO",
                ],
                &["^^Nneka", "^^^^^^^^&2.999.1&ISO", "", "1^A^^^^^^^NS&2.999&ISO"],
            ),
            (
                xon,
                &["Harbour Clinic", "Harbour Clinic^^^^^&2.999.9&ISO^^^^45", "North^^^^^^^^^2.999.9"],
                &["Harbour Clinic^^^^^^^^^45", "^^^^^^^^^2.999.9", "A^B"],
            ),
            (
                xtn,
                &["^^Internet^a@example.org", "^WPN^PH^^^^+47 55 00 11 22"],
                &["a@example.org", "^^Internet", "^^PH"],
            ),
            (recipient, &["||^^Internet^dr.x@example.org", "Clinic|^Okafor"], &["||", "", "a|b^c|d|e"]),
            (
                cxi,
                &[
                    "ACC-77^^^&2.999.6&ISO^urn:ihe:iti:xds:2013:accession",
                    "1.2.3^^^^urn:ihe:iti:xdw:2013:workflowInstanceId",
                ],
                &["ACC-77^^^&2.999.6&ISO", "^^^x^y"],
            ),
            (
                source_patient_info,
                &["PID-5|Osei^Ama", "PID-7|", "PID-12|GB"],
                &["PID-0|x", "PID-40|x", "PID-+5|x", "PV1-3|x", "PID-5"],
            ),
            (language, &["en", "en-GB", "de-CH-1996"], &["", "en_GB", "toolonglang", "en-"]),
            (
                mime,
                &["text/plain", "application/hl7-v3+xml", "text/goofy"],
                &["text", "text/", "/x", "text/plain; charset=utf-8"],
            ),
            (
                sha1,
                &["da39a3ee5e6b4b0d3255bfef95601890afd80709"],
                &["da39", "zz39a3ee5e6b4b0d3255bfef95601890afd80709"],
            ),
        ];
        for (judge, good, bad) in table {
            for text in *good {
                assert_eq!(judge(text), Ok(()), "{text}");
            }
            for text in *bad {
                assert!(judge(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn escapes_round_trip() {
        let text = r"a|b^c&d~e\f";
        assert_eq!(unescape(&escape(text)), text);
        assert_eq!(unescape(r"\H\x\"), r"\H\x\");
    }
}
