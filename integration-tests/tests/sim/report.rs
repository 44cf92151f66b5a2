//! An outcome on its way from an agent's outbox until the agent may forget it.

use crate::agent::Process;
use crate::network::Packet;
use crate::sabotage::Sabotage;
use crate::world::{World, agent_caller, with_caller};
use provado_agent::inbox::Word;
use provado_agent::link::CallError;
use provado_agent::outbox::Ended;
use provado_agent::{report, wire};
use provado_controller::db::{Sql, Value};
use provado_proto::agent::v1::report_service_server::ReportService;
use provado_proto::agent::v1::{ReportAttemptRequest, ReportAttemptResponse};
use tonic::Status;

/// A report, and which life of the agent waits for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) process: String,
    pub(crate) ended: Ended,
}

/// What [`Sabotage::LowerFenceBelieved`] does in the place of a refusal.
const BELIEVE: Sql = Sql::both(
    "UPDATE attempt SET state = 'succeeded', version = version + 1 \
     WHERE id = $1 AND state = 'lost'",
);

impl World {
    /// Puts the report of an outcome on its way.
    pub(crate) fn send_report(&mut self, agent: usize, ended: Ended) {
        let process = self.agents[agent].process.as_ref().unwrap().id.clone();
        let report = Box::new(Report { process, ended });
        self.send(Packet::Report { agent, report });
    }

    /// A report arrives at the controller that the agent is connected to.
    pub(crate) async fn report(&mut self, agent: usize, sent: Report, answered: bool) -> String {
        let process = self.agents[agent].process.as_ref();
        let Some(link) = process.and_then(|process| process.link.as_ref()) else {
            return "there is no stream".to_owned();
        };
        let number = link.controller;
        self.acting = Some(self.controller(number).core.epoch());
        let ended = &sent.ended;
        let request = ReportAttemptRequest {
            attempt: Some(wire::attempt_ref(ended.name, true)),
            epoch: ended.epoch,
            outcome: ended.outcome(),
            request_id: ended.request_id.clone(),
        };
        let caller = agent_caller(&self.agents[agent].peer);
        let controller = self.controller(number);
        let answer = controller
            .reports
            .report_attempt(with_caller(request, caller))
            .await
            .map(tonic::Response::into_inner);
        if self.sabotage == Sabotage::LowerFenceBelieved && answer.is_err() {
            self.believe(&sent).await;
        }
        let told = match &answer {
            Ok(answer) if answer.accepted => "accepted".to_owned(),
            Ok(answer) => format!("not accepted: {:.60}", answer.message),
            Err(status) => format!("refused: {:.60}", status.message()),
        };
        if answered && let Some(process) = self.agents[agent].process.as_mut() {
            settle(process, sent, answer);
        }
        told
    }

    async fn believe(&self, sent: &Report) {
        let mut tx = self.ground.db.begin().await.unwrap();
        let attempt = Value::Text(Some(sent.ended.name.attempt.to_string()));
        tx.execute(BELIEVE, &[attempt]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// The answer reaches the life of the agent that waits for it: as the real one, it keeps the
/// controller's word, then forgets.
fn settle(process: &mut Process, sent: Report, answer: Result<ReportAttemptResponse, Status>) {
    let mut ended = sent.ended;
    if process.id != sent.process || !process.outbox.holds(ended.name.attempt) {
        return;
    }
    let mut word = match &ended.word {
        Some(_) => Word::Good,
        None => Word::Other,
    };
    match answer {
        Ok(answer) => {
            if answer.accepted {
                word = Word::Good;
            }
            ended.word = report::controller_word(&answer);
            if ended.word.is_some() {
                process.outbox.put(ended.clone()).unwrap();
            }
        }
        Err(status) if report::is_final(&CallError::from(status.clone())) => {}
        Err(_) => return,
    }
    process.inbox.settle(ended.name, word).unwrap();
    process.outbox.remove(ended.name.attempt).unwrap();
}
