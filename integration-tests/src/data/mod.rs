//! Data for tests, demonstration and benchmarks: TPC-H as the specification generates it, and a
//! schema with everything that is hard to back up.

pub mod hostile;
pub mod shop;
pub mod tpch;
