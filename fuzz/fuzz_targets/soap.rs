//! Envelopes: what is read can be written and is read the same; every refusal is a fault that its
//! receiver can read.
#![no_main]

use causeway::wire::soap;
use causeway_fuzz::{fault_is_readable, tree, with_message, with_written};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_message(bytes, |document| {
        let _ = soap::message_id(document);
        let envelope = match soap::read(document) {
            Ok(envelope) => envelope,
            Err(fault) => {
                assert!((400..=599).contains(&fault.http_status(soap::version(document))));
                return fault_is_readable(&fault);
            }
        };
        assert_eq!(envelope.version, soap::version(document));
        let _ = soap::received_fault(envelope.payload);
        for refused in
            [envelope.addressing.required_action().err(), envelope.addressing.answer_goes().err()].iter().flatten()
        {
            fault_is_readable(refused);
        }
        let mut out = Vec::new();
        soap::write_start(&mut out, envelope.version, &envelope.addressing, envelope.security.as_deref());
        out.extend_from_slice(envelope.payload.fragment().as_bytes());
        soap::write_end(&mut out);
        with_written(out, |again| {
            let again = soap::read(again).expect("what was an envelope is one");
            assert_eq!(again.version, envelope.version);
            // What says where faults go, and what to send along, is read only.
            let sent = soap::Addressing {
                fault_to: None,
                reply_parameters: None,
                fault_parameters: None,
                ..envelope.addressing.clone()
            };
            assert_eq!(again.addressing, sent);
            assert!(tree::same(again.payload, envelope.payload));
            match (&envelope.security, &again.security) {
                (None, None) => {}
                (Some(a), Some(b)) => {
                    let (a, b) = (a.clone().into_bytes(), b.clone().into_bytes());
                    with_written(a, |a| with_written(b, |b| assert!(tree::same(a.root(), b.root()))));
                }
                _ => panic!("wsse:Security came or went"),
            }
        });
    });
});
