//! The SQL of `backup_pack`: which packs a backup needs. Rows come with their backup and stay as
//! long as it does.

use crate::db::{Row, Tx, statements, values};
use crate::lifecycle::facts::PackFact;
use provado_model::Error;
use provado_model::id::{BackupId, RepositoryId};

statements! {
    PACK_INSERT = both(
        "INSERT INTO backup_pack (backup_id, pack_id, sha256, stored_bytes, referred_bytes) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (backup_id, pack_id) DO NOTHING",
    );
    PACK_LIST = both(
        "SELECT pack_id, sha256, stored_bytes, referred_bytes FROM backup_pack \
         WHERE backup_id = $1 ORDER BY pack_id LIMIT $2",
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
