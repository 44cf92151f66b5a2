//! SyncInventory: rows that keep their identity over what hosts and databases go through.

use crate::agents::SessionClient;
use crate::world::{Engine, World, reason};
use provado_proto::agent::v1 as agent;
use provado_proto::operator::v1 as operator;

fn database(oid: i64, name: &str) -> agent::DatabaseInventory {
    agent::DatabaseInventory {
        oid,
        database_name: name.to_owned(),
        owner: "postgres".to_owned(),
        size_bytes: 8_000_000,
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        allow_connections: true,
        extensions: vec![agent::ExtensionInventory {
            extension_name: "plpgsql".to_owned(),
            version: "1.0".to_owned(),
        }],
        ..Default::default()
    }
}

pub(crate) fn instance(
    port: i32,
    databases: Vec<agent::DatabaseInventory>,
) -> agent::InstanceInventory {
    agent::InstanceInventory {
        system_identifier: format!("70000000000000{port}"),
        server_version: "15.18 (Debian)".to_owned(),
        server_version_number: 150_018,
        host: "/var/run/postgresql".to_owned(),
        port,
        databases,
        tool_version: "15.18".to_owned(),
        ..Default::default()
    }
}

async fn tell(
    client: &mut SessionClient,
    instances: Vec<agent::InstanceInventory>,
) -> Vec<agent::InstanceAssignment> {
    let request = agent::SyncInventoryRequest { instances };
    client
        .sync_inventory(request)
        .await
        .unwrap()
        .into_inner()
        .instances
}

async fn shown(world: &World, name: &str) -> operator::Instance {
    let request = operator::GetInstanceRequest {
        name: format!("instances/{name}"),
    };
    let answer = world.admin().await.fleet.get_instance(request).await;
    answer.unwrap().into_inner().instance.unwrap()
}

fn names(instance: &operator::Instance) -> Vec<&str> {
    let databases = instance.databases.iter();
    databases
        .map(|database| database.database_name.as_str())
        .collect()
}

async fn instances_and_databases_keep_their_identity(engine: Engine) {
    let world = World::start_on(engine).await;
    let host = world.join("db1").await;
    let mut client = host.client(&world).await;
    let shop = || database(16_384, "shop");
    let told = tell(
        &mut client,
        vec![
            instance(5432, vec![shop(), database(16_385, "host=evil port=1")]),
            instance(5433, vec![shop()]),
        ],
    )
    .await;
    assert_eq!(told[0].instance_name, "db1");
    assert_eq!(told[1].instance_name, "db1-5433");
    let main = shown(&world, "db1").await;
    assert_eq!(main.uid, told[0].instance_id);
    assert_eq!(names(&main), ["host=evil port=1", "shop"]);
    assert_eq!(
        (main.database_count, main.agent.as_str()),
        (2, "agents/db1")
    );
    assert_eq!(main.databases[1].extensions, ["plpgsql 1.0"]);
    assert_eq!(
        shown(&world, &told[0].instance_id).await.name,
        "instances/db1"
    );

    // The same again changes nothing; a database dropped and made anew is another one.
    let again = tell(
        &mut client,
        vec![
            instance(
                5432,
                vec![database(20_000, "shop"), database(20_001, "new")],
            ),
            instance(5433, vec![shop()]),
        ],
    )
    .await;
    assert_eq!(again, told);
    let main = shown(&world, "db1").await;
    assert_eq!(names(&main), ["new", "shop"]);
    assert_eq!(main.databases[1].oid, 20_000);
    assert_eq!(world.audit("database.vanish").await.len(), 2);

    // Two databases that swap their names are still themselves.
    let swapped = vec![database(20_000, "new"), database(20_001, "shop")];
    tell(
        &mut client,
        vec![instance(5432, swapped), instance(5433, vec![])],
    )
    .await;
    let main = shown(&world, "db1").await;
    let oids: Vec<_> = main.databases.iter().map(|database| database.oid).collect();
    assert_eq!(oids, [20_000, 20_001]);

    // One that does not answer keeps what was known; one that is not told of is marked.
    let mut down = instance(5432, vec![]);
    down.system_identifier = String::new();
    down.unreachable_message.push_str("connection refused");
    let told = tell(&mut client, vec![down]).await;
    assert_eq!(told[0].instance_id, main.uid);
    let main = shown(&world, "db1").await;
    assert_eq!(main.unreachable_message, "connection refused");
    assert_eq!(main.database_count, 2);
    let gone = shown(&world, "db1-5433").await;
    assert!(
        gone.unreachable_message.contains("no longer"),
        "{}",
        gone.unreachable_message
    );
    assert_eq!(world.shown("db1").await.instance_count, 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn instances_and_databases_keep_their_identity_on_sqlite() {
    instances_and_databases_keep_their_identity(Engine::Sqlite).await;
}

#[tokio::test]
async fn instances_and_databases_keep_their_identity_on_postgres() {
    instances_and_databases_keep_their_identity(Engine::Postgres).await;
}

#[tokio::test]
async fn a_wanted_name_is_given_while_it_is_free() {
    let world = World::start().await;
    let first = world.join("db1").await;
    let second = world.join("db2").await;
    let mut wanted = instance(5432, vec![]);
    wanted.wanted_name = "orders".to_owned();
    let told = tell(&mut first.client(&world).await, vec![wanted.clone()]).await;
    assert_eq!(told[0].instance_name, "orders");
    // The name is taken, and nobody else's row is touched.
    let other = tell(&mut second.client(&world).await, vec![wanted]).await;
    assert_ne!(other[0].instance_id, told[0].instance_id);
    assert_eq!(other[0].instance_name, "db2-5432");
    assert_eq!(shown(&world, "orders").await.agent, "agents/db1");
    // The same primary at two agents is worth a word.
    assert_eq!(world.audit("instance.suspect-copy").await.len(), 1);
    let request = operator::ListInstancesRequest {
        agent: "agents/db2".to_owned(),
        ..Default::default()
    };
    let list = world
        .admin()
        .await
        .fleet
        .list_instances(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.instances.len(), 1);
    let request = operator::ListInstancesRequest {
        page_size: 1,
        ..Default::default()
    };
    let mut admin = world.admin().await;
    let page = admin
        .fleet
        .list_instances(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.instances[0].name, "instances/db2-5432");
    let request = operator::ListInstancesRequest {
        page_token: page.next_page_token,
        ..request
    };
    let page = admin
        .fleet
        .list_instances(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.instances[0].name, "instances/orders");
    assert!(page.next_page_token.is_empty());
}

#[tokio::test]
async fn a_name_goes_to_the_successor_of_what_is_gone() {
    let world = World::start().await;
    let host = world.join("db1").await;
    let mut client = host.client(&world).await;
    let wanted = |identifier: &str, port| {
        let mut one = instance(port, vec![database(16_384, "orders")]);
        one.system_identifier = identifier.to_owned();
        one.wanted_name = "shop".to_owned();
        one
    };
    let old = tell(&mut client, vec![wanted("15", 5432)]).await;
    // Upgraded into a new data directory: another instance, called the same.
    let new = tell(&mut client, vec![wanted("18", 5432)]).await;
    assert_ne!(new[0].instance_id, old[0].instance_id);
    assert_eq!(new[0].instance_name, "shop");
    let kept = shown(&world, &old[0].instance_id).await;
    assert!(kept.name.starts_with("instances/shop-"), "{}", kept.name);
    assert_eq!(world.audit("instance.yield-name").await.len(), 1);
    // On another port it is another one, too.
    let moved = tell(&mut client, vec![wanted("18", 5433)]).await;
    assert_eq!(moved[0].instance_name, "shop");
    // What lives keeps its name, even from itself come back.
    let both = vec![wanted("18", 5432), wanted("18", 5433)];
    let told = tell(&mut client, both.clone()).await;
    assert_eq!(told[1].instance_name, "shop");
    assert_eq!(told[0].instance_id, new[0].instance_id);
    assert_eq!(tell(&mut client, both).await, told);
}

#[tokio::test]
async fn a_long_past_does_not_hide_what_is_there() {
    let world = World::start_on(Engine::Postgres).await;
    let host = world.join("db1").await;
    let mut client = host.client(&world).await;
    let report = || vec![instance(5432, vec![database(16_384, "shop")])];
    let told = tell(&mut client, report()).await;
    // As many rows of things that are gone, and older ones, as would fill every list.
    let columns = "system_identifier, data_directory, socket_directory, server_version_num, \
         labels_json, inventory_json, create_time, last_seen_time";
    world.psql(&format!(
        "INSERT INTO instance (id, agent_id, name, version, state, port, {columns}) \
         SELECT '00000000-0000-0000-0000-' || lpad(n::text, 12, '0'), agent_id, 'gone-' || n, 1, \
         'gone', 10000 + n, system_identifier, data_directory, socket_directory, \
         server_version_num, labels_json, inventory_json, 0, 0 \
         FROM instance, generate_series(1, 300) AS n"
    ));
    let columns = "instance_id, size_bytes, owner, encoding, collation_name, ctype, \
         locale_provider, is_template, allows_connections, extensions_json, labels_json";
    world.psql(&format!(
        "INSERT INTO database (id, oid, name, state, create_time, last_seen_time, {columns}) \
         SELECT '00000000-0000-0000-0000-' || lpad(n::text, 12, '0'), 100000 + n, 'gone', 'gone', \
         0, 0, {columns} FROM database, generate_series(1, 20001) AS n"
    ));
    assert_eq!(tell(&mut client, report()).await, told);
    // One of the past that is there again is itself.
    let again = vec![instance(
        5432,
        vec![database(16_384, "shop"), database(120_001, "back")],
    )];
    assert_eq!(tell(&mut client, again).await, told);
    let main = shown(&world, "db1").await;
    assert_eq!(names(&main), ["back", "shop"]);
    assert_eq!(world.shown("db1").await.instance_count, 1);
}

#[tokio::test]
async fn an_instance_is_shown_however_much_there_is_of_it() {
    let world = World::start_on(Engine::Postgres).await;
    let host = world.join("db1").await;
    let mut client = host.client(&world).await;
    tell(
        &mut client,
        vec![instance(5432, vec![database(16_384, "a")])],
    )
    .await;
    let columns = "instance_id, size_bytes, owner, encoding, collation_name, ctype, \
         locale_provider, is_template, allows_connections, labels_json, create_time, \
         last_seen_time";
    world.psql(&format!(
        "INSERT INTO database (id, oid, name, state, extensions_json, {columns}) \
         SELECT gen_random_uuid(), 100000 + n, 'b' || n, 'present', \
         '[[\"' || repeat('x', 12000) || '\", \"1\"]]', {columns} \
         FROM database, generate_series(1, 500) AS n"
    ));
    let shown = shown(&world, "db1").await;
    assert_eq!(shown.database_count, 501);
    assert!((100..500).contains(&shown.databases.len()));
    let told = format!("{} more databases", 501 - shown.databases.len());
    assert!(shown.warnings[0].starts_with(&told), "{:?}", shown.warnings);
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_whole() {
    let world = World::start().await;
    let host = world.join("db1").await;
    let mut client = host.client(&world).await;
    let mut bad = instance(5432, vec![]);
    bad.port = 70_000;
    let request = agent::SyncInventoryRequest {
        instances: vec![instance(5433, vec![]), bad],
    };
    let error = client.sync_inventory(request).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    let many = (1..=300).map(|port| instance(port, vec![])).collect();
    let request = agent::SyncInventoryRequest { instances: many };
    let error = client.sync_inventory(request).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    assert_eq!(world.shown("db1").await.instance_count, 0);
}
