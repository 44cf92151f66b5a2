//! The smallest role that can dump, and what is said when something is missing.

use crate::support::{Server, sample};
use provado_agent::postgres::globals::{RoleRights, create_roles, dump_globals, missing_roles};
use provado_agent::postgres::inventory;
use provado_agent::postgres::rights::{Weight, check};
use provado_agent::postgres::tools::{Invocation, Output, Purpose, Tools, choose};
use provado_proto::repository::v1::RoleFacts;
use std::io::Read as _;

async fn lacks(server: &Server, role: &str) -> Vec<String> {
    let mut address = server.address();
    address.user = role.into();
    let mut connection = address.connect("source", "test").await.unwrap();
    check(&mut connection)
        .await
        .unwrap()
        .into_iter()
        .filter(|lack| lack.weight == Weight::Blocking)
        .map(|lack| lack.message)
        .collect()
}

/// Whether stock pg_dump succeeds as the role.
fn dump_works(server: &Server, major: u32, role: &str) -> bool {
    let set = choose(&server.tools.sets(), major, Purpose::Client).unwrap();
    let mut address = server.address();
    address.user = role.into();
    let mut invocation = Invocation::new(set.program("pg_dump"))
        .argument("-Fc")
        .environment(address.child_environment("source", "test", &[]));
    invocation.output = Output::Pipe;
    let mut child = server.tools.spawn(invocation).unwrap();
    let mut archive = Vec::new();
    child
        .take_output()
        .unwrap()
        .read_to_end(&mut archive)
        .unwrap();
    child.wait().succeeded()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pre_check_and_pg_dump_agree_on_what_is_missing() {
    for major in [15, 16, 18] {
        let server = Server::start(major);
        server.run("postgres", sample::ROLES).await;
        server.run("postgres", "CREATE DATABASE source").await;
        server.run("postgres", "CREATE ROLE dumper LOGIN").await;
        server.run("source", sample::CONTENTS).await;
        let steps = [
            ("GRANT pg_read_all_data TO dumper", "GRANT pg_read_all_data"),
            ("ALTER ROLE dumper BYPASSRLS", "BYPASSRLS"),
            (
                "ALTER ROLE dumper SET lo_compat_privileges = on",
                "large objects",
            ),
        ];
        for (number, (statement, word)) in steps.into_iter().enumerate() {
            let found = lacks(&server, "dumper").await;
            assert_eq!(found.len(), 3 - number, "{major} {found:#?}");
            assert!(found[0].contains(word), "{major} {found:#?}");
            assert!(!dump_works(&server, major, "dumper"), "{major} {word}");
            server.run("postgres", statement).await;
        }
        assert_eq!(lacks(&server, "dumper").await, Vec::<String>::new());
        assert!(dump_works(&server, major, "dumper"), "{major}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_come_back_without_passwords_and_without_power() {
    let server = Server::start(15);
    server.run("postgres", sample::ROLES).await;
    server
        .run("postgres", "ALTER ROLE app_owner PASSWORD 'secret-canary'")
        .await;
    server.run("postgres", "CREATE DATABASE source").await;
    server.run("source", sample::CONTENTS).await;
    let roles = inventory::read(&mut server.connect("source").await)
        .await
        .unwrap()
        .roles;
    let set = choose(&server.tools.sets(), 15, Purpose::Client).unwrap();
    let (text, _) = dump_globals(&*server.tools, &set, &server.address(), "test").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("CREATE ROLE \"host=evil role\""));
    assert!(!text.contains("secret-canary") && !text.contains("SCRAM"));

    let other = Server::start(15);
    let mut connection = other.connect("postgres").await;
    let mut wanted = roles.clone();
    wanted[0].superuser = true;
    let made = create_roles(&mut connection, &wanted, RoleRights::Harmless)
        .await
        .unwrap();
    assert_eq!(made.created, ["app_owner", "host=evil role", "reader"]);
    assert_eq!(made.remarks.len(), 1);
    assert!(made.remarks[0].contains("SUPERUSER"));
    assert_eq!(
        missing_roles(&mut connection, &roles).await.unwrap(),
        Vec::<&RoleFacts>::new()
    );
    other.run("postgres", "CREATE DATABASE x").await;
    other
        .run("postgres", "GRANT CREATE ON DATABASE x TO app_owner")
        .await;
    other
        .run(
            "postgres",
            "GRANT CREATE ON DATABASE x TO \"host=evil role\"",
        )
        .await;
    let found = inventory::read(&mut other.connect("x").await)
        .await
        .unwrap()
        .roles;
    assert_eq!(found, roles);
    let again = create_roles(&mut connection, &wanted, RoleRights::Harmless)
        .await
        .unwrap();
    assert_eq!(
        again,
        provado_agent::postgres::globals::CreatedRoles::default()
    );
}
