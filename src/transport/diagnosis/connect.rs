//! Name lookup and connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Finding, Step, Subject};
use crate::transport::certificates::{self, OldHandshake};

/// Addresses that are tried.
const MOST_ADDRESSES: usize = 8;

/// The peer's addresses.
pub(super) async fn look_up(subject: &Subject) -> Result<(Vec<SocketAddr>, Finding), Finding> {
    let (host, port) = (subject.host(), subject.port());
    if let Ok(address) = host.parse::<IpAddr>() {
        let finding = Finding::ok(Step::Dns, format!("{address} is an address: nothing to look up"));
        return Ok((vec![SocketAddr::new(address, port)], finding));
    }
    let fail = |what: String, fix: &str| Err(Finding::fail(Step::Dns, what, fix));
    let found = match timeout(subject.timeout, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            return fail(
                format!("{host} has no address: {error}"),
                "check the spelling; if others can look it up, check which name service this machine asks: \
                 many peers have names on the health network only",
            );
        }
        Err(_) => {
            return fail(
                format!("the name service did not answer for {host} within {} ms", subject.timeout.as_millis()),
                "check this machine's name service (/etc/resolv.conf), and that port 53 is open to it",
            );
        }
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < MOST_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    if shown.is_empty() {
        return fail(format!("{host} has no address"), "ask the peer's operators for the right name");
    }
    Ok((addresses, Finding::ok(Step::Dns, format!("{host} is {}", shown.join(", ")))))
}

/// A connection to the first address that takes one.
pub(super) async fn connect(subject: &Subject, addresses: &[SocketAddr]) -> Result<(TcpStream, Finding), Finding> {
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    for address in addresses {
        match open(subject.timeout, *address).await {
            Ok(stream) => {
                let from = stream.local_addr().map(|from| format!(", from {}", from.ip())).unwrap_or_default();
                let what = format!("connected to {address}{from}");
                let finding = match failures.first() {
                    None => Finding::ok(Step::Tcp, what),
                    Some((other, error)) => Finding::note(
                        Step::Tcp,
                        format!("{what}, but not to {other}: {}", said(error)),
                        "ask the peer's operators which address is right: every call tries them in turn",
                    ),
                };
                return Ok((stream, finding));
            }
            Err(error) => failures.push((*address, error)),
        }
    }
    let what: Vec<String> = failures.iter().map(|(address, error)| format!("{address}: {}", said(error))).collect();
    let fix = failures.first().map_or("check the address", |(_, error)| advice(error.kind()));
    Err(Finding::fail(Step::Tcp, what.join("; "), fix))
}

/// One connection, within the time for a step.
pub(super) async fn open(within: Duration, address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(within, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer"))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::NetworkUnreachable => "no way to that network".to_owned(),
        io::ErrorKind::HostUnreachable => "no way to that machine".to_owned(),
        _ => error.to_string(),
    }
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => {
            "the machine is there and nothing listens on that port: check the port, that the peer's service runs, \
             and that no firewall rejects this machine"
        }
        io::ErrorKind::TimedOut => {
            "most likely a firewall drops it: have this machine's address allowed to that address and port, on both \
             sides; no HTTP proxy is used"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "check this machine's routes, and that the VPN or health network connection is up"
        }
        io::ErrorKind::PermissionDenied => "a firewall on this machine forbids it: allow this way out",
        io::ErrorKind::ConnectionReset => {
            "something between takes connections and drops them: ask for the firewall's log"
        }
        _ => "check address and port, and the network between",
    }
}

/// What the peer takes when everything old is offered, on a connection of its own.
pub(super) async fn old_handshake(subject: &Subject, addresses: &[SocketAddr]) -> Option<OldHandshake> {
    let address = *addresses.first()?;
    let stream = open(subject.timeout, address).await.ok()?.into_std().ok()?;
    let within = Some(subject.timeout);
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(within).and_then(|()| stream.set_write_timeout(within)).ok()?;
    let host = subject.host().to_owned();
    tokio::task::spawn_blocking(move || certificates::old_handshake(stream, &host)).await.ok()?
}
