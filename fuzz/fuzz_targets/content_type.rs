//! Media types, packaging and the names of parts.
#![no_main]

use causeway::wire::mtom::{ContentId, MediaType, MultipartReader, MultipartWriter, Packaging, simple_content_type};
use causeway::wire::soap::Fault;
use causeway_fuzz::fault_is_readable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = MediaType::parse(text).map(|media| media.charset());
    match Packaging::parse(text) {
        Ok(Packaging::Multipart(params)) => {
            let mut reader = MultipartReader::new(params.boundary.as_bytes(), Default::default());
            assert_eq!(reader.next_event(), Ok(None), "a boundary taken here is taken there");
            if let Some(start) = &params.start {
                assert_eq!(start.rank(start), Some(1));
            }
        }
        Ok(Packaging::Simple { .. }) => {}
        Err(error) => fault_is_readable(&Fault::sender(error.to_string())),
    }
    // An action of anybody's goes into our header without changing its other parameters.
    let writer = MultipartWriter::new("b_1-".to_owned(), "root@b".to_owned()).expect("a boundary of ours");
    for header in [writer.content_type(Some(text)), writer.clone().with_soap11().content_type(Some(text))] {
        let Ok(Packaging::Multipart(params)) = Packaging::parse(&header) else { panic!("{header}") };
        assert_eq!(params.boundary, "b_1-");
        assert_eq!(params.start.as_ref().map(ContentId::as_str), Some("root@b"));
        assert!(params.action.is_none_or(|action| action == text.trim()));
    }
    for soap11 in [false, true] {
        let header = simple_content_type(soap11, Some(text));
        assert!(matches!(Packaging::parse(&header), Ok(Packaging::Simple { soap11: read, .. }) if read == soap11));
    }
    match ContentId::from_href(text) {
        Ok(id) => {
            assert!(text.trim().get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid:")));
            assert_eq!(id.rank(&id), Some(1));
            let again = ContentId::from_href(&format!("cid:{id}")).expect("an id is an id");
            assert_eq!(again, id);
        }
        Err(error) => fault_is_readable(&Fault::sender(error.to_string())),
    }
    if let Ok(id) = ContentId::from_header(text) {
        let again = ContentId::from_header(&format!("<{}>", id.as_str())).expect("an id is an id");
        assert_eq!(again, id);
        assert_eq!(id.best_match([&again, &id]), Some(0));
    }
});
