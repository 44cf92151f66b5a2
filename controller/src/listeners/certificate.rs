//! The listeners' own certificates: issued by the controller's authorities, replaced in place long
//! before they end. Running connections keep what they began with.

use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use jiff::SignedDuration;
use provado_identity::Authorities;
use provado_identity::ca::{Authority, ServerNames};
use provado_identity::tls::LiveCertificate;
use provado_model::Error;
use provado_model::time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// How long a listener's certificate lives.
const LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// It is replaced when it ends sooner than this.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(15 * 24);

/// What the two listeners present.
#[derive(Debug)]
pub struct ServerCertificates {
    authorities: Arc<Authorities>,
    names: ServerNames,
    clock: Arc<dyn Clock>,
    /// Presented to agents.
    pub agents: Arc<LiveCertificate>,
    /// Presented to operators.
    pub operators: Arc<LiveCertificate>,
}

impl ServerCertificates {
    /// Issues both. Error: `INTERNAL` when an authority has ended or a name cannot be certified.
    pub fn issue(
        authorities: Arc<Authorities>,
        names: ServerNames,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let live = |authority: &Authority| {
            let made = authority.issue_server(&names, LIFETIME).map_err(cannot)?;
            LiveCertificate::new(made.chain, &made.key, Arc::clone(&clock)).map_err(cannot)
        };
        let agents = live(&authorities.agents)?;
        let operators = live(&authorities.operators)?;
        Ok(Self {
            authorities,
            names,
            clock,
            agents,
            operators,
        })
    }

    /// Replaces both now. After an error the old ones are still presented.
    pub fn replace(&self) -> Result<(), Error> {
        replace(&self.authorities.agents, &self.names, &self.agents)?;
        replace(&self.authorities.operators, &self.names, &self.operators)
    }

    /// Replaces those that end soon; whether any did.
    fn replace_due(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut replaced = false;
        for (authority, live) in [
            (&self.authorities.agents, &self.agents),
            (&self.authorities.operators, &self.operators),
        ] {
            if live.not_after().duration_since(now) < RENEW_BEFORE {
                replace(authority, &self.names, live)?;
                replaced = true;
            }
        }
        Ok(replaced)
    }
}

fn replace(
    authority: &Authority,
    names: &ServerNames,
    live: &LiveCertificate,
) -> Result<(), Error> {
    let made = authority.issue_server(names, LIFETIME).map_err(cannot)?;
    live.replace(made.chain, &made.key).map_err(cannot)
}

fn cannot<E: std::error::Error + Send + Sync + 'static>(source: E) -> Error {
    Error::internal("a listener's certificate could not be issued").caused_by(source)
}

/// Replaces the listeners' certificates in time.
#[derive(Debug)]
pub struct CertificateTask(pub Arc<ServerCertificates>);

#[async_trait]
impl Task for CertificateTask {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn period(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        Ok(if self.0.replace_due()? {
            Activity::Done
        } else {
            Activity::Idle
        })
    }
}
