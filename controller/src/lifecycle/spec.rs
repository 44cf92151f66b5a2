//! What a run's job needs to know beyond what it works on, as it is stored with the run.
//!
//! Frozen when the run is requested: nothing that changes later (a policy, a default) reaches a run
//! that exists. Stored as JSON; fields are added with a default and never change their meaning.

use jiff::SignedDuration;
use provado_model::Error;
use provado_model::id::BackupId;
use serde::{Deserialize, Serialize};

/// What a job is told, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunSpec {
    /// Dump and store.
    Backup(BackupSpec),
    /// Restore into a new database.
    Restore(RestoreSpec),
    /// Read stored data back.
    Check(CheckSpec),
    /// Restore into a throw-away instance and compare.
    Drill(DrillSpec),
    /// Remove orphans.
    Prune(PruneSpec),
    /// Look at the instances of a host.
    Inspect,
    /// Create a repository's descriptor.
    Init,
    /// Look through a repository for backups; as a run it is an inspection.
    Scan(ScanSpec),
}

/// Definitions, data or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Definitions and data.
    #[default]
    Everything,
    /// Definitions only.
    SchemaOnly,
    /// Data only.
    DataOnly,
}

/// A part of a database, or all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectionSpec {
    /// Definitions, data or both.
    pub scope: Scope,
    /// Table patterns in pg_dump's form; empty means all tables.
    pub table_patterns: Vec<String>,
}

/// How long the operator wants a backup kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepSpec {
    /// That is left to policies.
    #[default]
    ByPolicy,
    /// At least so many seconds from its creation.
    Seconds(i64),
    /// For good.
    Forever,
}

/// How far stored data is read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckLevel {
    /// Every object is there with the right size.
    Present,
    /// Every stored byte equals its SHA-256.
    #[default]
    Intact,
    /// Every segment decrypts, decompresses and has the right id.
    Readable,
}

/// A backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupSpec {
    /// Whether it stands for every database of the instance: then the work is in its parts.
    pub whole_instance: bool,
    /// What to dump.
    pub selection: SelectionSpec,
    /// How long to keep it.
    pub keep: KeepSpec,
    /// zstd level, 1 to 19; 0 means the default.
    pub compression_level: u8,
}

/// A restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a stored document of independent wishes, each named where it is set"
)]
pub struct RestoreSpec {
    /// What to bring back.
    pub selection: SelectionSpec,
    /// Parallel jobs; 0 means one a processor.
    pub jobs_count: u32,
    /// Leave objects owned by the restoring role.
    pub no_owner: bool,
    /// Leave grants out.
    pub no_acl: bool,
    /// Create roles that are missing, without passwords.
    pub create_roles: bool,
    /// Whether the requester gave a sealed identity. It is held in memory only.
    pub sealed: bool,
}

/// A check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckSpec {
    /// How far to read.
    pub level: CheckLevel,
    /// Whether the requester gave a sealed identity.
    pub sealed: bool,
}

/// A drill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillSpec {
    /// Parallel jobs; 0 means one a processor.
    pub jobs_count: u32,
    /// Whether the requester gave a sealed identity.
    pub sealed: bool,
}

/// A sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneSpec {
    /// Objects younger than so many seconds are left alone.
    pub grace_seconds: i64,
    /// Tell what would go; delete nothing.
    pub validate_only: bool,
}

/// A scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScanSpec {
    /// After which backup to go on; none for all.
    pub after: Option<BackupId>,
    /// Whether the requester gave a sealed identity.
    pub sealed: bool,
}

impl RunSpec {
    /// The stored form.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self)
            .map_err(|source| Error::internal("a run's spec is no JSON").caused_by(source))
    }

    /// Reads the stored form.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, Error> {
        Deserialize::deserialize(value).map_err(|source: serde_json::Error| {
            Error::internal("a stored run's spec cannot be understood").caused_by(source)
        })
    }

    /// Whether the requester gave a sealed identity with it.
    pub const fn is_sealed(&self) -> bool {
        match self {
            Self::Restore(spec) => spec.sealed,
            Self::Check(spec) => spec.sealed,
            Self::Drill(spec) => spec.sealed,
            Self::Scan(spec) => spec.sealed,
            Self::Backup(_) | Self::Prune(_) | Self::Inspect | Self::Init => false,
        }
    }

    /// Whether it waits while the controller has amnesia: it deletes something, or makes something
    /// that may have been made before.
    pub const fn is_destructive(&self) -> bool {
        match self {
            Self::Restore(_) => true,
            Self::Prune(spec) => !spec.validate_only,
            Self::Backup(_)
            | Self::Check(_)
            | Self::Drill(_)
            | Self::Inspect
            | Self::Init
            | Self::Scan(_) => false,
        }
    }

    /// Whether it is carried out by its parts, never by an agent itself.
    pub const fn is_whole_instance(&self) -> bool {
        match self {
            Self::Backup(spec) => spec.whole_instance,
            Self::Restore(_)
            | Self::Check(_)
            | Self::Drill(_)
            | Self::Prune(_)
            | Self::Inspect
            | Self::Init
            | Self::Scan(_) => false,
        }
    }
}

impl KeepSpec {
    /// The wish as a backup made now keeps it; a span that leaves the calendar is for good.
    pub fn from(self, now: jiff::Timestamp) -> super::backup::Keep {
        use super::backup::Keep;
        match self {
            Self::ByPolicy => Keep::ByPolicy,
            Self::Seconds(seconds) => now
                .checked_add(SignedDuration::from_secs(seconds))
                .map_or(Keep::Forever, Keep::Until),
            Self::Forever => Keep::Forever,
        }
    }
}

impl SelectionSpec {
    /// How the catalogue calls it.
    pub const fn class(&self) -> super::backup::Selection {
        use super::backup::Selection;
        match (self.table_patterns.is_empty(), self.scope) {
            (false, _) => Selection::Tables,
            (true, Scope::Everything) => Selection::Full,
            (true, Scope::SchemaOnly) => Selection::Schema,
            (true, Scope::DataOnly) => Selection::Data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_round_trips_and_old_ones_are_read() {
        let spec = RunSpec::Backup(BackupSpec {
            keep: KeepSpec::Seconds(60),
            compression_level: 5,
            ..BackupSpec::default()
        });
        assert_eq!(RunSpec::from_json(&spec.to_json().unwrap()).unwrap(), spec);
        let old = serde_json::json!({"kind": "restore"});
        let expected = RunSpec::Restore(RestoreSpec::default());
        assert_eq!(RunSpec::from_json(&old).unwrap(), expected);
        assert!(RunSpec::from_json(&serde_json::json!({"kind": "dance"})).is_err());
    }
}
