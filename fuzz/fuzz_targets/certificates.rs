//! Certificates and revocation lists, in DER and in PEM.
#![no_main]

use causeway::transport::certificates::{
    ChainInput, Role, check_chain, facts, facts_from_pem, is_development, issuer_der, revocation_list_facts,
    revocation_list_signature,
};
use libfuzzer_sys::fuzz_target;

const AUTHORITY: &[u8] = include_bytes!("../seeds/certificates/authority.der");

fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = facts(bytes) {
        assert_eq!(facts.fingerprint_hex().len(), 64);
        assert!(issuer_der(bytes).is_ok());
        assert!(facts.is_development == is_development(bytes));
        for host in ["localhost", "[::1]", "127.0.0.1", "a.example.org", "", "."] {
            let _ = facts.covers_host(host);
        }
        let _ = format!("{facts:?}");
    }
    let _ = revocation_list_facts(bytes);
    let _ = revocation_list_signature(bytes, [AUTHORITY, bytes]);
    let pem = facts_from_pem(bytes).is_ok();
    if pem || bytes.starts_with(b"-----BEGIN") {
        let findings = check_chain(&ChainInput {
            chain_pem: bytes,
            key_pem: Some(bytes),
            ca_pem: bytes,
            crl: Some(bytes),
            host: Some("localhost"),
            role: Role::Both,
            now: jiff::Timestamp::UNIX_EPOCH,
        });
        assert!(findings.iter().all(|finding| !finding.message.is_empty()));
    }
});
