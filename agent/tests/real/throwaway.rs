//! Throw-away servers and children on real PostgreSQL 15, 16 and 18.

use crate::support::{self, Server};
use provado_agent::postgres::inspect::inspect;
use provado_agent::postgres::tools::{Invocation, Output, Tools};
use std::io::Read as _;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_every_major_starts_answers_and_is_gone() {
    for major in [15, 16, 18] {
        let mut server = Server::start(major);
        server
            .run("postgres", "CREATE DATABASE \"host=evil port=1\"")
            .await;
        let found = inspect(&server.address()).await;
        assert_eq!(found.unreachable_message, "");
        assert_eq!(
            found.server_version_number / 10_000,
            i32::try_from(major).unwrap()
        );
        assert!(found.system_identifier.parse::<u64>().unwrap() > 0);
        let names: Vec<&str> = found
            .databases
            .iter()
            .map(|d| d.database_name.as_str())
            .collect();
        assert_eq!(names, ["host=evil port=1", "postgres"]);
        assert_eq!(found.databases[0].extensions[0].extension_name, "plpgsql");
        assert_eq!(found.warnings, Vec::<String>::new());
        let socket = Path::new(&server.address().host).to_owned();
        assert!(socket.is_dir());
        server.throwaway.take().unwrap().stop().unwrap();
        assert!(!socket.exists());
        let gone = inspect(&found_address(&socket)).await;
        assert!(gone.unreachable_message.contains("cannot connect"));
    }
}

fn found_address(socket: &Path) -> provado_agent::postgres::ServerAddress {
    provado_agent::postgres::ServerAddress::socket(socket.to_string_lossy(), 5432, "postgres")
}

#[test]
fn a_child_dies_with_the_spawner_and_its_group_with_it() {
    let tools = support::tools();
    let mut invocation = Invocation::new("/bin/sh")
        .argument("-c")
        .argument("sleep 600 & echo $$ $!; wait");
    invocation.output = Output::Pipe;
    let mut child = tools.spawn(invocation).unwrap();
    let mut output = child.take_output().unwrap();
    let mut text = String::new();
    while !text.ends_with('\n') {
        let mut byte = [0; 1];
        output.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    let pids: Vec<u32> = text
        .split_whitespace()
        .map(|p| p.parse().unwrap())
        .collect();
    assert_eq!(pids[0], child.id());
    child.killer().kill();
    let ended = child.wait();
    assert!(ended.killed && !ended.succeeded());
    assert!(ended.describe().contains("signal 9"));
    for pid in pids {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(
            state.is_empty() || state.contains(") Z "),
            "{pid} lives: {state}"
        );
    }
}

#[test]
fn a_program_that_is_not_there_is_a_failure_with_words() {
    let tools = support::tools();
    let ended = tools
        .spawn(Invocation::new("/nonexistent/pg_dump"))
        .unwrap()
        .wait();
    assert!(!ended.succeeded());
    assert_eq!(ended.stderr.fatal_count, 1);
    assert!(ended.describe().contains("/nonexistent/pg_dump"));
}
