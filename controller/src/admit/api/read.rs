//! Showing and listing runs.

use super::Runs;
use crate::admit::names::Names;
use crate::admit::wire::{self, View};
use crate::db::Tx;
use crate::lifecycle::run::{Run, RunFilter, run_list};
use crate::request::wire::time_of;
use crate::request::{Page, PageBytes, Violations, page_size};
use crate::resolve;
use jiff::Timestamp;
use prost::Message;
use provado_model::id::RunId;
use provado_model::{Error, Reason, time};
use provado_proto::operator::v1::{
    GetRunRequest, GetRunResponse, ListRunsRequest, ListRunsResponse, RunFilter as WireFilter,
};

const LIST: &str = "ListRuns";

impl Runs {
    pub(super) async fn get(&self, request: &GetRunRequest) -> Result<GetRunResponse, Error> {
        let mut tx = self.core.db.read().await?;
        let run = resolve::run(&mut tx, "name", &request.name).await?;
        let shown = self.show(&mut tx, &run).await?;
        Ok(GetRunResponse { run: Some(shown) })
    }

    pub(super) async fn list(&self, request: &ListRunsRequest) -> Result<ListRunsResponse, Error> {
        let size = page_size(request.page_size)?;
        let wanted = request.filter.clone().unwrap_or_default();
        let bound = wanted.encode_to_vec();
        let after = self.pages.read(LIST, &bound, &request.page_token)?;
        let after = after.as_deref().map(cursor).transpose()?;
        let mut tx = self.core.db.read().await?;
        let filter = filter_of(&mut tx, &wanted).await?;
        let rows = run_list(&mut tx, &filter, after, size.saturating_add(1)).await?;
        let page = Page::cut(rows, size);
        let mut names = Names::default();
        let mut bytes = PageBytes::default();
        let mut runs = Vec::with_capacity(page.rows.len());
        for run in &page.rows {
            let shown = self.show_as(&mut tx, &mut names, run, View::Row).await?;
            if !bytes.takes(&shown) {
                break;
            }
            runs.push(shown);
        }
        let has_more = page.has_more || runs.len() < page.rows.len();
        let last = page.rows.get(..runs.len()).and_then(<[Run]>::last);
        let next_page_token = match last {
            Some(last) if has_more => {
                let key = format!("{}/{}", time::to_micros(last.request_time), last.id);
                self.pages.make(LIST, &bound, &key)
            }
            Some(_) | None => String::new(),
        };
        Ok(ListRunsResponse {
            runs,
            next_page_token,
        })
    }
}

fn cursor(key: &str) -> Result<(Timestamp, RunId), Error> {
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

async fn filter_of(tx: &mut Tx, wanted: &WireFilter) -> Result<RunFilter, Error> {
    let mut violations = Violations::default();
    let mut filter = RunFilter {
        kinds: wire::kinds(&wanted.kinds, &mut violations),
        states: wire::states(&wanted.states, &mut violations),
        ..RunFilter::default()
    };
    let from = time_of("filter.start_time", wanted.start_time.as_ref());
    filter.from_time = violations.take(from).flatten();
    let until = time_of("filter.end_time", wanted.end_time.as_ref());
    filter.until_time = violations.take(until).flatten();
    violations.finish()?;
    if !wanted.instance.is_empty() {
        let instance = resolve::instance(tx, "filter.instance", &wanted.instance).await?;
        filter.instance_id = Some(instance.id);
    }
    if !wanted.database_name.is_empty() {
        filter.database_name = Some(wanted.database_name.clone());
    }
    if !wanted.parent_run.is_empty() {
        let parent = resolve::run(tx, "filter.parent_run", &wanted.parent_run).await?;
        filter.parent_run_id = Some(parent.id);
    }
    Ok(filter)
}
