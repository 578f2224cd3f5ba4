//! What the tests of certificates share: a moment, and an authority of it.

use jiff::Timestamp;

use super::DevelopmentAuthority;
use super::authority::shifted;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

pub(super) fn authority() -> DevelopmentAuthority {
    DevelopmentAuthority::new("North Region", now()).unwrap()
}

pub(super) fn days(count: i64) -> Timestamp {
    shifted(now(), count).unwrap()
}
