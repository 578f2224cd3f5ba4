//! The commented configuration that `causeway init` writes.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::Uri;

use super::{DEFAULT_ADMIN, Limits, UnknownPatients};
use crate::model::ids::{HomeCommunityId, InvalidId, Oid, RepositoryUniqueId};
use crate::transport::peer::profile::PeerProfile;

/// What differs from one new configuration to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The community's name.
    pub name: String,
    /// Its identity.
    pub home_community_id: HomeCommunityId,
    /// The identity of its repository.
    pub repository_unique_id: RepositoryUniqueId,
    /// Address and port of the listener.
    pub bind: SocketAddr,
    /// DNS names that callers use.
    pub names: Vec<String>,
    /// Address and port for health, numbers and the console; port 0 takes any free one.
    pub admin: SocketAddr,
    /// Patient domains; none means any.
    pub patient_domains: Vec<Oid>,
    /// What happens to a patient nobody has announced.
    pub unknown: UnknownPatients,
    /// Other communities.
    pub peers: Vec<PeerTemplate>,
}

/// Another community in a new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTemplate {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub home_community_id: HomeCommunityId,
    /// Where it is asked.
    pub responding_gateway: Uri,
}

impl Template {
    /// An example community on this machine's port 8443, with identifiers below 2.999.
    ///
    /// # Errors
    /// Never: the identifiers are constants that a test reads.
    pub fn example() -> Result<Self, InvalidId> {
        Ok(Self {
            name: "Causeway trial community".to_owned(),
            home_community_id: HomeCommunityId::parse("urn:oid:2.999.826.1.1")?,
            repository_unique_id: RepositoryUniqueId::parse("2.999.826.3.1.1")?,
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443),
            names: Vec::new(),
            admin: DEFAULT_ADMIN,
            patient_domains: Vec::new(),
            unknown: UnknownPatients::Accept,
            peers: Vec::new(),
        })
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// Writes a configuration with comments that explain each section.
pub fn default_toml(template: &Template) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut out, template);
    out
}

fn write(out: &mut String, template: &Template) -> std::fmt::Result {
    out.write_str(
        "# Configuration of Causeway. Relative paths begin at this file's folder. Each key can be\n\
         # overridden by environment, for example CAUSEWAY__STORAGE__METADATA or CAUSEWAY__PEER__0__TIMEOUT.\n\
         # Test it with: causeway check --config causeway.toml\n\n",
    )?;
    community(out, template)?;
    patients(out, template)?;
    out.write_str(
        "# Codes that submissions may use, in the code file format of the public XDS test tools.\n\
         [codes]\nfile = \"codes.xml\"\nenforce = true\n\n\
         # Where metadata (\"sled:FOLDER\" or \"fjall:FOLDER\") and documents (\"file:FOLDER\") are kept; \"memory:\" forgets.\n\
         [storage]\nmetadata = \"sled:data/registry\"\ndocuments = \"file:data/documents\"\n\
         cache = \"128 MiB\"\n\n",
    )?;
    listener(out, template)?;
    write!(
        out,
        "# Health, numbers and console: for this machine only. Port 0 takes any free one, and the log\n\
         # says which; \"off\" turns them off.\n\
         [admin]\nbind = {}\n\n",
        quoted(&template.admin.to_string()),
    )?;
    out.write_str(
        "# What is shown and trusted when other systems are called; the first listener's unless given.\n\
         # [client]\n# certificate = \"certs/server.pem\"\n# key = \"certs/server.key\"\n\
         # ca = \"certs/ca.pem\"\n# crl = \"certs/ca.crl\"\n\n\
         # Register with another registry instead of our own; then serve the repository alone.\n\
         # [registry]\n# url = \"https://registry.example:8443/services/registry\"\n\n",
    )?;
    out.write_str(
        "# How metadata is judged: strict refuses whatever breaks a rule; lenient takes codes outside the lists and\n\
         # missing or misshapen descriptions, and answers with warnings; shadow takes them too, answers nothing of\n\
         # it, and counts in /metrics and logs what strict would have refused. Sources by the common names of their\n\
         # certificates, that of the repository if it is a separate one; mode is for all others.\n\
         # [validation]\n# mode = \"strict\"\n# lenient = [\"old-pas\"]\n# shadow = [\"labs\"]\n# strict = []\n\n",
    )?;
    peers(out, template)?;
    profiles(out)?;
    out.write_str(
        "# Documents that came through other communities than their own say so in slots, urn:causeway:routes; not\n\
         # every consumer takes slots that it does not know. causeway explain tells it in any case.\n\
         # [federation]\n# routes_in_slots = false\n\n",
    )?;
    out.write_str(
        "# Whom a query by patient goes to: policy \"broadcast\" is everybody. \"directed\" leaves out those that have lately\n\
         # said that they hold nothing of the patient, for so long as knows_nothing says, and those that a locator speaks\n\
         # for (located_by) and does not name. Everybody is asked at first, after broadcast_every (\"0s\": never just for\n\
         # that), and in an emergency. per_user: what was shown under one assertion proves nothing for another; tell: a\n\
         # warning names each that was left out; wait: for a locator.\n\
         # [locator]\n# policy = \"broadcast\"\n# knows_nothing = \"4h\"\n# broadcast_every = \"24h\"\n# per_user = true\n\
         # tell = false\n# wait = \"2s\"\n\n",
    )?;
    out.write_str(
        "# Whether answers to consumers name communities that are not connected yet, in a warning.\n\
         # [initiating_gateway]\n# tell_planned = true\n\n\
         # Whether only callers are answered whose certificate is a peer's.\n\
         # [responding_gateway]\n# only_known = false\n\n",
    )?;
    out.write_str(
        "# Answers that do not come back on their connection (wsa:ReplyTo). callbacks: where callers may have our\n\
         # answers sent, and all below it; a peer's own callback is allowed too. No other address is ever called.\n\
         # address: where peers whose exchange is not synchronous send their answers, as they see it; the path is that.\n\
         # [asynchronous]\n# callbacks = [\"https://hwe.example:8443/services/initiating-gateway\"]\n\
         # address = \"https://us.example:8443/services/initiating-gateway\"\n\n\
         # Patient discovery (ITI-55) by others, besides answers at once. deferred: answers later, to the addresses\n\
         # above. revocation: peers may take back under which id they know a patient.\n\
         # [discovery]\n# deferred = false\n# revocation = false\n\n",
    )?;
    out.write_str(
        "# Every transaction leaves a record here before it is answered.\n\
         [audit]\ndir = \"data/audit\"\nsource_id = \"causeway\"\n\n\
         # format \"text\" or \"json\"; level error, warn, info, debug, trace, or as \"info,causeway=debug\".\n\
         # Alerts of TLS that break nothing, as clients in Java send, are not logged, but with \"info,rustls=warn\".\n\
         [log]\nformat = \"text\"\nlevel = \"info\"\n\n\
         # Traces for a collector of OpenTelemetry: OTLP over HTTP, with the certificate of [client] if it is https.\n\
         # sampling: the part of the traces that begin here, from 0.0 to 1.0; whoever asks with a trace decides itself.\n\
         # [telemetry]\n# endpoint = \"https://collector.example:4318\"\n# protocol = \"http/protobuf\"\n\
         # ca = \"certs/collector-ca.pem\"\n# service_name = \"causeway\"\n# sampling = 1.0\n\n\
         # Every bound, with its default. Take the # away to change one.\n[limits]\n",
    )?;
    for row in Limits::rows() {
        let assignment = format!("{} = {}", row.name, row.default);
        writeln!(out, "# {assignment:<38} # {}", row.about)?;
    }
    Ok(())
}

fn community(out: &mut String, template: &Template) -> std::fmt::Result {
    write!(
        out,
        "# Whose broker this is. profile \"production\" refuses identifiers below 2.999, test patients\n\
         # and development certificates.\n\
         [community]\nname = {}\nhome_community_id = {}\nrepository_unique_id = {}\nprofile = \"demo\"\n\n",
        quoted(&template.name),
        quoted(template.home_community_id.as_str()),
        quoted(template.repository_unique_id.as_str()),
    )
}

fn patients(out: &mut String, template: &Template) -> std::fmt::Result {
    let domains = template.patient_domains.iter().map(|oid| {
        let check = if oid.as_str() == super::NHS_NUMBER_DOMAIN { ", check = \"nhs-number\"" } else { "" };
        format!("{{ oid = {}{check} }}", quoted(oid.as_str()))
    });
    let unknown = match template.unknown {
        UnknownPatients::Accept => "accept",
        UnknownPatients::Reject => "reject",
    };
    write!(
        out,
        "# Patient domains that are taken, and whose identifiers other communities are told when they are asked for a\n\
         # patient; an empty list takes any and tells none but the one asked about. A patient nobody has announced is\n\
         # accepted, or rejected with XDSUnknownPatientId; known lists patients as id^^^&OID&ISO.\n\
         [patients]\ndomains = [{}]\nunknown = \"{unknown}\"\nknown = []\n\
         # known_file = \"patients.txt\"\n\
         # directory describes patients for other communities' discovery (ITI-55), one as JSON a line.\n\
         # directory = \"people.jsonl\"\n\n",
        list(domains),
    )
}

fn listener(out: &mut String, template: &Template) -> std::fmt::Result {
    write!(
        out,
        "# Where the broker is called: mutual TLS always. names are those that callers use; services\n\
         # are registry, repository, initiating-gateway and responding-gateway unless given; documents for other\n\
         # communities (ITI-41 at the initiating-gateway) are taken where the repository is served too.\n\
         [[listener]]\nbind = {}\nnames = [{}]\n\
         tls = {{ certificate = \"certs/server.pem\", key = \"certs/server.key\", \
         client_ca = \"certs/ca.pem\", crl = \"certs/ca.crl\" }}\n\
         # services = [\"registry\", \"repository\"]\n\
         # Who may update and remove (ITI-57, 62, 86, 92), by the common names of their certificates; \"*\" is\n\
         # everybody. Nobody unless given.\n\
         # administrators = [\"records-office\"]\n\
         # Who may ask about many patients at once (ITI-51), likewise.\n\
         # many_patients = [\"public-health\"]\n\
         # Whose gateways may put their communities' documents into our repository (ITI-80), likewise.\n\
         # providers = [\"hwe-gateway\"]\n\
         # Whose requests go first when there are too many: those of emergency services, and those of callers that\n\
         # are believed when an assertion says ETREAT or BTG. It is not verified: each is named, there is no \"*\".\n\
         # emergency_callers = [\"ambulance\"]\n\
         # emergency_claims = [\"acute-trust\"]\n\n",
        quoted(&template.bind.to_string()),
        list(template.names.iter().map(|name| quoted(name))),
    )
}

/// What each setting of a profile is for, in short; docs/peers.md says it in full.
const SETTINGS: [(&str, &str); 12] = [
    ("soap", "SOAP version of requests: 1.2 or 1.1"),
    ("mtom", "requests with MTOM where the transaction has it; false: plain"),
    ("to", "wsa:To: address, none, or what the peer calls itself"),
    ("reply_to", "an anonymous wsa:ReplyTo"),
    ("must_understand", "mustUnderstand on wsa:Action"),
    ("action_parameter", "the action in Content-Type"),
    ("async_actions", "actions that end in Async where the answer comes later"),
    ("v3_home_prefix", "urn:oid: before homeCommunityIds in ITI-55"),
    ("keep_alive", "connections are kept for the next request"),
    ("trace_header", "the trace in the envelope as well"),
    ("documents_per_request", "documents of one ITI-39 request; 0: all of them"),
    ("assume_home", "what it returns without homeCommunityId is its own"),
];

fn profiles(out: &mut String) -> std::fmt::Result {
    out.write_str(
        "# What a peer's software wants otherwise than others (docs/peers.md): named here and in the [[peer]], or written\n\
         # into the [[peer]] itself. Built in: ihe, soap-1.1, xca-document-source.\n\
         # [profile.old-engine]\n",
    )?;
    for (name, value) in PeerProfile::default().settings() {
        let about = SETTINGS.iter().find(|(known, _)| *known == name).map_or("", |(_, about)| *about);
        let assignment = format!("{name} = {value}");
        writeln!(out, "# {assignment:<38} # {about}")?;
    }
    out.push('\n');
    Ok(())
}

fn peers(out: &mut String, template: &Template) -> std::fmt::Result {
    out.write_str(
        "# Other communities, in the order of answers. scope: member, neighbour. kind: full, link-only,\n\
         # consume-only, publish-only, hub. state: planned, connecting, live, suspended, closed.\n\
         # ca: the authority to trust for this one, if it is not that of [client]. callback: where it may have\n\
         # our answers sent, and exchange: synchronous, or asynchronous for its answers to us, see [asynchronous];\n\
         # deferred for those alone that say under which id it knows a patient.\n\
         # patient_id: same-domain, domain:OID (the same id in that domain), or discover: it is asked under which\n\
         # id it knows a patient (ITI-55), at patient_discovery if that is another URL. locator: it can be asked where\n\
         # a patient is known (ITI-56); located_by: the home of the locator that speaks for this one, see [locator].\n\
         # profile: the form in which its software takes requests, \"ihe\" unless given; see [profile] below.\n\
         # responding_gateway: one URL, or a list in order of preference; timeout and max_in_flight are for all of them\n\
         # together; submissions have limits.peer_submissions beside them.\n\
         # certificates: how it is recognised when it asks us, by common name, subject (\"CN=…,O=…\") or\n\
         # \"sha256:…\"; then only the live ones of kind full, consume-only and hub are answered, and who bears its name\n\
         # (host, common name) with another certificate is not: list a new one before it is shown. shares: which of our\n\
         # documents it is given, by codes. target_in: where it wants to be named in documents for it (ITI-80): both,\n\
         # header, slot. With feed = true it is told our id of a patient, and may remember it for\n\
         # limits.correlation_offer.\n",
    )?;
    if template.peers.is_empty() {
        out.write_str(
            "# [[peer]]\n# name = \"Hertfordshire and West Essex\"\n\
             # home_community_id = \"urn:oid:2.999.826.1.21\"\n# scope = \"neighbour\"\n\
             # kind = \"full\"\n# state = \"live\"\n\
             # responding_gateway = \"https://hwe.example:8443/services/responding-gateway\"\n\
             # patient_id = \"same-domain\"\n# timeout = \"8s\"\n# max_in_flight = 32\n\
             # ca = \"certs/hwe-ca.pem\"\n\
             # callback = \"https://hwe.example:8443/services/initiating-gateway\"\n\
             # exchange = \"synchronous\"\n# locator = false\n# located_by = \"urn:oid:2.999.826.1.1\"\n\
             # profile = \"ihe\"\n# target_in = \"both\"\n\
             # certificates = [\"hwe-gateway\"]\n\
             # shares = { allow = { confidentiality = [\"N\"] }, deny = { type = [\"code^^scheme\"], class = [\"code\"] } }\n\n",
        )?;
    }
    for peer in &template.peers {
        write!(
            out,
            "[[peer]]\nname = {}\nhome_community_id = {}\nscope = \"neighbour\"\nkind = \"full\"\n\
             state = \"live\"\nresponding_gateway = {}\npatient_id = \"same-domain\"\ntimeout = \"8s\"\n\
             max_in_flight = 32\n# ca = \"certs/peer-ca.pem\"\n\n",
            quoted(&peer.name),
            quoted(peer.home_community_id.as_str()),
            quoted(&peer.responding_gateway.to_string()),
        )?;
    }
    Ok(())
}
