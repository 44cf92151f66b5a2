//! Faults cease: one controller, every agent connected, nothing lost. Then every run must end.

use crate::agent::{End, HEARTBEAT};
use crate::network::{Fate, Packet};
use crate::world::World;

/// Rounds within which everything must have ended. One takes at most a heartbeat of the fleet's
/// time, and three attempts with their waits are far shorter than this.
const ROUNDS_MAX: usize = 200;

impl World {
    /// Lets everything come to its end; what has not is a violation.
    pub(crate) async fn calm_down(&mut self) -> Result<(), String> {
        self.log.push("calm".to_owned());
        self.only_one_controller().await?;
        let mut rest = 0;
        for _ in 0..ROUNDS_MAX {
            let before = self.picture.clone();
            self.everyone_connects().await?;
            self.agents_work().await?;
            self.all_tasks().await?;
            rest = if before == self.picture && self.nothing_left() {
                rest + 1
            } else {
                0
            };
            if rest == 2 {
                return Ok(());
            }
            self.advance(HEARTBEAT.as_secs());
        }
        let open = self.picture.runs.iter().filter(|(_, run)| !run.is_final());
        let open: Vec<_> = open.collect();
        let held: Vec<_> = self
            .agents
            .iter()
            .map(super::agent::SimAgent::held)
            .collect();
        Err(format!(
            "after {ROUNDS_MAX} rounds of calm these runs have not ended: {open:?}; agents hold \
             {held:?}"
        ))
    }

    /// The one that is not over goes on. Where only others are left, which can never dispatch
    /// again, a new one is started in their place.
    async fn only_one_controller(&mut self) -> Result<(), String> {
        let epoch = self.picture.epoch;
        let over = self.controllers.iter().filter(|it| it.core.epoch() < epoch);
        let over: Vec<usize> = over.map(|it| it.number).collect();
        for number in over {
            self.crash_controller(number);
        }
        if self.controllers.is_empty() {
            let number = self.start_controller().await;
            self.conclude(format!("c{number} starts")).await?;
        }
        Ok(())
    }

    async fn everyone_connects(&mut self) -> Result<(), String> {
        let controller = self.controllers[0].number;
        for number in 0..self.agents.len() {
            let ground = self.ground.clone();
            let agent = &mut self.agents[number];
            if agent.process.is_none() {
                agent.start(&ground, self.sabotage);
            }
            if agent.process.as_ref().unwrap().link.is_none() {
                let told = self.connect(number, controller).await?;
                self.conclude(told).await?;
            }
        }
        self.everything_arrives().await
    }

    async fn everything_arrives(&mut self) -> Result<(), String> {
        while !self.network.is_empty() {
            let told = self.deliver(0, Fate::Arrives).await?;
            self.conclude(told).await?;
        }
        Ok(())
    }

    /// Every attempt gets on and then ends well, every outcome is reported, every agent is heard.
    async fn agents_work(&mut self) -> Result<(), String> {
        let ground = self.ground.clone();
        for agent in 0..self.agents.len() {
            loop {
                let process = self.agents[agent].process.as_mut().unwrap();
                let Some(attempt) = process.at_work().first().copied() else {
                    break;
                };
                let message = process.progress(attempt);
                self.send(Packet::Up { agent, message });
                self.everything_arrives().await?;
                let sim = &mut self.agents[agent];
                if sim.process.as_ref().unwrap().live.contains_key(&attempt) {
                    sim.finish(attempt, End::Good, &ground);
                }
            }
            let process = self.agents[agent].process.as_ref().unwrap();
            let message = process.heartbeat();
            for ended in process.outbox.pending() {
                self.send_report(agent, ended);
            }
            self.send(Packet::Up { agent, message });
            self.everything_arrives().await?;
        }
        Ok(())
    }

    async fn all_tasks(&mut self) -> Result<(), String> {
        for task in 0..self.controllers[0].tasks.len() {
            let told = self.activate_task(0, task).await?;
            self.conclude(told).await?;
        }
        // What tasks have sent waits in the streams until these are looked at.
        for agent in 0..self.agents.len() {
            self.up(agent, None).await;
        }
        Ok(())
    }

    fn nothing_left(&self) -> bool {
        let all_final = self
            .picture
            .runs
            .values()
            .all(super::picture::RunRow::is_final);
        all_final && self.network.is_empty() && self.agents.iter().all(|it| it.held() == 0)
    }
}

impl crate::agent::SimAgent {
    /// Attempts that the agent has not forgotten.
    fn held(&self) -> usize {
        let process = self.process.as_ref();
        process.map_or(0, |it| {
            it.inbox.accepted().len() + it.outbox.pending().len()
        })
    }
}
