//! The SQL of `controller_state`, which has one row.

use crate::db::{Row, Tx, statements, values};
use crate::events::{AuditEntry, Context, audit_append};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use provado_model::id::ControllerId;
use provado_model::{Error, Reason};

statements! {
    CONTROLLER_INSERT = both(
        "INSERT INTO controller_state (id, controller_id, epoch, version, clock_high_water_time, \
         page_key) VALUES (1, $1, $2, 1, $3, $4) ON CONFLICT (id) DO NOTHING",
    );
    CONTROLLER_GET = both(
        "SELECT controller_id, epoch, version, clock_high_water_time, amnesia_reason, \
         amnesia_time, accepted_epoch, page_key FROM controller_state WHERE id = 1",
    );
    EPOCH_RAISE = both(
        "UPDATE controller_state SET epoch = $1, version = version + 1 \
         WHERE id = 1 AND epoch < $1 AND version = $2",
    );
    AMNESIA_SET = both(
        "UPDATE controller_state SET amnesia_reason = $1, amnesia_time = $2, \
         version = version + 1 WHERE id = 1 AND amnesia_reason IS NULL",
    );
    AMNESIA_CLEAR = both(
        "UPDATE controller_state SET amnesia_reason = NULL, amnesia_time = NULL, \
         accepted_epoch = epoch, version = version + 1 \
         WHERE id = 1 AND version = $1 AND amnesia_reason IS NOT NULL",
    );
    CLOCK_ADVANCE = both(
        "UPDATE controller_state SET clock_high_water_time = $1 \
         WHERE id = 1 AND clock_high_water_time < $1",
    );
}

/// The controller's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerState {
    /// One life of the database.
    pub id: ControllerId,
    /// Orders controllers; it only rises.
    pub epoch: u64,
    /// Rises with every change.
    pub version: u64,
    /// The latest instant the clock was seen to reach by running evenly.
    pub clock_high_water_time: Timestamp,
    /// Why destructive work waits for an operator, if it does.
    pub amnesia_reason: Option<String>,
    /// Since when.
    pub amnesia_time: Option<Timestamp>,
    /// The epoch in which an operator last agreed to go on with an older copy; 0 for never. What
    /// agents remember of earlier epochs is no news.
    pub accepted_epoch: u64,
    /// Authenticates page tokens.
    pub page_key: [u8; 32],
}

impl ControllerState {
    /// Whether this database is known to have lost rows: what agents name may be missing here
    /// without being wrong.
    pub const fn has_lost_rows(&self) -> bool {
        self.amnesia_reason.is_some() || self.accepted_epoch > 0
    }
}

/// Makes the row if there is none; the row that is there.
pub async fn controller_init(
    tx: &mut Tx,
    fresh: &ControllerState,
) -> Result<ControllerState, Error> {
    tx.execute(
        CONTROLLER_INSERT,
        &values![
            fresh.id,
            fresh.epoch,
            fresh.clock_high_water_time,
            HEXLOWER.encode(&fresh.page_key),
        ],
    )
    .await?;
    controller_get(tx).await
}

/// The controller's row.
pub async fn controller_get(tx: &mut Tx) -> Result<ControllerState, Error> {
    state_of(&tx.fetch_one(CONTROLLER_GET, &[]).await?)
}

/// The epoch that counts.
pub async fn epoch_current(tx: &mut Tx) -> Result<u64, Error> {
    controller_get(tx).await.map(|state| state.epoch)
}

/// Raises the epoch above its own value and above `known`, the highest that anyone else has seen;
/// the new epoch. Follow the commit with `Core::refresh_epoch`.
pub async fn epoch_raise(tx: &mut Tx, ctx: &Context, known: u64, why: &str) -> Result<u64, Error> {
    let state = controller_get(tx).await?;
    let epoch = state.epoch.max(known).saturating_add(1);
    if tx
        .execute(EPOCH_RAISE, &values![epoch, state.version])
        .await?
        != 1
    {
        return Err(Error::new(
            Reason::VersionStale,
            "the controller's epoch was raised at the same time",
        ));
    }
    let entry = AuditEntry::done("controller.raise-epoch", "controller", state.id)
        .with("from", state.epoch)
        .with("to", epoch)
        .with("why", why);
    audit_append(tx, ctx, entry).await?;
    Ok(epoch)
}

/// Notes that others know more than this database; true if that is news.
pub async fn amnesia_set(tx: &mut Tx, ctx: &Context, why: &str) -> Result<bool, Error> {
    let set = tx.execute(AMNESIA_SET, &values![why, ctx.now]).await? == 1;
    if set {
        let id = controller_get(tx).await?.id;
        let entry =
            AuditEntry::done("controller.notice-amnesia", "controller", id).with("why", why);
        audit_append(tx, ctx, entry).await?;
    }
    Ok(set)
}

/// An operator agrees to go on; true if there was something to agree to. Follow the commit with
/// `Core::refresh_amnesia`. Errors: `VERSION_STALE` when `epoch` is not the one that counts, since
/// then something else was read than is agreed to.
pub async fn amnesia_clear(
    tx: &mut Tx,
    ctx: &Context,
    epoch: u64,
    message: &str,
) -> Result<bool, Error> {
    let state = controller_get(tx).await?;
    let Some(why) = &state.amnesia_reason else {
        return Ok(false);
    };
    let outdated = |what: String| Error::new(Reason::VersionStale, what).with("epoch", state.epoch);
    if epoch != state.epoch {
        return Err(outdated(format!(
            "the controller is in epoch {}, not {epoch}: it has learned more since you looked; \
             look again with `provado controller show`",
            state.epoch
        )));
    }
    if tx.execute(AMNESIA_CLEAR, &values![state.version]).await? != 1 {
        let what = "the controller's state was changed at the same time; look again";
        return Err(outdated(what.to_owned()));
    }
    let entry = AuditEntry::done("controller.accept-amnesia", "controller", state.id)
        .with("epoch", state.epoch)
        .with("why", why.clone())
        .with("message", message);
    audit_append(tx, ctx, entry).await?;
    Ok(true)
}

/// Whether deletes and restores may be started. Errors: `CONTROLLER_AMNESIA` while agents or
/// manifests are known to know more than this database.
pub async fn destructive_allowed(tx: &mut Tx) -> Result<(), Error> {
    match controller_get(tx).await?.amnesia_reason {
        None => Ok(()),
        Some(why) => Err(Error::new(
            Reason::ControllerAmnesia,
            format!(
                "the controller's database is older than what agents know ({why}); deletes and \
                 restores wait until an operator agrees to go on: `provado controller show` tells \
                 what is known, `provado controller accept-amnesia` agrees"
            ),
        )
        .with("why", why)),
    }
}

/// Raises the clock's high-water mark; it never goes back.
pub async fn clock_advance(tx: &mut Tx, to: Timestamp) -> Result<(), Error> {
    tx.execute(CLOCK_ADVANCE, &values![to]).await.map(drop)
}

fn state_of(row: &Row) -> Result<ControllerState, Error> {
    let key = row.text("page_key")?;
    let page_key = HEXLOWER
        .decode(key.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or_else(|| row.bad("page_key", "not 32 bytes in hex"))?;
    Ok(ControllerState {
        id: row.parse("controller_id")?,
        epoch: row.size("epoch")?,
        version: row.size("version")?,
        clock_high_water_time: row.time("clock_high_water_time")?,
        amnesia_reason: row.text_opt("amnesia_reason")?,
        amnesia_time: row.time_opt("amnesia_time")?,
        accepted_epoch: row.size("accepted_epoch")?,
        page_key,
    })
}
