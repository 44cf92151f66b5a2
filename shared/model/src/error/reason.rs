//! The closed list of reasons. Each has a page `docs/errors/<REASON>.md`; a test holds the two
//! together. Add a reason here and its page in the same commit; never rename one.

use super::Kind;
use std::fmt;
use std::str::FromStr;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $kind:ident;)*) => {
        /// Why a call was refused or a run failed, for machines and for the search box.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason as sent, stored and documented.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The kind that goes with the reason.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

reasons! {
    /// A field of a request is malformed or out of range.
    InvalidArgument = "INVALID_ARGUMENT", Invalid;
    /// A request id came back with a different request.
    RequestIdReused = "REQUEST_ID_REUSED", Invalid;
    /// A page token does not fit the call.
    PageTokenInvalid = "PAGE_TOKEN_INVALID", Invalid;
    /// A shortened id or a name fits more than one thing.
    NameAmbiguous = "NAME_AMBIGUOUS", Invalid;
    /// A table or schema pattern matches nothing.
    PatternMatchesNothing = "PATTERN_MATCHES_NOTHING", Invalid;
    /// No or an unknown client certificate.
    CertificateInvalid = "CERTIFICATE_INVALID", Unauthenticated;
    /// The certificate is revoked, locked or no longer the newest of its agent.
    CertificateRevoked = "CERTIFICATE_REVOKED", Unauthenticated;
    /// A join token is unknown, spent or past its time.
    JoinTokenInvalid = "JOIN_TOKEN_INVALID", Unauthenticated;
    /// The caller's role does not allow the method.
    RoleForbids = "ROLE_FORBIDS", Forbidden;
    /// An agent spoke about something that is not its own.
    NotYours = "NOT_YOURS", Forbidden;
    /// A second session or an old certificate generation showed a cloned agent.
    AgentCloned = "AGENT_CLONED", Forbidden;
    /// No such agent.
    AgentNotFound = "AGENT_NOT_FOUND", NotFound;
    /// No such instance.
    InstanceNotFound = "INSTANCE_NOT_FOUND", NotFound;
    /// No such database.
    DatabaseNotFound = "DATABASE_NOT_FOUND", NotFound;
    /// No such repository.
    RepositoryNotFound = "REPOSITORY_NOT_FOUND", NotFound;
    /// No such run.
    RunNotFound = "RUN_NOT_FOUND", NotFound;
    /// No such backup.
    BackupNotFound = "BACKUP_NOT_FOUND", NotFound;
    /// No such proof.
    ProofNotFound = "PROOF_NOT_FOUND", NotFound;
    /// No profile says which controller to ask.
    ProfileMissing = "PROFILE_MISSING", NotFound;
    /// A file named on the command line cannot be read.
    FileUnreadable = "FILE_UNREADABLE", NotFound;
    /// A file named on the command line cannot be made or written.
    FileUnwritable = "FILE_UNWRITABLE", Unavailable;
    /// The controller cannot be reached, or the connection to it broke.
    ControllerUnreachable = "CONTROLLER_UNREACHABLE", Unavailable;
    /// No such caller.
    CallerNotFound = "CALLER_NOT_FOUND", NotFound;
    /// The name is taken.
    NameTaken = "NAME_TAKEN", AlreadyExists;
    /// The database to restore into exists.
    TargetExists = "TARGET_EXISTS", AlreadyExists;
    /// Someone else changed it first.
    VersionStale = "VERSION_STALE", Stale;
    /// The run has already ended.
    RunEnded = "RUN_ENDED", NotAllowedNow;
    /// Another run works on the same thing.
    RunInProgress = "RUN_IN_PROGRESS", NotAllowedNow;
    /// A newer attempt has taken the place of this one.
    AttemptSuperseded = "ATTEMPT_SUPERSEDED", NotAllowedNow;
    /// The same attempt was reported twice with different outcomes.
    OutcomeConflict = "OUTCOME_CONFLICT", NotAllowedNow;
    /// The backup is corrupt or gone, so it cannot be used.
    BackupUnusable = "BACKUP_UNUSABLE", NotAllowedNow;
    /// The agent is not connected.
    AgentOffline = "AGENT_OFFLINE", Unavailable;
    /// The agent is revoked or locked.
    AgentLocked = "AGENT_LOCKED", NotAllowedNow;
    /// The repository has not been initialized, or is not there.
    RepositoryMissing = "REPOSITORY_MISSING", NotAllowedNow;
    /// The place holds another repository.
    RepositoryMismatch = "REPOSITORY_MISMATCH", NotAllowedNow;
    /// The repository was written by a newer Provado.
    RepositoryTooNew = "REPOSITORY_TOO_NEW", Unsupported;
    /// The repository's directory may be read or written by others.
    RepositoryPermissions = "REPOSITORY_PERMISSIONS", NotAllowedNow;
    /// No recipient: what would be stored could be read by nobody or by anybody.
    EncryptionKeyMissing = "ENCRYPTION_KEY_MISSING", NotAllowedNow;
    /// The identity given cannot open the backup.
    IdentityWrong = "IDENTITY_WRONG", NotAllowedNow;
    /// No identity was given and the agent has none.
    IdentityMissing = "IDENTITY_MISSING", NotAllowedNow;
    /// PostgreSQL does not answer or refuses the agent.
    PostgresUnreachable = "POSTGRES_UNREACHABLE", Unavailable;
    /// The agent's role lacks rights that a backup needs.
    PostgresRights = "POSTGRES_RIGHTS", NotAllowedNow;
    /// No client tools of a fitting version on the host.
    ToolMissing = "TOOL_MISSING", NotAllowedNow;
    /// The client tool is older than the server.
    ToolTooOld = "TOOL_TOO_OLD", NotAllowedNow;
    /// The backup comes from a newer PostgreSQL than the target.
    TargetTooOld = "TARGET_TOO_OLD", NotAllowedNow;
    /// The instance is not the one the run was made for.
    TargetChanged = "TARGET_CHANGED", NotAllowedNow;
    /// Roles the backup needs are missing in the target.
    RolesMissing = "ROLES_MISSING", NotAllowedNow;
    /// Extensions the backup needs are missing on the target.
    ExtensionsMissing = "EXTENSIONS_MISSING", NotAllowedNow;
    /// One or more pre-checks failed; the message lists all of them.
    PrecheckFailed = "PRECHECK_FAILED", NotAllowedNow;
    /// Too little free disk.
    DiskFull = "DISK_FULL", Exhausted;
    /// Too many requests or attempts at once.
    Busy = "BUSY", Exhausted;
    /// A tool ended with an error, or without doing its work.
    ToolFailed = "TOOL_FAILED", Unavailable;
    /// The dump ended early or lacks data.
    DumpIncomplete = "DUMP_INCOMPLETE", Unavailable;
    /// A lock could not be had in time, or others waited behind ours too long.
    LockTimeout = "LOCK_TIMEOUT", Unavailable;
    /// The evidence of the attempt does not add up.
    EvidenceInsufficient = "EVIDENCE_INSUFFICIENT", Unavailable;
    /// What was read back from the repository differs from what was written.
    ReadBackDiffers = "READ_BACK_DIFFERS", Corrupt;
    /// A check found damaged or missing stored data.
    CheckFoundDamage = "CHECK_FOUND_DAMAGE", Corrupt;
    /// A drill found a difference: the backup is bad.
    DrillFoundDifference = "DRILL_FOUND_DIFFERENCE", Corrupt;
    /// The drill itself could not be carried out; nothing is known about the backup.
    DrillBroken = "DRILL_BROKEN", Unavailable;
    /// Some things of the backup are not in the restored database.
    RestoreDiffers = "RESTORE_DIFFERS", Corrupt;
    /// The repository could not be read or written.
    RepositoryIo = "REPOSITORY_IO", Unavailable;
    /// The audit chain does not verify.
    AuditChainBroken = "AUDIT_CHAIN_BROKEN", Corrupt;
    /// Agents or manifests know more than the controller's database.
    ControllerAmnesia = "CONTROLLER_AMNESIA", NotAllowedNow;
    /// The controller's clock is far ahead of where it was last seen; deletes wait.
    ClockJumped = "CLOCK_JUMPED", NotAllowedNow;
    /// The attempt's lease ended without a report, as often as the policy allows.
    AttemptsExhausted = "ATTEMPTS_EXHAUSTED", Unavailable;
    /// The agent would not take the attempt.
    AttemptRefused = "ATTEMPT_REFUSED", Unavailable;
    /// Canceled on request.
    Canceled = "CANCELED", Cancelled;
    /// The deadline passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED", TimedOut;
    /// The other side does not have this method or feature.
    Unimplemented = "UNIMPLEMENTED", Unsupported;
    /// The program is starting, stopping or has lost its database.
    ServiceUnavailable = "SERVICE_UNAVAILABLE", Unavailable;
    /// A bug or a violated invariant.
    Internal = "INTERNAL", Internal;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;
    /// The reason of this name; the text itself where there is none.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|r| r.as_str() == text)
            .ok_or_else(|| text.to_owned())
    }
}
