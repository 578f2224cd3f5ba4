//! A federation on a bad day: one community stopped, one suspended, one slow, some planned; and what one
//! answer says of all of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::federation::Federation;
use super::hospital::Answer;
use super::{DemoError, millis};
use crate::actors::explain::{Doing, Explained};
use crate::model::response::{ResponseStatus, Severity};

/// How much later each piece of a slow community's octets arrives: a handshake and an answer are a few.
const DELAY: Duration = Duration::from_millis(120);

/// What one answer said on a bad day.
#[derive(Debug, Clone, Serialize)]
pub struct Trouble {
    /// Success, PartialSuccess or Failure.
    pub status: &'static str,
    /// Documents of those that answered.
    pub found: usize,
    /// The request's id: `causeway explain` shows what was done for it.
    pub explain: String,
    /// What is so with each community.
    pub communities: Vec<TroubleRow>,
}

/// One community on that day.
#[derive(Debug, Clone, Serialize)]
pub struct TroubleRow {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub home_community_id: String,
    /// live, planned, suspended, stopped or slow.
    pub is: &'static str,
    /// How long its answer took.
    pub answered_ms: Option<u64>,
    /// Documents in its answer.
    pub returned: usize,
    /// Whether the answer names it: with an error, a warning, or not at all.
    pub named: Option<&'static str>,
    /// What the gateway says of it.
    pub said: String,
}

impl Trouble {
    /// What an answer, and its explanation, say.
    pub fn of(federation: &Federation, answer: &Answer, explained: &Explained, day: &Day<'_>) -> Self {
        let all = federation.nodes.iter().map(|node| &node.community).chain(&federation.planned);
        let communities = all.map(|community| {
            let home = &community.home;
            let of_it = |doing: &[Doing]| {
                let mut steps = explained.steps.iter().filter(|step| step.community.as_ref() == Some(home));
                steps.find(|step| doing.contains(&step.doing))
            };
            let own = explained.steps.iter().find(|step| step.doing == Doing::Local);
            let step =
                of_it(&[Doing::Asked, Doing::NotAsked]).or(own.filter(|_| community.key == federation.hub_key()));
            let error = answer.response.errors.iter().find(|error| error.location.as_deref() == Some(home.as_str()));
            let named = error.map(|error| match error.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            });
            let answered = step.filter(|step| step.doing != Doing::NotAsked && named.is_none());
            TroubleRow {
                name: community.name.clone(),
                home_community_id: home.to_string(),
                is: match community.key.as_str() {
                    key if key == day.stopped => "stopped",
                    key if key == day.suspended => "suspended",
                    key if key == day.slow => "slow",
                    _ => community.state.as_str(),
                },
                answered_ms: answered.map(|step| millis(step.took)),
                returned: answer.found.iter().filter(|found| found.request.home.as_ref() == Some(home)).count(),
                named,
                said: step.and_then(|step| step.said.as_deref()).unwrap_or_default().to_owned(),
            }
        });
        Self {
            status: match answer.response.status {
                ResponseStatus::Success => "Success",
                ResponseStatus::PartialSuccess => "PartialSuccess",
                ResponseStatus::Failure => "Failure",
            },
            found: answer.found.len(),
            explain: explained.id.to_string(),
            communities: communities.collect(),
        }
    }

    /// What should be so, and whether it is; `expected` documents of each community.
    pub fn checks(&self, expected: impl Fn(&str) -> usize) -> Vec<(bool, String)> {
        let mut checks =
            vec![(self.status == "PartialSuccess", "on a bad day the answer is PartialSuccess".to_owned())];
        for row in &self.communities {
            let home = row.home_community_id.as_str();
            let there = row.answered_ms.is_some() && row.returned == expected(home) && row.named.is_none();
            let absent = row.answered_ms.is_none() && row.returned == 0;
            let (held, what) = match row.is {
                "live" => (there, "answered on a bad day as on any other"),
                "slow" => {
                    let slow = row.answered_ms.is_some_and(|ms| u128::from(ms) >= DELAY.as_millis());
                    (there && slow, "was slow, and its documents are in the answer")
                }
                "stopped" => (absent && row.named == Some("error"), "was stopped, and an error names it"),
                "suspended" => (absent && row.named == Some("warning"), "is suspended, and a warning names it"),
                _ => (absent && row.named == Some("warning"), "is not connected yet, which a warning says"),
            };
            checks.push((held, format!("{} {what}", row.name)));
        }
        checks
    }
}

/// Who is in which trouble, by key.
pub struct Day<'k> {
    /// Its broker is stopped.
    pub stopped: &'k str,
    /// The hub has it suspended.
    pub suspended: &'k str,
    /// What it sends arrives late.
    pub slow: &'k str,
}

/// A way to an address on which everything arrives late.
pub struct SlowWay {
    /// Where it begins.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl SlowWay {
    /// Makes one.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn to(target: SocketAddr) -> Result<Self, DemoError> {
        let bound = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            Ok::<_, io::Error>((listener, address))
        };
        let (listener, address) = bound.await.map_err(DemoError::file("bind", "a port"))?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // Whoever closes ends it; that is no failure of the way.
                    let _ = carry(stream, target).await;
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut stream: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut there = TcpStream::connect(target).await?;
    let ((mut from_here, mut to_here), (mut from_there, mut to_there)) = (stream.split(), there.split());
    let back = async {
        let mut octets = vec![0; 64 * 1024];
        loop {
            let read = from_there.read(&mut octets).await?;
            let Some(piece) = octets.get(..read).filter(|piece| !piece.is_empty()) else { return Ok(()) };
            sleep(DELAY).await;
            to_here.write_all(piece).await?;
        }
    };
    tokio::select! {
        sent = copy(&mut from_here, &mut to_there) => sent.map(drop),
        came = back => came,
    }
}
