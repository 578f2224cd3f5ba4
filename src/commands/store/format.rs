//! The files of an export, line by line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Counts;
use crate::model::ids::{PatientId, UniqueId};
use crate::store::{Receipt, unhex};

/// `export.json`
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u32,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

pub(super) const FORMAT: &str = "causeway-export";
pub(super) const VERSION: u32 = 1;

/// A line of `objects.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ObjectLine {
    pub(super) patient: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) superseded: bool,
    pub(super) object: String,
}

/// A line of `documents.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DocumentLine {
    pub(super) unique_id: String,
    pub(super) mime_type: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// A line of `receipts.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiptLine {
    pub(super) submission_set: String,
    pub(super) message_id: String,
    pub(super) digest: String,
}

impl ReceiptLine {
    pub(super) fn read(&self) -> Result<Receipt, String> {
        let set_unique_id = UniqueId::parse(&self.submission_set).map_err(|error| error.to_string())?;
        let digest = unhex(&self.digest).ok_or("digest is not 64 lower-case hexadecimal digits")?;
        Ok(Receipt { set_unique_id, message_id: self.message_id.clone(), digest })
    }
}

/// A line of `patients.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PatientLine {
    pub(super) patient: String,
}

impl PatientLine {
    pub(super) fn read(&self) -> Result<PatientId, String> {
        PatientId::parse(&self.patient).map_err(|error| error.to_string())
    }
}

/// Where the bytes of a document are.
pub(super) fn content_path(contents: &Path, sha256: &str) -> PathBuf {
    contents.join(sha256.get(..2).unwrap_or_default()).join(sha256)
}
