//! What comes of a probe: a line for each check, for people and for machines.

use std::time::Duration;

use serde::Serialize;

use super::table::{CHECKS, Check, Level};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// A should or may that is not kept, or a must in another way than expected.
    Warn,
    /// A must that is not kept.
    Fail,
    /// Not made: why is said.
    Skipped,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Where the standard says so.
    pub section: &'static str,
    /// How binding it is.
    pub level: Level,
    /// How it went.
    pub outcome: Outcome,
    /// What was seen, or why nothing was.
    pub seen: String,
    /// How long the exchange took that it looks at.
    pub ms: Option<u64>,
}

impl Finding {
    /// A finding of a check.
    pub fn new(check: &Check, outcome: Outcome, seen: String, elapsed: Option<Duration>) -> Self {
        Self {
            id: check.id,
            title: check.title,
            section: check.section,
            level: check.level,
            outcome,
            seen,
            ms: elapsed.map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// How many went how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Kept.
    pub ok: usize,
    /// Deserve a look.
    pub warn: usize,
    /// Not kept.
    pub fail: usize,
    /// Not made.
    pub skipped: usize,
    /// Requests sent.
    pub requests: usize,
    /// Whether no must is broken, and something was seen at all.
    pub passed: bool,
}

/// A whole probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The service's address.
    pub url: String,
    /// What it was taken for.
    pub service: &'static str,
    /// Its homeCommunityId, given or learned; for gateways.
    pub home_community_id: Option<String>,
    /// The checks in the order of the table.
    pub checks: Vec<Finding>,
    /// How many went how.
    pub summary: Summary,
}

impl Report {
    /// Counts the findings.
    pub fn new(
        url: String,
        service: &'static str,
        home: Option<String>,
        checks: Vec<Finding>,
        requests: usize,
    ) -> Self {
        let number = |outcome| checks.iter().filter(|finding| finding.outcome == outcome).count();
        let mut summary = Summary {
            ok: number(Outcome::Ok),
            warn: number(Outcome::Warn),
            fail: number(Outcome::Fail),
            skipped: number(Outcome::Skipped),
            requests,
            passed: false,
        };
        summary.passed = summary.fail == 0 && summary.ok + summary.warn > 0;
        Self { url, service, home_community_id: home, checks, summary }
    }

    /// The report as text.
    pub fn render(&self, colour: Colour) -> String {
        let home = self.home_community_id.as_deref().map(|home| format!(", {home}")).unwrap_or_default();
        let mut table = Table::new(&[("", Align::Left); 5]);
        for finding in &self.checks {
            let (mark, tone) = match finding.outcome {
                Outcome::Ok => ("ok", Tone::Good),
                Outcome::Warn => ("warn", Tone::Warning),
                Outcome::Fail => ("FAIL", Tone::Bad),
                Outcome::Skipped => ("skipped", Tone::Faint),
            };
            table.row([
                Cell::new(mark, tone),
                finding.id.into(),
                finding.title.into(),
                finding.seen.as_str().into(),
                Cell::new(finding.section, Tone::Faint),
            ]);
        }
        let Summary { ok, warn, fail, skipped, requests, .. } = self.summary;
        format!(
            "{} as {}{home}\n\n{}\n{ok} ok, {}, {}, {skipped} skipped; {}\n",
            self.url,
            self.service,
            table.render(colour),
            counted(warn, "warning"),
            counted(fail, "failure"),
            counted(requests, "request"),
        )
    }
}

/// A check of the table as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    id: &'static str,
    title: &'static str,
    section: &'static str,
    level: Level,
    services: Vec<&'static str>,
    sends: &'static str,
    expects: &'static str,
}

/// The table of checks as JSON.
pub fn list_json() -> serde_json::Value {
    let rows = CHECKS.iter().map(|check| Listed {
        id: check.id,
        title: check.title,
        section: check.section,
        level: check.level,
        services: check.services.iter().map(|service| service.name()).collect(),
        sends: check.ask.describe(),
        expects: check.expects,
    });
    serde_json::to_value(rows.collect::<Vec<_>>()).unwrap_or_default()
}

/// The table of checks as text.
pub fn list_text(colour: Colour) -> String {
    let heads = ["level", "check", "services", "sent", "expected", "section"];
    let mut table = Table::new(&heads.map(|head| (head, Align::Left)));
    for check in CHECKS {
        let services: Vec<_> = check.services.iter().map(|service| service.name()).collect();
        let services = if services.len() == crate::transaction::Service::ALL.len() {
            "all".to_owned()
        } else {
            services.join(", ")
        };
        table.row([
            check.level.name().into(),
            Cell::new(check.id, Tone::Strong),
            services.into(),
            check.ask.describe().into(),
            check.expects.into(),
            Cell::new(check.section, Tone::Faint),
        ]);
    }
    format!("{}\n{}\n", table.render(colour), counted(CHECKS.len(), "check"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(at: usize, outcome: Outcome) -> Finding {
        Finding::new(&CHECKS[at], outcome, "seen".into(), Some(Duration::from_millis(7)))
    }

    #[test]
    fn a_report_passes_when_no_must_is_broken_and_something_was_seen() {
        let report = |checks| Report::new("https://x".into(), "registry", None, checks, 3);
        assert!(report(vec![finding(0, Outcome::Ok), finding(1, Outcome::Warn)]).summary.passed);
        assert!(!report(vec![finding(0, Outcome::Ok), finding(1, Outcome::Fail)]).summary.passed);
        assert!(!report(vec![finding(0, Outcome::Skipped)]).summary.passed);
    }

    #[test]
    fn a_line_for_each_check() {
        let checks = vec![finding(0, Outcome::Ok), finding(1, Outcome::Fail)];
        let text = Report::new("https://x".into(), "registry", None, checks, 3).render(Colour::Off);
        assert!(text.contains("\n1 ok, 0 warnings, 1 failure, 0 skipped; 3 requests\n"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("FAIL") && line.contains(CHECKS[1].id)), "{text}");
    }
}
