//! Lists: the pages of a List call up to a number of rows, as one table or one JSON document. It
//! knows no list in particular; what a row looks like is the command's.

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::output::Report;
use crate::output::human::Now;
use prost::{Message, Name};
use provado_model::limits::PAGE_SIZE_MAX;
use provado_proto::operator::v1::{
    ListAgentsResponse, ListAuditEventsResponse, ListBackupsResponse, ListCallersResponse,
    ListInstancesResponse, ListJoinTokensResponse, ListProofsResponse, ListRepositoriesResponse,
    ListRunsResponse,
};

/// Rows of a list that has no limit of its own.
pub(crate) const ROWS_MAX: u32 = 100_000;

/// How many rows to show.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// How many at most.
    #[arg(
        long,
        default_value = "50",
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(ROWS_MAX))
    )]
    pub(crate) limit: u32,
}

/// Which page to ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// How many rows.
    pub(crate) size: i32,
    /// Where it begins.
    pub(crate) token: String,
}

/// The answer to a List call.
pub(crate) trait Page: Message + Name + Default {
    /// How many rows it has.
    fn row_count(&self) -> usize;
    /// Where the next page begins; empty at the end.
    fn next(&self) -> &str;
    /// Takes the rows of the page after it, and where that ends.
    fn extend(&mut self, next: Self);
}

macro_rules! pages {
    ($($answer:ident: $rows:ident;)*) => {$(
        impl Page for $answer {
            fn row_count(&self) -> usize {
                self.$rows.len()
            }

            fn next(&self) -> &str {
                &self.next_page_token
            }

            fn extend(&mut self, next: Self) {
                self.$rows.extend(next.$rows);
                self.next_page_token = next.next_page_token;
            }
        }
    )*};
}

pages! {
    ListAgentsResponse: agents;
    ListAuditEventsResponse: events;
    ListBackupsResponse: backups;
    ListCallersResponse: callers;
    ListInstancesResponse: instances;
    ListJoinTokensResponse: join_tokens;
    ListProofsResponse: proofs;
    ListRepositoriesResponse: repositories;
    ListRunsResponse: runs;
}

/// Gets a list and prints it.
pub(crate) async fn print<P: Page>(
    context: &Context,
    rows_max: u32,
    call: impl AsyncFnMut(Ask) -> Result<P>,
    render: impl FnOnce(&P, &Now) -> Report,
) -> Result<Exit> {
    let answer = all(rows_max, call).await?;
    context.print(&answer, |answer, now| whole(answer, render(answer, now)))
}

/// A list as it is shown: the rows, and a remark where there are more.
pub(crate) fn whole<P: Page>(answer: &P, mut report: Report) -> Report {
    if !answer.next().is_empty() {
        report.note("There are more; give a larger --limit, or narrow the list down.");
    }
    report
}

/// The first so many rows of a list.
pub(crate) async fn all<P: Page>(
    rows_max: u32,
    call: impl AsyncFnMut(Ask) -> Result<P>,
) -> Result<P> {
    let mut whole = P::default();
    each_page(rows_max, call, |page| {
        whole.extend(page);
        Ok(true)
    })
    .await?;
    Ok(whole)
}

/// Hands over page after page, until there are no more or `each` has had enough.
pub(crate) async fn each_page<P: Page>(
    rows_max: u32,
    mut call: impl AsyncFnMut(Ask) -> Result<P>,
    mut each: impl FnMut(P) -> Result<bool>,
) -> Result<()> {
    let mut left = usize::try_from(rows_max).unwrap_or(usize::MAX);
    let mut token = String::new();
    loop {
        let size = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE_SIZE_MAX);
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let page = call(Ask { size, token }).await?;
        let (rows, next) = (page.row_count(), page.next().to_owned());
        left = left.saturating_sub(rows);
        if !each(page)? || next.is_empty() || left == 0 {
            return Ok(());
        }
        if rows == 0 {
            return Err(CliError::answer("rows on a page that others follow"));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_proto::operator::v1::Agent;

    /// A list of so many agents, in pages of at most two; says which pages were asked for.
    fn served(count: usize, rows_max: u32) -> (Result<ListAgentsResponse>, Vec<Ask>) {
        let mut asked = Vec::new();
        let call = async |ask: Ask| {
            let from: usize = ask.token.parse().unwrap_or(0);
            let to = (from + usize::try_from(ask.size.min(2)).unwrap()).min(count);
            asked.push(ask);
            let agent = |number: usize| Agent {
                name: format!("agents/a{number}"),
                ..Agent::default()
            };
            Ok(ListAgentsResponse {
                agents: (from..to).map(agent).collect(),
                next_page_token: if to < count {
                    to.to_string()
                } else {
                    String::new()
                },
            })
        };
        let answer = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(all(rows_max, call));
        (answer, asked)
    }

    #[test]
    fn a_list_is_gathered_from_its_pages_up_to_the_limit() {
        let check = |count: usize, rows_max: u32, rows: usize, next: &str, pages: usize| {
            let (answer, asked) = served(count, rows_max);
            let answer = answer.unwrap();
            assert_eq!(answer.agents.len(), rows);
            assert_eq!(answer.next_page_token, next);
            assert_eq!(asked.len(), pages, "{asked:?}");
        };
        check(0, 50, 0, "", 1);
        check(2, 50, 2, "", 1);
        check(5, 50, 5, "", 3);
        check(5, 3, 3, "3", 2);
        check(5, 5, 5, "", 3);
        let (_, asked) = served(5, 3);
        let ask = |size: i32, token: &str| Ask {
            size,
            token: token.to_owned(),
        };
        assert_eq!(asked, [ask(3, ""), ask(1, "2")]);
        assert_eq!(served(1, ROWS_MAX).1, [ask(1000, "")]);
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        let call = async |_: Ask| {
            Ok(ListAgentsResponse {
                agents: Vec::new(),
                next_page_token: "again".to_owned(),
            })
        };
        let answer = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(all(50, call));
        assert_eq!(answer.unwrap_err().exit_code(), 70);
    }
}
