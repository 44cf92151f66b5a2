//! Large objects of the restored database, read by oid and fingerprinted as they were dumped.

use super::contents::{Digest, Session, Trouble, refused};
use crate::jobs::place::query_failed;
use crate::jobs::work::Hands;
use crate::postgres::connection::PgError;
use crate::postgres::inspect::error_text;
use provado_archive::CutPolicy;
use provado_archive::large_object::OpaqueScanner;
use provado_model::{Error, Reason};
use sqlx::PgConnection;

/// Bytes of a large object read at a time.
const LARGE_OBJECT_BYTES: i32 = 1024 * 1024;

const LARGE_OBJECT: &str = "SELECT pg_catalog.lo_get($1::oid, $2, $3)";

/// Reads large objects; connects at the first.
pub(super) struct LargeObjects {
    runtime: tokio::runtime::Runtime,
    connection: Option<PgConnection>,
}

impl LargeObjects {
    pub(super) fn new() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Reason::Busy, "cannot start a runtime").caused_by(error))?;
        Ok(Self {
            runtime,
            connection: None,
        })
    }

    pub(super) fn read(
        &mut self,
        session: &Session,
        oid: u32,
        hands: &Hands,
    ) -> Result<Digest, Trouble> {
        let broken = |error: &PgError| Trouble::Broken(query_failed(error));
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let (database, name) = (super::stage::DATABASE, &session.application_name);
                let connecting = session.address.connect(database, name);
                none.insert(self.runtime.block_on(connecting).map_err(|e| broken(&e))?)
            }
        };
        let reading = large_object(connection, oid, session.seed, hands);
        self.runtime.block_on(reading).map_err(|error| {
            // The server's refusal names the object; the connection goes on.
            match error.sqlstate() {
                Some(sqlstate) => refused(&sqlstate, &error_text(&error)),
                None => broken(&error),
            }
        })
    }
}

async fn large_object(
    connection: &mut PgConnection,
    oid: u32,
    seed: u64,
    hands: &Hands,
) -> Result<Digest, PgError> {
    let mut scanner = OpaqueScanner::new(seed, CutPolicy::default());
    let mut offset = 0_i64;
    loop {
        let bytes: Vec<u8> = sqlx::query_scalar(LARGE_OBJECT)
            .bind(i64::from(oid))
            .bind(offset)
            .bind(LARGE_OBJECT_BYTES)
            .fetch_one(&mut *connection)
            .await
            .map_err(|source| PgError::query("read a large object", source))?;
        if bytes.is_empty() {
            break;
        }
        scanner.feed_with_cuts(&bytes, |_| {});
        hands.meter.bytes(bytes.len() as u64);
        offset += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    }
    Ok(Digest {
        row_count: 0,
        fingerprint: data_encoding::HEXLOWER.encode(&scanner.finish().fingerprint),
    })
}
