//! Integration tests: real brokers on real sockets with real mutual TLS.

mod assertions;
mod asynchronous;
mod certificates;
mod conformance;
mod demo;
mod discovery;
mod doctor;
mod faults;
mod feeds;
mod gateways;
mod hostile;
mod lifecycle;
mod oracle;
mod probe;
mod rules;
mod submit_and_find;
mod support;
mod tidy;
mod tls;
