//! How a backup's two states move: pure, total, without a wildcard arm.

use crate::lifecycle::NotAllowed;
use provado_model::state::{BackupCheck, BackupKeep};
use std::fmt;

/// What a check or a drill found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckStep {
    /// Every object is there with the right size.
    FoundPresent,
    /// Stored bytes equal their checksums.
    FoundIntact,
    /// Decrypted, decompressed, every segment id right.
    FoundReadable,
    /// Restored and found equal.
    FoundProven,
    /// Something is damaged or missing.
    FoundCorrupt,
}

/// Every event, in the order of the table.
pub const CHECK_EVENTS: &[CheckStep] = &[
    CheckStep::FoundPresent,
    CheckStep::FoundIntact,
    CheckStep::FoundReadable,
    CheckStep::FoundProven,
    CheckStep::FoundCorrupt,
];

impl CheckStep {
    /// The event's name; with `backup.` before it, the action in the audit chain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FoundPresent => "found-present",
            Self::FoundIntact => "found-intact",
            Self::FoundReadable => "found-readable",
            Self::FoundProven => "found-proven",
            Self::FoundCorrupt => "found-corrupt",
        }
    }

    /// The level it reached, as stored in `last_check_level`; none for damage.
    pub const fn level(self) -> Option<&'static str> {
        match self {
            Self::FoundPresent => Some("present"),
            Self::FoundIntact => Some("intact"),
            Self::FoundReadable => Some("readable"),
            Self::FoundProven => Some("proven"),
            Self::FoundCorrupt => None,
        }
    }
}

impl fmt::Display for CheckStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

use BackupCheck::{Corrupt, Intact, Proven, Readable, Unchecked};

/// The state after a finding. A lower level never takes back a higher one; damage stands until
/// every byte was read and understood again, since a check *intact* knows only what the record
/// beside the damage says.
pub const fn check_step(state: BackupCheck, event: CheckStep) -> BackupCheck {
    match event {
        CheckStep::FoundPresent => state,
        CheckStep::FoundIntact => match state {
            Unchecked | Intact => Intact,
            Readable => Readable,
            Proven => Proven,
            Corrupt => Corrupt,
        },
        CheckStep::FoundReadable => match state {
            Unchecked | Intact | Readable | Corrupt => Readable,
            Proven => Proven,
        },
        CheckStep::FoundProven => Proven,
        CheckStep::FoundCorrupt => Corrupt,
    }
}

/// What can happen to a backup's being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepStep {
    /// No rule needs it any more.
    Expire,
    /// Someone or a rule wants it kept after all.
    Hold,
    /// Its deletion begins.
    BeginPrune,
    /// It is deleted.
    FinishPrune,
}

/// Every event, in the order of the table.
pub const KEEP_EVENTS: &[KeepStep] = &[
    KeepStep::Expire,
    KeepStep::Hold,
    KeepStep::BeginPrune,
    KeepStep::FinishPrune,
];

impl KeepStep {
    /// The event's name; with `backup.` before it, the action in the audit chain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Hold => "hold",
            Self::BeginPrune => "begin-prune",
            Self::FinishPrune => "finish-prune",
        }
    }
}

impl fmt::Display for KeepStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

use BackupKeep::{Active, Expired, Pruned, Pruning};

/// The state that follows, or why nothing does. Once deletion has begun there is no way back: what
/// is half deleted must not look like a backup.
pub fn keep_step(state: BackupKeep, event: KeepStep) -> Result<BackupKeep, NotAllowed> {
    let next = match event {
        KeepStep::Expire => match state {
            Active => Some(Expired),
            Expired | Pruning | Pruned => None,
        },
        KeepStep::Hold => match state {
            Active | Expired => Some(Active),
            Pruning | Pruned => None,
        },
        KeepStep::BeginPrune => match state {
            Expired => Some(Pruning),
            Active | Pruning | Pruned => None,
        },
        KeepStep::FinishPrune => match state {
            Pruning => Some(Pruned),
            Active | Expired | Pruned => None,
        },
    };
    next.ok_or_else(|| NotAllowed::new("backup", state, event))
}
