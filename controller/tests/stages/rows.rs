//! Rows of the fleet as agents would have told of them.

use crate::world::World;
use provado_controller::fleet::model as fleet;
use provado_model::id::{AgentId, DatabaseId, InstanceId};

impl World {
    pub(crate) fn instance_row(&self, id: InstanceId, name: &str, version: u32) -> fleet::Instance {
        fleet::Instance {
            id,
            agent: self.agent,
            name: name.to_owned(),
            state: fleet::InstanceState::Up,
            version: 1,
            system_identifier: format!("70000000000000{version}"),
            data_directory: "/var/lib/postgresql/15/main".to_owned(),
            host: "/var/run/postgresql".to_owned(),
            port: 5_432,
            server_version_number: version,
            in_recovery: false,
            size_bytes: 1,
            labels: fleet_labels(),
            facts: fleet::InstanceFacts::default(),
            create_time: self.core.clock.now(),
            last_seen_time: self.core.clock.now(),
        }
    }
}

fn fleet_labels() -> provado_model::label::Labels {
    provado_model::label::Labels::new()
}

pub(crate) fn agent_row(id: AgentId, name: &str, key: &str, now: jiff::Timestamp) -> fleet::Agent {
    fleet::Agent {
        id,
        name: name.to_owned(),
        state: fleet::AgentState::Active,
        state_reason: None,
        version: 1,
        labels: fleet_labels(),
        host: fleet::Host::default(),
        capabilities: Vec::new(),
        protocol_version: 1,
        signing_public_key: key.to_owned(),
        sealing_recipient: None,
        certificate_generation: 1,
        machine_id: None,
        draining: false,
        create_time: now,
        last_seen_time: None,
        witness: None,
    }
}

pub(crate) fn database_row(
    id: DatabaseId,
    instance: InstanceId,
    name: &str,
    oid: u32,
) -> fleet::Database {
    fleet::Database {
        id,
        instance,
        oid,
        name: name.to_owned(),
        state: fleet::DatabaseState::Present,
        size_bytes: 10,
        owner: "postgres".to_owned(),
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        collation_version: None,
        actual_collation_version: None,
        allows_connections: true,
        extensions: Vec::new(),
        create_time: jiff::Timestamp::UNIX_EPOCH,
        last_seen_time: jiff::Timestamp::UNIX_EPOCH,
    }
}
