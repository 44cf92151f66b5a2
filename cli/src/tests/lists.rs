//! Lists as tables and as JSON.

use super::fixtures::{HOSTILE, agents, ago, backups, done, failed, id, instances, labels, now};
use super::fixtures::{proof, run};
use crate::commands::{
    access, agent, audit, backup, instance, proof as proofs, repository, run as runs,
};
use crate::listing::{self, Page};
use crate::output::human::Now;
use crate::output::{Report, to_json};
use provado_proto::common::v1::{Phase, Progress};
use provado_proto::operator::v1::{
    AuditEvent, Caller, CallerRole, JoinToken, ListAgentsResponse, ListAuditEventsResponse,
    ListBackupsResponse, ListCallersResponse, ListInstancesResponse, ListJoinTokensResponse,
    ListProofsResponse, ListRepositoriesResponse, ListRunsResponse, Repository, RepositoryKind,
    RepositoryState, Run, RunKind, RunOutcome, RunState,
};

/// A list without rows, as a table, and as JSON.
fn check<P: Page>(name: &str, answer: &P, render: impl Fn(&P, &Now) -> Report) {
    let table = |answer: &P| listing::whole(answer, render(answer, &now()));
    let text = format!(
        "{}\n{}\n{}\n",
        table(&P::default()),
        table(answer),
        to_json(answer).unwrap()
    );
    insta::assert_snapshot!(format!("list_{name}"), text);
}

#[test]
fn agents_are_listed() {
    let answer = ListAgentsResponse {
        agents: agents(),
        next_page_token: String::new(),
    };
    check("agents", &answer, agent::table);
}

#[test]
fn instances_are_listed() {
    // A list has no databases.
    let mut instances = instances();
    for instance in &mut instances {
        instance.databases.clear();
    }
    let answer = ListInstancesResponse {
        instances,
        next_page_token: String::new(),
    };
    check("instances", &answer, instance::table);
}

#[test]
fn backups_are_listed() {
    let answer = ListBackupsResponse {
        backups: backups(),
        next_page_token: "more".into(),
    };
    check("backups", &answer, backup::show::table);
}

#[test]
fn proofs_are_listed() {
    let answer = ListProofsResponse {
        proofs: vec![proof()],
        next_page_token: String::new(),
    };
    check("proofs", &answer, proofs::table);
}

#[test]
fn runs_are_listed() {
    let running = Run {
        name: format!("runs/{}", id(0x20, 1)),
        end_time: None,
        progress: Some(Progress {
            phase: Phase::Dumping.into(),
            item: format!("public.{HOSTILE}"),
            done_bytes: 10 << 20,
            total_bytes: Some(60 << 20),
            rate_bytes: 5 << 20,
            ..Progress::default()
        }),
        ..run(RunKind::Backup, RunState::Running)
    };
    let part = Run {
        name: format!("runs/{}", id(0x20, 2)),
        parent_run: format!("runs/{}", id(0x20, 1)),
        message: "waits for run 01932f7e-000f".into(),
        start_time: None,
        end_time: None,
        ..run(RunKind::Backup, RunState::Queued)
    };
    let broken = failed(
        RunKind::Restore,
        "PRECHECK_FAILED",
        "2 checks failed:\n1. ROLES_MISSING: the roles shop and shop_reader do not exist on main\n\
         2. DISK_FULL: 13 GiB are needed in /var/lib/postgresql and 2 GiB are free",
        RunOutcome::default(),
    );
    let answer = ListRunsResponse {
        runs: vec![
            running,
            part,
            done(RunKind::Drill, RunOutcome::default()),
            broken,
        ],
        next_page_token: String::new(),
    };
    check("runs", &answer, runs::table);
}

#[test]
fn repositories_are_listed() {
    let ready = Repository {
        name: "repositories/local".into(),
        uid: id(5, 1),
        kind: RepositoryKind::File.into(),
        state: RepositoryState::Ready.into(),
        agent: "agents/db1".into(),
        path: "/var/backups/provado/local".into(),
        recipients: vec!["age1qqqq".into()],
        capabilities: labels(&[("hard links", "yes")]),
        create_time: ago(40 * 86_400),
        backup_count: 1_204,
        stored_bytes: 44_100_000_000,
        plain_bytes: 4_013_380_000_000,
        warnings: vec!["only one recipient: if its identity is lost, all backups are".into()],
    };
    let declared = Repository {
        name: "repositories/second".into(),
        state: RepositoryState::Declared.into(),
        backup_count: 0,
        stored_bytes: 0,
        plain_bytes: 0,
        warnings: Vec::new(),
        ..ready.clone()
    };
    insta::assert_snapshot!(
        "show_repository",
        repository::facts(&ready, &now()).to_string()
    );
    let answer = ListRepositoriesResponse {
        repositories: vec![ready, declared],
        next_page_token: String::new(),
    };
    check("repositories", &answer, repository::table);
}

#[test]
fn callers_and_tokens_are_listed() {
    let ana = Caller {
        name: "callers/ana".into(),
        uid: id(6, 1),
        role: CallerRole::Dba.into(),
        create_time: ago(10 * 86_400),
        certificate_expire_time: ago(-20 * 86_400),
        ..Caller::default()
    };
    let gone = Caller {
        name: "callers/bert".into(),
        role: CallerRole::Auditor.into(),
        revoked: true,
        ..ana.clone()
    };
    let answer = ListCallersResponse {
        callers: vec![ana, gone],
        next_page_token: String::new(),
    };
    check("callers", &answer, access::callers);
    let open = JoinToken {
        name: format!("joinTokens/{}", id(7, 1)),
        labels: labels(&[("env", "prod")]),
        create_time: ago(60),
        expire_time: ago(-840),
        ..JoinToken::default()
    };
    let used = JoinToken {
        name: format!("joinTokens/{}", id(8, 1)),
        use_time: ago(30),
        agent: "agents/db1".into(),
        agent_name: "db1".into(),
        bound_agent: "agents/db1".into(),
        ..open.clone()
    };
    let answer = ListJoinTokensResponse {
        join_tokens: vec![used, open],
        next_page_token: String::new(),
    };
    check("join_tokens", &answer, access::tokens);
}

#[test]
fn audit_events_are_listed() {
    let asked = AuditEvent {
        name: "auditEvents/7".into(),
        sequence: 7,
        event_time: ago(200),
        caller_kind: "operator".into(),
        caller_id: id(6, 1),
        caller_name: "ana".into(),
        peer_address: Some("192.0.2.9:51234".into()),
        action: "run.request".into(),
        resource_kind: "run".into(),
        resource_name: id(0x0f, 1),
        outcome: "done".into(),
        detail_json: "{}".into(),
        ..AuditEvent::default()
    };
    let ended = AuditEvent {
        sequence: 8,
        caller_kind: "controller".into(),
        caller_name: String::new(),
        peer_address: None,
        action: "agent.lock".into(),
        resource_kind: "agent".into(),
        resource_name: "postgres-production-7".into(),
        ..asked.clone()
    };
    let answer = ListAuditEventsResponse {
        events: vec![asked, ended],
        next_page_token: "more".into(),
    };
    check("audit_events", &answer, audit::table);
}
