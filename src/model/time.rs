//! DTM: the framework's time, UTC, with the precision it was given in (ITI TF-3 Table 4.2.3.1.7-2).

use std::fmt;

/// `YYYY[MM[DD[hh[mm[ss]]]]]`, kept as given.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dtm {
    digits: [u8; 14],
    len: u8,
}

impl Dtm {
    /// Reads one; the calendar is checked, not just the shape.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "YYYY[MM[DD[hh[mm[ss]]]]], digits only, UTC without a zone";
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 4 | 6 | 8 | 10 | 12 | 14) || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(RULE);
        }
        let mut digits = *b"00000101000000";
        digits[..bytes.len()].copy_from_slice(bytes);
        let number = |from: usize, to: usize| digits[from..to].iter().fold(0_u16, |n, d| n * 10 + u16::from(d - b'0'));
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return Err("the month is 01 to 12"),
        };
        if day == 0 || day > days {
            return Err("the day is not in that month");
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err("the time of day ends at 235959");
        }
        Ok(Self { digits, len: bytes.len() as u8 })
    }

    /// The moment given, to the second.
    pub fn from_timestamp(at: jiff::Timestamp) -> Self {
        let text = at.strftime("%Y%m%d%H%M%S").to_string();
        // A timestamp's year has four digits between 0000 and 9999; outside, time has no DTM.
        Self::parse(&text).unwrap_or(Self { digits: *b"00010101000000", len: 14 })
    }

    /// The digits as given.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).unwrap_or_default()
    }

    /// Fourteen digits, what is missing filled with the earliest moment: the form in which two
    /// times of different precision are compared (DECISION, ITI TF-2 §3.18.4.1.2.3.3 is silent).
    pub fn earliest(&self) -> &[u8; 14] {
        &self.digits
    }

    /// Whether this time is not after the other; a shorter one that is the other's prefix
    /// overlaps it and counts as not after (DECISION on V10).
    pub fn not_after(&self, other: &Self) -> bool {
        self.digits <= other.digits
            || self.as_str().starts_with(other.as_str())
            || other.as_str().starts_with(self.as_str())
    }
}

impl fmt::Debug for Dtm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dtm({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        for good in ["2005", "200501", "20050102", "2005010203", "200501020304", "20050102030405", "20240229"] {
            assert_eq!(Dtm::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "205",
            "2005010203040",
            "20050230",
            "200501020304-0500",
            "20051301",
            "2005010224",
            "20230229",
            "20050102030460",
        ] {
            assert!(Dtm::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn order_over_precisions() {
        let dtm = |text| Dtm::parse(text).unwrap();
        assert!(dtm("20050102").not_after(&dtm("200501")));
        assert!(dtm("2005").not_after(&dtm("2006")));
        assert!(!dtm("20060101").not_after(&dtm("2005")));
    }
}
