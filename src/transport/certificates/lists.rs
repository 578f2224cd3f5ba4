//! Certificate revocation lists: what they state, and who signed them (RFC 5280 §5).

use jiff::Timestamp;
use openssl::x509::{CrlStatus, X509, X509Crl};

use super::facts::{name_text, read_certificate, timestamp};
use super::{CertificateError, unreadable};

/// What a certificate revocation list states about itself (RFC 5280 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationListFacts {
    /// Issuer as RFC 4514 text.
    pub issuer: String,
    /// Issuer exactly as encoded, comparable with [`super::issuer_der`].
    pub issuer_der: Vec<u8>,
    /// When the list was made.
    pub this_update: Timestamp,
    /// When the next one is due; RFC 5280 §5.1.2.5 demands it, some lists lack it.
    pub next_update: Option<Timestamp>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// Reads one DER revocation list.
pub fn revocation_list_facts(der: &[u8]) -> Result<RevocationListFacts, CertificateError> {
    let list = X509Crl::from_der(der).map_err(unreadable("revocation list"))?;
    revocation_list_facts_of(&list)
}

pub(super) fn revocation_list_facts_of(list: &X509Crl) -> Result<RevocationListFacts, CertificateError> {
    Ok(RevocationListFacts {
        issuer: name_text(list.issuer_name())?,
        issuer_der: list.issuer_name().to_der().map_err(unreadable("revocation list"))?,
        this_update: timestamp(list.last_update())?,
        next_update: list.next_update().map(timestamp).transpose()?,
        revoked: list.get_revoked().map_or(0, |revoked| revoked.len()),
    })
}

/// Who signed a revocation list, as far as the given authorities tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSignature {
    /// One of the authorities signed it.
    Valid,
    /// An authority has the issuer's name, but its key did not sign the list.
    Forged,
    /// None of the authorities has the issuer's name; an intermediate may still have.
    UnknownIssuer,
}

/// Checks a DER revocation list against DER authority certificates.
pub fn revocation_list_signature<'a>(
    list_der: &[u8],
    authorities: impl IntoIterator<Item = &'a [u8]>,
) -> Result<ListSignature, CertificateError> {
    let list = X509Crl::from_der(list_der).map_err(unreadable("revocation list"))?;
    let authorities = authorities.into_iter().map(read_certificate).collect::<Result<Vec<_>, _>>()?;
    Ok(signature_of(&list, &authorities))
}

pub(super) fn signature_of(list: &X509Crl, authorities: &[X509]) -> ListSignature {
    let mut answer = ListSignature::UnknownIssuer;
    for authority in authorities {
        let same_name = list.issuer_name().try_cmp(authority.subject_name()).is_ok_and(|order| order.is_eq());
        if !same_name {
            continue;
        }
        // A renewed authority may share its name with the old one, so one match is enough.
        match authority.public_key().and_then(|key| list.verify(&key)) {
            Ok(true) => return ListSignature::Valid,
            Ok(false) | Err(_) => answer = ListSignature::Forged,
        }
    }
    answer
}

/// Since when a DER revocation list of its issuer revokes a DER certificate.
pub fn revoked_since(list: &[u8], certificate: &[u8]) -> Result<Option<Timestamp>, CertificateError> {
    let list = X509Crl::from_der(list).map_err(unreadable("revocation list"))?;
    let certificate = read_certificate(certificate)?;
    if !certificate.issuer_name().try_cmp(list.issuer_name()).is_ok_and(|order| order.is_eq()) {
        return Ok(None);
    }
    match list.get_by_cert(&certificate) {
        CrlStatus::Revoked(revoked) => timestamp(revoked.revocation_date()).map(Some),
        _ => Ok(None),
    }
}

/// Revocation lists as authorities publish them: PEM, or DER as found behind most URLs.
pub(super) fn read_lists(bytes: &[u8]) -> Result<Vec<X509Crl>, CertificateError> {
    const BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
    let as_list = unreadable("revocation list");
    if !contains(bytes, b"-----BEGIN") {
        return Ok(vec![X509Crl::from_der(bytes).map_err(as_list)?]);
    }
    let mut lists = Vec::new();
    let mut rest = bytes;
    while let Some(at) = position(rest, BEGIN) {
        let section = rest.get(at..).unwrap_or_default();
        lists.push(X509Crl::from_pem(section).map_err(&as_list)?);
        rest = section.get(BEGIN.len()..).unwrap_or_default();
    }
    if lists.is_empty() {
        return Err(CertificateError::Unreadable {
            what: "revocation list",
            reason: "there is no BEGIN X509 CRL line".to_owned(),
        });
    }
    Ok(lists)
}

pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    position(bytes, needle).is_some()
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{authority, days, now};
    use super::super::{DevelopmentAuthority, issuer_der};
    use super::*;

    #[test]
    fn the_revocation_list_names_what_was_revoked() {
        let mut authority = authority();
        let empty = authority.revocation_list_pem(now(), days(7)).unwrap();
        let gone = authority.issue_client("Gone").unwrap();
        authority.revoke(&gone);
        authority.revoke(&gone);
        let full = authority.revocation_list_pem(now(), days(7)).unwrap();
        for (pem, revoked) in [(&empty, 0), (&full, 1)] {
            let der = X509Crl::from_pem(pem.as_bytes()).unwrap().to_der().unwrap();
            let facts = revocation_list_facts(&der).unwrap();
            assert_eq!(facts.revoked, revoked);
            assert_eq!(facts.this_update, now());
            assert_eq!(facts.next_update, Some(days(7)));
            assert_eq!(facts.issuer_der, issuer_der(&gone.certificate_der).unwrap());
            let own = authority.certificate.to_der().unwrap();
            let same_name = DevelopmentAuthority::new("North Region", now()).unwrap();
            let other = DevelopmentAuthority::new("South Region", now()).unwrap();
            for (authority, expected) in [
                (own, ListSignature::Valid),
                (same_name.certificate.to_der().unwrap(), ListSignature::Forged),
                (other.certificate.to_der().unwrap(), ListSignature::UnknownIssuer),
            ] {
                let found = revocation_list_signature(&der, [authority.as_slice()]).unwrap();
                assert_eq!(found, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = revocation_list_facts(&bytes);
            let _ = read_lists(&bytes);
        }
    }
}
