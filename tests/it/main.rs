//! Integration tests: real brokers on real sockets with real mutual TLS.

mod askers;
mod assertions;
mod asynchronous;
mod certificates;
mod conformance;
mod demo;
mod discovery;
mod doctor;
mod failover;
mod faults;
mod gateways;
mod hostile;
mod lifecycle;
mod load;
mod locator;
mod oracle;
mod probe;
mod quirks;
mod routes;
mod rules;
mod submit_and_find;
mod support;
mod telemetry;
mod tidy;
mod tls;
