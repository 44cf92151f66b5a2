//! The SQL of `caller`, `caller_certificate` and `join_token`.

use super::model::{AllowedCaller, Caller, CallerCertificate, JoinTokenRecord};
use crate::db::{Row, Tx, statements, values};
use jiff::Timestamp;
use provado_model::id::{AgentId, CallerId, JoinTokenId};
use provado_model::state::Role;
use provado_model::{Error, Reason};

macro_rules! caller_columns {
    () => {
        "id, name, role, state, version, create_time, revoke_time, \
         (SELECT MAX(not_after_time) FROM caller_certificate \
          WHERE caller_id = caller.id AND caller_certificate.revoke_time IS NULL) \
         AS certificate_expire_time"
    };
}

macro_rules! token_columns {
    () => {
        "id, labels_json, name_hint, bound_agent_id, create_time, expire_time, use_time, \
         use_agent_id, revoke_time"
    };
}

statements! {
    CALLER_INSERT = both(
        "INSERT INTO caller (id, name, role, state, version, create_time, create_caller_id) \
         VALUES ($1, $2, $3, 'active', 1, $4, $5)",
    );
    CALLER_COUNT = both("SELECT COUNT(*) AS count FROM caller");
    CALLER_BY_NAME = both(concat!("SELECT ", caller_columns!(), " FROM caller WHERE name = $1"));
    CALLER_BY_ID = both(concat!("SELECT ", caller_columns!(), " FROM caller WHERE id = $1"));
    CALLER_LIST = both(concat!(
        "SELECT ", caller_columns!(), " FROM caller WHERE name > $1 ORDER BY name LIMIT $2"
    ));
    CALLER_REVOKE = both(
        "UPDATE caller SET state = 'revoked', revoke_time = $3, version = version + 1 \
         WHERE id = $1 AND version = $2 AND state = 'active'",
    );
    CERTIFICATE_INSERT = both(
        "INSERT INTO caller_certificate (sha256, caller_id, not_before_time, not_after_time) \
         VALUES ($1, $2, $3, $4)",
    );
    CERTIFICATE_REVOKE_ALL = both(
        "UPDATE caller_certificate SET revoke_time = $2 \
         WHERE caller_id = $1 AND revoke_time IS NULL",
    );
    CERTIFICATE_ALLOWED = both(
        "SELECT caller_certificate.sha256 AS sha256, caller.id AS id, caller.name AS name, \
         caller.role AS role, caller_certificate.not_after_time AS not_after_time \
         FROM caller_certificate JOIN caller ON caller.id = caller_certificate.caller_id \
         WHERE caller.state = 'active' AND caller_certificate.revoke_time IS NULL \
         AND caller_certificate.not_after_time > $1",
    );
    TOKEN_INSERT = both(
        "INSERT INTO join_token (id, secret_sha256, version, labels_json, name_hint, create_time, \
         create_caller_id, expire_time, bound_agent_id) \
         VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8)",
    );
    // The one statement that spends a token: of two that race, one finds `use_time` set.
    TOKEN_REDEEM = both(concat!(
        "UPDATE join_token SET use_time = $2, use_agent_id = COALESCE(bound_agent_id, $3), \
         version = version + 1 WHERE secret_sha256 = $1 AND use_time IS NULL \
         AND revoke_time IS NULL AND expire_time > $2 RETURNING ", token_columns!()
    ));
    TOKEN_BY_HASH = both(concat!(
        "SELECT ", token_columns!(), " FROM join_token WHERE secret_sha256 = $1"
    ));
    TOKEN_LIST = both(concat!(
        "SELECT ", token_columns!(), " FROM join_token WHERE $1 = '' OR id < $1 \
         ORDER BY id DESC LIMIT $2"
    ));
}

/// Adds a caller. Error: `NAME_TAKEN` where the name was ever used.
pub(super) async fn caller_insert(
    tx: &mut Tx,
    id: CallerId,
    name: &str,
    role: Role,
    now: Timestamp,
    creator: Option<CallerId>,
) -> Result<(), Error> {
    tx.execute_one(CALLER_INSERT, &values![id, name, role, now, creator])
        .await
        .map_err(|error| match error.reason {
            Reason::NameTaken => Error::new(
                Reason::NameTaken,
                format!("a caller named `{name}` exists or existed; choose another name"),
            )
            .with("name", name),
            _ => error,
        })
}

/// How many callers there are, revoked ones included.
pub(super) async fn caller_count(tx: &mut Tx) -> Result<u64, Error> {
    tx.fetch_one(CALLER_COUNT, &[]).await?.size("count")
}

/// The caller of this name.
pub(super) async fn caller_by_name(tx: &mut Tx, name: &str) -> Result<Option<Caller>, Error> {
    let row = tx.fetch_optional(CALLER_BY_NAME, &values![name]).await?;
    row.map(|row| caller_of(&row)).transpose()
}

/// The caller of this id.
pub(super) async fn caller_by_id(tx: &mut Tx, id: CallerId) -> Result<Option<Caller>, Error> {
    let row = tx.fetch_optional(CALLER_BY_ID, &values![id]).await?;
    row.map(|row| caller_of(&row)).transpose()
}

/// Callers whose name comes after `after`, by name, at most `limit`.
pub(super) async fn caller_list(
    tx: &mut Tx,
    after: &str,
    limit: u32,
) -> Result<Vec<Caller>, Error> {
    let rows = tx.fetch_all(CALLER_LIST, &values![after, limit]).await?;
    rows.iter().map(caller_of).collect()
}

/// Ends a caller's access and all its certificates. Error: `VERSION_STALE` when the row changed
/// since it was read.
pub(super) async fn caller_revoke(
    tx: &mut Tx,
    caller: &Caller,
    now: Timestamp,
) -> Result<(), Error> {
    let changed = tx
        .execute(CALLER_REVOKE, &values![caller.id, caller.version, now])
        .await?;
    if changed != 1 {
        return Err(Error::new(
            Reason::VersionStale,
            format!(
                "the caller `{}` changed at the same time; try again",
                caller.name
            ),
        ));
    }
    tx.execute(CERTIFICATE_REVOKE_ALL, &values![caller.id, now])
        .await?;
    Ok(())
}

/// Records a certificate that is about to be handed out.
pub(super) async fn certificate_insert(
    tx: &mut Tx,
    certificate: &CallerCertificate,
) -> Result<(), Error> {
    tx.execute_one(
        CERTIFICATE_INSERT,
        &values![
            certificate.sha256,
            certificate.caller,
            certificate.not_before,
            certificate.not_after,
        ],
    )
    .await
}

/// Every certificate that is wanted now: its SHA-256 in hex, and whose it is.
pub(super) async fn certificate_allowed(
    tx: &mut Tx,
    now: Timestamp,
) -> Result<Vec<(String, AllowedCaller)>, Error> {
    let rows = tx.fetch_all(CERTIFICATE_ALLOWED, &values![now]).await?;
    rows.iter()
        .map(|row| {
            let caller = AllowedCaller {
                id: row.parse("id")?,
                name: row.text("name")?,
                role: row.parse("role")?,
                not_after: row.time("not_after_time")?,
            };
            Ok((row.text("sha256")?, caller))
        })
        .collect()
}

/// Adds a join token; only the hash of its secret is kept.
pub(super) async fn token_insert(
    tx: &mut Tx,
    token: &JoinTokenRecord,
    secret_sha256: &str,
    creator: CallerId,
) -> Result<(), Error> {
    tx.execute_one(
        TOKEN_INSERT,
        &values![
            token.id,
            secret_sha256,
            serde_json::json!(token.labels).to_string(),
            token.agent_name,
            token.create_time,
            creator,
            token.expire_time,
            token.bound_agent,
        ],
    )
    .await
}

/// Spends the token whose secret has this hash, if it is unspent, unrevoked and within its time:
/// for the agent it is bound to, else for `agent`.
pub(super) async fn token_redeem(
    tx: &mut Tx,
    secret_sha256: &str,
    agent: AgentId,
    now: Timestamp,
) -> Result<Option<JoinTokenRecord>, Error> {
    let row = tx
        .fetch_optional(TOKEN_REDEEM, &values![secret_sha256, now, agent])
        .await?;
    row.map(|row| token_of(&row)).transpose()
}

/// The token whose secret has this hash, whatever became of it.
pub(super) async fn token_by_hash(
    tx: &mut Tx,
    secret_sha256: &str,
) -> Result<Option<JoinTokenRecord>, Error> {
    let row = tx
        .fetch_optional(TOKEN_BY_HASH, &values![secret_sha256])
        .await?;
    row.map(|row| token_of(&row)).transpose()
}

/// Tokens made before `before` (all where absent), newest first, at most `limit`.
pub(super) async fn token_list(
    tx: &mut Tx,
    before: Option<JoinTokenId>,
    limit: u32,
) -> Result<Vec<JoinTokenRecord>, Error> {
    let before = before.map(|id| id.to_string()).unwrap_or_default();
    let rows = tx.fetch_all(TOKEN_LIST, &values![before, limit]).await?;
    rows.iter().map(token_of).collect()
}

fn caller_of(row: &Row) -> Result<Caller, Error> {
    Ok(Caller {
        id: row.parse("id")?,
        name: row.text("name")?,
        role: row.parse("role")?,
        state: row.parse("state")?,
        version: row.size("version")?,
        create_time: row.time("create_time")?,
        revoke_time: row.time_opt("revoke_time")?,
        certificate_expire_time: row.time_opt("certificate_expire_time")?,
    })
}

fn token_of(row: &Row) -> Result<JoinTokenRecord, Error> {
    Ok(JoinTokenRecord {
        id: row.parse("id")?,
        labels: row.json("labels_json")?,
        agent_name: row.text_opt("name_hint")?,
        bound_agent: row.parse_opt("bound_agent_id")?,
        create_time: row.time("create_time")?,
        expire_time: row.time("expire_time")?,
        use_time: row.time_opt("use_time")?,
        use_agent: row.parse_opt("use_agent_id")?,
        revoke_time: row.time_opt("revoke_time")?,
    })
}
