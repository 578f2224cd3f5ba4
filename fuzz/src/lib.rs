//! What the fuzz targets share: a heap with a ceiling, trees that can be compared, objects made
//! from the fuzzer's bytes, and references that are too slow or too simple for the broker.
//!
//! A check that fails panics: the fuzzer keeps the input.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod objects;
pub mod reference;
pub mod second_opinion;
pub mod tree;

use std::alloc::System;

use causeway::model::response::{RegistryError, ResponseStatus};
use causeway::wire::ebrs;
use causeway::wire::soap::{self, Fault, Version};
use causeway::wire::xml::{self, Document, Limits};

/// What a reader may hold at any moment while it reads one small input.
const MOST_MEMORY: usize = 64 << 20;

#[global_allocator]
static HEAP: cap::Cap<System> = cap::Cap::new(System, MOST_MEMORY);

/// Limits for what we wrote ourselves: writing may need more declarations than the original had.
pub const GENEROUS: Limits =
    Limits { depth: 256, elements: 500_000, attributes: 4096, namespaces: 60_000, name: 1 << 16, value: 1 << 24 };

/// Bytes as a message: decoded, parsed under the limits of the broker, handed to `then`.
pub fn with_message<T>(bytes: &[u8], then: impl FnOnce(&Document<'_>) -> T) -> Option<T> {
    let text = xml::decode(bytes).ok()?;
    let document = match Document::parse(&text, Limits::default()) {
        Ok(document) => document,
        Err(error) => {
            fault_is_readable(&error.into());
            return None;
        }
    };
    Some(then(&document))
}

/// Bytes that we wrote: they have to be UTF-8 and XML.
pub fn with_written<T>(bytes: Vec<u8>, then: impl FnOnce(&Document<'_>) -> T) -> T {
    let text = String::from_utf8(bytes).expect("what we write is UTF-8");
    let document =
        Document::parse(&text, GENEROUS).unwrap_or_else(|error| panic!("what we write is XML: {error}\n{text}"));
    then(&document)
}

/// Whether XML can carry a character.
pub fn carried(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// Whatever a fault quotes, its receiver can read it, in both versions of SOAP.
pub fn fault_is_readable(fault: &Fault) {
    for version in [Version::V12, Version::V11] {
        with_written(soap::write_fault(version, fault, Some("urn:uuid:0&<")), |document| {
            let envelope = soap::read(document).expect("a fault is an envelope");
            assert_eq!(envelope.version, version);
            let told = soap::received_fault(envelope.payload).expect("a fault is a fault");
            let reason: String = fault.reason.chars().map(|c| if carried(c) { c } else { '\u{fffd}' }).collect();
            assert!(told.contains(reason.trim()), "{told:?} tells {reason:?}");
        });
    }
}

/// Whatever an error list quotes, its receiver reads the same.
pub fn errors_are_readable(errors: &[RegistryError]) {
    if errors.is_empty() {
        return;
    }
    let mut out = Vec::new();
    ebrs::write_registry_response(&mut out, ResponseStatus::Failure, errors);
    with_written(out, |document| {
        let read = ebrs::read_registry_response(document.root()).expect("an error list is readable");
        assert_eq!(read.status, ResponseStatus::Failure);
        assert_eq!(read.errors, errors);
    });
}

/// The same bytes cut into chunks; where, is up to `seed`.
pub fn chunks(mut rest: &[u8], mut seed: u64) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while !rest.is_empty() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // Mostly a few bytes, so that cuts fall inside of delimiters.
        let most = if seed & 7 == 0 { 97 } else { 5 };
        let (chunk, tail) = rest.split_at((1 + (seed >> 8) as usize % most).min(rest.len()));
        out.push(chunk);
        rest = tail;
    }
    out
}
