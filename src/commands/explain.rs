//! `causeway explain`: what a broker's gateways did for a request, and for how long.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{CommandError, Outcome, print};
use crate::config::{Config, DEFAULT_ADMIN};
use crate::terminal::{Align, Cell, Colour, Table, Tone};

/// Longest wait for the broker's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets of an answer that are read.
const LARGEST: usize = 16 << 20;

/// Characters that the longest bar has.
const WIDTH: usize = 32;

/// Arguments of `causeway explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The request: what its answer has in the header x-correlation-id; without one the last requests are listed
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// The admin listener of the broker
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub admin: Option<Uri>,
    /// The broker's configuration, which names its admin listener
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Deserialize)]
struct Head {
    id: String,
    transaction: String,
    caller: String,
    at: String,
    ms: f64,
    outcome: String,
}

#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(flatten)]
    head: Head,
    trace: String,
    errors: Vec<Told>,
    steps: Vec<Step>,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
struct Route {
    of: Option<Named>,
    objects: usize,
    through: Vec<Named>,
    different: Vec<Named>,
    in_answer: bool,
}

#[derive(Debug, Deserialize)]
struct Named {
    home_community_id: String,
    community: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Told {
    code: String,
    location: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    doing: String,
    home_community_id: Option<String>,
    community: Option<String>,
    from_ms: f64,
    ms: f64,
    said: Option<String>,
}

/// Does what the arguments say.
///
/// # Errors
/// When the broker does not answer, or knows no such request.
pub async fn run(args: Args) -> Outcome {
    let address = match (&args.admin, &args.config) {
        (Some(uri), _) => {
            let host = uri.host().unwrap_or("127.0.0.1");
            format!("{host}:{}", uri.port_u16().unwrap_or(DEFAULT_ADMIN.port()))
        }
        (None, Some(file)) => match Config::load(file)?.admin {
            Some(address) => address.to_string(),
            None => return Err(CommandError::failed("this configuration has no admin listener: write [admin] bind")),
        },
        (None, None) => DEFAULT_ADMIN.to_string(),
    };
    // What is asked for goes into a path: an id is letters and digits.
    let id = args.id.as_deref().unwrap_or_default();
    if !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(CommandError::failed("an id is letters and digits, as x-correlation-id has it"));
    }
    let path = if id.is_empty() { "/explain".to_owned() } else { format!("/explain/{id}") };
    let text = get(&address, &path).await?;
    if args.json {
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let strange = |error: serde_json::Error| {
        CommandError::failed(format!(
            "{address} answers with something else than a broker of this version would: {error}"
        ))
    };
    let colour = Colour::of_stdout();
    print(&match args.id {
        Some(_) => waterfall(&serde_json::from_str(&text).map_err(strange)?, colour),
        None => list(&serde_json::from_str::<Vec<Head>>(&text).map_err(strange)?, colour),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the admin listener.
async fn get(address: &str, path: &str) -> Result<String, CommandError> {
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::failed(format!(
            "the admin listener at {address} does not answer: {error}; --admin URL or --config FILE names another"
        ))
    };
    let asked = async {
        let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let request = Request::get(path).header("host", address).body(Empty::<bytes::Bytes>::new());
        let request = request.map_err(|error| failed(&error))?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| failed(&error))?;
            Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        tokio::select! {
            answered = answered => answered,
            _ = connection => Err(failed(&"the connection was closed")),
        }
    };
    let (status, text) = timeout(PATIENCE, asked).await.map_err(|_| failed(&"it takes too long"))??;
    if status.is_success() { Ok(text) } else { Err(CommandError::failed(text.trim().to_owned())) }
}

fn tone(outcome: &str) -> Tone {
    match outcome {
        "Success" => Tone::Good,
        "PartialSuccess" => Tone::Warning,
        _ => Tone::Bad,
    }
}

fn time(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{:.2} s", ms / 1_000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    }
}

fn list(heads: &[Head], colour: Colour) -> String {
    if heads.is_empty() {
        return "No request of the gateways is remembered.\n".to_owned();
    }
    let mut table = Table::new(&[
        ("at", Align::Left),
        ("transaction", Align::Left),
        ("outcome", Align::Left),
        ("took", Align::Right),
        ("caller", Align::Left),
        ("id", Align::Left),
    ]);
    for head in heads {
        table.row([
            head.at.as_str().into(),
            head.transaction.as_str().into(),
            Cell::new(&head.outcome, tone(&head.outcome)),
            time(head.ms).into(),
            head.caller.as_str().into(),
            head.id.as_str().into(),
        ]);
    }
    table.render(colour)
}

/// A bar where a step lies in the whole time.
fn bar(from: f64, took: f64, whole: f64) -> String {
    let at = |ms: f64| ((ms / whole.max(0.001)).clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    let (start, end) = (at(from).min(WIDTH - 1), at(from + took));
    let length = end.saturating_sub(start).max(1);
    format!("{}{}", " ".repeat(start), "█".repeat(length.min(WIDTH - start)))
}

fn waterfall(whole: &Whole, colour: Colour) -> String {
    let head = &whole.head;
    let end = whole.steps.iter().map(|step| step.from_ms + step.ms).fold(head.ms, f64::max);
    let mut table = Table::new(&[
        ("community", Align::Left),
        ("", Align::Left),
        ("from", Align::Right),
        ("took", Align::Right),
        ("", Align::Left),
    ]);
    // What stands for a whole community comes first, then what it was made of.
    let mut order: Vec<Option<&str>> = Vec::new();
    for step in &whole.steps {
        let home = step.home_community_id.as_deref();
        if !order.contains(&home) {
            order.push(home);
        }
    }
    for home in order {
        let of_it = || whole.steps.iter().filter(|step| step.home_community_id.as_deref() == home);
        let is_main = |step: &&Step| matches!(step.doing.as_str(), "asked" | "not asked" | "local" | "merge");
        for step in of_it().filter(is_main) {
            let name = match home {
                None => format!("ours, {}", step.doing),
                Some(home) => step.community.clone().unwrap_or_else(|| home.to_owned()),
            };
            let said = step.said.as_deref().unwrap_or_default();
            let failed = step.doing == "not asked" || !said.ends_with("objects") && !said.ends_with("documents");
            let asked = step.doing != "not asked";
            table.row([
                Cell::new(name, if asked { Tone::Plain } else { Tone::Faint }),
                Cell::new(if asked { bar(step.from_ms, step.ms, end) } else { String::new() }, Tone::Plain),
                if asked { time(step.from_ms).into() } else { Cell::default() },
                if asked { time(step.ms).into() } else { Cell::default() },
                Cell::new(
                    if asked { said.to_owned() } else { format!("not asked: {said}") },
                    if asked && failed && home.is_some() { Tone::Bad } else { Tone::Faint },
                ),
            ]);
        }
        for step in of_it().filter(|step| !is_main(step)) {
            table.row([
                Cell::new(format!("  {}", step.doing), Tone::Faint),
                Cell::new(bar(step.from_ms, step.ms, end), Tone::Faint),
                Cell::new(time(step.from_ms), Tone::Faint),
                Cell::new(time(step.ms), Tone::Faint),
                Cell::new(step.said.as_deref().unwrap_or_default(), Tone::Faint),
            ]);
        }
    }
    let mut told = routes(&whole.routes);
    for error in &whole.errors {
        let at = error.location.as_deref().unwrap_or("no community named");
        told.push_str(&format!("{}  {at}\n", error.code));
    }
    format!(
        "{} from {} at {}: {} in {}\nid {}, trace {}\n\n{}{}{told}",
        head.transaction,
        plain(&head.caller),
        plain(&head.at),
        tone(&head.outcome).paint(&head.outcome, colour),
        time(head.ms),
        plain(&head.id),
        plain(&whole.trace),
        table.render(colour),
        if told.is_empty() { "" } else { "\n" },
    )
}

/// Through whom the objects came, unless each came from its own community and nobody else.
fn routes(routes: &[Route]) -> String {
    let name = |named: &Named| named.community.clone().unwrap_or_else(|| named.home_community_id.clone());
    let names = |all: &[Named]| all.iter().map(name).collect::<Vec<_>>().join(" and ");
    let is_plain = |route: &Route| {
        let [by] = &route.through[..] else { return false };
        let own = route.of.as_ref().is_some_and(|of| of.home_community_id == by.home_community_id);
        own && route.different.is_empty() && route.in_answer
    };
    if routes.iter().all(is_plain) {
        return String::new();
    }
    let lines = routes.iter().map(|route| {
        let of = route.of.as_ref().map_or_else(|| "others".to_owned(), name);
        let by = if route.through.is_empty() { "yet other ways".to_owned() } else { names(&route.through) };
        let otherwise = if route.different.is_empty() {
            String::new()
        } else {
            format!("; {} gave them otherwise, see the warnings", names(&route.different))
        };
        let left_out = if route.in_answer { "" } else { "; left out, they are ours to tell of" };
        plain(&format!("{} objects of {of} through {by}{otherwise}{left_out}", route.objects)) + "\n"
    });
    lines.collect()
}

/// A terminal obeys control characters, so they go.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waterfall_tells_who_took_how_long_and_who_is_missing() {
        let json = r#"{"id":"abc","trace":"0af7","transaction":"ITI-18","caller":"Ward","at":"2026-03-01T12:00:00Z",
            "ms":2000.5,"outcome":"PartialSuccess","errors":[{"code":"XDSUnavailableCommunity","location":"urn:oid:2.999.2"}],
            "steps":[
             {"doing":"local","home_community_id":null,"community":null,"from_ms":0.1,"ms":1.2,"said":"1 objects"},
             {"doing":"queue","home_community_id":"urn:oid:2.999.2","community":"Far","from_ms":0.1,"ms":0.0,"said":null},
             {"doing":"asked","home_community_id":"urn:oid:2.999.2","community":"Far","from_ms":0.1,"ms":2000.1,"said":"did not answer within 2000 ms"},
             {"doing":"not asked","home_community_id":"urn:oid:2.999.3","community":"Later","from_ms":0.1,"ms":0.0,"said":"it is not live yet"}],
            "routes":[
             {"of":{"home_community_id":"urn:oid:2.999.4","community":"Near"},"objects":7,"in_answer":true,
              "through":[{"home_community_id":"urn:oid:2.999.4","community":"Near"},{"home_community_id":"urn:oid:2.999.5","community":null}],
              "different":[{"home_community_id":"urn:oid:2.999.6","community":"Hub"}]}]}"#;
        let whole: Whole = serde_json::from_str(json).unwrap();
        let text = waterfall(&whole, Colour::Off);
        for part in [
            "PartialSuccess in 2.00 s",
            "Far",
            "did not answer within 2000 ms",
            "not asked: it is not live yet",
            "XDSUnavailableCommunity  urn:oid:2.999.2",
            "7 objects of Near through Near and urn:oid:2.999.5; Hub gave them otherwise, see the warnings",
            &"█".repeat(WIDTH),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() < 120), "{text}");
    }

    #[test]
    fn bars_lie_where_they_belong() {
        assert_eq!(bar(0.0, 10.0, 10.0), "█".repeat(WIDTH));
        assert_eq!(bar(5.0, 5.0, 10.0), format!("{}{}", " ".repeat(WIDTH / 2), "█".repeat(WIDTH / 2)));
        assert_eq!(bar(10.0, 0.0, 10.0).chars().count(), WIDTH);
        assert_eq!(bar(0.0, 0.0, 0.0), "█");
    }
}
