//! Figures as people read them: sizes, spans, instants with zone and age, shortened ids.

use jiff::{Timestamp, tz::TimeZone};
use provado_model::time::Clock;

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

/// Now, and the zone in which times are shown.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    /// The present instant.
    pub(crate) time: Timestamp,
    /// Where the reader is.
    pub(crate) zone: TimeZone,
}

impl Now {
    /// By this clock, in the zone of this host.
    pub(crate) fn here(clock: &dyn Clock) -> Self {
        Self {
            time: clock.now(),
            zone: TimeZone::system(),
        }
    }

    /// `2026-11-21 14:03 UTC (3 min ago)`.
    pub(crate) fn instant(&self, time: Timestamp) -> String {
        let zoned = time.to_zoned(self.zone.clone());
        let age = age(time, self.time);
        format!("{} ({age})", zoned.strftime("%Y-%m-%d %H:%M %Z"))
    }

    /// The same of a wire timestamp; `-` where there is none.
    pub(crate) fn show(&self, time: Option<&prost_types::Timestamp>) -> String {
        time.and_then(timestamp)
            .map_or_else(|| "-".to_owned(), |time| self.instant(time))
    }

    /// `2026-11-21 14:03:59.123 UTC`: one of many lines, which need no age.
    pub(crate) fn line_time(&self, time: Option<&prost_types::Timestamp>) -> String {
        time.and_then(timestamp).map_or_else(
            || "-".to_owned(),
            |time| {
                let zoned = time.to_zoned(self.zone.clone());
                zoned.strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string()
            },
        )
    }
}

/// `3 min ago`, `in 2 d`.
fn age(time: Timestamp, now: Timestamp) -> String {
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

/// The instant of a wire timestamp, if it is one.
pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// The last part of a resource name, as people say it.
pub(crate) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Characters of a UUIDv7 that hold its whole millisecond.
const SHORT_CHARS: usize = 13;

/// The beginning of an id that mostly tells it apart, or a name as it is.
pub(crate) fn short(name: &str) -> &str {
    cut(name, SHORT_CHARS)
}

/// So many characters of an id, or a name as it is.
pub(crate) fn cut(name: &str, chars: usize) -> &str {
    let last = last(name);
    if is_id(last) {
        last.get(..chars).unwrap_or(last)
    } else {
        last
    }
}

/// How many characters of each id it takes to tell these apart: what is made in one millisecond
/// begins alike.
pub(crate) fn short_chars<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let mut ids: Vec<&str> = names.map(last).filter(|id| is_id(id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let alike = |pair: &[&str]| match pair {
        [a, b] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    let needed = ids.windows(2).map(alike).max().map_or(0, |alike| alike + 1);
    needed.max(SHORT_CHARS)
}

/// Whether the text has the form of a UUID.
fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
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
        assert_eq!(
            short("agents/postgres-production-7"),
            "postgres-production-7"
        );
        assert_eq!(word("RUN_STATE_QUEUED", "RUN_STATE_"), "queued");
    }

    #[test]
    fn ids_are_as_long_as_it_takes_to_tell_them_apart() {
        let check = |names: &[&str], chars: usize| {
            assert_eq!(short_chars(names.iter().copied()), chars, "{names:?}");
        };
        let id = "runs/01932f7e-1234-7abc-8def-001122334455";
        check(&[], 13);
        check(&[id, id, "agents/db1"], 13);
        check(&[id, "runs/01932f7e-1235-7abc-8def-001122334455"], 13);
        check(&[id, "runs/01932f7e-1234-7abd-8def-001122334455"], 18);
        check(&[id, "runs/01932f7e-1234-7abc-8def-001122334456"], 36);
        assert_eq!(cut(id, 18), "01932f7e-1234-7abc");
    }

    #[test]
    fn times_have_a_zone_and_an_age() {
        let now = Now {
            time: Timestamp::from_second(1_000_000_000).unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(2)),
        };
        let time = prost_types::Timestamp {
            seconds: 999_999_700,
            nanos: 1_500_000,
        };
        assert_eq!(now.show(None), "-");
        assert_eq!(now.show(Some(&time)), "2001-09-09 03:41 +02 (5 min ago)");
        assert_eq!(now.line_time(Some(&time)), "2001-09-09 03:41:40.001 +02");
    }
}
