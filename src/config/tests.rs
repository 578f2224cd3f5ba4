use super::read::{MAX_KNOWN_FINDINGS, is_example};
use super::*;
use crate::validate::Mode;

mod hints;
mod meant;

/// The smallest configuration; sections follow, so tests can add to it.
const SMALL: &str = r#"[community]
name = "North"
home_community_id = "urn:oid:2.999.1"
repository_unique_id = "2.999.1.3"
[[listener]]
bind = "127.0.0.1:8443"
tls = { certificate = "c.pem", key = "c.key", client_ca = "ca.pem" }
"#;

pub(super) fn with(more: &str) -> Result<Config, ConfigError> {
    Config::from_toml(&format!("{SMALL}{more}"), Path::new("/etc/causeway"))
}

fn overridden(more: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Config::from_toml_with(&format!("{SMALL}{more}"), Path::new("/etc/causeway"), variables)
}

fn findings(more: &str) -> Vec<(Option<usize>, String, String, String)> {
    let error = with(more).expect_err(more);
    let rows = error.findings.into_iter();
    rows.map(|finding| (finding.line, finding.key, finding.what, finding.fix)).collect()
}

#[test]
fn small_has_safe_defaults() {
    let config = with("").unwrap();
    assert_eq!(config.community.profile, Profile::Demo);
    assert!(config.patients.domains.is_empty());
    assert_eq!(config.patients.unknown, UnknownPatients::Accept);
    assert_eq!(config.storage.metadata, MetadataStorage::Sled("/etc/causeway/data/registry".into()));
    assert_eq!(config.storage.documents, DocumentStorage::Files("/etc/causeway/data/documents".into()));
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9180");
    assert_eq!(config.listeners[0].services, Service::ALL);
    assert_eq!(config.client, config.listeners[0].tls);
    assert_eq!(config.client.client_ca, Path::new("/etc/causeway/ca.pem"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.audit.site_id, "2.999.1");
    assert!(config.codes.is_none() && config.peers.is_empty() && config.registry.is_none());
}

/// All that can be configured of most sections, behind the smallest one.
const EVERYTHING: &str = r#"services = ["registry", "initiating-gateway"]
names = ["gateway.example"]
administrators = ["records-office"]
many_patients = ["public-health"]
emergency_callers = ["ambulance"]
emergency_claims = ["acute-trust", "out-of-hours"]
providers = ["hwe-gateway"]
[patients]
domains = [{ oid = "2.16.840.1.113883.2.1.4.1", check = "nhs-number" }, { oid = "2.999.7" }]
unknown = "reject"
known = ["9990010013^^^&2.16.840.1.113883.2.1.4.1&ISO"]
[codes]
file = "/opt/codes.xml"
[validation]
mode = "shadow"
lenient = ["old-pas"]
strict = ["labs", "pacs"]
[storage]
metadata = "memory:"
documents = "memory:"
cache = "64 MiB"
[admin]
bind = "off"
[client]
certificate = "o.pem"
key = "o.key"
ca = "o-ca.pem"
crl = "o.crl"
[[peer]]
name = "East"
home_community_id = "urn:oid:2.999.2"
scope = "member"
kind = "publish-only"
responding_gateway = "https://east.example/services/responding-gateway"
patient_id = "domain:2.999.7"
timeout = "1500ms"
max_in_flight = 4
ca = "east.pem"
callback = "https://east.example/services/initiating-gateway"
exchange = "asynchronous"
target_in = "slot"
[[peer]]
name = "West"
home_community_id = "urn:oid:2.999.3"
state = "planned"
patient_id = "discover"
feed = true
[[peer]]
name = "South"
home_community_id = "urn:oid:2.999.4"
state = "planned"
patient_id = "discover"
exchange = "deferred"
certificates = ["south-gateway"]
[discovery]
deferred = true
[asynchronous]
address = "https://us.example/services/initiating-gateway"
callbacks = ["https://far.example:8443/", "https://West.example/answers/"]
[audit]
dir = "trail"
source_id = "broker-1"
site_id = "2.999.1.9"
[log]
format = "json"
level = "info,causeway=debug"
[telemetry]
endpoint = "https://collector.example:4318"
ca = "collector.pem"
service_name = "broker"
sampling = 0.25
[federation]
routes_in_slots = true
[limits]
document_bytes = "1 GiB"
header_timeout = 5
results = 10_000
"#;

#[test]
fn everything_is_read() {
    let config = with(EVERYTHING).unwrap();
    let telemetry = config.telemetry.clone().unwrap();
    assert_eq!(telemetry.endpoint, "https://collector.example:4318/v1/traces");
    assert_eq!((telemetry.service_name.as_str(), telemetry.sampling), ("broker", 0.25));
    assert!(telemetry.ca.is_some_and(|ca| ca.ends_with("collector.pem")) && config.federation.routes_in_slots);
    assert_eq!(config.listeners[0].services, [Service::Registry, Service::InitiatingGateway]);
    assert_eq!(config.listeners[0].administrators, ["records-office"]);
    assert_eq!(config.listeners[0].many_patients, ["public-health"]);
    assert_eq!(config.listeners[0].emergency_callers, ["ambulance"]);
    assert_eq!(config.listeners[0].emergency_claims, ["acute-trust", "out-of-hours"]);
    assert_eq!(config.listeners[0].providers, ["hwe-gateway"]);
    assert!(config.peers.iter().any(|peer| peer.target_in == TargetIn::Slot));
    assert_eq!(config.patients.domains[0].check, IdentifierCheck::NhsNumber);
    assert_eq!(config.patients.known.len(), 1);
    assert_eq!(config.validation.of("labs"), (Mode::Strict, "labs"));
    assert_eq!(config.validation.of("old-pas"), (Mode::Lenient, "old-pas"));
    assert_eq!(config.validation.of("somebody"), (Mode::Shadow, "others"));
    assert_eq!(config.codes.as_ref().unwrap().file, Path::new("/opt/codes.xml"));
    assert!(config.codes.as_ref().unwrap().enforce);
    assert_eq!(config.storage.cache, 64 << 20);
    assert!(config.admin.is_none());
    assert_eq!(config.client.certificate, Path::new("/etc/causeway/o.pem"));
    let [east, west, south] = &config.peers[..] else { panic!("three peers") };
    assert_eq!(east.timeout, Duration::from_millis(1500));
    assert_eq!(east.patient_id, PeerPatientId::Domain(Oid::parse("2.999.7").unwrap()));
    assert!(east.is_asked() && !west.is_asked());
    assert_eq!(config.tls_for(east).client_ca, Path::new("/etc/causeway/east.pem"));
    assert_eq!(config.tls_for(east).crl, None);
    assert_eq!(config.tls_for(west), config.client);
    assert_eq!((east.exchange, west.exchange), (PeerExchange::Asynchronous, PeerExchange::Synchronous));
    assert_eq!((south.exchange, south.feed, west.feed), (PeerExchange::Deferred, false, true));
    assert_eq!(config.discovery, Discovery { deferred: true, revocation: false });
    assert_eq!(config.asynchronous.address.as_ref().and_then(Uri::host), Some("us.example"));
    let listed = |text: &str| Callback::parse(text).unwrap();
    assert_eq!(east.callback, Some(listed("https://east.example:443/services/initiating-gateway")));
    assert_eq!(
        config.asynchronous.callbacks,
        [listed("https://far.example:8443"), listed("https://west.example/answers")]
    );
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.limits.document_bytes, 1 << 30);
    assert_eq!(config.limits.header_timeout, Duration::from_secs(5));
    assert_eq!(config.limits.results, 10_000);
}

/// What is appended to the small configuration, the line counted from there, key, part of what is
/// said, part of the fix.
type Case = (&'static str, usize, &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = [\n\"https://e/x\",\n\"https://e/x\"]",
        6,
        "peer[0].responding_gateway[1]",
        "twice",
        "remove one",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = [\"https://e/x\", \"e\"]",
        4,
        "peer[0].responding_gateway[1]",
        "begins with https://",
        "https://peer.example",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = []",
        4,
        "peer[0].responding_gateway",
        "no address",
        "in order of preference",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"E\", \"sha256:12\"]",
        5,
        "peer[0].certificates[1]",
        "64 hexadecimal digits",
        "sha256:",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\n\
         [[peer]]\nname = \"F\"\nhome_community_id = \"urn:oid:2.999.3\"\nstate = \"planned\"\ncertificates = [\"C\"]",
        10,
        "peer[1].certificates",
        "\"E\" is recognised by the same",
        "one of them",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nshares = { allow = { class = [\"A\"] } }",
        5,
        "peer[0].shares",
        "nobody is recognised",
        "add certificates",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\nshares = { deny = { type = [\"A^b\"] } }",
        6,
        "peer[0].shares.deny.type[0]",
        "neither code nor",
        "code^^scheme",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\nshares = { allow = { confidentiality = [] } }",
        6,
        "peer[0].shares.allow.confidentiality",
        "no rule",
        "remove the key",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\nshares = { alow = { class = [\"A\"] } }",
        6,
        "peer[0].shares.alow",
        "unknown key",
        "allow",
    ),
    ("[responding_gateway]\nonly_known = true", 2, "responding_gateway.only_known", "nobody would be", "certificates"),
    ("[initiating_gateway]\ntell_planed = true", 2, "initiating_gateway.tell_planed", "unknown key", "tell_planned"),
    ("bidn = \"x\"", 1, "listener[0].bidn", "unknown key", "did you mean bind?"),
    ("emergency_callers = [\"*\"]", 1, "listener[0].emergency_callers[0]", "the reserve is anyone's", "one by one"),
    ("emergency_claims = [\"a\", \"*\"]", 1, "listener[0].emergency_claims[1]", "go first", "one by one"),
    ("[storage]\nmetdata = \"memory:\"", 2, "storage.metdata", "unknown key", "did you mean metadata?"),
    ("[storag]\nmetadata = \"memory:\"", 1, "storag", "unknown key", "did you mean storage?"),
    ("[storage]\nmetadata = \"postgres://db\"", 2, "storage.metadata", "postgres is not yet supported", "sled:"),
    ("[storage]\ndocuments = \"s3://b\"", 2, "storage.documents", "s3 is not yet supported", "file:"),
    ("[storage]\nmetadata = \"sled:\"", 2, "storage.metadata", "a folder follows", "sled:data/registry"),
    ("[storage]\nmetadata = \"fjall:\"", 2, "storage.metadata", "a folder follows fjall:", "fjall:data/registry"),
    ("[storage]\nmetadata = \"data\"", 2, "storage.metadata", "neither memory:", "memory:"),
    ("[storage]\ndocuments = \"memory:\"", 2, "storage.documents", "after a restart", "file:"),
    ("[storage]\ndocuments = \"file:data/registry\"", 2, "storage.documents", "same folder", "its own"),
    ("[storage]\ncache = \"many\"", 2, "storage.cache", "not understood", "\"128 MiB\""),
    ("[validation]\nmode = \"laxe\"", 2, "validation.mode", "not one of its values", "strict"),
    (
        "[validation]\nshadow = [\"labs\"]\nlenient = [\"labs\"]",
        2,
        "validation.shadow[0]",
        "in the list lenient already",
        "one of the lists",
    ),
    ("[validation]\nshadow = [\"others\"]", 2, "validation.shadow[0]", "named by the common name", "mode = \"shadow\""),
    (
        "services = [\"repository\"]\n[registry]\nurl = \"https://registry.example/\"\n[validation]\nmode = \"shadow\"",
        4,
        "validation",
        "registered with judges",
        "remove [validation]",
    ),
    ("[validation]\nlenient = [\"*\"]", 2, "validation.lenient[0]", "named by the common name", "mode = \"lenient\""),
    ("[patients]\nunknown = \"acept\"", 2, "patients.unknown", "not one of its values", "did you mean accept?"),
    ("[patients]\ndomains = [\n  { oid = \"1.x\" },\n]", 3, "patients.domains[0].oid", "not a valid OID", "2.16.840"),
    (
        "[patients]\ndomains = [{ oid = \"2.999.1\" }, { oid = \"2.999.1\" }]",
        2,
        "patients.domains[1].oid",
        "twice",
        "remove",
    ),
    ("[patients]\nknown = [\n\"A^^^&2.999.1&ISO\",\n\"B\"]", 4, "patients.known[1]", "CX", "id^^^&OID&ISO"),
    (
        "[patients]\ndomains = [{ oid = \"2.999.1\" }]\nknown = [\"A^^^&2.999.2&ISO\"]",
        3,
        "patients.known[0]",
        "not one of patients.domains",
        "domains",
    ),
    ("[patients]\nknown_file = \"none.txt\"", 2, "patients.known_file", "cannot be read", "per line"),
    ("[patients]\ndirectory = \"none.jsonl\"", 2, "patients.directory", "cannot be read", "one person a line"),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\npatient_discovery = \"https://e/x\"",
        5,
        "peer[0].patient_discovery",
        "nothing is asked there",
        "discover",
    ),
    ("[codes]\nenforce = true", 2, "codes.enforce", "no code file", "codes.xml"),
    ("[codes]\nfile = \"\"", 2, "codes.file", "empty", "path"),
    ("[codes]\nfile = \"c\"\nenforce = \"yes\"", 3, "codes.enforce", "neither true nor false", "without quotes"),
    ("[[listener]]\nbind = \"127.0.0.1:9000\"", 1, "listener[1].tls", "needs TLS", "certs/server.pem"),
    (
        "[[listener]]\nbind = \"0.0.0.0:8444\"\ntls = { engine = \"openssl\", profile = \"legacy\", \
         certificate = \"a\", key = \"b\", client_ca = \"c\" }",
        3,
        "listener[1].tls.engine",
        "not yet supported by this version",
        "remove engine",
    ),
    (
        "[[listener]]\nbind = \"127.0.0.1:8443\"\ntls = { certificate = \"a\", key = \"b\", client_ca = \"c\" }",
        2,
        "listener[1].bind",
        "has a listener already",
        "another port",
    ),
    (
        "[[listener]]\nbind = \"localhost:1\"\ntls = { certificate = \"a\", key = \"b\" }",
        2,
        "listener[1].bind",
        "not an address",
        "127.0.0.1:8443",
    ),
    ("services = [\"registri\"]", 1, "listener[0].services[0]", "no service", "registry, repository"),
    ("[admin]\nbind = \"127.0.0.1:8443\"", 2, "admin.bind", "is a listener's", "another port"),
    ("[client]\ncertificate = \"a\"\nca = \"b\"", 1, "client.key", "missing", "certs/client.key"),
    ("[[peer]]\nname = \"East\"\nstate = \"planned\"", 1, "peer[0].home_community_id", "missing", "urn:oid:"),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"2.999.2\"\nstate = \"planned\"",
        3,
        "peer[0].home_community_id",
        "it starts with urn:oid:",
        "urn:oid:1.2.3.4",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"",
        1,
        "peer[0].responding_gateway",
        "missing",
        "https://",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.1\"\nstate = \"planned\"",
        3,
        "peer[0].home_community_id",
        "our own",
        "does not ask itself",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\n\
         [[peer]]\nname = \"F\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"closed\"",
        7,
        "peer[1].home_community_id",
        "\"E\" has the same",
        "its own",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"http://e/x\"",
        4,
        "peer[0].responding_gateway",
        "mutual TLS only",
        "https://",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\npatient_id = \"ask\"",
        5,
        "peer[0].patient_id",
        "not one of its values",
        "discover",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ntimeout = \"0s\"",
        5,
        "peer[0].timeout",
        "from \"100ms\" to \"1h\"",
        "\"8s\"",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncallback = \"http://e/x\"",
        5,
        "peer[0].callback",
        "mutual TLS only",
        "https://",
    ),
    ("[asynchronous]\ncallbacks = [\"https://e/x/../y\"]", 2, "asynchronous.callbacks[0]", ". or ..", "all below it"),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nexchange = \"asynchronous\"",
        5,
        "peer[0].exchange",
        "without an address of ours",
        "add [asynchronous]",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\npatient_id = \"discover\"\n\
         exchange = \"deferred\"",
        6,
        "peer[0].exchange",
        "without an address of ours",
        "add [asynchronous]",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nfeed = true",
        5,
        "peer[0].feed",
        "which is not asked",
        "patient_id = \"discover\"",
    ),
    ("[discovery]\ndeferred = \"later\"", 2, "discovery.deferred", "neither true nor false", "deferred = false"),
    ("[discovery]\nrevoke = true", 2, "discovery.revoke", "", "revocation"),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nexchange = \"async\"",
        5,
        "peer[0].exchange",
        "not one of its values",
        "asynchronous",
    ),
    (
        "[asynchronous]\naddress = \"https://us/services/registry\"",
        2,
        "asynchronous.address",
        "taken by the initiating gateway",
        "/services/initiating-gateway",
    ),
    (
        "services = [\"registry\"]\n[asynchronous]\naddress = \"https://us/services/initiating-gateway\"",
        3,
        "asynchronous.address",
        "no listener serves",
        "services of a [[listener]]",
    ),
    ("[asynchronous]\naddress = \"http://us/\"", 2, "asynchronous.address", "mutual TLS only", "https://"),
    ("[asynchronous]\ncallback = [\"https://e/x\"]", 2, "asynchronous.callback", "unknown key", "callbacks"),
    ("[limits]\ndelivery_tries = 0", 2, "limits.delivery_tries", "from 1 to 100", "3"),
    ("[peer]\nname = \"E\"", 1, "peer", "list of sections", "[[peer]]"),
    (
        "[registry]\nurl = \"https://registry.example/\"",
        2,
        "registry.url",
        "and nothing else",
        "services = [\"repository\"]",
    ),
    ("[registry]\nurl = \"https://u@x/\"", 2, "registry.url", "user name", "https://"),
    ("[log]\nlevel = \"info,=,\"", 2, "log.level", "not understood", "info, debug"),
    ("[log]\nformat = \"xml\"", 2, "log.format", "not one of its values", "text, json"),
    ("[limits]\nboundary_bytes = 71", 2, "limits.boundary_bytes", "from \"1 B\" to \"70 B\"", "70 B"),
    ("[limits]\nresults = \"10 MiB\"", 2, "limits.results", "not understood", "5000"),
    ("[limits]\nresults = 1.5", 2, "limits.results", "not understood", "5000"),
    ("[limits]\ndocument_bytes = \"5 GiB\"", 2, "limits.document_bytes", "whole submission", "submission_bytes"),
    ("[limits]\nxml_dept = 3", 2, "limits.xml_dept", "unknown key", "xml_depth"),
    ("[telemetry]\nsampling = 0.5", 1, "telemetry", "without an endpoint", "collector.example"),
    ("[telemetry]\nendpoint = \"ftp://x\"", 2, "telemetry.endpoint", "begins with https://", "4318"),
    ("[telemetry]\nendpoint = \"https://me@x\"", 2, "telemetry.endpoint", "user name", "4318"),
    (
        "[telemetry]\nendpoint = \"https://x\"\nsampling = 1.5",
        3,
        "telemetry.sampling",
        "from 0.0 to 1.0",
        "sampling = 1.0",
    ),
    (
        "[telemetry]\nendpoint = \"https://x\"\nprotocol = \"grpc\"",
        3,
        "telemetry.protocol",
        "not one of its values",
        "http/protobuf",
    ),
    ("[telemetry]\nendpoint = \"http://x\"\nca = \"a\"", 3, "telemetry.ca", "nothing is trusted", "https://"),
    ("[telemetry]\nendpoint = \"https://x\"\nservice_name = \" \"", 3, "telemetry.service_name", "empty", "causeway"),
    ("[federation]\nroutes_in_slots = 1", 2, "federation.routes_in_slots", "neither true nor false", "= false"),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nnodes = [\"Barts\"]",
        5,
        "peer[0].nodes[0]",
        "a text where a section",
        "nodes = [{ name =",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nchanges = { from = \"2026-12-01\" }",
        5,
        "peer[0].changes",
        "list of sections",
        "changes = [{ from =",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nchanges = [{ from = \"2026-12-01\" }]",
        5,
        "peer[0].changes[0].state",
        "missing",
        "add state = \"live\"",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nsince = 2026-12-01",
        5,
        "peer[0].since",
        "a date where a text",
        "since = \"2026-12-01\", in quotes",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\nshares = [\"N\"]",
        6,
        "peer[0].shares",
        "a list is not a section",
        "write [peer.shares]",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\nshares = { allow = { class = \"A\" } }",
        6,
        "peer[0].shares.allow.class",
        "a text where a list",
        "class = [\"…\"",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = \"C\"",
        5,
        "peer[0].certificates",
        "a text where a list",
        "certificates = [\"…\"",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"certs/e.pem\"]",
        5,
        "peer[0].certificates[0]",
        "name of a file",
        "-in FILE",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"/O=Trust/CN=E\"]",
        5,
        "peer[0].certificates[0]",
        "slashes",
        "RFC2253",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"C\"]\n[[peer]]\nname = \"F\"\nhome_community_id = \"urn:oid:2.999.3\"\nstate = \"planned\"\ncertificates = [\"O=Trust,CN=C\"]",
        10,
        "peer[1].certificates",
        "recognised by the same",
        "one of them",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nprofile = \"old engine\"",
        5,
        "peer[0].profile",
        "no profile",
        "[profile.\"old engine\"]",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\npatient_id = \"discover\"\nfeed = true\n[limits]\ncorrelation_offer = \"0s\"",
        6,
        "peer[0].feed",
        "could keep nothing",
        "raise limits.correlation_offer",
    ),
    (
        "[asynchronous]\naddress = \"https://us.example/services/initiating-gateway\"\n[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nca = \"e.pem\"\npatient_id = \"discover\"\nexchange = \"deferred\"",
        9,
        "peer[0].exchange",
        "a ca of its own is recognised by certificates alone",
        "add certificates = ",
    ),
    (
        "[client]\ncertificate = \"c.pem\"\nkey = \"c.key\"\nca = \"other.pem\"\n[asynchronous]\naddress = \"https://us.example/services/initiating-gateway\"\n[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\npatient_id = \"discover\"\nexchange = \"deferred\"",
        12,
        "peer[0].exchange",
        "another client_ca",
        "add certificates = ",
    ),
    (
        "administrators = [\"CN=records-office,O=Trust\"]",
        1,
        "listener[0].administrators[0]",
        "common name of their certificate alone",
        "write \"records-office\"",
    ),
    (
        "providers = [\"sha256:abababababababababababababababababababababababababababababababab\"]",
        1,
        "listener[0].providers[0]",
        "common name of their certificate alone",
        "common name",
    ),
    (
        "[validation]\nlenient = [\"O = Trust, CN = old-pas\"]",
        2,
        "validation.lenient[0]",
        "common name of their certificate alone",
        "write \"old-pas\"",
    ),
    ("services = \"registry\"", 1, "listener[0].services", "a text where a list", "services = ["),
    ("[[profile]]\nname = \"old\"", 1, "profile", "a list is not a section", "[profile.NAME]"),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e/x, https://f/x\"",
        4,
        "peer[0].responding_gateway",
        "several addresses in one text",
        "responding_gateway = [",
    ),
    ("[codes]\nfile = unquoted", 2, "syntax", "", "correct this line"),
    ("[log]\nlevel = 3", 2, "log.level", "a number where a text", "level = "),
];

#[test]
fn each_finding_has_its_line_and_fix() {
    let before = SMALL.lines().count();
    for (more, line, key, what, fix) in CASES {
        let found = findings(more);
        let hit = found.iter().find(|(at, found_key, found_what, found_fix)| {
            *at == Some(before + line) && found_key == key && found_what.contains(what) && found_fix.contains(fix)
        });
        assert!(hit.is_some(), "{more}\nexpected line {} {key}: {what} / {fix}\nfound {found:#?}", before + line);
    }
}

#[test]
fn a_slip_of_one_letter_is_one_finding() {
    for (more, _, key, ..) in CASES {
        let found = findings(more);
        // A missing value can hide no second fault, so what is expected is all there is.
        let others: Vec<_> = found.iter().filter(|(_, other, ..)| other != key).collect();
        assert!(others.is_empty() || more.contains("localhost:1"), "{more}: {others:?}");
    }
}

#[test]
fn all_findings_at_once_with_file_line_and_text() {
    let text = "[community]\nnam = \"x\"\nhome_community_id = \"2.999.1\"\n[[listener]]\nbind = \"nowhere\"\n";
    let error = Config::from_toml(text, Path::new("")).unwrap_err();
    assert_eq!(error.findings.len(), 6, "{error}");
    let shown = error.to_string();
    assert!(shown.starts_with("configuration: 6 findings"), "{shown}");
    for part in [
        "line 2: community.nam: unknown key\n     2 | nam = \"x\"\n   fix | did you mean name?",
        "line 1: community.name: the key is missing",
        "line 3: community.home_community_id: not a valid homeCommunityId",
        "line 5: listener[0].bind",
        "line 4: listener[0].tls",
    ] {
        assert!(shown.contains(part), "{part}\nin\n{shown}");
    }
}

#[test]
fn no_patient_is_shown() {
    let error = with("[patients]\nknown = [\"9990010013^^^&x&ISO\"]\nunknwon = 1").unwrap_err();
    assert!(!error.to_string().contains("9990010013"), "{error}");
    assert!(!format!("{error:?}").contains("9990010013"));
}

#[test]
fn an_empty_file_names_what_is_missing() {
    let error = Config::from_toml("", Path::new("")).unwrap_err();
    let keys: Vec<&str> = error.findings.iter().map(|finding| finding.key.as_str()).collect();
    assert_eq!(keys, ["community.name", "community.home_community_id", "community.repository_unique_id", "listener"]);
}

#[test]
fn production_refuses_examples_tests_and_memory() {
    let more = r#"[storage]
metadata = "memory:"
documents = "memory:"
[patients]
domains = [{ oid = "2.16.840.1.113883.2.1.4.1", check = "nhs-number" }, { oid = "2.999.7" }]
known = ["9990010013^^^&2.16.840.1.113883.2.1.4.1&ISO"]
[[peer]]
name = "E"
home_community_id = "urn:oid:2.999.2"
state = "planned"
[telemetry]
endpoint = "http://collector:4318"
"#;
    assert!(with(more).is_ok());
    let error = overridden(more, &[("CAUSEWAY__COMMUNITY__PROFILE", "production")]).unwrap_err();
    let mut keys: Vec<&str> = error.findings.iter().map(|finding| finding.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "community.home_community_id",
            "community.repository_unique_id",
            "patients.domains[1].oid",
            "patients.known[0]",
            "peer[0].home_community_id",
            "storage.documents",
            "storage.metadata",
            "telemetry.endpoint",
        ],
        "{error}"
    );
    assert!(!is_example("2.9990.1") && is_example("2.999") && is_example("2.999.1"));
}

#[test]
fn nhs_numbers() {
    let judge = IdentifierCheck::NhsNumber;
    for good in ["9990010013", "9990010021", "9000000009", "9111231130"] {
        assert_eq!(judge.judge(good, Profile::Demo), Ok(()), "{good}");
    }
    for bad in ["9990010014", "999001001", "999 001 0013", "", "99900100131", "999001001x", "9000000000"] {
        assert!(judge.judge(bad, Profile::Demo).is_err(), "{bad}");
    }
    assert!(judge.judge("9990010013", Profile::Production).is_err());
    assert_eq!(IdentifierCheck::None.judge("anything", Profile::Production), Ok(()));
}

#[test]
fn the_environment_overrides_every_kind_of_key() {
    let more = r#"[[peer]]
name = "East"
home_community_id = "urn:oid:2.999.2"
responding_gateway = "https://east.example/x"
"#;
    let config = overridden(
        more,
        &[
            ("CAUSEWAY__STORAGE__METADATA", "sled:/var/lib/registry"),
            ("CAUSEWAY__PEER__0__TIMEOUT", "3s"),
            ("CAUSEWAY__PEER__1__NAME", "West, far"),
            ("CAUSEWAY__PEER__1__HOME_COMMUNITY_ID", "urn:oid:2.999.3"),
            ("CAUSEWAY__PEER__1__STATE", "planned"),
            ("CAUSEWAY__LISTENER__0__BIND", "[::1]:8443"),
            ("CAUSEWAY__LISTENER__0__SERVICES", "registry, repository"),
            ("CAUSEWAY__LISTENER__0__TLS__KEY", "/run/secrets/key"),
            ("CAUSEWAY__PATIENTS__DOMAINS", "[{ oid = \"2.999.7\" }]"),
            ("CAUSEWAY__PATIENTS__KNOWN__0", "A^^^&2.999.7&ISO"),
            ("CAUSEWAY__CODES__FILE", "codes.xml"),
            ("CAUSEWAY__CODES__ENFORCE", "false"),
            ("CAUSEWAY__LIMITS__RESULTS", "7"),
            ("CAUSEWAY__LIMITS__DRAIN", "1s"),
            ("CAUSEWAY_CONFIG", "not ours"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.storage.metadata, MetadataStorage::Sled("/var/lib/registry".into()));
    assert_eq!(config.peers[0].timeout, Duration::from_secs(3));
    assert_eq!((config.peers[1].name.as_str(), config.peers[1].states.first), ("West, far", PeerState::Planned));
    assert_eq!(config.listeners[0].bind.to_string(), "[::1]:8443");
    assert_eq!(config.listeners[0].services, [Service::Registry, Service::Repository]);
    assert_eq!(config.listeners[0].tls.key, Path::new("/run/secrets/key"));
    assert_eq!(config.patients.domains.len(), 1);
    assert_eq!(config.patients.known.len(), 1);
    assert!(!config.codes.unwrap().enforce);
    assert_eq!(config.limits.results, 7);
    assert_eq!(config.limits.drain, Duration::from_secs(1));
}

#[test]
fn a_peer_has_gateways_certificates_and_what_it_is_given() {
    let peer = "[[peer]]\nname = \"Far\"\nhome_community_id = \"urn:oid:1.2.2\"\n";
    let config = with(&format!("{peer}responding_gateway = \"https://a/x\"")).unwrap();
    assert_eq!(config.gateways, GatewayRules { tell_planned: true, only_known: false });
    let [far] = &config.peers[..] else { panic!("one peer") };
    assert_eq!(far.gateways().map(Uri::to_string).collect::<Vec<_>>(), ["https://a/x"]);
    assert!(far.certificates.is_empty() && far.shares.is_everything());
    let digits = "AB:".repeat(31) + "AB";
    let config = overridden(
        &format!(
            "{peer}responding_gateway = [\"https://a/x\", \"https://b/x\"]\ncertificates = [\"far\", \"CN=far,O=x\", \"sha256:{digits}\"]\n\
             shares = {{ allow = {{ confidentiality = [\"N\"] }}, deny = {{ class = [\"1\"], type = [\"2^^2.999\"] }} }}\n\
             [initiating_gateway]\ntell_planned = false\n[responding_gateway]\nonly_known = true\n"
        ),
        &[],
    )
    .unwrap();
    assert_eq!(config.gateways, GatewayRules { tell_planned: false, only_known: true });
    let [far] = &config.peers[..] else { panic!("one peer") };
    assert_eq!(far.gateways().map(Uri::to_string).collect::<Vec<_>>(), ["https://a/x", "https://b/x"]);
    assert_eq!(far.certificates[2], CertificateRule::Fingerprint([0xab; 32]));
    assert!(!far.shares.is_everything());
    // By the environment, one or several.
    for (value, gateways) in [("https://c/x", 1), ("[\"https://c/x\", \"https://d/x\"]", 2)] {
        let config = overridden(peer, &[("CAUSEWAY__PEER__0__RESPONDING_GATEWAY", value)]).unwrap();
        assert_eq!(config.peers[0].gateways().count(), gateways);
    }
}

#[test]
fn findings_about_the_environment_name_the_variable() {
    for (name, value, what) in [
        ("CAUSEWAY__STORAGE__METDATA", "memory:", "unknown key"),
        ("CAUSEWAY__LIMITS__RESULTS", "many", "not understood"),
        ("CAUSEWAY__PEER__3__NAME", "x", "there are 0 entries"),
        ("CAUSEWAY__LISTENER__X__BIND", "x", "not the index"),
        ("CAUSEWAY__COMMUNITY__NAME__DEEP", "x", "inside of a text"),
        ("CAUSEWAY__CODES__ENFORCE", "perhaps", "neither true nor false"),
        ("CAUSEWAY__LOG", "json", "not a section"),
        ("CAUSEWAY____LOG", "json", "part of the name is empty"),
    ] {
        let error = overridden("", &[(name, value)]).expect_err(name);
        let finding = error.findings.iter().find(|finding| finding.what.contains(what) && finding.what.contains(name));
        assert!(finding.is_some(), "{name}: {error}");
    }
}

#[test]
fn known_patients_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known.txt");
    std::fs::write(&file, "# first\nA^^^&2.999.7&ISO\n\n B^^^&2.999.7&ISO \n").unwrap();
    let text = format!("{SMALL}[patients]\nknown_file = \"known.txt\"\n");
    assert_eq!(Config::from_toml(&text, dir.path()).unwrap().patients.known.len(), 2);
    std::fs::write(&file, "A^^^&2.999.7&ISO\nsecret\n").unwrap();
    let error = Config::from_toml(&text, dir.path()).unwrap_err();
    assert!(error.findings[0].what.contains("line 2 of known.txt"), "{error}");
    assert!(!error.to_string().contains("secret"));
    std::fs::write(&file, "wrong\n".repeat(1000)).unwrap();
    let error = Config::from_toml(&text, dir.path()).unwrap_err();
    assert_eq!(error.findings.len(), MAX_KNOWN_FINDINGS + 1);
}

#[test]
fn load_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("causeway.toml");
    assert!(Config::load(&path).unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&path, SMALL).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.file.as_deref(), Some(path.as_path()));
    assert_eq!(config.client.key, dir.path().join("c.key"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn the_written_file_is_read_again() {
    let mut template = Template::example().unwrap();
    let config = Config::from_toml(&default_toml(&template), Path::new("")).unwrap();
    assert_eq!(config.community.home_community_id, template.home_community_id);
    assert_eq!(config.listeners[0].bind, template.bind);
    assert_eq!(config.codes.unwrap().file, Path::new("codes.xml"));
    assert_eq!(config.limits, Limits::default());
    template.name = "A \"quoted\" \\ name\nover two lines".to_owned();
    template.names = vec!["gateway.example".to_owned(), "gw".to_owned()];
    template.admin.set_port(0);
    template.patient_domains = vec![Oid::parse("2.999.7").unwrap(), Oid::parse(NHS_NUMBER_DOMAIN).unwrap()];
    template.unknown = UnknownPatients::Reject;
    template.peers = vec![PeerTemplate {
        name: "East = far".to_owned(),
        home_community_id: HomeCommunityId::parse("urn:oid:2.999.2").unwrap(),
        responding_gateway: "https://e.example:1/x".parse().unwrap(),
    }];
    let config = Config::from_toml(&default_toml(&template), Path::new("")).unwrap();
    assert_eq!(config.community.name, template.name);
    assert_eq!(config.admin, Some(template.admin));
    assert_eq!(config.listeners[0].names, template.names);
    assert_eq!(config.patients.domains[1].check, IdentifierCheck::NhsNumber);
    assert_eq!(config.patients.unknown, UnknownPatients::Reject);
    assert_eq!(config.peers[0].name, "East = far");
    assert_eq!(config.peers[0].responding_gateway.as_ref(), Some(&template.peers[0].responding_gateway));
}

#[test]
fn every_commented_default_of_the_written_file_is_the_default() {
    let text = default_toml(&Template::example().unwrap());
    let (head, limits) = text.split_once("[limits]\n").unwrap();
    let open: String = limits.lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
    let config = Config::from_toml(&format!("{head}[limits]\n{open}"), Path::new("")).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert!(text.lines().all(|line| line.chars().count() <= 160));
    // The settings of profiles are those of the one that is used unless told, and each says what it is for.
    let (_, profile) = text.split_once("# [profile.old-engine]\n").unwrap();
    let profile: String =
        profile.lines().take_while(|line| !line.is_empty()).map(|line| format!("{}\n", &line[2..])).collect();
    assert!(
        profile.lines().all(|line| line.split_once(" # ").is_some_and(|(_, about)| !about.is_empty())),
        "{profile}"
    );
    let peer = "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e/x\"\nprofile = \"old\"\n";
    let config = with(&format!("[profile.old]\n{profile}{peer}")).unwrap();
    assert_eq!(config.peers[0].profile.words(), "old");
}

#[test]
fn a_peer_has_states_with_days_and_nodes_behind_it() {
    let with = |peer: &str| with(&format!("[[peer]]\nname = \"Far\"\nhome_community_id = \"urn:oid:1.2.2\"\n{peer}"));
    let peer = "responding_gateway = \"https://far.example/rg\"\nstate = \"planned\"\nsince = \"2026-01-01\"\n\
                changes = [{ from = \"2026-12-01\", state = \"live\" }, { from = \"2027-01-01T08:00:00Z\", state = \"closed\" }]\n\
                nodes = [{ name = \"Near\", home_community_id = \"urn:oid:1.2.2.1\" }]\n";
    let peers = with(peer).unwrap().peers;
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    assert_eq!(peers[0].states.at(at("2026-11-30T23:59:59Z")), PeerState::Planned);
    assert_eq!(peers[0].states.at(at("2026-12-01T00:00:00Z")), PeerState::Live);
    assert_eq!(peers[0].states.at(at("2027-01-01T08:00:00Z")), PeerState::Closed);
    assert_eq!(peers[0].nodes[0].home_community_id.as_str(), "urn:oid:1.2.2.1");
    for (wrong, word) in [
        ("state = \"planned\"\nsince = \"tomorrow\"", "is no day"),
        (
            "responding_gateway = \"https://far.example/rg\"\nchanges = [{ from = \"2026-12-02\", state = \"live\" }, { from = \"2026-12-01\", state = \"live\" }]",
            "in the order of their days",
        ),
        // Who will be live must be reachable then.
        ("state = \"planned\"\nchanges = [{ from = \"2026-12-01\", state = \"live\" }]", "responding_gateway"),
        (
            "responding_gateway = \"https://far.example/rg\"\nnodes = [{ name = \"We\", home_community_id = \"urn:oid:1.2.2\" }]",
            "that another community has",
        ),
    ] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains(word), "{wrong}: {error}");
    }
}

/// Every setting of a profile is read from a profile and from a peer, and changes something.
#[test]
fn every_setting_of_a_profile_is_read() {
    let others = [
        "soap = \"1.1\"",
        "mtom = false",
        "to = \"none\"",
        "to = \"https://inside.example/xca\"",
        "to = \"urn:example:gateway\"",
        "reply_to = false",
        "must_understand = false",
        "action_parameter = false",
        "v3_home_prefix = true",
        "keep_alive = false",
        "trace_header = true",
        "documents_per_request = 5",
        "assume_home = true",
    ];
    let peer =
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e/x\"\n";
    for other in others {
        let of = |text: String| with(&text).unwrap().peers[0].profile.clone();
        let named = of(format!("[profile.old]\n{other}\n{peer}profile = \"old\""));
        assert_eq!(named.words(), format!("old ({other})"));
        assert_eq!(of(format!("{peer}{other}")).words(), format!("ihe ({other})"));
        // What the peer says counts more than its profile.
        let usual = PeerProfile::default().settings();
        let key = other.split(' ').next().unwrap();
        let (_, back) = usual.iter().find(|(name, _)| *name == key).unwrap();
        let text = format!("[profile.old]\n{other}\n{peer}profile = \"old\"\n{key} = {back}");
        assert_eq!(of(text).words(), "old");
    }
    let settings = PeerProfile::default().settings().map(|(name, _)| name);
    let read: Vec<&str> = others.iter().map(|other| other.split(' ').next().unwrap()).collect();
    // That of asynchronous exchange needs an address, and is read below.
    assert!(settings.iter().all(|name| read.contains(name) || *name == "async_actions"));
    let address = "[asynchronous]\naddress = \"https://us.example/services/initiating-gateway\"\n";
    let text = format!("{address}{peer}exchange = \"asynchronous\"\nprofile = \"xca-document-source\"");
    assert!(with(&text).unwrap().peers[0].profile.async_actions);
}

#[test]
fn profiles_that_cannot_be_meant() {
    let peer =
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e/x\"\n";
    for (text, line, key, what, fix) in [
        (format!("{peer}profile = \"soap-1.2\""), 5, "peer[0].profile", "no profile", "did you mean soap-1.1?"),
        (format!("[profile.ihe]\nsoap = \"1.1\"\n{peer}"), 1, "profile.ihe", "built in", "name of its own"),
        (format!("[profile.a]\nsopa = \"1.1\"\n{peer}"), 2, "profile.a.sopa", "unknown key", "did you mean soap?"),
        (
            format!("[profile.a]\nsoap = \"2\"\n{peer}"),
            2,
            "profile.a.soap",
            "not one of its values",
            "did you mean 1.2?",
        ),
        (format!("profile = 1\n{peer}"), 1, "listener[0].profile", "unknown key", ""),
        (format!("{peer}to = \"there\""), 5, "peer[0].to", "neither an address", "\"none\""),
        (format!("{peer}async_actions = true"), 5, "peer[0].async_actions", "whose answers come later", "exchange"),
        (
            format!(
                "[asynchronous]\naddress = \"https://us/services/initiating-gateway\"\n{peer}exchange = \"asynchronous\"\nreply_to = false"
            ),
            8,
            "peer[0].reply_to",
            "need a wsa:ReplyTo",
            "synchronous",
        ),
    ] {
        // The smallest configuration has seven lines.
        let found = findings(&text);
        let [(at, found_key, found_what, found_fix)] = &found[..] else { panic!("{text}: {found:?}") };
        assert_eq!((*at, found_key.as_str()), (Some(line + 7), key), "{text}");
        assert!(found_what.contains(what) && found_fix.contains(fix), "{found:?}");
    }
}

#[test]
fn queries_are_directed_where_that_is_written() {
    assert_eq!(with("").unwrap().locator, Locator::default());
    assert_eq!(Locator::default().policy, LocatorPolicy::Broadcast);
    const PEERS: &str = "[[peer]]\nname = \"L\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nlocator = true\n\
        [[peer]]\nname = \"P\"\nhome_community_id = \"urn:oid:2.999.3\"\nstate = \"planned\"\nlocated_by = \"urn:oid:2.999.2\"\n";
    let config = with(&format!(
        "{PEERS}[locator]\npolicy = \"directed\"\nknows_nothing = \"1h\"\nbroadcast_every = \"0s\"\nper_user = false\ntell = true\nwait = \"500ms\"\n"
    ))
    .unwrap();
    let hour = Duration::from_secs(3600);
    let expected = Locator {
        policy: LocatorPolicy::Directed,
        knows_nothing: hour,
        broadcast_every: Duration::ZERO,
        per_user: false,
        tell: true,
        wait: Duration::from_millis(500),
    };
    assert_eq!(config.locator, expected);
    let locators: Vec<bool> = config.peers.iter().map(|peer| peer.locator).collect();
    assert_eq!(locators, [true, false]);
    assert_eq!(config.peers[1].located_by, HomeCommunityId::parse("urn:oid:2.999.2").ok());
    // What is said of a patient is not believed for longer than a day.
    for (wrong, told) in [
        ("[locator]\nknows_nothing = \"25h\"\n".to_owned(), "it must be from"),
        ("[locator]\nknows_nothing = \"0s\"\n".to_owned(), "it must be from"),
        ("[locator]\npolicy = \"guess\"\n".to_owned(), "not one of its values"),
        (PEERS.replace("locator = true", "locator = false"), "no other peer with locator = true"),
        (PEERS.replace("located_by = \"urn:oid:2.999.2\"", "located_by = \"urn:oid:2.999.9\""), "no other peer"),
        (PEERS.replace("located_by = \"urn:oid:2.999.2\"", "located_by = \"2.999.2\""), "homeCommunityId"),
    ] {
        let findings = findings(&wrong);
        assert!(findings.len() == 1 && findings[0].2.contains(told), "{findings:?}");
    }
}
