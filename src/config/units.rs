//! Sizes and durations as people write them, read and written.

use std::time::Duration;

/// Units of size; the first fitting one is used for writing, so exact binary ones come first.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of time in milliseconds, the largest first.
const DURATIONS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// Further spellings of the same units.
const DURATION_ALIASES: &[(&str, &str)] = &[("m", "min"), ("sec", "s"), ("hour", "h"), ("day", "d")];

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// Reads a size in bytes: `10 MiB`, `2GB`, `4096`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// Reads a duration: `8s`, `250 ms`, `2 min`, `12h`, `30` (seconds).
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    if unit.is_empty() {
        return number.checked_mul(1_000).map(Duration::from_millis);
    }
    let unit =
        DURATION_ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(unit)).map_or(unit, |(_, name)| *name);
    let (_, factor) = DURATIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    Some(Duration::from_millis(number.checked_mul(*factor)?))
}

/// Writes a size so that [`parse_size`] reads the same number: `10 MiB`, `1500 B`.
pub fn exact_size(bytes: u64) -> String {
    let fitting = SIZES.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    match fitting {
        Some((unit, factor)) => format!("{} {unit}", bytes / factor),
        None => format!("{bytes} B"),
    }
}

/// Writes a duration so that [`parse_duration`] reads the same, to the millisecond: `25s`.
pub fn exact_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // 90 s says more than 1.5 min, and 60 s more than 1 min: minutes are for round large numbers.
    let fitting = DURATIONS.iter().find(|(unit, factor)| {
        millis >= *factor && millis.is_multiple_of(*factor) && (*unit != "min" || millis >= 300_000)
    });
    match fitting {
        Some((unit, factor)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}ms"),
    }
}

/// Writes a size for people, three digits or so: `1.5 KiB`, `256 MiB`.
pub fn human_size(bytes: u64) -> String {
    let binary = SIZES.iter().find(|(unit, factor)| unit.ends_with("iB") && bytes >= *factor);
    let Some((unit, factor)) = binary else {
        return format!("{bytes} B");
    };
    // Good to three digits: what a float cannot hold is never shown.
    #[allow(clippy::cast_precision_loss)]
    let value = bytes as f64 / *factor as f64;
    if value >= 100.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Writes a duration for people, three digits or so: `870 µs`, `12.3 ms`, `1.52 s`, `4 min 5 s`.
pub fn human_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = duration.as_secs_f64();
    if micros < 1_000 {
        format!("{micros} µs")
    } else if micros < 100_000 {
        format!("{:.1} ms", seconds * 1e3)
    } else if micros < 1_000_000 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 60.0 {
        format!("{seconds:.2} s")
    } else if seconds < 3_600.0 {
        format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60)
    } else {
        let minutes = duration.as_secs() / 60;
        format!("{} h {} min", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("10 MiB", 10 << 20),
            ("10mib", 10 << 20),
            ("2GB", 2_000_000_000),
            (" 1 KiB ", 1024),
            ("1_000 B", 1000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5 GiB", "10 MiBs", "99999999999 TiB", "_"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert_eq!(exact_size(10 << 20), "10 MiB");
        assert_eq!(exact_size(1500), "1500 B");
        assert_eq!(exact_size(0), "0 B");
        assert_eq!(human_size(1536), "1.5 KiB");
        assert_eq!(human_size(256 << 20), "256 MiB");
        assert_eq!(human_size(12), "12 B");
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("8s", 8_000), ("250 ms", 250), ("2m", 120_000), ("2 min", 120_000), ("1h", 3_600_000), ("30", 30_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "8 seconds ago", "-8s", "1.5s", "99999999999999999999s", "9999999999999999999"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(exact_duration(Duration::from_secs(60)), "60s");
        assert_eq!(exact_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(human_duration(Duration::from_micros(870)), "870 µs");
        assert_eq!(human_duration(Duration::from_micros(12_340)), "12.3 ms");
        assert_eq!(human_duration(Duration::from_millis(250)), "250 ms");
        assert_eq!(human_duration(Duration::from_secs(245)), "4 min 5 s");
    }

    proptest! {
        #[test]
        fn written_sizes_are_read_again(bytes in any::<u64>()) {
            prop_assert_eq!(parse_size(&exact_size(bytes)), Some(bytes));
        }

        #[test]
        fn written_durations_are_read_again(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&exact_duration(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_survived(text in ".{0,40}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
