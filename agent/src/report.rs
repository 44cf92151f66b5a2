//! Sends outcomes and log lines, over and over until the controller has them, and stores its word
//! on a backup beside the backup before an outcome is forgotten.

mod word;

use crate::executor::{LogBook, batch};
use crate::inbox::{Inbox, Word};
use crate::jobs::AttemptName;
use crate::link::{CallError, Connection, Link, call, connected, request};
use crate::outbox::{ControllerWord, Ended, Outbox};
use crate::wait::{Backoff, pause};
use crate::wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provado_identity::PublicKey;
use provado_model::id::{AttemptId, RequestId};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_model::{Reason, limits};
use provado_proto::agent::v1::report_service_client::ReportServiceClient;
use provado_proto::agent::v1::{
    AppendLogRequest, LogLine, ReportAttemptRequest, ReportAttemptResponse,
};
use provado_repository::Cancel;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Channel;

/// How long lines are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(300);
/// The first and the longest wait before a repeat.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
const AGAIN_MOST: Duration = Duration::from_secs(30);
/// Batches of one log that go in one round at most.
const BATCHES_MAX: usize = 16;
/// Tries to store the controller's word before that is given up: the backup is good without it.
const WORD_TRIES_MAX: u32 = 100;

/// What reports go with.
#[derive(Debug)]
pub struct Reporter {
    /// The way to the controller.
    pub link: Arc<Link>,
    /// Outcomes.
    pub outbox: Arc<Outbox>,
    /// What was promised.
    pub inbox: Arc<Inbox>,
    /// Log lines.
    pub logs: Arc<LogBook>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Who signs the controller's word.
    pub controller_key: PublicKey,
}

/// What became of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// Nothing is left to do.
    Done,
    /// Try again later.
    Again,
}

type Client = ReportServiceClient<Channel>;

impl Reporter {
    /// Sends until told to stop. Costs nothing while there is nothing to send.
    pub async fn run(self, stop: Cancel) {
        let mut current = self.link.connection();
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        let mut word_tries = HashMap::new();
        loop {
            let connection = tokio::select! {
                () = stop.canceled() => return,
                connection = connected(&mut current) => connection,
            };
            let Some(connection) = connection else {
                return;
            };
            let tried = tokio::select! {
                () = stop.canceled() => return,
                tried = self.round(&connection, &mut word_tries) => tried,
            };
            let wait = async {
                match tried {
                    Tried::Done => {
                        backoff.reset();
                        tokio::select! {
                            () = self.outbox.news() => {}
                            () = self.logs.news() => pause(GATHER).await,
                        }
                    }
                    Tried::Again => pause(backoff.next(&*self.entropy)).await,
                }
            };
            tokio::select! {
                () = stop.canceled() => return,
                // An outcome or a new connection does not wait for lines to gather.
                () = wait => {}
                () = self.outbox.news(), if tried == Tried::Done => {}
                _ = current.changed() => {}
            }
        }
    }

    async fn round(
        &self,
        connection: &Connection,
        word_tries: &mut HashMap<AttemptId, u32>,
    ) -> Tried {
        let mut client = ReportServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::REPORT_BYTES_MAX);
        let mut all = self.send_logs(&mut client).await;
        for ended in self.outbox.pending() {
            if self.settle(&mut client, ended, word_tries).await == Tried::Again {
                all = Tried::Again;
            }
        }
        all
    }

    /// Sends what lines there are. A log that grows faster than it is sent does not hold up
    /// outcomes: its rest goes in the next round.
    async fn send_logs(&self, client: &mut Client) -> Tried {
        for _ in 0..BATCHES_MAX {
            let batches = self.logs.batches();
            if batches.is_empty() {
                break;
            }
            let mut all = Tried::Done;
            for (name, lines) in batches {
                if self.append(client, name, lines).await == Tried::Again {
                    all = Tried::Again;
                }
            }
            if all == Tried::Again {
                return all;
            }
        }
        Tried::Done
    }

    /// Sends lines of an attempt in hand.
    async fn append(&self, client: &mut Client, name: AttemptName, lines: Vec<LogLine>) -> Tried {
        let last = lines.last().map_or(0, |line| line.sequence);
        match self.send_lines(client, name, lines).await {
            Ok(_) => self.logs.drop_to(name.attempt, last),
            Err(error) if is_final(&error) => {
                tracing::warn!(run.id = %name.run, "lines of the run's log were refused: {error}");
                self.logs.drop_to(name.attempt, last);
            }
            Err(error) => {
                tracing::debug!(run.id = %name.run, "lines could not be sent: {error}");
                return Tried::Again;
            }
        }
        Tried::Done
    }

    async fn send_lines(
        &self,
        client: &mut Client,
        name: AttemptName,
        lines: Vec<LogLine>,
    ) -> Result<i64, CallError> {
        let message = AppendLogRequest {
            attempt: Some(wire::attempt_ref(name, false)),
            lines,
            request_id: RequestId::new(&*self.clock, &*self.entropy).to_string(),
        };
        let answer = call(client.append_log(request(message))).await?;
        Ok(answer.sequence)
    }

    /// Brings one outcome one step nearer to being forgotten.
    async fn settle(
        &self,
        client: &mut Client,
        mut ended: Ended,
        word_tries: &mut HashMap<AttemptId, u32>,
    ) -> Tried {
        let name = ended.name;
        // The controller signs only what it holds for good.
        let mut word = match &ended.word {
            Some(_) => Word::Good,
            None => Word::Other,
        };
        if ended.word.is_none() {
            match self.report(client, &ended).await {
                Ok(answer) => {
                    tell_answer(name, &answer);
                    if answer.accepted {
                        word = Word::Good;
                    }
                    ended.word = controller_word(&answer);
                    if ended.word.is_some() && !self.keep(&ended) {
                        return Tried::Again;
                    }
                }
                Err(error) if is_final(&error) => tracing::error!(
                    run.id = %name.run,
                    attempt.id = %name.attempt,
                    error.reason = error.reason.map_or("", Reason::as_str),
                    "the outcome of an attempt was refused and is not reported again: {error}"
                ),
                Err(error) => {
                    tracing::warn!(
                        run.id = %name.run,
                        "an outcome could not be reported, trying again: {error}"
                    );
                    return Tried::Again;
                }
            }
        }
        if ended.word.is_some() && self.store_word(&ended, word_tries).await == Tried::Again {
            return Tried::Again;
        }
        word_tries.remove(&name.attempt);
        self.forget(name, word)
    }

    async fn report(
        &self,
        client: &mut Client,
        ended: &Ended,
    ) -> Result<ReportAttemptResponse, CallError> {
        let lines = ended.lines();
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            let part = batch(rest.iter());
            rest = rest.get(part.len()..).unwrap_or_default();
            match self.send_lines(client, ended.name, part).await {
                Err(error) if !is_final(&error) => return Err(error),
                // The outcome counts, with or without its last lines.
                Ok(_) | Err(_) => {}
            }
        }
        let message = ReportAttemptRequest {
            attempt: Some(wire::attempt_ref(ended.name, true)),
            epoch: ended.epoch,
            outcome: ended.outcome(),
            request_id: ended.request_id.clone(),
        };
        call(client.report_attempt(request(message))).await
    }

    async fn store_word(&self, ended: &Ended, word_tries: &mut HashMap<AttemptId, u32>) -> Tried {
        let name = ended.name;
        let tries = word_tries.entry(name.attempt).or_insert(0);
        *tries = tries.saturating_add(1);
        match word::store(ended, self.controller_key, &self.entropy).await {
            Ok(()) => Tried::Done,
            Err(error) if error.may_pass() && *tries < WORD_TRIES_MAX => {
                tracing::warn!(
                    run.id = %name.run,
                    "the controller's signature could not be stored beside the backup, trying \
                     again: {}",
                    provado_telemetry::chain(&error)
                );
                Tried::Again
            }
            Err(error) => {
                tracing::error!(
                    run.id = %name.run,
                    "the controller's signature is not stored beside the backup; the backup is \
                     good, but a catalogue rebuilt from the repository will lack it: {}",
                    provado_telemetry::chain(&error)
                );
                Tried::Done
            }
        }
    }

    fn keep(&self, ended: &Ended) -> bool {
        let kept = self.outbox.put(ended.clone());
        if let Err(error) = &kept {
            tracing::error!(
                "the journal cannot be written: {}",
                provado_telemetry::chain(error)
            );
        }
        kept.is_ok()
    }

    fn forget(&self, name: AttemptName, word: Word) -> Tried {
        // In this order: after a crash between the two the outcome is reported once more.
        let forgotten = self
            .inbox
            .settle(name, word)
            .and_then(|()| self.outbox.remove(name.attempt));
        match forgotten {
            Ok(()) => Tried::Done,
            Err(error) => {
                tracing::error!(
                    "the journal cannot forget an acknowledged outcome: {}",
                    provado_telemetry::chain(&error)
                );
                Tried::Again
            }
        }
    }
}

/// Whether a repeat would be answered in the same way for ever.
pub fn is_final(error: &CallError) -> bool {
    match error.reason {
        Some(reason) => matches!(
            reason,
            Reason::AttemptSuperseded
                | Reason::OutcomeConflict
                | Reason::NotYours
                | Reason::RunEnded
                | Reason::InvalidArgument
                | Reason::RequestIdReused
        ),
        None => error.code == Code::InvalidArgument,
    }
}

/// The controller's signature in an answer, where it gave one.
pub fn controller_word(answer: &ReportAttemptResponse) -> Option<ControllerWord> {
    let sign_time = answer.countersign_time.and_then(wire::instant)?;
    (answer.accepted && !answer.countersignature.is_empty()).then(|| ControllerWord {
        signature: STANDARD.encode(&answer.countersignature),
        sign_time,
    })
}

fn tell_answer(name: AttemptName, answer: &ReportAttemptResponse) {
    if answer.accepted {
        tracing::info!(
            run.id = %name.run,
            attempt.id = %name.attempt,
            "the outcome was acknowledged"
        );
    } else {
        tracing::warn!(
            run.id = %name.run,
            attempt.id = %name.attempt,
            "the controller has the outcome and does not hold it for a success: {}",
            answer.message
        );
    }
}
