//! `provado audit`: the chain of what was done. `export` writes it to a file, `verify` recomputes
//! it: from the controller, or from an export with no controller at all.

use crate::connect::Line;
use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, Limit};
use crate::output::human::{self, Now};
use crate::output::{self, Column, Report, Table};
use provado_model::Reason;
use provado_model::audit_chain::{AuditRecord, ChainHead, ChainVerifier};
use provado_proto::operator::v1::audit_service_client::AuditServiceClient;
use provado_proto::operator::v1::{
    AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse, VerifyChainRequest,
};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// What to do with the audit chain.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List events, newest last.
    #[command(after_help = "Examples:\n  provado audit list --limit 20\n  \
        provado audit list --after 1200 -o json")]
    List {
        /// Start after the event of this number.
        #[arg(long, default_value = "0", value_name = "SEQUENCE")]
        after: i64,
        #[command(flatten)]
        limit: Limit,
    },
    /// Write the whole chain to a file, one JSON object a line.
    #[command(after_help = "Example: provado audit export audit.jsonl && \
        provado audit verify audit.jsonl")]
    Export {
        /// The file to make; it must not exist.
        file: PathBuf,
    },
    /// Recompute the chain: of the controller, or of an export.
    #[command(after_help = "Examples:\n  provado audit verify\n  \
        provado audit verify audit.jsonl")]
    Verify {
        /// An export; left out, the controller is asked and its answer recomputed here.
        file: Option<PathBuf>,
    },
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List { after, limit } => list(context, after, limit.limit).await,
        Command::Export { file } => export(context, &file).await,
        Command::Verify { file: Some(file) } => verify_file(context, &file),
        Command::Verify { file: None } => verify(context).await,
    }
}

async fn list(context: &Context, after: i64, rows_max: u32) -> Result<Exit> {
    let mut audit = context.audit().await?;
    let call = async |ask: Ask| events(&mut audit, after, ask).await;
    listing::print(context, rows_max, call, table).await
}

/// The events, one a line.
pub(crate) fn table(answer: &ListAuditEventsResponse, now: &Now) -> Report {
    let mut table = Table::new(&[
        Column::Right("EVENT"),
        Column::Left("TIME"),
        Column::Left("WHO"),
        Column::Left("DID"),
        Column::Left("TO"),
        Column::Left("OUTCOME"),
        Column::Left("FROM"),
    ]);
    let chars = human::short_chars(answer.events.iter().map(|it| it.resource_name.as_str()));
    for event in &answer.events {
        let who = format!("{} {}", event.caller_kind, event.caller_name);
        let what = human::cut(&event.resource_name, chars);
        table.row([
            event.sequence.to_string(),
            now.show(event.event_time.as_ref()),
            who.trim().to_owned(),
            event.action.clone(),
            format!("{} {what}", event.resource_kind).trim().to_owned(),
            event.outcome.clone(),
            human::or_dash(event.peer_address.as_deref().unwrap_or_default()),
        ]);
    }
    let mut report = Report::new();
    report.table(&table, "No events.");
    report
}

async fn export(context: &Context, file: &Path) -> Result<Exit> {
    let trouble = |error: std::io::Error| CliError::unwritable(file, &error);
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file);
    let mut out = BufWriter::new(made.map_err(trouble)?);
    let mut count = 0;
    each_event(context, |event| {
        let text = serde_json::to_string(&record(event)?)
            .map_err(|error| CliError::new(Reason::Internal, error.to_string()))?;
        writeln!(out, "{text}").map_err(trouble)?;
        count += 1;
        Ok(true)
    })
    .await?;
    out.flush()
        .and_then(|()| out.get_ref().sync_all())
        .map_err(trouble)?;
    if context.is_json() {
        let file = file.display().to_string();
        output::line(&serde_json::json!({ "file": file, "events": count }).to_string());
    } else {
        output::note(&format!(
            "{} events are in {}",
            human::count(count),
            file.display()
        ));
    }
    Ok(Exit::Done)
}

fn verify_file(context: &Context, file: &Path) -> Result<Exit> {
    let trouble = |error: std::io::Error| CliError::unreadable("the export", file, &error);
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
    each_event(context, |event| {
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
        damage(why).print();
    }
    Exit::Difference
}

/// A chain that is not what was written.
pub(crate) fn damage(why: &str) -> Report {
    let error = CliError::new(
        Reason::AuditChainBroken,
        format!(
            "the audit chain is broken: {why}. Keep it as it is, and compare it with an export \
             of before and with the checkpoints that agents keep"
        ),
    );
    error.report()
}

async fn events(
    audit: &mut AuditServiceClient<Line>,
    after: i64,
    ask: Ask,
) -> Result<ListAuditEventsResponse> {
    let request = ListAuditEventsRequest {
        page_size: ask.size,
        page_token: ask.token,
        after_sequence: after,
        ..ListAuditEventsRequest::default()
    };
    Ok(audit.list_audit_events(unary(request)).await?.into_inner())
}

/// Every event of the chain, page by page: a chain may be longer than memory.
async fn each_event(
    context: &Context,
    mut each: impl FnMut(&AuditEvent) -> Result<bool>,
) -> Result<()> {
    let mut audit = context.audit().await?;
    let call = async |ask: Ask| events(&mut audit, 0, ask).await;
    listing::each_page(u32::MAX, call, |page: ListAuditEventsResponse| {
        for event in &page.events {
            if !each(event)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
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
