//! Lines of a run's log as agents send them.

use crate::events::{LogLevel, LogLine};
use crate::request::wire::time_in;
use jiff::Timestamp;
use provado_model::limits::LOG_LINES_MAX;
use provado_proto::agent::v1::LogLine as WireLine;

/// Lines one call may bring.
pub(super) const LINES_PER_CALL_MAX: usize = 1_000;

/// Lines as they are kept: those past the bound of an attempt are dropped, an odd level is `info`,
/// a missing time is now.
pub(super) fn lines(attempt_number: u32, lines: &[WireLine], now: Timestamp) -> Vec<LogLine> {
    let bound = u64::try_from(LOG_LINES_MAX).unwrap_or(u64::MAX);
    lines
        .iter()
        .filter_map(|line| {
            let sequence = u64::try_from(line.sequence).ok()?;
            (1..=bound).contains(&sequence).then(|| LogLine {
                attempt_number,
                sequence,
                time: line.log_time.as_ref().and_then(time_in).unwrap_or(now),
                level: line.level.parse().unwrap_or(LogLevel::Info),
                message: line.message.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_odd_ones_are_kept_readable() {
        let line = |sequence: i64, level: &str| WireLine {
            sequence,
            log_time: None,
            level: level.to_owned(),
            message: "m".to_owned(),
        };
        let sent = [
            line(0, "info"),
            line(-1, "info"),
            line(1, "loud"),
            line(2, "error"),
            line(i64::try_from(LOG_LINES_MAX).unwrap() + 1, "info"),
        ];
        let kept = lines(3, &sent, Timestamp::UNIX_EPOCH);
        let shown: Vec<_> = kept
            .iter()
            .map(|line| (line.sequence, line.level))
            .collect();
        assert_eq!(shown, [(1, LogLevel::Info), (2, LogLevel::Error)]);
        assert!(kept.iter().all(|line| line.attempt_number == 3));
    }
}
