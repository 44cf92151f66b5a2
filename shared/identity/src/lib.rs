//! Who is who: keys, certificates, join tokens, TLS configuration, signatures.
//!
//! | module | owns |
//! |---|---|
//! | [`ca`] | the embedded certificate authorities and what they issue |
//! | [`csr`] | a TLS key and its certificate request, made where the key lives |
//! | [`keys`] | the keys of one agent, on its disk |
//! | [`names`] | identities as SPIFFE URIs, and how one is read from a certificate |
//! | [`pin`] | the fingerprint by which a machine trusts an authority at first contact |
//! | [`token`] | the one-time join token and the string that carries it |
//! | [`tls`] | rustls configurations of both listeners and of their clients |
//! | [`signing`], [`signed_note`] | Ed25519 signatures and the signed text form |
//! | [`files`] | secrets on disk: private, atomic, refused when others can read them |
//!
//! The crate opens no connection, starts no task and knows no database: whether a certificate is
//! still wanted is asked of the caller through [`tls::ClientCertAllow`]. All cryptography is
//! aws-lc-rs, always named; the process-wide default provider of rustls is never used.
//!
//! Private keys of TLS come from the provider's own random source (AWS-LC's, seeded by the
//! system); serial numbers, token secrets and signing seeds come from the caller's `Entropy`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod ca;
pub mod csr;
mod digest;
pub mod files;
pub mod keys;
pub mod names;
pub mod pem;
pub mod pin;
pub mod signed_note;
pub mod signing;
pub mod tls;
pub mod token;

pub use ca::{Authorities, Authority, AuthorityKind, IssuedCertificate, ServerCredential};
pub use csr::TlsKey;
pub use digest::sha256;
pub use keys::AgentKeys;
pub use names::{PeerCertificate, PeerIdentity, TrustDomain};
pub use pin::Pin;
pub use signing::{KeyId, PublicKey, Signature, SigningKey};
pub use token::{Address, JoinToken, TokenHash};
