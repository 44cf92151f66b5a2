//! Waiting for a run: a live line on a terminal, plain lines elsewhere, and its end as exit code.

mod summary;

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, ROWS_MAX};
use crate::output::{self, Report, human};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use provado_proto::common::v1::{Phase, Progress};
use provado_proto::operator::v1::{
    ListRunsRequest, ListRunsResponse, Run, RunFilter, RunState, WatchRunRequest,
};
use std::time::Duration;

pub(crate) use summary::{end, exit_of, gist, handle, kind_word, parts, state_word, subject};

/// Reconnections in a row before the watch gives up; the run goes on without it.
const RECONNECTS_MAX: u32 = 30;

/// Shows the run just asked for: waits for its end where that is wanted, else prints its name.
pub(crate) async fn follow(context: &Context, run: Option<Run>, wait: bool) -> Result<Exit> {
    let run = run.ok_or_else(|| CliError::answer("the run"))?;
    if !wait || run.name.is_empty() {
        return context.print(&run, |run, _| asked(run));
    }
    if !context.is_json() {
        started(&run).print();
    }
    let ended = until_end(context, &run.name).await?;
    print_end(context, &ended).await
}

/// A run that is going to be waited for.
pub(crate) fn started(run: &Run) -> Report {
    let mut report = Report::new();
    report.note(format!(
        "{} {} (run {})",
        kind_word(run),
        subject(run),
        handle(run)
    ));
    report
}

/// A run that nobody waits for: its id alone, for scripts.
pub(crate) fn asked(run: &Run) -> Report {
    let mut report = Report::new();
    if run.name.is_empty() {
        report.note("Nothing was changed: everything that can be checked now is in order.");
    } else {
        report.line(human::last(&run.name));
    }
    report
}

/// Prints a run that has ended, with its parts where it has some.
pub(crate) async fn print_end(context: &Context, run: &Run) -> Result<Exit> {
    if context.is_json() {
        output::print_json(run)?;
        return Ok(exit_of(run));
    }
    if run.part_count > 0 {
        // How the whole ended is known all the same.
        match parts_of(context, run).await {
            Ok(answer) => parts(&answer).print(),
            Err(error) => error.report().print(),
        }
    }
    end(run).print();
    Ok(exit_of(run))
}

async fn parts_of(context: &Context, run: &Run) -> Result<ListRunsResponse> {
    let mut runs = context.runs().await?;
    listing::all(ROWS_MAX, async |ask: Ask| {
        let request = ListRunsRequest {
            page_size: ask.size,
            page_token: ask.token,
            filter: Some(RunFilter {
                parent_run: run.name.clone(),
                ..RunFilter::default()
            }),
        };
        Ok(runs.list_runs(unary(request)).await?.into_inner())
    })
    .await
}

/// Watches a run until it has ended; a broken stream is taken up again.
pub(crate) async fn until_end(context: &Context, name: &str) -> Result<Run> {
    let mut display = Display::new();
    let mut after_sequence = 0;
    let mut failures = 0;
    loop {
        let request = WatchRunRequest {
            name: name.to_owned(),
            after_sequence,
        };
        let problem = match context.runs().await?.watch_run(request).await {
            Err(status) => status,
            Ok(response) => {
                let mut stream = response.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(update)) => {
                            failures = 0;
                            after_sequence = update.sequence;
                            let run = update.run.ok_or_else(|| CliError::answer("the run"))?;
                            if is_final(&run) {
                                display.clear();
                                return Ok(run);
                            }
                            display.show(&run);
                        }
                        Ok(None) => break tonic::Status::unavailable("the stream ended early"),
                        Err(status) => break status,
                    }
                }
            }
        };
        failures += 1;
        let error = CliError::from(problem);
        if !error.is_passing() || failures > RECONNECTS_MAX {
            display.clear();
            return Err(error);
        }
        display.say("the controller is away; trying again");
        pause().await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two tries to reach the controller"
)]
async fn pause() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Whether the run has ended.
pub(crate) fn is_final(run: &Run) -> bool {
    matches!(
        run.state(),
        RunState::Succeeded | RunState::Failed | RunState::Canceled | RunState::Skipped
    )
}

/// The live line, or plain lines where there is no terminal.
struct Display {
    bar: Option<ProgressBar>,
    last: String,
}

impl Display {
    fn new() -> Self {
        let bar = output::is_live().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(125));
            bar
        });
        Self {
            bar,
            last: String::new(),
        }
    }

    fn show(&mut self, run: &Run) {
        let text = describe(run);
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            return;
        }
        // Without a terminal one line a phase is enough; figures would flood a log.
        let phase = plain(run);
        if phase != self.last {
            output::note(&format!("  {phase}"));
            self.last = phase;
        }
    }

    fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None if self.last != text => {
                output::note(&format!("  {text}"));
                text.clone_into(&mut self.last);
            }
            None => {}
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn plain(run: &Run) -> String {
    match &run.progress {
        Some(progress) if run.state() == RunState::Running => phase_word(progress).to_owned(),
        _ if run.part_count > 0 => {
            format!(
                "{} of {} databases ended",
                run.ended_part_count, run.part_count
            )
        }
        _ if run.message.is_empty() => state_word(run.state()),
        _ => output::one_line(&format!("{}: {}", state_word(run.state()), run.message)),
    }
}

/// One line: phase, item, bytes, rate, what remains where that is known.
pub(crate) fn describe(run: &Run) -> String {
    let Some(progress) = run
        .progress
        .as_ref()
        .filter(|_| run.state() == RunState::Running)
    else {
        return plain(run);
    };
    let mut parts = vec![phase_word(progress).to_owned()];
    if !progress.item.is_empty() {
        parts.push(output::one_line(&progress.item));
    }
    let done = human::bytes(progress.done_bytes);
    match progress.total_bytes {
        Some(total) if total > 0 => parts.push(format!("{done} of {}", human::bytes(total))),
        _ if progress.done_bytes > 0 => parts.push(done),
        _ => {}
    }
    if let Some(total) = progress.total_count.filter(|total| *total > 0) {
        parts.push(format!("{} of {}", progress.done_count, total));
    }
    if progress.rate_bytes > 0 {
        parts.push(format!("{}/s", human::bytes(progress.rate_bytes)));
        if let Some(total) = progress
            .total_bytes
            .filter(|total| *total > progress.done_bytes)
        {
            let seconds = (total - progress.done_bytes) / progress.rate_bytes;
            parts.push(format!(
                "about {} left",
                human::millis(seconds.saturating_mul(1000))
            ));
        }
    }
    parts.join(" · ")
}

fn phase_word(progress: &Progress) -> &'static str {
    match progress.phase() {
        Phase::Unspecified => "working",
        Phase::Checking => "pre-checks",
        Phase::Inspecting => "reading the catalogs",
        Phase::Dumping => "dumping",
        Phase::ReadingBack => "reading back what was stored",
        Phase::Committing => "writing the manifest",
        Phase::StartingInstance => "starting a throw-away instance",
        Phase::Restoring => "restoring",
        Phase::Comparing => "comparing",
        Phase::Reading => "reading stored objects",
        Phase::Pruning => "sweeping",
        Phase::CleaningUp => "cleaning up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_line_says_what_is_known() {
        let run = |progress: Progress| Run {
            state: RunState::Running.into(),
            progress: Some(progress),
            ..Run::default()
        };
        let mut progress = Progress {
            phase: Phase::Dumping.into(),
            item: "public.orders".into(),
            done_bytes: 10 * 1024 * 1024,
            rate_bytes: 5 * 1024 * 1024,
            ..Progress::default()
        };
        assert_eq!(
            describe(&run(progress.clone())),
            "dumping · public.orders · 10.0 MiB · 5.0 MiB/s"
        );
        progress.total_bytes = Some(60 * 1024 * 1024);
        assert_eq!(
            describe(&run(progress)),
            "dumping · public.orders · 10.0 MiB of 60.0 MiB · 5.0 MiB/s · about 10 s left"
        );
        let waiting = Run {
            state: RunState::Queued.into(),
            message: "waits for run 0193".into(),
            ..Run::default()
        };
        assert_eq!(describe(&waiting), "queued: waits for run 0193");
    }
}
