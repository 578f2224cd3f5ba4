//! Stored objects from arbitrary bytes: an error or an object that packs and unpacks to itself.
#![no_main]

use bytes::Bytes;
use causeway::model::packed::PackedObject;
use causeway_fuzz::objects;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packed) = PackedObject::from_bytes(Bytes::copy_from_slice(bytes)) else { return };
    let _ = (packed.kind(), packed.is_approved(), packed.has_home());
    let Ok(object) = packed.unpack() else { return };
    assert_eq!(packed.uuid(), object.uuid());
    let again = PackedObject::pack(&object);
    assert!(again.unpack().expect("what is packed unpacks") == objects::repacked(&object));
    assert_eq!(again.kind(), packed.kind());
    assert_eq!(again.uuid(), packed.uuid());
});
