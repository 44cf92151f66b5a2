//! One transaction, on either engine.

use super::{Engine, Row, Sql, Value, translate};
use provado_model::Error;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, Sqlite, Transaction};
use std::fmt;

type OnCommit = Box<dyn FnOnce() + Send>;

/// A transaction. Dropped without [`Tx::commit`], everything in it is undone.
#[must_use = "a transaction that is not committed is undone"]
pub struct Tx {
    inner: Inner,
    on_commit: Vec<OnCommit>,
}

pub(super) enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction on {:?}", self.engine())
    }
}

impl Tx {
    pub(super) const fn new(inner: Inner) -> Self {
        Self {
            inner,
            on_commit: Vec::new(),
        }
    }

    /// Which engine it runs on.
    pub const fn engine(&self) -> Engine {
        match &self.inner {
            Inner::Sqlite(_) => Engine::Sqlite,
            Inner::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a statement; the number of rows it changed.
    pub async fn execute(&mut self, sql: Sql, values: &[Value]) -> Result<u64, Error> {
        match &mut self.inner {
            Inner::Sqlite(tx) => bind_sqlite(sql, values)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected()),
            Inner::Postgres(tx) => bind_postgres(sql, values)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err(|source| translate(source, sql.on(Engine::Sqlite)))
    }

    /// Runs a statement that must change exactly one row; any other number is a bug.
    pub async fn execute_one(&mut self, sql: Sql, values: &[Value]) -> Result<(), Error> {
        match self.execute(sql, values).await? {
            1 => Ok(()),
            count => Err(Error::internal(format!(
                "a statement on {} changed {count} rows instead of 1",
                sql.table()
            ))),
        }
    }

    /// Every row of the answer; the statement carries its own LIMIT.
    pub async fn fetch_all(&mut self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Error> {
        match &mut self.inner {
            Inner::Sqlite(tx) => bind_sqlite(sql, values)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(|row| Row::sqlite(row, sql)).collect()),
            Inner::Postgres(tx) => {
                bind_postgres(sql, values)
                    .fetch_all(&mut **tx)
                    .await
                    .map(|rows| {
                        rows.into_iter()
                            .map(|row| Row::postgres(row, sql))
                            .collect()
                    })
            }
        }
        .map_err(|source| translate(source, sql.on(Engine::Sqlite)))
    }

    /// The first row, if there is one.
    pub async fn fetch_optional(
        &mut self,
        sql: Sql,
        values: &[Value],
    ) -> Result<Option<Row>, Error> {
        match &mut self.inner {
            Inner::Sqlite(tx) => bind_sqlite(sql, values)
                .fetch_optional(&mut **tx)
                .await
                .map(|row| row.map(|row| Row::sqlite(row, sql))),
            Inner::Postgres(tx) => bind_postgres(sql, values)
                .fetch_optional(&mut **tx)
                .await
                .map(|row| row.map(|row| Row::postgres(row, sql))),
        }
        .map_err(|source| translate(source, sql.on(Engine::Sqlite)))
    }

    /// A row that must be there; its absence is a bug.
    pub async fn fetch_one(&mut self, sql: Sql, values: &[Value]) -> Result<Row, Error> {
        self.fetch_optional(sql, values).await?.ok_or_else(|| {
            Error::internal(format!("a row of {} that must exist does not", sql.table()))
        })
    }

    /// Something to do once the transaction is durable, such as waking a task. It must be quick
    /// and must not fail; it is dropped when the transaction is undone.
    pub fn on_commit(&mut self, action: impl FnOnce() + Send + 'static) {
        self.on_commit.push(Box::new(action));
    }

    /// Makes everything in it durable, then runs what [`Tx::on_commit`] collected.
    pub async fn commit(self) -> Result<(), Error> {
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        }
        .map_err(|source| translate(source, "COMMIT"))?;
        for action in self.on_commit {
            action();
        }
        Ok(())
    }

    /// Undoes everything in it, now rather than on drop.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.inner {
            Inner::Sqlite(tx) => tx.rollback().await,
            Inner::Postgres(tx) => tx.rollback().await,
        }
        .map_err(|source| translate(source, "ROLLBACK"))
    }
}

fn bind_sqlite(sql: Sql, values: &[Value]) -> Query<'static, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(sql.on(Engine::Sqlite));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Int(int) => query.bind(*int),
            Value::Bytes(bytes) => query.bind(bytes.clone()),
        };
    }
    query
}

fn bind_postgres(sql: Sql, values: &[Value]) -> Query<'static, Postgres, PgArguments> {
    let mut query = sqlx::query(sql.on(Engine::Postgres));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Int(int) => query.bind(*int),
            Value::Bytes(bytes) => query.bind(bytes.clone()),
        };
    }
    query
}
