//! Callers that a listener or `[validation]` names: by the common name of their certificate, and by nothing else.

use super::CertificateRule;
use super::raw::{Section, Text, quoted};
use super::read::Reader;

impl Reader<'_> {
    /// A list of common names.
    pub(super) fn common_names(&self, section: &mut Section<'_>, key: &'static str) -> Vec<String> {
        let texts = section.texts(key).into_iter();
        texts.filter(|text| self.is_common_name(text)).map(|text| text.value).collect()
    }

    /// Whether it can be one. What stands for a certificate elsewhere would be nobody's here.
    pub(super) fn is_common_name(&self, text: &Text) -> bool {
        const WHAT: &str = "callers are named here by the common name of their certificate alone";
        let fix = match CertificateRule::parse(&text.value) {
            Ok(CertificateRule::Subject(subject)) => match subject.common_name() {
                Some(name) => format!("write {}", quoted(name)),
                None => "write the common name".to_owned(),
            },
            Ok(CertificateRule::Fingerprint(_)) => "write its common name".to_owned(),
            // Whoever has odd names has them: only what is certainly none is refused.
            Ok(CertificateRule::CommonName(_)) | Err(_) => return true,
        };
        self.findings.add(&text.spot, WHAT, fix);
        false
    }
}
