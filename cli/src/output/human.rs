//! Figures as people read them: sizes, spans, instants with zone and age, shortened ids.

use jiff::{Timestamp, tz::TimeZone};

/// `512 B`, `1.5 MiB`, `12.0 GiB`.
pub(crate) fn bytes(count: i64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count.abs() < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value.abs() >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).unwrap_or(&"PiB"))
}

/// `12,345,678`.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if number < 0 { format!("-{out}") } else { out }
}

/// `0.4 s`, `12 s`, `3 min 5 s`, `2 h 1 min`.
pub(crate) fn millis(span: i64) -> String {
    let seconds = span / 1000;
    match seconds {
        ..10 => format!("{}.{} s", seconds, (span % 1000).abs() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `3 min ago`, `in 2 d`.
pub(crate) fn age(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    let span = match seconds.unsigned_abs() {
        0..90 => format!("{} s", seconds.unsigned_abs()),
        s @ 90..5400 => format!("{} min", s / 60),
        s @ 5400..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    };
    if seconds >= 0 {
        format!("{span} ago")
    } else {
        format!("in {span}")
    }
}

/// `2026-11-21 14:03 UTC (3 min ago)`; `-` where there is none.
pub(crate) fn instant(time: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(time) = time.and_then(timestamp) else {
        return "-".to_owned();
    };
    let zoned = time.to_zoned(TimeZone::system());
    format!(
        "{} ({})",
        zoned.strftime("%Y-%m-%d %H:%M %Z"),
        age(time, now)
    )
}

/// The instant of a wire timestamp, if it is one.
pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// The last part of a resource name, as people say it.
pub(crate) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The shortest beginning of a UUIDv7 that tells runs of a day apart: 13 characters hold the whole
/// millisecond.
pub(crate) fn short(name: &str) -> &str {
    let id = last(name);
    id.get(..13).unwrap_or(id)
}

/// `-` for an empty text.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}

/// `a=1, b=2`.
pub(crate) fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    or_dash(&pairs.join(", "))
}

/// An enum's value name without its prefix, in lower case: `RUN_STATE_QUEUED` → `queued`.
pub(crate) fn word(value_name: &str, prefix: &str) -> String {
    value_name
        .strip_prefix(prefix)
        .unwrap_or(value_name)
        .to_lowercase()
        .replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (input, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1024 * 1024, "1.0 MiB"),
            (1_073_741_823, "1.0 GiB"),
            (5_000_000_000_000_000_000, "4440.9 PiB"),
        ] {
            assert_eq!(bytes(input), expected);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-123), "-123");
        assert_eq!(millis(420), "0.4 s");
        assert_eq!(millis(185_000), "3 min 5 s");
        assert_eq!(millis(90_000_000), "1 d 1 h");
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(
            age(Timestamp::from_second(999_990).unwrap(), now),
            "10 s ago"
        );
        assert_eq!(
            age(Timestamp::from_second(1_200_000).unwrap(), now),
            "in 2 d"
        );
        assert_eq!(
            short("runs/01932f7e-1234-7abc-8def-001122334455"),
            "01932f7e-1234"
        );
        assert_eq!(word("RUN_STATE_QUEUED", "RUN_STATE_"), "queued");
    }
}
