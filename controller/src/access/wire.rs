//! Between the wire and the slice's own types.

use super::model::{Caller, CallerState, JoinTokenRecord};
use crate::request::Violations;
use crate::request::wire::time_out;
use provado_model::id::AgentId;
use provado_model::label::{self, Labels};
use provado_model::limits;
use provado_model::state::Role;
use provado_proto::operator::v1 as wire;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;

/// Longest PEM text of a certificate request, in bytes.
const REQUEST_PEM_BYTES_MAX: usize = 16 * 1024;

pub(super) fn check_labels(wrong: &mut Violations, labels: &Labels) {
    if labels.len() > limits::LABELS_MAX {
        wrong.add("labels", format!("must be at most {}", limits::LABELS_MAX));
    }
    for (key, value) in labels {
        if let Err(error) = label::check(key, value) {
            wrong.add("labels", error.to_string());
        }
    }
}

/// What a new agent gets does not go with a token for one that is there.
pub(super) fn check_bound(wrong: &mut Violations, request: &wire::CreateJoinTokenRequest) {
    if request.agent.is_empty() {
        return;
    }
    let rule = "must be empty where `agent` is given: it keeps its own";
    if !request.labels.is_empty() {
        wrong.add("labels", rule);
    }
    if !request.agent_name.is_empty() {
        wrong.add("agent_name", rule);
    }
}

pub(super) fn request_der(pem: &str) -> Option<Vec<u8>> {
    if pem.len() > REQUEST_PEM_BYTES_MAX {
        return None;
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(der.as_ref().to_vec())
}

pub(super) fn role_in(role: wire::CallerRole) -> Option<Role> {
    match role {
        wire::CallerRole::Unspecified => None,
        wire::CallerRole::Dba => Some(Role::Dba),
        wire::CallerRole::Lead => Some(Role::Lead),
        wire::CallerRole::Devops => Some(Role::Devops),
        wire::CallerRole::Auditor => Some(Role::Auditor),
    }
}

fn role_out(role: Role) -> wire::CallerRole {
    match role {
        Role::Dba => wire::CallerRole::Dba,
        Role::Lead => wire::CallerRole::Lead,
        Role::Devops => wire::CallerRole::Devops,
        Role::Auditor => wire::CallerRole::Auditor,
    }
}

pub(super) fn show_caller(caller: &Caller) -> wire::Caller {
    wire::Caller {
        name: format!("callers/{}", caller.name),
        uid: caller.id.to_string(),
        role: role_out(caller.role).into(),
        revoked: caller.state == CallerState::Revoked,
        create_time: Some(time_out(caller.create_time)),
        certificate_expire_time: caller.certificate_expire_time.map(time_out),
    }
}

pub(super) fn show_token(token: &JoinTokenRecord) -> wire::JoinToken {
    wire::JoinToken {
        name: format!("joinTokens/{}", token.id),
        labels: token.labels.clone(),
        agent_name: token.agent_name.clone().unwrap_or_default(),
        create_time: Some(time_out(token.create_time)),
        expire_time: Some(time_out(token.expire_time)),
        use_time: token.use_time.map(time_out),
        agent: agent_out(token.use_agent),
        bound_agent: agent_out(token.bound_agent),
    }
}

fn agent_out(id: Option<AgentId>) -> String {
    id.map(|id| format!("agents/{id}")).unwrap_or_default()
}
