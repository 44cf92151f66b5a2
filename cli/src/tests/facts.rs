//! One thing at a time: facts, and what small commands say.

use super::fixtures::{agents, ago, backups, done, id, instances, now, proof, run};
use crate::commands::{access, agent, audit, backup, dev, instance, proof as proofs, run as runs};
use crate::output::to_json;
use provado_proto::common::v1::{Phase, Progress};
use provado_proto::operator::v1::{
    Caller, CallerRole, CreateJoinTokenResponse, GetSelfResponse, JoinToken, Run, RunKind,
    RunOutcome, RunState, StreamLogsResponse,
};
use std::path::Path;

#[test]
fn an_agent() {
    let [connected, locked, _] = agents().try_into().unwrap();
    let text = format!(
        "{}\n{}\n{}\n",
        agent::facts(&connected, &now()),
        agent::facts(&locked, &now()),
        to_json(&connected).unwrap()
    );
    insta::assert_snapshot!("show_agent", text);
}

#[test]
fn an_instance() {
    let [up, down] = instances().try_into().unwrap();
    let text = format!(
        "{}\n{}\n{}\n",
        instance::facts(&up, &now()),
        instance::facts(&down, &now()),
        to_json(&up).unwrap()
    );
    insta::assert_snapshot!("show_instance", text);
}

#[test]
fn a_backup() {
    let [proven, corrupt, kept] = backups().try_into().unwrap();
    let text = format!(
        "{}\n{}\n{}\n{}\n",
        backup::show::facts(&proven, &now()),
        backup::show::facts(&corrupt, &now()),
        backup::show::facts(&kept, &now()),
        to_json(&proven).unwrap()
    );
    insta::assert_snapshot!("show_backup", text);
}

#[test]
fn a_proof() {
    let proof = proof();
    let problem = "the signature of the agent does not fit the document: wrong signature";
    let text = format!(
        "{}\n{}\n{}\n{}\n",
        proofs::facts(&proof, &now()),
        proofs::verdict(&proof, &[]),
        proofs::verdict(&proof, &[problem.to_owned()]),
        to_json(&proof).unwrap()
    );
    insta::assert_snapshot!("show_proof", text);
}

#[test]
fn a_run() {
    let ended = done(RunKind::Backup, RunOutcome::default());
    let running = Run {
        end_time: None,
        progress: Some(Progress {
            phase: Phase::ReadingBack.into(),
            done_count: 3,
            total_count: Some(14),
            ..Progress::default()
        }),
        ..run(RunKind::Backup, RunState::Running)
    };
    let canceled = Run {
        parent_run: format!("runs/{}", id(0x0f, 7)),
        ..run(RunKind::Backup, RunState::Canceled)
    };
    let line = StreamLogsResponse {
        attempt_number: 1,
        sequence: 7,
        log_time: ago(150),
        level: "warn".into(),
        message: "pg_dump: a\nb".into(),
    };
    let text = format!(
        "{}\n{}\n{}{}{}{}",
        runs::facts(&ended, &now()),
        runs::facts(&running, &now()),
        runs::canceling(&running),
        runs::canceling(&canceled),
        runs::log_line(&line, &now()),
        crate::watch::started(&running)
    );
    insta::assert_snapshot!("show_run", text);
    insta::assert_snapshot!("show_run_json", to_json(&ended).unwrap());
}

#[test]
fn small_commands() {
    let caller = Caller {
        name: "callers/ana".into(),
        role: CallerRole::Devops.into(),
        certificate_expire_time: ago(-86_400),
        ..Caller::default()
    };
    let myself = GetSelfResponse {
        caller: Some(caller.clone()),
        controller_version: "0.1.0".into(),
        ..GetSelfResponse::default()
    };
    let token = CreateJoinTokenResponse {
        join_token: Some(JoinToken {
            expire_time: ago(-900),
            ..JoinToken::default()
        }),
        join_string: "provado-join:abc".into(),
    };
    let asked = run(RunKind::Backup, RunState::Requested);
    let text = format!(
        "{}{}{}{}{}{}{}",
        access::caller_line(&caller, &now()),
        access::self_line(&myself, &now()),
        access::join_line(&token, &now()),
        crate::watch::asked(&asked),
        crate::watch::asked(&Run::default()),
        audit::damage("line 7: its hash is not that of its fields"),
        dev::welcome(
            "127.0.0.1:7444",
            Path::new("/d/profile.toml"),
            Path::new("/d/identity.key")
        )
    );
    insta::assert_snapshot!("small_commands", text);
}
