//! A proof as operators see it.

use super::model::{Proof, ProofLevel};
use crate::request::name_of;
use crate::request::wire::{size_out, time_out};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provado_identity::PublicKey;
use provado_model::Error;
use provado_proto::operator::v1 as wire;

/// Whether a message holds the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    Shown,
    Left,
}

/// The message for a proof.
pub(super) fn proof(
    proof: &Proof,
    instance: String,
    controller: &PublicKey,
    document: Document,
) -> Result<wire::Proof, Error> {
    let bytes = |what: &str, text: &str| {
        STANDARD.decode(text).map_err(|source| {
            Error::internal(format!("the {what} of proof {} is no base64", proof.id))
                .caused_by(source)
        })
    };
    let level = match proof.level {
        ProofLevel::Restored => wire::ProofLevel::Restored,
        ProofLevel::Equal => wire::ProofLevel::Equal,
        ProofLevel::EqualAndAssertions => wire::ProofLevel::EqualAndAssertions,
    };
    let countersignature = proof.countersignature.as_deref().unwrap_or_default();
    Ok(wire::Proof {
        name: name_of("proofs", proof.id),
        backup: name_of("backups", proof.backup_id),
        run: name_of("runs", proof.run_id),
        instance: name_of("instances", instance),
        database_name: proof.database_name.clone(),
        level: level.into(),
        create_time: Some(time_out(proof.create_time)),
        table_count: size_out(proof.table_count),
        row_count: size_out(proof.row_count),
        large_object_count: size_out(proof.large_object_count),
        plain_bytes: size_out(proof.plain_bytes),
        recovery_millis: size_out(proof.recovery_millis),
        server_version: proof.server_version.clone(),
        remarks: proof.remarks.clone(),
        document: match document {
            Document::Shown => proof.document.clone(),
            Document::Left => String::new(),
        },
        agent_signature: bytes("signature", &proof.signature)?,
        agent_public_key: bytes("agent's key", &proof.agent_public_key)?,
        controller_signature: bytes("countersignature", countersignature)?,
        controller_public_key: controller.as_bytes().to_vec(),
    })
}
