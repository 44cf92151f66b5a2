//! `provado join-token` and `provado caller`: who may join, who may call.

use crate::commands::backup::parse_span;
use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::names::resource;
use crate::output::{self, Column, Table, human};
use provado_identity::TlsKey;
use provado_identity::{files, pem};
use provado_model::{Kind, label};
use provado_proto::operator::v1::{
    CallerRole, CreateCallerRequest, CreateJoinTokenRequest, GetSelfRequest, ListCallersRequest,
    ListJoinTokensRequest, RevokeCallerRequest,
};
use std::path::{Path, PathBuf};

/// What to do with join tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a one-time token with which one host may join.
    #[command(
        after_help = "Example: provado join-token create --label env=prod --ttl 15m\n\
        Then, on the host: provado-agent join 'provado-join:…'"
    )]
    Create {
        /// A label for the agent; may be repeated.
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// How long the token lives: `15m`, at most `24h`.
        #[arg(long, default_value = "15m", value_name = "SPAN")]
        ttl: String,
        /// The only name an agent may join with.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List tokens, newest first; never their secrets.
    List,
}

/// What to do with callers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CallerCommand {
    /// Make a caller: its key and certificate go into a directory, ready as a profile.
    #[command(
        after_help = "Example: provado caller create ana --role devops --into ana-profile\n\
        Then: provado --profile ana-profile/profile.toml agent list"
    )]
    Create {
        /// Its name.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: Role,
        /// How long the certificate lives: at most `90d`.
        #[arg(long, default_value = "30d", value_name = "SPAN")]
        ttl: String,
        /// The directory to make for key, certificate and profile.
        #[arg(long, value_name = "DIRECTORY")]
        into: PathBuf,
    },
    /// List callers.
    List,
    /// End a caller's access for good.
    Revoke {
        /// Its name.
        name: String,
        /// Why, for the audit.
        #[arg(long)]
        message: String,
    },
    /// Show who you are to the controller.
    #[command(name = "self")]
    Me,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Role {
    /// Everything.
    Dba,
    /// Everything.
    Lead,
    /// Read everything but the audit log.
    Devops,
    /// Read the audit log only.
    Auditor,
}

/// Carries out a command about join tokens.
pub(crate) async fn run_token(context: &Context, command: TokenCommand) -> Result<Exit> {
    match command {
        TokenCommand::Create { labels, ttl, name } => {
            let labels: Result<_> = labels
                .iter()
                .map(|text| label::parse(text).map_err(|e| CliError::invalid(e.to_string())))
                .collect();
            let request = CreateJoinTokenRequest {
                request_id: context.request_id(),
                ttl: Some(span(&ttl)?),
                labels: labels?,
                agent_name: name.unwrap_or_default(),
                validate_only: false,
            };
            let mut access = context.access().await?;
            let answer = access.create_join_token(unary(request)).await?.into_inner();
            if context.is_json() {
                output::print_json(&answer)?;
                return Ok(Exit::Done);
            }
            output::line(&answer.join_string);
            let ends = answer
                .join_token
                .as_ref()
                .and_then(|token| token.expire_time.as_ref());
            output::note(&format!(
                "It is told once, works once, and ends {}. On the host: provado-agent join '…'",
                human::instant(ends, context.now())
            ));
            Ok(Exit::Done)
        }
        TokenCommand::List => list_tokens(context).await,
    }
}

async fn list_tokens(context: &Context) -> Result<Exit> {
    let request = ListJoinTokensRequest {
        page_size: 100,
        page_token: String::new(),
    };
    let answer = context
        .access()
        .await?
        .list_join_tokens(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        Column::Left("TOKEN"),
        Column::Left("LABELS"),
        Column::Left("MADE"),
        Column::Left("ENDS"),
        Column::Left("USED BY"),
    ]);
    for token in &answer.join_tokens {
        table.row([
            human::short(&token.name).to_owned(),
            human::labels(&token.labels),
            human::instant(token.create_time.as_ref(), context.now()),
            human::instant(token.expire_time.as_ref(), context.now()),
            human::or_dash(human::last(&token.agent)),
        ]);
    }
    table.print("No join tokens.");
    Ok(Exit::Done)
}

/// Carries out a command about callers.
pub(crate) async fn run_caller(context: &Context, command: CallerCommand) -> Result<Exit> {
    match command {
        CallerCommand::Create {
            name,
            role,
            ttl,
            into,
        } => create(context, name, role, &ttl, &into).await,
        CallerCommand::List => list_callers(context).await,
        CallerCommand::Revoke { name, message } => {
            let request = RevokeCallerRequest {
                request_id: context.request_id(),
                name: resource("callers", &name),
                message,
                validate_only: false,
            };
            context
                .access()
                .await?
                .revoke_caller(unary(request))
                .await?;
            output::note(&format!("caller {name} may no longer call"));
            Ok(Exit::Done)
        }
        CallerCommand::Me => {
            let mut access = context.access().await?;
            let answer = access
                .get_self(unary(GetSelfRequest {}))
                .await?
                .into_inner();
            if context.is_json() {
                output::print_json(&answer)?;
                return Ok(Exit::Done);
            }
            let caller = answer
                .caller
                .ok_or_else(|| CliError::answer("the caller"))?;
            output::line(&format!(
                "{}, role {}, certificate ends {}; controller {}",
                human::last(&caller.name),
                human::word(caller.role().as_str_name(), "CALLER_ROLE_"),
                human::instant(caller.certificate_expire_time.as_ref(), context.now()),
                answer.controller_version
            ));
            Ok(Exit::Done)
        }
    }
}

async fn create(
    context: &Context,
    name: String,
    role: Role,
    ttl: &str,
    into: &Path,
) -> Result<Exit> {
    let trouble = |e: &dyn std::fmt::Display| {
        CliError::new(
            Kind::Unavailable,
            format!("cannot make {}: {e}", into.display()),
        )
    };
    let profile = crate::profile::Profile::load(context.profile.as_deref())?;
    let key = TlsKey::generate().map_err(|e| trouble(&e))?;
    let request_der = key.request().map_err(|e| trouble(&e))?;
    let request = CreateCallerRequest {
        request_id: context.request_id(),
        caller_id: name.clone(),
        role: match role {
            Role::Dba => CallerRole::Dba,
            Role::Lead => CallerRole::Lead,
            Role::Devops => CallerRole::Devops,
            Role::Auditor => CallerRole::Auditor,
        }
        .into(),
        certificate_request_pem: pem::encode_request(&request_der),
        ttl: Some(span(ttl)?),
        validate_only: false,
    };
    let answer = context
        .access()
        .await?
        .create_caller(unary(request))
        .await?
        .into_inner();
    let server_name = profile
        .server_name
        .map(|n| format!("server_name = {n:?}\n"));
    let text = format!(
        "endpoint = {:?}\n{}authority_file = \"authority.crt\"\n\
         certificate_file = \"operator.crt\"\nkey_file = \"operator.key\"\n",
        profile.endpoint,
        server_name.unwrap_or_default()
    );
    files::create_private_set(
        into,
        &[
            ("authority.crt", answer.authority_pem.as_bytes()),
            ("operator.crt", answer.certificate_pem.as_bytes()),
            ("operator.key", key.to_pem().as_bytes()),
            ("profile.toml", text.as_bytes()),
        ],
    )
    .map_err(|e| trouble(&e))?;
    output::note(&format!(
        "Caller {name} is made. Use it with --profile {}",
        into.join("profile.toml").display()
    ));
    Ok(Exit::Done)
}

async fn list_callers(context: &Context) -> Result<Exit> {
    let request = ListCallersRequest {
        page_size: 1000,
        page_token: String::new(),
    };
    let answer = context
        .access()
        .await?
        .list_callers(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        Column::Left("CALLER"),
        Column::Left("ROLE"),
        Column::Left("STATE"),
        Column::Left("MADE"),
        Column::Left("CERTIFICATE ENDS"),
    ]);
    for caller in &answer.callers {
        table.row([
            human::last(&caller.name).to_owned(),
            human::word(caller.role().as_str_name(), "CALLER_ROLE_"),
            if caller.revoked {
                "revoked".to_owned()
            } else {
                "active".to_owned()
            },
            human::instant(caller.create_time.as_ref(), context.now()),
            human::instant(caller.certificate_expire_time.as_ref(), context.now()),
        ]);
    }
    table.print("No callers.");
    Ok(Exit::Done)
}

fn span(text: &str) -> Result<prost_types::Duration> {
    Ok(prost_types::Duration {
        seconds: parse_span(text)?,
        nanos: 0,
    })
}
