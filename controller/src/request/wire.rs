//! Small conversions that every service needs: instants, spans, sizes.

use super::violations::Violations;
use jiff::{SignedDuration, Timestamp};
use provado_model::Error;

/// An instant as it is sent.
pub fn time_out(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// An instant that was sent; none when it lies outside the calendar.
pub fn time_in(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// An instant of a request; none when the field is not there. Errors: `INVALID_ARGUMENT`.
pub fn time_of(
    field: &'static str,
    time: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    time.map(|time| {
        time_in(time).ok_or_else(|| Violations::of(field, "must be an instant of the calendar"))
    })
    .transpose()
}

/// A span of a request in whole seconds, cut; none when the field is not there. Errors:
/// `INVALID_ARGUMENT` for a negative span or one of more than 1000 years.
pub fn seconds_of(
    field: &'static str,
    span: Option<&prost_types::Duration>,
) -> Result<Option<i64>, Error> {
    const SECONDS_MAX: i64 = 1_000 * 366 * 24 * 60 * 60;
    let Some(span) = span else {
        return Ok(None);
    };
    if span.seconds < 0 || span.nanos < 0 || span.seconds > SECONDS_MAX {
        return Err(Violations::of(field, "must be a span of 0 s to 1000 years"));
    }
    Ok(Some(span.seconds))
}

/// A span as it is sent.
pub fn span_out(span: SignedDuration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: span.as_secs(),
        nanos: span.subsec_nanos(),
    }
}

/// A size or count as it is sent; what does not fit becomes the largest number.
pub fn size_out(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A small count as it is sent; what does not fit becomes the largest number.
pub fn count_out(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
