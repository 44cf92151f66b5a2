//! `provado proof`: signed results of drills.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::names::{InstanceAndDatabase, optional, resource};
use crate::output::{self, Column, Table, human};
use provado_identity::PublicKey;
use provado_identity::signing;
use provado_proto::operator::v1::{GetProofRequest, GetSelfRequest, ListProofsRequest, Proof};

/// What to do with proofs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List proofs, newest first.
    List {
        /// Only of this instance or database.
        #[arg(value_name = "INSTANCE[/DATABASE]")]
        target: Option<String>,
        /// How many at most.
        #[arg(long, default_value = "50", value_name = "COUNT")]
        limit: i32,
    },
    /// Show one proof: the document that was signed.
    Show {
        /// An id, or a unique beginning of one.
        proof: String,
    },
    /// Verify both signatures of a proof.
    Verify {
        /// An id, or a unique beginning of one.
        proof: String,
    },
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List { target, limit } => list(context, target.as_deref(), limit).await,
        Command::Show { proof } => {
            let proof = get(context, &proof).await?;
            if context.is_json() {
                output::print_json(&proof)?;
            } else {
                print(context, &proof);
            }
            Ok(Exit::Done)
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

async fn list(context: &Context, target: Option<&str>, limit: i32) -> Result<Exit> {
    let target = target.map(InstanceAndDatabase::parse).transpose()?;
    let request = ListProofsRequest {
        page_size: limit,
        page_token: String::new(),
        instance: optional("instances", target.as_ref().map(|t| t.instance.as_str())),
        database_name: target.and_then(|t| t.database).unwrap_or_default(),
        backup: String::new(),
    };
    let answer = context
        .proofs()
        .await?
        .list_proofs(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
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
    for proof in &answer.proofs {
        table.row([
            human::short(&proof.name).to_owned(),
            format!("{}/{}", human::last(&proof.instance), proof.database_name),
            human::short(&proof.backup).to_owned(),
            level(proof),
            human::instant(proof.create_time.as_ref(), context.now()),
            human::count(proof.table_count),
            human::count(proof.row_count),
            human::millis(proof.recovery_millis),
        ]);
    }
    table.print("No proofs yet. Make one with `provado drill run latest:INSTANCE/DATABASE`.");
    Ok(Exit::Done)
}

fn print(context: &Context, proof: &Proof) {
    let field = |name: &str, value: String| output::line(&format!("{name:<16}{value}"));
    field("proof", human::last(&proof.name).to_owned());
    field("backup", human::last(&proof.backup).to_owned());
    field(
        "of",
        format!(
            "{}/{}",
            human::last(&proof.instance),
            output::human_line(&proof.database_name)
        ),
    );
    field("shows", level(proof));
    field(
        "made",
        human::instant(proof.create_time.as_ref(), context.now()),
    );
    field(
        "compared",
        format!(
            "{} tables, {} rows, {} large objects, {}",
            human::count(proof.table_count),
            human::count(proof.row_count),
            human::count(proof.large_object_count),
            human::bytes(proof.plain_bytes)
        ),
    );
    field("recovery", human::millis(proof.recovery_millis));
    field("server", proof.server_version.clone());
    for remark in &proof.remarks {
        field("remark", output::human_line(remark));
    }
    output::line("");
    output::line(&proof.document);
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
    } else if problems.is_empty() {
        output::line(&format!(
            "proof {} is verified: signed by its agent, countersigned by this controller",
            human::short(&proof.name)
        ));
    }
    if problems.is_empty() {
        return Ok(Exit::Done);
    }
    for problem in problems {
        output::problem(&problem);
    }
    Ok(Exit::Difference)
}

fn level(proof: &Proof) -> String {
    human::word(proof.level().as_str_name(), "PROOF_LEVEL_")
}
