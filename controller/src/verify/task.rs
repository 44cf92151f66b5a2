//! Looks at ended checks and drills, each once: load, judge, apply.

use super::model::{Proof, ProofLevel};
use super::plan::{self, Finding};
use super::store::{proof_insert, run_unverified, verification_insert};
use crate::db::Tx;
use crate::events::{Context, Topic};
use crate::fleet::store::agent::agent_by_id;
use crate::lifecycle::backup::{
    Backup, CheckStep, backup_check_apply, backup_get, pack_damage_clear, pack_damage_insert,
};
use crate::lifecycle::controller::Core;
use crate::lifecycle::facts::{DrillFacts, Facts};
use crate::lifecycle::run::{Run, run_get};
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use provado_identity::{PublicKey, SigningKey, sha256};
use provado_model::id::RunId;
use provado_model::{Error, Reason};
use std::sync::Arc;
use std::time::Duration;

/// Runs looked at by one activation.
const BATCH: u32 = 100;

/// Looks at ended checks and drills.
#[derive(Debug)]
pub struct VerifyTask {
    core: Core,
    key: Arc<SigningKey>,
}

impl VerifyTask {
    /// What wakes it.
    pub const TOPICS: &'static [Topic] = &[Topic::RunEnded];

    /// The task; `key` countersigns proofs.
    pub const fn new(core: Core, key: Arc<SigningKey>) -> Self {
        Self { core, key }
    }
}

#[async_trait]
impl Task for VerifyTask {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.core.task_context(self.name());
        let mut tx = self.core.db.read().await?;
        let runs = run_unverified(&mut tx, BATCH).await?;
        drop(tx);
        let mut more = Activity::Idle;
        let mut broken = None;
        for id in &runs {
            let mut tx = self.core.db.begin().await?;
            match self.verify(&mut tx, &ctx, *id).await {
                Ok(()) => tx.commit().await?,
                // Someone else changed the backup: it is looked at again, and before what ended
                // later, since of two findings the later one stands.
                Err(error) if error.reason == Reason::VersionStale => {
                    more = Activity::More;
                    break;
                }
                // One that cannot be understood must not hold up the others.
                Err(error) => broken = Some(error),
            }
            more = Activity::Done;
        }
        if let Some(error) = broken {
            return Err(error);
        }
        if u32::try_from(runs.len()).is_ok_and(|count| count >= BATCH) {
            more = Activity::More;
        }
        Ok(more)
    }
}

impl VerifyTask {
    async fn verify(&self, tx: &mut Tx, ctx: &Context, id: RunId) -> Result<(), Error> {
        let run = run_get(tx, id)
            .await?
            .ok_or_else(|| Error::internal(format!("run {id} vanished")))?;
        let facts = run.outcome.as_ref().map(Facts::from_json).transpose()?;
        let finding = plan::finding(&run, facts.as_ref());
        if !verification_insert(tx, ctx, id, finding.as_str()).await? {
            return Ok(());
        }
        let backup = match run.binding.backup_id {
            Some(id) => backup_get(tx, id).await?,
            None => None,
        };
        let Some(backup) = backup else {
            return Err(Error::internal(format!("run {id} is about no backup")));
        };
        match finding {
            Finding::Nothing => {}
            Finding::Found(step) => {
                backup_check_apply(tx, ctx, &backup, step).await?;
                match step {
                    CheckStep::FoundCorrupt => {
                        for pack in plan::damaged_packs(facts.as_ref()) {
                            pack_damage_insert(tx, ctx, pack, id).await?;
                        }
                    }
                    CheckStep::FoundReadable => pack_damage_clear(tx, backup.facts.id).await?,
                    // *Intact* holds bytes against the checksums that were written with them: it
                    // passes over what was wrong when it was written.
                    CheckStep::FoundIntact | CheckStep::FoundPresent | CheckStep::FoundProven => {}
                }
            }
            Finding::Proven(drill) => {
                let facts = facts.unwrap_or_default();
                let proof = self
                    .proof(tx, ctx, (&run, &backup), (&facts, &drill))
                    .await?;
                proof_insert(tx, ctx, &proof).await?;
                backup_check_apply(tx, ctx, &backup, CheckStep::FoundProven).await?;
            }
        }
        Ok(())
    }

    /// The proof of a drill. The agent's signature is held against its key once more: what is kept
    /// as a proof must verify for whoever reads it later.
    async fn proof(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        (run, backup): (&Run, &Backup),
        (facts, drill): (&Facts, &DrillFacts),
    ) -> Result<Proof, Error> {
        let missing = |what: &str| Error::internal(format!("drill {} has no {what}", run.id));
        let agent_id = run.binding.agent_id.ok_or_else(|| missing("agent"))?;
        let agent = agent_by_id(tx, agent_id).await?;
        let agent = agent.ok_or_else(|| missing("agent row"))?;
        let key: PublicKey = agent.signing_public_key.parse().map_err(|source| {
            Error::internal(format!("the key of agent {agent_id} is none")).caused_by(source)
        })?;
        let document = drill.proof_document.as_bytes();
        let signature = STANDARD
            .decode(&drill.proof_signature)
            .map_err(|source| missing("signature").caused_by(source))?;
        key.verify(document, &signature)
            .map_err(|source| missing("valid signature").caused_by(source))?;
        let countersignature = self
            .key
            .sign(document)
            .map_err(|source| Error::internal("the controller cannot sign").caused_by(source))?;
        Ok(Proof {
            id: drill.proof_id.ok_or_else(|| missing("proof id"))?,
            backup_id: backup.facts.id,
            run_id: run.id,
            agent_id,
            instance_id: backup.facts.instance_id,
            instance_name: backup.facts.instance_name.clone(),
            database_name: backup.facts.database_name.clone(),
            level: ProofLevel::Equal,
            create_time: ctx.now,
            start_time: facts.start_time.unwrap_or(ctx.now),
            end_time: facts.end_time.unwrap_or(ctx.now),
            table_count: drill.table_count,
            row_count: drill.row_count,
            large_object_count: drill.large_object_count,
            plain_bytes: drill.plain_bytes,
            recovery_millis: drill.recovery_millis,
            server_version: drill.server_version.clone(),
            remarks: drill.remarks.clone(),
            document: drill.proof_document.clone(),
            document_sha256: HEXLOWER.encode(&sha256(document)),
            agent_public_key: agent.signing_public_key,
            signature: drill.proof_signature.clone(),
            countersignature: Some(STANDARD.encode(countersignature.0)),
        })
    }
}
