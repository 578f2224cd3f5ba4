//! What answers are worth. A judge looks at one answer and says what it saw; or in which way it is not
//! what was expected. Pure: the same answer is judged the same.
//!
//! [`connection`] has TLS and HTTP, [`soap`] envelopes, addressing and faults, [`response`] what queries
//! and retrieves have in common, [`query`] and [`retrieve`] what is their own, [`patient`] the metadata
//! and the document of a patient.

pub mod connection;
pub mod patient;
pub mod query;
pub mod response;
pub mod retrieve;
pub mod soap;

use super::answer::{Answer, Envelope, Fault, Payload, QueryAnswer, RetrieveAnswer, Told};
use super::ask::Asked;
use super::line::Exchanged;
use super::schema::shown;
use super::{Found, Knowledge};

/// A request with its answer, and what is known besides.
pub struct Case<'a> {
    /// What is known of the server.
    pub knowledge: &'a Knowledge,
    /// What was asked.
    pub asked: &'a Asked,
    /// What came of it.
    pub exchanged: &'a Exchanged,
}

/// Why an answer is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It will do, but is not what partners expect: a warning, even of a must.
    Weak(String),
    /// It breaks the rule.
    Bad(String),
    /// It cannot be judged, and why.
    Skip(String),
}

/// What was seen, if it is as expected.
pub type Judged = Result<String, Verdict>;

fn bad<T>(seen: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Bad(seen.into()))
}

fn weak<T>(seen: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Weak(seen.into()))
}

fn skip<T>(why: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Skip(why.into()))
}

impl<'a> Case<'a> {
    /// The HTTP answer.
    fn answer(&self) -> Result<&'a Answer, Verdict> {
        match (&self.exchanged.result, self.exchanged.answer()) {
            (_, Some(answer)) => Ok(answer),
            (Err(unanswered), None) => bad(unanswered.to_string()),
            (Ok(_), None) => bad("no HTTP answer"),
        }
    }

    /// The SOAP message in it.
    fn envelope(&self) -> Result<&'a Envelope, Verdict> {
        let answer = self.answer()?;
        match &answer.envelope {
            Ok(envelope) => Ok(envelope),
            Err(why) => bad(format!("{}: {}", answer.words(), shown(why))),
        }
    }

    /// The message, which is the answer and no fault.
    fn answered(&self) -> Result<&'a Envelope, Verdict> {
        let envelope = self.envelope()?;
        match &envelope.payload {
            Payload::Query(_) | Payload::Retrieve(_) => Ok(envelope),
            Payload::Fault(_) | Payload::Other(_) => bad(self.words()),
        }
    }

    /// What the response says of itself.
    fn told(&self) -> Result<&'a Told, Verdict> {
        match &self.envelope()?.payload {
            Payload::Query(query) => Ok(&query.told),
            Payload::Retrieve(retrieve) => Ok(&retrieve.told),
            Payload::Fault(_) | Payload::Other(_) => bad(self.words()),
        }
    }

    /// The answer to a query.
    fn query(&self) -> Result<&'a QueryAnswer, Verdict> {
        match &self.envelope()?.payload {
            Payload::Query(query) => Ok(query),
            _ => bad(self.words()),
        }
    }

    /// The answer to a retrieve.
    fn retrieve(&self) -> Result<&'a RetrieveAnswer, Verdict> {
        match &self.envelope()?.payload {
            Payload::Retrieve(retrieve) => Ok(retrieve),
            _ => bad(self.words()),
        }
    }

    /// The fault, where one is expected.
    fn fault(&self) -> Result<&'a Fault, Verdict> {
        match &self.envelope()?.payload {
            Payload::Fault(fault) => Ok(fault),
            _ => bad(self.words()),
        }
    }

    /// The answer in a few words.
    fn words(&self) -> String {
        match (self.exchanged.answer(), &self.exchanged.result) {
            (Some(answer), _) => answer.words(),
            (None, Err(unanswered)) => unanswered.to_string(),
            (None, Ok(_)) => "no HTTP answer".to_owned(),
        }
    }

    /// That the gateway could be asked for its own community: without, it answers something else.
    pub fn with_home(&self) -> Result<(), Verdict> {
        if self.knowledge.is_gateway() && !self.asked.has_home {
            return skip("its homeCommunityId is not known: give --home");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
