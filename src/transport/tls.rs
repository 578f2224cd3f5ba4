//! TLS for every listener and every call (ITI-19, ATNA "STX: TLS 1.2 floor using BCP195").
//!
//! From files to a running configuration in three steps: a [`TlsSource`] says where things are, a
//! [`TlsMaterial`] is what was read and understood, [`server_config`] and [`client_config`] make
//! rustls settings of it. [`ReloadableServer`] and [`ReloadableClient`] do all three again on
//! SIGHUP; when that fails the old settings stay and the error says why.
//!
//! What holds for both sides:
//!
//! - TLS 1.3 and 1.2 with ECDHE and AEAD only, from aws-lc-rs, never a process-wide default;
//! - both ends show a certificate and judge the other's: chain, dates, extended key usage if
//!   present, revocation; callers also the server's name, by subjectAltName alone;
//! - trust is what is configured, never the system's set of public authorities;
//! - **revocation**: if a list of the peer's issuer is configured, the peer's status must be
//!   known from it, and an expired list refuses everybody of that issuer. Intermediates are
//!   checked wherever a list of their issuer is there. An issuer without a list is not checked;
//! - no 0-RTT (a replayed submission must not exist), no renegotiation, no compression;
//! - **resumption** skips certificate checks, so tickets are made under keys that a reload throws
//!   away with the old settings, they live 12 hours at most, and carry the client's certificate.
//!
//! A connection to a peer keeps what was decided when it opened: whoever holds connections compares
//! [`Reloadable::generation`] and lets go of older ones when idle. A client's is judged again at each
//! reload ([`ReloadableServer::disowned`]); a list or a certificate that merely expires closes nobody.
//!
//! `DEVIATION(ITI TF-2 §3.19.6.2.3)`: the two `TLS_DHE_RSA` suites are not offered; rustls has
//! none, and RFC 9325 §4.1 discourages them. Not supported either: trust in single pinned
//! certificates, OCSP, encrypted keys, clients whose certificate has only serverAuth.

mod cause;
mod error;
mod identity;
mod material;
mod reload;
mod revocation;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub(super) use cause::certificate_cause;
pub use cause::handshake_cause;
pub use error::TlsError;
pub use identity::{PeerIdentity, peer_identity};
pub use material::TlsMaterial;
pub use reload::{Reloadable, ReloadableClient, ReloadableServer};
pub(super) use revocation::answered_by;
pub(super) use settings::server_verifier;
pub use settings::{NoCertificate, client_config, server_config};
pub use source::{MAX_CRL_BYTES, MAX_PEM_BYTES, TlsFiles, TlsPem, TlsSource};
