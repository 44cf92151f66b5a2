//! What instances and databases an agent has: the whole truth each time, turned into rows.
//!
//! An instance keeps its id and name over restarts and upgrades of its host; a database that was
//! dropped and made anew is another one. What an agent no longer tells of is marked, never
//! deleted: its backups remain, and its name goes to the successor that wants it. An agent can
//! touch its own rows only, but for the names that a revoked agent has left.

use super::Fleet;
use super::model::{Database, Instance, InstanceState};
use super::plan::{self, Wish};
use super::renew::AgentPeer;
use super::store::{agent, database, instance};
use super::wire::{self, ToldInstance};
use crate::db::Tx;
use crate::events::{AuditEntry, Context, Event, audit_append, audit_get, audit_head};
use crate::request::Told;
use jiff::SignedDuration;
use provado_model::id::{AgentId, DatabaseId, InstanceId};
use provado_model::{Error, Reason, limits};
use provado_proto::agent::v1::InstanceAssignment;
use std::collections::HashMap;

/// Instances of one agent at a time, and rows of it that a new one is compared with: of those that
/// are gone the ones last seen.
const INSTANCES_PER_AGENT_MAX: u32 = 256;
/// Databases of one instance at a time: more than one report may tell of.
const DATABASES_PER_INSTANCE_MAX: u32 = 20_000;
/// Databases of one instance that have an audit event each when they vanish together.
const VANISHED_NAMED_MAX: usize = 100;
/// How recently another agent must have told of the same primary for it to be worth a warning.
const ELSEWHERE: SignedDuration = SignedDuration::from_mins(10);

impl Fleet {
    /// Takes over what the peer tells of its host; the ids and names in the order told.
    ///
    /// Errors: `INVALID_ARGUMENT` for what cannot be kept, such as a port of 0; `BUSY` when it
    /// tells of changes too often.
    pub(super) async fn sync_inventory(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        told: &[ToldInstance],
    ) -> Result<Vec<InstanceAssignment>, Error> {
        let mut tx = self.core.db.begin().await?;
        let head = audit_head(&mut tx).await?.sequence;
        let known = instance::instance_of_agent(&mut tx, peer.id, INSTANCES_PER_AGENT_MAX).await?;
        if told.len() > wire::count(INSTANCES_PER_AGENT_MAX) {
            return Err(Error::new(
                Reason::InvalidArgument,
                format!("an agent may tell of {INSTANCES_PER_AGENT_MAX} instances at most"),
            ));
        }
        let told: Vec<_> = told
            .iter()
            .map(|one| {
                let id = &one.system_identifier;
                (plan::known_instance(&known, id, &one.host, one.port), one)
            })
            .collect();
        let is_told = |row: &Instance| {
            let mut befores = told.iter().filter_map(|(before, _)| *before);
            befores.any(|before| before.id == row.id)
        };
        // First those that are gone, since others may want their names.
        for gone in known.iter().filter(|it| !is_told(it)) {
            if instance::instance_set_gone(&mut tx, gone.id).await? {
                let entry = AuditEntry::done("instance.vanish", "instance", gone.id)
                    .agent(peer.id)
                    .with("name", gone.name.as_str());
                audit_append(&mut tx, ctx, entry).await?;
                ctx.bus
                    .publish_on_commit(&mut tx, Event::Instance { id: gone.id });
            }
        }
        let mut assigned = Vec::with_capacity(told.len());
        for (before, one) in told {
            let row = self.instance_sync(&mut tx, ctx, peer, before, one).await?;
            if row.state == InstanceState::Up {
                self.databases_sync(&mut tx, ctx, &row, one).await?;
            }
            assigned.push(InstanceAssignment {
                instance_id: row.id.to_string(),
                instance_name: row.name,
                system_identifier: row.system_identifier,
                port: i32::from(row.port),
            });
        }
        agent::agent_seen(&mut tx, peer.id, ctx.now).await?;
        if has_audited(&mut tx, ctx, head).await? {
            self.told
                .check(peer.id, Told::Inventory, self.core.clock.monotonic())?;
        }
        tx.commit().await?;
        Ok(assigned)
    }

    async fn instance_sync(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        peer: &AgentPeer,
        before: Option<&Instance>,
        told: &ToldInstance,
    ) -> Result<Instance, Error> {
        let row = if let Some(before) = before {
            let mut row = self.renamed(tx, ctx, before, told).await?;
            row.version = before.version.saturating_add(1);
            told.apply(&mut row, ctx.now);
            instance::instance_update(tx, &row).await?;
            row
        } else {
            let row = self.instance_made(tx, ctx, peer, told).await?;
            instance::instance_insert(tx, &row).await?;
            let entry = AuditEntry::done("instance.find", "instance", row.id)
                .agent(peer.id)
                .with("name", row.name.as_str())
                .with("system_identifier", row.system_identifier.as_str())
                .with("port", u32::from(row.port));
            audit_append(tx, ctx, entry).await?;
            self.warn_if_elsewhere(tx, ctx, &row).await?;
            row
        };
        ctx.bus
            .publish_on_commit(tx, Event::Instance { id: row.id });
        Ok(row)
    }

    async fn instance_made(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        peer: &AgentPeer,
        told: &ToldInstance,
    ) -> Result<Instance, Error> {
        let mut name = None;
        let asking = (peer.id, told.port);
        for candidate in plan::instance_names(&told.wanted_name, &peer.name, told.port) {
            let wish = wish(&candidate, told);
            if is_free(tx, ctx, &candidate, wish, asking).await? {
                name = Some(candidate);
                break;
            }
        }
        let name = name.ok_or_else(|| {
            Error::new(
                Reason::NameTaken,
                format!(
                    "every name for the instance on port {} of `{}` is taken; give it one in the \
                     agent's configuration",
                    told.port, peer.name
                ),
            )
        })?;
        let mut row = Instance {
            id: InstanceId::new(self.core.clock.as_ref(), self.core.entropy.as_ref()),
            agent: peer.id,
            name,
            state: InstanceState::Unknown,
            version: 1,
            system_identifier: String::new(),
            data_directory: String::new(),
            host: String::new(),
            port: told.port,
            server_version_number: 0,
            in_recovery: false,
            size_bytes: 0,
            labels: provado_model::label::Labels::new(),
            facts: super::model::InstanceFacts::default(),
            create_time: ctx.now,
            last_seen_time: ctx.now,
        };
        told.apply(&mut row, ctx.now);
        Ok(row)
    }

    /// The known instance, with the name that the agent's configuration wants now if it is free.
    async fn renamed(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        before: &Instance,
        told: &ToldInstance,
    ) -> Result<Instance, Error> {
        let mut row = before.clone();
        let wanted = &told.wanted_name;
        let asking = (before.agent, told.port);
        if *wanted != row.name
            && provado_model::label::name_is_valid(wanted)
            && is_free(tx, ctx, wanted, Wish::Configured, asking).await?
        {
            row.name.clone_from(wanted);
        }
        Ok(row)
    }

    /// The same system identifier as a primary at two agents is a copied data directory or a copied
    /// host; backups of both would look like those of one.
    async fn warn_if_elsewhere(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        row: &Instance,
    ) -> Result<(), Error> {
        if row.system_identifier.is_empty() || row.in_recovery {
            return Ok(());
        }
        let since = ctx.now.saturating_sub(ELSEWHERE).unwrap_or(ctx.now);
        let other =
            instance::instance_elsewhere(tx, &row.system_identifier, row.agent, since).await?;
        if let Some(other) = other {
            tracing::warn!(
                instance.id = %row.id,
                instance.name = row.name,
                "the instance {} has the system identifier of another running primary ({other}): \
                 one is a copy of the other",
                row.name
            );
            let entry = AuditEntry::done("instance.suspect-copy", "instance", row.id)
                .agent(row.agent)
                .with("other", other.to_string())
                .with("system_identifier", row.system_identifier.as_str());
            audit_append(tx, ctx, entry).await?;
        }
        Ok(())
    }

    async fn databases_sync(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        row: &Instance,
        told: &ToldInstance,
    ) -> Result<(), Error> {
        let known = database::database_list(tx, row.id, DATABASES_PER_INSTANCE_MAX).await?;
        let mut by_oid: HashMap<u32, Database> =
            known.into_iter().map(|known| (known.oid, known)).collect();
        let mut present = Vec::with_capacity(told.databases.len());
        for one in told.databases.iter().take(limits::DATABASES_PER_RUN_MAX) {
            // Of those that are gone there may be any number: each is looked for by itself.
            let before = match by_oid.remove(&one.oid) {
                Some(known) => Some(known),
                None => database::database_by_oid(tx, row.id, one.oid).await?,
            };
            present.push((before, one));
        }
        // First those that vanished: a database that was made anew under the same name could not
        // be written while the old row still counts as present.
        let mut left_out = 0_u32;
        for (number, gone) in by_oid.into_values().enumerate() {
            database::database_set_gone(tx, gone.id).await?;
            if number >= VANISHED_NAMED_MAX {
                left_out = left_out.saturating_add(1);
                continue;
            }
            let entry = AuditEntry::done("database.vanish", "database", gone.id)
                .agent(row.agent)
                .with("instance", row.name.as_str())
                .with("oid", gone.oid);
            audit_append(tx, ctx, entry).await?;
        }
        if left_out > 0 {
            let entry = AuditEntry::done("database.vanish", "instance", row.id)
                .agent(row.agent)
                .with("instance", row.name.as_str())
                .with("more_databases", left_out);
            audit_append(tx, ctx, entry).await?;
        }
        // Names may have been swapped between databases that are both still there.
        let renamed = present
            .iter()
            .filter_map(|(before, one)| before.as_ref().filter(|it| it.name != one.name));
        for before in renamed {
            database::database_set_gone(tx, before.id).await?;
        }
        for (before, one) in &present {
            let id = before.as_ref().map_or_else(
                || DatabaseId::new(self.core.clock.as_ref(), self.core.entropy.as_ref()),
                |before| before.id,
            );
            let next = one.row(id, row.id, before.as_ref(), ctx.now);
            if before.is_some() {
                database::database_update(tx, &next).await?;
            } else {
                database::database_insert(tx, &next).await?;
            }
        }
        Ok(())
    }
}

/// Whether this transaction has written into the audit chain, which was so long before. On
/// PostgreSQL others may have written meanwhile; after a write of our own they wait.
async fn has_audited(tx: &mut Tx, ctx: &Context, before: u64) -> Result<bool, Error> {
    let head = audit_head(tx).await?.sequence;
    if head <= before {
        return Ok(false);
    }
    let newest = audit_get(tx, head).await?;
    Ok(newest.is_some_and(|newest| newest.caller_id == ctx.actor.id))
}

/// How an instance comes to want one of the names it may get.
fn wish(name: &str, told: &ToldInstance) -> Wish {
    if told.wanted_name == name {
        Wish::Configured
    } else {
        Wish::Usual
    }
}

/// Whether nobody has the name: also because who had it gave it up just now.
async fn is_free(
    tx: &mut Tx,
    ctx: &Context,
    name: &str,
    wish: Wish,
    asking: (AgentId, u16),
) -> Result<bool, Error> {
    let Some(holder) = instance::instance_by_name(tx, name).await? else {
        return Ok(true);
    };
    let Some(owner) = agent::agent_by_id(tx, holder.agent).await? else {
        return Ok(false);
    };
    let other = plan::yielded_name(name, holder.id);
    if !plan::yields_name(&holder, owner.state, wish, asking)
        || instance::instance_by_name(tx, &other).await?.is_some()
    {
        return Ok(false);
    }
    instance::instance_rename(tx, holder.id, &other).await?;
    let entry = AuditEntry::done("instance.yield-name", "instance", holder.id)
        .agent(holder.agent)
        .with("from", name)
        .with("to", other);
    audit_append(tx, ctx, entry).await?;
    ctx.bus
        .publish_on_commit(tx, Event::Instance { id: holder.id });
    Ok(true)
}
