//! Does another system's service do what its partners rely on? A read-only probe for Responding and
//! Initiating Gateways, Document Registries and Repositories.
//!
//! [`table::CHECKS`] is the one table of checks: what each is about, where the standard says so, what
//! is sent ([`ask::Ask`]) and which judge looks at the answer. One request serves all checks that ask
//! for it. [`run`] sends them one at a time, with a pause between them and a bound on their number;
//! [`report`] is what comes of it.
//!
//! Safe against production: it never submits, updates or removes, and every id it asks for is made up
//! for the run, below the arc of random UUIDs (`2.25`), unless the operator names a patient. Not done,
//! since it cannot be done safely: answers to another address (`wsa:ReplyTo`), and whatever needs a
//! flood of requests or of bytes.
//!
//! A report says codes, counts and media types. What a server writes for people (contexts, reasons) may
//! name somebody, and is not in it. Start reading at [`table::CHECKS`].

pub mod answer;
pub mod ask;
pub mod hello;
pub mod judge;
pub mod line;
pub mod report;
pub mod schema;
pub mod table;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId, RepositoryUniqueId, UniqueId};
use crate::transaction::Service;
use answer::{Answer, Payload};
use ask::{Ask, Made, Way};
use judge::{Case, Verdict};
use line::{Exchanged, Line};
use report::{Finding, Outcome, Report};
use table::{CHECKS, Check, REACHED};

/// So many exchanges in a row without any answer, and the rest is left out: the server is in trouble,
/// or we are, and neither gets better by asking on.
const MOST_UNANSWERED: usize = 3;

/// The same connection is used again within this time at the latest, lest a server that closes idle
/// ones is blamed for it.
const LONGEST_IDLE: Duration = Duration::from_secs(1);

/// What is probed, as whom, and how gently.
pub struct Settings {
    /// The service.
    pub uri: Uri,
    /// Where it gives documents, if that is elsewhere.
    pub retrieve_uri: Option<Uri>,
    /// What it is.
    pub service: Service,
    /// Our certificate and whom we trust; needed for https.
    pub tls: Option<Arc<ClientConfig>>,
    /// A `wsse:Security` header for each message (XUA).
    pub security: Option<String>,
    /// Its homeCommunityId; a gateway usually tells it in its errors.
    pub home: Option<HomeCommunityId>,
    /// A repository that it serves.
    pub repository: Option<RepositoryUniqueId>,
    /// A patient whom it may be asked about.
    pub patient: Option<PatientId>,
    /// Ids of the checks to make; all if there is none.
    pub only: Vec<String>,
    /// Between two requests.
    pub pause: Duration,
    /// For one answer.
    pub timeout: Duration,
    /// Requests at most, connections without one among them.
    pub max_requests: usize,
}

/// A DocumentEntry that a patient's query has found: what is needed to retrieve its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its entryUUID.
    pub uuid: EntryUuid,
    /// Its document.
    pub unique_id: UniqueId,
    /// Where that is.
    pub repository: RepositoryUniqueId,
    /// In which community.
    pub home: Option<HomeCommunityId>,
    /// SHA-1 as lower-case hexadecimal digits, as registered.
    pub hash: String,
    /// Octets, as registered.
    pub size: u64,
}

/// What is known of the server by now; grows with its answers.
pub struct Knowledge {
    /// What was set.
    pub settings: Settings,
    /// Its homeCommunityId, given or learned.
    pub home: Option<HomeCommunityId>,
    /// A repository of its, given or learned.
    pub repository: Option<RepositoryUniqueId>,
    /// A document of the patient that can be compared.
    pub found: Option<Found>,
    /// Ids of the DocumentEntries that the patient's query found, of those that have a UUID.
    pub objects: Option<HashSet<EntryUuid>>,
    /// Whether it has answered at all.
    pub reached: bool,
    /// Ids of nothing and nobody.
    pub made: Made,
}

impl Knowledge {
    fn new(settings: Settings) -> Self {
        Self {
            home: settings.home.clone(),
            repository: settings.repository.clone(),
            settings,
            found: None,
            objects: None,
            reached: false,
            made: Made::new(),
        }
    }

    /// Whether it is a gateway, where everything has a home.
    pub fn is_gateway(&self) -> bool {
        matches!(self.settings.service, Service::InitiatingGateway | Service::RespondingGateway)
    }

    fn learn(&mut self, ask: Ask, answer: &Answer) {
        self.reached = true;
        let Ok(envelope) = &answer.envelope else { return };
        match (ask, &envelope.payload) {
            // An error's location is the gateway's own home, perhaps with more text behind it (ITI TF-2 §3.38.4.1.3).
            (Ask::WithoutHome, Payload::Query(query)) if self.home.is_none() => {
                let locations = query.told.errors.iter().filter_map(|error| error.location.as_deref());
                self.home = locations.filter_map(answer::leading_home).next();
            }
            (Ask::PatientFind, Payload::Query(query)) => {
                let Ok(response) = &query.read else { return };
                self.objects = judge::patient::entry_ids(response);
                self.found = response.objects.iter().find_map(judge::patient::comparable);
                if self.repository.is_none() {
                    self.repository = self.found.as_ref().map(|found| found.repository.clone());
                }
            }
            _ => {}
        }
    }
}

/// A request with what came of it; or why it was not sent.
pub enum Sent {
    /// Sent.
    Exchanged(ask::Asked, Exchanged),
    /// Not sent: why.
    Not(String),
}

/// One run against one server.
struct Run {
    knowledge: Knowledge,
    line: Line,
    retrieve_line: Option<Line>,
    sent: HashMap<Ask, Sent>,
    requests: usize,
    unanswered: usize,
}

/// Makes the checks that the settings ask for.
///
/// # Errors
/// When a URL is none that can be called.
pub async fn run(settings: Settings) -> Result<Report, String> {
    let line = |uri: &Uri| Line::new(uri, settings.tls.clone(), settings.timeout);
    let (own, retrieve) = (line(&settings.uri)?, settings.retrieve_uri.as_ref().map(line).transpose()?);
    let mut run = Run {
        knowledge: Knowledge::new(settings),
        line: own,
        retrieve_line: retrieve,
        sent: HashMap::new(),
        requests: 0,
        unanswered: 0,
    };
    let mut findings = Vec::new();
    for check in wanted(&run.knowledge.settings) {
        findings.push(run.make(check).await);
    }
    let settings = &run.knowledge.settings;
    let home = run.knowledge.home.as_ref().map(ToString::to_string);
    Ok(Report::new(settings.uri.to_string(), settings.service.name(), home, findings, run.requests))
}

fn wanted(settings: &Settings) -> Vec<&'static Check> {
    let of_service = CHECKS.iter().filter(|check| check.services.contains(&settings.service));
    of_service.filter(|check| settings.only.is_empty() || settings.only.iter().any(|id| id == check.id)).collect()
}

impl Run {
    async fn make(&mut self, check: &'static Check) -> Finding {
        let ask = check.ask.at(self.knowledge.settings.service);
        for ask in ask.after(&self.knowledge).into_iter().chain([ask]) {
            // What comes before may need something before it, one step deep.
            if let Some(first) = ask.after(&self.knowledge) {
                self.send(first).await;
            }
            self.send(ask).await;
        }
        let (outcome, seen, elapsed) = match self.sent.get(&ask) {
            None => (Outcome::Skipped, "not sent".to_owned(), None),
            Some(Sent::Not(why)) => (Outcome::Skipped, why.clone(), None),
            // One finding says that nothing is there, not all of them.
            Some(Sent::Exchanged(_, Exchanged { result: Err(unanswered), .. }))
                if !self.knowledge.reached && check.id != REACHED =>
            {
                (Outcome::Skipped, format!("the service is not reached: {unanswered}"), None)
            }
            Some(Sent::Exchanged(asked, exchanged)) => {
                let case = Case { knowledge: &self.knowledge, asked, exchanged };
                let (outcome, seen) = match (check.judge)(&case) {
                    Ok(seen) => (Outcome::Ok, seen),
                    Err(Verdict::Weak(seen)) => (Outcome::Warn, seen),
                    Err(Verdict::Bad(seen)) => (check.level.broken(), seen),
                    Err(Verdict::Skip(why)) => (Outcome::Skipped, why),
                };
                (outcome, seen, Some(exchanged.elapsed))
            }
        };
        Finding::new(check, outcome, seen, elapsed)
    }

    /// Sends a request, unless it has been sent.
    async fn send(&mut self, ask: Ask) {
        if self.sent.contains_key(&ask) {
            return;
        }
        let sent = match self.may_send().and_then(|()| ask::prepare(ask, &self.knowledge)) {
            Err(why) => Sent::Not(why),
            Ok((asked, prepared)) => {
                if self.requests > 0 {
                    let pause = self.knowledge.settings.pause;
                    let pause = if prepared.way == Way::Same { pause.min(LONGEST_IDLE) } else { pause };
                    tokio::time::sleep(pause).await;
                }
                let line = match &mut self.retrieve_line {
                    Some(line) if prepared.retrieves => line,
                    _ => &mut self.line,
                };
                let began = Instant::now();
                let more = self.requests + 1 < self.knowledge.settings.max_requests;
                let (result, tries) = line.send(&prepared, more).await;
                self.requests += tries;
                let exchanged = Exchanged { result, elapsed: began.elapsed() };
                if prepared.way == Way::Any {
                    self.unanswered = if exchanged.is_answered() { 0 } else { self.unanswered + 1 };
                }
                if let Some(answer) = exchanged.answer() {
                    self.knowledge.learn(ask, answer);
                }
                Sent::Exchanged(asked, exchanged)
            }
        };
        self.sent.insert(ask, sent);
    }

    fn may_send(&self) -> Result<(), String> {
        if self.unanswered >= MOST_UNANSWERED {
            return Err(format!("not sent: {MOST_UNANSWERED} requests in a row were not answered"));
        }
        if self.requests >= self.knowledge.settings.max_requests {
            return Err("not sent: the bound on requests is reached".to_owned());
        }
        Ok(())
    }
}
