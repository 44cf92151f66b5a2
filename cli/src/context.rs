//! What every command has at hand: format, clock, entropy, the connection when it is needed.

use crate::connect::{self, Line};
use crate::error::{Exit, Result};
use crate::output::human::Now;
use crate::output::{self, Format, Report};
use crate::profile::Profile;
use prost::{Message, Name};
use provado_model::id::RequestId;
use provado_model::random::{Entropy, OsEntropy};
use provado_model::time::{Clock, SystemClock};
use provado_proto::operator::v1::access_service_client::AccessServiceClient;
use provado_proto::operator::v1::audit_service_client::AuditServiceClient;
use provado_proto::operator::v1::backup_service_client::BackupServiceClient;
use provado_proto::operator::v1::controller_service_client::ControllerServiceClient;
use provado_proto::operator::v1::fleet_service_client::FleetServiceClient;
use provado_proto::operator::v1::proof_service_client::ProofServiceClient;
use provado_proto::operator::v1::repository_service_client::RepositoryServiceClient;
use provado_proto::operator::v1::run_service_client::RunServiceClient;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tonic::Request;

/// Deadline of every unary call.
const CALL_SECONDS: u64 = 30;

/// What every command has at hand.
pub(crate) struct Context {
    /// How results are printed.
    pub(crate) format: Format,
    /// Which profile was asked for.
    pub(crate) profile: Option<PathBuf>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Random bytes.
    pub(crate) entropy: Arc<dyn Entropy>,
    channel: OnceCell<Line>,
}

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) async fn $name(&self) -> Result<$client<Line>> {
            Ok($client::new(self.channel().await?)
                .max_decoding_message_size(provado_model::limits::MESSAGE_BYTES_MAX))
        }
    )*};
}

impl Context {
    /// A context that connects when a command first needs it.
    pub(crate) fn new(format: Format, profile: Option<PathBuf>) -> Self {
        let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
        Self::on(format, profile, clock, entropy)
    }

    /// The same with the time and the random bytes given.
    pub(crate) fn on(
        format: Format,
        profile: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            format,
            profile,
            clock,
            entropy,
            channel: OnceCell::new(),
        }
    }

    /// The same as the operator of another profile.
    pub(crate) fn with_profile(&self, profile: PathBuf) -> Self {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Self::on(self.format, Some(profile), clock, entropy)
    }

    /// Now, where the operator is.
    pub(crate) fn now(&self) -> Now {
        Now::here(&*self.clock)
    }

    /// Whether results go out as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a message: as JSON where that is wanted, else as `render` words it.
    pub(crate) fn print<M: Message + Name>(
        &self,
        message: &M,
        render: impl FnOnce(&M, &Now) -> Report,
    ) -> Result<Exit> {
        if self.is_json() {
            output::print_json(message)?;
        } else {
            render(message, &self.now()).print();
        }
        Ok(Exit::Done)
    }

    /// A new request id: the same for every repeat of one command's call.
    pub(crate) fn request_id(&self) -> String {
        RequestId::new(&*self.clock, &*self.entropy).to_string()
    }

    async fn channel(&self) -> Result<Line> {
        self.channel
            .get_or_try_init(|| async {
                let profile = Profile::load(self.profile.as_deref())?;
                connect::connect(&profile, Arc::clone(&self.clock)).await
            })
            .await
            .cloned()
    }

    clients! {
        /// Callers and join tokens.
        access: AccessServiceClient;
        /// The audit chain.
        audit: AuditServiceClient;
        /// The catalogue.
        backups: BackupServiceClient;
        /// The controller itself.
        controller: ControllerServiceClient;
        /// Agents and instances.
        fleet: FleetServiceClient;
        /// Proofs.
        proofs: ProofServiceClient;
        /// Repositories.
        repositories: RepositoryServiceClient;
        /// Runs.
        runs: RunServiceClient;
    }
}

/// A request with the deadline that every unary call has.
pub(crate) fn unary<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(CALL_SECONDS));
    request
}
