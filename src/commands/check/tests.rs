use super::*;
use crate::config::{PeerTemplate, Template, default_toml};
use crate::transport::certificates::{DevelopmentOptions, write_development_set};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

const CODES: &str = r#"<Codes><CodeType name="mimeType"><Code code="text/plain"/></CodeType></Codes>"#;

/// A folder as `causeway init` leaves it, on a free port.
struct Place {
    dir: tempfile::TempDir,
    text: String,
}

impl Place {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Template)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = DevelopmentOptions::new(Timestamp::now());
        write_development_set(&dir.path().join("certs"), &options).unwrap();
        fs::write(dir.path().join("codes.xml"), CODES).unwrap();
        let mut template = Template::example().unwrap();
        template.bind.set_port(0);
        template.admin.set_port(0);
        change(&mut template);
        let text = default_toml(&template);
        Self { dir, text }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> Config {
        Config::from_toml(&self.text, self.dir.path()).unwrap()
    }

    async fn checks(&self) -> Vec<Check> {
        examine(&self.config()).await
    }

    async fn failures(&self) -> Vec<(String, String)> {
        let checks = self.checks().await.into_iter();
        let failed = checks.filter(|check| check.status == Status::Fail);
        failed.map(|check| (check.check, check.what)).collect()
    }
}

fn one(failures: &[(String, String)], check: &str, what: &str) {
    assert!(
        failures.iter().any(|(at, said)| at == check && said.contains(what)),
        "{check}: {what} not in {failures:#?}"
    );
}

#[tokio::test]
async fn a_fresh_folder_is_all_right() {
    let place = Place::new();
    let checks = place.checks().await;
    assert!(checks.iter().all(|check| check.status == Status::Ok), "{checks:#?}");
    let shown = table(&checks, Colour::Off);
    assert!(shown.contains("days left") && shown.ends_with("0 warnings, 0 failures\n"), "{shown}");
    assert!(!place.path("data").exists(), "checking leaves nothing behind");
}

#[tokio::test]
async fn each_fault_is_found() {
    let place = Place::new();
    fs::remove_file(place.path("certs/server.pem")).unwrap();
    one(&place.failures().await, "listener[0].tls", "cannot be read");

    let place = Place::new();
    fs::copy(place.path("certs/client.key"), place.path("certs/server.key")).unwrap();
    one(&place.failures().await, "listener[0].tls", "key");

    let place = Place::new();
    fs::copy(place.path("certs/bad/expired.pem"), place.path("certs/server.pem")).unwrap();
    fs::copy(place.path("certs/bad/expired.key"), place.path("certs/server.key")).unwrap();
    one(&place.failures().await, "listener[0].tls", "expired");

    let place = Place::with(|template| template.names = vec!["gateway.example".to_owned()]);
    one(&place.failures().await, "listener[0].tls", "gateway.example");

    let place = Place::with(|template| template.bind = "203.0.113.77:0".parse().unwrap());
    one(&place.failures().await, "listener[0]", "203.0.113.77");

    let place = Place::new();
    fs::write(place.path("data"), "in the way").unwrap();
    let failures = place.failures().await;
    one(&failures, "storage.metadata", "not a folder");
    one(&failures, "audit.dir", "not a folder");

    let place = Place::new();
    fs::write(place.path("codes.xml"), "<Codes>\n<CodeType>").unwrap();
    one(&place.failures().await, "codes.file", "codes.xml: line");

    let place = Place::new();
    fs::write(place.path("certs/ca.crl"), "nothing").unwrap();
    assert!(!place.failures().await.is_empty());
}

#[tokio::test]
async fn what_deserves_a_look_is_a_warning() {
    let place = Place::with(|template| {
        template.unknown = UnknownPatients::Reject;
        template.admin = "0.0.0.0:0".parse().unwrap();
    });
    fs::set_permissions(place.path("certs/server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let checks = place.checks().await;
    let mut warned: Vec<_> =
        checks.iter().filter(|check| check.status == Status::Warn).map(|check| check.check.as_str()).collect();
    warned.sort_unstable();
    assert_eq!(warned, ["admin", "listener[0].tls", "patients"], "{checks:#?}");
}

#[tokio::test]
async fn production_refuses_development_certificates() {
    let mut place = Place::new();
    place.text = place
        .text
        .replace("\"demo\"", "\"production\"")
        .replace("2.999.826", "1.2.826")
        .replace(", crl = \"certs/ca.crl\"", "");
    let checks = place.checks().await;
    let failures = place.failures().await;
    one(&failures, "listener[0].tls", "development authority");
    assert!(checks.iter().any(|check| check.what.contains("no revocation list")), "{checks:#?}");
}

#[test]
fn configuration_findings_keep_their_lines() {
    let error = Config::from_toml("[community]\nname = 3\n", Path::new("")).unwrap_err();
    let checks = of_configuration(error);
    let shown = table(&checks, Colour::Off);
    assert!(shown.contains("FAIL  community.name, line 2"), "{shown}");
    let json = serde_json::to_value(&checks).unwrap();
    let row = json.as_array().unwrap().iter().find(|row| row["line"] == 2).unwrap();
    assert_eq!((row["status"].as_str(), row["check"].as_str()), (Some("fail"), Some("community.name")));
    assert!(row["fix"].is_string());
}

/// What a peer does with a connection.
#[derive(Clone, Copy)]
enum Behaviour {
    Answer(&'static str),
    Hang,
    Close,
}

/// A peer with the certificates of `place`; answers to one connection.
async fn peer(place: &Place, behaviour: Behaviour) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let material = TlsSource::Files(place.config().listeners[0].tls.clone()).load(UnixTime::now());
    let acceptor = TlsAcceptor::from(server_config(&material.unwrap()).unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match behaviour {
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Close => drop(stream),
            Behaviour::Answer(text) => {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0_u8; 64];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /gateway?wsdl HTTP/1.1\r\n"));
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    address
}

async fn asked(place: &Place, url: &str, timeout: Duration) -> Vec<Check> {
    let url: Uri = url.parse().unwrap();
    let mut config = place.config();
    let text = default_toml(&Template {
        peers: vec![PeerTemplate {
            name: "East".to_owned(),
            home_community_id: crate::model::ids::HomeCommunityId::parse("urn:oid:2.999.2").unwrap(),
            responding_gateway: url,
        }],
        ..Template::example().unwrap()
    });
    config.peers = Config::from_toml(&text, place.dir.path()).unwrap().peers;
    config.peers[0].timeout = timeout;
    let checks = examine(&config).await;
    checks.into_iter().filter(|check| check.check == "peer East").collect()
}

#[tokio::test]
async fn a_peer_is_reached_or_the_failing_step_is_named() {
    let (ours, theirs) = (Place::new(), Place::new());
    let long = Duration::from_secs(20);
    let cases = [
        (&ours, Behaviour::Answer("HTTP/1.1 200 OK\r\n\r\n"), "localhost", long, "answers HTTP 200 over TLS 1.3"),
        (&ours, Behaviour::Answer("HTTP/1.1 200 OK\r\n\r\n"), "127.0.0.1", long, "answers HTTP 200 over TLS 1.3"),
        (&ours, Behaviour::Answer("SSH-2.0-something"), "localhost", long, "first answer: it is not HTTP"),
        (&ours, Behaviour::Hang, "localhost", Duration::from_millis(200), "TLS handshake: no answer"),
        (&ours, Behaviour::Close, "localhost", long, "TLS handshake"),
        (&theirs, Behaviour::Answer(""), "localhost", long, "TLS handshake"),
    ];
    for (place, behaviour, host, timeout, said) in cases {
        let address = peer(place, behaviour).await;
        let checks = asked(&ours, &format!("https://{host}:{}/gateway", address.port()), timeout).await;
        let [check] = &checks[..] else { panic!("{checks:#?}") };
        assert!(check.what.contains(said), "{said}: {check:?}");
        assert_eq!(check.status == Status::Ok, said.starts_with("answers"), "{check:?}");
    }
    // Trusted by us, not trusting us.
    fs::copy(theirs.path("certs/ca.pem"), ours.path("certs/theirs.pem")).unwrap();
    let address = peer(&theirs, Behaviour::Answer("")).await;
    let files = TlsFiles { client_ca: ours.path("certs/theirs.pem"), crl: None, ..ours.config().client };
    let url = format!("https://localhost:{}/gateway", address.port()).parse().unwrap();
    let checks = reach("peer", &url, &files, long, &ours.config(), Timestamp::now(), None).await;
    assert!(checks[0].what.contains("first answer"), "{checks:#?}");
    assert!(checks[0].fix.as_deref().unwrap().contains("our certificate"), "{checks:#?}");
    // Nobody there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let checks = asked(&ours, &format!("https://{free}/gateway"), long).await;
    assert!(checks[0].what.contains("connection: "), "{checks:#?}");
}

#[tokio::test]
async fn the_profile_of_a_peer_is_shown_if_it_is_not_the_usual_one() {
    let place = Place::new();
    let mut config = place.config();
    let peer = "[profile.old]\nsoap = \"1.1\"\n[[peer]]\nname = \"East\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\n";
    let text = default_toml(&Template::example().unwrap());
    for (more, words) in
        [("", None), ("profile = \"old\"\nmtom = false", Some("profile old (soap = \"1.1\", mtom = false)"))]
    {
        config.peers = Config::from_toml(&format!("{peer}{more}\n{text}"), place.dir.path()).unwrap().peers;
        let checks = examine(&config).await;
        let shown: Vec<_> =
            checks.iter().filter(|check| check.check == "peer East").map(|check| check.what.as_str()).collect();
        assert_eq!(shown.get(1).copied(), words, "{shown:?}");
    }
}

/// The checks of a configuration with that written behind what `init` writes.
async fn with(place: &Place, more: &str) -> Vec<Check> {
    let config = Config::from_toml(&format!("{}\n{more}", place.text), place.dir.path());
    examine(&config.unwrap_or_else(|error| panic!("{error}"))).await
}

fn told<'c>(checks: &'c [Check], what: &str) -> &'c Check {
    checks.iter().find(|check| check.what.contains(what)).unwrap_or_else(|| panic!("{what} not in {checks:#?}"))
}

const PLANNED: &str = "[[peer]]\nname = \"East\"\nhome_community_id = \"urn:oid:2.999.2\"\nstate = \"planned\"\n";

#[tokio::test]
async fn what_was_hardly_meant_is_a_warning_with_its_line() {
    let place = Place::new();
    let checks = with(&place, &format!("{PLANNED}certificates = [\"CN=East\"]\n")).await;
    let note = told(&checks, "the whole subject");
    let line = place.text.lines().count() + 6;
    assert_eq!((note.status, note.check.as_str(), note.line), (Status::Warn, "peer[0].certificates[0]", Some(line)));
    assert!(table(&checks, Colour::Off).contains(&format!("warn  peer[0].certificates[0], line {line}")));
}

#[tokio::test]
async fn files_certificates_and_codes_of_peers_that_are_not_asked_are_looked_at() {
    let place = Place::new();
    // Without it the broker does not start.
    let checks = with(&place, &format!("{PLANNED}ca = \"certs/none.pem\"\n")).await;
    assert_eq!(told(&checks, "our own side: cannot read").status, Status::Fail);
    let checks = with(&place, &format!("{PLANNED}ca = \"certs/server.pem\"\n")).await;
    let leaf = told(&checks, "which is no authority");
    assert!(leaf.status == Status::Warn && leaf.fix.as_deref().unwrap().contains("issuer, CN="), "{leaf:?}");
    let checks = with(&place, &format!("{PLANNED}ca = \"certs/ca.pem\"\ncertificates = [\"East\"]\n")).await;
    assert!(checks.iter().all(|check| check.status == Status::Ok), "{checks:#?}");
    let own = certificates::facts_from_pem(&fs::read(place.path("certs/server.pem")).unwrap()).unwrap();
    let rule = own[0].common_name.clone().unwrap();
    let checks = with(&place, &format!("{PLANNED}certificates = [\"{rule}\"]\n")).await;
    assert_eq!(told(&checks, "its certificates are ours too").status, Status::Warn);

    let code = "<CodeType name=\"confidentialityCode\" classScheme=\"urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f\"><Code code=\"N\" codingScheme=\"2.999.5\"/></CodeType>";
    fs::write(place.path("codes.xml"), CODES.replace("</Codes>", &format!("{code}</Codes>"))).unwrap();
    let shares = "shares = { allow = { confidentiality = [\"N\", \"N^^2.999.5\"], type = [\"any\"] }, deny = { confidentiality = [\"n\", \"N^^2.999.6\"] } }";
    let checks = with(&place, &format!("{PLANNED}certificates = [\"East\"]\n{shares}\n")).await;
    let warned: Vec<&str> =
        checks.iter().filter(|check| check.status == Status::Warn).map(|check| check.what.as_str()).collect();
    let [one, other] = warned[..] else { panic!("{warned:?}") };
    assert!(one.contains("shares.deny.confidentiality: the code file has no n"), "{one}");
    assert!(other.contains("has no N^^2.999.6"), "{other}");
}

#[tokio::test]
async fn the_address_of_answers_is_one_that_the_certificate_covers() {
    let place = Place::new();
    for (host, covered) in [("localhost", true), ("us.example", false)] {
        let more = format!("[asynchronous]\naddress = \"https://{host}:8443/services/initiating-gateway\"\n");
        let checks = with(&place, &more).await;
        assert_eq!(checks.iter().all(|check| check.status == Status::Ok), covered, "{checks:#?}");
        if !covered {
            assert_eq!(told(&checks, "does not cover it").check, "asynchronous.address");
        }
    }
    let checks = with(&place, "[telemetry]\nendpoint = \"http://127.0.0.1:4318\"\n").await;
    assert!(told(&checks, "in the clear, not called").status == Status::Ok);
}

#[tokio::test]
async fn a_peer_that_answers_may_be_the_wrong_one_all_the_same() {
    let place = Place::new();
    for (head, status) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Status::Ok),
        ("HTTP/1.1 405 Not Allowed\r\n\r\n", Status::Ok),
        ("HTTP/1.1 500 Oh\r\n\r\n", Status::Ok),
        ("HTTP/1.1 404 Not Found\r\n\r\n", Status::Warn),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", Status::Warn),
        ("HTTP/1.1 302 Found\r\n\r\n", Status::Warn),
        ("HTTP/1.1 503 Unavailable\r\n\r\n", Status::Warn),
    ] {
        let address = peer(&place, Behaviour::Answer(head)).await;
        let checks = asked(&place, &format!("https://{address}/gateway"), Duration::from_secs(20)).await;
        let [check] = &checks[..] else { panic!("{checks:#?}") };
        assert_eq!((check.status, check.fix.is_some()), (status, status == Status::Warn), "{check:?}");
    }
    // What it shows is held against what it is recognised by; patients may be asked for elsewhere.
    let own = certificates::facts_from_pem(&fs::read(place.path("certs/server.pem")).unwrap()).unwrap();
    let theirs = format!("sha256:{}", own[0].fingerprint_hex());
    for (rule, fits) in [(theirs.as_str(), true), ("East", false)] {
        let (gateway, discovery) = (
            peer(&place, Behaviour::Answer("HTTP/1.1 200 OK\r\n\r\n")).await,
            peer(&place, Behaviour::Answer("HTTP/1.1 404 Not Found\r\n\r\n")).await,
        );
        let more = format!(
            "[[peer]]\nname = \"East\"\nhome_community_id = \"urn:oid:2.999.2\"\nresponding_gateway = \"https://{gateway}/gateway\"\n\
             patient_id = \"discover\"\npatient_discovery = \"https://{discovery}/gateway\"\ncertificates = [\"{rule}\"]\n"
        );
        let checks = with(&place, &more).await;
        let shown = checks.iter().filter(|check| check.what.contains("none of its certificates")).count();
        assert_eq!(shown, if fits { 0 } else { 2 }, "{checks:#?}");
        assert_eq!(told(&checks, "HTTP 404").check, "peer East, patient discovery");
    }
}
