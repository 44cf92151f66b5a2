//! Drills that this host cannot carry out say nothing about the backup; a row that is not what it
//! was says everything.

use crate::jobs::{reason, with_sample};
use crate::support::Server;
use crate::support::agent::Agent;
use provado_agent::postgres::tools::{Purpose, ToolSet, Tools as _, choose};
use provado_model::Reason;
use provado_proto::agent::v1::RestoreVerdict;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// PostgreSQL 15 once more, in a directory of its own, where programs can be replaced.
struct Programs {
    directory: PathBuf,
    real: ToolSet,
}

impl Programs {
    /// Makes it the agent's first choice.
    fn of(agent: &mut Agent, server: &Server) -> Self {
        let real = choose(&server.tools.sets(), 15, Purpose::Server).unwrap();
        let directory = agent.directory.path().join("programs");
        std::fs::create_dir(&directory).unwrap();
        for name in ["initdb", "postgres", "pg_restore", "psql"] {
            symlink(real.program(name), directory.join(name)).unwrap();
        }
        let programs = Self { directory, real };
        programs.replace(
            "pg_dump",
            "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 15.99' && exit; \
             exec REAL \"$@\"",
        );
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&programs.directory, open).unwrap();
        agent
            .config
            .tool_directories
            .insert(0, programs.directory.clone());
        programs
    }

    /// Puts a shell script in the place of a program; `REAL` stands for the real one.
    fn replace(&self, name: &str, script: &str) {
        let path = self.directory.join(name);
        let _ = std::fs::remove_file(&path);
        let real = self.real.program(name).display().to_string();
        let script = format!("#!/bin/sh\n{}\n", script.replace("REAL", &real));
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Shared files with these control files and scripts of the real ones alone.
fn shared_files(directory: &Path, names: &[&str]) {
    let extensions = directory.join("extension");
    std::fs::create_dir_all(&extensions).unwrap();
    for name in names {
        let real = Path::new("/usr/share/postgresql/15/extension").join(name);
        std::fs::copy(real, extensions.join(name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_this_host_lacks_breaks_the_drill_before_it_starts() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let programs = Programs::of(&mut agent, &server);
    let shared = agent.directory.path().join("shared");
    let tell = format!("echo share_path={} >&2; exit 0", shared.display());
    programs.replace(
        "initdb",
        &format!("[ \"$1\" = --show ] && {{ {tell}; }}; exec REAL \"$@\""),
    );
    for (files, expected) in [
        (
            &["plpgsql.control"][..],
            "lacks extensions of the backup: btree_gist 1.7;",
        ),
        // The control file says 1.7, but what is here makes 1.2 only.
        (&["btree_gist.control", "btree_gist--1.2.sql"][..], ""),
    ] {
        shared_files(&shared, files);
        if expected.is_empty() {
            let control = shared.join("extension/btree_gist.control");
            std::fs::write(control, "default_version = '1.2'\n").unwrap();
        }
        agent.recorder.lines.lock().unwrap().clear();
        let (outcome, detail) = agent.drill(&backup).await;
        assert_eq!(
            reason(&outcome),
            Reason::DrillBroken.as_str(),
            "{outcome:#?}"
        );
        assert!(detail.is_none());
        let message = outcome.failure.unwrap().message;
        let expected = match expected {
            "" => "lacks extensions of the backup: btree_gist 1.7 (here it is 1.2);",
            other => other,
        };
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains("install their packages for PostgreSQL 15"),
            "{message}"
        );
        let lines = agent.recorder.lines.lock().unwrap();
        let started = lines.iter().any(|(_, line)| line.contains("throw-away"));
        assert!(!started, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_made_in_the_version_that_was_backed_up() {
    let server = Server::start(15);
    server.run("postgres", "CREATE DATABASE source").await;
    server
        .run(
            "source",
            "CREATE EXTENSION hstore SCHEMA public VERSION '1.4'; \
             CREATE TABLE public.t AS SELECT 'a=>1'::public.hstore AS h",
        )
        .await;
    let agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let (outcome, detail) = agent.drill(&backup).await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
    assert_eq!(detail.unwrap().row_count, 1);
    let (outcome, detail) = agent
        .restore(agent.restore_job(&backup, &server, "copy"))
        .await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
    assert_eq!(detail.unwrap().verdict(), RestoreVerdict::Restored);
    let version: String =
        sqlx::query_scalar("SELECT extversion FROM pg_extension WHERE extname = 'hstore'")
            .fetch_one(&mut server.connect("copy").await)
            .await
            .unwrap();
    assert_eq!(version, "1.4");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn only_what_differs_is_held_against_the_backup() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let programs = Programs::of(&mut agent, &server);
    // What happens in the throw-away instance between the restore and the comparison.
    let delete = "psql -qX -c 'DELETE FROM app.orders WHERE id = 1'";
    let sql = |text: &str| format!("{delete}; psql -qX -d postgres -c \"{text}\" || true");
    let broken = Reason::DrillBroken;
    for (what, script, expected) in [
        ("nothing", "true".to_owned(), None),
        (
            "a row",
            delete.to_owned(),
            Some(Reason::DrillFoundDifference),
        ),
        (
            "a full disk",
            sql("DO 'BEGIN RAISE disk_full; END'"),
            Some(broken),
        ),
        (
            "memory",
            sql("DO 'BEGIN RAISE out_of_memory; END'"),
            Some(broken),
        ),
        (
            "a time limit",
            sql("SET statement_timeout = 1; SELECT pg_sleep(60)"),
            Some(broken),
        ),
        (
            "a library",
            sql("LOAD '/nonexistent/library'"),
            Some(broken),
        ),
        ("a role", sql("ALTER ROLE nobody LOGIN"), Some(broken)),
        (
            "a locale",
            sql("CREATE COLLATION c (locale = 'xx_XX')"),
            Some(broken),
        ),
        (
            "a tablespace",
            sql("CREATE TABLE t (a integer) TABLESPACE nowhere"),
            Some(broken),
        ),
        (
            "connections",
            sql("ALTER DATABASE provado_drill ALLOW_CONNECTIONS false"),
            Some(broken),
        ),
        (
            "the server",
            "kill -QUIT $(head -1 $PGHOST/data/postmaster.pid)".to_owned(),
            Some(broken),
        ),
        ("pg_restore", "kill -9 $$".to_owned(), Some(broken)),
    ] {
        let script = script.replace("psql", &programs.real.program("psql").display().to_string());
        programs.replace(
            "pg_restore",
            &format!(
                "REAL \"$@\"; code=$?\ncase \"$*\" in *after.list*) {script} ;; esac\nexit $code"
            ),
        );
        let (outcome, _) = agent.drill(&backup).await;
        let expected = expected.map(|reason| reason.as_str().to_owned());
        let found = outcome
            .failure
            .as_ref()
            .map(|failure| failure.reason.clone());
        assert_eq!(found, expected, "{what}: {outcome:#?}");
        let directory = &agent.config.drill_directory;
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_went_away_is_not_a_damaged_backup() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let programs = Programs::of(&mut agent, &server);
    let (root, away) = (
        agent.repository.path.clone(),
        format!("{}.away", agent.repository.path),
    );
    programs.replace(
        "pg_restore",
        &format!(
            "case \"$*\" in *before.list*) mv {root} {away} && mkdir -m 700 {root};; esac\n\
             exec REAL \"$@\""
        ),
    );
    let (outcome, _) = agent.drill(&backup).await;
    assert_eq!(
        reason(&outcome),
        Reason::DrillBroken.as_str(),
        "{outcome:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_compared_in_parts() {
    let server = Server::start(15);
    server.run("postgres", "CREATE DATABASE source").await;
    server
        .run(
            "source",
            "CREATE TABLE public.large AS SELECT i AS id, repeat(md5(i::text), 3) AS t, \
                 CASE WHEN i % 3 = 0 THEN '\\n' END AS n FROM generate_series(1, 200000) AS i; \
             DELETE FROM public.large WHERE id % 7 = 0",
        )
        .await;
    let agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let (outcome, detail) = agent.drill(&backup).await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
    let detail = detail.unwrap();
    assert_eq!(
        (detail.table_count, detail.row_count),
        (1, backup.row_count)
    );
    // Two parts of 8 MiB at least.
    assert!(detail.plain_bytes > 16 << 20, "{}", detail.plain_bytes);
}
