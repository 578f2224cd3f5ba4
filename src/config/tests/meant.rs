//! Settings that work, and are most likely not what was meant.

use super::*;

/// What is appended to the small configuration, the line counted from there, key, part of what is told, and of
/// what to do.
pub(super) const NOTED: &[Case] = &[
    (
        "names = [\"us.example\"]\n[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = [\"https://e/x\",\n\"https://US.example:8443/services/responding-gateway\"]",
        5,
        "peer[0].responding_gateway",
        "an address of ours",
        "does not ask itself",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e:8443\"",
        4,
        "peer[0].responding_gateway",
        "no path",
        "/services/responding-gateway",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = [\"https://e/x\", \"https://e/services/registry\"]",
        4,
        "peer[0].responding_gateway[1]",
        "another service, registry",
        "/services/responding-gateway",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = [\"https://e/x\", \"https://f/x\"]\ntimeout = \"1500ms\"",
        5,
        "peer[0].timeout",
        "of 2 gateways the first has 750ms",
        "raise timeout",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://e/x\"\ntimeout = \"60s\"",
        5,
        "peer[0].timeout",
        "no query or retrieve takes so long",
        "lower it",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\n\
         [[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.3\"\nstate = \"planned\"",
        6,
        "peer[1].name",
        "name of another peer",
        "its own",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"CN=E\"]",
        5,
        "peer[0].certificates[0]",
        "the whole subject",
        "write \"E\"",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"E\"]\n\
         [[peer]]\nname = \"F\"\nhome_community_id = \"urn:oid:2.999.3\"\nkind = \"consume-only\"\n[responding_gateway]\nonly_known = true",
        6,
        "peer[1].certificates",
        "not answered when it asks",
        "add certificates = ",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nca = \"e.pem\"\npatient_id = \"discover\"\nfeed = true",
        1,
        "peer[0].certificates",
        "a ca of its own is recognised by certificates alone",
        "add certificates = ",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\ncertificates = [\"E\"]\n\
         shares = { allow = { confidentiality = [\"N\", \"V^^2.999\"] }, deny = { confidentiality = [\"V^^2.999\"] } }",
        6,
        "peer[0].shares",
        "confidentiality V^^2.999 is both",
        "one of the lists",
    ),
    (
        "[[peer]]\nname = \"E\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nlocator = true",
        5,
        "peer[0].locator",
        "is broadcast",
        "policy = \"directed\"",
    ),
    ("[locator]\nknows_nothing = \"1h\"", 1, "locator", "is broadcast", "policy = \"directed\""),
    (
        "[locator]\npolicy = \"directed\"\n[limits]\nlocated_patients = 0",
        1,
        "locator",
        "nothing is remembered",
        "limits.located_patients",
    ),
    ("[locator]\npolicy = \"directed\"\nwait = \"30s\"", 3, "locator.wait", "leave no time", "wait = \"2s\""),
    (
        "[locator]\npolicy = \"directed\"\n[[peer]]\nname = \"L\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\nlocator = true\n\
         [[peer]]\nname = \"P\"\nhome_community_id = \"urn:oid:2.999.3\"\nresponding_gateway = \"https://p/x\"\nlocated_by = \"urn:oid:2.999.2\"",
        12,
        "peer[1].located_by",
        "\"L\" is never asked",
        "state = \"live\"",
    ),
    ("[discovery]\ndeferred = true", 2, "discovery.deferred", "nobody is answered later", "callback = "),
    ("[discovery]\nrevocation = true", 2, "discovery.revocation", "nothing to take back", "patient_id = "),
    (
        "services = [\"registry\", \"repository\"]\nproviders = [\"hwe-gateway\"]",
        2,
        "listener[0].providers",
        "nothing is put there",
        "responding-gateway",
    ),
    ("[telemetry]\nendpoint = \"https://c.example:4317\"", 2, "telemetry.endpoint", "gRPC", "4318"),
];

#[test]
fn what_was_hardly_meant_is_noted_with_its_line() {
    let before = SMALL.lines().count();
    for (more, line, key, what, fix) in NOTED {
        let notes = with(more).unwrap_or_else(|error| panic!("{more}: {error}")).notes;
        let [note] = &notes[..] else { panic!("{more}: {notes:#?}") };
        assert_eq!((note.line, note.key.as_str()), (Some(before + line), *key), "{more}");
        assert!(note.what.contains(what) && note.fix.contains(fix), "{note:?}");
    }
}

#[test]
fn what_is_meant_is_not_noted() {
    let text = "names = [\"us.example\"]\n[locator]\npolicy = \"directed\"\n\
        [asynchronous]\naddress = \"https://us.example:8443/services/initiating-gateway\"\n[discovery]\ndeferred = true\nrevocation = true\n\
        [[peer]]\nname = \"L\"\nhome_community_id = \"urn:oid:2.999.2\"\nlocator = true\nstate = \"planned\"\nchanges = [{ from = \"2026-12-01\", state = \"live\" }]\n\
        responding_gateway = [\"https://us.example/x\", \"https://l.example:8443/xca\"]\ncallback = \"https://l.example/\"\n\
        [[peer]]\nname = \"P\"\nhome_community_id = \"urn:oid:2.999.3\"\nresponding_gateway = \"https://p/x\"\nlocated_by = \"urn:oid:2.999.2\"\n\
        ca = \"p.pem\"\npatient_id = \"discover\"\nexchange = \"deferred\"\nfeed = true\ncertificates = [\"O = Trust, CN = p\"]\n\
        shares = { allow = { class = [\"a\"] }, deny = { type = [\"a\"] } }\n\
        [[peer]]\nname = \"Q\"\nhome_community_id = \"urn:oid:2.999.4\"\nresponding_gateway = \"https://q/x\"\npatient_id = \"discover\"\nexchange = \"deferred\"\n\
        [[peer]]\nname = \"C\"\nhome_community_id = \"urn:oid:2.999.5\"\nstate = \"closed\"\nca = \"c.pem\"\n";
    let config = with(text).unwrap();
    assert!(config.notes.is_empty(), "{:#?}", config.notes);
    let known: Vec<bool> = config.peers.iter().map(|peer| config.knows_by_host(peer)).collect();
    assert_eq!(known, [true, false, true, false]);
    // Callers at the gateways are accepted by others than peers are.
    let more = "[client]\ncertificate = \"c.pem\"\nkey = \"c.key\"\nca = \"other.pem\"\n\
        [[peer]]\nname = \"L\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://l/x\"\n";
    let config = with(more).unwrap();
    assert!(!config.knows_by_host(&config.peers[0]));
    let config = with(&format!("services = [\"registry\"]\n{more}")).unwrap();
    assert!(config.knows_by_host(&config.peers[0]));
}
