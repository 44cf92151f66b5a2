//! The SQL of `backup`.

use super::machine::{CheckStep, KeepStep, check_step, keep_step};
use super::model::{Backup, BackupFilter, Keep, NewBackup};
use super::row::backup_of;
use crate::db::{Tx, Value, statements, values};
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::lifecycle::run::Inserted;
use crate::lifecycle::sql::{among, json, text};
use jiff::Timestamp;
use provado_model::id::{BackupId, InstanceId, RepositoryId};
use provado_model::{Error, Reason, time};

macro_rules! backup_columns {
    () => {
        "id, run_id, attempt_id, agent_id, agent_public_key, instance_id, instance_name, \
         system_identifier, database_id, database_name, database_oid, repository_id, \
         parent_backup_id, selection, check_state, keep_state, version, create_time, \
         snapshot_time, keep_until_time, keep_forever, last_check_time, last_check_level, \
         server_version_num, tool_version, plain_bytes, stored_bytes, new_bytes, segment_count, \
         new_segment_count, table_count, row_count, encrypted, recipients_json, manifest_sha256, \
         record_sha256, signature, countersignature, labels_json, summary_json"
    };
}

statements! {
    BACKUP_INSERT = both(
        "INSERT INTO backup (check_state, keep_state, version, id, run_id, attempt_id, agent_id, \
         agent_public_key, instance_id, instance_name, system_identifier, database_id, \
         database_name, database_oid, repository_id, parent_backup_id, selection, create_time, \
         snapshot_time, keep_until_time, keep_forever, server_version_num, tool_version, \
         plain_bytes, stored_bytes, new_bytes, segment_count, new_segment_count, table_count, \
         row_count, encrypted, recipients_json, manifest_sha256, record_sha256, signature, \
         countersignature, labels_json, summary_json) \
         VALUES ('unchecked', 'active', 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
         $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, \
         $31, $32, $33, $34, $35) ON CONFLICT (id) DO NOTHING",
    );
    BACKUP_GET = both(concat!("SELECT ", backup_columns!(), " FROM backup WHERE id = $1"));
    BACKUP_RESOLVE = both(
        "SELECT id FROM backup WHERE (id >= $1 AND id < $2) OR id LIKE $3 ORDER BY id LIMIT 2",
    );
    BACKUP_LATEST = both(concat!(
        "SELECT ", backup_columns!(), " FROM backup \
         WHERE instance_id = $1 AND database_name = $2 AND ($3 = '' OR repository_id = $3) \
         AND ($4 = '' OR selection = $4) \
         AND check_state <> 'corrupt' AND keep_state IN ('active', 'expired') \
         ORDER BY create_time DESC, id DESC LIMIT 1"
    ));
    BACKUP_LIST = both(concat!(
        "SELECT ", backup_columns!(), " FROM backup \
         WHERE (create_time < $1 OR (create_time = $1 AND id < $2)) \
         AND ($3 = '' OR instance_id = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR database_name = $4) \
         AND ($5 = '' OR repository_id = $5) \
         AND ($6 = '' OR run_id = $6) \
         AND ($7 = '' OR $7 LIKE '%,' || check_state || ',%') \
         AND ($8 = '' OR $8 LIKE '%,' || keep_state || ',%') \
         AND create_time >= $9 AND create_time < $10 \
         ORDER BY create_time DESC, id DESC LIMIT $11"
    ));
    BACKUP_IDS = both(
        "SELECT id FROM backup WHERE repository_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    );
    BACKUP_CHECK_UPDATE = both(
        "UPDATE backup SET check_state = $1, last_check_time = $2, last_check_level = $3, \
         version = $4 WHERE id = $5 AND version = $6",
    );
    BACKUP_KEEP_UPDATE = both(
        "UPDATE backup SET keep_state = $1, version = $2 WHERE id = $3 AND version = $4",
    );
    BACKUP_COUNTERSIGN = both(
        "UPDATE backup SET countersignature = $1, version = $2 WHERE id = $3 AND version = $4",
    );
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &["BACKUP_GET", "BACKUP_LATEST"];

/// Enters a backup into the catalogue. One with this id is given back as it is.
pub async fn backup_insert(
    tx: &mut Tx,
    ctx: &Context,
    new: &NewBackup,
) -> Result<Inserted<Backup>, Error> {
    insert(tx, ctx, new, (ctx.now, "backup.enter")).await
}

/// Enters a backup that was found in its repository, as if it had entered when it was made: so the
/// newest backup of a database stays the newest. One with this id is given back as it is.
pub async fn backup_insert_found(
    tx: &mut Tx,
    ctx: &Context,
    new: &NewBackup,
    made: Timestamp,
) -> Result<Inserted<Backup>, Error> {
    insert(tx, ctx, new, (made.min(ctx.now), "backup.find")).await
}

async fn insert(
    tx: &mut Tx,
    ctx: &Context,
    new: &NewBackup,
    (create_time, action): (Timestamp, &'static str),
) -> Result<Inserted<Backup>, Error> {
    let inserted = tx
        .execute(BACKUP_INSERT, &insert_values(new, create_time)?)
        .await?;
    let backup = backup_get(tx, new.id).await?.ok_or_else(|| {
        Error::internal(format!("backup {} is not there after its insert", new.id))
    })?;
    if inserted == 0 {
        return Ok(Inserted::Existing(backup));
    }
    let entry = AuditEntry::done(action, "backup", new.id)
        .agent(new.agent_id)
        .with("run", new.run_id.to_string())
        .with("instance", new.instance_name.clone())
        .with("database", new.database_name.clone())
        .with("manifest_sha256", new.manifest_sha256.clone());
    audit_append(tx, ctx, entry).await?;
    ctx.bus.publish_on_commit(tx, Event::Backup { id: new.id });
    Ok(Inserted::New(backup))
}

fn insert_values(new: &NewBackup, create_time: Timestamp) -> Result<Vec<Value>, Error> {
    let (keep_until, keep_forever) = match new.keep {
        Keep::ByPolicy => (None, false),
        Keep::Until(time) => (Some(time), false),
        Keep::Forever => (None, true),
    };
    Ok(values![
        new.id,
        new.run_id,
        new.attempt_id,
        new.agent_id,
        new.agent_public_key,
        new.instance_id,
        new.instance_name,
        new.system_identifier,
        new.database_id,
        new.database_name,
        new.database_oid,
        new.repository_id,
        new.parent_backup_id,
        new.selection.as_str(),
        create_time,
        new.snapshot_time,
        keep_until,
        keep_forever,
        new.server_version_num,
        new.tool_version,
        new.plain_bytes,
        new.stored_bytes,
        new.new_bytes,
        new.segment_count,
        new.new_segment_count,
        new.table_count,
        new.row_count,
        new.encrypted,
        json(&new.recipients)?,
        new.manifest_sha256,
        new.record_sha256,
        new.signature,
        new.countersignature,
        json(&new.labels)?,
        new.summary.to_string(),
    ]
    .to_vec())
}

/// Notes what a check or a drill found. Errors: `VERSION_STALE` when someone else changed the
/// backup since it was read.
pub async fn backup_check_apply(
    tx: &mut Tx,
    ctx: &Context,
    backup: &Backup,
    found: CheckStep,
) -> Result<Backup, Error> {
    let mut next = backup.clone();
    next.check_state = check_step(backup.check_state, found);
    next.version = backup.version.saturating_add(1);
    next.last_check_time = Some(ctx.now);
    next.last_check_level = found.level().map(str::to_owned);
    let changed = tx
        .execute(
            BACKUP_CHECK_UPDATE,
            &values![
                next.check_state,
                next.last_check_time,
                next.last_check_level,
                next.version,
                backup.facts.id,
                backup.version,
            ],
        )
        .await?;
    let action = match found {
        CheckStep::FoundPresent => "backup.found-present",
        CheckStep::FoundIntact => "backup.found-intact",
        CheckStep::FoundReadable => "backup.found-readable",
        CheckStep::FoundProven => "backup.found-proven",
        CheckStep::FoundCorrupt => "backup.found-corrupt",
    };
    let moved = (backup.check_state.as_str(), next.check_state.as_str());
    finish(tx, ctx, backup, changed, (action, moved)).await?;
    Ok(next)
}

/// Moves whether a backup is kept. Errors: `BACKUP_UNUSABLE` when its state does not allow it,
/// `VERSION_STALE` when someone else changed it since it was read.
pub async fn backup_keep_apply(
    tx: &mut Tx,
    ctx: &Context,
    backup: &Backup,
    step: KeepStep,
) -> Result<Backup, Error> {
    let mut next = backup.clone();
    next.keep_state = keep_step(backup.keep_state, step).map_err(|refused| {
        Error::new(
            Reason::BackupUnusable,
            format!("backup {} is {}", backup.facts.id, backup.keep_state),
        )
        .with("backup", backup.facts.id)
        .caused_by(refused)
    })?;
    next.version = backup.version.saturating_add(1);
    let changed = tx
        .execute(
            BACKUP_KEEP_UPDATE,
            &values![
                next.keep_state,
                next.version,
                backup.facts.id,
                backup.version
            ],
        )
        .await?;
    let action = match step {
        KeepStep::Expire => "backup.expire",
        KeepStep::Hold => "backup.hold",
        KeepStep::BeginPrune => "backup.begin-prune",
        KeepStep::FinishPrune => "backup.finish-prune",
    };
    let moved = (backup.keep_state.as_str(), next.keep_state.as_str());
    finish(tx, ctx, backup, changed, (action, moved)).await?;
    Ok(next)
}

/// Keeps the controller's signature over a backup's record.
pub async fn backup_countersign(
    tx: &mut Tx,
    ctx: &Context,
    backup: &Backup,
    countersignature: &str,
) -> Result<Backup, Error> {
    let mut next = backup.clone();
    next.facts.countersignature = Some(countersignature.to_owned());
    next.version = backup.version.saturating_add(1);
    let changed = tx
        .execute(
            BACKUP_COUNTERSIGN,
            &values![
                countersignature,
                next.version,
                backup.facts.id,
                backup.version
            ],
        )
        .await?;
    finish(tx, ctx, backup, changed, ("backup.countersign", ("", ""))).await?;
    Ok(next)
}

async fn finish(
    tx: &mut Tx,
    ctx: &Context,
    backup: &Backup,
    changed: u64,
    (action, (from, to)): (&'static str, (&str, &str)),
) -> Result<(), Error> {
    let id = backup.facts.id;
    if changed != 1 {
        return Err(Error::new(
            Reason::VersionStale,
            format!("backup {id} was changed at the same time; read it again"),
        )
        .with("backup", id));
    }
    let mut entry = AuditEntry::done(action, "backup", id).agent(backup.facts.agent_id);
    if !to.is_empty() {
        entry = entry.with("from", from).with("to", to);
    }
    audit_append(tx, ctx, entry).await?;
    ctx.bus.publish_on_commit(tx, Event::Backup { id });
    Ok(())
}

/// The backup, if there is one.
pub async fn backup_get(tx: &mut Tx, id: BackupId) -> Result<Option<Backup>, Error> {
    tx.fetch_optional(BACKUP_GET, &values![id])
        .await?
        .map(|row| backup_of(&row))
        .transpose()
}

/// The ids that begin or end with `part` (hexadecimal digits and hyphens), at most two.
pub async fn backup_resolve(tx: &mut Tx, part: &str) -> Result<Vec<BackupId>, Error> {
    let rows = tx
        .fetch_all(
            BACKUP_RESOLVE,
            &values![part, format!("{part}~"), format!("%{part}")],
        )
        .await?;
    rows.iter().map(|row| row.parse("id")).collect()
}

/// The newest usable backup of a database, in one repository or in any, of one selection or of
/// any: what `latest:NAME/DB` means, and the parent of the next backup.
pub async fn backup_latest(
    tx: &mut Tx,
    instance: InstanceId,
    database_name: &str,
    repository: Option<RepositoryId>,
    selection: Option<super::Selection>,
) -> Result<Option<Backup>, Error> {
    tx.fetch_optional(
        BACKUP_LATEST,
        &values![instance, database_name, text(repository), text(selection)],
    )
    .await?
    .map(|row| backup_of(&row))
    .transpose()
}

/// Ids of the backups in a repository above `after` in their order, at most `limit`.
pub async fn backup_ids(
    tx: &mut Tx,
    repository: RepositoryId,
    after: Option<BackupId>,
    limit: u32,
) -> Result<Vec<BackupId>, Error> {
    let rows = tx
        .fetch_all(BACKUP_IDS, &values![repository, text(after), limit])
        .await?;
    rows.iter().map(|row| row.parse("id")).collect()
}

/// Backups that fit the filter, newest first, after the cursor (create time and id of the last one
/// seen), at most `limit`.
pub async fn backup_list(
    tx: &mut Tx,
    filter: &BackupFilter,
    after: Option<(Timestamp, BackupId)>,
    limit: u32,
) -> Result<Vec<Backup>, Error> {
    let (after_time, after_id) = after.map_or((i64::MAX, String::new()), |(time, id)| {
        (time::to_micros(time), id.to_string())
    });
    let rows = tx
        .fetch_all(
            BACKUP_LIST,
            &values![
                after_time,
                after_id,
                text(filter.instance_id),
                filter.database_name,
                text(filter.repository_id),
                text(filter.run_id),
                among(filter.check_states.iter().map(|state| state.as_str())),
                among(filter.keep_states.iter().map(|state| state.as_str())),
                filter.from_time.map_or(i64::MIN, time::to_micros),
                filter.until_time.map_or(i64::MAX, time::to_micros),
                limit,
            ],
        )
        .await?;
    rows.iter().map(backup_of).collect()
}
