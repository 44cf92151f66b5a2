//! Names of the things that runs refer to by id, each looked up once.

use crate::db::Tx;
use crate::fleet::store::agent::agent_by_id;
use crate::fleet::store::instance::instance_by_id;
use crate::policy::repository_by_id;
use provado_model::Error;
use provado_model::id::{AgentId, InstanceId, RepositoryId};
use std::collections::BTreeMap;

/// Names by id; an id that means nothing any more is its own name.
#[derive(Debug, Default)]
pub(super) struct Names {
    agents: BTreeMap<AgentId, String>,
    instances: BTreeMap<InstanceId, String>,
    repositories: BTreeMap<RepositoryId, String>,
}

impl Names {
    pub(super) async fn agent(&mut self, tx: &mut Tx, id: AgentId) -> Result<String, Error> {
        if let Some(name) = self.agents.get(&id) {
            return Ok(name.clone());
        }
        let found = agent_by_id(tx, id).await?;
        let name = found.map_or_else(|| id.to_string(), |agent| agent.name);
        self.agents.insert(id, name.clone());
        Ok(name)
    }

    pub(super) async fn instance(&mut self, tx: &mut Tx, id: InstanceId) -> Result<String, Error> {
        if let Some(name) = self.instances.get(&id) {
            return Ok(name.clone());
        }
        let found = instance_by_id(tx, id).await?;
        let name = found.map_or_else(|| id.to_string(), |instance| instance.name);
        self.instances.insert(id, name.clone());
        Ok(name)
    }

    pub(super) async fn repository(
        &mut self,
        tx: &mut Tx,
        id: RepositoryId,
    ) -> Result<String, Error> {
        if let Some(name) = self.repositories.get(&id) {
            return Ok(name.clone());
        }
        let found = repository_by_id(tx, id).await?;
        let name = found.map_or_else(|| id.to_string(), |repository| repository.facts.name);
        self.repositories.insert(id, name.clone());
        Ok(name)
    }
}
