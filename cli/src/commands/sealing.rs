//! An operator's identity rides along with one run, sealed to the agent's own key: the controller
//! relays what it cannot open.

use crate::context::{Context, unary};
use crate::error::{CliError, Result};
use crate::names::resource;
use provado_model::Kind;
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

/// The identity in `file`, sealed to the agent that will read the backup; nothing for no file.
pub(super) async fn seal_for_backup(
    context: &Context,
    backup_text: &str,
    file: Option<&Path>,
) -> Result<String> {
    let Some(file) = file else {
        return Ok(String::new());
    };
    let backup = backup(context, backup_text).await?;
    seal_for_agent(context, &backup.agent, file).await
}

/// The identity in `file`, sealed to an agent by its name.
pub(super) async fn seal_for_agent(context: &Context, agent: &str, file: &Path) -> Result<String> {
    let text = read_identity(file)?;
    let request = GetAgentRequest {
        name: agent.to_owned(),
    };
    let answer = context
        .fleet()
        .await?
        .get_agent(unary(request))
        .await?
        .into_inner();
    let agent = answer.agent.ok_or_else(|| CliError::answer("the agent"))?;
    let recipient: Recipient = agent
        .sealing_recipient
        .parse()
        .map_err(|_| CliError::answer("a sealing recipient of the agent"))?;
    keys::seal(text.as_bytes(), &[recipient]).map_err(|error| {
        CliError::new(
            Kind::Internal,
            format!("the identity could not be sealed: {error}"),
        )
    })
}

/// Reads an identity file and makes sure that it is one.
pub(super) fn read_identity(file: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|error| {
            CliError::new(
                Kind::NotFound,
                format!("cannot read the identity file {}: {error}", file.display()),
            )
        })?;
    Identity::from_file_text(&text).map_err(|error| {
        CliError::invalid(format!("{} is no identity file: {error}", file.display()))
    })?;
    Ok(text)
}
