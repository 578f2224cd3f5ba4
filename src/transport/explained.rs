//! What was done for a request, as JSON for the admin listener.

use std::time::Duration;

use serde_json::{Value, json};

use super::admin::AdminView;
use crate::actors::explain::{Explained, Step};

/// Requests that a list has at most.
const LISTED: usize = 100;

fn milliseconds(time: Duration) -> Value {
    // Microseconds are what can be told apart.
    json!((time.as_secs_f64() * 1e6).round() / 1e3)
}

fn head(explained: &Explained) -> Value {
    json!({
        "id": &*explained.id,
        "trace": explained.trace,
        "transaction": explained.transaction,
        "caller": &*explained.caller,
        "at": explained.at.to_string(),
        "ms": milliseconds(explained.took),
        "outcome": explained.outcome,
    })
}

/// The last requests, the latest first.
pub fn list(view: &dyn AdminView) -> String {
    let rows: Vec<Value> = view.explanations().latest(LISTED).iter().map(|explained| head(explained)).collect();
    format!("{:#}\n", Value::Array(rows))
}

/// One request with its steps.
pub fn one(view: &dyn AdminView, explained: &Explained) -> String {
    let step = |step: &Step| {
        let home = step.community.as_ref();
        json!({
            "doing": step.doing.as_str(),
            "home_community_id": home.map(|home| home.as_str()),
            "community": home.and_then(|home| view.community(home)),
            "from_ms": milliseconds(step.from),
            "ms": milliseconds(step.took),
            "said": step.said.as_deref(),
        })
    };
    let errors = explained.errors.iter().map(|(code, location)| json!({ "code": code, "location": location }));
    let mut whole = head(explained);
    if let Value::Object(fields) = &mut whole {
        fields.insert("errors".into(), errors.collect());
        fields.insert("steps".into(), explained.steps.iter().map(step).collect());
    }
    format!("{whole:#}\n")
}
