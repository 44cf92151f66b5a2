//! Lists, watches and logs.

use crate::refusals::{assert_reason, fields};
use crate::reports;
use crate::world::World;
use futures_util::StreamExt;
use provado_model::Reason;
use provado_model::id::RunId;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::run_service_server::RunService;

/// A run's log as it is now.
pub(crate) async fn log_of(world: &World, run: RunId) -> Vec<String> {
    let request = operator::StreamLogsRequest {
        name: format!("runs/{run}"),
        follow: false,
    };
    let stream = world.runs.stream_logs(world.ask(request)).await.unwrap();
    let lines: Vec<_> = stream.into_inner().collect().await;
    lines
        .into_iter()
        .map(|line| line.unwrap().message)
        .collect()
}

#[tokio::test]
async fn a_watch_shows_now_then_every_change_and_ends_with_the_run() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    let request = operator::WatchRunRequest {
        name: format!("runs/{run}"),
        after_sequence: 0,
    };
    let stream = world
        .runs
        .watch_run(world.ask(request.clone()))
        .await
        .unwrap();
    let mut stream = stream.into_inner();
    let mut updates = vec![stream.next().await.unwrap().unwrap()];
    world.settle().await;
    updates.push(stream.next().await.unwrap().unwrap());
    let start = world.take_start();
    world.report(&start, world.backed_up(&start)).await.unwrap();
    while let Some(update) = stream.next().await {
        updates.push(update.unwrap());
    }
    assert!(
        updates
            .windows(2)
            .all(|pair| pair[0].sequence < pair[1].sequence)
    );
    let states: Vec<_> = updates
        .iter()
        .map(|update| update.run.as_ref().unwrap().state())
        .collect();
    assert_eq!(states.first(), Some(&operator::RunState::Requested));
    assert_eq!(states.last(), Some(&operator::RunState::Succeeded));
    // Who has seen the end sees nothing more, and the stream ends.
    let resumed = operator::WatchRunRequest {
        after_sequence: updates.last().unwrap().sequence,
        ..request
    };
    let stream = world.runs.watch_run(world.ask(resumed)).await.unwrap();
    assert_eq!(stream.into_inner().count().await, 0);
}

#[tokio::test]
async fn names_that_mean_no_run_or_two_are_refused() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    let get = async |name: String| {
        let request = operator::GetRunRequest { name };
        world.runs.get_run(world.ask(request)).await
    };
    let whole = run.to_string();
    get(whole[..8].to_owned()).await.unwrap();
    get(format!("runs/{}", &whole[28..])).await.unwrap();
    let unknown = uuid::Uuid::from_u128(9).to_string();
    assert_reason(get(format!("runs/{unknown}")).await, Reason::RunNotFound);
    assert_reason(get("runs/zzzz".to_owned()).await, Reason::RunNotFound);
    assert_reason(
        get("backups/abcd".to_owned()).await,
        Reason::InvalidArgument,
    );
    assert_reason(get(String::new()).await, Reason::InvalidArgument);
    // Every id of this form has a hyphen there.
    for database in ["crm", "shop", "crm", "shop"] {
        world.request_backup(database).await;
    }
    let mut seen = std::collections::BTreeMap::new();
    for (first, id) in list(&world, operator::RunFilter::default(), 1_000).await {
        seen.entry(first).or_insert_with(Vec::new).push(id);
    }
    assert!(!seen.is_empty());
}

/// Kind and name of every run that fits, over as many pages as it takes.
async fn list(
    world: &World,
    filter: operator::RunFilter,
    page_size: i32,
) -> Vec<(operator::RunKind, String)> {
    let mut token = String::new();
    let mut out = Vec::new();
    loop {
        let request = operator::ListRunsRequest {
            page_size,
            page_token: token,
            filter: Some(filter.clone()),
        };
        let answer = world.runs.list_runs(world.ask(request)).await.unwrap();
        let answer = answer.into_inner();
        out.extend(answer.runs.into_iter().map(|run| (run.kind(), run.name)));
        token = answer.next_page_token;
        if token.is_empty() {
            return out;
        }
    }
}

#[tokio::test]
async fn a_list_shows_every_run_once_and_filters_fit() {
    let world = World::new().await;
    world.with_repository().await;
    for database in ["shop", "crm", "shop"] {
        world.advance(1);
        world.request_backup(database).await;
    }
    let whole = world.request_backup("").await;
    world.settle().await;
    let all = list(&world, operator::RunFilter::default(), 2).await;
    // The init run, three backups, the whole instance and its two parts.
    assert_eq!(all.len(), 7);
    let unique: std::collections::BTreeSet<_> = all.iter().map(|(_, name)| name).collect();
    assert_eq!(unique.len(), 7);
    let count = async |change: &dyn Fn(&mut operator::RunFilter)| {
        let mut filter = operator::RunFilter::default();
        change(&mut filter);
        list(&world, filter, 3).await.len()
    };
    let backup = operator::RunKind::Backup.into();
    assert_eq!(count(&|it| it.kinds = vec![backup]).await, 6);
    let succeeded = operator::RunState::Succeeded.into();
    assert_eq!(count(&|it| it.states = vec![succeeded]).await, 1);
    assert_eq!(count(&|it| it.database_name = "shop".into()).await, 3);
    assert_eq!(count(&|it| it.instance = "main".into()).await, 6);
    assert_eq!(
        count(&|it| it.parent_run = format!("runs/{whole}")).await,
        2
    );
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    assert_eq!(count(&|it| it.start_time = at(1_700_000_003)).await, 4);
    assert_eq!(count(&|it| it.end_time = at(1_700_000_001)).await, 1);
    let request = operator::ListRunsRequest {
        page_size: -1,
        ..operator::ListRunsRequest::default()
    };
    let status = world.runs.list_runs(world.ask(request)).await.unwrap_err();
    assert_eq!(fields(&status), ["page_size"]);
    let request = operator::ListRunsRequest {
        filter: Some(operator::RunFilter {
            kinds: vec![99],
            states: vec![0],
            ..operator::RunFilter::default()
        }),
        ..operator::ListRunsRequest::default()
    };
    let status = world.runs.list_runs(world.ask(request)).await.unwrap_err();
    assert_eq!(fields(&status), ["filter.kinds", "filter.states"]);
}

#[tokio::test]
async fn a_followed_log_ends_with_the_run() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    let start = world.take_start();
    let request = operator::StreamLogsRequest {
        name: format!("runs/{run}"),
        follow: true,
    };
    let stream = world.runs.stream_logs(world.ask(request)).await.unwrap();
    let reader = stream.into_inner().count();
    let writer = async {
        world
            .report(&start, reports::failed("DISK_FULL"))
            .await
            .unwrap();
    };
    let (count, ()) = futures_util::join!(reader, writer);
    assert_eq!(count, 0);
}
