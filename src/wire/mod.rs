//! Wire formats: bytes ⇄ syntax. No I/O, no rules, no panic on any input.
//!
//! [`xml`] reads foreign XML under limits; [`soap`] frames messages; [`mtom`] splits and makes
//! multipart packages chunk by chunk; [`ebrim`], [`ebrs`], [`xdsb`], [`xcf`], [`hl7v3`] and [`xcpd`] read and
//! write the bodies, [`xdr`] a header, to and from the plain types of [`crate::model`]; [`saml`] what an assertion
//! claims.

pub mod audit;
pub mod ebrim;
pub mod ebrs;
pub mod hl7v3;
pub mod mtom;
pub mod saml;
pub mod soap;
pub mod xcf;
pub mod xcpd;
pub mod xdr;
pub mod xdsb;
pub mod xml;
