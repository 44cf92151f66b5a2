//! What is on its way, and what becomes of it.

use crate::agent::SimAgent;
use crate::controller::Answer;
use crate::report::Report;
use crate::world::World;
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;

/// Messages on their way at most; the oldest are lost beyond.
const WAITING_MAX: usize = 60;

/// One message on its way.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    /// From an agent, by whichever stream it has when this arrives.
    Up { agent: usize, message: Up },
    /// To an agent, in whichever life it is when this arrives.
    Down { agent: usize, message: Down },
    /// A report, which is a call: its answer comes back to the life that made it.
    Report { agent: usize, report: Box<Report> },
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    /// It arrives and stays on its way, to arrive once more.
    ArrivesTwice,
    /// A call arrives, and its answer does not.
    AnswerLost,
    Lost,
}

impl World {
    pub(crate) fn send(&mut self, packet: Packet) {
        self.network.push(packet);
        if self.network.len() > WAITING_MAX {
            self.network.remove(0);
        }
    }

    /// Lets one message meet its fate.
    pub(crate) async fn deliver(&mut self, index: usize, fate: Fate) -> Result<String, String> {
        let packet = match fate {
            Fate::ArrivesTwice => self.network[index].clone(),
            Fate::Arrives | Fate::AnswerLost | Fate::Lost => self.network.remove(index),
        };
        let told = format!("{fate:?}: {}", name_of(&packet));
        if fate == Fate::Lost {
            return Ok(told);
        }
        let came = match packet {
            Packet::Up { agent, message } => self.up(agent, Some(message)).await,
            Packet::Down { agent, message } => self.down(agent, message)?,
            Packet::Report { agent, report } => {
                self.report(agent, *report, fate != Fate::AnswerLost).await
            }
        };
        Ok(format!("{told}: {came}"))
    }

    /// Gives a message to the agent's stream, and takes what comes down.
    pub(crate) async fn up(&mut self, agent: usize, message: Option<Up>) -> String {
        let process = self.agents[agent].process.as_mut();
        let Some(mut link) = process.and_then(|process| process.link.take()) else {
            return "there is no stream".to_owned();
        };
        self.acting = Some(self.controller(link.controller).core.epoch());
        let Answer { down, is_open } = link.exchange(message).await;
        let came = format!("{} came down", down.len());
        for message in down {
            self.send(Packet::Down { agent, message });
        }
        if !is_open {
            return format!("{came}, and the stream ended");
        }
        if let Some(process) = self.agents[agent].process.as_mut() {
            process.link = Some(link);
        }
        came
    }

    fn down(&mut self, agent: usize, message: Down) -> Result<String, String> {
        let ground = self.ground.clone();
        let sim: &mut SimAgent = &mut self.agents[agent];
        let before = sim.starts.len();
        let answers = sim.take(message, &ground)?;
        let started = sim.starts.len() > before;
        if started && let Some(wrong) = crate::agent::check_starts(&sim.starts).pop() {
            return Err(wrong);
        }
        let told = answers.iter().map(up_name).collect::<Vec<_>>().join(", ");
        for message in answers {
            self.send(Packet::Up { agent, message });
        }
        Ok(if told.is_empty() {
            "taken".to_owned()
        } else {
            told
        })
    }
}

/// The last digits of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}

fn name_of(packet: &Packet) -> String {
    match packet {
        Packet::Up { agent, message } => format!("a{agent} up {}", up_name(message)),
        Packet::Down { agent, message } => format!("a{agent} down {}", down_name(message)),
        Packet::Report { agent, report } => {
            let name = report.ended.name;
            let attempt = name.attempt.to_string();
            format!("a{agent} report {} #{}", short(&attempt), name.fence)
        }
    }
}

fn attempt_of(attempt: Option<&provado_proto::agent::v1::AttemptRef>) -> String {
    attempt.map_or_else(String::new, |it| {
        format!("{} #{}", short(&it.attempt_id), it.fence)
    })
}

pub(crate) fn up_name(message: &Up) -> String {
    match message {
        Up::Hello(hello) => format!("hello with {} attempts", hello.attempts.len()),
        Up::Heartbeat(beat) => format!("heartbeat with {} attempts", beat.attempts.len()),
        Up::AttemptAccepted(it) => format!("accepted {}", attempt_of(it.attempt.as_ref())),
        Up::AttemptRefused(it) => format!(
            "refused {} ({})",
            attempt_of(it.attempt.as_ref()),
            it.failure.as_ref().map_or("", |it| it.reason.as_str())
        ),
        Up::AttemptProgress(it) => format!("progress {}", attempt_of(it.attempt.as_ref())),
    }
}

fn down_name(message: &Down) -> String {
    match message {
        Down::Welcome(welcome) => format!("welcome in epoch {}", welcome.epoch),
        Down::StartAttempt(start) => format!(
            "start {} in epoch {}",
            attempt_of(start.attempt.as_ref()),
            start.epoch
        ),
        Down::CancelAttempt(it) => format!("cancel {}", attempt_of(it.attempt.as_ref())),
        Down::HeartbeatAck(ack) => {
            format!(
                "ack, {} attempts to be stopped",
                ack.superseded_attempts.len()
            )
        }
        Down::Drain(_) => "drain".to_owned(),
        Down::RenewNow(_) => "renew".to_owned(),
    }
}
