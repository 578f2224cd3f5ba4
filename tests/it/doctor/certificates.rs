//! Who accepts whose certificate, and what is then asked and shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use causeway::transport::certificates::DevelopmentAuthority;
use causeway::transport::diagnosis::{Status, Step, Subject, diagnose};
use causeway::transport::tls::{ReloadableServer, TlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{answer_one, fails_at, failure, http, request, step, subject};
use crate::support::*;

// --- ours, judged by the peer ----------------------------------------------------------------

/// A peer that closes every connection without a word: at once, or when it has read a request. Most servers
/// give session tickets to those they accept, some do not.
async fn closing(tickets: bool, reads: bool) -> String {
    let mut config = (*ReloadableServer::new(CERTIFICATES.files("server")).unwrap().config()).clone();
    if !tickets {
        config.send_tls13_tickets = 0;
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/services/registry", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if reads {
                    request(&mut stream).await;
                }
            });
        }
    });
    url
}

/// As a server that looks at the certificate itself: no alert, no HTTP.
#[tokio::test]
async fn a_peer_that_closes_after_our_certificate() {
    let diagnosis = diagnose(&subject(&closing(false, false).await)).await;
    fails_at(&diagnosis, Step::ClientCertificate, "closed the connection right after", "their log");
}

/// Who has accepted our certificate, or has taken a question, did not close for want of trust alone.
#[tokio::test]
async fn a_peer_that_closes_for_other_reasons() {
    for (tickets, reads, said) in
        [(true, false, "was accepted"), (true, true, "was accepted"), (false, true, "was shown, and not refused")]
    {
        let diagnosis = diagnose(&subject(&closing(tickets, reads).await)).await;
        fails_at(&diagnosis, Step::Http, "closed the connection without an answer", "load balancer");
        let fix = failure(&diagnosis).fix.clone().unwrap();
        assert!(fix.contains("looks at certificates itself"), "{fix}");
        let certificate = step(&diagnosis, Step::ClientCertificate);
        assert_eq!(certificate.status, Status::Ok, "{diagnosis:#?}");
        assert!(certificate.what.contains(said), "{tickets} {reads}: {certificate:?}");
    }
}

// --- the peer's, judged by us ----------------------------------------------------------------

/// Who came to a peer: whether with a certificate, and the first line of the request.
type Visits = Arc<Mutex<Vec<(bool, String)>>>;

/// A web server that leaves it to HTTP to refuse those without a certificate, as many do, and tells the time.
async fn lenient(files: TlsFiles, date: String) -> (String, Visits) {
    let mut anchors = rustls::RootCertStore::empty();
    anchors.add(CertificateDer::from_pem_file(&files.client_ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(anchors.into(), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&files.certificate).unwrap()],
            PrivateKeyDer::from_pem_file(&files.key).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/services/registry", listener.local_addr().unwrap().port());
    let visits = Visits::default();
    let noted = Arc::clone(&visits);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let with_certificate = stream.get_ref().1.peer_certificates().is_some();
            let (noted, date) = (Arc::clone(&noted), date.clone());
            answer_one(&mut stream, &move |request: &str| {
                let line = request.lines().next().unwrap_or_default().to_owned();
                noted.lock().unwrap().push((with_certificate, line));
                http("400 No required SSL certificate was sent", &format!("Date: {date}\r\n"), "")
            })
            .await;
        }
    });
    (url, visits)
}

fn now() -> String {
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn asked_for_the_time(visits: &Visits) -> Vec<(bool, String)> {
    std::mem::take(&mut visits.lock().unwrap())
}

#[tokio::test]
async fn an_expired_certificate_beside_another_clock_puts_the_clock_in_doubt() {
    for (date, said) in [
        (now(), "; the peer's clock agrees with ours"),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), "the peer's clock says 1994-11-06T08:49:37Z"),
    ] {
        let (url, visits) = lenient(CERTIFICATES.files("bad/expired"), date).await;
        fails_at(&diagnose(&subject(&url)).await, Step::Chain, said, "clock");
        // That is all that it is asked, and it does not learn from whom.
        assert_eq!(asked_for_the_time(&visits), [(false, "GET /services/registry HTTP/1.1".to_owned())]);
    }
}

/// An authority's files in a folder: of a server at that address that has expired and may be revoked, of a
/// client, and the list.
fn expired(folder: &Path, revoked: bool, address: [u8; 4]) -> (TlsFiles, TlsFiles) {
    let days = |days: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let mut authority = DevelopmentAuthority::new("North", days(-30)).unwrap().with_valid_days(10);
    let server = authority.issue_server(&[], &[address.into()], "Server").unwrap();
    if revoked {
        authority.revoke(&server);
    }
    let authority = authority.with_valid_days(730);
    let client = authority.issue_client("Client").unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let client_ca = write("ca.pem", &authority.certificate_pem().unwrap());
    let list = write("ca.crl", &authority.revocation_list_pem(days(-1), days(10)).unwrap());
    let [server, client] = [("server", server), ("client", client)].map(|(name, issued)| TlsFiles {
        certificate: write(&format!("{name}.pem"), &issued.certificate_pem),
        key: write(&format!("{name}.key"), &issued.key_pem),
        client_ca: client_ca.clone(),
        crl: Some(list.clone()),
    });
    (server, client)
}

/// Who is refused for anything but dates is asked nothing and shown nothing.
#[tokio::test]
async fn a_certificate_with_another_fault_as_well_is_asked_nothing() {
    for (revoked, address) in [(false, [127, 0, 0, 1]), (true, [127, 0, 0, 1]), (false, [192, 0, 2, 1])] {
        let folder = tempfile::tempdir().unwrap();
        let (server, client) = expired(folder.path(), revoked, address);
        let (url, visits) = lenient(server, now()).await;
        let diagnosis = diagnose(&Subject { files: client, ..subject(&url) }).await;
        fails_at(&diagnosis, Step::Chain, "expired on", "renew");
        assert_eq!(failure(&diagnosis).what.contains("was revoked"), revoked, "{diagnosis:#?}");
        let dates_alone = !revoked && address == [127, 0, 0, 1];
        assert_eq!(failure(&diagnosis).what.contains("clock agrees"), dates_alone, "{diagnosis:#?}");
        assert_eq!(asked_for_the_time(&visits).len(), usize::from(dates_alone));
    }
}
