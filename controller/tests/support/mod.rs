//! What the tests of this crate share: a PostgreSQL server that lives as long as somebody uses it.

pub(crate) mod postgres;
