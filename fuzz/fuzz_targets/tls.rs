//! The loader of TLS material: one of its four texts is the fuzzer's, or begins as ours and goes on as the
//! fuzzer's. What loads makes a configuration or says why not.
#![no_main]

use std::sync::LazyLock;

use causeway::transport::certificates::DevelopmentAuthority;
use causeway::transport::tls::{TlsPem, TlsSource, client_config, server_config};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::UnixTime;

static GOOD: LazyLock<TlsPem> = LazyLock::new(|| {
    let now = Timestamp::now();
    let authority = DevelopmentAuthority::new("Fuzz", now).expect("an authority");
    let server = authority.issue_server(&["localhost"], &[], "server").expect("a certificate");
    let due = Timestamp::from_second(now.as_second() + 86_400).expect("a time");
    TlsPem {
        name: "fuzz".to_owned(),
        certificate: server.certificate_pem,
        key: server.key_pem,
        client_ca: authority.certificate_pem().expect("PEM"),
        crl: Some(authority.revocation_list_pem(now, due).expect("PEM")),
    }
});

fuzz_target!(|input: (u8, u16, &str)| {
    let (which, keep, text) = input;
    let mut pem = GOOD.clone();
    let place = match which % 4 {
        0 => &mut pem.certificate,
        1 => &mut pem.key,
        2 => &mut pem.client_ca,
        _ => pem.crl.get_or_insert_default(),
    };
    // All of it, the front of it and then the fuzzer's, or a hole of the fuzzer's in the middle.
    let keep = usize::from(keep) % (place.len() + 1);
    match which / 4 % 3 {
        0 => *place = text.to_owned(),
        1 => {
            place.truncate(keep);
            place.push_str(text);
        }
        _ => {
            let to = (keep + text.len()).min(place.len());
            place.replace_range(keep..to, text);
        }
    }
    match TlsSource::from(pem).load(UnixTime::now()) {
        Ok(material) => {
            assert!(!material.chain().is_empty());
            for refused in [server_config(&material).err(), client_config(&material).err()].iter().flatten() {
                assert!(!refused.to_string().is_empty());
            }
        }
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty());
            // No line of a key in a message.
            assert!(!GOOD.key.lines().any(|line| line.len() > 32 && told.contains(line)));
        }
    }
});
