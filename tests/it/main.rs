//! Integration tests: real brokers on real sockets with real mutual TLS.

mod assertions;
mod conformance;
mod demo;
mod doctor;
mod gateways;
mod hostile;
mod lifecycle;
mod oracle;
mod rules;
mod submit_and_find;
mod support;
mod tidy;
mod tls;
