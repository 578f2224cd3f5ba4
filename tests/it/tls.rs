//! Who has no good certificate gets no HTTP byte; the trail has a record of it.

use std::time::Duration;

use causeway::transport::certificates::DevelopmentAuthority;
use causeway::transport::tls::{ReloadableClient, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// Sends a request under that identity and gives what came back before the end.
async fn bytes_received(broker: &TestBroker, files: TlsFiles) -> Vec<u8> {
    let tls = ReloadableClient::new(files).expect("client settings");
    let stream = TcpStream::connect(broker.address).await.expect("a connection");
    let name = "localhost".to_owned().try_into().expect("a name");
    let mut received = Vec::new();
    let Ok(mut stream) = tls.connector().connect(name, stream).await else { return received };
    // Under TLS 1.3 the client learns of its refusal only when it reads.
    let _ =
        stream.write_all(b"GET /services/registry?wsdl HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut received)).await;
    received
}

#[tokio::test]
async fn bad_certificates_get_nothing() {
    let broker = TestBroker::start(Options::default()).await;
    let good = bytes_received(&broker, CERTIFICATES.files("client")).await;
    assert!(good.starts_with(b"HTTP/1.1 200"));
    for name in ["expired", "unknown-issuer", "revoked", "server-only"] {
        let files = CERTIFICATES.files(&format!("bad/{name}"));
        if !files.certificate.exists() {
            panic!("certs dev makes no {name}");
        }
        let received = bytes_received(&broker, files).await;
        assert!(received.is_empty(), "{name} received {}", String::from_utf8_lossy(&received));
    }
    // The record of the last refusal may still be on its way: stopping waits for it.
    let trail = broker.dir.path().join("data/audit");
    broker.broker.stop().await;
    let records = records_in(&trail);
    let failures = records.iter().filter(|record| record.contains("110126")).count();
    assert_eq!(failures, 4, "{records:#?}");
}

#[tokio::test]
async fn no_certificate_gets_nothing() {
    let broker = TestBroker::start(Options::default()).await;
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    stream.write_all(b"GET /services/registry?wsdl HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut received)).await;
    assert!(!received.starts_with(b"HTTP"));
}

/// F-48: whoever is revoked while connected is not answered on that connection any longer, nor on a new one;
/// a list that cannot be used changes nothing.
#[tokio::test]
async fn a_client_that_is_revoked_loses_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    std::fs::create_dir(&certs).unwrap();
    let write = |name: &str, text: &str| std::fs::write(certs.join(name), text).unwrap();
    let now = jiff::Timestamp::now();
    let later = now + jiff::SignedDuration::from_hours(24);
    let mut authority = DevelopmentAuthority::new("Test", now - jiff::SignedDuration::from_mins(5)).unwrap();
    let server = authority.issue_server(&["localhost"], &["127.0.0.1".parse().unwrap()], "server").unwrap();
    let clients = ["stays", "goes"].map(|name| (name, authority.issue_client(name).unwrap()));
    write("ca.pem", &authority.certificate_pem().unwrap());
    write("ca.crl", &authority.revocation_list_pem(now, later).unwrap());
    for (name, issued) in [("server", &server), ("stays", &clients[0].1), ("goes", &clients[1].1)] {
        write(&format!("{name}.pem"), &issued.certificate_pem);
        write(&format!("{name}.key"), &issued.key_pem);
    }
    let text = toml(dir.path(), &Options::default());
    let text = text.replace(&CERTIFICATES.path.display().to_string(), &certs.display().to_string());
    let config = causeway::config::Config::from_toml(&text, dir.path()).unwrap();
    let broker = causeway::broker::Broker::start(config.clone()).await.unwrap();
    let files = |name: &str| TlsFiles {
        certificate: certs.join(format!("{name}.pem")),
        key: certs.join(format!("{name}.key")),
        client_ca: certs.join("ca.pem"),
        crl: None,
    };
    let connect = async |name: &str| {
        let tls = ReloadableClient::new(files(name)).unwrap();
        let stream = TcpStream::connect(broker.addresses()[0]).await.unwrap();
        tls.connector().connect("localhost".to_owned().try_into().unwrap(), stream).await.unwrap()
    };
    const ASK: &[u8] = b"GET /services/registry?wsdl HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut connections = Vec::new();
    for (name, _) in &clients {
        let mut stream = connect(name).await;
        stream.write_all(ASK).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200", "{name}");
        connections.push(stream);
    }
    let ended = async |stream: &mut tokio_rustls::client::TlsStream<TcpStream>, patience| {
        let mut rest = Vec::new();
        tokio::time::timeout(patience, stream.read_to_end(&mut rest)).await.is_ok()
    };
    // What is no list keeps the old one in use.
    write("ca.crl", "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n");
    assert!(broker.reload(config.clone()).is_err());
    assert!(!ended(&mut connections[1], Duration::from_millis(300)).await);
    authority.revoke(&clients[1].1);
    // As one of a hundred thousand.
    let mut other = authority.issue_client("other").unwrap();
    for number in 0..100_000 {
        other.serial = format!("7{number:030x}");
        authority.revoke(&other);
    }
    write("ca.crl", &authority.revocation_list_pem(now, later).unwrap());
    // Of the processor: what else this machine does meanwhile is not the list's fault.
    let of_this_thread = || processor("/proc/thread-self/stat");
    let used = of_this_thread();
    broker.reload(config).unwrap();
    let used = of_this_thread() - used;
    assert!(!used.is_zero(), "it was another thread's work");
    assert!(used <= Duration::from_secs(1), "a hundred thousand entries were read again after {used:?}");
    assert!(ended(&mut connections[1], Duration::from_secs(10)).await, "its connection is closed");
    assert!(!ended(&mut connections[0], Duration::from_millis(300)).await, "the other one's is not");
    let mut again = connect("goes").await;
    let _ = again.write_all(ASK).await;
    let mut answered = Vec::new();
    let _ = again.read_to_end(&mut answered).await;
    assert!(answered.is_empty());
    broker.stop().await;
    let records = records_in(&dir.path().join("data/audit"));
    assert_eq!(records.iter().filter(|record| record.contains("110126")).count(), 2, "{records:#?}");
}
