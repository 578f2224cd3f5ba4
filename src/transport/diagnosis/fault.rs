//! A SOAP fault that a peer answered with, and what it most likely means: stacks say the same thing
//! in many words, and few of them are the cause.

use super::{Step, words};
use crate::wire::soap::Version;
use crate::wire::xml::{Node, Ns};

/// Codes that are looked at.
const MOST_CODES: usize = 6;

/// A fault in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReceivedFault {
    pub version: Version,
    /// Code and subcodes as sent, outermost first.
    pub codes: Vec<String>,
    pub reason: String,
}

impl ReceivedFault {
    /// Reads a fault leniently; nothing if the payload is none.
    pub(super) fn read(payload: Node<'_, '_>) -> Option<Self> {
        let version = match payload.ns() {
            Ns::Soap12 => Version::V12,
            Ns::Soap11 => Version::V11,
            _ => return None,
        };
        if payload.local() != "Fault" {
            return None;
        }
        let child = |name: &str| payload.children().find(|child| child.local() == name);
        let mut codes = Vec::new();
        let mut code = child("Code");
        while let Some(node) = code.filter(|_| codes.len() < MOST_CODES) {
            codes.extend(node.children().find(|child| child.local() == "Value").map(|value| words(&value.text())));
            code = node.children().find(|child| child.local() == "Subcode");
        }
        codes.extend(child("faultcode").map(|code| words(&code.text())));
        let reason = child("Reason").and_then(|reason| reason.children().next()).or_else(|| child("faultstring"));
        Some(Self { version, codes, reason: reason.map(|reason| words(&reason.text())).unwrap_or_default() })
    }

    /// In one line.
    pub(super) fn shown(&self) -> String {
        format!("fault {}: {}", self.codes.join(" / "), self.reason)
    }

    /// What it most likely means.
    pub(super) fn reading(&self) -> &'static Reading {
        let local = |code: &str| code.rsplit([':', '}', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let codes: Vec<String> = self.codes.iter().map(|code| local(code)).collect();
        let reason = self.reason.to_lowercase();
        READINGS
            .iter()
            .find(|reading| {
                let by_code = reading.codes.iter().any(|known| codes.iter().any(|code| code == known));
                by_code || reading.words.iter().any(|known| reason.contains(known))
            })
            .unwrap_or(&UNKNOWN)
    }
}

/// What a fault means.
#[derive(Debug)]
pub(super) struct Reading {
    /// Local names of codes, in lower case.
    codes: &'static [&'static str],
    /// What its reason says, in lower case.
    words: &'static [&'static str],
    /// The step that fails.
    pub step: Step,
    /// The likely cause.
    pub cause: &'static str,
    /// What to do.
    pub fix: &'static str,
}

impl Reading {
    /// Whether it says that answers go elsewhere, to an address.
    pub(super) fn answers_elsewhere(&self) -> bool {
        self.codes.contains(&ELSEWHERE)
    }

    /// Whether it says more than that something went wrong.
    pub(super) fn is_telling(&self) -> bool {
        self.step != Step::Response || self.fix.contains("--assertion")
    }
}

static UNKNOWN: Reading = Reading {
    codes: &[],
    words: &[],
    step: Step::Response,
    cause: "the peer takes our question for wrong",
    fix: "ask its operators for their log at this moment; causeway find --show-wire shows such a question as it is sent",
};

/// The code of those who answer asynchronously only (WS-Addressing SOAP Binding §6.4.1.8).
const ELSEWHERE: &str = "onlynonanonymousaddresssupported";

/// From the most telling to the least: the first that fits counts.
static READINGS: [Reading; 9] = [
    Reading {
        codes: &[ELSEWHERE],
        words: &[],
        step: Step::Addressing,
        cause: "the peer answers asynchronously only: to an address, not on the connection",
        fix: "write exchange = \"asynchronous\" for this [[peer]], and [asynchronous] address for its answers",
    },
    Reading {
        codes: &["versionmismatch"],
        words: &["version mismatch", "soap message namespace", "expected soap 1.1", "envelope namespace"],
        step: Step::Soap,
        cause: "the peer does not speak SOAP 1.2 here, most likely SOAP 1.1 only",
        fix: "ask its operators for an endpoint with SOAP 1.2: the Technical Framework (Appendix V) wants it of every \
              transaction",
    },
    Reading {
        codes: &["actionnotsupported", "actionmismatch", "procedure"],
        words: &[
            "no such operation",
            "operation not found",
            "no operation",
            "cannot find dispatch method",
            "contractfilter mismatch",
            "does not match an operation",
            "unknown action",
            "action not supported",
            "no binding operation",
        ],
        step: Step::Action,
        cause: "the peer does not offer this transaction at this address",
        fix: "check that the path is this actor's: query and retrieve may have addresses of their own; --service \
              names another actor, --only one of the questions",
    },
    Reading {
        codes: &[
            "messageaddressingheaderrequired",
            "messageinformationheaderrequired",
            "invalidaddressingheader",
            "invalidmessageinformationheader",
            "destinationunreachable",
            "endpointunavailable",
            "onlyanonymousaddresssupported",
            "invalidcardinality",
            "invalidaddress",
            "invalidepr",
        ],
        words: &["addressfilter mismatch", "ws-addressing", "addressing header", "message addressing"],
        step: Step::Addressing,
        cause: "the peer does not take our WS-Addressing headers",
        fix: "if it names To, it knows itself by another address: write that one into the URL, or have its operators \
              accept this one; if it names ReplyTo, see whether [[peer]] exchange is what its operators expect",
    },
    Reading {
        codes: &[
            "invalidsecurity",
            "invalidsecuritytoken",
            "failedauthentication",
            "failedcheck",
            "securitytokenunavailable",
            "unsupportedsecuritytoken",
            "unsupportedalgorithm",
            "messageexpired",
            "expired",
            "badcontexttoken",
        ],
        words: &[
            "security header",
            "wsse",
            "ws-security",
            "saml",
            "assertion",
            "unauthori",
            "not authori",
            "access denied",
        ],
        step: Step::Response,
        cause: "the peer wants another security header (XUA) than it was sent",
        fix: "give an assertion that it accepts with --assertion FILE; compare its issuer, audience and validity with \
              what the peer's operators ask for, and both clocks",
    },
    Reading {
        codes: &["mustunderstand"],
        words: &["mustunderstand", "must understand", "not understood"],
        step: Step::Addressing,
        cause: "the peer does not understand a header that it has to, most likely wsa:Action: WS-Addressing is off",
        fix: "ask its operators to turn on WS-Addressing 1.0 at this endpoint",
    },
    Reading {
        codes: &[],
        words: &["content-type", "content type", "mtom", "multipart", "mime", "boundary", "attachment"],
        step: Step::Packaging,
        cause: "the peer does not take the packaging of our question",
        fix: "ask its operators whether MTOM/XOP is on for retrieves and plain SOAP taken for queries (Appendix V.8)",
    },
    Reading {
        codes: &[],
        words: &["timeout", "timed out", "busy", "overload", "too many"],
        step: Step::Response,
        cause: "the peer is busy, or something behind it does not answer",
        fix: "try again later; if it stays so, ask its operators what is behind that endpoint",
    },
    Reading {
        codes: &["receiver", "server"],
        words: &["internal error", "internal server error", "nullpointerexception", "exception"],
        step: Step::Response,
        cause: "the peer took the question and has trouble of its own",
        fix: "ask its operators for their log at this moment",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::soap;
    use crate::wire::xml::{Document, Limits};

    fn read(text: &str) -> ReceivedFault {
        let document = Document::parse(text, Limits::default()).unwrap();
        ReceivedFault::read(soap::read(&document).unwrap().payload).unwrap()
    }

    fn soap11(code: &str, reason: &str) -> String {
        format!(
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><s:Fault><faultcode>{code}\
             </faultcode><faultstring>{reason}</faultstring></s:Fault></s:Body></s:Envelope>"
        )
    }

    #[test]
    fn codes_and_reason_of_both_versions() {
        let fault = soap::Fault::action_not_supported("urn:x", "No.");
        for (version, codes) in [
            (Version::V12, vec!["env:Sender", "wsa:ActionNotSupported"]),
            (Version::V11, vec!["wsa:ActionNotSupported"]),
        ] {
            let text = String::from_utf8(soap::write_fault(version, &fault, None)).unwrap();
            let read = read(&text);
            assert_eq!((read.version, read.reason.as_str()), (version, "No."));
            assert_eq!(read.codes, codes);
        }
    }

    #[test]
    fn faults_are_read_as_what_they_mean() {
        for (code, reason, step) in [
            ("s:VersionMismatch", "x", Step::Soap),
            ("s:Client", "Transport level information does not match with SOAP Message namespace URI", Step::Soap),
            ("wsa:ActionNotSupported", "x", Step::Action),
            ("s:Client", "The endpoint reference (EPR) for the Operation not found is /x", Step::Action),
            ("a:Sender", "The message cannot be processed due to an AddressFilter mismatch", Step::Addressing),
            ("wsa:MessageAddressingHeaderRequired", "x", Step::Addressing),
            ("wsa:OnlyNonAnonymousAddressSupported", "x", Step::Addressing),
            ("s:MustUnderstand", "x", Step::Addressing),
            ("wsse:FailedAuthentication", "x", Step::Response),
            ("s:Client", "An error was discovered processing the &lt;wsse:Security> header", Step::Response),
            ("s:Client", "Couldn't create SOAP message due to exception: Unsupported Content-Type", Step::Packaging),
            ("s:Server", "x", Step::Response),
            ("s:Client", "x", Step::Response),
        ] {
            let fault = read(&soap11(code, reason));
            assert_eq!(fault.reading().step, step, "{code} {reason}");
        }
        let elsewhere = read(&soap11("wsa:OnlyNonAnonymousAddressSupported", "x"));
        assert!(elsewhere.reading().answers_elsewhere() && elsewhere.reading().fix.contains("exchange ="));
        assert!(!read(&soap11("wsa:InvalidAddressingHeader", "x")).reading().answers_elsewhere());
        assert!(read(&soap11("wsse:InvalidSecurity", "x")).reading().fix.contains("--assertion"));
        assert!(read(&soap11("s:Server", "x")).reading().cause.contains("trouble of its own"));
    }
}
