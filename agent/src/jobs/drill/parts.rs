//! Large tables are read in parts, each a range of heap pages, so that several connections share
//! one: a database is often one large table and little else. A fingerprint is a sum over the rows
//! (`provado_archive::TableDigest`), so parts add up to the whole.

use super::contents::{Digest, Item};
use super::stage::Stage;
use crate::jobs::place::query_failed;
use crate::postgres::connection::PgError;
use provado_archive::CopyTarget;
use provado_model::Error;

/// Bytes of a dump that one part has about.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// Parts of one table at most.
const PARTS_MAX: u64 = 256;
/// Older servers read the whole table for each range (release notes of PostgreSQL 14).
const RANGES_SINCE_MAJOR: u32 = 14;

const PAGES: &str = "\
    SELECT pg_catalog.pg_relation_size($1::pg_catalog.text::pg_catalog.regclass) \
        / pg_catalog.current_setting('block_size')::pg_catalog.int8";

/// What to read from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// A COPY statement.
    Rows(String),
    /// A large object.
    LargeObject(u32),
}

/// One thing to read: a whole item, or a part of it.
#[derive(Debug)]
pub(super) struct Task {
    /// Place of the item in the list.
    pub(super) item: usize,
    /// Its name, for people.
    pub(super) object: String,
    /// Bytes, by which the largest come first.
    pub(super) byte_count: u64,
    pub(super) question: Question,
}

/// What an item is, before it is known how many parts it has.
pub(super) enum Whole {
    Table(CopyTarget),
    LargeObject(u32),
}

/// Tasks for all items, the largest first.
pub(super) async fn tasks(
    items: &[Item],
    wholes: Vec<Whole>,
    stage: &Stage,
) -> Result<Vec<Task>, Error> {
    let mut connection = stage.connect().await?;
    let mut out = Vec::new();
    for (number, (item, whole)) in items.iter().zip(wholes).enumerate() {
        let questions = match whole {
            Whole::LargeObject(oid) => vec![Question::LargeObject(oid)],
            Whole::Table(target) => {
                let is_large = item.byte_count >= 2 * PART_BYTES
                    && stage.tools.version.major >= RANGES_SINCE_MAJOR;
                let pages = if is_large {
                    pages(&mut connection, &target).await?
                } else {
                    0
                };
                let statements = statements(&target, item.byte_count, pages);
                statements.into_iter().map(Question::Rows).collect()
            }
        };
        let byte_count = item.byte_count / (questions.len() as u64).max(1);
        out.extend(questions.into_iter().map(|question| Task {
            item: number,
            object: item.object.clone(),
            byte_count,
            question,
        }));
    }
    out.sort_by_key(|task| std::cmp::Reverse(task.byte_count));
    Ok(out)
}

/// Pages of a table's heap; 0 where the server does not tell, as of a table that is not there.
async fn pages(connection: &mut sqlx::PgConnection, target: &CopyTarget) -> Result<u64, Error> {
    let found: Result<Option<i64>, _> = sqlx::query_scalar(PAGES)
        .bind(&target.relation)
        .fetch_one(connection)
        .await;
    match found {
        Ok(pages) => Ok(u64::try_from(pages.unwrap_or(0)).unwrap_or(0)),
        // Its own COPY will say what is wrong with it.
        Err(sqlx::Error::Database(_)) => Ok(0),
        Err(source) => Err(query_failed(&PgError::query("read a table's size", source))),
    }
}

/// The statements that read a table: one, or one for each of its ranges. The first range has no
/// beginning and the last no end, so that together they hold every row whatever the size is.
fn statements(target: &CopyTarget, byte_count: u64, pages: u64) -> Vec<String> {
    let count = (byte_count / PART_BYTES).min(PARTS_MAX).min(pages);
    let (Some(columns), 2..) = (&target.columns, count) else {
        return vec![target.copy_to_stdout()];
    };
    let relation = &target.relation;
    let bound = |number: u64| pages * number / count;
    (0..count)
        .map(|number| {
            let from = (number > 0).then(|| format!("ctid >= '({},0)'", bound(number)));
            let to = (number + 1 < count).then(|| format!("ctid < '({},0)'", bound(number + 1)));
            let range: Vec<String> = from.into_iter().chain(to).collect();
            let range = range.join(" AND ");
            format!("COPY (SELECT {columns} FROM ONLY {relation} WHERE {range}) TO STDOUT")
        })
        .collect()
}

/// Puts what was found of the parts into their items.
pub(super) fn join(items: &mut [Item], parts: Vec<(usize, Result<Digest, String>)>) {
    let mut seen = vec![false; items.len()];
    for (number, part) in parts {
        let (Some(item), Some(seen)) = (items.get_mut(number), seen.get_mut(number)) else {
            continue;
        };
        item.found = match (&item.found, part) {
            (Ok(sum), Ok(part)) if *seen => add(sum, &part),
            (Err(why), _) if *seen => Err(why.clone()),
            (_, part) => part,
        };
        *seen = true;
    }
}

fn add(sum: &Digest, part: &Digest) -> Result<Digest, String> {
    let number = |digest: &Digest| u128::from_str_radix(&digest.fingerprint, 16);
    let (Ok(a), Ok(b)) = (number(sum), number(part)) else {
        return Err("a fingerprint is no number".to_owned());
    };
    Ok(Digest {
        row_count: sum.row_count + part.row_count,
        fingerprint: format!("{:032x}", a.wrapping_add(b)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(columns: Option<&str>) -> CopyTarget {
        CopyTarget {
            relation: "s.\"T\"".to_owned(),
            columns: columns.map(str::to_owned),
        }
    }

    #[test]
    fn ranges_meet_and_have_no_ends() {
        let mib = 1024 * 1024;
        assert_eq!(
            statements(&target(Some("a, \"B\"")), 24 * mib, 1000),
            [
                "COPY (SELECT a, \"B\" FROM ONLY s.\"T\" WHERE ctid < '(333,0)') TO STDOUT",
                "COPY (SELECT a, \"B\" FROM ONLY s.\"T\" WHERE ctid >= '(333,0)' AND ctid < \
                 '(666,0)') TO STDOUT",
                "COPY (SELECT a, \"B\" FROM ONLY s.\"T\" WHERE ctid >= '(666,0)') TO STDOUT",
            ]
        );
        let whole = "COPY s.\"T\" (a) TO STDOUT";
        assert_eq!(statements(&target(Some("a")), 15 * mib, 1000), [whole]);
        assert_eq!(statements(&target(Some("a")), 24 * mib, 0), [whole]);
        assert_eq!(
            statements(&target(None), 24 * mib, 9),
            ["COPY s.\"T\" TO STDOUT"]
        );
        let many = statements(&target(Some("a")), 1 << 50, 1 << 40);
        assert_eq!(many.len() as u64, PARTS_MAX);
    }

    #[test]
    fn parts_add_up_and_one_that_cannot_be_read_spoils_the_whole() {
        let digest = |row_count, fingerprint: &str| Digest {
            row_count,
            fingerprint: fingerprint.to_owned(),
        };
        let item = |object: &str| Item {
            object: object.to_owned(),
            expected: digest(0, ""),
            found: Err("not read".to_owned()),
            byte_count: 0,
        };
        let mut items = ["a", "b", "c"].map(item);
        let ones = "f".repeat(32);
        join(
            &mut items,
            vec![
                (1, Ok(digest(3, &ones))),
                (0, Ok(digest(1, "0000000000000000000000000000000a"))),
                (1, Ok(digest(4, "00000000000000000000000000000003"))),
                (0, Err("gone".to_owned())),
                (0, Ok(digest(1, &ones))),
            ],
        );
        assert_eq!(items[0].found, Err("gone".to_owned()));
        let two = "00000000000000000000000000000002";
        assert_eq!(items[1].found, Ok(digest(7, two)));
        assert_eq!(items[2].found, Err("not read".to_owned()));
    }
}
