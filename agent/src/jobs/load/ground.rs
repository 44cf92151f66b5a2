//! What a new database must have, and must not have, before anything is restored into it.
//!
//! `template0` brings a schema `public` and the language `plpgsql`, also where the source had
//! dropped them; a dump does not take them away. And pg_dump leaves the schemas of chosen tables
//! out (`--table` in its manual), without which not one of them could be made.

use crate::jobs::place::query_failed;
use crate::jobs::source::OpenBackup;
use crate::postgres::connection::{PgError, ServerAddress};
use crate::postgres::sql::Statement;
use provado_archive::{DumpId, Toc};
use provado_model::Error;
use provado_proto::repository::v1::Inventory;
use std::collections::BTreeSet;

/// Whether all of the source database is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) enum Extent {
    /// All of it.
    Whole,
    /// A part, into which nothing is forced that the source lacked.
    Part,
}

/// Makes the new database `name` ready for the selected entries of the backup.
pub(in crate::jobs) async fn lay(
    address: &ServerAddress,
    (name, application_name): (&str, &str),
    backup: &OpenBackup,
    selected: &[DumpId],
    extent: Extent,
) -> Result<(), Error> {
    let statements = statements(&backup.toc, &backup.inventory, selected, extent);
    if statements.is_empty() {
        return Ok(());
    }
    let run = async {
        let mut connection = address.connect(name, application_name).await?;
        for statement in statements {
            statement
                .execute(&mut connection, "prepare the new database")
                .await?;
        }
        sqlx::Connection::close(connection)
            .await
            .map_err(|source| PgError::query("leave the new database", source))
    };
    run.await.map_err(|error| query_failed(&error))
}

fn statements(
    toc: &Toc,
    inventory: &Inventory,
    selected: &[DumpId],
    extent: Extent,
) -> Vec<Statement> {
    let mut out = Vec::new();
    if extent == Extent::Whole {
        if !inventory.schemas.iter().any(|s| s.schema_name == "public") {
            out.push(Statement::new("DROP SCHEMA IF EXISTS public"));
        }
        let extensions = &inventory.extensions;
        if !extensions.iter().any(|e| e.extension_name == "plpgsql") {
            out.push(Statement::new("DROP EXTENSION IF EXISTS plpgsql"));
        }
        return out;
    }
    let wanted: BTreeSet<DumpId> = selected.iter().copied().collect();
    let entries = toc.entries.iter().filter(|e| wanted.contains(&e.dump_id));
    let made: BTreeSet<&str> = entries
        .clone()
        .filter(|entry| entry.desc == "SCHEMA")
        .map(|entry| entry.tag.as_str())
        .collect();
    let needed: BTreeSet<&str> = entries
        .filter(|entry| entry.text_exact)
        .filter_map(|entry| entry.namespace.as_deref())
        .filter(|schema| *schema != "public" && !made.contains(schema))
        .collect();
    for schema in needed {
        out.push(Statement::new("CREATE SCHEMA IF NOT EXISTS ").identifier(schema));
    }
    out
}
