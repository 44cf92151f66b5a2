//! `provado controller`: the controller itself, and whether its database is an older copy.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::output::Report;
use crate::output::human::Now;
use provado_proto::operator::v1::{AcceptAmnesiaRequest, Controller, GetControllerRequest};

/// What to do with the controller.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show its epoch, and whether agents know more than its database.
    #[command(after_help = "Example: provado controller show")]
    Show,
    /// Agree to go on with a database that is older than what agents know.
    ///
    /// Restores and deletes are allowed again. What the database has lost stays lost, but for
    /// backups: `provado repository scan` brings them back.
    #[command(
        after_help = "Example:\n  provado controller show\n  provado controller accept-amnesia \
        --epoch 8 --message 'restored from last night'"
    )]
    AcceptAmnesia {
        /// The epoch that `provado controller show` tells: what was read is what is agreed to.
        #[arg(long, value_name = "NUMBER")]
        epoch: i64,
        /// Why, for the audit.
        #[arg(long)]
        message: String,
        /// Check only; change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Show => {
            let shown = get(context).await?;
            context.print(&shown, facts)
        }
        Command::AcceptAmnesia {
            epoch,
            message,
            dry_run,
        } => accept(context, epoch, message, dry_run).await,
    }
}

async fn get(context: &Context) -> Result<Controller> {
    let mut controller = context.controller().await?;
    let answer = controller
        .get_controller(unary(GetControllerRequest {}))
        .await?
        .into_inner();
    answer
        .controller
        .ok_or_else(|| CliError::answer("the controller"))
}

async fn accept(context: &Context, epoch: i64, message: String, dry_run: bool) -> Result<Exit> {
    let before = get(context).await?;
    let request = AcceptAmnesiaRequest {
        request_id: context.request_id(),
        validate_only: dry_run,
        epoch,
        message,
    };
    let mut controller = context.controller().await?;
    let answer = controller
        .accept_amnesia(unary(request))
        .await?
        .into_inner();
    let after = answer
        .controller
        .ok_or_else(|| CliError::answer("the controller"))?;
    context.print(&after, facts)?;
    let mut report = Report::new();
    report.note(match (before.amnesia, dry_run) {
        (None, _) => "There was nothing to agree to.",
        (Some(_), true) => "Nothing was changed: everything that can be checked now is in order.",
        (Some(_), false) => {
            "Restores and deletes are allowed again. Backups that the database has lost are \
             brought back by `provado repository scan REPOSITORY`."
        }
    });
    report.print();
    Ok(Exit::Done)
}

fn facts(controller: &Controller, now: &Now) -> Report {
    let mut report = Report::new();
    report.fact("controller", &controller.uid);
    report.fact("epoch", controller.epoch);
    if controller.accepted_epoch > 0 {
        let accepted = format!("in epoch {}", controller.accepted_epoch);
        report.fact("amnesia accepted", accepted);
    }
    let Some(amnesia) = &controller.amnesia else {
        report.fact("amnesia", "none");
        return report;
    };
    let since = now.show(amnesia.notice_time.as_ref());
    report.fact("amnesia", format!("since {since}"));
    report.fact("what is known", &amnesia.message);
    report.note(
        "The database is older than what agents know; restores and deletes wait. Is there a newer \
         copy? Then stop the controller and put that one in place. Else, for every repository: \
         `provado repository scan REPOSITORY`, and then:",
    );
    report.note(format!(
        "  provado controller accept-amnesia --epoch {} --message WHY",
        controller.epoch
    ));
    report
}
