//! ITI-41 and ITI-42 from XML: read, judged, written, read again, packed and unpacked.
#![no_main]

use std::sync::LazyLock;

use causeway::model::packed::PackedObject;
use causeway::model::rim::{Body, RegistryObject};
use causeway::validate::Profile;
use causeway::validate::codes::CodeSet;
use causeway::validate::submission::{self, End};
use causeway::wire::mtom::ContentId;
use causeway::wire::soap::Fault;
use causeway::wire::{ebrs, xdsb};
use causeway_fuzz::{errors_are_readable, fault_is_readable, objects, with_message, with_written};
use libfuzzer_sys::fuzz_target;

static CODES: LazyLock<CodeSet> =
    LazyLock::new(|| CodeSet::parse(include_str!("../seeds/codes/small.xml")).expect("a code file of ours"));

fn judged(read: &[RegistryObject<'_>]) {
    for profile in [Profile::Register, Profile::RegisterOnDemand] {
        for codes in [None, Some(&*CODES)] {
            match submission::judge(read.to_vec(), profile, codes) {
                Err(errors) => {
                    assert!(!errors.is_empty() && errors.len() <= 201);
                    errors_are_readable(&errors);
                }
                Ok(good) => {
                    for association in &good.associations {
                        for end in [association.source, association.target] {
                            match end {
                                End::Entry(at) => assert!(at < good.entries.len()),
                                End::Folder(at) => assert!(at < good.folders.len()),
                                End::Association(at) => assert!(at < good.associations.len()),
                                End::Set | End::Registry(_) => {}
                            }
                        }
                    }
                    let all = 1 + good.entries.len() + good.folders.len() + good.associations.len();
                    assert_eq!(all, read.iter().filter(|object| object.body != Body::ObjectRef).count());
                }
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    with_message(bytes, |document| {
        let root = document.root();
        let read = match root.local() {
            "SubmitObjectsRequest" => ebrs::read_submit(root).map(|submit| submit.objects),
            _ => xdsb::read_provide(root).map(|provide| {
                for (_, binary) in &provide.documents {
                    if let xdsb::Binary::Include(href) = binary {
                        assert!(href.starts_with("cid:"));
                        let _ = ContentId::from_href(href);
                    }
                }
                provide.submit.objects
            }),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => return fault_is_readable(&Fault::sender(error.to_string())),
        };
        judged(&read);
        for object in &read {
            let packed = PackedObject::pack(object);
            assert!(packed.unpack().expect("what is packed unpacks") == objects::repacked(object));
            assert_eq!(packed.uuid(), object.uuid());
            assert_eq!(packed.has_home(), object.common.home.is_some());
            assert_eq!(packed.is_approved(), object.is_approved());
        }
        let mut out = Vec::new();
        ebrs::write_submit(&mut out, &read);
        with_written(out, |again| {
            let again = ebrs::read_submit(again.root()).expect("what was a submission is one");
            let completed: Vec<_> = read.iter().map(objects::completed).collect();
            assert!(again.objects == completed);
        });
    });
});
