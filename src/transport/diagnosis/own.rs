//! Our own side: certificate, key, authorities and lists, judged before anybody is called.

use jiff::Timestamp;
use rustls::pki_types::UnixTime;

use super::{Finding, Status, Step};
use crate::transport::certificates::{self, CertificateFacts};
use crate::transport::tls::{TlsError, TlsFiles, TlsMaterial, TlsSource};

/// When to ask for a new certificate.
const EXPIRY_DAYS: i64 = 30;

/// What we show and trust.
pub(super) struct Own {
    pub material: TlsMaterial,
    /// Of the certificate that we show.
    pub facts: CertificateFacts,
}

/// Reads our side. Where only the revocation list is at fault the call goes on without it.
pub(super) async fn open(files: &TlsFiles) -> (Option<Own>, Finding) {
    let whole = files.clone();
    let loaded = tokio::task::spawn_blocking(move || load(whole)).await;
    match loaded {
        Ok(Ok((own, None))) => {
            let finding = judge(&own.facts, Timestamp::now());
            (Some(own), finding)
        }
        Ok(Ok((own, Some(error)))) => {
            (Some(own), Finding::fail(Step::OwnCertificate, error.to_string(), "without it a broker does not start"))
        }
        Ok(Err(error)) => (None, Finding::fail(Step::OwnCertificate, error.to_string(), "correct the file named")),
        Err(error) => (None, Finding::fail(Step::OwnCertificate, error.to_string(), "try again")),
    }
}

fn load(files: TlsFiles) -> Result<(Own, Option<TlsError>), TlsError> {
    let now = UnixTime::now();
    let (material, trouble) = match TlsSource::Files(files.clone()).load(now) {
        Ok(material) => (material, None),
        Err(error) if files.crl.is_some() => {
            let without = TlsFiles { crl: None, ..files };
            match TlsSource::Files(without).load(now) {
                Ok(material) => (material, Some(error)),
                // The first error would be the same.
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    // Whether key and certificate fit each other is known only once settings are made of them.
    crate::transport::tls::client_config(&material)?;
    let leaf = material.chain().first().ok_or(TlsError::NoPeerCertificate)?;
    let facts = certificates::facts(leaf).map_err(TlsError::PeerCertificate)?;
    Ok((Own { material, facts }, trouble))
}

fn judge(facts: &CertificateFacts, now: Timestamp) -> Finding {
    let subject = &facts.subject;
    let step = Step::OwnCertificate;
    let left = facts.days_left(now);
    if now > facts.not_after {
        return Finding::fail(
            step,
            format!("{subject} expired on {}", facts.not_after),
            "have it renewed; if that date is not past, correct this machine's clock",
        );
    }
    if now < facts.not_before {
        return Finding::fail(
            step,
            format!("{subject} is not valid before {}, and this machine's clock says {now:.0}", facts.not_before),
            "correct this machine's clock, or wait",
        );
    }
    if !facts.may_call {
        return Finding::note(
            step,
            format!("{subject} is not for clients: its extended key usage lacks clientAuth"),
            "ask its issuer for one with clientAuth: most peers refuse this one",
        );
    }
    if left < EXPIRY_DAYS {
        return Finding::note(step, format!("{subject} expires in {left} days"), "have it renewed now");
    }
    Finding::new(step, Status::Ok, format!("{subject}, {left} days left"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::certificates::DevelopmentAuthority;

    #[test]
    fn ours_is_judged_by_date_and_purpose() {
        let made = Timestamp::from_second(1_790_000_000).unwrap();
        let at = |days: i64| Timestamp::from_second(1_790_000_000 + days * 86_400).unwrap();
        let authority = DevelopmentAuthority::new("North", made).unwrap();
        let client = certificates::facts(&authority.issue_client("Ward").unwrap().certificate_der).unwrap();
        for (day, status, said) in [
            (1, Status::Ok, "days left"),
            (710, Status::Note, "expires in 20 days"),
            (731, Status::Fail, "expired on"),
            (-1, Status::Fail, "not valid before"),
        ] {
            let finding = judge(&client, at(day));
            assert_eq!(finding.status, status, "{finding:?}");
            assert!(finding.what.contains(said), "{finding:?}");
        }
        let server_only = CertificateFacts { may_call: false, ..client };
        assert!(judge(&server_only, at(1)).what.contains("clientAuth"));
    }
}
