//! The first message of a stream: whether this is the agent, the only one, and what it has in hand.

use super::drive::Inbound;
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::fleet::plan::{self, Contest, Older};
use crate::fleet::sessions::Session;
use crate::fleet::store::agent::{self, Greeting};
use crate::fleet::store::certificate;
use crate::fleet::wire;
use crate::fleet::{AgentPeer, Fleet};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{AttemptRef, Hello, session_request::Message};
use std::sync::Arc;
use std::time::Duration;

/// The version of the agent protocol that is spoken here.
const PROTOCOL_VERSION: i32 = 1;
/// Longest text by which an agent names its process, in bytes.
const PROCESS_ID_BYTES_MAX: usize = 128;
/// Job kinds that are kept of an agent.
const CAPABILITIES_MAX: usize = 64;

/// Waits for the hello. Errors: `INVALID_ARGUMENT` when something else comes, or nothing.
pub(super) async fn receive(inbound: &mut Inbound, wait: Duration) -> Result<Hello, Error> {
    let wrong = |what: &str| {
        Error::new(
            Reason::InvalidArgument,
            format!("a stream begins with a hello, but {what}"),
        )
    };
    let first = tokio::time::timeout(wait, inbound.next())
        .await
        .map_err(|_| wrong("none came in time"))?
        .ok_or_else(|| wrong("it ended"))?;
    let first = first.map_err(|_| wrong("the connection broke"))?;
    let Some(Message::Hello(hello)) = first.message else {
        return Err(wrong("another message came first"));
    };
    if hello.protocol_version != PROTOCOL_VERSION {
        return Err(Error::new(
            Reason::Unimplemented,
            format!(
                "the agent speaks version {} of the protocol, the controller version \
                 {PROTOCOL_VERSION}; update the older one",
                hello.protocol_version
            ),
        ));
    }
    if hello.process_id.is_empty() || hello.process_id.len() > PROCESS_ID_BYTES_MAX {
        return Err(Error::new(
            Reason::InvalidArgument,
            "process_id must have 1 to 128 bytes",
        )
        .with("process_id", "must have 1 to 128 bytes"));
    }
    Ok(hello)
}

impl Fleet {
    /// Whether this stream may be the agent's: certificate, host and process. An agent that shows
    /// itself cloned is locked here.
    pub(super) async fn admit(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        hello: &Hello,
    ) -> Result<(), Error> {
        self.allow.check_standing(&peer.sha256)?;
        let stated = u64::try_from(hello.generation).unwrap_or(0);
        self.judge_certificate(ctx, peer, stated).await?;
        let mut tx = self.core.db.read().await?;
        let row = agent::agent_by_id(&mut tx, peer.id).await?;
        tx.rollback().await?;
        let known = row.as_ref().and_then(|row| row.machine_id.as_deref());
        let told = machine_id(hello);
        if plan::is_other_machine(known, &told) {
            let why = "its identity was used on a host with another machine id";
            return Err(self.lock(ctx, peer, why).await?);
        }
        if let Some(older) = self.sessions.get(peer.id) {
            let contest = self.contest(&older, &hello.process_id).await;
            if contest == Contest::Clone {
                let why = "two processes with its identity are alive at the same time";
                return Err(self.lock(ctx, peer, why).await?);
            }
        }
        Ok(())
    }

    /// Waits until it is clear whether the older stream's process still lives.
    async fn contest(&self, older: &Arc<Session>, process_id: &str) -> Contest {
        let began = self.core.clock.monotonic();
        let mut spoke = None;
        loop {
            let now = self.core.clock.monotonic();
            let known = Older {
                same_process: older.process_id() == process_id,
                ended: older.has_ended(),
                spoke_ago: spoke.map(|at| now.since(at)),
                waited: now.since(began),
            };
            let wait = match plan::contest(known, self.times.contest, self.times.settle) {
                Contest::Wait(wait) => wait,
                judged @ (Contest::TakeOver | Contest::Clone) => return judged,
            };
            tokio::select! {
                () = older.when_ended() => {}
                () = older.when_spoken(), if spoke.is_none() => {
                    spoke = Some(self.core.clock.monotonic());
                }
                () = waited(wait) => {}
            }
        }
    }

    /// Writes down that the agent is here, and that older certificates are superseded; the
    /// attempts it should stop.
    pub(super) async fn greet(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        hello: &Hello,
    ) -> Result<Vec<AttemptRef>, Error> {
        let generation = u64::try_from(hello.generation).unwrap_or(0);
        let host = wire::host(&hello.host.clone().unwrap_or_default());
        let capabilities: Vec<String> = hello
            .capabilities
            .iter()
            .take(CAPABILITIES_MAX)
            .map(|name| wire::bounded(name))
            .collect();
        let machine_id = machine_id(hello);
        let greeting = Greeting {
            host: &host,
            capabilities: &capabilities,
            protocol_version: u32::try_from(hello.protocol_version).unwrap_or(0),
            machine_id: &machine_id,
            process_id: &hello.process_id,
        };
        let mut tx = self.core.db.begin().await?;
        if !agent::agent_greet(&mut tx, peer.id, &greeting, ctx.now).await? {
            tx.rollback().await?;
            return Err(Error::new(
                Reason::CertificateRevoked,
                format!("the agent `{}` is no longer in good standing", peer.name),
            ));
        }
        let superseded =
            certificate::certificate_supersede_older(&mut tx, peer.id, generation, ctx.now).await?;
        if superseded > 0 {
            let entry = AuditEntry::done("agent.use-certificate", "agent", peer.id)
                .agent(peer.id)
                .with("generation", generation);
            audit_append(&mut tx, ctx, entry).await?;
            let (allow, id, now) = (Arc::clone(&self.allow), peer.id, ctx.now);
            tx.on_commit(move || allow.supersede(id, |older| older < generation, now));
        }
        let stop = self
            .renew_leases(&mut tx, ctx, peer, &hello.attempts)
            .await?;
        ctx.bus
            .publish_on_commit(&mut tx, Event::Agent { id: peer.id });
        tx.commit().await?;
        Ok(stop)
    }
}

fn machine_id(hello: &Hello) -> String {
    let host = hello.host.as_ref();
    host.map(|host| wire::bounded(&host.machine_id))
        .unwrap_or_default()
}

/// Lets the time pass without the ban's `sleep`: nothing to wait for, with a bound.
async fn waited(span: Duration) {
    let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
}
