//! What operators ask for, and that the same question gets the same answer.

use crate::controller::Controller;
use crate::network::short;
use crate::world::{DATABASES, World, instance_name, operator_caller, with_caller};
use provado_agent::link::CallError;
use provado_model::Reason;
use provado_model::id::RequestId;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::repository_service_server::RepositoryService;
use provado_proto::operator::v1::run_service_server::RunService;
use tonic::{Response, Status};

/// The recipient of the age specification's own example.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// One request.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Backup(operator::RunBackupRequest),
    Restore(operator::RunRestoreRequest),
    Check(operator::RunCheckRequest),
    Drill(operator::RunDrillRequest),
    Prune(operator::RunPruneRequest),
    Inspect(operator::RunInspectRequest),
    Init(operator::RunInitRequest),
    Cancel(operator::CancelRunRequest),
}

/// A request that was sent, with the name of the run that was answered, once it was.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    ask: Ask,
    run: Option<String>,
}

impl World {
    /// Declares and makes a repository for every agent; the runs are there to be worked on.
    pub(crate) async fn make_repositories(&mut self) -> Result<(), String> {
        for agent in 0..self.agents.len() {
            let request = operator::CreateRepositoryRequest {
                request_id: self.request_id(),
                validate_only: false,
                repository_id: format!("local{agent}"),
                kind: operator::RepositoryKind::File.into(),
                agent: format!("agents/db{agent}"),
                path: format!("/srv/local{agent}"),
                recipients: vec![RECIPIENT.to_owned()],
            };
            let repositories = &self.controllers[0].repositories;
            let request = with_caller(request, operator_caller());
            repositories.create_repository(request).await.unwrap();
            let init = Ask::Init(operator::RunInitRequest {
                request_id: self.request_id(),
                validate_only: false,
                repository: format!("repositories/local{agent}"),
            });
            let told = self.ask(0, init).await?;
            self.conclude(told).await?;
        }
        Ok(())
    }

    /// An operator asks for something: new, or what was asked for before.
    pub(crate) async fn operator_asks(&mut self) -> Result<String, String> {
        if self.controllers.is_empty() {
            return Ok("an operator finds no controller".to_owned());
        }
        let controller = self.dice.below(self.controllers.len());
        if self.dice.chance(20)
            && let Some(asked) = self.dice.pick(&self.asked)
        {
            return self.ask(controller, asked.ask).await;
        }
        match self.question() {
            Some(ask) => self.ask(controller, ask).await,
            None => Ok("an operator finds nothing to ask for".to_owned()),
        }
    }

    fn question(&mut self) -> Option<Ask> {
        let request_id = self.request_id();
        let agent = self.dice.below(self.agents.len());
        let backups: Vec<String> = self.picture.backups.keys().cloned().collect();
        let backup = self.dice.pick(&backups).map(|id| format!("backups/{id}"));
        Some(match self.dice.below(100) {
            0..=39 => Ask::Backup(operator::RunBackupRequest {
                request_id,
                instance: format!("instances/{}", instance_name(agent)),
                database_name: self.dice.pick(DATABASES[agent])?.to_owned(),
                no_queue: self.dice.chance(10),
                ..operator::RunBackupRequest::default()
            }),
            40..=46 => Ask::Backup(operator::RunBackupRequest {
                request_id,
                instance: format!("instances/{}", instance_name(agent)),
                ..operator::RunBackupRequest::default()
            }),
            47..=56 => Ask::Check(operator::RunCheckRequest {
                request_id,
                backup: backup?,
                sealed_identity: if self.dice.chance(30) {
                    "-----BEGIN AGE ENCRYPTED FILE-----\nx\n".to_owned()
                } else {
                    String::new()
                },
                ..operator::RunCheckRequest::default()
            }),
            57..=64 => Ask::Drill(operator::RunDrillRequest {
                request_id,
                backup: backup?,
                ..operator::RunDrillRequest::default()
            }),
            65..=70 => Ask::Restore(operator::RunRestoreRequest {
                request_id,
                backup: backup?,
                database_name: format!("back{}", self.dice.below(3)),
                ..operator::RunRestoreRequest::default()
            }),
            71..=74 => Ask::Prune(operator::RunPruneRequest {
                request_id,
                repository: format!("repositories/local{agent}"),
                ..operator::RunPruneRequest::default()
            }),
            75..=78 => Ask::Inspect(operator::RunInspectRequest {
                request_id,
                validate_only: false,
                agent: format!("db{agent}"),
            }),
            _ => {
                let open = self.picture.runs.iter().filter(|(_, run)| !run.is_final());
                let open: Vec<String> = open.map(|(id, _)| id.clone()).collect();
                Ask::Cancel(operator::CancelRunRequest {
                    request_id,
                    name: format!("runs/{}", self.dice.pick(&open)?),
                    message: "no longer wanted".to_owned(),
                    validate_only: false,
                })
            }
        })
    }

    async fn ask(&mut self, controller: usize, ask: Ask) -> Result<String, String> {
        let controller = &self.controllers[controller];
        self.acting = Some(controller.core.epoch());
        let answer = send(controller, ask.clone()).await;
        let told = format!("an operator asks c{}: {}", controller.number, name_of(&ask));
        let id = ask.request_id().to_owned();
        let before = self.asked.iter().find(|it| it.ask.request_id() == id);
        let before = before.and_then(|it| it.run.clone());
        match answer {
            Ok(run) => {
                if before.as_ref().is_some_and(|before| *before != run) {
                    return Err(format!("{told}: {run}, and {before:?} before"));
                }
                if !matches!(ask, Ask::Cancel(_)) {
                    let run = run.trim_start_matches("runs/");
                    self.roots.insert(run.to_owned());
                }
                let told = format!("{told}: run {}", short(&run));
                self.asked.retain(|it| it.ask.request_id() != id);
                self.asked.push(Asked {
                    ask,
                    run: Some(run),
                });
                Ok(told)
            }
            Err(status) => {
                let reason = CallError::from(status.clone()).reason;
                let expected = matches!(
                    reason,
                    Some(
                        Reason::RunEnded
                            | Reason::RunInProgress
                            | Reason::BackupUnusable
                            | Reason::VersionStale
                            // The simulation's clock leaps, and then nothing may be swept.
                            | Reason::ClockJumped
                    )
                );
                if before.is_some() || !expected {
                    return Err(format!("{told}: refused, {before:?} before: {status:?}"));
                }
                self.asked.push(Asked { ask, run: None });
                Ok(format!("{told}: {reason:?}"))
            }
        }
    }

    fn request_id(&self) -> String {
        RequestId::new(&*self.ground.clock, &*self.ground.entropy).to_string()
    }
}

impl Ask {
    fn request_id(&self) -> &str {
        match self {
            Self::Backup(it) => &it.request_id,
            Self::Restore(it) => &it.request_id,
            Self::Check(it) => &it.request_id,
            Self::Drill(it) => &it.request_id,
            Self::Prune(it) => &it.request_id,
            Self::Inspect(it) => &it.request_id,
            Self::Init(it) => &it.request_id,
            Self::Cancel(it) => &it.request_id,
        }
    }
}

fn name_of(ask: &Ask) -> String {
    match ask {
        Ask::Backup(it) => format!("backup {}/{}", it.instance, it.database_name),
        Ask::Restore(it) => format!("restore {} as {}", short(&it.backup), it.database_name),
        Ask::Check(it) => format!("check {}", short(&it.backup)),
        Ask::Drill(it) => format!("drill {}", short(&it.backup)),
        Ask::Prune(it) => format!("prune {}", it.repository),
        Ask::Inspect(it) => format!("inspect {}", it.agent),
        Ask::Init(it) => format!("init {}", it.repository),
        Ask::Cancel(it) => format!("cancel {}", short(&it.name)),
    }
}

/// The name of the run in the answer.
async fn send(controller: &Controller, ask: Ask) -> Result<String, Status> {
    let runs = &controller.runs;
    let caller = operator_caller();
    macro_rules! run_of {
        ($method:ident, $request:ident) => {{
            let answer = runs.$method(with_caller($request, caller)).await;
            answer.map(Response::into_inner)?.run
        }};
    }
    let run = match ask {
        Ask::Backup(request) => run_of!(run_backup, request),
        Ask::Restore(request) => run_of!(run_restore, request),
        Ask::Check(request) => run_of!(run_check, request),
        Ask::Drill(request) => run_of!(run_drill, request),
        Ask::Prune(request) => run_of!(run_prune, request),
        Ask::Inspect(request) => run_of!(run_inspect, request),
        Ask::Init(request) => run_of!(run_init, request),
        Ask::Cancel(request) => run_of!(cancel_run, request),
    };
    Ok(run.expect("an answer names its run").name)
}
