//! What operators read, as snapshots: help, lists, facts, ends of runs, errors. The messages are
//! made up; the renderers are those of the commands.

mod ends;
mod errors;
mod facts;
mod fixtures;
mod help;
mod lists;
