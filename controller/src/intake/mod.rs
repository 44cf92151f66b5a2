//! Takes reports of agents in: judges what an attempt came to, and ends run and attempt with it.
//!
//! ReportService is the only way an attempt ends well. A report is held against the attempt that it
//! names, which must be the reporting agent's own; a late one changes nothing, a repeated one gets
//! the same answer, a different one is refused and written down. A backup enters the catalogue in
//! the transaction that ends its run (INV-COMMIT); one that the catalogue has lost comes back in
//! the transaction that ends the scan which found it. It sends nothing to agents and checks nothing
//! in repositories.

mod api;
mod expect;
mod found;
mod judge;
mod log;
mod settle;
mod wire;

pub use api::Reports;
