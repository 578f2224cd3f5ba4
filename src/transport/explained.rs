//! What was done for a request, as JSON for the admin listener.

use std::time::Duration;

use serde_json::{Value, json};

use super::admin::AdminView;
use crate::actors::explain::{Doing, Explained, Route, Step};
use crate::model::ids::HomeCommunityId;

/// Requests that a list has at most.
const LISTED: usize = 100;

fn milliseconds(time: Duration) -> Value {
    // Microseconds are what can be told apart.
    json!((time.as_secs_f64() * 1e6).round() / 1e3)
}

fn head(explained: &Explained) -> Value {
    json!({
        "id": &*explained.id,
        "trace": explained.trace.id_hex(),
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
            "span": step.call.filter(|_| step.doing == Doing::Call).map(|span| crate::store::hex(&span)),
        })
    };
    let named =
        |home: &HomeCommunityId| json!({ "home_community_id": home.as_str(), "community": view.community(home) });
    let route = |route: &Route| {
        json!({
            "of": route.home.as_ref().map(named),
            "objects": route.objects,
            "through": route.same.iter().map(named).collect::<Value>(),
            "different": route.different.iter().map(named).collect::<Value>(),
            "in_answer": route.in_answer,
        })
    };
    let errors = explained.errors.iter().map(|(code, location)| json!({ "code": code, "location": location }));
    let mut whole = head(explained);
    if let Value::Object(fields) = &mut whole {
        fields.insert("errors".into(), errors.collect());
        fields.insert("steps".into(), explained.steps.iter().map(step).collect());
        fields.insert("routes".into(), explained.routes.iter().map(route).collect());
    }
    format!("{whole:#}\n")
}
