//! Who may call what: one table for both listeners, deny by default.

use super::caller::{Caller, Identity};
use provado_model::state::Role::{self, Auditor, Dba, Devops, Lead};
use provado_model::{Error, Reason};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Operators with one of these roles.
    Roles(&'static [Role]),
    /// Agents, each about its own.
    Agents,
    /// Anyone who reaches the listener, also without a certificate.
    Anyone,
}

/// Changes things: whoever is answerable for databases.
const WRITE: Access = Access::Roles(&[Dba, Lead]);
/// Shows things.
const READ: Access = Access::Roles(&[Dba, Lead, Devops]);
/// Shows what was done by whom.
const AUDIT: Access = Access::Roles(&[Dba, Lead, Auditor]);
/// Shows a caller itself, how the controller is, or what the API looks like.
const EVERY_ROLE: Access = Access::Roles(&[Dba, Lead, Devops, Auditor]);

/// Every method of both listeners by its path. A test holds the table against the descriptors.
pub const METHODS: &[(&str, Access)] = &[
    ("/provado.agent.v1.EnrollmentService/Enroll", Access::Anyone),
    ("/provado.agent.v1.SessionService/Session", Access::Agents),
    (
        "/provado.agent.v1.SessionService/SyncInventory",
        Access::Agents,
    ),
    (
        "/provado.agent.v1.SessionService/RenewCertificate",
        Access::Agents,
    ),
    (
        "/provado.agent.v1.ReportService/ReportAttempt",
        Access::Agents,
    ),
    ("/provado.agent.v1.ReportService/AppendLog", Access::Agents),
    ("/provado.operator.v1.FleetService/GetAgent", READ),
    ("/provado.operator.v1.FleetService/ListAgents", READ),
    ("/provado.operator.v1.FleetService/RevokeAgent", WRITE),
    ("/provado.operator.v1.FleetService/UnlockAgent", WRITE),
    ("/provado.operator.v1.FleetService/GetInstance", READ),
    ("/provado.operator.v1.FleetService/ListInstances", READ),
    (
        "/provado.operator.v1.RepositoryService/CreateRepository",
        WRITE,
    ),
    ("/provado.operator.v1.RepositoryService/GetRepository", READ),
    (
        "/provado.operator.v1.RepositoryService/ListRepositories",
        READ,
    ),
    ("/provado.operator.v1.RunService/RunBackup", WRITE),
    ("/provado.operator.v1.RunService/RunRestore", WRITE),
    ("/provado.operator.v1.RunService/RunCheck", WRITE),
    ("/provado.operator.v1.RunService/RunDrill", WRITE),
    ("/provado.operator.v1.RunService/RunPrune", WRITE),
    ("/provado.operator.v1.RunService/RunInspect", WRITE),
    ("/provado.operator.v1.RunService/RunInit", WRITE),
    ("/provado.operator.v1.RunService/RunScan", WRITE),
    ("/provado.operator.v1.RunService/GetRun", READ),
    ("/provado.operator.v1.RunService/ListRuns", READ),
    ("/provado.operator.v1.RunService/WatchRun", READ),
    ("/provado.operator.v1.RunService/StreamLogs", READ),
    ("/provado.operator.v1.RunService/CancelRun", WRITE),
    ("/provado.operator.v1.BackupService/GetBackup", READ),
    ("/provado.operator.v1.BackupService/ListBackups", READ),
    ("/provado.operator.v1.ProofService/GetProof", READ),
    ("/provado.operator.v1.ProofService/ListProofs", READ),
    ("/provado.operator.v1.AccessService/CreateJoinToken", WRITE),
    ("/provado.operator.v1.AccessService/ListJoinTokens", READ),
    ("/provado.operator.v1.AccessService/CreateCaller", WRITE),
    ("/provado.operator.v1.AccessService/ListCallers", READ),
    ("/provado.operator.v1.AccessService/RevokeCaller", WRITE),
    ("/provado.operator.v1.AccessService/GetSelf", EVERY_ROLE),
    (
        "/provado.operator.v1.ControllerService/GetController",
        EVERY_ROLE,
    ),
    (
        "/provado.operator.v1.ControllerService/AcceptAmnesia",
        WRITE,
    ),
    ("/provado.operator.v1.AuditService/ListAuditEvents", AUDIT),
    ("/provado.operator.v1.AuditService/ListCheckpoints", AUDIT),
    ("/provado.operator.v1.AuditService/VerifyChain", AUDIT),
    ("/grpc.health.v1.Health/Check", Access::Anyone),
    ("/grpc.health.v1.Health/Watch", Access::Anyone),
    ("/grpc.health.v1.Health/List", Access::Anyone),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        EVERY_ROLE,
    ),
];

/// Whether a method changes something for an operator.
pub fn is_change(method: &str) -> bool {
    METHODS
        .iter()
        .any(|(path, access)| *path == method && *access == WRITE)
}

/// Whether a caller may call a method. Errors: `CERTIFICATE_INVALID` for an anonymous caller,
/// `ROLE_FORBIDS` for every other one that may not, and for a method that is not in the table.
pub fn authorise(caller: &Caller, method: &str) -> Result<(), Error> {
    let access = METHODS
        .iter()
        .find(|(path, _)| *path == method)
        .map(|(_, access)| access);
    let allowed = match (access, &caller.identity) {
        (None, _) => false,
        (Some(Access::Anyone), _) => true,
        (Some(Access::Roles(roles)), Identity::Operator { role, .. }) => roles.contains(role),
        // Whoever runs the controller's own command line can read its database anyway.
        (Some(Access::Roles(_)), Identity::Local { .. }) => true,
        (Some(Access::Agents), Identity::Agent { .. }) => true,
        (Some(Access::Roles(_)), Identity::Agent { .. } | Identity::Anonymous)
        | (
            Some(Access::Agents),
            Identity::Operator { .. } | Identity::Local { .. } | Identity::Anonymous,
        ) => false,
    };
    if allowed {
        return Ok(());
    }
    Err(refusal(caller, method))
}

fn refusal(caller: &Caller, method: &str) -> Error {
    let verb = method.rsplit('/').next().unwrap_or(method);
    match &caller.identity {
        Identity::Anonymous => Error::new(
            Reason::CertificateInvalid,
            "this call needs an operator's certificate that the controller has issued; look which \
             profile is used",
        ),
        Identity::Operator { name, role, .. } => Error::new(
            Reason::RoleForbids,
            format!(
                "{name} has the role {role}, which does not allow {verb}; ask {} to do it, or for \
                 a caller of your own that may",
                allowed_to(method)
            ),
        )
        .with("role", role),
        Identity::Agent { .. } | Identity::Local { .. } => Error::new(
            Reason::RoleForbids,
            format!("this caller may not call {method}"),
        ),
    }
    .with("method", method)
}

/// Who may call a method, in words.
fn allowed_to(method: &str) -> String {
    let roles = METHODS.iter().find_map(|(path, access)| match access {
        Access::Roles(roles) if *path == method => Some(*roles),
        Access::Roles(_) | Access::Agents | Access::Anyone => None,
    });
    match roles {
        Some(roles) => {
            let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            format!("a caller with the role {}", words.join(" or "))
        }
        None => "whoever runs the controller".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::id::{AgentId, CallerId};
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn caller(identity: Identity) -> Caller {
        Caller {
            identity,
            peer: None,
        }
    }

    fn operator(role: Role) -> Caller {
        caller(Identity::Operator {
            id: CallerId::from_uuid(Uuid::from_u128(1)),
            name: "ana".into(),
            role,
        })
    }

    fn agent() -> Caller {
        caller(Identity::Agent {
            id: AgentId::from_uuid(Uuid::from_u128(2)),
            name: "db1".into(),
        })
    }

    /// Paths of every method in the descriptors of our own services.
    fn described() -> BTreeSet<String> {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(provado_proto::FILE_DESCRIPTOR_SET);
        let mut paths = BTreeSet::new();
        for file in set.unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    paths.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn the_table_has_every_method_once_and_no_other() {
        let ours: Vec<&str> = METHODS
            .iter()
            .map(|(path, _)| *path)
            .filter(|path| path.starts_with("/provado."))
            .collect();
        let set: BTreeSet<String> = ours.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(set.len(), ours.len(), "a method stands twice");
        assert_eq!(set, described());
    }

    #[test]
    fn every_role_on_every_method() {
        for (path, access) in METHODS {
            for role in Role::ALL {
                let expected = match access {
                    Access::Roles(roles) => roles.contains(role),
                    Access::Agents => false,
                    Access::Anyone => true,
                };
                let allowed = authorise(&operator(*role), path).is_ok();
                assert_eq!(allowed, expected, "{role} {path}");
                let changes = ["Run", "Create", "Revoke", "Cancel", "Unlock", "Accept"];
                let verb = path.rsplit('/').next().unwrap();
                if changes.iter().any(|change| verb.starts_with(change)) && verb != "RunService" {
                    let may_write = matches!(role, Dba | Lead);
                    assert_eq!(allowed, may_write, "{role} changes things by {path}");
                }
            }
            let for_agents = matches!(access, Access::Agents | Access::Anyone);
            assert_eq!(
                authorise(&agent(), path).is_ok(),
                for_agents,
                "agent {path}"
            );
            let open = matches!(access, Access::Anyone);
            let anonymous = authorise(&caller(Identity::Anonymous), path);
            assert_eq!(anonymous.is_ok(), open, "anonymous {path}");
        }
    }

    #[test]
    fn a_method_that_is_not_in_the_table_is_denied_to_everyone() {
        let path = "/provado.operator.v1.RunService/Format";
        for caller in [
            operator(Dba),
            agent(),
            caller(Identity::Local {
                name: "root".into(),
            }),
        ] {
            let error = authorise(&caller, path).unwrap_err();
            assert_eq!(error.reason, Reason::RoleForbids);
        }
        let error = authorise(&caller(Identity::Anonymous), path).unwrap_err();
        assert_eq!(error.reason, Reason::CertificateInvalid);
    }
}
