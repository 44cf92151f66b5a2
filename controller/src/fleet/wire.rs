//! Between the wire and the fleet's own types; every violation of a request at once.

use super::model::{Database, DatabaseState, Host, Instance, InstanceFacts, InstanceState};
use crate::request::Violations;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use provado_identity::ca::CaError;
use provado_model::id::{DatabaseId, InstanceId};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{DatabaseInventory, HostFacts, InstanceInventory};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;

/// Longest text that is kept of what an agent tells, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Entries of a list that are kept.
const LIST_MAX: usize = 1_000;
/// Longest PEM text of a certificate request, in bytes.
const REQUEST_PEM_BYTES_MAX: usize = 16 * 1024;

/// The secret of a join string as an agent sends it: 32 bytes in hex or base64url.
pub(super) fn token_secret(text: &str) -> Option<Vec<u8>> {
    let bytes = match text.len() {
        64 => HEXLOWER.decode(text.as_bytes()).ok()?,
        43 => BASE64URL_NOPAD.decode(text.as_bytes()).ok()?,
        _ => return None,
    };
    (bytes.len() == 32).then_some(bytes)
}

/// The DER of a certificate request in PEM.
pub(super) fn certificate_request(text: &str) -> Option<Vec<u8>> {
    if text.len() > REQUEST_PEM_BYTES_MAX {
        return None;
    }
    let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).ok()?;
    Some(der.as_ref().to_vec())
}

/// Why a certificate was not signed, for the one who asked.
pub(super) fn issue_error(error: CaError) -> Error {
    match error {
        CaError::Request(request) => {
            Error::new(Reason::InvalidArgument, request.to_string()).caused_by(request)
        }
        other => Error::internal("a certificate could not be signed").caused_by(other),
    }
}

/// At most [`TEXT_BYTES_MAX`] bytes of a text, on a character's boundary, without NUL.
pub(super) fn bounded(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end)
        .unwrap_or_default()
        .replace('\0', "\u{fffd}")
}

/// A `u32` as a length.
pub(super) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What a host tells of itself, bounded.
pub(super) fn host(facts: &HostFacts) -> Host {
    Host {
        hostname: bounded(&facts.hostname),
        os: bounded(&facts.os),
        architecture: bounded(&facts.architecture),
        agent_version: bounded(&facts.agent_version),
        cpu_count: u32::try_from(facts.cpu_count).unwrap_or(0),
        memory_bytes: u64::try_from(facts.memory_bytes).unwrap_or(0),
        boot_id: bounded(&facts.boot_id),
    }
}

/// An instance as an agent tells of it, parsed.
#[derive(Debug)]
pub(super) struct ToldInstance {
    /// The name its configuration wants.
    pub wanted_name: String,
    /// Decimal text; empty while the instance does not answer.
    pub system_identifier: String,
    /// Socket directory or host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its databases.
    pub databases: Vec<ToldDatabase>,
    data_directory: String,
    server_version_number: u32,
    in_recovery: bool,
    size_bytes: u64,
    facts: InstanceFacts,
}

/// A database as an agent tells of it, parsed.
#[derive(Debug)]
pub(super) struct ToldDatabase {
    /// Its oid.
    pub oid: u32,
    /// Its name.
    pub name: String,
    inventory: DatabaseInventory,
}

/// Parses what an agent tells of its instances. Error: `INVALID_ARGUMENT`.
pub(super) fn told_instances(
    inventory: Vec<InstanceInventory>,
) -> Result<Vec<ToldInstance>, Error> {
    let mut wrong = Violations::default();
    let told = inventory
        .into_iter()
        .map(|one| told_instance(one, &mut wrong))
        .collect();
    wrong.finish()?;
    Ok(told)
}

fn told_instance(one: InstanceInventory, wrong: &mut Violations) -> ToldInstance {
    let port = u16::try_from(one.port).ok().filter(|port| *port > 0);
    if port.is_none() {
        wrong.add("instances.port", "must be a port from 1 to 65535");
    }
    let identifier = one.system_identifier;
    if !identifier.is_empty() && identifier.parse::<u64>().is_err() {
        wrong.add(
            "instances.system_identifier",
            "must be a decimal number or empty",
        );
    }
    let databases = one
        .databases
        .into_iter()
        .filter_map(|inventory| {
            let oid = u32::try_from(inventory.oid).ok();
            if oid.is_none() || inventory.database_name.is_empty() {
                wrong.add("instances.databases", "must have an oid and a name");
            }
            oid.map(|oid| ToldDatabase {
                oid,
                name: bounded(&inventory.database_name),
                inventory,
            })
        })
        .collect();
    ToldInstance {
        wanted_name: one.wanted_name,
        system_identifier: identifier,
        host: bounded(&one.host),
        port: port.unwrap_or(0),
        databases,
        data_directory: bounded(&one.data_directory),
        server_version_number: u32::try_from(one.server_version_number).unwrap_or(0),
        in_recovery: one.in_recovery,
        size_bytes: u64::try_from(one.size_bytes).unwrap_or(0),
        facts: InstanceFacts {
            server_version: bounded(&one.server_version),
            settings: bounded_map(&one.settings),
            tool_directory: bounded(&one.tool_directory),
            tool_version: bounded(&one.tool_version),
            warnings: one
                .warnings
                .iter()
                .take(LIST_MAX)
                .map(|it| bounded(it))
                .collect(),
            unreachable_message: bounded(&one.unreachable_message),
        },
    }
}

fn bounded_map(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    map.iter()
        .take(LIST_MAX)
        .map(|(key, value)| (bounded(key), bounded(value)))
        .collect()
}

impl ToldInstance {
    /// Writes what was told into a row. An instance that does not answer keeps what was known.
    pub(super) fn apply(&self, row: &mut Instance, now: Timestamp) {
        row.last_seen_time = now;
        row.host.clone_from(&self.host);
        row.port = self.port;
        if self.facts.unreachable_message.is_empty() {
            row.state = InstanceState::Up;
            row.system_identifier.clone_from(&self.system_identifier);
            row.data_directory.clone_from(&self.data_directory);
            row.server_version_number = self.server_version_number;
            row.in_recovery = self.in_recovery;
            row.size_bytes = self.size_bytes;
            row.facts = self.facts.clone();
        } else {
            row.state = InstanceState::Down;
            row.facts
                .unreachable_message
                .clone_from(&self.facts.unreachable_message);
            row.facts.warnings.clone_from(&self.facts.warnings);
        }
    }
}

impl ToldDatabase {
    /// The row of this database.
    pub(super) fn row(
        &self,
        id: DatabaseId,
        instance: InstanceId,
        before: Option<&Database>,
        now: Timestamp,
    ) -> Database {
        let told = &self.inventory;
        let optional = |text: &str| Some(bounded(text)).filter(|text| !text.is_empty());
        Database {
            id,
            instance,
            oid: self.oid,
            name: self.name.clone(),
            state: DatabaseState::Present,
            size_bytes: u64::try_from(told.size_bytes).unwrap_or(0),
            owner: bounded(&told.owner),
            encoding: bounded(&told.encoding),
            collate: bounded(&told.collate),
            ctype: bounded(&told.ctype),
            locale_provider: bounded(&told.locale_provider),
            collation_version: optional(&told.collation_version),
            actual_collation_version: optional(&told.actual_collation_version),
            allows_connections: told.allow_connections,
            extensions: told
                .extensions
                .iter()
                .take(LIST_MAX)
                .map(|it| (bounded(&it.extension_name), bounded(&it.version)))
                .collect(),
            create_time: before.map_or(now, |before| before.create_time),
            last_seen_time: now,
        }
    }
}
