//! RepositoryService, and the task that notes what was made.

use crate::refusals::{assert_reason, fields};
use crate::reports;
use crate::world::{RECIPIENT, World};
use provado_model::Reason;
use provado_proto::agent::v1::StartAttempt;
use provado_proto::agent::v1::job::Kind;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::repository_service_server::RepositoryService;

async fn create(
    world: &World,
    request: operator::CreateRepositoryRequest,
) -> Result<operator::Repository, tonic::Status> {
    let answer = world
        .repositories
        .create_repository(world.ask(request))
        .await?;
    Ok(answer.into_inner().repository.unwrap())
}

async fn get(world: &World, name: &str) -> Result<operator::Repository, tonic::Status> {
    let request = operator::GetRepositoryRequest {
        name: name.to_owned(),
    };
    let answer = world
        .repositories
        .get_repository(world.ask(request))
        .await?;
    Ok(answer.into_inner().repository.unwrap())
}

#[tokio::test]
async fn a_repository_is_declared_made_and_shown() {
    let world = World::new().await;
    let made = create(&world, world.create_repository("local"))
        .await
        .unwrap();
    assert_eq!(made.name, "repositories/local");
    assert_eq!(made.agent, "agents/db1");
    assert_eq!(made.state(), operator::RepositoryState::Declared);
    assert_eq!(made.warnings.len(), 2, "{:?}", made.warnings);
    assert!(made.warnings[0].contains("only one recipient"));

    world.init("local").await;
    world.settle().await;
    let start = world.take_start();
    assert!(!must_exist(&start));
    world.report(&start, reports::init()).await.unwrap();
    world.settle().await;
    let ready = get(&world, "local").await.unwrap();
    assert_eq!(ready.state(), operator::RepositoryState::Ready);
    assert_eq!(ready.capabilities["link"], "yes");
    assert_eq!(ready.warnings.len(), 1);
    // Once more it is only looked for: what is not there any more is a disk that is not mounted.
    world.init("local").await;
    world.settle().await;
    assert!(must_exist(&world.take_start()));
    world.assert_rest().await;
}

fn must_exist(start: &StartAttempt) -> bool {
    match reports::kind(start) {
        Some(Kind::Init(job)) => job.must_exist,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_request_makes_one_repository_and_another_one_is_refused() {
    let world = World::new().await;
    let request = world.create_repository("local");
    let first = create(&world, request.clone()).await.unwrap();
    let changes = world.changes().await;
    let again = create(&world, request.clone()).await.unwrap();
    assert_eq!(again.uid, first.uid);
    let mut other = request.clone();
    other.path = "/elsewhere".to_owned();
    assert_reason(create(&world, other).await, Reason::RequestIdReused);
    let mut taken = world.create_repository("local");
    taken.path = "/elsewhere".to_owned();
    assert_reason(create(&world, taken).await, Reason::NameTaken);
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let world = World::new().await;
    let changes = world.changes().await;
    let mut request = world.create_repository("local");
    request.validate_only = true;
    create(&world, request).await.unwrap();
    assert_eq!(world.changes().await, changes);
    assert_reason(get(&world, "local").await, Reason::RepositoryNotFound);
}

#[tokio::test]
async fn every_wrong_field_is_told_at_once() {
    let world = World::new().await;
    let status = create(
        &world,
        operator::CreateRepositoryRequest {
            request_id: "x".to_owned(),
            repository_id: "Local".to_owned(),
            path: "../backups".to_owned(),
            recipients: vec![
                "age1x".to_owned(),
                RECIPIENT.to_owned(),
                RECIPIENT.to_owned(),
            ],
            ..operator::CreateRepositoryRequest::default()
        },
    )
    .await
    .unwrap_err();
    let wrong = fields(&status);
    let expected = [
        "request_id",
        "repository_id",
        "kind",
        "agent",
        "path",
        "recipients",
        "recipients",
    ];
    assert_eq!(wrong, expected, "{}", status.message());
}

#[tokio::test]
async fn what_is_not_there_or_overlaps_is_refused() {
    let world = World::new().await;
    let mut request = world.create_repository("local");
    request.recipients.clear();
    assert_reason(create(&world, request).await, Reason::EncryptionKeyMissing);
    let mut request = world.create_repository("local");
    request.agent = "agents/nobody".to_owned();
    assert_reason(create(&world, request).await, Reason::AgentNotFound);
    create(&world, world.create_repository("local"))
        .await
        .unwrap();
    for path in ["/srv/local", "/srv/local/inner", "/srv"] {
        let mut request = world.create_repository("second");
        request.path = path.to_owned();
        assert_reason(create(&world, request).await, Reason::InvalidArgument);
    }
}

#[tokio::test]
async fn a_list_goes_by_name_page_by_page() {
    let world = World::new().await;
    for name in ["cc", "aa", "bb"] {
        create(&world, world.create_repository(name)).await.unwrap();
    }
    let mut token = String::new();
    let mut names = Vec::new();
    loop {
        let request = operator::ListRepositoriesRequest {
            page_size: 2,
            page_token: token,
        };
        let answer = world
            .repositories
            .list_repositories(world.ask(request))
            .await;
        let answer = answer.unwrap().into_inner();
        assert!(answer.repositories.len() <= 2);
        names.extend(answer.repositories.into_iter().map(|it| it.name));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected = ["repositories/aa", "repositories/bb", "repositories/cc"];
    assert_eq!(names, expected);
    let request = operator::ListRepositoriesRequest {
        page_size: 0,
        page_token: "made-up".to_owned(),
    };
    let answer = world
        .repositories
        .list_repositories(world.ask(request))
        .await;
    assert_reason(answer, Reason::PageTokenInvalid);
}
