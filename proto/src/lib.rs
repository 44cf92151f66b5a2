//! The wire: messages and stubs generated from the `.proto` files beside this crate.
//!
//! Nothing here decides anything. The contracts are documented in the `.proto` files themselves;
//! `proto/README.md` says how they may change. Message types need no feature; `client` and
//! `server` add the stubs.
// Generated code follows its generator's style, and its comments are those of the .proto files.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::large_enum_variant,
    clippy::doc_lazy_continuation,
    unreachable_pub,
    unused_qualifications
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

/// The encoded `FileDescriptorSet` of every file, with comments: for reflection, lint and the
/// breaking-change check.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/provado.binpb"));

/// What both sides of the agent protocol and the operator API share.
pub mod common {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/provado.common.v1.rs"));
    }
}

/// Spoken between agents and the controller.
pub mod agent {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/provado.agent.v1.rs"));
    }
}

/// Spoken between operators and the controller.
pub mod operator {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/provado.operator.v1.rs"));
    }
}

/// Kept in repositories for years: the manifest and the inventory in it.
pub mod repository {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/provado.repository.v1.rs"));
    }
}
