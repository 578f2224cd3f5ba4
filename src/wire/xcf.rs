//! A fetch's answer: registry objects with their documents inside (Cross-Community Fetch §3.63).

use super::ebrim;
use super::ebrs::{self, BodyError};
use super::xdsb::{self, Binary};
use super::xml::Node;
use crate::model::packed::{Damaged, PackedObject};
use crate::model::response::QueryResponse;
use crate::model::rim::RegistryObject;
use crate::model::vocabulary::ns;

/// What stands behind the base64 content of a document that is written inline.
pub const DOCUMENT_END: &[u8] = b"</xds:Document></rim:ExtrinsicObject>";

/// Objects, each with its document, if it has one.
pub type Fetched<'a> = Vec<(RegistryObject<'a>, Option<Binary<'a>>)>;

/// Reads `query:AdhocQueryResponse` of ITI-63: status and errors, and each object with its document, if it
/// has one.
///
/// # Errors
/// When it is something else, or an object or a document is not as the schema wants it.
pub fn read_fetch_response<'a>(node: Node<'_, 'a>) -> Result<(QueryResponse, Fetched<'a>), BodyError> {
    let (status, errors, list) = ebrs::read_query_response_head(node)?;
    let mut objects = Vec::new();
    for (object, document) in list.map(ebrim::read_list_with_documents).transpose()?.unwrap_or_default() {
        objects.push((object, document.map(xdsb::binary).transpose()?));
    }
    Ok((QueryResponse { status, errors, objects: Vec::new(), home: None }, objects))
}

/// Writes an entry up to the content of its document, which may be base64 and then [`DOCUMENT_END`].
///
/// # Errors
/// When the record is damaged.
pub fn write_entry_start(out: &mut Vec<u8>, entry: &PackedObject, home: Option<&str>) -> Result<(), Damaged> {
    ebrim::write_packed_start(out, entry, home)?;
    out.extend_from_slice(format!("<xds:Document xmlns:xds=\"{}\">", ns::XDSB).as_bytes());
    Ok(())
}

/// Writes an entry whose document is the part of that Content-ID.
///
/// # Errors
/// When the record is damaged.
pub fn write_entry_include(
    out: &mut Vec<u8>,
    entry: &PackedObject,
    home: Option<&str>,
    content_id: &str,
) -> Result<(), Damaged> {
    write_entry_start(out, entry, home)?;
    xdsb::write_include(out, content_id);
    out.extend_from_slice(DOCUMENT_END);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::packed::tests::any_object;
    use crate::model::response::ResponseStatus;
    use crate::model::rim::Body;
    use proptest::prelude::*;

    fn answer(objects: &str) -> String {
        format!(
            "<q:AdhocQueryResponse xmlns:q='{}' xmlns:r='{}' xmlns:x='{}' status='{}'><r:RegistryObjectList>{objects}</r:RegistryObjectList></q:AdhocQueryResponse>",
            ns::QUERY,
            ns::RIM,
            ns::XDSB,
            ResponseStatus::Success.urn()
        )
    }

    fn read(text: &str) -> Result<Vec<Option<Binary<'static>>>, BodyError> {
        let document = ebrs::parse_body(text).unwrap();
        let (_, objects) = read_fetch_response(document.root())?;
        let owned = |binary| match binary {
            Binary::Inline(text) => Binary::Inline(text.into_owned().into()),
            Binary::Include(href) => Binary::Include(href.into_owned().into()),
        };
        Ok(objects.into_iter().map(|(_, binary): (_, Option<Binary<'_>>)| binary.map(owned)).collect())
    }

    proptest! {
        #[test]
        fn entries_come_back_with_their_documents(mut object in any_object(), part in "[a-z0-9.@]{1,20}", inline in any::<bool>()) {
            object.body = Body::ExtrinsicObject { mime_type: Some("text/plain".into()), opaque: None };
            let packed = PackedObject::pack(&object);
            let mut out = Vec::new();
            ebrs::write_query_response_start(&mut out, &QueryResponse::success(Vec::new()));
            if inline {
                write_entry_start(&mut out, &packed, Some("urn:oid:2.999.1")).unwrap();
                out.extend_from_slice(b"YWJj");
                out.extend_from_slice(DOCUMENT_END);
            } else {
                write_entry_include(&mut out, &packed, Some("urn:oid:2.999.1"), &part).unwrap();
            }
            ebrs::write_query_response_end(&mut out);
            let text = String::from_utf8(out).unwrap();
            let document = ebrs::parse_body(&text).unwrap();
            let (_, objects) = read_fetch_response(document.root()).unwrap();
            prop_assert_eq!(objects.len(), 1);
            let expected = if inline { Binary::Inline("YWJj".into()) } else { Binary::Include(format!("cid:{part}").into()) };
            prop_assert_eq!(objects[0].1.clone(), Some(expected));
            // The document is no part of the metadata: the same as without it.
            let mut alone = Vec::new();
            ebrs::write_query_response(
                &mut alone,
                &QueryResponse { objects: vec![packed], home: Some(crate::model::ids::HomeCommunityId::parse("urn:oid:2.999.1").unwrap()), ..QueryResponse::success(Vec::new()) },
                crate::model::stored_query::ReturnType::LeafClass,
            ).unwrap();
            let alone = String::from_utf8(alone).unwrap();
            let alone = ebrs::parse_body(&alone).unwrap();
            let list = ebrs::read_query_response_head(alone.root()).unwrap().2.unwrap();
            prop_assert!(ebrim::read_list(list).unwrap()[0] == objects[0].0);
        }
    }

    #[test]
    fn a_document_is_the_last_of_an_entry_and_of_nothing_else() {
        let document = "<x:Document>YQ==</x:Document>";
        let entry = |inside: &str| answer(&format!("<r:ExtrinsicObject id='a'>{inside}</r:ExtrinsicObject>"));
        assert_eq!(read(&entry(document)).unwrap(), [Some(Binary::Inline("YQ==".into()))]);
        assert_eq!(read(&entry("")).unwrap(), [None]);
        let behind_version = format!("<r:ContentVersionInfo/>{document}");
        assert!(read(&entry(&behind_version)).is_ok());
        for wrong in [
            entry(&format!("{document}<r:Name/>")),
            entry(&document.repeat(2)),
            answer(&format!("<r:RegistryPackage id='a'>{document}</r:RegistryPackage>")),
            entry("<x:Document><y/></x:Document>"),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        // Where no fetch was asked for, none is read.
        let text = entry(document);
        assert!(ebrs::read_query_response(ebrs::parse_body(&text).unwrap().root()).is_err());
    }
}
