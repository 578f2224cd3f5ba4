//! How many messages a federated query causes: with everybody asked, and with those left out that hold nothing
//! of the patient.
//!
//! Simulated communities count what they are asked. Each patient is known to a few of them, as in the
//! arithmetic that the project plans with, and is asked for once by somebody new and once more later. What is counted
//! stands beside what the arithmetic says, and their ratio; no time is measured here.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Uri;
use serde_json::{Value, json};

use super::BenchError;
use super::load::{self, Target};
use super::process::{Folder, HeldAddress, init};
use super::samples;
use crate::broker::Broker;
use crate::config::Config;
use crate::model::ids::PatientId;
use crate::simulate::{Settings, Simulation};
use crate::terminal::{Align, Cell, Colour, Table, Tone};
use crate::transaction::TransactionId;
use crate::transport::tls::{ReloadableClient, TlsFiles};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of the arithmetic: a launch, and a query of the own registry.
const OF_OUR_OWN: f64 = 2.0;

/// Of the arithmetic: documents opened per view.
const RETRIEVES: f64 = 2.5;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sizes of the federation, our own community among them.
    pub communities: Vec<u16>,
    /// Communities that hold something of a patient, on average.
    pub holding: f64,
    /// Patients, each asked for twice.
    pub patients: u32,
}

/// How a federation is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Everybody, by a number that all communities use.
    NumberBroadcast,
    /// Everybody, who is first asked under which id the patient is known.
    Broadcast,
    /// The same, leaving out those that have said that they hold nothing.
    Learned,
    /// The same, leaving out those that a locator does not name.
    Located,
}

impl Way {
    const ALL: [Self; 4] = [Self::NumberBroadcast, Self::Broadcast, Self::Learned, Self::Located];

    fn name(self) -> &'static str {
        match self {
            Self::NumberBroadcast => "broadcast, one number",
            Self::Broadcast => "broadcast",
            Self::Learned => "directed, learned",
            Self::Located => "directed, locator",
        }
    }

    /// What the arithmetic says of a view: of N communities, m of which hold something.
    fn planned(self, communities: u16, holding: f64, again: bool) -> f64 {
        let others = f64::from(communities) - 1.0;
        let asked = match self {
            Self::NumberBroadcast => others,
            Self::Broadcast => others + holding,
            // Nothing is known at first.
            Self::Learned if !again => others + holding,
            Self::Learned | Self::Located => 2.0 * holding,
        };
        OF_OUR_OWN + asked + RETRIEVES
    }

    /// The configuration of a gateway that asks so.
    fn configured(self, simulation: &Simulation) -> String {
        let mut text = String::new();
        for (number, community) in simulation.communities().iter().enumerate() {
            let _ = write!(
                text,
                "\n[[peer]]\nname = \"{}\"\nhome_community_id = \"{}\"\nscope = \"neighbour\"\nresponding_gateway = \"{}\"\n",
                community.name,
                community.home,
                community.url()
            );
            let is_locator = self == Self::Located && number == 0;
            if self != Self::NumberBroadcast && !is_locator {
                text.push_str("patient_id = \"discover\"\n");
            }
            match simulation.communities().first() {
                Some(_) if is_locator => text.push_str("locator = true\n"),
                Some(locator) if self == Self::Located => {
                    let _ = writeln!(text, "located_by = \"{}\"", locator.home);
                }
                _ => {}
            }
        }
        match self {
            Self::NumberBroadcast | Self::Broadcast => {}
            Self::Learned => text.push_str("\n[locator]\npolicy = \"directed\"\n"),
            Self::Located => text.push_str("\n[locator]\npolicy = \"directed\"\nbroadcast_every = \"0s\"\n"),
        }
        text
    }
}

/// Messages to communities per view.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages {
    /// ITI-38
    pub queries: f64,
    /// ITI-55
    pub discoveries: f64,
    /// ITI-56
    pub locations: f64,
}

impl Messages {
    fn of(simulation: &Simulation) -> Self {
        let mut all = Self::default();
        for community in simulation.communities() {
            let counters = &community.counters;
            all.queries += counters.queries.load(Ordering::Relaxed) as f64;
            all.discoveries += counters.discoveries.load(Ordering::Relaxed) as f64;
            all.locations += counters.locations.load(Ordering::Relaxed) as f64;
        }
        all
    }

    fn since(self, before: Self, views: f64) -> Self {
        Self {
            queries: (self.queries - before.queries) / views,
            discoveries: (self.discoveries - before.discoveries) / views,
            locations: (self.locations - before.locations) / views,
        }
    }

    /// Transactions of a whole view.
    fn whole(self) -> f64 {
        OF_OUR_OWN + self.queries + self.discoveries + self.locations + RETRIEVES
    }
}

/// One way to ask one federation.
#[derive(Debug, Clone)]
pub struct Row {
    /// N
    pub communities: u16,
    /// How it was asked.
    pub way: &'static str,
    /// Whether the patients had been asked for before.
    pub again: bool,
    /// What the communities saw.
    pub seen: Messages,
    /// Transactions of a view by the arithmetic, with as many communities holding something as there were.
    pub planned: f64,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// Communities that held something of a patient, on average, for each size.
    pub holding: Vec<(u16, f64)>,
    /// The rows.
    pub rows: Vec<Row>,
}

fn failed(error: &dyn std::fmt::Display) -> BenchError {
    BenchError::failed(error.to_string())
}

/// Asks for each patient once.
async fn round(target: &Target, patients: &[PatientId]) -> Result<(), BenchError> {
    let to = target.uri().to_string();
    for patient in patients {
        let query = samples::find_documents(&patient.to_cx(), "LeafClass", None);
        let request = samples::query_request(TransactionId::RegistryStoredQuery, &to, &query);
        load::probe(target, request, PATIENCE, |_| Ok(())).await?;
    }
    Ok(())
}

/// One way to ask; a gateway of its own, so that it has learned nothing yet.
async fn measure(
    folder: &Path,
    held: HeldAddress,
    way: Way,
    (communities, holding): (u16, f64),
    patients: &[PatientId],
    simulation: &Simulation,
) -> Result<Vec<Row>, BenchError> {
    let file = folder.join("causeway.toml");
    let mut text = std::fs::read_to_string(&file).map_err(BenchError::io("cannot read causeway.toml"))?;
    // The limits come last in that file. Whoever comes again comes after more than the minute that is usual.
    text.push_str("correlation_negative = \"0s\"\n");
    text.push_str(&way.configured(simulation));
    let config = Config::from_toml(&text, folder).map_err(|error| failed(&error))?;
    let address = held.address();
    held.release();
    let broker = Broker::start(config).await.map_err(|error| failed(&error))?;
    let uri: Uri = format!("https://{address}/services/initiating-gateway").parse().map_err(|_| failed(&"no URL"))?;
    let tls = ReloadableClient::new(TlsFiles::in_folder(&folder.join("certs"), "client"));
    let target = Target::new(&uri, Arc::new(tls.map_err(|error| failed(&error))?))?;
    let mut rows = Vec::new();
    for again in [false, true] {
        let before = Messages::of(simulation);
        round(&target, patients).await?;
        let seen = Messages::of(simulation).since(before, patients.len() as f64);
        let planned = way.planned(communities, holding, again);
        rows.push(Row { communities, way: way.name(), again, seen, planned });
    }
    broker.stop().await;
    Ok(rows)
}

/// Counts all of it. `told` is given a word on what is being done.
///
/// # Errors
/// When the broker or the communities do not start, or an answer is not whole.
pub async fn run(options: Options, told: impl Fn(&str)) -> Result<Report, BenchError> {
    let folder = Folder::make(None)?;
    let (mut rows, mut held) = (Vec::new(), Vec::new());
    for &communities in &options.communities {
        told(&format!("a federation of {communities}"));
        let others = communities.saturating_sub(1).max(1);
        let own = folder.0.join(format!("of-{communities}"));
        for way in Way::ALL {
            let place = own.join(way.name().replace([',', ' '], "-"));
            // The communities show certificates of the same authority.
            let held_address = HeldAddress::new()?;
            init(&place, held_address.address())?;
            let settings = Settings {
                communities: others,
                patients: options.patients,
                known: (options.holding / f64::from(others)).min(1.0),
                documents: 3,
                document_size: 100,
                ..Settings::new(TlsFiles::in_folder(&place.join("certs"), "server"))
            };
            let patients = (0..options.patients).map(|number| settings.patient(number));
            let patients = patients.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
            let simulation = Simulation::start(settings).await.map_err(|error| failed(&error))?;
            let holds = |patient: &PatientId| {
                simulation.communities().iter().filter(|community| !community.documents(patient).is_empty()).count()
            };
            let holding = patients.iter().map(holds).sum::<usize>() as f64 / patients.len().max(1) as f64;
            if held.last().is_none_or(|(size, _)| *size != communities) {
                held.push((communities, holding));
            }
            rows.extend(measure(&place, held_address, way, (communities, holding), &patients, &simulation).await?);
            simulation.stop().await;
        }
    }
    Ok(Report { options, holding: held, rows })
}

impl Report {
    /// As JSON.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "communities": row.communities,
                "way": row.way,
                "view": if row.again { "again" } else { "first" },
                "iti_38": row.seen.queries,
                "iti_55": row.seen.discoveries,
                "iti_56": row.seen.locations,
                "per_view": row.seen.whole(),
                "planned": row.planned,
                "ratio": row.seen.whole() / row.planned,
            })
        });
        let holding = self.holding.iter().map(|(size, holding)| json!({ "communities": size, "holding": holding }));
        json!({
            "patients": self.options.patients,
            "holding": holding.collect::<Vec<_>>(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }

    /// As a table.
    pub fn text(&self, colour: Colour) -> String {
        let right = |head| (head, Align::Right);
        let mut table = Table::new(&[
            right("N"),
            ("asked", Align::Left),
            ("view", Align::Left),
            right("ITI-55"),
            right("ITI-56"),
            right("ITI-38"),
            right("a view"),
            right("planned"),
            right("ratio"),
        ]);
        for row in &self.rows {
            let number = |number: f64| Cell::new(format!("{number:.1}"), Tone::Plain);
            table.row([
                Cell::new(row.communities.to_string(), Tone::Plain),
                Cell::new(row.way, Tone::Plain),
                Cell::new(if row.again { "again" } else { "first" }, Tone::Plain),
                number(row.seen.discoveries),
                number(row.seen.locations),
                number(row.seen.queries),
                Cell::new(format!("{:.1}", row.seen.whole()), Tone::Strong),
                number(row.planned),
                Cell::new(format!("{:.2}", row.seen.whole() / row.planned), Tone::Strong),
            ]);
        }
        let mut out = table.render(colour);
        for (size, holding) in &self.holding {
            let _ = writeln!(out, "of {size} communities {holding:.2} others hold something of a patient");
        }
        let _ = write!(
            out,
            "a view: messages to communities as those counted them, {} views each, and {OF_OUR_OWN} of its own and \
             {RETRIEVES} retrieves as planned\n\
             planned: N-1 queries with one number; N-1 discoveries and m queries; m and m where it is known whom to ask\n",
            self.options.patients,
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arithmetic_is_that_of_the_plan() {
        // N, then broadcast, with one number, directed: transactions of a view with m = 1.6.
        for (communities, broadcast, number, directed) in
            [(4, 9.1, 7.5, 7.7), (7, 12.1, 10.5, 7.7), (12, 17.1, 15.5, 7.7), (36, 41.1, 39.5, 7.7)]
        {
            let planned = |way: Way, again| way.planned(communities, 1.6, again);
            for (counted, expected) in [
                (planned(Way::Broadcast, false), broadcast),
                (planned(Way::Broadcast, true), broadcast),
                (planned(Way::NumberBroadcast, true), number),
                (planned(Way::Learned, false), broadcast),
                (planned(Way::Learned, true), directed),
                (planned(Way::Located, false), directed),
            ] {
                assert!((counted - expected).abs() < 0.01, "{communities}: {counted} {expected}");
            }
        }
    }
}
