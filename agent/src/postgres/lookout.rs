//! A connection for looking on while others work: made when it is first needed, made anew after it
//! was lost. Looking never ends anybody's work, so nothing here is an error.

use super::activity::HOUSEKEEPING;
use super::connection::ServerAddress;
use sqlx::PgConnection;

/// A place to look from.
#[derive(Debug)]
pub struct Lookout {
    address: ServerAddress,
    connection: Option<PgConnection>,
}

impl Lookout {
    /// Not connected yet.
    pub fn new(address: &ServerAddress) -> Self {
        Self {
            address: address.clone(),
            connection: None,
        }
    }

    /// The connection, if the server can be asked now.
    pub async fn connection(&mut self) -> Option<&mut PgConnection> {
        if self.connection.is_none() {
            let database = &self.address.maintenance_database;
            self.connection = self.address.connect(database, HOUSEKEEPING).await.ok();
        }
        self.connection.as_mut()
    }

    /// The last question failed: the next one goes over a new connection.
    pub fn lose(&mut self) {
        self.connection = None;
    }
}
