//! An operator's identity rides along with one run, sealed to the agent's own key: the controller
//! relays what it cannot open.

use crate::context::{Context, unary};
use crate::error::{CliError, Result};
use crate::names::resource;
use crate::output::human;
use provado_model::Reason;
use provado_proto::operator::v1::{Backup, GetAgentRequest, GetBackupRequest};
use provado_repository::keys::{self, Identity, Recipient};
use std::path::Path;
use zeroize::Zeroizing;

/// Gets a backup by whatever name the operator used.
pub(super) async fn backup(context: &Context, text: &str) -> Result<Backup> {
    let request = GetBackupRequest {
        name: resource("backups", text),
    };
    let answer = context
        .backups()
        .await?
        .get_backup(unary(request))
        .await?
        .into_inner();
    answer.backup.ok_or_else(|| CliError::answer("the backup"))
}

/// The backup that a run is to read, and the identity to read it with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The backup's resource name.
    pub(super) backup: String,
    /// The identity, sealed to the agent that will read the backup; empty where none was given.
    pub(super) sealed_identity: String,
}

/// The backup that was named, with the identity in `file` sealed for it. `latest:` is looked up
/// here once where there is an identity, so that it is not sealed for one backup and used for a
/// newer one.
pub(super) async fn reading(context: &Context, text: &str, file: Option<&Path>) -> Result<Reading> {
    let Some(file) = file else {
        return Ok(Reading {
            backup: resource("backups", text),
            sealed_identity: String::new(),
        });
    };
    let backup = backup(context, text).await?;
    let sealed_identity = seal_for_agent(context, &backup.agent, file).await?;
    Ok(Reading {
        backup: backup.name,
        sealed_identity,
    })
}

/// The identity in `file`, sealed to an agent by its name.
pub(super) async fn seal_for_agent(context: &Context, agent: &str, file: &Path) -> Result<String> {
    let identity = read_identity(file)?;
    let request = GetAgentRequest {
        name: agent.to_owned(),
    };
    let mut fleet = context.fleet().await?;
    let answer = fleet.get_agent(unary(request)).await?.into_inner();
    let agent = answer.agent.ok_or_else(|| CliError::answer("the agent"))?;
    let recipient: Recipient = agent
        .sealing_recipient
        .parse()
        .map_err(|_| CliError::answer("a sealing recipient of the agent"))?;
    keys::seal(identity.as_bytes(), &[recipient]).map_err(|error| {
        CliError::new(
            Reason::Internal,
            format!(
                "the identity could not be sealed for the agent {}: {error}; nothing was started",
                human::last(&agent.name)
            ),
        )
    })
}

/// Reads an identity file and makes sure that it is one.
pub(super) fn read_identity(file: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|error| CliError::unreadable("the identity file", file, &error))?;
    Identity::from_file_text(&text).map_err(|error| {
        CliError::invalid(format!(
            "{} is no identity file: {error}. `provado key create` makes one; this must be one \
             whose recipient the repository has, see `provado repository show`",
            file.display()
        ))
    })?;
    Ok(text)
}
