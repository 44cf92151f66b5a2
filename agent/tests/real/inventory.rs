//! The inventory on real servers: a restored copy is equal, each damage is named.

use crate::support::{Server, sample};
use provado_agent::postgres::inventory::{
    CompareOptions, Owners, Privileges, Scope, compare, read,
};
use provado_agent::postgres::tools::{Invocation, Purpose, Tools, choose};
use provado_proto::repository::v1::Inventory;

fn options(major: u32) -> CompareOptions {
    CompareOptions {
        owners: Owners::Compare,
        privileges: Privileges::Compare,
        scope: Scope::All,
        expected_major: major,
        found_major: major,
    }
}

/// Copies `source` to `target` by stock pg_dump and pg_restore.
fn copy(server: &Server, major: u32, source: &str, target: &str) {
    let set = choose(&server.tools.sets(), major, Purpose::Client).unwrap();
    let file = server.directory.path().join("copy.dump");
    let address = server.address();
    let dump = Invocation::new(set.program("pg_dump"))
        .argument("-Fc")
        .argument("-f")
        .argument(&file)
        .environment(address.child_environment(source, "test", &[]));
    let ended = server.tools.spawn(dump).unwrap().wait();
    assert!(ended.succeeded(), "{}", ended.describe());
    let restore = Invocation::new(set.program("pg_restore"))
        .argument(format!("--dbname=dbname='{target}'"))
        .argument(&file)
        .environment(address.child_environment(target, "test", &[]));
    let ended = server.tools.spawn(restore).unwrap().wait();
    assert!(ended.succeeded(), "{}", ended.describe());
}

async fn inventory(server: &Server, database: &str) -> Inventory {
    let mut connection = server.connect(database).await;
    read(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_is_equal_and_damage_is_named() {
    for major in [15, 16, 18] {
        let server = Server::start(major);
        server.run("postgres", sample::ROLES).await;
        server.run("postgres", "CREATE DATABASE source").await;
        server.run("postgres", "CREATE DATABASE target").await;
        server.run("source", sample::CONTENTS).await;
        copy(&server, major, "source", "target");
        let expected = inventory(&server, "source").await;
        let found = inventory(&server, "target").await;
        assert_eq!(
            compare(&expected, &found, options(major)),
            vec![],
            "{major}"
        );
        assert!(expected.relations.len() >= 10 && expected.objects.len() >= 8);
        let roles: Vec<&str> = expected
            .roles
            .iter()
            .map(|r| r.role_name.as_str())
            .collect();
        assert_eq!(roles, ["app_owner", "host=evil role", "postgres", "reader"]);

        server
            .run(
                "target",
                "DROP INDEX app.orders_total; \
                ALTER TABLE app.orders DROP CONSTRAINT orders_customer_fkey; \
                SELECT setval('app.lonely', 999); SELECT nextval('app.untouched'); \
                SELECT setval('app.set_only', 77, true); \
                ALTER TABLE public.empty_table ADD COLUMN c integer; \
                ALTER TABLE public.empty_table OWNER TO reader; \
                REVOKE SELECT ON app.customers FROM reader; \
                DROP FUNCTION app.twice; ALTER TABLE app.customers DISABLE TRIGGER stamp; \
                ALTER TYPE app.mood ADD VALUE 'new'; \
                DO $$ BEGIN EXECUTE (SELECT format('DROP EXTENSION %I', extname) \
                FROM pg_extension WHERE extname <> 'plpgsql'); END $$; \
                ALTER TABLE app.customers DISABLE ROW LEVEL SECURITY; \
                CREATE TABLE public.extra (a integer)",
            )
            .await;
        let found = inventory(&server, "target").await;
        let lines: Vec<String> = compare(&expected, &found, options(major))
            .iter()
            .map(|d| format!("{}: {}", d.object, d.aspect))
            .collect();
        for wanted in [
            "index app.orders_total on app.orders: presence",
            "constraint orders_customer_fkey on app.orders: presence",
            "sequence app.lonely: value",
            "sequence app.untouched: value",
            "sequence app.set_only: value",
            "table public.empty_table: column 3 c",
            "table public.empty_table: owner",
            "table app.customers: privileges",
            "function app.twice(integer): presence",
            "trigger stamp on app.customers: state",
            "enum app.mood: definition",
            if major == 15 {
                "extension btree_gist: presence"
            } else {
                "extension vector: presence"
            },
            "table app.customers: row security",
            "table public.extra: presence",
        ] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{major} {wanted}: {lines:#?}"
            );
        }
    }
}
