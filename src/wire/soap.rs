//! SOAP 1.2 envelopes (1.1 tolerated on input), WS-Addressing 1.0, faults (ITI TF-2 Appendix V).

use std::borrow::Cow;

use super::saml;
use super::xdr;
use super::xml::{Document, Node, Ns, XmlError, push_attr, push_text};
use crate::model::emergency::EmergencyClaim;
use crate::model::vocabulary::ns;

/// The anonymous endpoint: the answer goes back on the same connection.
pub const ANONYMOUS: &str = "http://www.w3.org/2005/08/addressing/anonymous";
/// The endpoint that wants no answer.
pub const NO_REPLY: &str = "http://www.w3.org/2005/08/addressing/none";
/// WS-Addressing before it was a standard: recognised, to tell what to do instead.
const DRAFT_ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
const FAULT_ACTION: &str = "http://www.w3.org/2005/08/addressing/fault";
const SOAP_FAULT_ACTION: &str = "http://www.w3.org/2005/08/addressing/soap/fault";

/// Which SOAP a message speaks; an answer speaks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.2, the framework's.
    V12,
    /// 1.1, of legacy systems.
    V11,
}

impl Version {
    fn ns(self) -> &'static str {
        match self {
            Self::V12 => ns::SOAP12,
            Self::V11 => ns::SOAP11,
        }
    }

    /// The media type of a simple message.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::V12 => "application/soap+xml",
            Self::V11 => "text/xml",
        }
    }
}

/// SOAP 1.2 fault codes (SOAP 1.2 Part 1 §5.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// The request is wrong.
    Sender,
    /// The server has trouble.
    Receiver,
    /// A mandatory header is not understood.
    MustUnderstand,
    /// The envelope is of another SOAP version.
    VersionMismatch,
}

/// What a WS-Addressing fault points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A header that is missing or wrong, such as `wsa:Action`.
    Header(&'static str),
    /// An action that is not supported here.
    Action(String),
    /// An address that cannot be used.
    Iri(String),
}

/// A SOAP fault: for what is no answerable request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SOAP fault {code:?}: {reason}")]
pub struct Fault {
    /// Whose fault.
    pub code: FaultCode,
    /// Subcodes from outer to inner, such as `wsa:ActionNotSupported`.
    pub subcodes: Vec<&'static str>,
    /// What is wrong, where, and what to do.
    pub reason: String,
    /// What it points at.
    pub problem: Option<Problem>,
    /// Headers that were not understood: namespace, name.
    pub not_understood: Vec<(String, String)>,
    /// The HTTP status, where the usual one is wrong.
    pub status: Option<u16>,
}

impl Fault {
    /// A plain fault.
    pub fn new(code: FaultCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            subcodes: Vec::new(),
            reason: reason.into(),
            problem: None,
            not_understood: Vec::new(),
            status: None,
        }
    }

    /// The sender's fault.
    pub fn sender(reason: impl Into<String>) -> Self {
        Self::new(FaultCode::Sender, reason)
    }

    /// Ours.
    pub fn receiver(reason: impl Into<String>) -> Self {
        Self::new(FaultCode::Receiver, reason)
    }

    /// The same under another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    fn addressing(subcodes: &[&'static str], problem: Problem, reason: impl Into<String>) -> Self {
        Self { subcodes: subcodes.to_vec(), problem: Some(problem), ..Self::sender(reason) }
    }

    /// `wsa:OnlyAnonymousAddressSupported`: answers are given on the same connection only.
    pub fn only_anonymous() -> Self {
        Self::addressing(
            &["wsa:InvalidAddressingHeader", "wsa:OnlyAnonymousAddressSupported"],
            Problem::Header("wsa:ReplyTo"),
            "Answers are given on the same connection only: leave wsa:ReplyTo out or make it anonymous.",
        )
    }

    /// `wsa:DestinationUnreachable`: an address that is not called from here.
    pub fn unreachable(address: &str) -> Self {
        Self::addressing(
            &["wsa:DestinationUnreachable"],
            Problem::Iri(address.to_owned()),
            "Answers are sent to addresses that the operator of this server has listed, and this is none of them.",
        )
    }

    /// `wsa:EndpointUnavailable`: too much is under way.
    pub fn endpoint_unavailable(reason: impl Into<String>) -> Self {
        Self { subcodes: vec!["wsa:EndpointUnavailable"], ..Self::receiver(reason) }.with_status(503)
    }

    /// An answer that is no answer to anything, or not any more.
    pub fn not_awaited() -> Self {
        Self::addressing(
            &["wsa:InvalidAddressingHeader"],
            Problem::Header("wsa:RelatesTo"),
            "No request with this id waits for an answer: it was answered, or its time is up.",
        )
    }

    /// The `wsa:Action` of a message with this fault.
    pub fn action(&self) -> &'static str {
        if self.subcodes.first().is_some_and(|code| code.starts_with("wsa:")) {
            FAULT_ACTION
        } else {
            SOAP_FAULT_ACTION
        }
    }

    /// `wsa:ActionNotSupported`.
    pub fn action_not_supported(action: &str, reason: impl Into<String>) -> Self {
        Self::addressing(&["wsa:ActionNotSupported"], Problem::Action(action.to_owned()), reason)
    }

    /// The HTTP status of the fault (SOAP 1.2 Part 2 Table 17).
    pub fn http_status(&self, version: Version) -> u16 {
        match (self.status, version, self.code) {
            (Some(status), ..) => status,
            (None, Version::V12, FaultCode::Sender) => 400,
            _ => 500,
        }
    }
}

impl From<XmlError> for Fault {
    fn from(error: XmlError) -> Self {
        Self::sender(format!("The message is not acceptable XML: {error}."))
    }
}

/// The WS-Addressing headers of a message (ITI TF-2 §V.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addressing {
    /// `wsa:Action`
    pub action: Option<String>,
    /// `wsa:MessageID`
    pub message_id: Option<String>,
    /// `wsa:To`
    pub to: Option<String>,
    /// `wsa:ReplyTo/wsa:Address`
    pub reply_to: Option<String>,
    /// `wsa:FaultTo/wsa:Address`
    pub fault_to: Option<String>,
    /// `wsa:RelatesTo`
    pub relates_to: Option<String>,
    /// `wsa:ReplyTo/wsa:ReferenceParameters`, as header blocks of the answer.
    pub reply_parameters: Option<String>,
    /// `wsa:FaultTo/wsa:ReferenceParameters`, as header blocks of the fault.
    pub fault_parameters: Option<String>,
    /// Header blocks that the receiver wants to see again (WS-Addressing 1.0 SOAP Binding §3.3).
    pub parameters: Option<String>,
    /// Written without mustUnderstand, for a receiver that chokes on it.
    pub unmarked: bool,
}

/// A trace (W3C Trace Context) as header blocks name it: unread, and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHeader {
    /// `traceparent`
    pub parent: String,
    /// `tracestate`
    pub state: Option<String>,
}

/// Where an answer goes (WS-Addressing 1.0 Core §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyTo<'a> {
    /// Back on the same connection.
    Here,
    /// Nowhere: none is wanted.
    Nowhere,
    /// To that address, on a connection of ours.
    Address(&'a str),
}

/// A parsed envelope.
pub struct Envelope<'d, 'a> {
    /// Its SOAP version.
    pub version: Version,
    /// Its addressing headers.
    pub addressing: Addressing,
    /// `wsse:Security`, byte for byte with its namespaces; read and verified elsewhere.
    pub security: Option<String>,
    /// Whether that says that it is an emergency.
    pub emergency: EmergencyClaim,
    /// `xcpd:CorrelationTimeToLive` (ITI TF-2 §3.55.4.1.2).
    pub correlation_ttl: Option<String>,
    /// The trace that the message says it belongs to.
    pub trace: Option<TraceHeader>,
    /// What `xdr:homeCommunityBlock`s name (Cross-Community Document Reliable Interchange §3.80.4.1.2).
    pub home_blocks: Vec<String>,
    /// The one element in the Body.
    pub payload: Node<'d, 'a>,
}

fn is_true(value: &str) -> bool {
    matches!(value.trim(), "true" | "1")
}

/// The version of a message, known before anything else of it is judged, so that a fault can
/// speak the sender's language.
pub fn version(document: &Document<'_>) -> Version {
    if document.root().ns() == Ns::Soap11 { Version::V11 } else { Version::V12 }
}

/// The message's id, wherever it can still be made out: a fault relates to it.
pub fn message_id(document: &Document<'_>) -> Option<String> {
    addressing_text(document, "MessageID")
}

/// The message's action, wherever it can still be made out: audit says what was attempted.
pub fn action(document: &Document<'_>) -> Option<String> {
    addressing_text(document, "Action")
}

fn addressing_text(document: &Document<'_>, name: &str) -> Option<String> {
    let header = document.root().children().find(|child| child.local() == "Header")?;
    header.child(Ns::Wsa, name).and_then(text)
}

fn once<'d, 'a>(header: Node<'d, 'a>, name: &'static str, qname: &'static str) -> Result<Option<Node<'d, 'a>>, Fault> {
    let mut found = header.children().filter(|node| node.is(Ns::Wsa, name));
    let first = found.next();
    if found.next().is_some() {
        return Err(Fault::addressing(
            &["wsa:InvalidAddressingHeader", "wsa:InvalidCardinality"],
            Problem::Header(qname),
            format!("{qname} is there more than once."),
        ));
    }
    Ok(first)
}

fn text(node: Node<'_, '_>) -> Option<String> {
    Some(node.text_ref().trim().to_owned()).filter(|text| !text.is_empty())
}

/// Reference parameters of one endpoint take so many bytes at most.
const MAX_PARAMETERS: usize = 16 * 1024;

/// An endpoint's reference parameters as the header blocks that a message to it carries: each marked as
/// what it is (WS-Addressing 1.0 SOAP Binding §3.3).
fn parameters(endpoint: Node<'_, '_>, qname: &'static str) -> Result<Option<String>, Fault> {
    let Some(parameters) = endpoint.child(Ns::Wsa, "ReferenceParameters") else { return Ok(None) };
    let invalid = |reason: &str| {
        Fault::addressing(
            &["wsa:InvalidAddressingHeader", "wsa:InvalidEPR"],
            Problem::Header(qname),
            format!("The wsa:ReferenceParameters of {qname} {reason}."),
        )
    };
    let mut out = String::new();
    for block in parameters.children() {
        // What means something to whoever reads our answer is for us alone to say.
        if matches!(block.ns(), Ns::Soap12 | Ns::Soap11 | Ns::Wsa | Ns::Wsse) {
            return Err(invalid("hold a header of SOAP, WS-Addressing or WS-Security"));
        }
        let fragment = block.fragment();
        if fragment.len() > MAX_PARAMETERS - out.len() {
            return Err(invalid("are too long"));
        }
        if block.attr_ns(Ns::Wsa, "IsReferenceParameter").is_some() {
            out.push_str(&fragment);
            continue;
        }
        if fragment.contains("xmlns:wsaparam") {
            return Err(invalid("declare the prefix that marks them"));
        }
        let name_ends = fragment.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(0);
        let (name, rest) = fragment.split_at(name_ends);
        // A prefix of its own: the block may have given ours another meaning.
        out.push_str(&format!("{name} xmlns:wsaparam=\"{}\" wsaparam:IsReferenceParameter=\"true\"{rest}", ns::WSA));
    }
    Ok(Some(out).filter(|out| !out.is_empty()))
}

type Endpoint = (Option<String>, Option<String>);

fn endpoint(header: Node<'_, '_>, name: &'static str, qname: &'static str) -> Result<Endpoint, Fault> {
    let Some(node) = once(header, name, qname)? else {
        return Ok((None, None));
    };
    let address = node.child(Ns::Wsa, "Address").and_then(text).ok_or_else(|| {
        Fault::addressing(
            &["wsa:InvalidAddressingHeader", "wsa:MissingAddressInEPR"],
            Problem::Header(qname),
            format!("{qname} has no wsa:Address."),
        )
    })?;
    let absolute = address == ANONYMOUS
        || address == NO_REPLY
        || address.starts_with("http://")
        || address.starts_with("https://");
    if !absolute {
        return Err(Fault::addressing(
            &["wsa:InvalidAddressingHeader", "wsa:InvalidAddress"],
            Problem::Header(qname),
            format!("{qname} is no absolute http or https address."),
        ));
    }
    Ok((Some(address), parameters(node, qname)?))
}

fn read_addressing(header: Node<'_, '_>) -> Result<Addressing, Fault> {
    let (reply_to, reply_parameters) = endpoint(header, "ReplyTo", "wsa:ReplyTo")?;
    let (fault_to, fault_parameters) = endpoint(header, "FaultTo", "wsa:FaultTo")?;
    once(header, "From", "wsa:From")?;
    Ok(Addressing {
        action: once(header, "Action", "wsa:Action")?.and_then(text),
        message_id: once(header, "MessageID", "wsa:MessageID")?.and_then(text),
        to: once(header, "To", "wsa:To")?.and_then(text),
        reply_to,
        fault_to,
        relates_to: header.child(Ns::Wsa, "RelatesTo").and_then(text),
        reply_parameters,
        fault_parameters,
        parameters: None,
        unmarked: false,
    })
}

/// Bytes of a trace's header block that are looked at.
const LONGEST_TRACE: usize = 512;

/// The trace in the headers; of equal blocks the first counts. There is no rule for SOAP, so none of this
/// is ever a fault.
fn read_trace(header: Node<'_, '_>) -> Option<TraceHeader> {
    let block = |name: &str| {
        let found = header.children().find(|block| block.uri() == ns::TRACE && block.local() == name)?;
        text(found).filter(|text| text.len() <= LONGEST_TRACE)
    };
    Some(TraceHeader { parent: block("traceparent")?, state: block("tracestate") })
}

/// Whether a header block is for us (SOAP 1.2 Part 1 §2.2).
fn targets_us(node: Node<'_, '_>, version: Version) -> bool {
    let role = match version {
        Version::V12 => node.attr_ns(Ns::Soap12, "role"),
        Version::V11 => node.attr_ns(Ns::Soap11, "actor"),
    };
    match role.as_deref().map(str::trim) {
        None | Some("") => true,
        Some(role) => {
            role == "http://www.w3.org/2003/05/soap-envelope/role/next"
                || role == "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver"
                || role == "http://schemas.xmlsoap.org/soap/actor/next"
        }
    }
}

/// Reads an envelope whose XML is already accepted.
///
/// # Errors
/// The fault to answer with.
pub fn read<'d, 'a>(document: &'d Document<'a>) -> Result<Envelope<'d, 'a>, Fault> {
    let root = document.root();
    let version = match (root.ns(), root.local()) {
        (Ns::Soap12, "Envelope") => Version::V12,
        (Ns::Soap11, "Envelope") => Version::V11,
        (_, "Envelope") => {
            return Err(Fault::new(
                FaultCode::VersionMismatch,
                "The envelope is of no SOAP version spoken here: use SOAP 1.2, http://www.w3.org/2003/05/soap-envelope.",
            ));
        }
        _ => return Err(Fault::sender("The message is no SOAP envelope: the root element is env:Envelope.")),
    };
    let own = root.ns();
    let (mut header, mut body) = (None, None);
    for child in root.children() {
        match child.local() {
            "Header" if child.ns() == own && header.is_none() && body.is_none() => header = Some(child),
            "Body" if child.ns() == own && body.is_none() => body = Some(child),
            _ => return Err(Fault::sender("The envelope holds one env:Header and then one env:Body, nothing else.")),
        }
    }
    let body = body.ok_or_else(|| Fault::sender("The envelope has no env:Body."))?;
    let mut payloads = body.children();
    let payload = match (payloads.next(), payloads.next()) {
        (Some(payload), None) => payload,
        (None, _) => return Err(Fault::sender("The env:Body is empty.")),
        _ => return Err(Fault::sender("The env:Body holds more than one element.")),
    };
    let (mut addressing, mut security, mut correlation_ttl) = (Addressing::default(), None, None);
    let (trace, mut emergency) = (header.and_then(read_trace), EmergencyClaim::No);
    let mut home_blocks = Vec::new();
    if let Some(header) = header {
        let mut not_understood = Vec::new();
        for block in header.children().filter(|block| targets_us(*block, version)) {
            // What we act on, or know to be harmless (E12).
            let understood =
                matches!(block.ns(), Ns::Wsa | Ns::Wsse | Ns::Xcpd | Ns::Xdr | Ns::Direct) || block.uri() == ns::TRACE;
            let mandatory = block.attr_ns(own, "mustUnderstand").is_some_and(|value| is_true(&value));
            if mandatory && !understood {
                not_understood.push((block.uri().to_owned(), block.local().to_owned()));
            }
            if block.is(Ns::Xcpd, "CorrelationTimeToLive") {
                correlation_ttl = text(block);
            }
            home_blocks.extend(xdr::home(block));
            if block.is(Ns::Wsse, "Security") {
                if security.is_some() {
                    return Err(Fault {
                        subcodes: vec!["wsse:InvalidSecurity"],
                        ..Fault::sender("There is more than one wsse:Security header for this receiver.")
                    });
                }
                security = Some(block.fragment());
                emergency = saml::emergency_claim(block);
            }
        }
        if !not_understood.is_empty() {
            let reason = match not_understood.iter().any(|(uri, _)| uri == DRAFT_ADDRESSING) {
                true => "A draft of WS-Addressing is not understood here: use http://www.w3.org/2005/08/addressing.",
                false => "A header that must be understood is not understood here.",
            };
            return Err(Fault { not_understood, ..Fault::new(FaultCode::MustUnderstand, reason) });
        }
        addressing = read_addressing(header)?;
    }
    Ok(Envelope { version, addressing, security, emergency, correlation_ttl, trace, home_blocks, payload })
}

impl Addressing {
    /// Checks what a server demands of a request and gives its action (table 3.4 of the
    /// framework's Appendix V reading).
    ///
    /// # Errors
    /// The WS-Addressing fault.
    pub fn required_action(&self) -> Result<&str, Fault> {
        let Some(action) = self.action.as_deref() else {
            return Err(Fault::addressing(
                &["wsa:MessageAddressingHeaderRequired"],
                Problem::Header("wsa:Action"),
                "wsa:Action is required: it names the transaction. Its namespace is http://www.w3.org/2005/08/addressing.",
            ));
        };
        Ok(action)
    }

    /// Where the answer is to go.
    ///
    /// # Errors
    /// The fault for an answer that could not be told from others there.
    pub fn answer_goes(&self) -> Result<ReplyTo<'_>, Fault> {
        match self.reply_to.as_deref() {
            None | Some(ANONYMOUS) => Ok(ReplyTo::Here),
            Some(NO_REPLY) => Ok(ReplyTo::Nowhere),
            Some(_) if self.message_id.is_none() => Err(Fault::addressing(
                &["wsa:MessageAddressingHeaderRequired"],
                Problem::Header("wsa:MessageID"),
                "wsa:MessageID is required when the answer goes elsewhere.",
            )),
            Some(address) => Ok(ReplyTo::Address(address)),
        }
    }

    /// Where a fault is to go, if that is said.
    pub fn faults_go(&self) -> Option<ReplyTo<'_>> {
        Some(match self.fault_to.as_deref()? {
            ANONYMOUS => ReplyTo::Here,
            NO_REPLY => ReplyTo::Nowhere,
            address => ReplyTo::Address(address),
        })
    }
}

/// Starts an envelope with its headers, up to the opened Body; `security` may be any header block,
/// and is written as it is.
pub fn write_start(out: &mut Vec<u8>, version: Version, addressing: &Addressing, security: Option<&str>) {
    out.extend_from_slice(
        format!("<env:Envelope xmlns:env=\"{}\" xmlns:wsa=\"{}\"><env:Header>", version.ns(), ns::WSA).as_bytes(),
    );
    if let Some(action) = &addressing.action {
        out.extend_from_slice(match (addressing.unmarked, version) {
            (true, _) => b"<wsa:Action>",
            (false, Version::V12) => b"<wsa:Action env:mustUnderstand=\"true\">",
            (false, Version::V11) => b"<wsa:Action env:mustUnderstand=\"1\">".as_slice(),
        });
        push_text(out, action);
        out.extend_from_slice(b"</wsa:Action>");
    }
    let mut header = |name: &str, value: Option<&String>, address: bool| {
        if let Some(value) = value {
            let (open, close) = if address { ("<wsa:Address>", "</wsa:Address>") } else { ("", "") };
            out.extend_from_slice(format!("<wsa:{name}>{open}").as_bytes());
            push_text(out, value);
            out.extend_from_slice(format!("{close}</wsa:{name}>").as_bytes());
        }
    };
    header("MessageID", addressing.message_id.as_ref(), false);
    header("RelatesTo", addressing.relates_to.as_ref(), false);
    header("ReplyTo", addressing.reply_to.as_ref(), true);
    header("To", addressing.to.as_ref(), false);
    if let Some(parameters) = &addressing.parameters {
        out.extend_from_slice(parameters.as_bytes());
    }
    if let Some(security) = security {
        out.extend_from_slice(security.as_bytes());
    }
    out.extend_from_slice(b"</env:Header><env:Body>");
}

/// What opens the headers that [`write_start`] writes.
const HEADERS: &[u8] = b"<env:Header>";

/// Puts a trace before the other headers of an envelope that [`write_start`] began: two blocks as the
/// OpenTelemetry of WCF has them, which nobody must understand.
pub fn put_trace(envelope: &mut Vec<u8>, trace: &TraceHeader) {
    let Some(at) = envelope.windows(HEADERS.len()).position(|bytes| bytes == HEADERS) else { return };
    let mut blocks = Vec::new();
    let mut block = |name: &str, value: &str| {
        blocks.extend_from_slice(format!("<tc:{name} xmlns:tc=\"{}\">", ns::TRACE).as_bytes());
        push_text(&mut blocks, value);
        blocks.extend_from_slice(format!("</tc:{name}>").as_bytes());
    };
    block("traceparent", &trace.parent);
    if let Some(state) = &trace.state {
        block("tracestate", state);
    }
    let at = at + HEADERS.len();
    envelope.splice(at..at, blocks);
}

/// Ends what [`write_start`] began.
pub fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</env:Body></env:Envelope>");
}

/// A fresh `urn:uuid:` for wsa:MessageID.
pub fn new_message_id() -> String {
    uuid::Uuid::new_v4().urn().to_string()
}

/// Writes a whole fault message.
pub fn write_fault(version: Version, fault: &Fault, relates_to: Option<&str>) -> Vec<u8> {
    let addressing = Addressing { relates_to: relates_to.map(str::to_owned), ..Addressing::default() };
    write_fault_with(version, fault, &addressing)
}

/// The same with more addressing headers; the action is the fault's.
pub fn write_fault_with(version: Version, fault: &Fault, addressing: &Addressing) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(
        format!(
            "<env:Envelope xmlns:env=\"{}\" xmlns:wsa=\"{}\" xmlns:wsse=\"{}\"><env:Header><wsa:Action>",
            version.ns(),
            ns::WSA,
            ns::WSSE
        )
        .as_bytes(),
    );
    out.extend_from_slice(fault.action().as_bytes());
    out.extend_from_slice(b"</wsa:Action>");
    for (name, value) in
        [("MessageID", &addressing.message_id), ("RelatesTo", &addressing.relates_to), ("To", &addressing.to)]
    {
        if let Some(value) = value {
            out.extend_from_slice(format!("<wsa:{name}>").as_bytes());
            push_text(&mut out, value);
            out.extend_from_slice(format!("</wsa:{name}>").as_bytes());
        }
    }
    if let Some(parameters) = &addressing.parameters {
        out.extend_from_slice(parameters.as_bytes());
    }
    if version == Version::V12 {
        for (uri, local) in &fault.not_understood {
            out.extend_from_slice(b"<env:NotUnderstood xmlns:nu=\"");
            push_attr(&mut out, uri);
            out.extend_from_slice(b"\" qname=\"nu:");
            push_attr(&mut out, local);
            out.extend_from_slice(b"\"/>");
        }
        if fault.code == FaultCode::VersionMismatch {
            out.extend_from_slice(b"<env:Upgrade><env:SupportedEnvelope qname=\"env:Envelope\"/></env:Upgrade>");
        }
    }
    out.extend_from_slice(b"</env:Header><env:Body><env:Fault>");
    match version {
        Version::V12 => {
            let code = match fault.code {
                FaultCode::Sender => "env:Sender",
                FaultCode::Receiver => "env:Receiver",
                FaultCode::MustUnderstand => "env:MustUnderstand",
                FaultCode::VersionMismatch => "env:VersionMismatch",
            };
            out.extend_from_slice(format!("<env:Code><env:Value>{code}</env:Value>").as_bytes());
            for subcode in &fault.subcodes {
                out.extend_from_slice(format!("<env:Subcode><env:Value>{subcode}</env:Value>").as_bytes());
            }
            for _ in &fault.subcodes {
                out.extend_from_slice(b"</env:Subcode>");
            }
            out.extend_from_slice(b"</env:Code><env:Reason><env:Text xml:lang=\"en\">");
            push_text(&mut out, &fault.reason);
            out.extend_from_slice(b"</env:Text></env:Reason>");
            if let Some(problem) = &fault.problem {
                out.extend_from_slice(b"<env:Detail>");
                write_problem(&mut out, problem);
                out.extend_from_slice(b"</env:Detail>");
            }
        }
        Version::V11 => {
            let code = match (fault.subcodes.last(), fault.code) {
                (Some(subcode), _) => subcode,
                (None, FaultCode::Sender) => "env:Client",
                (None, FaultCode::Receiver) => "env:Server",
                (None, FaultCode::MustUnderstand) => "env:MustUnderstand",
                (None, FaultCode::VersionMismatch) => "env:VersionMismatch",
            };
            out.extend_from_slice(format!("<faultcode>{code}</faultcode><faultstring>").as_bytes());
            push_text(&mut out, &fault.reason);
            out.extend_from_slice(b"</faultstring>");
        }
    }
    out.extend_from_slice(b"</env:Fault></env:Body></env:Envelope>");
    out
}

fn write_problem(out: &mut Vec<u8>, problem: &Problem) {
    match problem {
        Problem::Header(qname) => {
            out.extend_from_slice(format!("<wsa:ProblemHeaderQName>{qname}</wsa:ProblemHeaderQName>").as_bytes());
        }
        Problem::Action(action) => {
            out.extend_from_slice(b"<wsa:ProblemAction><wsa:Action>");
            push_text(out, action);
            out.extend_from_slice(b"</wsa:Action></wsa:ProblemAction>");
        }
        Problem::Iri(iri) => {
            out.extend_from_slice(b"<wsa:ProblemIRI>");
            push_text(out, iri);
            out.extend_from_slice(b"</wsa:ProblemIRI>");
        }
    }
}

/// A fault that a peer sent, in short, if the payload is one; parsed leniently (§7.3).
pub fn received_fault(payload: Node<'_, '_>) -> Option<String> {
    if payload.local() != "Fault" || !matches!(payload.ns(), Ns::Soap12 | Ns::Soap11) {
        return None;
    }
    let find = |name: &str| payload.children().find(|node| node.local() == name);
    let code: Option<Cow<'_, str>> = find("Code")
        .and_then(|code| code.children().find(|node| node.local() == "Value"))
        .or_else(|| find("faultcode"))
        .map(|node| node.text());
    let reason = find("Reason")
        .and_then(|reason| reason.children().next())
        .or_else(|| find("faultstring"))
        .map(|node| node.text());
    Some(format!("{}: {}", code.unwrap_or_default().trim(), reason.unwrap_or_default().trim()))
}

#[cfg(test)]
mod tests {
    use super::super::xml::Limits;
    use super::*;

    fn envelope(version: Version, headers: &str, body: &str) -> String {
        format!(
            "<e:Envelope xmlns:e='{}' xmlns:a='{}'><e:Header>{headers}</e:Header><e:Body>{body}</e:Body></e:Envelope>",
            version.ns(),
            ns::WSA
        )
    }

    fn judge(text: &str) -> Result<Addressing, Fault> {
        let document = Document::parse(text, Limits::default())?;
        read(&document).map(|envelope| envelope.addressing)
    }

    #[test]
    fn headers_are_trimmed() {
        let text = envelope(
            Version::V12,
            "<a:Action e:mustUnderstand='1'>\n urn:x </a:Action><a:MessageID>urn:uuid:1</a:MessageID><a:ReplyTo><a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address></a:ReplyTo>",
            "<x/>",
        );
        let addressing = judge(&text).unwrap();
        assert_eq!(addressing.required_action().unwrap(), "urn:x");
        assert_eq!(addressing.answer_goes(), Ok(ReplyTo::Here));
    }

    #[test]
    fn where_answers_and_faults_go() {
        let to = |name: &str, address: &str| format!("<a:{name}><a:Address> {address} </a:Address></a:{name}>");
        let addressing = |headers: &str| judge(&envelope(Version::V12, headers, "<x/>")).unwrap();
        assert_eq!(addressing("").answer_goes(), Ok(ReplyTo::Here));
        assert_eq!(addressing(&to("ReplyTo", NO_REPLY)).answer_goes(), Ok(ReplyTo::Nowhere));
        let away = to("ReplyTo", "https://a.example/x");
        assert_eq!(addressing(&away).answer_goes().unwrap_err().subcodes, ["wsa:MessageAddressingHeaderRequired"]);
        let away = addressing(&(away + "<a:MessageID>urn:uuid:1</a:MessageID>"));
        assert_eq!((away.answer_goes(), away.faults_go()), (Ok(ReplyTo::Address("https://a.example/x")), None));
        for (address, goes) in
            [(ANONYMOUS, ReplyTo::Here), (NO_REPLY, ReplyTo::Nowhere), ("http://f", ReplyTo::Address("http://f"))]
        {
            assert_eq!(addressing(&to("FaultTo", address)).faults_go(), Some(goes));
        }
    }

    #[test]
    fn reference_parameters_become_marked_headers() {
        let reply = |parameters: &str| {
            let reply = format!(
                "<a:ReplyTo xmlns:q='urn:q'><a:Address>https://r</a:Address><a:ReferenceParameters>{parameters}</a:ReferenceParameters></a:ReplyTo>"
            );
            judge(&envelope(Version::V12, &reply, "<x/>"))
        };
        let asked = reply("<q:s a='1'>&lt;7</q:s><t xmlns='urn:t' xmlns:wsa='urn:other' wsa:x='y'/><q:u/>").unwrap();
        let addressing = Addressing { parameters: asked.reply_parameters, ..Addressing::default() };
        let mut written = Vec::new();
        write_start(&mut written, Version::V12, &addressing, None);
        written.extend_from_slice(b"<x/>");
        write_end(&mut written);
        let fault = write_fault_with(Version::V12, &Fault::sender("no"), &addressing);
        for written in [written, fault] {
            let text = String::from_utf8(written).unwrap();
            let document = Document::parse(&text, Limits::default()).unwrap();
            read(&document).unwrap();
            let header = document.root().children().next().unwrap();
            let found: Vec<_> = header.children().filter(|block| block.ns() != Ns::Wsa).collect();
            let names: Vec<_> = found.iter().map(|block| (block.uri(), block.local())).collect();
            assert_eq!(names, [("urn:q", "s"), ("urn:t", "t"), ("urn:q", "u")], "{text}");
            assert!(found.iter().all(|b| b.attr_ns(Ns::Wsa, "IsReferenceParameter").as_deref() == Some("true")));
            assert_eq!((found[0].text_ref(), found[0].attr("a").as_deref()), ("<7", Some("1")));
        }
        for refused in ["<a:RelatesTo>urn:uuid:1</a:RelatesTo>", &format!("<q:s>{}</q:s>", "x".repeat(MAX_PARAMETERS))]
        {
            assert_eq!(reply(refused).unwrap_err().subcodes, ["wsa:InvalidAddressingHeader", "wsa:InvalidEPR"]);
        }
        let already = "<q:s a:IsReferenceParameter='true'/>";
        assert!(!reply(already).unwrap().reply_parameters.unwrap().contains("wsaparam"));
    }

    #[test]
    fn a_trace_is_read_where_it_was_put_and_never_a_fault() {
        let trace = TraceHeader { parent: "00-a<b".into(), state: Some("v=1,w=\"2\"".into()) };
        for (unmarked, mark) in [(false, " env:mustUnderstand="), (true, "<wsa:Action>urn:x")] {
            let addressing = Addressing { action: Some("urn:x".into()), unmarked, ..Addressing::default() };
            let mut written = Vec::new();
            write_start(&mut written, Version::V12, &addressing, Some("<s/>"));
            written.extend_from_slice(b"<env:Header/>");
            write_end(&mut written);
            put_trace(&mut written, &trace);
            let text = String::from_utf8(written).unwrap();
            assert!(text.contains(mark), "{text}");
            let document = Document::parse(&text, Limits::default()).unwrap();
            let envelope = read(&document).unwrap();
            assert_eq!((envelope.trace.as_ref(), envelope.payload.local()), (Some(&trace), "Header"));
        }
        let long = "x".repeat(LONGEST_TRACE + 1);
        let block = |name: &str, value: &str| {
            format!("<t:{name} xmlns:t='{}' e:mustUnderstand='1'>{value}</t:{name}>", ns::TRACE)
        };
        for (headers, expected) in [
            (block("traceparent", " a ") + &block("traceparent", "b"), Some(("a", None))),
            (block("traceparent", "a") + &block("tracestate", &long), Some(("a", None))),
            (block("traceparent", &long) + &block("tracestate", "v=1"), None),
            (block("tracestate", "v=1"), None),
            (block("other", "a"), None),
        ] {
            let text = envelope(Version::V12, &headers, "<x/>");
            let document = Document::parse(&text, Limits::default()).unwrap();
            let found = read(&document).unwrap().trace;
            let found = found.as_ref().map(|trace| (trace.parent.as_str(), trace.state.as_deref()));
            assert_eq!(found, expected, "{headers}");
        }
    }

    #[test]
    fn faults_by_rule() {
        let table = [
            ("<a:Action>x</a:Action><a:Action>y</a:Action>", "wsa:InvalidAddressingHeader"),
            ("<a:ReplyTo/>", "wsa:InvalidAddressingHeader"),
            ("<a:ReplyTo><a:Address>relative</a:Address></a:ReplyTo>", "wsa:InvalidAddressingHeader"),
        ];
        for (headers, subcode) in table {
            let fault = judge(&envelope(Version::V12, headers, "<x/>")).unwrap_err();
            assert_eq!(fault.subcodes.first(), Some(&subcode), "{headers}");
            assert_eq!(fault.http_status(Version::V12), 400);
        }
        let unknown = "<u:H xmlns:u='urn:u' e:mustUnderstand='true'/>";
        let fault = judge(&envelope(Version::V12, unknown, "<x/>")).unwrap_err();
        assert_eq!((fault.code, fault.http_status(Version::V12)), (FaultCode::MustUnderstand, 500));
        assert_eq!(fault.not_understood, [("urn:u".to_owned(), "H".to_owned())]);
        let draft = format!("<w:Action xmlns:w='{DRAFT_ADDRESSING}' e:mustUnderstand='1'>urn:x</w:Action>");
        let fault = judge(&envelope(Version::V12, &draft, "<x/>")).unwrap_err();
        assert!(fault.reason.contains("http://www.w3.org/2005/08/addressing"), "{fault}");
        // Unqualified, or for somebody else: no meaning.
        for harmless in [
            "<u:H xmlns:u='urn:u' mustUnderstand='true'/>",
            "<u:H xmlns:u='urn:u' e:mustUnderstand='true' e:role='http://www.w3.org/2003/05/soap-envelope/role/none'/>",
            "<u:H xmlns:u='urn:u' e:mustUnderstand='0'/>",
        ] {
            assert!(judge(&envelope(Version::V12, harmless, "<x/>")).is_ok(), "{harmless}");
        }
        for body in ["", "<x/><y/>"] {
            assert_eq!(judge(&envelope(Version::V12, "", body)).unwrap_err().code, FaultCode::Sender);
        }
        assert!(judge(&envelope(Version::V11, "", "<x/>")).is_ok());
        assert_eq!(judge("<e:Envelope xmlns:e='urn:old'/>").unwrap_err().code, FaultCode::VersionMismatch);
        assert_eq!(judge("<x/>").unwrap_err().code, FaultCode::Sender);
        let missing = Addressing::default().required_action().unwrap_err();
        assert_eq!(missing.subcodes, ["wsa:MessageAddressingHeaderRequired"]);
    }

    #[test]
    fn faults_are_well_formed_in_both_versions() {
        let fault = Fault::action_not_supported("urn:<x>", "No such & action.");
        for version in [Version::V12, Version::V11] {
            let text = String::from_utf8(write_fault(version, &fault, Some("urn:uuid:1"))).unwrap();
            let document = Document::parse(&text, Limits::default()).unwrap();
            let envelope = read(&document).unwrap();
            let told = received_fault(envelope.payload).unwrap();
            assert!(told.contains("No such & action."), "{told}");
        }
    }
}
