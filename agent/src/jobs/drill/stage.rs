//! The throw-away instance of one drill: started, given roles and an empty database, removed.

use crate::jobs::place::query_failed;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::{NoWatch, Work};
use crate::postgres::ServerAddress;
use crate::postgres::connection::PgError;
use crate::postgres::database::{self, Properties};
use crate::postgres::globals::{RoleRights, apply_setting, create_roles};
use crate::postgres::inspect::error_text;
use crate::postgres::sql::Statement;
use crate::postgres::throwaway::{Throwaway, ThrowawayError, ThrowawayPlan};
use crate::postgres::tools::ToolSet;
use provado_model::{Error, Reason};
use sqlx::PgConnection;
use std::sync::{Arc, Mutex, PoisonError};

/// The database of a drill.
pub(super) const DATABASE: &str = "provado_drill";

/// A running throw-away instance.
pub(super) struct Stage {
    instance: Arc<Mutex<Option<Throwaway>>>,
    pub(super) address: ServerAddress,
    pub(super) tools: ToolSet,
    application_name: String,
}

impl Stage {
    /// Starts the instance.
    pub(super) async fn start(
        tools: ToolSet,
        jobs_count: u32,
        work: &mut Work<'_>,
    ) -> Result<Self, Error> {
        let config = &work.context.config;
        let plan = ThrowawayPlan {
            parent: config.drill_directory.clone(),
            tools: tools.clone(),
            user: config.drill_user.clone(),
            run: work.context.name.run,
            extra_settings: Vec::new(),
            jobs_count,
        };
        let application_name = work.hands.application_name.clone();
        let instance = work
            .blocking(NoWatch, move |hands| {
                Throwaway::start(&*hands.tools, &plan).map_err(|error| start_error(&error))
            })
            .await?;
        let address = instance.address().clone();
        Ok(Self {
            instance: Arc::new(Mutex::new(Some(instance))),
            address,
            tools,
            application_name,
        })
    }

    /// Makes roles and the empty database. Tells what could not be done.
    pub(super) async fn prepare(
        &self,
        backup: &OpenBackup,
        work: &mut Work<'_>,
    ) -> Result<Vec<String>, Error> {
        let query = |error| query_failed(&error);
        let mut connection = self.maintenance().await?;
        extensions_are_there(&mut connection, backup).await?;
        let roles = &backup.inventory.roles;
        let made = create_roles(&mut connection, roles, RoleRights::AsRecorded)
            .await
            .map_err(query)?;
        let mut remarks = made.remarks;
        let facts = backup.inventory.database.clone().unwrap_or_default();
        let major = self.tools.version.major;
        database::create(&mut connection, DATABASE, &facts, major)
            .await
            .map_err(query)?;
        // `money` is written by this setting; every other type's text is fixed by the session.
        let has_money = backup
            .inventory
            .relations
            .iter()
            .any(|r| r.columns.iter().any(|c| c.r#type.starts_with("money")));
        if let Some(value) = facts
            .server_settings
            .get("lc_monetary")
            .filter(|_| has_money)
        {
            let target = Statement::new("ALTER DATABASE ").identifier(DATABASE);
            let setting = format!("lc_monetary={value}");
            if let Err(error) = apply_setting(&mut connection, target, &setting).await {
                remarks.push(format!(
                    "columns of type money may differ: lc_monetary {value:?} of the source is not \
                     on this host: {}",
                    error_text(&error)
                ));
            }
        }
        work.hands.meter.beat();
        Ok(remarks)
    }

    /// Gives the database its settings, privileges and owner. Tells what could not be done.
    pub(super) async fn properties(
        &self,
        backup: &OpenBackup,
        work: &mut Work<'_>,
    ) -> Result<Vec<String>, Error> {
        if !backup.reader.header().table_patterns.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.maintenance().await?;
        let facts = backup.inventory.database.clone().unwrap_or_default();
        let properties = Properties {
            owner: true,
            privileges: true,
        };
        let applying = database::apply_properties(&mut connection, DATABASE, &facts, properties);
        work.watched(NoWatch, applying).await
    }

    async fn maintenance(&self) -> Result<PgConnection, Error> {
        self.address
            .connect(&self.address.maintenance_database, &self.application_name)
            .await
            .map_err(|error| query_failed(&error))
    }

    /// Connects to the database of the drill.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        self.address
            .connect(DATABASE, &self.application_name)
            .await
            .map_err(|error| query_failed(&error))
    }

    /// Stops the instance and removes it.
    pub(super) async fn end(self, work: &mut Work<'_>) {
        let instance = Arc::clone(&self.instance);
        let ended = tokio::task::spawn_blocking(move || {
            let taken = instance
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            taken.map_or(Ok(()), Throwaway::stop)
        })
        .await;
        let error = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        work.warn(format!(
            "the throw-away instance in {} was not removed whole: {error}; the agent's next start \
             tries again",
            self.address.host
        ));
    }
}

const EXTENSIONS: &str = "SELECT name::text FROM pg_catalog.pg_available_extensions";

/// An extension whose package is not on this host says nothing about the backup.
async fn extensions_are_there(
    connection: &mut PgConnection,
    backup: &OpenBackup,
) -> Result<(), Error> {
    let there: Vec<String> = sqlx::query_scalar(EXTENSIONS)
        .fetch_all(connection)
        .await
        .map_err(|source| query_failed(&PgError::query("list the extensions", source)))?;
    let wanted = backup
        .inventory
        .extensions
        .iter()
        .map(|e| &e.extension_name);
    let missing: Vec<&str> = wanted
        .filter(|name| !there.contains(name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Reason::ExtensionsMissing,
        format!(
            "this host does not have the extensions {}; install their packages",
            missing.join(", ")
        ),
    ))
}

fn start_error(error: &ThrowawayError) -> Error {
    Error::new(Reason::DrillBroken, error_text(error))
}
