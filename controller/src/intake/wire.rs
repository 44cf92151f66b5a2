//! An outcome in our own words. Every list is cut, so that no report fills the store.

use crate::lifecycle::facts::{
    BackupFacts, CheckFacts, DamageFact, Detail, DifferenceFact, DrillFacts, Facts, InitFacts,
    InspectFacts, PackFact, PruneFacts, RestoreFacts, ScanFacts, StepFact,
};
use crate::lifecycle::spec::Scope;
use crate::lifecycle::wire::{level_in, plain, selection_in};
use crate::request::wire::time_in;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use provado_proto::agent::v1 as wire;
use wire::outcome::Detail as WireDetail;

/// Warnings, steps and remarks that are kept of a report.
const LINES_MAX: usize = 200;
/// Differences, damages and swept objects that are kept of a report.
const FINDINGS_MAX: usize = 1_000;
/// Entries hit by one damage that are kept.
const ENTRIES_MAX: usize = 100;
/// Longest text of one of these, in characters.
const TEXT_CHARS_MAX: usize = 2_000;

/// What a backup says of itself that nothing but hands can restore.
const DATA_ALONE: &str = "it holds data alone: no restore or drill can make a database of it. It \
     is loaded by hand into one that has the tables, see \"Data alone\" in docs/manual/restores.md";

/// What a report says.
pub(super) fn facts(outcome: &wire::Outcome) -> Facts {
    let detail = outcome.detail.as_ref().map(detail);
    let mut warnings = texts(&outcome.warnings, LINES_MAX);
    if let Some(Detail::Backup(backup)) = &detail
        && backup.selection.scope == Scope::DataOnly
    {
        warnings.insert(0, DATA_ALONE.to_owned());
    }
    Facts {
        start_time: outcome.start_time.as_ref().and_then(time_in),
        end_time: outcome.end_time.as_ref().and_then(time_in),
        warnings,
        steps: outcome
            .steps
            .iter()
            .take(LINES_MAX)
            .map(|step| StepFact {
                name: text(&step.step_name),
                duration_millis: count(step.duration_millis),
            })
            .collect(),
        detail,
    }
}

fn detail(detail: &WireDetail) -> Detail {
    match detail {
        WireDetail::Backup(it) => Detail::Backup(backup(it)),
        WireDetail::Restore(it) => Detail::Restore(restore(it)),
        WireDetail::Check(it) => Detail::Check(check(it)),
        WireDetail::Drill(it) => Detail::Drill(drill(it)),
        WireDetail::Prune(it) => Detail::Prune(prune(it)),
        WireDetail::Inspect(it) => Detail::Inspect(InspectFacts {
            instance_count: u32::try_from(it.instance_count).unwrap_or(0),
        }),
        // What becomes of each backup is known only once the catalogue was asked.
        WireDetail::Scan(it) => Detail::Scan(ScanFacts {
            backup_count: count(it.backup_count),
            next_after: it.next_after_backup_id.parse().ok(),
            ..ScanFacts::default()
        }),
        WireDetail::Init(it) => Detail::Init(InitFacts {
            capabilities: it
                .capabilities
                .iter()
                .take(LINES_MAX)
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            free_bytes: it.free_bytes.map(count),
            already_there: it.already_there,
        }),
    }
}

fn backup(it: &wire::BackupOutcome) -> BackupFacts {
    BackupFacts {
        backup_id: it.backup_id.parse().ok(),
        plain_bytes: count(it.plain_bytes),
        stored_bytes: count(it.stored_bytes),
        added_bytes: count(it.added_bytes),
        segment_count: count(it.segment_count),
        reused_segment_count: count(it.reused_segment_count),
        table_count: count(it.table_count),
        row_count: count(it.row_count),
        large_object_count: count(it.large_object_count),
        opaque: it.evidence.as_ref().is_some_and(|evidence| evidence.opaque),
        selection: it.selection.as_ref().map(selection_in).unwrap_or_default(),
    }
}

/// The packs of a backup that was judged good: every id parses.
pub(super) fn packs(packs: &[wire::PackFact]) -> Vec<PackFact> {
    packs
        .iter()
        .filter_map(|pack| {
            Some(PackFact {
                id: pack.pack_id.parse().ok()?,
                sha256: HEXLOWER.encode(&pack.pack_sha256),
                stored_bytes: count(pack.stored_bytes),
                referred_bytes: count(pack.referred_bytes),
            })
        })
        .collect()
}

fn restore(it: &wire::RestoreOutcome) -> RestoreFacts {
    RestoreFacts {
        differences: differences(&it.differences),
        database_oid: u32::try_from(it.database_oid).unwrap_or(0),
        table_count: count(it.table_count),
        row_count: count(it.row_count),
        plain_bytes: count(it.plain_bytes),
        read_bytes: count(it.read_bytes),
    }
}

fn check(it: &wire::CheckOutcome) -> CheckFacts {
    CheckFacts {
        level: level_in(it.level()),
        object_count: count(it.object_count),
        read_bytes: count(it.read_bytes),
        damages: it
            .damages
            .iter()
            .take(FINDINGS_MAX)
            .map(|damage| DamageFact {
                object_key: text(&damage.object_key),
                message: text(&damage.message),
                entries: texts(&damage.entries, ENTRIES_MAX),
            })
            .collect(),
    }
}

fn drill(it: &wire::DrillOutcome) -> DrillFacts {
    DrillFacts {
        proof_id: it.proof_id.parse().ok(),
        proof_document: it.proof_document.clone(),
        proof_signature: STANDARD.encode(&it.proof_signature),
        table_count: count(it.table_count),
        row_count: count(it.row_count),
        large_object_count: count(it.large_object_count),
        plain_bytes: count(it.plain_bytes),
        recovery_millis: count(it.recovery_millis),
        differences: differences(&it.differences),
        remarks: texts(&it.remarks, LINES_MAX),
        server_version: text(&it.server_version),
    }
}

fn prune(it: &wire::PruneOutcome) -> PruneFacts {
    PruneFacts {
        objects: it
            .objects
            .iter()
            .take(FINDINGS_MAX)
            .map(|object| {
                text(&format!(
                    "{} ({} bytes): {}",
                    object.object_key, object.stored_bytes, object.message
                ))
            })
            .collect(),
        object_count: u64::try_from(it.objects.len()).unwrap_or(u64::MAX),
        freed_bytes: count(it.freed_bytes),
        kept_count: count(it.kept_count),
    }
}

fn differences(list: &[wire::Difference]) -> Vec<DifferenceFact> {
    list.iter()
        .take(FINDINGS_MAX)
        .map(|difference| DifferenceFact {
            object: text(&difference.object),
            aspect: text(&difference.aspect),
            expected: text(&difference.expected),
            found: text(&difference.found),
        })
        .collect()
}

fn texts(list: &[String], max: usize) -> Vec<String> {
    list.iter().take(max).map(|line| text(line)).collect()
}

fn text(value: &str) -> String {
    plain(value, TEXT_CHARS_MAX)
}

/// A negative number is judged elsewhere; here it is none.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
