//! Backups: entered once, moved by version.

use crate::world::World;
use jiff::SignedDuration;
use provado_controller::lifecycle::backup::{
    Backup, BackupCheck, BackupFilter, BackupKeep, CheckStep, Keep, KeepStep, NewBackup, Selection,
    backup_check_apply, backup_countersign, backup_get, backup_insert, backup_keep_apply,
    backup_latest, backup_list,
};
use provado_controller::lifecycle::run::Inserted;
use provado_controller::resolve;
use provado_model::Reason;
use provado_model::id::{BackupId, InstanceId, RepositoryId, RunId};

impl World {
    fn new_backup(&self, instance: InstanceId, database: &str) -> NewBackup {
        let (clock, entropy) = (self.core.clock.as_ref(), self.core.entropy.as_ref());
        NewBackup {
            id: BackupId::new(clock, entropy),
            run_id: RunId::new(clock, entropy),
            attempt_id: None,
            agent_id: self.agent(),
            agent_public_key: "a2V5".into(),
            instance_id: instance,
            instance_name: "main".into(),
            system_identifier: "7300000000000000001".into(),
            database_id: None,
            database_name: database.into(),
            database_oid: u32::MAX,
            repository_id: RepositoryId::new(clock, entropy),
            parent_backup_id: None,
            selection: Selection::Full,
            snapshot_time: self.ctx().now,
            keep: Keep::ByPolicy,
            server_version_num: 150_018,
            tool_version: "15.18".into(),
            plain_bytes: 10,
            stored_bytes: 5,
            new_bytes: 2,
            segment_count: 3,
            new_segment_count: 1,
            table_count: 2,
            row_count: 100,
            encrypted: true,
            recipients: vec!["age1x".into(), "age1y".into()],
            manifest_sha256: "00".into(),
            record_sha256: "11".into(),
            signature: "c2ln".into(),
            countersignature: None,
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            summary: serde_json::json!({"warnings": ["a"]}),
        }
    }

    async fn enter(&self, new: &NewBackup) -> Backup {
        let mut tx = self.begin().await;
        let backup = backup_insert(&mut tx, &self.ctx(), new).await.unwrap();
        tx.commit().await.unwrap();
        backup.into_inner()
    }
}

pub(crate) async fn a_backup_is_entered_once_and_comes_back_whole(world: World) {
    let mut new = world.new_backup(world.instance(), "shop");
    let backup = world.enter(&new).await;
    assert_eq!(backup.facts, new);
    assert_eq!(backup.create_time, world.ctx().now);
    assert!(backup.is_usable());
    new.row_count = 0;
    let mut tx = world.begin().await;
    let again = backup_insert(&mut tx, &world.ctx(), &new).await.unwrap();
    assert_eq!(again, Inserted::Existing(backup.clone()));
    tx.commit().await.unwrap();
    assert_eq!(world.actions(new.id).await, ["backup.enter"]);

    for keep in [Keep::Forever, Keep::Until(world.ctx().now)] {
        let mut new = world.new_backup(world.instance(), "shop");
        new.keep = keep;
        assert_eq!(world.enter(&new).await.facts.keep, keep);
    }
    let mut tx = world.begin().await;
    let text = backup.facts.id.to_string();
    let found = resolve::backup(&mut tx, "backup", &text[28..])
        .await
        .unwrap();
    assert_eq!(found, backup);
    let error = resolve::backup(&mut tx, "backup", "backups/0000")
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::BackupNotFound);
}

pub(crate) async fn the_latest_backup_is_one_that_can_be_restored(world: World) {
    let instance = world.instance();
    let mut entered = Vec::new();
    for _ in 0..4 {
        world.advance(1);
        entered.push(world.enter(&world.new_backup(instance, "shop")).await);
    }
    world.advance(1);
    let mut schema = world.new_backup(instance, "shop");
    schema.selection = Selection::Schema;
    let schema = world.enter(&schema).await;
    world.enter(&world.new_backup(instance, "other")).await;
    world
        .enter(&world.new_backup(world.instance(), "shop"))
        .await;

    let latest = async |selection: Option<Selection>, repository: Option<RepositoryId>| {
        let mut tx = world.begin().await;
        let found = backup_latest(&mut tx, instance, "shop", repository, selection).await;
        found.unwrap().map(|backup| backup.facts.id)
    };
    assert_eq!(latest(None, None).await, Some(schema.facts.id));
    assert_eq!(
        latest(Some(Selection::Full), None).await,
        Some(entered[3].facts.id)
    );
    let repository = Some(entered[1].facts.repository_id);
    assert_eq!(latest(None, repository).await, Some(entered[1].facts.id));

    let ctx = world.ctx();
    let mut tx = world.begin().await;
    let corrupt = CheckStep::FoundCorrupt;
    backup_check_apply(&mut tx, &ctx, &entered[3], corrupt)
        .await
        .unwrap();
    let mut gone = entered[2].clone();
    for step in [KeepStep::Expire, KeepStep::BeginPrune] {
        gone = backup_keep_apply(&mut tx, &ctx, &gone, step).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(
        latest(Some(Selection::Full), None).await,
        Some(entered[1].facts.id)
    );

    let mut tx = world.begin().await;
    let filter = BackupFilter {
        instance_id: Some(instance),
        database_name: Some("shop".into()),
        check_states: vec![BackupCheck::Corrupt, BackupCheck::Proven],
        ..BackupFilter::default()
    };
    let found = backup_list(&mut tx, &filter, None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    let filter = BackupFilter {
        keep_states: vec![BackupKeep::Pruning],
        ..BackupFilter::default()
    };
    let found = backup_list(&mut tx, &filter, None, 10).await.unwrap();
    assert_eq!(found, [gone]);
    let mut after = None;
    let mut seen = 0;
    loop {
        let page = backup_list(&mut tx, &BackupFilter::default(), after, 2)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.create_time, last.facts.id));
        seen += page.len();
    }
    assert_eq!(seen, 7);
}

pub(crate) async fn findings_and_keeping_move_by_version(world: World) {
    let backup = world
        .enter(&world.new_backup(world.instance(), "shop"))
        .await;
    let ctx = world.ctx();
    let mut tx = world.begin().await;
    let signed = backup_countersign(&mut tx, &ctx, &backup, "c2lnMg")
        .await
        .unwrap();
    world.clock.advance(SignedDuration::from_secs(5));
    let later = world.ctx();
    let proven = backup_check_apply(&mut tx, &later, &signed, CheckStep::FoundProven).await;
    let proven = proven.unwrap();
    assert_eq!(proven.last_check_time, Some(later.now));
    let intact = backup_check_apply(&mut tx, &later, &proven, CheckStep::FoundIntact).await;
    let intact = intact.unwrap();
    // The lower level takes nothing back.
    assert_eq!(intact.check_state, BackupCheck::Proven);
    assert_eq!(intact.last_check_level.as_deref(), Some("intact"));
    assert_eq!(
        backup_get(&mut tx, backup.facts.id).await.unwrap(),
        Some(intact.clone())
    );
    let corrupt = CheckStep::FoundCorrupt;
    let error = backup_check_apply(&mut tx, &later, &proven, corrupt)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::VersionStale);
    let finish = KeepStep::FinishPrune;
    let error = backup_keep_apply(&mut tx, &later, &intact, finish)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::BackupUnusable);
    let expired = backup_keep_apply(&mut tx, &later, &intact, KeepStep::Expire)
        .await
        .unwrap();
    let held = backup_keep_apply(&mut tx, &later, &expired, KeepStep::Hold)
        .await
        .unwrap();
    assert_eq!(held.keep_state, BackupKeep::Active);
    tx.commit().await.unwrap();
    let expected = [
        "enter",
        "countersign",
        "found-proven",
        "found-intact",
        "expire",
        "hold",
    ];
    let actions = world.actions(backup.facts.id).await;
    assert_eq!(actions, expected.map(|verb| format!("backup.{verb}")));
}
