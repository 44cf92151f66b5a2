//! The SQL of `backup_pack` and `damaged_pack`: which packs a backup needs, and which of them are
//! known to be damaged. Rows of packs come with their backup and stay as long as it does.

use crate::db::{Row, Tx, statements, values};
use crate::events::Context;
use crate::lifecycle::facts::PackFact;
use provado_model::Error;
use provado_model::id::{BackupId, PackId, RepositoryId, RunId};

statements! {
    PACK_INSERT = both(
        "INSERT INTO backup_pack (backup_id, pack_id, sha256, stored_bytes, referred_bytes) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (backup_id, pack_id) DO NOTHING",
    );
    PACK_LIST = both(
        "SELECT pack_id, sha256, stored_bytes, referred_bytes FROM backup_pack \
         WHERE backup_id = $1 ORDER BY pack_id LIMIT $2",
    );
    PACK_TOTALS = both(
        "SELECT COUNT(*) AS pack_count, CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) \
         AS stored_bytes FROM backup_pack WHERE backup_id = $1",
    );
    DAMAGE_INSERT = both(
        "INSERT INTO damaged_pack (pack_id, run_id, found_time) VALUES ($1, $2, $3) \
         ON CONFLICT (pack_id) DO NOTHING",
    );
    DAMAGE_CLEAR = both(
        "DELETE FROM damaged_pack WHERE pack_id IN \
         (SELECT pack_id FROM backup_pack WHERE backup_id = $1)",
    );
    DAMAGE_OF_BACKUP = both(
        "SELECT damaged_pack.pack_id FROM backup_pack \
         JOIN damaged_pack ON damaged_pack.pack_id = backup_pack.pack_id \
         WHERE backup_pack.backup_id = $1 ORDER BY damaged_pack.pack_id LIMIT $2",
    );
    USAGE_BACKUPS = both(
        "SELECT COUNT(*) AS backup_count, CAST(COALESCE(SUM(plain_bytes), 0) AS BIGINT) \
         AS plain_bytes FROM backup \
         WHERE repository_id = $1 AND keep_state IN ('active', 'expired', 'pruning')",
    );
    // A pack that several backups need is there once.
    USAGE_PACKS = both(
        "SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) AS stored_bytes FROM \
         (SELECT DISTINCT backup_pack.pack_id, backup_pack.stored_bytes \
         FROM backup JOIN backup_pack ON backup_pack.backup_id = backup.id \
         WHERE backup.repository_id = $1 \
         AND backup.keep_state IN ('active', 'expired', 'pruning')) AS packs",
    );
}

/// What a repository holds for the backups that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Backups that are there.
    pub backup_count: u64,
    /// Stored bytes of all packs they need, each once.
    pub stored_bytes: u64,
    /// Plain bytes of those backups, each counted whole.
    pub plain_bytes: u64,
}

/// What a backup needs to be there of packs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackTotals {
    /// Packs it refers to.
    pub pack_count: u64,
    /// Stored bytes of them, each whole.
    pub stored_bytes: u64,
}

/// Enters the packs of a backup that was just entered; those that are there stay as they are.
pub async fn backup_pack_insert(
    tx: &mut Tx,
    backup: BackupId,
    packs: &[PackFact],
) -> Result<(), Error> {
    for pack in packs {
        tx.execute(
            PACK_INSERT,
            &values![
                backup,
                pack.id,
                pack.sha256,
                pack.stored_bytes,
                pack.referred_bytes
            ],
        )
        .await?;
    }
    Ok(())
}

/// The packs of a backup in order of id, at most `limit`.
pub async fn backup_pack_list(
    tx: &mut Tx,
    backup: BackupId,
    limit: u32,
) -> Result<Vec<PackFact>, Error> {
    let rows = tx.fetch_all(PACK_LIST, &values![backup, limit]).await?;
    rows.iter().map(pack_of).collect()
}

/// What a backup needs to be there of packs.
pub async fn backup_pack_totals(tx: &mut Tx, backup: BackupId) -> Result<PackTotals, Error> {
    let row = tx.fetch_one(PACK_TOTALS, &values![backup]).await?;
    Ok(PackTotals {
        pack_count: row.size("pack_count")?,
        stored_bytes: row.size("stored_bytes")?,
    })
}

/// Notes that a check found a pack damaged, whichever backups need it.
pub async fn pack_damage_insert(
    tx: &mut Tx,
    ctx: &Context,
    pack: PackId,
    run: RunId,
) -> Result<(), Error> {
    tx.execute(DAMAGE_INSERT, &values![pack, run, ctx.now])
        .await
        .map(drop)
}

/// Notes that every pack of a backup was read, and everything in it understood.
pub async fn pack_damage_clear(tx: &mut Tx, backup: BackupId) -> Result<(), Error> {
    tx.execute(DAMAGE_CLEAR, &values![backup]).await.map(drop)
}

/// The packs a backup needs that are known to be damaged, at most `limit`: also of a backup that
/// was not checked itself.
pub async fn pack_damage_list(
    tx: &mut Tx,
    backup: BackupId,
    limit: u32,
) -> Result<Vec<PackId>, Error> {
    let rows = tx
        .fetch_all(DAMAGE_OF_BACKUP, &values![backup, limit])
        .await?;
    rows.iter().map(|row| row.parse("pack_id")).collect()
}

/// What a repository holds.
pub async fn backup_usage(tx: &mut Tx, repository: RepositoryId) -> Result<Usage, Error> {
    let backups = tx.fetch_one(USAGE_BACKUPS, &values![repository]).await?;
    let packs = tx.fetch_one(USAGE_PACKS, &values![repository]).await?;
    Ok(Usage {
        backup_count: backups.size("backup_count")?,
        plain_bytes: backups.size("plain_bytes")?,
        stored_bytes: packs.size("stored_bytes")?,
    })
}

fn pack_of(row: &Row) -> Result<PackFact, Error> {
    Ok(PackFact {
        id: row.parse("pack_id")?,
        sha256: row.text("sha256")?,
        stored_bytes: row.size("stored_bytes")?,
        referred_bytes: row.size("referred_bytes")?,
    })
}
