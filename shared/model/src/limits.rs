//! A number for everything that can grow. Sizes in bytes, spans in seconds, unless named.

/// Largest gRPC message either side accepts.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest outcome an agent may report; longer lists are cut and say so.
pub const REPORT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Log lines kept per attempt.
pub const LOG_LINES_MAX: usize = 10_000;
/// Longest log line kept.
pub const LOG_LINE_BYTES_MAX: usize = 4 * 1024;
/// Lines of a child's stderr kept at its end.
pub const STDERR_TAIL_LINES_MAX: usize = 100;
/// Bytes of a child's stderr kept at its end.
pub const STDERR_TAIL_BYTES_MAX: usize = 64 * 1024;
/// Seconds between heartbeats of an idle agent.
pub const HEARTBEAT_SECONDS: u64 = 10;
/// Seconds without a heartbeat after which an attempt is lost.
pub const LEASE_SECONDS_MAX: u64 = 60;
/// Seconds an offered attempt may stay unanswered.
pub const OFFER_SECONDS_MAX: u64 = 30;
/// Attempts of one run before it fails.
pub const RUN_ATTEMPTS_MAX: u32 = 3;
/// Attempts one agent works on at a time.
pub const AGENT_ATTEMPTS_MAX: usize = 4;
/// Seconds an agent certificate lives.
pub const CERTIFICATE_SECONDS: u64 = 24 * 60 * 60;
/// Seconds a join token may live at most.
pub const JOIN_TOKEN_SECONDS_MAX: u64 = 24 * 60 * 60;
/// Default page of a list.
pub const PAGE_SIZE_DEFAULT: u32 = 50;
/// Largest page of a list; larger requests are served this many.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// Hours an answer is kept for its request id.
pub const REQUEST_ID_HOURS: i64 = 24;
/// Seconds a unary call may take at most.
pub const CALL_SECONDS_MAX: u64 = 60;
/// Seconds the wall clock may be ahead of where it was last seen before deletes wait.
pub const CLOCK_JUMP_SECONDS_MAX: i64 = 60 * 60;
/// Seconds a clock that was ahead at a start must run evenly before it is believed.
pub const CLOCK_CALM_SECONDS: u64 = 60 * 60;
/// Labels on one thing.
pub const LABELS_MAX: usize = 32;
/// Patterns in one request.
pub const PATTERNS_MAX: usize = 100;
/// Databases one run of a whole instance may back up.
pub const DATABASES_PER_RUN_MAX: usize = 10_000;
/// Largest restore identity that may ride on a run.
pub const SEALED_IDENTITY_BYTES_MAX: usize = 16 * 1024;
