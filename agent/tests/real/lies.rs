//! Tools that lie, hang and die: none of them yields a backup (INV-EVIDENCE, INV-COMMIT).

use crate::jobs::{reason, with_sample};
use crate::support::Server;
use crate::support::agent::Agent;
use provado_agent::postgres::tools::{Invocation, Purpose, Tools, choose};
use provado_model::Reason;
use provado_proto::agent::v1::AttemptResult;
use provado_proto::agent::v1::job::Kind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A real archive of database `source` in a file that every user may read.
fn real_dump(server: &Server, path: &Path) -> usize {
    let set = choose(&server.tools.sets(), 15, Purpose::Client).unwrap();
    let invocation = Invocation::new(set.program("pg_dump"))
        .argument("-Fc")
        .argument("-Z0")
        .argument("-f")
        .argument(path)
        .environment(server.address().child_environment("source", "test", &[]));
    let ended = server.tools.spawn(invocation).unwrap().wait();
    assert!(ended.succeeded(), "{}", ended.describe());
    usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap()
}

/// Puts a `pg_dump` in the agent's first tool directory that does what `body` says.
pub(crate) fn install(agent: &mut Agent, body: &str) {
    let directory = agent.directory.path().join("lying");
    let _ = std::fs::create_dir(&directory);
    let path = directory.join("pg_dump");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'pg_dump (PostgreSQL) 15.99'; \
         exit 0; fi\n{body}\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    if agent.config.tool_directories.first() != Some(&directory) {
        agent.config.tool_directories.insert(0, directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_lying_tools_yield_no_backup() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    agent.config.stall_seconds_max = 3;
    let dump = agent.directory.path().join("real.dump");
    let size = real_dump(&server, &dump);
    let dump = dump.display();
    let mut bodies: Vec<String> = (0..28)
        .map(|part| format!("head -c {} {dump}; exit 0", size * part / 28))
        .collect();
    bodies.extend([
        format!("head -c {} {dump}; exit 0", size - 1),
        format!("cat {dump}; exit 1"),
        format!("cat {dump}; kill -9 $$"),
        format!("cat {dump}; echo 'pg_dump: error: it went wrong' >&2; exit 0"),
        format!("cat {dump}; echo 'FATAL:  out of memory' >&2; exit 0"),
        format!("cat {dump}; echo; exit 0"),
        format!("cat {dump} {dump}; exit 0"),
        format!("sed 's/$/\\r/' {dump}; exit 0"),
        format!("head -c {} {dump}; sleep 600", size / 2),
        "exit 0".to_owned(),
        "head -c 100000 /dev/zero; exit 0".to_owned(),
        "echo 'pg_dump: error: connection refused' >&2; exit 0".to_owned(),
        "echo PGDMP; exit 0".to_owned(),
        "sleep 600".to_owned(),
        "while :; do echo garbage; done".to_owned(),
    ]);
    assert!(bodies.len() >= 40);
    for body in bodies {
        install(&mut agent, &body);
        let outcome = agent
            .run(Kind::Backup(agent.backup_job(&server, "source")))
            .await;
        assert_eq!(
            outcome.result(),
            AttemptResult::Failed,
            "{body}: {outcome:#?}"
        );
        assert!(
            [
                Reason::ToolFailed,
                Reason::DumpIncomplete,
                Reason::DeadlineExceeded,
            ]
            .iter()
            .any(|wanted| reason(&outcome) == wanted.as_str()),
            "{body}: {:?}",
            outcome.failure
        );
        assert_eq!(
            agent.stored(".manifest"),
            Vec::<std::path::PathBuf>::new(),
            "{body}"
        );
    }
    // And the honest tool, unchanged, makes one.
    install(&mut agent, &format!("cat {dump}"));
    agent.backup(&server, "source").await;
    assert_eq!(agent.stored(".manifest").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_children_and_backends_at_once() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    let dump = agent.directory.path().join("real.dump");
    let size = real_dump(&server, &dump);
    let mark = agent.directory.path().join("pid");
    install(
        &mut agent,
        &format!(
            "head -c {} {}; echo $$ > {}; sleep 600 & wait",
            size / 2,
            dump.display(),
            mark.display()
        ),
    );
    let cancel = agent.cancel.clone();
    let waiting = mark.clone();
    let canceler = tokio::task::spawn_blocking(move || {
        while std::fs::read_to_string(&waiting)
            .unwrap_or_default()
            .is_empty()
        {
            std::thread::yield_now();
        }
        cancel.cancel();
    });
    let outcome = agent
        .run(Kind::Backup(agent.backup_job(&server, "source")))
        .await;
    canceler.await.unwrap();
    assert_eq!(outcome.result(), AttemptResult::Canceled, "{outcome:#?}");
    let pid = std::fs::read_to_string(mark).unwrap();
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists());
    assert!(agent.stored(".manifest").is_empty());
    let mut connection = server.connect("postgres").await;
    for _ in 0..1000 {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'provado:%'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        if left == 0 {
            return;
        }
    }
    panic!("a backend of the canceled run is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_while_it_is_dumped_fails_the_backup() {
    let mut server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    let directory = server.address().host;
    let real = choose(&server.tools.sets(), 15, Purpose::Client).unwrap();
    // The real pg_dump starts after the server was told to stop at once.
    install(
        &mut agent,
        &format!(
            "kill -QUIT $(head -1 {directory}/data/postmaster.pid); exec {} \"$@\"",
            real.program("pg_dump").display()
        ),
    );
    let outcome = agent
        .run(Kind::Backup(agent.backup_job(&server, "source")))
        .await;
    assert_eq!(outcome.result(), AttemptResult::Failed, "{outcome:#?}");
    assert!(agent.stored(".manifest").is_empty());
    server.throwaway.take().unwrap().stop().unwrap();
}
