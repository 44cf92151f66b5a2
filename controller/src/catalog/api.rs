//! BackupService: shows and lists backups.

use super::store::proof_newest;
use super::wire::{self, Around};
use crate::db::Tx;
use crate::fleet::store::agent::agent_by_id;
use crate::fleet::store::instance::instance_by_id;
use crate::lifecycle::backup::{
    Backup, BackupCheck, BackupFilter, BackupKeep, backup_list, backup_pack_list, pack_damage_list,
};
use crate::lifecycle::controller::Core;
use crate::lifecycle::facts::{DamageFact, Detail, DifferenceFact, Facts};
use crate::lifecycle::run::{RunFilter, RunKind, RunState, run_list};
use crate::policy::{repository_by_id, repository_find};
use crate::request::{Page, PageBytes, PageTokens, Violations, fitting, page_size, status};
use crate::resolve;
use jiff::Timestamp;
use prost::Message;
use provado_model::id::BackupId;
use provado_model::label::Labels;
use provado_model::limits::MESSAGE_BYTES_MAX;
use provado_model::{Error, Reason, time};
use provado_proto::operator::v1::backup_service_server::BackupService;
use provado_proto::operator::v1::{
    self as operator, BackupFilter as WireFilter, GetBackupRequest, GetBackupResponse,
    ListBackupsRequest, ListBackupsResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

const LIST: &str = "ListBackups";
/// Packs shown of one backup.
const PACKS_MAX: u32 = 10_000;
/// Damaged packs named with one backup.
const DAMAGED_PACKS_MAX: u32 = 20;
/// Bytes of damage told with one backup, and with one of a list.
const DAMAGES_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4;
const DAMAGES_BYTES_IN_ROW_MAX: usize = 16 * 1024;
/// Rows looked through for one page when labels are asked for, which no index knows.
const LOOKED_AT_MAX: usize = 100_000;
/// Rows of them that are read at once.
const LOOKED_AT_ONCE: u32 = 1_000;

/// The last backup seen: its create time and id.
type Cursor = (Timestamp, BackupId);

/// The service.
#[derive(Debug, Clone)]
pub struct Backups {
    core: Core,
    pages: Arc<PageTokens>,
    looked_at_max: usize,
}

/// How much a message holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// Everything, packs included.
    Whole,
    /// A row of a list: no packs, and of damage only the beginning.
    Row,
}

impl Backups {
    /// The service.
    pub fn new(core: &Core) -> Self {
        Self {
            core: core.clone(),
            pages: Arc::new(PageTokens::new(core.page_key())),
            looked_at_max: LOOKED_AT_MAX,
        }
    }

    /// The service that looks through so many backups for one page of those with a label.
    #[must_use]
    pub const fn looking_at(mut self, rows_max: usize) -> Self {
        self.looked_at_max = rows_max;
        self
    }
}

#[tonic::async_trait]
impl BackupService for Backups {
    async fn get_backup(
        &self,
        request: Request<GetBackupRequest>,
    ) -> Result<Response<GetBackupResponse>, Status> {
        self.get(&request.into_inner().name)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn list_backups(
        &self,
        request: Request<ListBackupsRequest>,
    ) -> Result<Response<ListBackupsResponse>, Status> {
        self.list(&request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}

impl Backups {
    async fn get(&self, name: &str) -> Result<GetBackupResponse, Error> {
        let mut tx = self.core.db.read().await?;
        let backup = resolve::backup(&mut tx, "name", name).await?;
        let shown = show(&mut tx, &backup, View::Whole).await?;
        Ok(GetBackupResponse {
            backup: Some(shown),
        })
    }

    async fn list(&self, request: &ListBackupsRequest) -> Result<ListBackupsResponse, Error> {
        let size = page_size(request.page_size)?;
        let wanted = request.filter.clone().unwrap_or_default();
        let bound = wanted.encode_to_vec();
        let after = self.pages.read(LIST, &bound, &request.page_token)?;
        let after = after.as_deref().map(cursor).transpose()?;
        let mut tx = self.core.db.read().await?;
        let filter = filter_of(&mut tx, &wanted).await?;
        let limit = (after, size.saturating_add(1));
        let looked_at_max = self.looked_at_max;
        let found = labeled(&mut tx, &filter, &wanted.labels, limit, looked_at_max).await?;
        let page = Page::cut(found.rows, size);
        let mut bytes = PageBytes::default();
        let mut backups = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            let shown = show(&mut tx, row, View::Row).await?;
            if !bytes.takes(&shown) {
                break;
            }
            backups.push(shown);
        }
        let has_more = page.has_more || backups.len() < page.rows.len();
        let last = page.rows.get(..backups.len()).and_then(<[Backup]>::last);
        let shown_last = last.map(|last| (last.create_time, last.facts.id));
        let after = if has_more {
            shown_last
        } else {
            found.stopped_after
        };
        let next_page_token = after.map_or_else(String::new, |(create_time, id)| {
            let key = format!("{}/{id}", time::to_micros(create_time));
            self.pages.make(LIST, &bound, &key)
        });
        Ok(ListBackupsResponse {
            backups,
            next_page_token,
        })
    }
}

/// Backups that were found, and where looking went no further although there may be more.
struct Found {
    rows: Vec<Backup>,
    stopped_after: Option<Cursor>,
}

/// Backups that have all of these labels, at most `limit`, among the next `looked_at_max`.
async fn labeled(
    tx: &mut Tx,
    filter: &BackupFilter,
    labels: &Labels,
    (mut after, limit): (Option<Cursor>, u32),
    looked_at_max: usize,
) -> Result<Found, Error> {
    if labels.is_empty() {
        let rows = backup_list(tx, filter, after, limit).await?;
        return Ok(Found {
            rows,
            stopped_after: None,
        });
    }
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let at_once =
        u32::try_from(looked_at_max).map_or(LOOKED_AT_ONCE, |max| max.min(LOOKED_AT_ONCE));
    let mut out = Vec::new();
    let mut looked_at = 0_usize;
    loop {
        let rows = backup_list(tx, filter, after, at_once).await?;
        let Some(last) = rows.last() else {
            return Ok(Found {
                rows: out,
                stopped_after: None,
            });
        };
        after = Some((last.create_time, last.facts.id));
        looked_at = looked_at.saturating_add(rows.len());
        let fitting = rows.into_iter().filter(|row| {
            let has = |(key, value)| row.facts.labels.get(key) == Some(value);
            labels.iter().all(has)
        });
        out.extend(fitting);
        if out.len() >= wanted || looked_at >= looked_at_max {
            out.truncate(wanted);
            return Ok(Found {
                rows: out,
                stopped_after: after,
            });
        }
    }
}

async fn show(tx: &mut Tx, backup: &Backup, view: View) -> Result<operator::Backup, Error> {
    let facts = &backup.facts;
    let instance = instance_by_id(tx, facts.instance_id).await?;
    let repository = repository_by_id(tx, facts.repository_id).await?;
    // Who can read it is who has its repository, which is not for ever who made it.
    let reader = repository
        .as_ref()
        .map_or(facts.agent_id, |it| it.facts.agent);
    let agent = agent_by_id(tx, reader).await?;
    let around = Around {
        // The name it has now; the one it had then where the instance is forgotten.
        instance: instance.map_or_else(|| facts.instance_name.clone(), |it| it.name),
        repository: repository.map_or_else(|| facts.repository_id.to_string(), |it| it.facts.name),
        agent: agent.map_or_else(|| reader.to_string(), |it| it.name),
        proof: proof_newest(tx, facts.id).await?,
        damages: told(damages(tx, backup).await?, view),
        packs: match view {
            View::Whole => backup_pack_list(tx, facts.id, PACKS_MAX).await?,
            View::Row => Vec::new(),
        },
    };
    wire::backup(backup, around)
}

/// As much of the damage as goes into a message, and how much that leaves out.
fn told(damages: Vec<String>, view: View) -> Vec<String> {
    let bytes_max = match view {
        View::Whole => DAMAGES_BYTES_MAX,
        View::Row => DAMAGES_BYTES_IN_ROW_MAX,
    };
    let (mut out, left_count) = fitting(damages, bytes_max);
    if left_count > 0 {
        out.push(format!(
            "{left_count} more; see the log of the run that found them"
        ));
    }
    out
}

/// What the last check or drill that found damage said, for a backup that is corrupt; for another
/// one, which packs it shares with such a backup.
async fn damages(tx: &mut Tx, backup: &Backup) -> Result<Vec<String>, Error> {
    if backup.check_state != BackupCheck::Corrupt {
        let shared = pack_damage_list(tx, backup.facts.id, DAMAGED_PACKS_MAX).await?;
        let tell = |pack| {
            format!(
                "it needs the pack {pack}, which a check of another backup found damaged: check \
                 this one too"
            )
        };
        return Ok(shared.into_iter().map(tell).collect());
    }
    let filter = RunFilter {
        kinds: vec![RunKind::Check, RunKind::Drill],
        states: vec![RunState::Failed],
        backup_id: Some(backup.facts.id),
        ..RunFilter::default()
    };
    for run in run_list(tx, &filter, None, 20).await? {
        let facts = run.outcome.as_ref().map(Facts::from_json).transpose()?;
        let found = match facts.and_then(|facts| facts.detail) {
            Some(Detail::Check(check)) => check.damages.iter().map(damage).collect(),
            Some(Detail::Drill(drill)) => drill.differences.iter().map(difference).collect(),
            Some(_) | None => Vec::new(),
        };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn damage(fact: &DamageFact) -> String {
    if fact.entries.is_empty() {
        format!("{}: {}", fact.object_key, fact.message)
    } else {
        let entries = fact.entries.join(", ");
        format!("{}: {} (holds {entries})", fact.object_key, fact.message)
    }
}

fn difference(fact: &DifferenceFact) -> String {
    format!(
        "{}: {} should be {}, is {}",
        fact.object, fact.aspect, fact.expected, fact.found
    )
}

fn cursor(key: &str) -> Result<Cursor, Error> {
    let parsed = key.split_once('/').and_then(|(micros, id)| {
        let time = micros.parse().map(time::from_micros).ok()?;
        Some((time, id.parse().ok()?))
    });
    parsed.ok_or_else(|| {
        Error::new(
            Reason::PageTokenInvalid,
            "the page token cannot be understood; begin at the first page",
        )
    })
}

async fn filter_of(tx: &mut Tx, wanted: &WireFilter) -> Result<BackupFilter, Error> {
    let mut filter = BackupFilter {
        check_states: wanted
            .check_states
            .iter()
            .filter_map(|value| wire::check_in(*value))
            .collect(),
        ..BackupFilter::default()
    };
    if filter.check_states.len() != wanted.check_states.len() {
        return Err(Violations::of(
            "filter.check_states",
            "must be check states of backups",
        ));
    }
    if !wanted.include_pruned {
        filter.keep_states = vec![BackupKeep::Active, BackupKeep::Expired, BackupKeep::Pruning];
    }
    if !wanted.instance.is_empty() {
        let instance = resolve::instance(tx, "filter.instance", &wanted.instance).await?;
        filter.instance_id = Some(instance.id);
    }
    if !wanted.database_name.is_empty() {
        filter.database_name = Some(wanted.database_name.clone());
    }
    if !wanted.repository.is_empty() {
        let found = repository_find(tx, "filter.repository", &wanted.repository).await?;
        filter.repository_id = Some(found.facts.id);
    }
    Ok(filter)
}
