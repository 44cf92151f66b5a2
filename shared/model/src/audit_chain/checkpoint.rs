//! What a controller signs about its audit chain, and what an agent remembers of it.

use super::ChainHead;
use std::str::FromStr;

/// A statement that the chain of one controller had this head in this epoch.
///
/// Its text has the shape of a C2SP tlog-checkpoint (origin, size, hash, extension lines), with the
/// head of the hash chain in the place of a tree's root. It is the body of a signed note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose chain it is: the controller's id.
    pub controller: String,
    /// The newest event.
    pub head: ChainHead,
    /// The controller's epoch.
    pub epoch: u64,
    /// When it was made, in microseconds since 1970-01-01 UTC.
    pub time_micros: i64,
    /// An operator has agreed to go on without the chains of epochs below this one, which were lost
    /// with a newer copy of the database; 0 for never.
    pub accepted_epoch: u64,
}

/// The text is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an audit checkpoint: {0}")]
pub struct CheckpointError(pub &'static str);

const ORIGIN: &str = "provado-audit/";
/// The line that is there only after an operator has agreed to go on without a lost chain.
const ACCEPTED: &str = "accepted-epoch ";

impl Checkpoint {
    /// The lines that are signed, each ended by a newline.
    pub fn body(&self) -> String {
        let accepted = match self.accepted_epoch {
            0 => String::new(),
            epoch => format!("{ACCEPTED}{epoch}\n"),
        };
        format!(
            "{ORIGIN}{}\n{}\n{}\nepoch {}\ntime {}\n{accepted}",
            self.controller, self.head.sequence, self.head.hash, self.epoch, self.time_micros
        )
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    /// Parses exactly what [`Checkpoint::body`] writes.
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split_terminator('\n');
        let mut next = |what| lines.next().ok_or(CheckpointError(what));
        let controller = next("the origin is missing")?
            .strip_prefix(ORIGIN)
            .ok_or(CheckpointError("the origin is another program's"))?
            .to_owned();
        let sequence = number(next("the size is missing")?)?;
        let hash = next("the hash is missing")?.to_owned();
        let epoch = number(tagged(next("the epoch is missing")?, "epoch ")?)?;
        let time_micros = number(tagged(next("the time is missing")?, "time ")?)?;
        let accepted_epoch = match lines.next() {
            Some(line) => number(tagged(line, ACCEPTED)?)?,
            None => 0,
        };
        let checkpoint = Self {
            controller,
            head: ChainHead { sequence, hash },
            epoch,
            time_micros,
            accepted_epoch,
        };
        if checkpoint.body() == text {
            Ok(checkpoint)
        } else {
            Err(CheckpointError("it is not in its one form"))
        }
    }
}

fn tagged<'a>(line: &'a str, tag: &str) -> Result<&'a str, CheckpointError> {
    line.strip_prefix(tag)
        .ok_or(CheckpointError("an extension line is missing"))
}

fn number<N: FromStr>(text: &str) -> Result<N, CheckpointError> {
    text.parse()
        .map_err(|_| CheckpointError("a number cannot be read"))
}
