//! The room that knows the wire and the model: requests as typed nouns, events as audit messages.

pub mod audit;
pub mod retrieve;
