//! Whether a request says of itself that it is one of emergency treatment (XUA, ITI TF-2 §3.40.4.1.2).

/// What the assertion of a request says of that; a claim and no more, since nothing of it is verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum EmergencyClaim {
    /// It does not say so.
    #[default]
    No,
    /// It says so, in the codes of HL7 ActReason.
    Yes,
    /// It may say so: a part of it cannot be read, or has a word for it that is of no system known here.
    Unclear,
}
