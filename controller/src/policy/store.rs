//! The SQL of `repository`.

use super::model::{NewRepository, Repository, RepositoryState, SegmentKey};
use crate::db::{Row, Tx, statements, values};
use crate::events::{AuditEntry, Context, Event, audit_append};
use provado_model::id::{AgentId, RepositoryId};
use provado_model::{Error, Reason};
use std::collections::BTreeMap;

macro_rules! columns {
    () => {
        "id, name, kind, state, version, agent_id, path, recipients_json, segment_key, \
         capabilities_json, create_time, create_caller_id, init_time"
    };
}

statements! {
    REPOSITORY_INSERT = both(
        "INSERT INTO repository (id, name, kind, state, version, agent_id, path, encryption, \
         recipients_json, segment_key, capabilities_json, labels_json, create_time, \
         create_caller_id) \
         VALUES ($1, $2, $3, 'declared', 1, $4, $5, 'age', $6, $7, '{}', '{}', $8, $9)",
    );
    REPOSITORY_BY_ID = both(concat!("SELECT ", columns!(), " FROM repository WHERE id = $1"));
    REPOSITORY_BY_NAME = both(concat!("SELECT ", columns!(), " FROM repository WHERE name = $1"));
    REPOSITORY_BY_PREFIX = both(concat!(
        "SELECT ", columns!(), " FROM repository WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2"
    ));
    REPOSITORY_LIST = both(concat!(
        "SELECT ", columns!(), " FROM repository WHERE name > $1 ORDER BY name LIMIT $2"
    ));
    REPOSITORY_LIST_OF_AGENT = both(concat!(
        "SELECT ", columns!(), " FROM repository WHERE agent_id = $1 ORDER BY name LIMIT $2"
    ));
    REPOSITORY_LIST_DECLARED = both(concat!(
        "SELECT ", columns!(), " FROM repository \
         WHERE state = 'declared' AND id > $1 ORDER BY id LIMIT $2"
    ));
    REPOSITORY_READY = both(
        "UPDATE repository SET state = 'initialized', version = version + 1, \
         capabilities_json = $1, init_time = $2 \
         WHERE id = $3 AND version = $4 AND state = 'declared'",
    );
}

/// Declares a repository. Error: `NAME_TAKEN`.
pub async fn repository_insert(
    tx: &mut Tx,
    ctx: &Context,
    new: &NewRepository,
) -> Result<(), Error> {
    // Checked first: after a clash PostgreSQL takes no further statement in the transaction.
    if repository_by_name(tx, &new.name).await?.is_some() {
        return Err(taken(&new.name));
    }
    tx.execute_one(
        REPOSITORY_INSERT,
        &values![
            new.id,
            new.name,
            new.kind.as_str(),
            new.agent,
            new.path,
            serde_json::json!(new.recipients).to_string(),
            new.segment_key.expose().to_vec(),
            ctx.now,
            ctx.actor.id,
        ],
    )
    .await
    .map_err(|error| match error.reason {
        Reason::NameTaken => taken(&new.name).caused_by(error),
        _ => error,
    })?;
    let entry = AuditEntry::done("repository.create", "repository", &new.name)
        .agent(new.agent)
        .with("path", new.path.clone())
        .with("recipients", new.recipients.clone());
    audit_append(tx, ctx, entry).await?;
    ctx.bus
        .publish_on_commit(tx, Event::Repository { id: new.id });
    Ok(())
}

fn taken(name: &str) -> Error {
    Error::new(
        Reason::NameTaken,
        format!("there is a repository {name} already; choose another name"),
    )
    .with("repository", name)
}

/// Notes that a repository's descriptor was made, and what its backend can do. Error:
/// `VERSION_STALE` when someone else changed the row since it was read.
pub async fn repository_ready(
    tx: &mut Tx,
    ctx: &Context,
    repository: &Repository,
    capabilities: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let facts = &repository.facts;
    let changed = tx
        .execute(
            REPOSITORY_READY,
            &values![
                serde_json::json!(capabilities).to_string(),
                ctx.now,
                facts.id,
                repository.version,
            ],
        )
        .await?;
    if changed != 1 {
        return Err(Error::new(
            Reason::VersionStale,
            format!("repository {} was changed at the same time", facts.name),
        )
        .with("repository", &facts.name));
    }
    let entry = AuditEntry::done("repository.ready", "repository", &facts.name).agent(facts.agent);
    audit_append(tx, ctx, entry).await?;
    ctx.bus
        .publish_on_commit(tx, Event::Repository { id: facts.id });
    Ok(())
}

/// The repository of this id.
pub async fn repository_by_id(tx: &mut Tx, id: RepositoryId) -> Result<Option<Repository>, Error> {
    let row = tx.fetch_optional(REPOSITORY_BY_ID, &values![id]).await?;
    row.map(|row| repository_of(&row)).transpose()
}

/// The repository of this name.
pub async fn repository_by_name(tx: &mut Tx, name: &str) -> Result<Option<Repository>, Error> {
    let row = tx
        .fetch_optional(REPOSITORY_BY_NAME, &values![name])
        .await?;
    row.map(|row| repository_of(&row)).transpose()
}

/// Repositories whose id begins so, at most two: enough to know whether it is unique.
pub async fn repository_by_prefix(tx: &mut Tx, prefix: &str) -> Result<Vec<Repository>, Error> {
    let past = format!("{prefix}~");
    let rows = tx
        .fetch_all(REPOSITORY_BY_PREFIX, &values![prefix, past])
        .await?;
    rows.iter().map(repository_of).collect()
}

/// Repositories whose name comes after `after`, by name, at most `limit`.
pub async fn repository_list(
    tx: &mut Tx,
    after: &str,
    limit: u32,
) -> Result<Vec<Repository>, Error> {
    let rows = tx
        .fetch_all(REPOSITORY_LIST, &values![after, limit])
        .await?;
    rows.iter().map(repository_of).collect()
}

/// An agent's repositories by name, at most `limit`.
pub async fn repository_list_of_agent(
    tx: &mut Tx,
    agent: AgentId,
    limit: u32,
) -> Result<Vec<Repository>, Error> {
    let rows = tx
        .fetch_all(REPOSITORY_LIST_OF_AGENT, &values![agent, limit])
        .await?;
    rows.iter().map(repository_of).collect()
}

/// Repositories without a descriptor whose id comes after `after`, at most `limit`.
pub(super) async fn repository_list_declared(
    tx: &mut Tx,
    after: Option<RepositoryId>,
    limit: u32,
) -> Result<Vec<Repository>, Error> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = tx
        .fetch_all(REPOSITORY_LIST_DECLARED, &values![after, limit])
        .await?;
    rows.iter().map(repository_of).collect()
}

fn repository_of(row: &Row) -> Result<Repository, Error> {
    let key = row.bytes("segment_key")?;
    let key = <[u8; 32]>::try_from(key)
        .map_err(|bytes| row.bad("segment_key", format!("{} bytes", bytes.len())))?;
    let state: RepositoryState = row.parse("state")?;
    Ok(Repository {
        state,
        version: row.size("version")?,
        capabilities: row.json("capabilities_json")?,
        create_time: row.time("create_time")?,
        create_caller: row
            .text_opt("create_caller_id")?
            .and_then(|id| id.parse().ok()),
        init_time: row.time_opt("init_time")?,
        facts: NewRepository {
            id: row.parse("id")?,
            name: row.text("name")?,
            kind: row.parse("kind")?,
            agent: row.parse("agent_id")?,
            path: row.text("path")?,
            recipients: row.json("recipients_json")?,
            segment_key: SegmentKey::from_bytes(key),
        },
    })
}
