//! `causeway probe`: our own broker keeps what is checked, and a service that does not is told so, in
//! the check that is meant and no other.

mod faulty;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use causeway::model::ids::{HomeCommunityId, PatientId, RepositoryUniqueId};
use causeway::probe::report::{Outcome, Report};
use causeway::probe::{self, Settings, table::CHECKS};
use causeway::transaction::Service;
use causeway::transport::tls::ReloadableClient;
use http::Method;
use tokio::net::TcpListener;

use crate::support::*;
use faulty::{Fault, NONE, Passing, answer, faulty, request};

const UNIQUE_ID: &str = "2.999.903.1";
const NOBODYS: &str = "urn:causeway:probe:unknown";

/// A broker with a document of the patient.
async fn community() -> TestBroker {
    let broker = TestBroker::start(Options::default()).await;
    broker.provide(UNIQUE_ID, PATIENT, b"a letter to be compared").await;
    broker
}

fn settings(url: &str, service: Service) -> Settings {
    let tls = ReloadableClient::new(CERTIFICATES.files("client")).expect("client settings");
    Settings {
        uri: url.parse().expect("a URL"),
        retrieve_uri: None,
        service,
        tls: Some(tls.config()),
        security: None,
        home: None,
        repository: Some(RepositoryUniqueId::parse(REPOSITORY).expect("a repository")),
        patient: Some(PatientId::parse(PATIENT).expect("a patient")),
        only: Vec::new(),
        pause: Duration::ZERO,
        timeout: Duration::from_secs(10),
        max_requests: 100,
    }
}

fn with(report: &Report, outcome: Outcome) -> Vec<String> {
    let findings = report.checks.iter().filter(|finding| finding.outcome == outcome);
    findings.map(|finding| format!("{}: {}", finding.id, finding.seen)).collect()
}

/// Ids of the checks that are not ok.
fn wrong(report: &Report) -> Vec<&'static str> {
    let wrong = |outcome| outcome == Outcome::Fail || outcome == Outcome::Warn;
    report.checks.iter().filter(|finding| wrong(finding.outcome)).map(|finding| finding.id).collect()
}

#[tokio::test]
async fn our_own_services_keep_everything() {
    let broker = community().await;
    for service in Service::ALL {
        let mut settings = settings(&broker.url(service.name()), service);
        if service == Service::Registry {
            settings.retrieve_uri = Some(broker.url("repository").parse().unwrap());
        }
        let report = probe::run(settings).await.expect("a report");
        assert_eq!(with(&report, Outcome::Fail), Vec::<String>::new(), "{service:?}");
        assert_eq!(with(&report, Outcome::Warn), Vec::<String>::new(), "{service:?}");
        assert_eq!(with(&report, Outcome::Skipped), Vec::<String>::new(), "{service:?}");
        assert!(report.summary.passed && report.checks.len() >= 30, "{service:?}");
        assert!(report.summary.requests <= 40, "{service:?}: {}", report.summary.requests);
        let is_gateway = matches!(service, Service::InitiatingGateway | Service::RespondingGateway);
        assert_eq!(report.home_community_id.as_deref(), is_gateway.then_some(HOME), "learned from an error");
    }
}

/// Without a patient nothing is asked about one, and what is not known is not asked for.
#[tokio::test]
async fn what_is_not_known_is_skipped() {
    let broker = community().await;
    let settings = Settings {
        patient: None,
        repository: None,
        ..settings(&broker.url("responding-gateway"), Service::RespondingGateway)
    };
    let report = probe::run(settings).await.expect("a report");
    let skipped: Vec<_> = with(&report, Outcome::Skipped);
    let expected = CHECKS.iter().filter(|check| check.id.starts_with("patient-")).count() + 1;
    assert_eq!(skipped.len(), expected, "{skipped:#?}");
    assert!(report.summary.passed);
    assert!(skipped.iter().any(|line| line.starts_with("retrieve-unknown-document") && line.contains("--repository")));
}

/// Probes a Responding Gateway that has the fault.
async fn judged(broker: &TestBroker, fault: Fault) -> Report {
    let (base, _) = faulty(broker, fault).await;
    let mut settings = settings(&format!("{base}/services/responding-gateway"), Service::RespondingGateway);
    settings.home = Some(HomeCommunityId::parse(HOME).unwrap());
    probe::run(settings).await.expect("a report")
}

/// Each fault is found by the checks that are meant, and no other is touched by it.
async fn find(faults: &[(&str, Fault, &[&str])]) {
    let broker = community().await;
    for (what, fault, expected) in faults {
        let report = judged(&broker, *fault).await;
        let told = [with(&report, Outcome::Fail), with(&report, Outcome::Warn)];
        assert_eq!(wrong(&report), *expected, "{what}: {told:#?}");
    }
}

#[tokio::test]
async fn a_service_without_fault_is_left_alone() {
    find(&[("nothing", NONE, &[])]).await;
}

#[tokio::test]
async fn faults_of_the_connection_are_found() {
    find(&[
        ("closes", answer(|_, a| a.headers.push(("connection", "close"))), &["keep-alive"]),
        ("old TLS", Fault { old_tls: true, ..NONE }, &["tls-old-refused"]),
        ("no client certificate", Fault { anonymous: true, ..NONE }, &["tls-client-certificate"]),
        ("compresses", answer(|_, a| a.headers.push(("content-encoding", "gzip"))), &["http-not-compressed"]),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_http_are_found() {
    find(&[
        (
            "answers a GET as if it were a query",
            answer(|p, a| {
                if p.method == Method::GET && a.status == 404 {
                    let status = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success";
                    let payload = format!("<q:AdhocQueryResponse xmlns:q='urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0' status='{status}'/>");
                    a.body = envelope("urn:x", |out| out.extend_from_slice(payload.as_bytes()));
                    a.status = 200;
                }
            }),
            &["http-get"],
        ),
        (
            "knows no description",
            answer(|p, a| {
                if p.method == Method::GET {
                    a.status = 404;
                }
            }),
            &["http-wsdl"],
        ),
        (
            "believes Content-Type",
            answer(|p, a| {
                if p.content_type.contains(NOBODYS) && !p.has(NOBODYS) {
                    (a.status, a.body) = (400, Vec::new());
                }
            }),
            &["wsa-action-parameter"],
        ),
        (
            "says 500 of successes",
            answer(|_, a| {
                if a.has("ResponseStatusType:Success") {
                    a.status = 500;
                }
            }),
            &["http-status"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_envelopes_are_found() {
    fn put(passing: &mut Passing, from: &str, to: &str) {
        passing.body = String::from_utf8_lossy(&passing.body).replace(from, to).into_bytes();
    }
    find(&[
        (
            "relates to nothing",
            answer(|_, a| a.replace_between("<wsa:RelatesTo>", "</wsa:RelatesTo>", "")),
            &["wsa-relates-to", "fault-relates-to", "retrieve-relates-to"],
        ),
        (
            "says another action",
            answer(|_, a| a.replace("CrossGatewayQueryResponse<", "RegistryStoredQueryResponse<")),
            &["wsa-action"],
        ),
        (
            "says text/xml",
            answer(|_, a| {
                a.content_type = a.content_type.replace("application/soap+xml; charset", "text/xml; charset")
            }),
            &["soap-content-type"],
        ),
        ("takes a DOCTYPE", request(|p| put(p, "<!DOCTYPE probe [<!ENTITY probe \"probe\">]>", "")), &["soap-doctype"]),
        (
            "understands everything",
            request(|p| put(p, " env:mustUnderstand=\"true\"/>", "/>")),
            &["soap-mandatory-header"],
        ),
        (
            "demands to understand everything",
            request(|p| put(p, "unknown\"/>", "unknown\" env:mustUnderstand=\"true\"/>")),
            &["soap-optional-header"],
        ),
        (
            "takes any action",
            request(|p| put(p, &format!("{NOBODYS}</wsa:Action>"), "urn:ihe:iti:2007:CrossGatewayQuery</wsa:Action>")),
            &["wsa-unknown-action", "fault-status", "fault-action", "fault-relates-to"],
        ),
        (
            "has its faults in HTTP 200",
            answer(|_, a| {
                if a.has("ActionNotSupported") {
                    a.status = 200;
                }
            }),
            &["fault-status"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_responses_are_found() {
    find(&[
        (
            "has an attribute of its own",
            answer(|_, a| a.replace("<query:AdhocQueryResponse ", "<query:AdhocQueryResponse took='3' ")),
            &["response-schema", "query-failure-schema", "patient-schema"],
        ),
        (
            "takes all for warnings",
            answer(|_, a| {
                a.replace(
                    "highestSeverity=\"urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error",
                    "highestSeverity=\"urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning",
                );
            }),
            &["query-failure-highest", "retrieve-highest"],
        ),
        (
            "does not say where",
            answer(|_, a| a.replace(&format!(" location=\"{HOME}"), " location=\"registry")),
            &["query-error-location", "retrieve-error-home"],
        ),
        (
            "has no finer code for communities",
            answer(|_, a| a.replace("XDSUnknownCommunity", "XDSRegistryError")),
            &["query-unknown-home", "retrieve-unknown-home"],
        ),
        (
            "leaves the list out of failures",
            answer(|_, a| {
                if a.has("ResponseStatusType:Failure") {
                    a.replace("<rim:RegistryObjectList></rim:RegistryObjectList>", "");
                }
            }),
            &["query-failure-list"],
        ),
        (
            "finds what is made up",
            answer(|p, a| {
                if p.has("$CausewayProbeUnknown") {
                    a.replace(
                        "<rim:RegistryObjectList>",
                        &format!("<rim:RegistryObjectList><rim:ObjectRef id='urn:uuid:00000000-0000-4000-8000-000000000001' home='{HOME}'/>"),
                    );
                }
            }),
            &["query-unknown-parameter"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_packages_are_found() {
    find(&[
        (
            "says no start-info",
            answer(|_, a| a.content_type = a.content_type.replace("; start-info=\"application/soap+xml\"", "")),
            &["retrieve-start-info"],
        ),
        (
            "says start without brackets",
            answer(|_, a| a.content_type = a.content_type.replace("start=\"<", "start=\"").replace(">\";", "\";")),
            &["retrieve-start"],
        ),
        (
            "says another type",
            answer(|_, a| a.content_type = a.content_type.replace("\"application/xop+xml\"", "\"text/xml\"")),
            &["retrieve-type"],
        ),
        (
            "ends without its last boundary",
            answer(|p, a| {
                if a.content_type.starts_with("multipart/") && p.has("2.25.") {
                    let end = a.body.len() - 4;
                    a.body.truncate(end);
                }
            }),
            &["retrieve-package"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_metadata_and_documents_are_found() {
    find(&[
        (
            "has somebody else's documents",
            answer(|_, a| a.replace("9990000018^^^", "9990000026^^^")),
            &["patient-own"],
        ),
        (
            "registers another hash",
            answer(|_, a| {
                a.replace_between(
                    "<rim:Slot name=\"hash\"><rim:ValueList><rim:Value>",
                    "</rim:Value>",
                    "<rim:Slot name=\"hash\"><rim:ValueList><rim:Value>0000000000000000000000000000000000000000</rim:Value>",
                );
            }),
            &["patient-document"],
        ),
        (
            "gives no language",
            answer(|_, a| a.replace("name=\"languageCode\"", "name=\"urn:example:language\"")),
            &["patient-metadata"],
        ),
        (
            "finds what is deprecated",
            answer(|p, a| {
                if p.has("$XDSDocumentEntryPatientId") && !p.has("ObjectRef") {
                    a.replace("StatusType:Approved", "StatusType:Deprecated");
                }
            }),
            &["patient-as-asked"],
        ),
        (
            "has references where whole objects are asked for",
            answer(|p, a| {
                if p.has("returnType=\"LeafClass\"") && p.has(&PATIENT.replace('&', "&amp;")) {
                    let id = "urn:uuid:00000000-0000-4000-8000-000000000001";
                    let reference = format!("<rim:ObjectRef id='{id}' home='{HOME}'/>");
                    a.replace_between("<rim:ExtrinsicObject", "</rim:ExtrinsicObject>", &reference);
                }
            }),
            &["patient-as-asked", "patient-own", "patient-metadata"],
        ),
        (
            "refers to other objects",
            answer(|p, a| {
                if p.has("returnType=\"ObjectRef\"") && p.has(&PATIENT.replace('&', "&amp;")) {
                    a.replace_between("<rim:ObjectRef", "/>", "");
                }
            }),
            &["patient-references"],
        ),
    ])
    .await;
}

/// A gateway may keep its failures to itself: that is worth a word, and no failure of the gateway.
#[tokio::test]
async fn a_gateway_that_hides_its_failures_passes() {
    let broker = community().await;
    let hides = answer(|_, a| {
        if a.has("XDSUnknownRepositoryId") || a.has("XDSDocumentUniqueIdError") {
            a.replace("ResponseStatusType:Failure", "ResponseStatusType:Success");
            a.replace_between("<rs:RegistryErrorList", "</rs:RegistryErrorList>", "");
        }
    });
    let report = judged(&broker, hides).await;
    assert_eq!(wrong(&report), ["retrieve-unknown-repository", "retrieve-unknown-document"]);
    assert!(report.summary.passed, "{:?}", with(&report, Outcome::Fail));
}

/// Nothing but queries and retrieves goes out, and nobody real is asked about.
#[tokio::test]
async fn nothing_is_changed_and_nobody_is_asked_about() {
    let broker = community().await;
    for service in Service::ALL {
        let (base, seen) = faulty(&broker, NONE).await;
        let settings = Settings { patient: None, ..settings(&format!("{base}/services/{}", service.name()), service) };
        let report = probe::run(settings).await.expect("a report");
        let seen = seen.lock().unwrap();
        assert!(seen.len() <= report.summary.requests && seen.len() >= 15, "{service:?}: {}", seen.len());
        for passing in seen.iter() {
            for word in ["Submit", "Provide", "Update", "Remove", "Delete", "MultiPatient", "9990000018", UNIQUE_ID] {
                assert!(!passing.has(word), "{service:?}: {}", String::from_utf8_lossy(&passing.body));
            }
            assert!(passing.method == Method::GET || passing.method == Method::POST);
        }
    }
}

#[tokio::test]
async fn requests_have_a_bound_and_a_pause() {
    let broker = community().await;
    let (base, seen) = faulty(&broker, NONE).await;
    let url = format!("{base}/services/registry");
    let began = std::time::Instant::now();
    let settings = Settings { max_requests: 4, pause: Duration::from_millis(50), ..settings(&url, Service::Registry) };
    let report = probe::run(settings).await.expect("a report");
    assert!(report.summary.requests <= 4 && seen.lock().unwrap().len() <= 4);
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert!(report.checks.iter().any(|finding| finding.seen.contains("the bound on requests is reached")));
}

/// A server that says nothing is not asked on and on.
#[tokio::test]
async fn a_server_in_trouble_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/services/repository", listener.local_addr().unwrap().port());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let report = probe::run(settings(&url, Service::Repository)).await.expect("a report");
    assert!(!report.summary.passed);
    let reached = &report.checks[0];
    assert!(
        reached.id == "reached" && reached.outcome == Outcome::Fail && reached.seen.starts_with("no TLS connection")
    );
    assert_eq!(count.load(Ordering::SeqCst), 3, "so many in a row, and no more");
    assert!(with(&report, Outcome::Skipped).len() > 20);
}

/// Under TLS 1.3 our certificate is judged behind the handshake; why it is refused is told nevertheless, once.
#[tokio::test]
async fn who_is_refused_is_told_why() {
    let broker = community().await;
    let tls = ReloadableClient::new(CERTIFICATES.files("bad/expired")).expect("client settings");
    let settings = Settings { tls: Some(tls.config()), ..settings(&broker.url("registry"), Service::Registry) };
    let report = probe::run(settings).await.expect("a report");
    let failed = with(&report, Outcome::Fail);
    assert!(matches!(&failed[..], [one] if one.starts_with("reached: ") && one.contains("expired")), "{failed:?}");
    assert_eq!(with(&report, Outcome::Skipped).len() + 1, report.checks.len());
    assert_eq!(report.summary.requests, 3);
}

#[tokio::test]
async fn one_check_alone_asks_no_more_than_it_needs() {
    let broker = community().await;
    let (base, seen) = faulty(&broker, NONE).await;
    let url = format!("{base}/services/responding-gateway");
    for (id, requests) in [("query-missing-home", 1), ("query-by-unique-id", 2), ("patient-document", 2)] {
        seen.lock().unwrap().clear();
        let settings = Settings { only: vec![id.to_owned()], ..settings(&url, Service::RespondingGateway) };
        let report = probe::run(settings).await.expect("a report");
        assert_eq!(with(&report, Outcome::Ok).len(), 1, "{:?}", report.checks);
        assert_eq!((report.checks.len(), seen.lock().unwrap().len()), (1, requests), "{id}");
    }
}

/// The command's exit codes: kept, broken, bad usage.
#[tokio::test]
async fn exit_codes_tell_scripts_what_is_so() {
    let broker = community().await;
    let certs = CERTIFICATES.path.display().to_string();
    let run = |more: Vec<String>| async move {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.arg("probe").args(more);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the command runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let good = |url: String, more: &[&str]| {
        let mut all = vec![url, "--cert".into(), format!("{certs}/client.pem"), "--pause".into(), "0s".into()];
        all.extend(more.iter().map(|&text| text.to_owned()));
        all
    };
    let (code, text) = run(good(broker.url("repository"), &["--json"])).await;
    assert_eq!(code, Some(0), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("a report in JSON");
    assert_eq!((report["service"].as_str(), report["summary"]["fail"].as_u64()), (Some("repository"), Some(0)));
    let first = &report["checks"][0];
    for key in ["id", "title", "section", "level", "outcome", "seen", "ms"] {
        assert!(!first[key].is_null(), "{key}");
    }
    let nobody = format!("https://127.0.0.1:1/services/{}", "registry");
    assert_eq!(run(good(nobody, &["--only", "reached"])).await.0, Some(1));
    assert_eq!(run(good(broker.url("registry"), &["--only", "nonsense"])).await.0, Some(2));
    assert_eq!(run(vec!["https://127.0.0.1:1/x".into()]).await.0, Some(2));
    let (code, text) = run(vec!["--list".into()]).await;
    assert!(code == Some(0) && CHECKS.iter().all(|check| text.contains(check.id)), "{text}");
}
