//! `provado audit`: the chain of what was done. `export` writes it to a file, `verify` recomputes
//! it: from the controller, or from an export with no controller at all.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::output::{self, Column, Table, human};
use provado_model::Kind;
use provado_model::audit_chain::{AuditRecord, ChainHead, ChainVerifier};
use provado_proto::operator::v1::{AuditEvent, ListAuditEventsRequest, VerifyChainRequest};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Events fetched at a time.
const PAGE: i32 = 500;

/// What to do with the audit chain.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List events, newest last.
    List {
        /// Start after this sequence.
        #[arg(long, default_value = "0", value_name = "SEQUENCE")]
        after: i64,
        /// How many at most.
        #[arg(long, default_value = "100", value_name = "COUNT")]
        limit: usize,
    },
    /// Write the whole chain to a file, one JSON object a line.
    #[command(after_help = "Example: provado audit export audit.jsonl && \
        provado audit verify audit.jsonl")]
    Export {
        /// The file to make; it must not exist.
        file: PathBuf,
    },
    /// Recompute the chain: of the controller, or of an export.
    Verify {
        /// An export; left out, the controller is asked and its answer recomputed here.
        file: Option<PathBuf>,
    },
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List { after, limit } => list(context, after, limit).await,
        Command::Export { file } => export(context, &file).await,
        Command::Verify { file: Some(file) } => verify_file(context, &file),
        Command::Verify { file: None } => verify(context).await,
    }
}

async fn list(context: &Context, after: i64, limit: usize) -> Result<Exit> {
    let mut table = Table::new(&[
        Column::Right("EVENT"),
        Column::Left("TIME"),
        Column::Left("WHO"),
        Column::Left("DID"),
        Column::Left("TO"),
        Column::Left("RESULT"),
        Column::Left("FROM"),
    ]);
    let mut shown = 0;
    each_event(context, after, |event| {
        if context.is_json() {
            output::print_json(event)?;
        } else {
            table.row([
                event.sequence.to_string(),
                human::instant(event.event_time.as_ref(), context.now()),
                human::or_dash(&format!("{} {}", event.caller_kind, event.caller_name)),
                event.action.clone(),
                format!(
                    "{} {}",
                    event.resource_kind,
                    human::short(&event.resource_name)
                ),
                event.outcome.clone(),
                human::or_dash(event.peer_address.as_deref().unwrap_or_default()),
            ]);
        }
        shown += 1;
        Ok(shown < limit)
    })
    .await?;
    if !context.is_json() {
        table.print("No events.");
    }
    Ok(Exit::Done)
}

async fn export(context: &Context, file: &Path) -> Result<Exit> {
    let trouble = |error: std::io::Error| {
        CliError::new(
            Kind::Unavailable,
            format!("cannot write {}: {error}", file.display()),
        )
    };
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file);
    let mut out = BufWriter::new(made.map_err(trouble)?);
    let mut count = 0;
    each_event(context, 0, |event| {
        let text = serde_json::to_string(&record(event)?)
            .map_err(|error| CliError::new(Kind::Internal, error.to_string()))?;
        writeln!(out, "{text}").map_err(trouble)?;
        count += 1;
        Ok(true)
    })
    .await?;
    out.flush()
        .and_then(|()| out.get_ref().sync_all())
        .map_err(trouble)?;
    output::note(&format!(
        "{} events are in {}",
        human::count(count),
        file.display()
    ));
    Ok(Exit::Done)
}

fn verify_file(context: &Context, file: &Path) -> Result<Exit> {
    let trouble = |error: std::io::Error| {
        CliError::new(
            Kind::NotFound,
            format!("cannot read {}: {error}", file.display()),
        )
    };
    let mut verifier = ChainVerifier::after(ChainHead::empty());
    for (index, text) in BufReader::new(std::fs::File::open(file).map_err(trouble)?)
        .lines()
        .enumerate()
    {
        let text = text.map_err(trouble)?;
        let parsed: std::result::Result<AuditRecord, _> = serde_json::from_str(&text);
        let pushed = parsed
            .map_err(|error| error.to_string())
            .and_then(|record| verifier.push(&record).map_err(|error| error.to_string()));
        if let Err(why) = pushed {
            return Ok(broken(context, &format!("line {}: {why}", index + 1)));
        }
    }
    Ok(whole(context, verifier.head()))
}

async fn verify(context: &Context) -> Result<Exit> {
    let mut audit = context.audit().await?;
    let told = audit
        .verify_chain(unary(VerifyChainRequest {}))
        .await?
        .into_inner();
    let mut verifier = ChainVerifier::after(ChainHead::empty());
    let mut why = None;
    each_event(context, 0, |event| {
        why = verifier
            .push(&record(event)?)
            .err()
            .map(|error| error.to_string());
        Ok(why.is_none())
    })
    .await?;
    if let Some(why) = why {
        return Ok(broken(context, &why));
    }
    // More events may have come in between; fewer must not.
    if i64::try_from(verifier.head().sequence).unwrap_or(i64::MAX) < told.event_count {
        return Ok(broken(
            context,
            "the controller counted more events than it gives out",
        ));
    }
    Ok(whole(context, verifier.head()))
}

fn whole(context: &Context, head: &ChainHead) -> Exit {
    if context.is_json() {
        output::line(
            &serde_json::json!({ "whole": true, "events": head.sequence, "head": head.hash })
                .to_string(),
        );
    } else {
        output::line(&format!(
            "the chain is whole: {} events, head {}",
            head.sequence,
            head.hash.get(..16).unwrap_or(&head.hash)
        ));
    }
    Exit::Done
}

fn broken(context: &Context, why: &str) -> Exit {
    if context.is_json() {
        output::line(&serde_json::json!({ "whole": false, "message": why }).to_string());
    } else {
        output::problem(&format!("the audit chain is broken: {why}"));
        output::note("  see docs/errors/AUDIT_CHAIN_BROKEN.md");
    }
    Exit::Difference
}

async fn each_event(
    context: &Context,
    after: i64,
    mut each: impl FnMut(&AuditEvent) -> Result<bool>,
) -> Result<()> {
    let mut audit = context.audit().await?;
    let mut page_token = String::new();
    loop {
        let request = ListAuditEventsRequest {
            page_size: PAGE,
            page_token,
            after_sequence: after,
            ..ListAuditEventsRequest::default()
        };
        let answer = audit.list_audit_events(unary(request)).await?.into_inner();
        for event in &answer.events {
            if !each(event)? {
                return Ok(());
            }
        }
        if answer.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = answer.next_page_token;
    }
}

fn record(event: &AuditEvent) -> Result<AuditRecord> {
    let time = event.event_time.as_ref().and_then(human::timestamp);
    let time = time.ok_or_else(|| CliError::answer("the time of an event"))?;
    Ok(AuditRecord {
        sequence: u64::try_from(event.sequence).unwrap_or(0),
        time_micros: time.as_microsecond(),
        caller_kind: event.caller_kind.clone(),
        caller_id: event.caller_id.clone(),
        caller_name: event.caller_name.clone(),
        agent_id: event.agent_id.clone(),
        peer_address: event.peer_address.clone(),
        action: event.action.clone(),
        resource_kind: event.resource_kind.clone(),
        resource_name: event.resource_name.clone(),
        outcome: event.outcome.clone(),
        request_id: event.request_id.clone(),
        detail_json: event.detail_json.clone(),
        previous_hash: hex(&event.previous_sha256),
        hash: hex(&event.event_sha256),
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
