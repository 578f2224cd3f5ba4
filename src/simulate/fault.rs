//! What can go wrong with a community: one table of troubles that gateways must live with.

/// A trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The table says of each what it is.
pub enum Fault {
    Hang,
    CloseAfterHandshake,
    Reset,
    DribbleHead,
    DribbleBody,
    CutHead,
    CutBody,
    ResetBody,
    SilentBody,
    Endless,
    Huge,
    TooShort,
    TooLong,
    Gzip,
    Html,
    Http500,
    Empty,
    Truncated,
    Deep,
    Attributes,
    Namespaces,
    Doctype,
    Encoding,
    Utf8,
    SecondRoot,
    SoapFault,
    Busy,
    Partial,
    UnknownPatient,
    OtherPatient,
    WrongHome,
    NoHome,
    Duplicates,
    SuccessWithErrors,
    Flood,
    OtherDocument,
    WrongBytes,
    MissingDocument,
    Late,
    NotAvailable,
    MoreWanted,
    TwoMatches,
    OtherQuery,
    Expired,
    UnknownIssuer,
    Revoked,
    WrongName,
}

/// What a trouble is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The certificate that is shown.
    Certificate,
    /// The connection, whatever is answered.
    Connection,
    /// The answer's bytes.
    Bytes,
    /// What the answer says.
    Content,
}

/// One row of the table.
#[derive(Debug)]
pub struct FaultRow {
    /// Which.
    pub fault: Fault,
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub kind: Kind,
    /// What the community does.
    pub about: &'static str,
}

macro_rules! faults {
    ($($fault:ident $name:literal $kind:ident $about:literal;)*) => {
        /// All troubles.
        pub static FAULTS: &[FaultRow] =
            &[$(FaultRow { fault: Fault::$fault, name: $name, kind: Kind::$kind, about: $about }),*];
    };
}

faults! {
    Hang "hang" Connection "takes the request and never answers";
    CloseAfterHandshake "close" Connection "closes after the TLS handshake";
    Reset "reset" Connection "resets the connection instead of an answer";
    DribbleHead "dribble-head" Connection "sends an octet a second, from the status line on";
    DribbleBody "dribble-body" Connection "sends an octet a second from the middle of the body on";
    CutHead "cut-head" Connection "closes in the middle of the headers";
    CutBody "cut-body" Connection "closes in the middle of the body";
    ResetBody "reset-body" Connection "resets the connection in the middle of the body";
    SilentBody "silent-body" Connection "sends half of the body and nothing more";
    Endless "endless" Bytes "sends an envelope that does not end";
    Huge "huge" Bytes "announces 10 GiB and begins to send them";
    TooShort "too-short" Bytes "announces more than it sends, and closes";
    TooLong "too-long" Bytes "sends more than it announces";
    Gzip "gzip" Bytes "compresses 4 GiB of blanks into an answer of 4 MiB";
    Html "html" Bytes "answers with a web page";
    Http500 "http-500" Bytes "answers HTTP 500 without a SOAP message";
    Empty "empty" Bytes "answers with nothing";
    Truncated "truncated" Bytes "ends in the middle of an element, as if that were all";
    Deep "deep" Bytes "nests a million elements";
    Attributes "attributes" Bytes "has an element with a million attributes";
    Namespaces "namespaces" Bytes "declares a million namespaces";
    Doctype "doctype" Bytes "has a document type with entities that multiply";
    Encoding "encoding" Bytes "is UTF-16, and says UTF-8";
    Utf8 "utf-8" Bytes "has octets that are no UTF-8";
    SecondRoot "second-root" Bytes "has a second envelope behind the first";
    SoapFault "soap-fault" Bytes "answers with a SOAP fault";
    Busy "busy" Content "answers XDSRegistryBusy, or ResponderBusy";
    Partial "partial" Content "answers PartialSuccess with an error of its own";
    UnknownPatient "unknown-patient" Content "answers XDSUnknownPatientId, or that nobody was found";
    OtherPatient "other-patient" Content "has a document of another patient among the answers";
    WrongHome "wrong-home" Content "names another community as the home of what it holds";
    NoHome "no-home" Content "leaves the homeCommunityId out";
    Duplicates "duplicates" Content "has everything twice";
    SuccessWithErrors "success-with-errors" Content "says Success beside an error";
    Flood "flood" Content "answers with a hundred thousand entries";
    OtherDocument "other-document" Content "delivers a document that was not asked for";
    WrongBytes "wrong-bytes" Content "delivers other bytes than those that were registered";
    MissingDocument "missing-document" Content "says Success and leaves a document out";
    Late "late" Connection "answers ten seconds late";
    NotAvailable "not-available" Content "answers AnswerNotAvailable who a patient is";
    MoreWanted "more-wanted" Content "wants to know more of a patient, and still more";
    TwoMatches "two-matches" Content "knows two patients who may be the one";
    OtherQuery "other-query" Content "answers who a patient is to a query that was not asked";
    Expired "expired" Certificate "shows an expired certificate";
    UnknownIssuer "unknown-issuer" Certificate "shows a certificate of an unknown authority";
    Revoked "revoked" Certificate "shows a revoked certificate";
    WrongName "wrong-name" Certificate "shows a certificate for another name";
}

impl Fault {
    /// Its row; each has one.
    fn row(self) -> Option<&'static FaultRow> {
        FAULTS.iter().find(|row| row.fault == self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// What it is about.
    pub fn kind(self) -> Kind {
        self.row().map_or(Kind::Content, |row| row.kind)
    }

    /// The trouble of that name.
    pub fn parse(name: &str) -> Option<Self> {
        FAULTS.iter().find(|row| row.name == name).map(|row| row.fault)
    }
}

/// A trouble of one community, as the command line says it: `3=hang`, or `3=hang@25%` of its requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trouble {
    /// Which community, counted from 1.
    pub community: u16,
    /// Which trouble.
    pub fault: Fault,
    /// The share of requests that meet it.
    pub share: f64,
}

impl Trouble {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (community, rest) = text
            .split_once('=')
            .ok_or("write NUMBER=TROUBLE, such as 3=hang, or 3=hang@25% for a share of requests")?;
        let community = community.trim().parse().ok().filter(|number| *number > 0);
        let community = community.ok_or("communities are counted from 1")?;
        let (name, share) = rest.split_once('@').unwrap_or((rest, "100%"));
        let fault = Fault::parse(name.trim())
            .ok_or_else(|| format!("no trouble is called {}; --list shows all of them", name.trim()))?;
        let percent = share.trim().strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        let share = percent.ok_or("a share is written as a percentage, such as 25%")? / 100.0;
        Ok(Self { community, fault, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_trouble_has_a_row_and_a_name_of_its_own() {
        let names: HashSet<_> = FAULTS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), FAULTS.len());
        assert_eq!(FAULTS.len(), Fault::WrongName as usize + 1, "a variant without a row");
        for row in FAULTS {
            assert_eq!((Fault::parse(row.name), row.fault.name()), (Some(row.fault), row.name));
        }
    }

    #[test]
    fn troubles_are_read() {
        let hang = Trouble { community: 3, fault: Fault::Hang, share: 1.0 };
        assert_eq!(Trouble::parse("3=hang"), Ok(hang));
        assert_eq!(Trouble::parse("3=hang@25%"), Ok(Trouble { share: 0.25, ..hang }));
        for wrong in ["hang", "0=hang", "x=hang", "3=hung", "3=hang@25", "3=hang@101%"] {
            assert!(Trouble::parse(wrong).is_err(), "{wrong}");
        }
    }
}
