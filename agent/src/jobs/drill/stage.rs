//! The throw-away instance of one drill: started, given roles and an empty database, removed.

use crate::jobs::place::query_failed;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::{NoWatch, Work};
use crate::postgres::ServerAddress;
use crate::postgres::database::{self, Properties};
use crate::postgres::globals::{RoleRights, apply_setting, create_roles};
use crate::postgres::inspect::error_text;
use crate::postgres::sql::Statement;
use crate::postgres::throwaway::{Throwaway, ThrowawayError, ThrowawayPlan, Troubles};
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
    troubles: Troubles,
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
        let troubles = instance.troubles();
        Ok(Self {
            troubles,
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

    /// Gives the database its settings, privileges and owner. They are no part of the archive;
    /// one that this host does not take, such as the name of a locale, breaks the drill.
    pub(super) async fn properties(
        &self,
        backup: &OpenBackup,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        if !backup.reader.header().table_patterns.is_empty() {
            return Ok(());
        }
        let mut connection = self.maintenance().await?;
        let facts = backup.inventory.database.clone().unwrap_or_default();
        let properties = Properties {
            owner: true,
            privileges: true,
        };
        let applying = database::apply_properties(&mut connection, DATABASE, &facts, properties);
        let refused = work.watched(NoWatch, applying).await?;
        if refused.is_empty() {
            return Ok(());
        }
        Err(Error::new(Reason::ToolFailed, refused.join("; ")))
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

    /// Stops the instance and removes it. What it told of this host.
    pub(super) async fn end(self, work: &mut Work<'_>) -> Troubles {
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
            Ok(Ok(())) => return self.troubles,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        work.warn(format!(
            "the throw-away instance in {} was not removed whole: {error}; the agent's next start \
             tries again",
            self.address.host
        ));
        self.troubles
    }
}

fn start_error(error: &ThrowawayError) -> Error {
    Error::new(Reason::DrillBroken, error_text(error))
}
