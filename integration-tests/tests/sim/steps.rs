//! The next step, chosen from the seed.

use crate::agent::End;
use crate::network::{Fate, Packet, short};
use crate::world::World;
use provado_controller::supervisor::Activity;
use provado_model::{Error, Reason};

/// Controllers at the same time; the older of two is one that does not know that it is over.
const CONTROLLERS_MAX: usize = 2;

/// How far the clock may move at once, in seconds: less and more than an offer, a lease, a wait
/// before another attempt, and now and then than the deadline of a run.
const MOVES: &[i64] = &[
    1, 1, 1, 2, 2, 4, 4, 5, 7, 10, 10, 15, 20, 31, 31, 61, 61, 120, 600,
];
const LONG_MOVE: i64 = 8 * 24 * 3_600;

impl World {
    /// Chooses a step, does it and judges it.
    pub(crate) async fn step(&mut self) -> Result<(), String> {
        let told = match self.dice.below(100) {
            0..=27 => self.activate().await,
            28..=30 => self.activate_two().await,
            31..=60 => self.deliver_one().await,
            61..=84 => self.agent_acts().await,
            85..=90 => self.operator_asks().await,
            91..=96 => Ok(self.clock_moves()),
            _ => Ok(self.something_breaks().await),
        };
        let told = match told {
            Ok(told) => told,
            Err(violation) => {
                self.log.push("the step itself is wrong".to_owned());
                return Err(violation);
            }
        };
        self.conclude(told).await
    }

    async fn activate(&mut self) -> Result<String, String> {
        if self.controllers.is_empty() {
            return Ok(format!("c{} starts", self.start_controller().await));
        }
        let controller = self.dice.below(self.controllers.len());
        let task = self.dice.below(self.controllers[controller].tasks.len());
        self.activate_task(controller, task).await
    }

    /// One activation of one task. A controller that is over may fail, and must change nothing.
    pub(crate) async fn activate_task(
        &mut self,
        controller: usize,
        task: usize,
    ) -> Result<String, String> {
        let controller = &self.controllers[controller];
        self.acting = Some(controller.core.epoch());
        let is_over = controller.core.epoch() < self.picture.epoch;
        let task = &controller.tasks[task];
        let told = format!("c{} activates {}", controller.number, task.name());
        outcome(&told, &task.activate().await, is_over)
    }

    /// Two tasks of any controllers at the same time: what they do is mixed at every point where
    /// one of them waits for the database.
    async fn activate_two(&mut self) -> Result<String, String> {
        let mut pairs = Vec::new();
        for (at, controller) in self.controllers.iter().enumerate() {
            pairs.extend((0..controller.tasks.len()).map(|task| (at, task)));
        }
        let (Some(one), Some(other)) = (self.dice.pick(&pairs), self.dice.pick(&pairs)) else {
            return Ok("nobody activates anything".to_owned());
        };
        let name = |(controller, task): (usize, usize)| {
            let controller = &self.controllers[controller];
            format!("c{} {}", controller.number, controller.tasks[task].name())
        };
        let told = format!("at once {} and {}", name(one), name(other));
        let (one, other) = tokio::join!(
            self.controllers[one.0].tasks[one.1].activate(),
            self.controllers[other.0].tasks[other.1].activate()
        );
        let told = outcome(&told, &one, true)?;
        outcome(&told, &other, true)
    }

    async fn deliver_one(&mut self) -> Result<String, String> {
        if self.network.is_empty() {
            return Ok("nothing is on its way".to_owned());
        }
        // Mostly in order; now and then something else comes first.
        let index = if self.dice.chance(75) {
            0
        } else {
            self.dice.below(self.network.len())
        };
        let fate = match self.dice.below(100) {
            0..=79 => Fate::Arrives,
            80..=87 => Fate::ArrivesTwice,
            88..=92 => Fate::AnswerLost,
            _ => Fate::Lost,
        };
        self.deliver(index, fate).await
    }

    async fn agent_acts(&mut self) -> Result<String, String> {
        let number = self.dice.below(self.agents.len());
        let Some(process) = self.agents[number].process.as_mut() else {
            let ground = self.ground.clone();
            self.agents[number].start(&ground, self.sabotage);
            return Ok(format!("a{number} starts"));
        };
        match self.dice.below(100) {
            0..=17 => {
                let message = process.heartbeat();
                let agent = number;
                self.send(Packet::Up { agent, message });
                Ok(format!("a{number} sends a heartbeat"))
            }
            18..=54 => Ok(self.agent_works(number)),
            55..=74 => {
                let pending = process.outbox.pending();
                let Some(ended) = self.dice.pick(&pending) else {
                    return Ok(format!("a{number} has nothing to report"));
                };
                self.send_report(number, ended);
                Ok(format!("a{number} reports"))
            }
            75..=78 if process.link.is_some() => {
                process.link = None;
                Ok(format!("the stream of a{number} breaks"))
            }
            _ if process.link.is_some() && !self.dice.chance(10) => {
                Ok(format!("a{number} is connected"))
            }
            _ => {
                let controllers = self.controllers.iter().map(|it| it.number);
                let controllers: Vec<usize> = controllers.collect();
                match self.dice.pick(&controllers) {
                    Some(controller) => self.connect(number, controller).await,
                    None => Ok(format!("a{number} finds no controller")),
                }
            }
        }
    }

    fn agent_works(&mut self, number: usize) -> String {
        let process = self.agents[number].process.as_mut().unwrap();
        let Some(attempt) = self.dice.pick(&process.at_work()) else {
            return format!("a{number} has no work");
        };
        let name = short(&attempt.to_string()).to_owned();
        if self.dice.chance(45) {
            let message = process.progress(attempt);
            let agent = number;
            self.send(Packet::Up { agent, message });
            return format!("a{number} gets on with {name}");
        }
        let end = match self.dice.below(100) {
            0..=69 => End::Good,
            70..=77 => End::Failed,
            78..=85 => End::Damaged,
            86..=92 => End::Incomplete,
            _ => End::Stopped,
        };
        let ground = self.ground.clone();
        let end = self.agents[number].finish(attempt, end, &ground);
        format!("a{number} ends {name}: {end:?}")
    }

    fn clock_moves(&mut self) -> String {
        let seconds = if self.dice.chance(2) {
            LONG_MOVE
        } else {
            self.dice.pick(MOVES).unwrap()
        };
        self.advance(seconds);
        format!("{seconds} s pass")
    }

    async fn something_breaks(&mut self) -> String {
        let alive: Vec<usize> = self.controllers.iter().map(|it| it.number).collect();
        match self.dice.below(100) {
            0..=44 => {
                let number = self.dice.below(self.agents.len());
                self.agents[number].process = None;
                format!("a{number} crashes")
            }
            45..=69 if alive.len() < CONTROLLERS_MAX => {
                format!("c{} starts", self.start_controller().await)
            }
            _ => match self.dice.pick(&alive) {
                Some(number) => {
                    self.crash_controller(number);
                    format!("c{number} crashes")
                }
                None => format!("c{} starts", self.start_controller().await),
            },
        }
    }
}

fn outcome(told: &str, done: &Result<Activity, Error>, may_fail: bool) -> Result<String, String> {
    match done {
        Ok(activity) => Ok(format!("{told}: {activity:?}")),
        Err(error)
            if may_fail && matches!(error.reason, Reason::VersionStale | Reason::NameTaken) =>
        {
            Ok(format!("{told}: {}", error.reason.as_str()))
        }
        Err(error) => Err(format!("{told}: {}", error.chain())),
    }
}
