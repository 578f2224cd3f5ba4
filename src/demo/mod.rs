//! `causeway demo`: a whole federation in one process, and the proof that it works.
//!
//! Thirteen brokers, each with its own certificates, stores, audit trail and ports, and a hospital
//! outside of them that has nothing but a client certificate. What the hospital does goes through
//! mutual TLS: it registers the sample documents (ITI-41), asks once (ITI-18), retrieves from every
//! community (ITI-43), and asks again while one community is down. The report says what came back,
//! held against the samples. Nothing is simulated; numbers are the brokers' own.
//!
//! Start reading at [`Demo::report`]. [`documents`] makes submissions of sample rows, [`federation`]
//! starts and stops brokers, [`hospital`] is the system outside, [`report`] holds what it saw.

pub mod documents;
pub mod federation;
pub mod files;
pub mod hospital;
pub mod report;
pub mod scan;
pub mod trouble;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use indicatif::ProgressBar;

use self::documents::{Samples, sha1};
use self::federation::{Federation, Folder, Node};
use self::hospital::{Answer, Found, Hospital, Retrieved};
use self::report::{CommunityRow, Report, RetrievedRow, StoryRow};
use self::trouble::{Day, SlowWay, Trouble};
use crate::actors::ports::PeerFailure;
use crate::broker::BrokerError;
use crate::config::Service;
use crate::model::document::BodyError;
use crate::model::ids::PatientId;
use crate::model::response::{ErrorCode, ResponseStatus, Severity};
use crate::transport::certificates::CertificateError;
use crate::transport::peer::SoapClient;
use crate::transport::tls::TlsError;

/// The person about whom every community holds one letter.
const EVERYWHERE: &str = "P26";
/// The person whose emergency the story tells: records at home, an emergency elsewhere.
const STORY: &str = "P01";
/// A person with a letter of 5 MiB: more than anybody on the way keeps in memory.
const LARGE: &str = "P25";
/// The community that is stopped.
const STOPPED: &str = "SEL";
/// The community that is suspended on a bad day.
const SUSPENDED: &str = "SNEE";
/// The community that is slow on a bad day.
const SLOW: &str = "OXF";
/// Submissions under way to one community: a few sources at work, not a load test.
const SUBMISSIONS: usize = 4;

/// Why a demonstration could not be held. What it would have shown is in no message.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// What the program carries does not fit together.
    #[error("the samples cannot be used: {0}")]
    Samples(String),
    /// A file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was to be done with it.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder that belongs to something else.
    #[error("{} holds something other than a demo; choose a new or an empty folder", .0.display())]
    Folder(PathBuf),
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The client's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A broker did not start.
    #[error("{community} does not start: {source}")]
    Broker {
        /// Whose.
        community: String,
        /// Why.
        source: BrokerError,
    },
    /// A broker that is needed does not run.
    #[error("{0} does not run")]
    NotRunning(String),
    /// A broker gave no answer, or none that is one.
    #[error("the broker {0}")]
    Call(#[from] PeerFailure),
    /// A broker kept silent.
    #[error("the broker did not answer in time")]
    Silence,
    /// An answer that cannot be right.
    #[error("the broker's answer cannot be used: {0}")]
    Answer(String),
    /// Documents that broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl DemoError {
    fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

/// A running demonstration.
pub struct Demo {
    began: Instant,
    samples: Samples,
    hospital: Hospital,
    federation: Federation,
    /// Dropped last: brokers are on it.
    folder: Folder,
}

/// What became of registering the samples of one community.
#[derive(Debug, Clone, Default)]
struct Registered {
    documents: usize,
    errors: Vec<String>,
}

/// Transactions with a peer, as a broker counts them.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    questions: u64,
    time: Duration,
}

impl Taken {
    /// Reads them from the text of `/metrics`; nothing counted yet is nothing written.
    fn read(numbers: &str, transaction: &str, peer: &str) -> Self {
        let labels = [format!("transaction=\"{transaction}\""), format!("peer=\"{peer}\"")];
        let value = |name: &str| -> Option<f64> {
            let line = numbers.lines().find(|line| {
                line.split_once('{')
                    .is_some_and(|(metric, rest)| metric == name && labels.iter().all(|label| rest.contains(label)))
            })?;
            line.rsplit_once(' ')?.1.parse().ok()
        };
        let seconds = value("causeway_transaction_seconds_sum").unwrap_or_default();
        Self {
            questions: value("causeway_transaction_seconds_count").unwrap_or_default() as u64,
            time: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        }
    }

    /// What came after an earlier reading.
    fn since(self, earlier: Self) -> Self {
        Self {
            questions: self.questions.saturating_sub(earlier.questions),
            time: self.time.saturating_sub(earlier.time),
        }
    }
}

impl Demo {
    /// Starts the federation, in a folder that stays or in a temporary one.
    ///
    /// # Errors
    /// Whatever a broker needs and cannot have.
    pub async fn start(data: Option<&Path>, progress: &ProgressBar) -> Result<Self, DemoError> {
        let began = Instant::now();
        let samples = Samples::load()?;
        let folder = data.map_or_else(Folder::temporary, Folder::kept)?;
        progress.set_message("starting the brokers");
        let federation = Federation::start(&samples, folder.path()).await?;
        let hospital = Hospital::new(federation.client.clone())?;
        Ok(Self { began, samples, hospital, federation, folder })
    }

    /// Registers, asks, retrieves, stops one community, asks again. That community stays stopped.
    ///
    /// # Errors
    /// When a broker gives no answer at all; whatever else goes wrong is in the report.
    pub async fn report(&mut self, progress: &ProgressBar) -> Result<Report, DemoError> {
        let registering = Instant::now();
        let registered = self.register(progress).await?;
        let registering = registering.elapsed();

        progress.set_message("asking all communities");
        let patient = self.samples.shared_patient_id(EVERYWHERE)?;
        let gateway = self.hospital.client(self.federation.hub()?.service(Service::InitiatingGateway)?);
        let before = self.taken()?;
        let asking = Instant::now();
        let answer = self.hospital.find(&gateway, &patient).await?;
        let asking = asking.elapsed();
        let mut asked = self.taken()?;
        asked.iter_mut().for_each(|(home, taken)| *taken = taken.since(before.get(home).copied().unwrap_or_default()));
        asked.extend(self.ask_hub_alone(&patient).await?);

        progress.set_message("retrieving from every community");
        let retrieving = Instant::now();
        let retrieved = self.retrieve(&gateway, &answer.found, EVERYWHERE).await?;
        let retrieving = retrieving.elapsed();

        let large = self.hospital.find(&gateway, &self.samples.shared_patient_id(LARGE)?).await?;
        let streaming = Instant::now();
        let large = self.retrieve(&gateway, &large.found, LARGE).await?;
        let streaming = streaming.elapsed();

        progress.set_message("one patient's story");
        let story = self.hospital.find(&gateway, &self.samples.shared_patient_id(STORY)?).await?;
        let story = self.tell(&gateway, story).await?;

        progress.set_message("asking again while one community is down");
        self.federation.stop_one(STOPPED).await;
        let partial = self.hospital.find(&gateway, &patient).await?;

        progress.set_message("asking on a bad day");
        let trouble = self.bad_day(&gateway, &patient).await?;

        let mut report = Report {
            ok: false,
            elapsed_ms: 0,
            checks: Vec::new(),
            communities: self.communities(&registered, &asked, &answer),
            found: answer.found.len(),
            retrieved,
            partial: report::Partial::of(&partial),
            trouble,
            console: self.federation.hub()?.admin().map(|address| format!("http://{address}/")).unwrap_or_default(),
            registering,
            asking,
            retrieving,
            large,
            streaming,
            status: answer.response.status,
            story,
            stopped: self.stopped(),
        };
        self.judge(&mut report, &registered);
        report.elapsed_ms = millis(self.began.elapsed());
        Ok(report)
    }

    /// Asks while one community is suspended and another one slow, beside the one that is stopped.
    async fn bad_day(&self, gateway: &SoapClient, patient: &PatientId) -> Result<Trouble, DemoError> {
        let day = Day { stopped: STOPPED, suspended: SUSPENDED, slow: SLOW };
        let slow = self.federation.nodes.iter().find(|node| node.community.key == SLOW);
        let address = slow.and_then(|node| node.broker()?.addresses().first().copied());
        let way = SlowWay::to(address.ok_or_else(|| DemoError::NotRunning(SLOW.to_owned()))?).await?;
        self.federation.introduce_on(Some((&day, &way)))?;
        let answer = self.hospital.find(gateway, patient).await?;
        let hub = self.federation.hub()?;
        let broker = hub.broker().ok_or_else(|| DemoError::NotRunning(hub.community.name.clone()))?;
        let explained = broker.explanations().latest(1).into_iter().next();
        let explained = explained.ok_or_else(|| DemoError::Answer("the hub cannot explain it".to_owned()))?;
        Ok(Trouble::of(&self.federation, &answer, &explained, &day))
    }

    /// Starts the community again that [`Self::report`] has stopped, and asks once more.
    ///
    /// # Errors
    /// When it does not start, or is still missing from the answer.
    pub async fn resume(&mut self) -> Result<(), DemoError> {
        self.federation.start_one(STOPPED).await?;
        let gateway = self.hospital.client(self.federation.hub()?.service(Service::InitiatingGateway)?);
        let answer = self.hospital.find(&gateway, &self.samples.shared_patient_id(EVERYWHERE)?).await?;
        if answer.response.status == ResponseStatus::Success {
            Ok(())
        } else {
            Err(DemoError::Answer(format!("{} runs again and is still missing", self.stopped().0)))
        }
    }

    /// What one can try while it runs, with the addresses of this run.
    ///
    /// # Errors
    /// When a broker does not run.
    pub fn next_steps(&self) -> Result<report::NextSteps, DemoError> {
        let hub = self.federation.hub()?;
        let console = |node: &Node| node.admin().map(|address| format!("http://{address}/")).unwrap_or_default();
        let brokers = self.federation.nodes.iter().map(|node| {
            let service = node.service(Service::Registry)?;
            let authority = service.authority().map(ToString::to_string).unwrap_or_default();
            Ok((node.community.name.clone(), format!("https://{authority}"), console(node)))
        });
        Ok(report::NextSteps {
            console: console(hub),
            client: self.federation.client.clone(),
            folder: self.folder.path().to_owned(),
            temporary: self.folder.is_temporary(),
            nhs_number: self.samples.shared_patient_id(EVERYWHERE)?.id().to_owned(),
            brokers: brokers.collect::<Result<_, DemoError>>()?,
        })
    }

    /// Stops all brokers; a temporary folder goes with them.
    pub async fn stop(self) {
        self.federation.stop().await;
    }

    /// ITI-41: every community's documents to its own repository, all communities at once.
    async fn register(&self, progress: &ProgressBar) -> Result<HashMap<String, Registered>, DemoError> {
        let total: usize =
            self.federation.nodes.iter().map(|n| self.samples.of_community(&n.community.key).count()).sum();
        progress.set_length(total as u64);
        progress.set_message("registering documents");
        let communities = self.federation.nodes.iter().map(|node| async move {
            let repository = &self.hospital.client(node.service(Service::Repository)?);
            let submissions = stream::iter(self.samples.of_community(&node.community.key)).map(|sample| async move {
                let submission = self.samples.submission(sample)?;
                let unique_id = submission.unique_id.clone();
                let response = self.hospital.submit(repository, submission).await?;
                progress.inc(1);
                Ok::<_, DemoError>((unique_id, response))
            });
            let mut registered = Registered::default();
            let mut answers = submissions.buffer_unordered(SUBMISSIONS);
            while let Some(answer) = answers.next().await {
                let (unique_id, response) = answer?;
                match response.status {
                    ResponseStatus::Success => registered.documents += 1,
                    _ => registered.errors.extend(
                        response
                            .errors
                            .iter()
                            .map(|error| format!("{unique_id}: {} {}", error.code.as_str(), error.context)),
                    ),
                }
            }
            Ok((node.community.home.to_string(), registered))
        });
        futures_util::future::try_join_all(communities).await.map(|all| all.into_iter().collect())
    }

    /// How many questions the hub has put to each community, and how long they took it in all: its
    /// own numbers, the ones that `/metrics` shows.
    fn taken(&self) -> Result<HashMap<String, Taken>, DemoError> {
        let hub = self.federation.hub()?;
        let broker = hub.broker().ok_or_else(|| DemoError::NotRunning(hub.community.name.clone()))?;
        let all = self.federation.nodes.iter().map(|node| &node.community).chain(&self.federation.planned);
        let numbers = broker.metrics().text();
        let homes = all.map(|community| community.home.to_string());
        Ok(homes.map(|home| (home.clone(), Taken::read(&numbers, "ITI-38", &home))).collect())
    }

    /// The hub asks its own registry without a network in between, so there is no such number: the
    /// same question is put to its registry alone.
    async fn ask_hub_alone(&self, patient: &PatientId) -> Result<Option<(String, Taken)>, DemoError> {
        let hub = self.federation.hub()?;
        let Some(broker) = hub.broker() else { return Ok(None) };
        let inbound = || Taken::read(&broker.metrics().text(), "ITI-18", "inbound");
        let before = inbound();
        self.hospital.find(&self.hospital.client(hub.service(Service::Registry)?), patient).await?;
        let after = inbound();
        Ok(Some((hub.community.home.to_string(), after.since(before))))
    }

    /// ITI-43 for all that was found, each body held against its entry and against the sample.
    async fn retrieve(
        &self,
        gateway: &SoapClient,
        found: &[Found],
        person: &str,
    ) -> Result<Vec<RetrievedRow>, DemoError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let requests: Vec<_> = found.iter().map(|found| found.request.clone()).collect();
        let delivery = self.hospital.retrieve(gateway, &requests).await?;
        let mut original = HashMap::new();
        for sample in self.samples.of_person(person) {
            original.insert(sample.unique_id.as_str(), sha1(&self.samples.content(sample)?));
        }
        Ok(found
            .iter()
            .map(|found| {
                let got: Option<&Retrieved> = delivery.documents.iter().find(|got| got.request == found.request);
                let unique_id = found.request.unique_id.as_str();
                RetrievedRow {
                    home_community_id: found.request.home.as_ref().map(ToString::to_string).unwrap_or_default(),
                    unique_id: unique_id.to_owned(),
                    bytes: got.map_or(0, |got| got.bytes),
                    hash_ok: got.is_some_and(|got| {
                        got.hash == found.hash && original.get(unique_id).is_some_and(|original| got.hash == *original)
                    }),
                    hash: got.map(|got| got.hash.clone()).unwrap_or_default(),
                }
            })
            .collect())
    }

    /// The documents of the story with what became of retrieving them, oldest first.
    async fn tell(&self, gateway: &SoapClient, answer: Answer) -> Result<Vec<StoryRow>, DemoError> {
        let retrieved = self.retrieve(gateway, &answer.found, STORY).await?;
        let mut rows: Vec<_> = answer
            .found
            .into_iter()
            .zip(retrieved)
            .map(|(found, retrieved)| StoryRow {
                time: found.creation_time,
                community: self.name_of(&retrieved.home_community_id),
                title: found.title,
                mime_type: found.mime_type,
                retrieved,
            })
            .collect();
        rows.sort_by(|a, b| a.time.cmp(&b.time));
        Ok(rows)
    }

    fn name_of(&self, home: &str) -> String {
        let node = self.federation.nodes.iter().find(|node| node.community.home.as_str() == home);
        node.map_or_else(|| home.to_owned(), |node| node.community.name.clone())
    }

    fn stopped(&self) -> (String, String) {
        let node = self.federation.nodes.iter().find(|node| node.community.key == STOPPED);
        node.map(|node| (node.community.name.clone(), node.community.home.to_string())).unwrap_or_default()
    }

    /// One row for each community, live ones and planned.
    fn communities(
        &self,
        registered: &HashMap<String, Registered>,
        taken: &HashMap<String, Taken>,
        answer: &Answer,
    ) -> Vec<CommunityRow> {
        let all = self.federation.nodes.iter().map(|node| &node.community).chain(&self.federation.planned);
        all.map(|community| {
            let home = community.home.as_str();
            let registered = registered.get(home).cloned().unwrap_or_default();
            let taken = taken.get(home).copied().unwrap_or_default();
            let located =
                |at: &Option<String>| at.as_deref().is_some_and(|at| at.split_whitespace().next() == Some(home));
            let mut errors = answer.response.errors.iter().filter(|error| error.severity == Severity::Error);
            let failure = errors.find(|error| located(&error.location));
            let failure = failure.map(|error| format!("{}: {}", error.code.as_str(), error.context));
            CommunityRow {
                name: community.name.clone(),
                home_community_id: home.to_owned(),
                state: community.state.as_str(),
                registered: registered.documents,
                asked: taken.questions > 0,
                answered_ms: (taken.questions > 0 && failure.is_none()).then(|| millis(taken.time)),
                returned: answer
                    .found
                    .iter()
                    .filter(|found| found.request.home.as_ref() == Some(&community.home))
                    .count(),
                error: failure.or_else(|| registered.errors.into_iter().next()),
            }
        })
        .collect()
    }

    /// Holds the report against the samples.
    fn judge(&self, report: &mut Report, registered: &HashMap<String, Registered>) {
        let count = |community: &str, person: &str| {
            self.samples.of_person(person).filter(|sample| sample.is_of(community)).count()
        };
        let mut checks = Vec::new();
        let mut check = |held: bool, what: String| checks.push((held, what));
        for node in &self.federation.nodes {
            let community = &node.community;
            let Some(row) = report.communities.iter().find(|row| row.home_community_id == community.home.as_str())
            else {
                check(false, format!("{} is in the report", community.name));
                continue;
            };
            let samples = self.samples.of_community(&community.key).count();
            check(row.registered == samples, format!("{} registered {samples} documents", row.name));
            let expected = count(&community.key, EVERYWHERE);
            check(row.answered_ms.is_some() && row.error.is_none(), format!("{} answered", row.name));
            check(row.returned == expected, format!("{} returned {expected}", row.name));
        }
        for community in &self.federation.planned {
            let row = report.communities.iter().find(|row| row.home_community_id == community.home.as_str());
            check(row.is_some_and(|row| !row.asked), format!("{} is planned and was not asked", community.name));
        }
        let refused: usize = registered.values().map(|registered| registered.errors.len()).sum();
        check(refused == 0, "no submission was refused".to_owned());
        let expected = self.samples.of_person(EVERYWHERE).count();
        check(report.status == ResponseStatus::Success, "all communities together answered Success".to_owned());
        check(report.found == expected, format!("{expected} documents were found"));
        let good = |rows: &mut dyn Iterator<Item = &RetrievedRow>| rows.filter(|row| row.hash_ok).count();
        check(good(&mut report.retrieved.iter()) == expected, format!("{expected} documents were retrieved unchanged"));
        let large = self.samples.of_person(LARGE).count();
        check(
            good(&mut report.large.iter()) == large,
            format!("{large} more documents, one of 5 MiB, were retrieved unchanged"),
        );
        let told = self.samples.of_person(STORY).count();
        let story = good(&mut report.story.iter().map(|row| &row.retrieved));
        check(
            story == told && report.story.len() == told,
            format!("the story's {told} documents were retrieved unchanged"),
        );
        let left = expected - count(STOPPED, EVERYWHERE);
        let partial = &report.partial;
        check(partial.status == "PartialSuccess", "with one community down the answer is PartialSuccess".to_owned());
        check(partial.missing == [report.stopped.1.as_str()], format!("it names {} and nobody else", report.stopped.0));
        check(partial.found == left, format!("and has the {left} documents of the others"));
        checks.extend(report.trouble.checks(|home| {
            let node = self.federation.nodes.iter().find(|node| node.community.home.as_str() == home);
            node.map_or(0, |node| count(&node.community.key, EVERYWHERE))
        }));
        report.ok = checks.iter().all(|(held, _)| *held);
        report.checks = checks;
    }
}

/// Whole milliseconds, rounded up: what took any time at all took one.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

impl report::Partial {
    /// What an answer says about who is missing.
    fn of(answer: &Answer) -> Self {
        // A warning names who is not connected yet: nobody misses that one.
        let errors = answer.response.errors.iter().filter(|error| error.severity == Severity::Error);
        let unavailable = errors.filter(|error| error.code == ErrorCode::XDSUnavailableCommunity);
        Self {
            status: match answer.response.status {
                ResponseStatus::Success => "Success",
                ResponseStatus::PartialSuccess => "PartialSuccess",
                ResponseStatus::Failure => "Failure",
            },
            missing: unavailable.clone().filter_map(|error| error.location.clone()).collect(),
            found: answer.found.len(),
            words: unavailable.map(|error| error.context.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::metrics::Metrics;

    #[test]
    fn numbers_are_read_as_brokers_write_them() {
        let metrics = Metrics::default();
        let read = |peer| Taken::read(&metrics.text(), "ITI-38", peer);
        assert_eq!(read("urn:oid:2.999.1").questions, 0);
        for (peer, ms) in [("urn:oid:2.999.1", 20), ("urn:oid:2.999.1", 30), ("urn:oid:2.999.11", 500)] {
            metrics.count("ITI-38", peer, "Success", Duration::from_millis(ms));
            metrics.count("ITI-39", peer, "Success", Duration::from_secs(9));
        }
        let taken = read("urn:oid:2.999.1");
        assert_eq!((taken.questions, millis(taken.time)), (2, 50));
        let before = taken;
        metrics.count("ITI-38", "urn:oid:2.999.1", "unavailable", Duration::from_millis(7));
        let after = read("urn:oid:2.999.1").since(before);
        assert_eq!((after.questions, after.time.as_millis().abs_diff(7) <= 1), (1, true));
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Folder::kept(&dir.path().join("new/one")).unwrap().is_temporary());
        assert!(Folder::kept(&dir.path().join("new/one")).is_ok());
        std::fs::write(dir.path().join("new/one/letter"), "mine").unwrap();
        assert!(matches!(Folder::kept(&dir.path().join("new/one")), Err(DemoError::Folder(_))));
        std::fs::create_dir(dir.path().join("new/one/communities")).unwrap();
        assert!(Folder::kept(&dir.path().join("new/one")).is_ok());
        let gone = Folder::temporary().unwrap();
        let path = gone.path().to_owned();
        assert!(path.is_dir());
        drop(gone);
        assert!(!path.exists());
    }
}
