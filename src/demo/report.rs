//! What a demonstration has shown, as it can be held against the samples and printed as JSON.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::trouble::Trouble;
#[cfg(test)]
use super::trouble::TroubleRow;
use crate::model::response::ResponseStatus;
use crate::transport::tls::TlsFiles;

/// The report. What is serialized is public interface; the rest is for people.
#[derive(Serialize)]
pub struct Report {
    /// Whether every check held.
    pub ok: bool,
    /// Hub, members, neighbours, and those that are planned.
    pub communities: Vec<CommunityRow>,
    /// Documents that the one question found.
    pub found: usize,
    /// Each of them, retrieved.
    pub retrieved: Vec<RetrievedRow>,
    /// The same question with one community stopped.
    pub partial: Partial,
    /// The same question on a bad day: one stopped, one suspended, one slow, some planned.
    pub trouble: Trouble,
    /// From the start of the first broker to the end of the last check.
    pub elapsed_ms: u64,
    /// The hub's console.
    pub console: String,
    /// Time for all submissions.
    #[serde(skip)]
    pub registering: Duration,
    /// Time for the one question.
    #[serde(skip)]
    pub asking: Duration,
    /// Time for the one retrieve.
    #[serde(skip)]
    pub retrieving: Duration,
    /// Documents of a patient who has a large one.
    #[serde(skip)]
    pub large: Vec<RetrievedRow>,
    /// Time for retrieving those.
    #[serde(skip)]
    pub streaming: Duration,
    /// Status of the one question's answer.
    #[serde(skip)]
    pub status: ResponseStatus,
    /// One patient's documents.
    #[serde(skip)]
    pub story: Vec<StoryRow>,
    /// Name and homeCommunityId of the community that was stopped.
    #[serde(skip)]
    pub stopped: (String, String),
    /// What was held against the samples, and whether it held.
    #[serde(skip)]
    pub checks: Vec<(bool, String)>,
}

/// One community in the report.
#[derive(Debug, Clone, Serialize)]
pub struct CommunityRow {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub home_community_id: String,
    /// live or planned.
    pub state: &'static str,
    /// Documents that it acknowledged.
    pub registered: usize,
    /// Whether the hub asked it.
    pub asked: bool,
    /// How long its answer took, as the hub measured it.
    pub answered_ms: Option<u64>,
    /// Documents in its answer.
    pub returned: usize,
    /// What went wrong.
    pub error: Option<String>,
}

/// One retrieved document.
#[derive(Debug, Clone, Serialize)]
pub struct RetrievedRow {
    /// Where it came from.
    pub home_community_id: String,
    /// Which.
    pub unique_id: String,
    /// Octets received.
    pub bytes: u64,
    /// Whether their SHA-1 is that of the entry and of the sample.
    pub hash_ok: bool,
    /// The SHA-1 of what was received.
    #[serde(skip)]
    pub hash: String,
}

/// The answer while one community is down.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Partial {
    /// Success, PartialSuccess or Failure.
    pub status: &'static str,
    /// Communities named as missing.
    pub missing: Vec<String>,
    /// Documents of the others.
    pub found: usize,
    /// What the answer says about those that are missing.
    #[serde(skip)]
    pub words: Vec<String>,
}

/// One document of the story.
#[derive(Debug, Clone)]
pub struct StoryRow {
    /// creationTime.
    pub time: String,
    /// Who holds it.
    pub community: String,
    /// Its title.
    pub title: String,
    /// Its media type.
    pub mime_type: String,
    /// What became of retrieving it.
    pub retrieved: RetrievedRow,
}

impl Report {
    /// For machines.
    pub fn json(&self) -> String {
        // Texts and numbers only: there is nothing in it that JSON could not say.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What did not hold.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|(held, _)| !held).map(|(_, what)| what.as_str())
    }
}

/// What one can try while the federation runs.
pub struct NextSteps {
    /// The hub's console.
    pub console: String,
    /// The certificate for clients.
    pub client: TlsFiles,
    /// Where everything is.
    pub folder: PathBuf,
    /// Whether that goes when the demonstration stops.
    pub temporary: bool,
    /// A patient that every community knows.
    pub nhs_number: String,
    /// Name, address of the services, and console of each broker; the hub first.
    pub brokers: Vec<(String, String, String)>,
}

/// A report of a demonstration that went wrong.
#[cfg(test)]
pub(crate) fn example() -> Report {
    let retrieved = RetrievedRow {
        home_community_id: "urn:oid:2.999.1".into(),
        unique_id: "2.999.2".into(),
        bytes: 7,
        hash_ok: true,
        hash: "da39a3ee5e6b4b0d3255bfef95601890afd80709".into(),
    };
    Report {
        ok: false,
        communities: vec![CommunityRow {
            name: "North".into(),
            home_community_id: "urn:oid:2.999.1".into(),
            state: "live",
            registered: 3,
            asked: true,
            answered_ms: None,
            returned: 0,
            error: Some("it\x1b[2J broke".into()),
        }],
        found: 1,
        retrieved: vec![retrieved.clone()],
        trouble: Trouble {
            status: "PartialSuccess",
            found: 1,
            explain: "abc".to_owned(),
            communities: vec![TroubleRow {
                name: "North".to_owned(),
                home_community_id: "urn:oid:2.999.1".to_owned(),
                is: "suspended",
                answered_ms: None,
                returned: 0,
                named: Some("warning"),
                said: "it is suspended".to_owned(),
            }],
        },
        partial: Partial {
            status: "PartialSuccess",
            missing: vec!["urn:oid:2.999.1".into()],
            found: 0,
            words: vec!["went\x07 away".into()],
        },
        elapsed_ms: 1234,
        console: "http://127.0.0.1:1/".into(),
        registering: Duration::from_millis(5),
        asking: Duration::from_millis(5),
        retrieving: Duration::from_millis(5),
        large: Vec::new(),
        streaming: Duration::ZERO,
        status: ResponseStatus::Success,
        story: vec![StoryRow {
            time: "20251103101500".into(),
            community: "North".into(),
            title: "Letter".into(),
            mime_type: "text/plain".into(),
            retrieved,
        }],
        stopped: ("North".into(), "urn:oid:2.999.1".into()),
        checks: vec![(true, "held".into()), (false, "North answered".into())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_promised_names_and_no_others() {
        let json: serde_json::Value = serde_json::from_str(&example().json()).unwrap();
        let names = |value: &serde_json::Value| {
            let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(names(&json), "communities console elapsed_ms found ok partial retrieved trouble");
        assert_eq!(
            names(&json["communities"][0]),
            "answered_ms asked error home_community_id name registered returned state"
        );
        assert_eq!(names(&json["retrieved"][0]), "bytes hash_ok home_community_id unique_id");
        assert_eq!(names(&json["partial"]), "found missing status");
        assert!(json["communities"][0]["answered_ms"].is_null());
    }
}
