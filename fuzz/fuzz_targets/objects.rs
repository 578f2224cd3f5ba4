//! Registry objects of any shape, made from the fuzzer's bytes: write, read; pack, unpack; judge; filter.
#![no_main]

use arbitrary::{Result, Unstructured};
use causeway::model::packed::PackedObject;
use causeway::model::rim::Slot;
use causeway::model::stored_query::{AdhocQuery, QUERIES};
use causeway::model::vocabulary::ns;
use causeway::validate::Profile;
use causeway::validate::{stored_query, submission};
use causeway::wire::ebrim;
use causeway_fuzz::{errors_are_readable, objects, with_written};
use libfuzzer_sys::fuzz_target;

fn all(u: &mut Unstructured<'_>) -> Result<()> {
    let mut made = Vec::new();
    for _ in 0..u.int_in_range(1..=6)? {
        let object = objects::object(u)?;
        let packed = PackedObject::pack(&object);
        let from_store =
            PackedObject::from_bytes(packed.as_bytes().clone()).expect("what is packed is a packed object");
        assert!(from_store.unpack().expect("what is packed unpacks") == objects::repacked(&object));

        let mut out = format!("<rim:RegistryObjectList xmlns:rim=\"{}\">", ns::RIM).into_bytes();
        ebrim::write_object(&mut out, &object, None);
        out.extend_from_slice(b"</rim:RegistryObjectList>");
        with_written(out, |document| {
            let read = ebrim::read_list(document.root()).expect("what we write is schema-valid");
            assert_eq!(read.len(), 1);
            assert!(read[0] == objects::completed(&object));
        });
        made.push(object);
    }
    for profile in [Profile::Register, Profile::RegisterOnDemand] {
        if let Err(errors) = submission::judge(made.clone(), profile, None) {
            errors_are_readable(&errors);
        }
    }
    let definition = u.choose(QUERIES)?;
    let mut slots = Vec::new();
    for parameter in definition.parameters {
        if u.arbitrary()? {
            let text = objects::xml_text(u)?;
            let values = [text.clone(), format!("'{text}'"), format!("('{text}')"), format!("('{text}','%')")];
            slots.push(Slot::single(parameter.name, u.choose(&values)?.clone()));
        }
    }
    let query =
        AdhocQuery { id: definition.id.to_owned(), home: None, return_type: Some("LeafClass".to_owned()), slots };
    match stored_query::read(&query) {
        Ok(query) => made.iter().for_each(|object| {
            let _ = stored_query::matches(&query, object);
        }),
        Err(errors) => errors_are_readable(&errors),
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Too few bytes is not a finding.
    let _ = all(&mut Unstructured::new(bytes));
});
