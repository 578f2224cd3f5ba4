//! F-47: certificates that are not to be accepted, each wrong in one respect, shown by a community that we
//! ask and by a client that asks us: none gets an octet of a request, or of an answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway::model::response::ResponseStatus;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslConnector, SslContextBuilder, SslMethod, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Extension, X509NameBuilder};

use crate::gateways::peer;
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";

fn elliptic(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate in the making: good for both roles, unless a case says otherwise.
struct Leaf {
    names: &'static [&'static str],
    usages: Option<&'static [&'static str]>,
    /// Days from now.
    valid: (i64, i64),
    key: PKey<Private>,
    digest: MessageDigest,
    authority: bool,
    path_length: Option<u32>,
    more: Vec<X509Extension>,
}

impl Leaf {
    fn good() -> Self {
        Self {
            names: &["DNS:localhost", "IP:127.0.0.1"],
            usages: Some(&["serverAuth", "clientAuth"]),
            valid: (-1, 30),
            key: elliptic(Nid::X9_62_PRIME256V1),
            digest: MessageDigest::sha256(),
            authority: false,
            path_length: None,
            more: Vec::new(),
        }
    }

    fn authority() -> Self {
        Self { names: &[], usages: None, authority: true, ..Self::good() }
    }

    /// Issued by that authority, or by itself.
    fn issue(self, name: &str, issuer: Option<&Issued>) -> Issued {
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
        builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.certificate.subject_name())).unwrap();
        let day = |days: i64| {
            let now = jiff::Timestamp::now().as_second();
            Asn1Time::from_unix(now + days * 86_400).unwrap()
        };
        builder.set_not_before(&day(self.valid.0)).unwrap();
        builder.set_not_after(&day(self.valid.1)).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        let context = builder.x509v3_context(issuer.map(|issuer| &*issuer.certificate), None);
        let mut extensions = Vec::new();
        if !self.names.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for name in self.names {
                match name.split_once(':').unwrap() {
                    ("DNS", name) => names.dns(name),
                    (_, address) => names.ip(address),
                };
            }
            extensions.push(names.build(&context).unwrap());
        }
        if let Some(usages) = self.usages {
            let mut usage = ExtendedKeyUsage::new();
            usages.iter().for_each(|one| {
                usage.other(one);
            });
            extensions.push(usage.build().unwrap());
        }
        let mut basic = BasicConstraints::new();
        basic.critical();
        if self.authority {
            basic.ca();
        }
        if let Some(length) = self.path_length {
            basic.pathlen(length);
        }
        extensions.push(basic.build().unwrap());
        extensions.into_iter().chain(self.more).for_each(|extension| builder.append_extension(extension).unwrap());
        let signer = issuer.map_or(&self.key, |issuer| &issuer.key);
        builder.sign(signer, self.digest).unwrap();
        Issued { certificate: builder.build(), key: self.key, chain: Vec::new() }
    }
}

#[derive(Clone)]
struct Issued {
    certificate: X509,
    key: PKey<Private>,
    /// What is sent behind it.
    chain: Vec<X509>,
}

impl Issued {
    fn behind(mut self, chain: &[&Issued]) -> Self {
        self.chain = chain.iter().map(|issued| issued.certificate.clone()).collect();
        self
    }

    /// The same with an octet of its signature changed.
    fn forged(mut self) -> Self {
        let mut der = self.certificate.to_der().unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        self.certificate = X509::from_der(&der).unwrap();
        self
    }
}

/// The authority that is trusted.
fn root() -> Issued {
    Leaf::authority().issue("F-47 root", None)
}

fn extension(nid: Nid, value: &str) -> X509Extension {
    #[allow(deprecated)] // The one way to make an extension of any kind.
    X509Extension::new_nid(None, None, nid, value).unwrap()
}

/// Each wrong in one respect; what it is called, and whether that is wrong of servers, and of clients.
fn cases(root: &Issued) -> Vec<(&'static str, bool, bool, Issued)> {
    let leaf = Leaf::good;
    let stranger = Leaf::authority().issue("A stranger", None);
    let impostor = Leaf::authority().issue("F-47 root", None);
    let intermediate = Leaf::authority().issue("Between", Some(root));
    let expired = Leaf { valid: (-10, -1), ..Leaf::authority() }.issue("Expired between", Some(root));
    let no_authority = leaf().issue("No authority", Some(root));
    let short = Leaf { path_length: Some(0), ..Leaf::authority() }.issue("Short", Some(root));
    let below_short = Leaf::authority().issue("Below short", Some(&short));
    let elsewhere = Leaf {
        more: vec![extension(Nid::NAME_CONSTRAINTS, "critical,permitted;DNS:elsewhere.example")],
        ..Leaf::authority()
    }
    .issue("For elsewhere", Some(root));
    let mut long = vec![Leaf::authority().issue("Link 0", Some(root))];
    for number in 1..100 {
        let link = Leaf::authority().issue(&format!("Link {number}"), long.last());
        long.push(link);
    }
    let links: Vec<&Issued> = long.iter().rev().collect();
    let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    let weak_root = Leaf { key: rsa(1024), ..Leaf::authority() }.issue("Weak between", Some(root));
    vec![
        ("self-signed", true, true, leaf().issue("localhost", None)),
        ("of an unknown authority", true, true, leaf().issue("localhost", Some(&stranger))),
        (
            "of an unknown authority, with its chain",
            true,
            true,
            leaf().issue("localhost", Some(&stranger)).behind(&[&stranger]),
        ),
        (
            "of an authority of the same name",
            true,
            true,
            leaf().issue("localhost", Some(&impostor)).behind(&[&impostor]),
        ),
        ("expired", true, true, Leaf { valid: (-10, -1), ..leaf() }.issue("localhost", Some(root))),
        ("not yet valid", true, true, Leaf { valid: (2, 30), ..leaf() }.issue("localhost", Some(root))),
        (
            "for another name",
            true,
            false,
            Leaf { names: &["DNS:other.example"], ..leaf() }.issue("localhost", Some(root)),
        ),
        (
            "for another address",
            true,
            false,
            Leaf { names: &["IP:127.0.0.2"], ..leaf() }.issue("localhost", Some(root)),
        ),
        ("named in the common name alone", true, false, Leaf { names: &[], ..leaf() }.issue("127.0.0.1", Some(root))),
        (
            "for a server alone",
            false,
            true,
            Leaf { usages: Some(&["serverAuth"]), ..leaf() }.issue("localhost", Some(root)),
        ),
        (
            "for a client alone",
            true,
            false,
            Leaf { usages: Some(&["clientAuth"]), ..leaf() }.issue("localhost", Some(root)),
        ),
        (
            "for signing code",
            true,
            true,
            Leaf { usages: Some(&["codeSigning"]), ..leaf() }.issue("localhost", Some(root)),
        ),
        ("an authority's", true, true, Leaf { authority: true, ..leaf() }.issue("localhost", Some(root))),
        ("with a weak key", true, true, Leaf { key: rsa(1024), ..leaf() }.issue("localhost", Some(root))),
        (
            "with a curve that is none of ours",
            true,
            true,
            Leaf { key: elliptic(Nid::SECP256K1), ..leaf() }.issue("localhost", Some(root)),
        ),
        (
            "signed with SHA-1",
            true,
            true,
            Leaf { digest: MessageDigest::sha1(), ..leaf() }.issue("localhost", Some(root)),
        ),
        ("forged", true, true, leaf().issue("localhost", Some(root)).forged()),
        (
            "with a critical extension that nobody knows",
            true,
            true,
            Leaf { more: vec![extension(Nid::NETSCAPE_COMMENT, "critical,whatever")], ..leaf() }
                .issue("localhost", Some(root)),
        ),
        ("without the one between", true, true, leaf().issue("localhost", Some(&intermediate))),
        ("with another one between", true, true, leaf().issue("localhost", Some(&intermediate)).behind(&[&stranger])),
        ("below one that has expired", true, true, leaf().issue("localhost", Some(&expired)).behind(&[&expired])),
        (
            "below one that is no authority",
            true,
            true,
            leaf().issue("localhost", Some(&no_authority)).behind(&[&no_authority]),
        ),
        (
            "too far below one that allows none below",
            true,
            true,
            leaf().issue("localhost", Some(&below_short)).behind(&[&below_short, &short]),
        ),
        ("below one for other names", true, true, leaf().issue("localhost", Some(&elsewhere)).behind(&[&elsewhere])),
        ("below one with a weak key", true, true, leaf().issue("localhost", Some(&weak_root)).behind(&[&weak_root])),
        ("below a hundred others", true, true, leaf().issue("localhost", long.last()).behind(&links)),
    ]
}

/// Whatever it is given, OpenSSL is to show it.
fn show(context: &mut SslContextBuilder, issued: &Issued) {
    context.set_security_level(0);
    context.set_certificate(&issued.certificate).unwrap();
    context.set_private_key(&issued.key).unwrap();
    for certificate in &issued.chain {
        context.add_extra_chain_cert(certificate.clone()).unwrap();
    }
}

/// A server that shows it, and counts the octets of requests.
fn community(issued: &Issued) -> (String, Arc<AtomicUsize>) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    show(&mut acceptor, issued);
    acceptor.set_verify(SslVerifyMode::NONE);
    let acceptor = acceptor.build();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://127.0.0.1:{}/services/responding-gateway", listener.local_addr().unwrap().port());
    let octets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&octets);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            if let Ok(mut stream) = acceptor.accept(stream) {
                counted.fetch_add(stream.read(&mut [0; 1000]).unwrap_or(0), Ordering::Relaxed);
            }
        }
    });
    (url, octets)
}

/// A gateway, or any broker, that trusts the authority; `good` is its own certificate.
async fn broker(root: &Issued, good: &Issued, more: String) -> TestBroker {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: Vec<u8>| std::fs::write(dir.path().join(name), pem).unwrap();
    write("ca.pem", root.certificate.to_pem().unwrap());
    write("server.pem", good.certificate.to_pem().unwrap());
    write("server.key", good.key.private_key_to_pem_pkcs8().unwrap());
    let certs = CERTIFICATES.path.display().to_string();
    let text = toml(dir.path(), &Options { more, ..Options::default() });
    let text =
        text.replace(&format!(", crl = \"{certs}/ca.crl\""), "").replace(&certs, &dir.path().display().to_string());
    let config =
        causeway::config::Config::from_toml(&text, dir.path()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let broker = causeway::broker::Broker::start(config).await.unwrap();
    let address = broker.addresses()[0];
    let files = causeway::transport::tls::TlsFiles {
        certificate: dir.path().join("server.pem"),
        key: dir.path().join("server.key"),
        client_ca: dir.path().join("ca.pem"),
        crl: None,
    };
    TestBroker { broker, dir, address, client: client_with(files) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_certificate_of_a_community_gets_an_octet() {
    let root = root();
    let good = Leaf::good().issue("localhost", Some(&root));
    let cases: Vec<_> = cases(&root).into_iter().filter(|(_, server, ..)| *server).collect();
    assert!(cases.len() >= 20);
    // One that is good shows that it is the certificate that matters.
    let communities: Vec<_> = cases.iter().map(|(.., issued)| community(issued)).chain([community(&good)]).collect();
    let home = |n: usize| format!("urn:oid:2.999.900.{n}");
    let peers = communities
        .iter()
        .enumerate()
        .map(|(n, (url, _))| peer(&format!("C{n}"), &home(n), url, "neighbour", "timeout = \"3s\""));
    let gateway = broker(&root, &good, peers.collect()).await;
    let response = gateway.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(response.status, ResponseStatus::PartialSuccess);
    for (n, (name, ..)) in cases.iter().enumerate() {
        let told = response.errors.iter().find(|error| error.location.as_deref() == Some(&*home(n)));
        let told = told.unwrap_or_else(|| panic!("{name}: not named"));
        // Who is missing, and nothing of why.
        assert_eq!(
            told.context,
            format!("C{n} could not be reached; its documents are missing from this answer"),
            "{name}"
        );
        assert_eq!(communities[n].1.load(Ordering::Relaxed), 0, "{name}: octets of a request");
    }
    assert!(communities[cases.len()].1.load(Ordering::Relaxed) > 0);
    gateway.broker.stop().await;
    let records = records_in(&gateway.dir.path().join("data/audit"));
    let alerts = records.iter().filter(|record| record.contains("110126")).count();
    // With a curve that we do not offer there is nothing to show: the handshake ends before.
    assert_eq!(alerts, cases.len() - 1, "each is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_certificate_of_a_client_gets_an_octet() {
    let root = root();
    let good = Leaf::good().issue("localhost", Some(&root));
    let server = broker(&root, &good, String::new()).await;
    let address = server.address;
    let answered = async |issued: Issued| {
        tokio::task::spawn_blocking(move || {
            let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
            show(&mut connector, &issued);
            connector.set_verify(SslVerifyMode::NONE);
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let connector = connector.build().configure().unwrap().verify_hostname(false);
            let Ok(mut stream) = connector.connect("localhost", stream) else { return 0 };
            let ask = b"GET /services/registry?wsdl HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            // A refusal may come while this is being written.
            let _ = stream.write_all(ask);
            stream.read(&mut [0; 100]).unwrap_or(0)
        })
        .await
        .unwrap()
    };
    assert!(answered(good).await > 0, "one that is good is answered");
    let cases: Vec<_> = cases(&root).into_iter().filter(|(_, _, client, _)| *client).collect();
    assert!(cases.len() >= 20);
    for (name, .., issued) in cases {
        let began = Instant::now();
        assert_eq!(answered(issued).await, 0, "{name}");
        // A chain of a hundred costs no more than the handshake of others, by far.
        assert!(began.elapsed() < Duration::from_secs(2), "{name}: {:?}", began.elapsed());
    }
}
