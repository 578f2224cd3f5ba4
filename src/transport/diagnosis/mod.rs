//! Why a peer does not work: a call taken apart into its steps, each judged for itself.
//!
//! [`diagnose`] goes the way that a broker's own call goes, name lookup to registry response, with
//! the same settings and the same verifiers, and stops where it cannot go on. What it asks touches
//! no patient: a document, or somebody, by an id that was made up for it. It changes nothing anywhere;
//! the peer audits the questions like any others.
//!
//! The socket work is in `connect`, `handshake` and `exchange`; what is to be made of what they
//! saw is judged without any: `chain`, `refusal`, `judge`, `fault`. The verifier of
//! [`super::tls`] has the last word on a certificate: what is said here only explains it.

mod chain;
mod connect;
mod discovery;
mod exchange;
mod fault;
mod handshake;
mod judge;
mod own;
mod refusal;

use std::fmt;
use std::time::Duration;

use http::Uri;
use jiff::Timestamp;
use tokio::time::Instant;

pub use self::chain::{IssuerIs, Shown};
use self::exchange::{Heard, Judgement, Question, Unheard};
use self::handshake::{Secured, Seen};
use self::own::Own;
use super::peer::profile::PeerProfile;
use super::tls::TlsFiles;
use crate::model::ids::HomeCommunityId;
use crate::transaction::{Service, Transaction, TransactionId};

/// A clock that differs by more than this from the peer's deserves a look: assertions and messages
/// are valid for minutes.
const CLOCK_TOLERANCE_SECONDS: i64 = 60;

/// Most characters that are repeated of what a peer says of itself.
const MOST_WORDS: usize = 300;

/// A step of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Our own certificate, key, authorities and revocation lists.
    OwnCertificate,
    /// The peer's name becomes addresses.
    Dns,
    /// A connection.
    Tcp,
    /// TLS version and cipher suite.
    Tls,
    /// The peer's certificate, link by link.
    Chain,
    /// The peer's certificate and the name it was called by.
    Name,
    /// The peer accepts our certificate.
    ClientCertificate,
    /// Whether answers come the way that is configured.
    Exchange,
    /// Status, headers and media type of the answer.
    Http,
    /// The peer's clock and ours.
    Clock,
    /// MTOM or plain.
    Packaging,
    /// An envelope of the right version.
    Soap,
    /// WS-Addressing.
    Addressing,
    /// The transaction is known there.
    Action,
    /// A registry response, whatever it says.
    Response,
    /// The peer takes itself for the community that we take it for.
    Home,
}

impl Step {
    /// Before any question.
    const CONNECTION: [Self; 7] =
        [Self::OwnCertificate, Self::Dns, Self::Tcp, Self::Tls, Self::Chain, Self::Name, Self::ClientCertificate];
    /// Of each question.
    const QUESTION: [Self; 6] =
        [Self::Http, Self::Packaging, Self::Soap, Self::Addressing, Self::Action, Self::Response];

    /// Its name in reports; it does not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnCertificate => "own-certificate",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Chain => "chain",
            Self::Name => "name",
            Self::ClientCertificate => "client-certificate",
            Self::Exchange => "exchange",
            Self::Http => "http",
            Self::Clock => "clock",
            Self::Packaging => "packaging",
            Self::Soap => "soap",
            Self::Addressing => "addressing",
            Self::Action => "action",
            Self::Response => "response",
            Self::Home => "home",
        }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// The peer does not work because of it.
    Fail,
    /// Not come to.
    Skipped,
    /// It works, and deserves a look.
    Note,
}

/// What a step found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which step.
    pub step: Step,
    /// Of which question, if of one.
    pub transaction: Option<&'static Transaction>,
    /// How it went.
    pub status: Status,
    /// What is so.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// How long it took, if it takes time.
    pub took: Option<Duration>,
}

impl Finding {
    fn new(step: Step, status: Status, what: impl Into<String>) -> Self {
        Self { step, transaction: None, status, what: what.into(), fix: None, took: None }
    }

    fn ok(step: Step, what: impl Into<String>) -> Self {
        Self::new(step, Status::Ok, what)
    }

    fn note(step: Step, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::new(step, Status::Note, what) }
    }

    fn fail(step: Step, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::new(step, Status::Fail, what) }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A stored query.
    Query,
    /// A retrieve.
    Retrieve,
    /// For a patient: what is asked first of those who know patients by ids of their own.
    Discover,
}

/// What the configuration says of a peer besides.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Our own community, which asks.
    pub own: Option<HomeCommunityId>,
    /// It is asked for the patient before anything else (ITI-55), at this address.
    pub discovers: bool,
    /// Its answers come as messages of their own.
    pub asynchronous: bool,
}

/// Whom to call, as whom, and what to ask.
#[derive(Clone)]
pub struct Subject {
    /// Where.
    pub uri: Uri,
    /// Which actor is there.
    pub service: Service,
    /// What we show and trust.
    pub files: TlsFiles,
    /// The security header (XUA) to send.
    pub security: Option<String>,
    /// The community that it is taken for.
    pub home: Option<HomeCommunityId>,
    /// How long each step may take.
    pub timeout: Duration,
    /// One question only.
    pub only: Option<Ask>,
    /// In which form.
    pub profile: PeerProfile,
    /// What the broker would do otherwise than it is done here.
    pub configured: Configured,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("uri", &self.uri).field("service", &self.service).finish_non_exhaustive()
    }
}

impl Subject {
    /// What the service is asked, by kind.
    fn asked(&self) -> Vec<(Ask, TransactionId)> {
        let all: &[(Ask, TransactionId)] = match self.service {
            Service::Registry => &[(Ask::Query, TransactionId::RegistryStoredQuery)],
            Service::Repository => &[(Ask::Retrieve, TransactionId::RetrieveDocumentSet)],
            Service::InitiatingGateway => {
                &[(Ask::Query, TransactionId::RegistryStoredQuery), (Ask::Retrieve, TransactionId::RetrieveDocumentSet)]
            }
            // In the order in which a broker asks.
            Service::RespondingGateway => &[
                (Ask::Discover, TransactionId::CrossGatewayPatientDiscovery),
                (Ask::Query, TransactionId::CrossGatewayQuery),
                (Ask::Retrieve, TransactionId::CrossGatewayRetrieve),
            ],
        };
        let unless_told = |ask: Ask| ask != Ask::Discover || self.configured.discovers;
        let is_asked = |ask: Ask| self.only.map_or_else(|| unless_told(ask), |only| only == ask);
        all.iter().copied().filter(|(ask, _)| is_asked(*ask)).collect()
    }

    /// Whether there is anything that the service can be asked.
    pub fn asks_anything(&self) -> bool {
        !self.asked().is_empty()
    }

    fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn is_plain(&self) -> bool {
        self.uri.scheme_str() == Some("http")
    }

    fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_plain() { 80 } else { 443 })
    }
}

/// What was agreed on in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// As `TLS 1.3`.
    pub version: String,
    /// As `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
}

/// Everything that was found.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// All steps, in the order of a call.
    pub findings: Vec<Finding>,
    /// TLS version and cipher suite, where it came so far.
    pub agreed: Option<Agreed>,
    /// The certificates that the peer showed, its own first.
    pub certificates: Vec<Shown>,
}

impl Diagnosis {
    /// The first step that fails.
    pub fn failure(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.status == Status::Fail)
    }
}

/// Calls the peer and says of each step how it went.
pub async fn diagnose(subject: &Subject) -> Diagnosis {
    let mut call = Call { subject, findings: Vec::new(), agreed: None, certificates: Vec::new() };
    // Where it ends early, what was found so far says why.
    let _ = call.walk().await;
    call.finish()
}

/// A call while it goes on.
struct Call<'s> {
    subject: &'s Subject,
    findings: Vec<Finding>,
    agreed: Option<Agreed>,
    certificates: Vec<Shown>,
}

impl Call<'_> {
    async fn walk(&mut self) -> Option<()> {
        let own = if self.subject.is_plain() {
            self.push(Finding::new(Step::OwnCertificate, Status::Skipped, "not used: the address is http"));
            None
        } else {
            let (own, finding) = own::open(&self.subject.files).await;
            self.push(finding);
            Some(own?)
        };
        let began = Instant::now();
        let looked_up = connect::look_up(self.subject).await;
        let addresses = self.timed(began, looked_up)?;
        let began = Instant::now();
        let connected = connect::connect(self.subject, &addresses).await;
        let stream = self.timed(began, connected)?;
        let (mut stream, seen) = match &own {
            None => {
                self.push(Finding::note(
                    Step::Tls,
                    "none: everything goes in the clear, and nobody is authenticated",
                    "use an https address: ITI-19 wants mutual TLS",
                ));
                (Some(exchange::Stream::Plain(stream)), None)
            }
            Some(own) => {
                let Secured { mut stream, seen, agreed } = self.secure(own, stream, &addresses).await?;
                if self.client_certificate_known(own, &seen, agreed.as_ref()) {
                    (Some(exchange::Stream::tls(stream)), None)
                } else {
                    let Judgement { accepted, ended } = exchange::judgement(&mut stream).await;
                    if let Some(unheard) = ended {
                        let finding = refusal::unasked(own, &seen, accepted, &unheard);
                        let refused = finding.status == Status::Fail;
                        self.push(finding);
                        if !refused {
                            self.push(Finding { transaction: self.first(), ..judge::silence(self.subject, &unheard) });
                        }
                        return None;
                    }
                    (Some(exchange::Stream::tls(stream)), Some((seen, accepted)))
                }
            }
        };
        if self.subject.configured.asynchronous {
            self.push(Finding::note(
                Step::Exchange,
                "asynchronous is configured, asked synchronously",
                "whether its answers find their way to [asynchronous] address is seen with a query, and causeway explain",
            ));
        }
        // What is needed to say whether ours was accepted, until that is said.
        let mut unsaid = seen;
        let mut clock_told = false;
        for (ask, id) in self.subject.asked() {
            let transaction = Transaction::of(id);
            let Some(question) = Question::new(self.subject, ask, transaction) else { continue };
            let began = Instant::now();
            let open = match stream.take() {
                Some(stream) => Ok(stream),
                None => exchange::reopen(self.subject, own.as_ref(), &addresses).await,
            };
            let heard = match open {
                Ok(stream) => exchange::ask(self.subject, &question, stream).await,
                Err(unheard) => Err(unheard),
            };
            let took = began.elapsed();
            if let (Some((seen, accepted)), Some(own)) = (unsaid.take(), own.as_ref()) {
                let finding = refusal::late(own, &seen, accepted, heard.as_ref().err());
                let refused = finding.status == Status::Fail;
                self.push(finding);
                if refused {
                    return None;
                }
            }
            self.question(&question, heard, took, &mut clock_told);
        }
        Some(())
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// What is asked first.
    fn first(&self) -> Option<&'static Transaction> {
        self.subject.asked().first().map(|(_, id)| Transaction::of(*id))
    }

    /// Records a step that takes time; nothing if the way ends here.
    fn timed<T>(&mut self, began: Instant, result: Result<(T, Finding), Finding>) -> Option<T> {
        let (value, finding) = match result {
            Ok((value, finding)) => (Some(value), finding),
            Err(finding) => (None, finding),
        };
        self.push(Finding { took: Some(began.elapsed()), ..finding });
        value
    }

    /// Handshake, chain and name.
    async fn secure(
        &mut self,
        own: &Own,
        stream: tokio::net::TcpStream,
        addresses: &[std::net::SocketAddr],
    ) -> Option<Secured> {
        let began = Instant::now();
        let shaken = handshake::shake(own, self.subject, stream).await;
        let took = began.elapsed();
        self.agreed.clone_from(&shaken.agreed);
        if shaken.seen.chain.is_empty() {
            let mut finding = refusal::of_handshake(self.subject, &shaken);
            if refusal::speaks_something_else(&shaken)
                && let Some(old) = connect::old_handshake(self.subject, addresses).await
            {
                let told = format!("; offered everything, it takes {} with {}", old.version, old.cipher);
                finding.what.push_str(&told);
            }
            self.push(Finding { took: Some(took), ..finding });
            return None;
        }
        let reading = chain::read(&chain::Input {
            shown: &shaken.seen.chain,
            trusted: own.material.authorities(),
            lists: own.material.lists(),
            trusted_file: &self.subject.files.client_ca.display().to_string(),
            host: self.subject.host(),
            verdict: shaken.seen.verdict.as_ref(),
            now: Timestamp::now(),
        });
        // What came after the certificate was accepted is about version and cipher, or about ours.
        let broke_off = shaken.seen.verdict.is_none() && shaken.stream.is_err();
        let own_to_blame = broke_off && refusal::is_about_ours(&shaken);
        match &self.agreed {
            _ if broke_off && !own_to_blame => {
                let finding = refusal::of_handshake(self.subject, &shaken);
                self.push(Finding { took: Some(took), ..finding });
            }
            Some(agreed) => {
                let what = format!("{}, {}", agreed.version, agreed.cipher_suite);
                self.push(Finding { took: Some(took), ..Finding::ok(Step::Tls, what) });
            }
            None => self.push(Finding { took: Some(took), ..Finding::ok(Step::Tls, "a handshake began") }),
        }
        self.certificates = reading.certificates;
        let mut chain_finding = reading.chain;
        if reading.dated {
            let clock = handshake::peer_clock(own, self.subject, addresses, &shaken.seen.chain).await;
            if let Some(theirs) = clock {
                chain_finding.what.push_str(&clock_words(theirs, Timestamp::now()));
            }
        }
        self.push(chain_finding);
        self.push(reading.name);
        if own_to_blame {
            self.push(refusal::within_handshake(own, &shaken));
        }
        let (seen, agreed) = (shaken.seen, shaken.agreed);
        shaken.stream.ok().map(|stream| Secured { stream, seen, agreed })
    }

    /// Under TLS 1.2, or where none was asked for, the peer's judgement of ours is known now.
    fn client_certificate_known(&mut self, own: &Own, seen: &Seen, agreed: Option<&Agreed>) -> bool {
        let finding = match &seen.asked {
            None => Finding::note(
                Step::ClientCertificate,
                "the peer asked for none: anybody who reaches it may ask it",
                "ask its operators to require client certificates: ITI-19 wants mutual TLS",
            ),
            Some(_) if agreed.is_some_and(|agreed| agreed.version == handshake::TLS_1_2) => {
                Finding::ok(Step::ClientCertificate, format!("{} was accepted", own.facts.subject))
            }
            Some(_) => return false,
        };
        self.push(finding);
        true
    }

    fn question(&mut self, question: &Question, heard: Result<Heard, Unheard>, took: Duration, clock_told: &mut bool) {
        let date = heard.as_ref().ok().and_then(|heard| heard.date);
        let rows = match &heard {
            Ok(heard) => judge::answer(self.subject, question, heard),
            Err(unheard) => vec![judge::silence(self.subject, unheard)],
        };
        for (number, row) in rows.into_iter().enumerate() {
            let is_first = number == 0;
            let took = is_first.then_some(took);
            self.push(Finding { transaction: Some(question.transaction), took, ..row });
            if is_first && !std::mem::replace(clock_told, true) && heard.is_ok() {
                self.push(clock(date, Timestamp::now()));
            }
        }
    }

    /// The steps that were not come to, said so.
    fn finish(mut self) -> Diagnosis {
        let because = match self.findings.iter().find(|finding| finding.status == Status::Fail) {
            Some(failed) => format!("{} failed", failed.step.name()),
            None => "there is nothing to look at".to_owned(),
        };
        let mut findings = Vec::new();
        let mut take = |step: Step, transaction: Option<&'static Transaction>, needed: bool| {
            let mut found = false;
            let mut at = 0;
            while let Some(finding) = self.findings.get(at) {
                let same = finding.transaction.map(|row| row.id) == transaction.map(|row| row.id);
                if finding.step == step && same {
                    findings.push(self.findings.remove(at));
                    found = true;
                } else {
                    at += 1;
                }
            }
            if !found && needed {
                findings.push(Finding { transaction, ..Finding::new(step, Status::Skipped, because.clone()) });
            }
        };
        for step in Step::CONNECTION {
            take(step, None, true);
        }
        take(Step::Exchange, None, false);
        let plain = self.subject.is_plain();
        for (_, id) in self.subject.asked() {
            let transaction = Some(Transaction::of(id));
            for step in Step::QUESTION {
                take(step, transaction, true);
                if step == Step::Http {
                    take(Step::Clock, None, false);
                }
            }
            take(Step::Home, transaction, false);
        }
        if plain {
            for finding in &mut findings {
                let tls = matches!(finding.step, Step::Chain | Step::Name | Step::ClientCertificate);
                if tls && finding.status == Status::Skipped {
                    finding.what = "there is no TLS".to_owned();
                }
            }
        }
        Diagnosis { findings, agreed: self.agreed, certificates: self.certificates }
    }
}

fn clock(theirs: Option<Timestamp>, ours: Timestamp) -> Finding {
    let Some(theirs) = theirs else {
        return Finding::new(Step::Clock, Status::Skipped, "the answer has no Date");
    };
    let difference = ours.as_second() - theirs.as_second();
    if difference.abs() <= CLOCK_TOLERANCE_SECONDS {
        return Finding::ok(Step::Clock, format!("ours and the peer's differ by {} s", difference.abs()));
    }
    Finding::note(
        Step::Clock,
        format!("ours says {ours:.0}, the peer's {theirs:.0}"),
        "let both machines keep their clocks by a time server (ITI-1): certificates, assertions and audit records are judged by them",
    )
}

fn clock_words(theirs: Timestamp, ours: Timestamp) -> String {
    if (ours.as_second() - theirs.as_second()).abs() <= CLOCK_TOLERANCE_SECONDS {
        "; the peer's clock agrees with ours".to_owned()
    } else {
        format!("; the peer's clock says {theirs:.0}, ours {ours:.0}: one of them is wrong")
    }
}

/// Words of somebody else's: one line, not too long.
fn words(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= MOST_WORDS {
        return text;
    }
    let mut short: String = text.chars().take(MOST_WORDS).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
