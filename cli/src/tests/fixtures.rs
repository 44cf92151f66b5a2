//! Messages as a controller sends them, and a clock that stands still.

use crate::output::human::Now;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use provado_proto::common::v1::{Failure, Scope, Selection};
use provado_proto::operator::v1::{
    Agent, AgentState, Backup, BackupCheckState, BackupKeepState, Database, Instance, Pack, Proof,
    ProofLevel, Run, RunKind, RunOutcome, RunState, RunStep,
};

/// A name that would break a line, and steer a terminal.
pub(super) const HOSTILE: &str = "sh\nop\u{1b}[2J";

/// Seconds of 2026-11-26 12:00 UTC.
const NOON: i64 = 1_795_694_400;

/// Noon, where it is an hour later.
pub(super) fn now() -> Now {
    Now {
        time: Timestamp::from_second(NOON).unwrap(),
        zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
    }
}

/// So many seconds before noon.
#[expect(clippy::unnecessary_wraps, reason = "messages hold their times so")]
pub(super) fn ago(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: NOON - seconds,
        nanos: 0,
    })
}

/// An id whose millisecond and whose rest are given.
pub(super) fn id(millisecond: u16, rest: u16) -> String {
    format!("01932f7e-{millisecond:04x}-7{rest:03x}-8def-001122334455")
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

pub(super) fn agents() -> Vec<Agent> {
    let connected = Agent {
        name: "agents/db1".into(),
        uid: id(1, 1),
        state: AgentState::Active.into(),
        connected: true,
        labels: labels(&[("env", "prod"), ("site", "north")]),
        hostname: "db1.example.org".into(),
        os: "Debian GNU/Linux 12".into(),
        agent_version: "0.1.0".into(),
        create_time: ago(40 * 86_400),
        last_seen_time: ago(4),
        certificate_expire_time: ago(-80_000),
        certificate_generation: 41,
        sealing_recipient: "age1qqqq".into(),
        instance_count: 2,
        live_attempt_count: 1,
        ..Agent::default()
    };
    let locked = Agent {
        name: "agents/postgres-production-7".into(),
        uid: id(2, 1),
        state: AgentState::Locked.into(),
        connected: false,
        labels: labels(&[]),
        message: "two sessions at once, from 192.0.2.7 and 192.0.2.8".into(),
        last_seen_time: ago(7_200),
        certificate_expire_time: ago(3_600),
        ..connected.clone()
    };
    let offline = Agent {
        name: "agents/db3".into(),
        connected: false,
        last_seen_time: ago(3 * 86_400),
        live_attempt_count: 0,
        ..connected.clone()
    };
    vec![connected, locked, offline]
}

pub(super) fn instances() -> Vec<Instance> {
    let up = Instance {
        name: "instances/main".into(),
        uid: id(3, 1),
        agent: "agents/db1".into(),
        system_identifier: "7385021937482910273".into(),
        server_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        server_version_number: 150_018,
        host: "/var/run/postgresql".into(),
        port: 5432,
        data_directory: "/var/lib/postgresql/15/main".into(),
        size_bytes: 13_400_000_000,
        database_count: 2,
        databases: databases(),
        last_seen_time: ago(30),
        warnings: vec!["the role may not see some settings".into()],
        tool_version: "15.18".into(),
        settings: labels(&[
            ("TimeZone", "UTC"),
            ("data_checksums", "on"),
            ("wal_level", "replica"),
        ]),
        connected: true,
        ..Instance::default()
    };
    let down = Instance {
        name: "instances/old".into(),
        server_version: String::new(),
        database_count: 0,
        size_bytes: 0,
        databases: Vec::new(),
        port: 5433,
        unreachable_message: "connection refused".into(),
        ..up.clone()
    };
    vec![up, down]
}

fn databases() -> Vec<Database> {
    let shop = Database {
        database_name: "shop".into(),
        owner: "shop".into(),
        size_bytes: 13_380_000_000,
        encoding: "UTF8".into(),
        collate: "en_US.UTF-8".into(),
        locale_provider: "libc".into(),
        collation_version: "2.31".into(),
        actual_collation_version: "2.36".into(),
        extensions: vec!["pg_trgm 1.6".into(), "plpgsql 1.0".into()],
        latest_backup_time: ago(5_000),
        latest_proof_time: ago(20 * 86_400),
        ..Database::default()
    };
    let hostile = Database {
        database_name: HOSTILE.into(),
        size_bytes: 8_000_000,
        collate: "C".into(),
        collation_version: String::new(),
        extensions: Vec::new(),
        latest_backup_time: None,
        latest_proof_time: None,
        ..shop.clone()
    };
    vec![shop, hostile]
}

pub(super) fn backups() -> Vec<Backup> {
    let proven = Backup {
        name: format!("backups/{}", id(0x10, 1)),
        instance: "instances/main".into(),
        database_name: "shop".into(),
        repository: "repositories/local".into(),
        run: format!("runs/{}", id(0x0f, 1)),
        check_state: BackupCheckState::Proven.into(),
        check_time: ago(600),
        keep_state: BackupKeepState::Active.into(),
        keep_until_time: ago(-7 * 86_400),
        consistent_time: ago(5_000),
        duration_millis: 93_400,
        server_version_number: 150_018,
        tool_version: "15.18".into(),
        plain_bytes: 13_380_000_000,
        stored_bytes: 4_100_000_000,
        added_bytes: 120_000_000,
        table_count: 61,
        row_count: 88_661_245,
        large_object_count: 3,
        segment_count: 12_840,
        reused_segment_count: 12_700,
        parent_backup: format!("backups/{}", id(0x08, 1)),
        recipients: vec!["age1qqqq".into(), "age1wwww".into()],
        labels: labels(&[("why", "release-42")]),
        proof: format!("proofs/{}", id(0x12, 1)),
        packs: vec![Pack::default(), Pack::default()],
        ..Backup::default()
    };
    // Made in the same millisecond as the one above.
    let corrupt = Backup {
        name: format!("backups/{}", id(0x10, 2)),
        database_name: HOSTILE.into(),
        check_state: BackupCheckState::Corrupt.into(),
        keep_state: BackupKeepState::Expired.into(),
        keep_until_time: ago(86_400),
        selection: Some(Selection {
            scope: Scope::DataOnly.into(),
            table_patterns: vec!["public.*".into()],
        }),
        recipients: Vec::new(),
        damages: vec!["pack 7: its bytes are not those that were written".into()],
        proof: String::new(),
        parent_backup: String::new(),
        opaque: true,
        ..proven.clone()
    };
    let kept = Backup {
        name: format!("backups/{}", id(0x09, 1)),
        check_state: BackupCheckState::Unchecked.into(),
        check_time: None,
        keep_forever: true,
        selection: Some(Selection {
            scope: Scope::SchemaOnly.into(),
            table_patterns: Vec::new(),
        }),
        proof: String::new(),
        ..proven.clone()
    };
    vec![proven, corrupt, kept]
}

pub(super) fn proof() -> Proof {
    Proof {
        name: format!("proofs/{}", id(0x12, 1)),
        backup: format!("backups/{}", id(0x10, 1)),
        run: format!("runs/{}", id(0x11, 1)),
        instance: "instances/main".into(),
        database_name: "shop".into(),
        level: ProofLevel::Equal.into(),
        create_time: ago(600),
        table_count: 61,
        row_count: 88_661_245,
        large_object_count: 3,
        plain_bytes: 13_380_000_000,
        recovery_millis: 185_000,
        server_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        remarks: vec!["public.temperatures: floats are compared to 12 digits".into()],
        document: "{\n  \"level\": \"equal\"\n}".into(),
        ..Proof::default()
    }
}

/// A run of this kind and state, by ana, of main/shop.
pub(super) fn run(kind: RunKind, state: RunState) -> Run {
    Run {
        name: format!("runs/{}", id(0x0f, 1)),
        kind: kind.into(),
        state: state.into(),
        requester: "operators/ana".into(),
        agent: "agents/db1".into(),
        instance: "instances/main".into(),
        database_name: "shop".into(),
        repository: "repositories/local".into(),
        labels: labels(&[("why", "release-42")]),
        create_time: ago(200),
        start_time: ago(198),
        end_time: ago(100),
        attempt_count: 1,
        ..Run::default()
    }
}

/// A run that did what it was for.
pub(super) fn done(kind: RunKind, outcome: RunOutcome) -> Run {
    Run {
        backup: format!("backups/{}", id(0x10, 1)),
        outcome: Some(RunOutcome {
            plain_bytes: 13_380_000_000,
            read_bytes: 4_100_000_000,
            added_bytes: 120_000_000,
            table_count: 61,
            row_count: 88_661_245,
            recovery_millis: 185_000,
            object_count: 14,
            freed_bytes: 9_000_000,
            steps: vec![RunStep {
                step_name: "dump".into(),
                duration_millis: 61_000,
            }],
            ..outcome
        }),
        ..run(kind, RunState::Succeeded)
    }
}

/// A run that failed for this reason.
pub(super) fn failed(kind: RunKind, reason: &str, message: &str, outcome: RunOutcome) -> Run {
    Run {
        failure: Some(Failure {
            reason: reason.into(),
            message: message.into(),
            help_url: provado_model::error::help_url(reason),
            ..Failure::default()
        }),
        outcome: Some(outcome),
        backup: format!("backups/{}", id(0x10, 1)),
        ..run(kind, RunState::Failed)
    }
}
