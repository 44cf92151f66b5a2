//! `provado join-token` and `provado caller`: who may join, who may call.

use crate::commands::backup::parse_span;
use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, ROWS_MAX};
use crate::names::resource;
use crate::output::human::{self, Now};
use crate::output::{self, Column, Report, Table};
use crate::profile::Profile;
use provado_identity::TlsKey;
use provado_identity::files::{self, FileError};
use provado_identity::pem;
use provado_model::{Reason, label};
use provado_proto::operator::v1::{
    Caller, CallerRole, CreateCallerRequest, CreateJoinTokenRequest, CreateJoinTokenResponse,
    GetSelfRequest, GetSelfResponse, JoinToken, ListCallersRequest, ListCallersResponse,
    ListJoinTokensRequest, ListJoinTokensResponse, RevokeCallerRequest,
};
use std::path::{Path, PathBuf};

/// What to do with join tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a one-time token with which one host may join, or one agent come back.
    #[command(
        after_help = "Example: provado join-token create --label env=prod --ttl 15m\n\
        Then, on the host: provado-agent join 'provado-join:…'\n\n\
        For an agent whose certificate has ended: provado join-token create --agent db1"
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
        /// The agent that comes back with it; its older certificates end, its lock is taken off.
        #[arg(long, value_name = "NAME", conflicts_with_all = ["labels", "name"])]
        agent: Option<String>,
    },
    /// List tokens, newest first; never their secrets.
    #[command(after_help = "Example: provado join-token list")]
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
    #[command(after_help = "Example: provado caller list")]
    List,
    /// End a caller's access for good.
    #[command(after_help = "Example: provado caller revoke ana --message 'left the team'")]
    Revoke {
        /// Its name.
        name: String,
        /// Why, for the audit.
        #[arg(long)]
        message: String,
    },
    /// Show who you are to the controller.
    #[command(name = "self", after_help = "Example: provado caller self")]
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

impl Role {
    /// As the API has it.
    fn wire(self) -> CallerRole {
        match self {
            Self::Dba => CallerRole::Dba,
            Self::Lead => CallerRole::Lead,
            Self::Devops => CallerRole::Devops,
            Self::Auditor => CallerRole::Auditor,
        }
    }
}

/// Carries out a command about join tokens.
pub(crate) async fn run_token(context: &Context, command: TokenCommand) -> Result<Exit> {
    match command {
        TokenCommand::Create {
            labels,
            ttl,
            name,
            agent,
        } => {
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
                agent: agent.map_or_else(String::new, |name| resource("agents", &name)),
            };
            let mut access = context.access().await?;
            let answer = access.create_join_token(unary(request)).await?.into_inner();
            context.print(&answer, join_line)
        }
        TokenCommand::List => list_tokens(context).await,
    }
}

async fn list_tokens(context: &Context) -> Result<Exit> {
    let mut access = context.access().await?;
    let call = async |ask: Ask| {
        let request = ListJoinTokensRequest {
            page_size: ask.size,
            page_token: ask.token,
        };
        Ok(access.list_join_tokens(unary(request)).await?.into_inner())
    };
    listing::print(context, ROWS_MAX, call, tokens).await
}

/// The join tokens, one a line.
pub(crate) fn tokens(answer: &ListJoinTokensResponse, now: &Now) -> Report {
    let mut table = Table::new(&[
        Column::Left("TOKEN"),
        Column::Left("FOR"),
        Column::Left("LABELS"),
        Column::Left("MADE"),
        Column::Left("ENDS"),
        Column::Left("USED BY"),
    ]);
    let chars = human::short_chars(answer.join_tokens.iter().map(|it| it.name.as_str()));
    for token in &answer.join_tokens {
        table.row([
            human::cut(&token.name, chars).to_owned(),
            whom(token),
            human::labels(&token.labels),
            now.show(token.create_time.as_ref()),
            now.show(token.expire_time.as_ref()),
            human::or_dash(human::last(&token.agent)),
        ]);
    }
    let mut report = Report::new();
    report.table(
        &table,
        "No join tokens. Make one with `provado join-token create`.",
    );
    report
}

/// Whom a token is for.
fn whom(token: &JoinToken) -> String {
    let name = human::or_dash(&token.agent_name);
    if token.bound_agent.is_empty() {
        return name;
    }
    format!("{name}, to come back")
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
            let mut access = context.access().await?;
            let answer = access.revoke_caller(unary(request)).await?.into_inner();
            let caller = answer.caller;
            let caller = caller.ok_or_else(|| CliError::answer("the caller"))?;
            context.print(&caller, caller_line)
        }
        CallerCommand::Me => {
            let mut access = context.access().await?;
            let answer = access.get_self(unary(GetSelfRequest {})).await?;
            context.print(&answer.into_inner(), self_line)
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
    let profile = Profile::load(context.profile.as_deref())?;
    // Whoever is made can call only with the key; so nobody is made before there is a place for it.
    let free = files::is_empty_or_absent(into).map_err(|error| unwritable(into, &error))?;
    if !free {
        return Err(CliError::new(
            Reason::NameTaken,
            format!(
                "{} exists already and was not overwritten; no caller was made. Name another \
                 directory with --into",
                into.display()
            ),
        ));
    }
    let internal = |error: &dyn std::error::Error| {
        CliError::new(
            Reason::Internal,
            format!("no key could be made for {name}: {error}; no caller was made"),
        )
    };
    let key = TlsKey::generate().map_err(|e| internal(&e))?;
    let request_der = key.request().map_err(|e| internal(&e))?;
    let request = CreateCallerRequest {
        request_id: context.request_id(),
        caller_id: name.clone(),
        role: role.wire().into(),
        certificate_request_pem: pem::encode_request(&request_der),
        ttl: Some(span(ttl)?),
        validate_only: false,
    };
    let mut access = context.access().await?;
    let answer = access.create_caller(unary(request)).await?.into_inner();
    files::create_private_set(
        into,
        &[
            ("authority.crt", answer.authority_pem.as_bytes()),
            ("operator.crt", answer.certificate_pem.as_bytes()),
            ("operator.key", key.to_pem().as_bytes()),
            ("profile.toml", profile.for_another().as_bytes()),
        ],
    )
    .map_err(|error| unwritable(into, &error))?;
    let caller = answer.caller;
    let caller = caller.ok_or_else(|| CliError::answer("the caller"))?;
    let exit = context.print(&caller, caller_line)?;
    output::note(&format!(
        "Use it with --profile {}",
        into.join("profile.toml").display()
    ));
    Ok(exit)
}

fn unwritable(into: &Path, error: &FileError) -> CliError {
    CliError::new(
        Reason::FileUnwritable,
        format!(
            "cannot make {}: {}; name a place that you may write",
            into.display(),
            provado_telemetry::chain(error)
        ),
    )
}

async fn list_callers(context: &Context) -> Result<Exit> {
    let mut access = context.access().await?;
    let call = async |ask: Ask| {
        let request = ListCallersRequest {
            page_size: ask.size,
            page_token: ask.token,
        };
        Ok(access.list_callers(unary(request)).await?.into_inner())
    };
    listing::print(context, ROWS_MAX, call, callers).await
}

/// The callers, one a line.
pub(crate) fn callers(answer: &ListCallersResponse, now: &Now) -> Report {
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
            role_word(caller),
            state_word(caller).to_owned(),
            now.show(caller.create_time.as_ref()),
            now.show(caller.certificate_expire_time.as_ref()),
        ]);
    }
    let mut report = Report::new();
    report.table(&table, "No callers.");
    report
}

/// One caller, in a line.
pub(crate) fn caller_line(caller: &Caller, now: &Now) -> Report {
    let mut report = Report::new();
    report.line(format!(
        "caller {}, role {}, {}; certificate ends {}",
        human::last(&caller.name),
        role_word(caller),
        state_word(caller),
        now.show(caller.certificate_expire_time.as_ref())
    ));
    report
}

/// Who asks, in a line.
pub(crate) fn self_line(answer: &GetSelfResponse, now: &Now) -> Report {
    let caller = answer.caller.clone().unwrap_or_default();
    let mut report = Report::new();
    report.line(format!(
        "{}, role {}, certificate ends {}; controller {}",
        human::last(&caller.name),
        role_word(&caller),
        now.show(caller.certificate_expire_time.as_ref()),
        answer.controller_version
    ));
    report
}

/// A new token's join string, and what to do with it.
pub(crate) fn join_line(answer: &CreateJoinTokenResponse, now: &Now) -> Report {
    let ends = answer.join_token.as_ref();
    let ends = ends.and_then(|token| token.expire_time.as_ref());
    let mut report = Report::new();
    report.line(&answer.join_string);
    report.note(format!(
        "It is told once, works once, and ends {}. On the host: provado-agent join '…'",
        now.show(ends)
    ));
    let bound = answer.join_token.as_ref();
    if let Some(token) = bound.filter(|token| !token.bound_agent.is_empty()) {
        report.note(format!(
            "It is for the agent {} alone: stop that first, and start it again afterwards.",
            token.agent_name
        ));
    }
    report
}

fn role_word(caller: &Caller) -> String {
    human::word(caller.role().as_str_name(), "CALLER_ROLE_")
}

fn state_word(caller: &Caller) -> &'static str {
    if caller.revoked { "revoked" } else { "active" }
}

fn span(text: &str) -> Result<prost_types::Duration> {
    Ok(prost_types::Duration {
        seconds: parse_span(text)?,
        nanos: 0,
    })
}
