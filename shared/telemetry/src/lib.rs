//! Logs, set up once and the same in every program: to standard error, as text or as JSON lines.
//!
//! | module | owns |
//! |---|---|
//! | [`options`] | what a configuration may choose, and how it is parsed |
//! | [`chain`] | an error and its causes as one sentence |
//! | `setup` | the subscriber |
//! | `otlp` | spans to an OpenTelemetry collector (feature `otlp`) |
//!
//! The crate keeps no state of its own: the only global thing is tracing's subscriber, set by
//! [`init`]. It reads no environment variable and no file; what it does comes from the program's
//! configuration.
//!
//! # What may be logged
//!
//! Nothing here can tell a secret from a name, so nothing is redacted here. Secrets stay out by
//! their types: `secrecy::SecretString` and the key and token types show `redacted` in their
//! debugging form. A message never holds a value of a row, a password, a join string or a key.
//! Dynamic parts are fields with dotted names and units (`backup.size_bytes`), beside a message
//! that reads alone. ERROR means that a person must act, WARN that the program recovered, INFO a
//! change of state.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod chain;
pub mod options;
#[cfg(feature = "otlp")]
mod otlp;
mod setup;

pub use chain::{Chain, chain};
pub use options::{Color, Format, LevelFilter, OptionError, OtlpEndpoint, TelemetryOptions};
pub use setup::{Guard, InitError, init, subscriber};
