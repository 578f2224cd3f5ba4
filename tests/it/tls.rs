//! Who has no good certificate gets no HTTP byte; the trail has a record of it.

use std::time::Duration;

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
