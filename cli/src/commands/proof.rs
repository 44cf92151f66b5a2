//! `provado proof`: signed results of drills.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, Limit};
use crate::names::{InstanceAndDatabase, optional, resource};
use crate::output::human::{self, Now};
use crate::output::{self, Column, Report, Table};
use provado_identity::PublicKey;
use provado_identity::signing;
use provado_proto::operator::v1::{
    GetProofRequest, GetSelfRequest, ListProofsRequest, ListProofsResponse, Proof,
};

/// What to do with proofs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List proofs, newest first.
    #[command(after_help = "Examples:\n  provado proof list db1/shop\n  \
        provado proof list --backup latest:db1/shop")]
    List(ListArgs),
    /// Show one proof: the document that was signed.
    #[command(after_help = "Example: provado proof show 01932f7e-1234")]
    Show {
        /// An id, or a unique beginning of one.
        proof: String,
    },
    /// Verify both signatures of a proof.
    #[command(after_help = "Example: provado proof verify 01932f7e-1234")]
    Verify {
        /// An id, or a unique beginning of one.
        proof: String,
    },
}

/// Arguments of `proof list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this instance or database.
    #[arg(value_name = "INSTANCE[/DATABASE]")]
    target: Option<String>,
    /// Only of this backup: `latest:INSTANCE/DATABASE`, an id, or a unique beginning of one.
    #[arg(long, value_name = "BACKUP")]
    backup: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => list(context, args).await,
        Command::Show { proof } => {
            let proof = get(context, &proof).await?;
            context.print(&proof, facts)
        }
        Command::Verify { proof } => verify(context, &proof).await,
    }
}

async fn get(context: &Context, text: &str) -> Result<Proof> {
    let request = GetProofRequest {
        name: resource("proofs", text),
    };
    let answer = context
        .proofs()
        .await?
        .get_proof(unary(request))
        .await?
        .into_inner();
    answer.proof.ok_or_else(|| CliError::answer("the proof"))
}

async fn list(context: &Context, args: ListArgs) -> Result<Exit> {
    let target = args.target.as_deref();
    let target = target.map(InstanceAndDatabase::parse).transpose()?;
    let wanted = ListProofsRequest {
        instance: optional("instances", target.as_ref().map(|t| t.instance.as_str())),
        database_name: target.and_then(|t| t.database).unwrap_or_default(),
        backup: optional("backups", args.backup.as_deref()),
        ..ListProofsRequest::default()
    };
    let mut proofs = context.proofs().await?;
    let call = async |ask: Ask| {
        let request = ListProofsRequest {
            page_size: ask.size,
            page_token: ask.token,
            ..wanted.clone()
        };
        Ok(proofs.list_proofs(unary(request)).await?.into_inner())
    };
    listing::print(context, args.limit.limit, call, table).await
}

/// The proofs, one a line.
pub(crate) fn table(answer: &ListProofsResponse, now: &Now) -> Report {
    let mut table = Table::new(&[
        Column::Left("PROOF"),
        Column::Left("OF"),
        Column::Left("BACKUP"),
        Column::Left("SHOWS"),
        Column::Left("MADE"),
        Column::Right("TABLES"),
        Column::Right("ROWS"),
        Column::Right("RECOVERY"),
    ]);
    let chars = human::short_chars(answer.proofs.iter().map(|it| it.name.as_str()));
    for proof in &answer.proofs {
        table.row([
            human::cut(&proof.name, chars).to_owned(),
            subject(proof),
            human::short(&proof.backup).to_owned(),
            level(proof),
            now.show(proof.create_time.as_ref()),
            human::count(proof.table_count),
            human::count(proof.row_count),
            human::millis(proof.recovery_millis),
        ]);
    }
    let mut report = Report::new();
    report.table(
        &table,
        "No proofs here. Make one with `provado drill run latest:INSTANCE/DATABASE`.",
    );
    report
}

/// One proof, a fact a line, and the document that was signed.
pub(crate) fn facts(proof: &Proof, now: &Now) -> Report {
    let mut report = Report::new();
    report.fact("proof", human::last(&proof.name));
    report.fact("backup", human::short(&proof.backup));
    report.fact("of", subject(proof));
    report.fact("shows", level(proof));
    report.fact("made", now.show(proof.create_time.as_ref()));
    report.fact(
        "compared",
        format!(
            "{} tables, {} rows, {} large objects, {}",
            human::count(proof.table_count),
            human::count(proof.row_count),
            human::count(proof.large_object_count),
            human::bytes(proof.plain_bytes)
        ),
    );
    report.fact("recovery", human::millis(proof.recovery_millis));
    report.fact("server", &proof.server_version);
    report.fact("run", human::short(&proof.run));
    for remark in &proof.remarks {
        report.fact("remark", remark);
    }
    report.line("");
    report.document(&proof.document);
    report
}

async fn verify(context: &Context, text: &str) -> Result<Exit> {
    let proof = get(context, text).await?;
    let mut access = context.access().await?;
    let me = access
        .get_self(unary(GetSelfRequest {}))
        .await?
        .into_inner();
    let document = proof.document.as_bytes();
    let mut problems = Vec::new();
    for (who, key, signature) in [
        ("the agent", &proof.agent_public_key, &proof.agent_signature),
        (
            "the controller",
            &proof.controller_public_key,
            &proof.controller_signature,
        ),
    ] {
        let verified =
            PublicKey::from_slice(key).and_then(|key| signing::verify(&key, document, signature));
        if let Err(error) = verified {
            problems.push(format!(
                "the signature of {who} does not fit the document: {error}"
            ));
        }
    }
    if proof.controller_public_key != me.controller_public_key {
        problems.push("the proof was countersigned by another controller".to_owned());
    }
    if context.is_json() {
        let whole = problems.is_empty();
        output::line(
            &serde_json::json!({ "proof": proof.name, "verified": whole, "problems": problems })
                .to_string(),
        );
    } else {
        verdict(&proof, &problems).print();
    }
    Ok(match problems.as_slice() {
        [] => Exit::Done,
        _ => Exit::Difference,
    })
}

/// What verifying a proof came to.
pub(crate) fn verdict(proof: &Proof, problems: &[String]) -> Report {
    let mut report = Report::new();
    let name = human::short(&proof.name);
    if problems.is_empty() {
        report.line(format!(
            "proof {name} is verified: signed by its agent, countersigned by this controller"
        ));
        return report;
    }
    for problem in problems {
        report.problem(&format!("proof {name} does not hold: {problem}"));
    }
    report.note(format!(
        "  Do not rely on it. Make a new one: provado drill run {}",
        human::short(&proof.backup)
    ));
    report
}

/// `INSTANCE/DATABASE` that the backup came from.
fn subject(proof: &Proof) -> String {
    format!("{}/{}", human::last(&proof.instance), proof.database_name)
}

fn level(proof: &Proof) -> String {
    human::word(proof.level().as_str_name(), "PROOF_LEVEL_")
}
