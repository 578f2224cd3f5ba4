//! Load at a steady pace (open loop): requests begin when they are due, whether or not earlier ones have
//! been answered, and their latency counts from that moment. So a server that stalls is charged for
//! all that waited meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use memchr::memmem;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::load::{Pieces, SEARCHED, SUCCESS, Target, Traffic};
use crate::transport::pipeline::CORRELATION_ID;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One answer, as whoever asked saw it.
#[derive(Debug)]
pub struct Answered {
    /// From the moment it was due to the last octet of its answer.
    pub latency: Duration,
    /// When that was.
    pub at: Instant,
    /// The id under which the server knows it.
    pub id: Option<String>,
    /// HTTP status.
    pub status: u16,
    /// Whether its status is Success: nobody is missing from it.
    pub success: bool,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Run {
    /// The answers.
    pub answered: Vec<Answered>,
    /// Requests without one.
    pub failed: usize,
    /// What was said of the first of them.
    pub first_failure: Option<String>,
}

/// Connections that are kept between requests.
#[derive(Default)]
struct Kept(Mutex<Vec<SendRequest<Pieces>>>);

impl Kept {
    fn take(&self) -> Option<SendRequest<Pieces>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = kept.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, sender: SendRequest<Pieces>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    }
}

async fn ask(target: &Target, traffic: &dyn Traffic, kept: &Kept, due: Instant) -> Result<Answered, String> {
    let mut sender = match kept.take() {
        Some(sender) => sender,
        None => target.connect().await.map_err(|trouble| trouble.detail)?,
    };
    let request = target.request(traffic.next()).map_err(|trouble| trouble.detail)?;
    sender.ready().await.map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let id = response.headers().get(CORRELATION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut beginning = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Some(octets) = frame.data_ref().filter(|_| beginning.len() < SEARCHED) {
            beginning.extend_from_slice(octets.get(..octets.len().min(SEARCHED)).unwrap_or_default());
        }
    }
    let success = memmem::find(&beginning, SUCCESS).is_some();
    let at = Instant::now();
    kept.put(sender);
    Ok(Answered { latency: at - due, at, id, status, success })
}

/// A server, what it is asked, and the connections to it.
struct Side(Target, Arc<dyn Traffic>, Kept);

/// Asks all at once; the answer is there when the last one is.
async fn ask_all(sides: &[Side], due: Instant) -> Result<Answered, String> {
    let asked = sides.iter().map(|Side(target, traffic, kept)| ask(target, &**traffic, kept, due));
    let answers = try_join_all(asked).await?;
    let success = answers.iter().all(|answered| answered.success);
    let status = answers.iter().map(|answered| answered.status).max().unwrap_or_default();
    let last = answers.into_iter().max_by_key(|answered| answered.at).ok_or("nobody was asked")?;
    Ok(Answered { success, status, ..last })
}

/// Asks so often a second, for so long, and waits for what is still under way.
pub async fn run(target: &Target, traffic: &Arc<dyn Traffic>, rate: f64, time: Duration) -> Run {
    run_all(&[(target.clone(), Arc::clone(traffic))], rate, time).await
}

/// The same of several servers, all of which are asked each time.
pub async fn run_all(asked_are: &[(Target, Arc<dyn Traffic>)], rate: f64, time: Duration) -> Run {
    let sides = asked_are.iter().map(|(target, traffic)| Side(target.clone(), Arc::clone(traffic), Kept::default()));
    let (began, sides) = (Instant::now(), Arc::new(sides.collect::<Vec<_>>()));
    let mut asked = JoinSet::new();
    let mut number = 0_u32;
    loop {
        let due = began + Duration::from_secs_f64(f64::from(number) / rate.max(0.001));
        if due >= began + time {
            break;
        }
        sleep_until(due).await;
        let sides = Arc::clone(&sides);
        asked.spawn(async move {
            let answered = timeout(PATIENCE, ask_all(&sides, due)).await;
            answered.unwrap_or_else(|_| Err(format!("no answer in {PATIENCE:?}")))
        });
        number += 1;
    }
    let mut run = Run::default();
    while let Some(joined) = asked.join_next().await {
        match joined.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(answered) => run.answered.push(answered),
            Err(failure) => {
                run.failed += 1;
                run.first_failure.get_or_insert(failure);
            }
        }
    }
    run
}
