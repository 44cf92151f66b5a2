//! The states of runs, attempts and backups, as they are named everywhere.
//!
//! Which state follows which is decided in the controller's `lifecycle`; here are only the names,
//! and [`names!`], with which other things get names the same way.
//!
//! [`names!`]: crate::names

/// The text names no state (or kind) of this sort.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no {what}")]
pub struct StateError {
    /// Which enum was asked for.
    pub what: &'static str,
    /// The text that matched none of its names.
    pub text: String,
}

/// Makes enums whose values have one name each, the same in SQL, JSON and logs. The text after an
/// enum's name says what it is, for the error of a name that it does not have.
#[macro_export]
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal {
        $($(#[$vdoc:meta])* $variant:ident = $text:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every value, in the order of the walk.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as it stands in SQL, JSON and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::state::StateError;
            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|state| state.as_str() == text).ok_or_else(|| {
                    $crate::state::StateError { what: $what, text: text.chars().take(64).collect() }
                })
            }
        }
    )*};
}

names! {
    /// What a run is for.
    RunKind, "run kind" {
        /// Dump a database and store it.
        Backup = "backup",
        /// Bring a backup back into a database.
        Restore = "restore",
        /// Read stored data back without a restore.
        Check = "check",
        /// Restore into a throw-away instance and compare.
        Drill = "drill",
        /// Delete what has expired, or sweep orphans.
        Prune = "prune",
        /// Look at an instance.
        Inspect = "inspect",
        /// Create a repository's descriptor and probe what its backend can do.
        Init = "init",
    }
    /// Where a run stands.
    RunState, "run state" {
        /// Asked for, not yet admitted.
        Requested = "requested",
        /// Admitted; waits for an agent.
        Queued = "queued",
        /// Sent to an agent.
        Dispatched = "dispatched",
        /// An agent works on it.
        Running = "running",
        /// Done, and judged good from evidence.
        Succeeded = "succeeded",
        /// Ended without doing what it was for.
        Failed = "failed",
        /// Ended because someone asked for it.
        Canceled = "canceled",
        /// Never started, with a reason.
        Skipped = "skipped",
    }
    /// Where an attempt stands.
    AttemptState, "attempt state" {
        /// Sent, not yet answered.
        Offered = "offered",
        /// In the agent's journal.
        Accepted = "accepted",
        /// Making progress.
        Running = "running",
        /// Reported and judged good.
        Succeeded = "succeeded",
        /// Reported as failed, or judged bad.
        Failed = "failed",
        /// Ended because someone asked for it.
        Canceled = "canceled",
        /// The agent would not take it.
        Refused = "refused",
        /// Its lease ended without a report.
        Lost = "lost",
    }
    /// How far a backup has been verified.
    BackupCheck, "backup check state" {
        /// Written and accepted, not read since.
        Unchecked = "unchecked",
        /// Stored bytes equal their checksums.
        Intact = "intact",
        /// Decrypted, decompressed, every segment id right.
        Readable = "readable",
        /// Restored and found equal.
        Proven = "proven",
        /// A check or drill found damage.
        Corrupt = "corrupt",
    }
    /// Whether a backup is kept.
    BackupKeep, "backup keep state" {
        /// Needed by a rule or a hold.
        Active = "active",
        /// No rule needs it.
        Expired = "expired",
        /// Being deleted.
        Pruning = "pruning",
        /// Deleted; the row stays.
        Pruned = "pruned",
    }
    /// Where an incident stands.
    IncidentState, "incident state" {
        /// Someone must know of it.
        Open = "open",
        /// Someone knows of it.
        Acknowledged = "acknowledged",
        /// Its cause is gone.
        Resolved = "resolved",
    }
    /// What an operator may do.
    Role, "role" {
        /// Everything.
        Dba = "dba",
        /// Everything.
        Lead = "lead",
        /// Read everything but the audit log.
        Devops = "devops",
        /// Read the audit log only.
        Auditor = "auditor",
    }
}

impl RunState {
    /// Whether nothing follows this state.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Skipped
        )
    }
}

impl AttemptState {
    /// Whether nothing follows this state.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Offered | Self::Accepted | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Refused | Self::Lost => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse::<RunState>(), Ok(*state));
        }
        assert_eq!(
            "RUNNING".parse::<RunState>().unwrap_err().to_string(),
            "`RUNNING` is no run state"
        );
    }
}
