//! A first message of TLS 1.1, as RFC 4346 has it: whether a server would still take it. Nothing is
//! agreed on, and no connection comes of it.

use uuid::Uuid;

/// What a server says to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// It goes on with a version below 1.2: minor number of the version.
    Old(u8),
    /// It refuses with an alert of that number.
    Alert(u8),
    /// It goes away.
    Closed,
    /// It says something that is not TLS.
    Strange,
}

/// How much of an answer is needed: the record's head, and the first message up to its version.
pub const NEEDED: usize = 11;

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;
/// `{3, 2}` is TLS 1.1 (RFC 4346 §6.2.1).
const VERSION: [u8; 2] = [3, 2];

/// Suites with CBC, which are all that TLS 1.1 has: with ECDHE, DHE and RSA.
const SUITES: [u16; 8] = [0xc014, 0xc013, 0xc00a, 0xc009, 0x0039, 0x0033, 0x0035, 0x002f];

fn sized<const N: usize>(content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = size.get(4 - N.min(4)..).unwrap_or_default().to_vec();
    out.extend_from_slice(content);
    out
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    let mut out = number.to_be_bytes().to_vec();
    out.extend(sized::<2>(content));
    out
}

/// The first message of a client that knows nothing newer than TLS 1.1; `name` is the server's DNS
/// name, if it has one.
pub fn client_hello(name: Option<&str>) -> Vec<u8> {
    let mut hello = VERSION.to_vec();
    for _ in 0..2 {
        hello.extend_from_slice(Uuid::new_v4().as_bytes());
    }
    hello.extend(sized::<1>(&[]));
    hello.extend(sized::<2>(&SUITES.iter().flat_map(|suite| suite.to_be_bytes()).collect::<Vec<u8>>()));
    hello.extend(sized::<1>(&[0]));
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let mut entry = vec![0];
        entry.extend(sized::<2>(name.as_bytes()));
        extensions.extend(extension(0, &sized::<2>(&entry)));
    }
    // secp256r1, secp384r1; uncompressed points; renegotiation that nobody will ask for.
    extensions.extend(extension(10, &sized::<2>(&[0, 23, 0, 24])));
    extensions.extend(extension(11, &sized::<1>(&[0])));
    extensions.extend(extension(0xff01, &sized::<1>(&[])));
    hello.extend(sized::<2>(&extensions));
    let mut message = vec![1];
    message.extend(sized::<3>(&hello));
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(sized::<2>(&message));
    record
}

/// Reads what came back, as far as it came.
pub fn read(answer: &[u8]) -> Greeting {
    match answer {
        [] => Greeting::Closed,
        [HANDSHAKE, 3, _, _, _, SERVER_HELLO, _, _, _, 3, minor, ..] => Greeting::Old(*minor),
        [ALERT, 3, _, 0, 2, _, number, ..] => Greeting::Alert(*number),
        _ => Greeting::Strange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fit_together() {
        for name in [None, Some("gateway.example")] {
            let hello = client_hello(name);
            let size = |at: usize| usize::from(hello[at]) << 8 | usize::from(hello[at + 1]);
            assert_eq!(hello[..3], [22, 3, 1]);
            assert_eq!(size(3), hello.len() - 5);
            assert_eq!((hello[5], hello[6], size(7)), (1, 0, hello.len() - 9));
            assert_eq!(hello[9..11], [3, 2]);
            // Random, no session, suites, one compression method, extensions to the end.
            let suites = 11 + 32 + 1;
            assert_eq!(size(suites), SUITES.len() * 2);
            let extensions = suites + 2 + SUITES.len() * 2 + 2;
            assert_eq!(size(extensions), hello.len() - extensions - 2);
        }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(read(&[22, 3, 2, 0, 80, 2, 0, 0, 70, 3, 2]), Greeting::Old(2));
        assert_eq!(read(&[21, 3, 1, 0, 2, 2, 70]), Greeting::Alert(70));
        assert_eq!(read(&[]), Greeting::Closed);
        assert_eq!(read(b"HTTP/1.1 400"), Greeting::Strange);
        assert_eq!(read(&[22, 3]), Greeting::Strange);
    }
}
