//! Audit events and checkpoints as messages.

use crate::events::StoredCheckpoint;
use data_encoding::HEXLOWER;
use provado_model::audit_chain::AuditRecord;
use provado_model::{Error, time};
use provado_proto::operator::v1;

pub(super) fn event(record: AuditRecord) -> Result<v1::AuditEvent, Error> {
    Ok(v1::AuditEvent {
        name: format!("auditEvents/{}", record.sequence),
        sequence: number(record.sequence)?,
        event_time: Some(timestamp(time::from_micros(record.time_micros))),
        caller_kind: record.caller_kind,
        caller_id: record.caller_id,
        caller_name: record.caller_name,
        agent_id: record.agent_id,
        peer_address: record.peer_address,
        action: record.action,
        resource_kind: record.resource_kind,
        resource_name: record.resource_name,
        outcome: record.outcome,
        request_id: record.request_id,
        detail_json: record.detail_json,
        previous_sha256: bytes(&record.previous_hash)?,
        event_sha256: bytes(&record.hash)?,
    })
}

pub(super) fn checkpoint(stored: StoredCheckpoint) -> Result<v1::AuditCheckpoint, Error> {
    Ok(v1::AuditCheckpoint {
        sequence: number(stored.head.sequence)?,
        create_time: Some(timestamp(stored.time)),
        note: stored.note,
    })
}

/// 32 bytes from the lower-case hex they are stored as.
pub(super) fn bytes(hex: &str) -> Result<Vec<u8>, Error> {
    HEXLOWER
        .decode(hex.as_bytes())
        .map_err(|source| Error::internal("a stored hash is not hex").caused_by(source))
}

pub(super) fn number(value: u64) -> Result<i64, Error> {
    i64::try_from(value)
        .map_err(|source| Error::internal("a sequence is too large").caused_by(source))
}

fn timestamp(time: jiff::Timestamp) -> prost_types::Timestamp {
    let micros = time.as_microsecond();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000).saturating_mul(1_000)).unwrap_or(0),
    }
}
