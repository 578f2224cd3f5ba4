//! `causeway doctor` against peers that work and peers that do not: each names the step and its cause.

mod certificates;
mod configured;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use causeway::model::ids::HomeCommunityId;
use causeway::transaction::Service;
use causeway::transport::diagnosis::{Ask, Configured, Diagnosis, Finding, IssuerIs, Status, Step, Subject, diagnose};
use causeway::transport::peer::profile::PeerProfile;
use causeway::transport::tls::{ReloadableServer, TlsFiles};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

fn subject(url: &str) -> Subject {
    let uri: http::Uri = url.parse().expect("a URL");
    Subject {
        service: Service::from_path(uri.path()).unwrap_or(Service::RespondingGateway),
        uri,
        files: TlsFiles { crl: Some(CERTIFICATES.path.join("ca.crl")), ..CERTIFICATES.files("client") },
        security: None,
        home: None,
        timeout: Duration::from_secs(5),
        only: Some(Ask::Query),
        profile: PeerProfile::default(),
        configured: Configured::default(),
    }
}

/// The step that fails, with what it says.
fn failure(diagnosis: &Diagnosis) -> &Finding {
    diagnosis.failure().unwrap_or_else(|| panic!("nothing fails: {:#?}", diagnosis.findings))
}

fn step(diagnosis: &Diagnosis, step: Step) -> &Finding {
    diagnosis.findings.iter().find(|finding| finding.step == step).unwrap_or_else(|| panic!("no {step:?}"))
}

/// Asserts that the step fails, what it says and what it advises, and that what comes after it was not come to.
fn fails_at(diagnosis: &Diagnosis, at: Step, what: &str, fix: &str) {
    let failed = failure(diagnosis);
    assert_eq!(failed.step, at, "{:#?}", diagnosis.findings);
    assert!(failed.what.contains(what), "{what:?} is not in {failed:#?}");
    assert!(failed.fix.as_deref().is_some_and(|said| said.contains(fix)), "{fix:?} is not in {failed:#?}");
    let response = step(diagnosis, Step::Response);
    assert!(at == Step::Response || response.status == Status::Skipped, "{:#?}", diagnosis.findings);
}

/// Everything of an HTTP request.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}

/// Answers one request; an answer that is empty never comes.
async fn answer_one(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &(impl Fn(&str) -> String + ?Sized)) {
    let Some(request) = request(stream).await else { return };
    let answer = answer(&request);
    if answer.is_empty() {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.flush().await;
    let _ = stream.shutdown().await;
}

type Answer = dyn Fn(&str) -> String + Send + Sync;

/// A peer with that certificate, and that answer to a request.
async fn peer(files: TlsFiles, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let tls = ReloadableServer::new(files).expect("server settings");
    let answer: Arc<Answer> = Arc::new(answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://127.0.0.1:{}/services/responding-gateway", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (tls.acceptor(), Arc::clone(&answer));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                answer_one(&mut stream, &*answer).await;
            });
        }
    });
    url
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn soap(status: &str, body: &str) -> String {
    http(status, "Content-Type: application/soap+xml\r\n", body)
}

async fn diagnosed(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Diagnosis {
    diagnose(&subject(&peer(CERTIFICATES.files("server"), answer).await)).await
}

// --- peers that work -------------------------------------------------------------------------

#[tokio::test]
async fn every_service_of_a_broker_is_all_right() {
    let broker = TestBroker::start(Options::default()).await;
    for service in Service::ALL {
        let mut subject = Subject { only: None, ..subject(&broker.url(service.name())) };
        subject.home = Some(HomeCommunityId::parse(HOME).unwrap());
        let diagnosis = diagnose(&subject).await;
        for finding in &diagnosis.findings {
            assert_eq!(finding.status, Status::Ok, "{}: {finding:#?}", service.name());
        }
        assert_eq!(diagnosis.agreed.as_ref().map(|agreed| agreed.version.as_str()), Some("TLS 1.3"));
        assert_eq!(diagnosis.certificates[0].issuer_is, IssuerIs::Trusted);
    }
    // It asks for nobody: no patient is in any audit record.
    let records = audit_records(&broker.broker);
    assert!(records.iter().any(|record| record.contains("ITI-38")));
    assert!(records.iter().all(|record| !record.contains("Patient Number")), "{records:#?}");
}

#[tokio::test]
async fn a_peer_that_is_another_community_is_told() {
    let broker = TestBroker::start(Options::default()).await;
    let home = Some(HomeCommunityId::parse("urn:oid:2.999.77").unwrap());
    let diagnosis = diagnose(&Subject { home, ..subject(&broker.url("responding-gateway")) }).await;
    let failed = failure(&diagnosis);
    assert_eq!(failed.step, Step::Home);
    assert!(failed.what.contains("2.999.77") && failed.fix.as_ref().unwrap().contains("home_community_id"));
}

// --- network ---------------------------------------------------------------------------------

#[tokio::test]
async fn a_name_that_nobody_knows() {
    let diagnosis = diagnose(&subject("https://no-such-peer.invalid:8443/services/responding-gateway")).await;
    fails_at(&diagnosis, Step::Dns, "no-such-peer.invalid", "name service");
}

#[tokio::test]
async fn a_port_where_nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let diagnosis = diagnose(&subject(&format!("https://127.0.0.1:{port}/services/registry"))).await;
    fails_at(&diagnosis, Step::Tcp, "connection refused", "check the port");
}

#[tokio::test]
async fn a_port_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/services/registry", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let diagnosis = diagnose(&subject(&url)).await;
    fails_at(&diagnosis, Step::Tls, "HTTP without TLS: HTTP/1.1 400 Bad Request", "check the port");
}

#[tokio::test]
async fn a_port_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/x", listener.local_addr().unwrap().port());
    let diagnosis = diagnose(&Subject { timeout: Duration::from_millis(200), ..subject(&url) }).await;
    fails_at(&diagnosis, Step::Tls, "does not answer to TLS", "another program");
}

// --- TLS -------------------------------------------------------------------------------------

/// A peer that speaks only what is old, by another library.
fn old_peer(version: openssl::ssl::SslVersion, ciphers: &str) -> String {
    use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
    let files = CERTIFICATES.files("server");
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
    acceptor.set_security_level(0);
    acceptor.set_min_proto_version(Some(version)).unwrap();
    acceptor.set_max_proto_version(Some(version)).unwrap();
    acceptor.clear_options(openssl::ssl::SslOptions::NO_TLSV1 | openssl::ssl::SslOptions::NO_TLSV1_1);
    acceptor.set_cipher_list(ciphers).unwrap();
    acceptor.set_certificate_chain_file(&files.certificate).unwrap();
    acceptor.set_private_key_file(&files.key, SslFiletype::PEM).unwrap();
    let acceptor = acceptor.build();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://127.0.0.1:{}/services/registry", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = acceptor.accept(stream);
        }
    });
    url
}

#[tokio::test]
async fn versions_and_suites_that_are_too_old_are_named() {
    use openssl::ssl::SslVersion;
    let diagnosis = diagnose(&subject(&old_peer(SslVersion::TLS1, "ALL:@SECLEVEL=0"))).await;
    fails_at(&diagnosis, Step::Tls, "it takes TLSv1 with", "TLS 1.2 and 1.3");
    let diagnosis = diagnose(&subject(&old_peer(SslVersion::TLS1_2, "ECDHE-ECDSA-AES128-SHA"))).await;
    fails_at(&diagnosis, Step::Tls, "it takes TLSv1.2 with ECDHE-ECDSA-AES128-SHA", "AES-GCM");
}

#[tokio::test]
async fn certificates_that_are_not_accepted_are_explained() {
    for (name, at, what, fix) in [
        ("expired", Step::Chain, "CN=Expired", "renew"),
        ("unknown-issuer", Step::Chain, "is issued by CN=Unknown to Causeway", "--ca"),
        ("revoked", Step::Chain, "was revoked by its issuer", "new key"),
        ("wrong-name", Step::Name, "called 127.0.0.1, and the certificate is for wrong-name.invalid", "into the URL"),
    ] {
        let url = peer(CERTIFICATES.files(&format!("bad/{name}")), |_| soap("200 OK", "")).await;
        let diagnosis = diagnose(&subject(&url)).await;
        fails_at(&diagnosis, at, what, fix);
        assert_eq!(step(&diagnosis, Step::Tls).status, Status::Ok, "{name}");
        assert_eq!(diagnosis.agreed.as_ref().map(|agreed| agreed.version.as_str()), Some("TLS 1.3"), "{name}");
        assert_eq!(diagnosis.certificates.len(), 1, "{name}");
        assert_eq!(step(&diagnosis, Step::ClientCertificate).status, Status::Skipped, "{name}");
    }
}

/// Who trusts another authority than ours.
fn of_another_authority() -> TlsFiles {
    TlsFiles { client_ca: CERTIFICATES.path.join("bad/unknown-ca.pem"), ..CERTIFICATES.files("server") }
}

#[tokio::test]
async fn a_peer_that_does_not_trust_our_authority() {
    let url = peer(of_another_authority(), |_| soap("200 OK", "")).await;
    let diagnosis = diagnose(&subject(&url)).await;
    fails_at(&diagnosis, Step::ClientCertificate, "alert UnknownCA", "show a certificate of one of those authorities");
    let failed = failure(&diagnosis);
    assert!(failed.what.contains("takes certificates from CN=Unknown to Causeway"), "{failed:?}");
    assert!(failed.what.contains("CN=Causeway development client"), "{failed:?}");
    for earlier in [Step::Tls, Step::Chain, Step::Name] {
        assert_eq!(step(&diagnosis, earlier).status, Status::Ok);
    }
}

#[tokio::test]
async fn a_peer_that_speaks_tls_1_2_and_does_not_trust_our_authority() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let files = of_another_authority();
    let mut anchors = rustls::RootCertStore::empty();
    anchors.add(CertificateDer::from_pem_file(&files.client_ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(anchors.into(), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&files.certificate).unwrap()],
            PrivateKeyDer::from_pem_file(&files.key).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/services/registry", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let diagnosis = diagnose(&subject(&url)).await;
    fails_at(&diagnosis, Step::ClientCertificate, "did not accept CN=Causeway development client", "--cert");
    assert_eq!(diagnosis.agreed.map(|agreed| agreed.version).as_deref(), Some("TLS 1.2"));
}

#[tokio::test]
async fn certificates_of_our_own_that_no_broker_accepts() {
    let broker = TestBroker::start(Options::default()).await;
    for (name, at, what, fix) in [
        ("expired", Step::OwnCertificate, "CN=Expired", "renewed"),
        ("revoked", Step::ClientCertificate, "CertificateRevoked", "ask the certificate's issuer"),
        ("unknown-issuer", Step::ClientCertificate, "the peer takes certificates from CN=Causeway", "--cert"),
        ("server-only", Step::ClientCertificate, "CN=Server only", "clientAuth"),
    ] {
        let files = CERTIFICATES.files(&format!("bad/{name}"));
        let diagnosis = diagnose(&Subject { files, ..subject(&broker.url("registry")) }).await;
        fails_at(&diagnosis, at, what, fix);
        assert_eq!(step(&diagnosis, Step::ClientCertificate).status, Status::Fail, "{name}");
    }
}

#[tokio::test]
async fn files_that_do_not_fit_are_found_before_anybody_is_called() {
    let files = TlsFiles { key: CERTIFICATES.path.join("server.key"), ..CERTIFICATES.files("client") };
    let diagnosis = diagnose(&Subject { files, ..subject("https://127.0.0.1:1/x") }).await;
    fails_at(&diagnosis, Step::OwnCertificate, "does not belong to", "correct the file");
    assert_eq!(step(&diagnosis, Step::Tcp).status, Status::Skipped);
}

#[tokio::test]
async fn a_revocation_list_that_expired_is_ours_to_renew() {
    use causeway::transport::certificates::DevelopmentAuthority;
    let days = |days: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let authority = DevelopmentAuthority::new("North", days(-30)).unwrap();
    let list = authority.revocation_list_pem(days(-20), days(-10)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (crl, client_ca) = (write("ca.crl", &list), write("ca.pem", &authority.certificate_pem().unwrap()));
    let issued = [
        authority.issue_server(&[], &[[127, 0, 0, 1].into()], "Server").unwrap(),
        authority.issue_client("Client").unwrap(),
    ];
    let [server, client] = ["server", "client"].map(|name| {
        let issued = &issued[usize::from(name == "client")];
        TlsFiles {
            certificate: write(&format!("{name}.pem"), &issued.certificate_pem),
            key: write(&format!("{name}.key"), &issued.key_pem),
            client_ca: client_ca.clone(),
            crl: None,
        }
    });
    let relates = |id: &str| format!("<a:RelatesTo>{id}</a:RelatesTo>");
    let url = peer(server, move |request| nothing_found(request, relates)).await;
    let diagnosis = diagnose(&Subject { files: TlsFiles { crl: Some(crl), ..client }, ..subject(&url) }).await;
    let failed = failure(&diagnosis);
    assert_eq!(failed.step, Step::OwnCertificate);
    assert!(failed.what.contains("expired on") && failed.what.contains("fetch the current list"), "{failed:?}");
    // It is looked at what else there may be.
    assert_eq!(step(&diagnosis, Step::Response).status, Status::Ok);
}

// --- HTTP and SOAP ---------------------------------------------------------------------------

#[tokio::test]
async fn answers_that_are_no_services() {
    let diagnosis = diagnosed(|_| http("404 Not Found", "Content-Type: text/html\r\n", "<title>Nothing</title>")).await;
    fails_at(&diagnosis, Step::Http, "HTTP 404 for /services/responding-gateway", "check the path");
    let diagnosis = diagnosed(|_| http("302 Found", "Location: https://login.example/\r\n", "")).await;
    fails_at(&diagnosis, Step::Http, "redirects to https://login.example/", "final address");
    let page = "<html><title>Request Rejected</title>Your support ID is: 17</html>";
    let diagnosis = diagnosed(move |_| http("200 OK", "Content-Type: text/html\r\nServer: bigip\r\n", page)).await;
    fails_at(&diagnosis, Step::Http, "(from bigip)", "firewalls");
    assert!(failure(&diagnosis).what.contains("firewall for web applications"));
    assert_eq!(step(&diagnosis, Step::ClientCertificate).status, Status::Ok);
    let diagnosis = diagnosed(|_| "SSH-2.0-server\r\n".to_owned()).await;
    fails_at(&diagnosis, Step::Http, "no HTTP", "another program");
}

#[tokio::test]
async fn a_peer_that_hangs() {
    let url = peer(CERTIFICATES.files("server"), |_| String::new()).await;
    let diagnosis = diagnose(&Subject { timeout: Duration::from_millis(300), ..subject(&url) }).await;
    fails_at(&diagnosis, Step::Http, "did not answer within 300 ms", "--timeout");
}

const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";

#[tokio::test]
async fn a_peer_that_speaks_soap_1_1_only() {
    let fault = format!(
        "<s:Envelope xmlns:s=\"{SOAP11}\"><s:Body><s:Fault><faultcode>s:VersionMismatch</faultcode>\
         <faultstring>A SOAP 1.2 message is not valid here</faultstring></s:Fault></s:Body></s:Envelope>"
    );
    let answer = move |_: &str| http("500 Internal Server Error", "Content-Type: text/xml\r\n", &fault);
    fails_at(&diagnosed(answer).await, Step::Soap, "SOAP 1.1 only", "SOAP 1.2");
}

#[tokio::test]
async fn a_transaction_that_is_not_offered_there() {
    let broker = TestBroker::start(Options::default()).await;
    // A registry, taken for a gateway.
    let service = Service::RespondingGateway;
    let diagnosis = diagnose(&Subject { service, ..subject(&broker.url("registry")) }).await;
    fails_at(&diagnosis, Step::Action, "ActionNotSupported", "--service");
}

/// An answer that found nothing, with these headers for a message id.
fn nothing_found(request: &str, headers: impl Fn(&str) -> String) -> String {
    let id = request.split("<wsa:MessageID>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
    let envelope = format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"http://www.w3.org/2005/08/addressing\">\
         <s:Header><a:Action>urn:ihe:iti:2007:CrossGatewayQueryResponse</a:Action>{}</s:Header><s:Body>\
         <q:AdhocQueryResponse xmlns:q=\"urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0\" \
         status=\"urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success\"><r:RegistryObjectList \
         xmlns:r=\"urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0\"/></q:AdhocQueryResponse></s:Body></s:Envelope>",
        headers(id)
    );
    soap("200 OK", &envelope)
}

#[tokio::test]
async fn answers_have_to_relate_to_their_questions() {
    let relates = |id: &str| format!("<a:RelatesTo>{id}</a:RelatesTo>");
    let good = diagnosed(move |request| nothing_found(request, relates)).await;
    assert!(good.failure().is_none(), "{:#?}", good.findings);
    assert_eq!(step(&good, Step::Addressing).status, Status::Ok);
    // Taken by our calls, so it does not fail; but others refuse it.
    let without = diagnosed(|request| nothing_found(request, |_| String::new())).await;
    assert!(without.failure().is_none(), "{:#?}", without.findings);
    let noted = step(&without, Step::Addressing);
    assert_eq!(noted.status, Status::Note);
    assert!(noted.what.contains("no wsa:RelatesTo") && noted.fix.as_ref().unwrap().contains("WS-Addressing"));
    let other = diagnosed(move |request| nothing_found(request, |_| relates("urn:uuid:of-another"))).await;
    fails_at(&other, Step::Addressing, "another question", "cache");
}

#[tokio::test]
async fn a_clock_that_is_off_is_noted() {
    let answer = |request: &str| {
        let relates = |id: &str| format!("<a:RelatesTo>{id}</a:RelatesTo>");
        nothing_found(request, relates).replacen("\r\n", "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 1)
    };
    let diagnosis = diagnosed(answer).await;
    let clock = step(&diagnosis, Step::Clock);
    assert_eq!(clock.status, Status::Note);
    assert!(clock.what.contains("1994-11-06T08:49:37Z"), "{clock:?}");
}

#[tokio::test]
async fn a_retrieve_has_to_be_a_whole_package() {
    let answer = |_: &str| {
        let kind = "Content-Type: multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<r@x>\"\r\n";
        http("200 OK", kind, "--b\r\nContent-ID: <other@x>\r\n\r\n<x/>\r\n--b--\r\n")
    };
    let url = peer(CERTIFICATES.files("server"), answer).await;
    let diagnosis = diagnose(&Subject { only: Some(Ask::Retrieve), ..subject(&url) }).await;
    fails_at(&diagnosis, Step::Packaging, "part", "start");
}

// --- the command -----------------------------------------------------------------------------

fn doctor(arguments: &[&str]) -> (Option<i32>, String, String) {
    let certificate = CERTIFICATES.path.join("client.pem");
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("doctor")
        .args(arguments)
        .args(["--cert", certificate.to_str().unwrap()])
        .output()
        .expect("the command");
    // Columns are as wide as their widest cell: blanks tell nothing.
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
    };
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_it_in_text_and_json() {
    let broker = TestBroker::start(Options::default()).await;
    let url = broker.url("responding-gateway");
    let (code, out, _) = doctor(&[&url]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("ok addressing ITI-39") && out.ends_with("It works.\n"), "{out}");

    let wrong = peer(CERTIFICATES.files("bad/wrong-name"), |_| String::new()).await;
    let (code, out, _) = doctor(&[&wrong]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAIL name") && out.ends_with("It fails at name.\n"), "{out}");
    let (code, out, _) = doctor(&[&wrong, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, report["ok"].as_bool(), report["failed"].as_str()), (Some(1), Some(false), Some("name")));
    assert_eq!(report["certificates"][0]["dns_names"][0], "wrong-name.invalid");
    assert_eq!(report["tls"]["version"], "TLS 1.3");
    let names: Vec<&str> = report["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(names[..7], ["own-certificate", "dns", "tcp", "tls", "chain", "name", "client-certificate"]);

    let (code, _, err) = doctor(&["https://localhost", "--ca", "no-such-file.pem"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("no-such-file.pem"), "{err}");
    assert_eq!(doctor(&[]).0, Some(2));
}
