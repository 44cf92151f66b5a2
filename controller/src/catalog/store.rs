//! What is read across: the newest proof of a backup, from the rows of `verify`.

use crate::db::{Tx, statements, values};
use provado_model::Error;
use provado_model::id::{BackupId, ProofId};

statements! {
    PROOF_NEWEST = both(
        "SELECT id FROM proof WHERE backup_id = $1 ORDER BY id DESC LIMIT 1",
    );
}

/// The newest proof of a backup, if there is one.
pub(super) async fn proof_newest(tx: &mut Tx, backup: BackupId) -> Result<Option<ProofId>, Error> {
    tx.fetch_optional(PROOF_NEWEST, &values![backup])
        .await?
        .map(|row| row.parse("id"))
        .transpose()
}
