//! Whose requests may go first (`[[listener]] emergency_callers`, `emergency_claims`).

use super::raw::Section;
use super::read::Reader;

impl Reader<'_> {
    /// Common names of certificates, each written out.
    pub(super) fn emergency(&self, section: &mut Section<'_>, key: &'static str) -> Vec<String> {
        let mut names = Vec::new();
        for text in section.texts(key) {
            if ["", "*"].contains(&text.value.as_str()) {
                let what = "if everybody's requests go first, nobody's do, and the reserve is anyone's";
                self.findings.add(
                    &text.spot,
                    what,
                    "name the callers one by one, by the common names of their certificates",
                );
            } else if self.is_common_name(&text) {
                names.push(text.value);
            }
        }
        names
    }
}
