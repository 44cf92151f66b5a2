//! Collects what stands in the way, so that an operator is told all of it at once (B16).

use provado_model::{Error, Reason};

/// Problems found before anything was changed.
#[derive(Debug, Default)]
pub(super) struct Prechecks {
    problems: Vec<Error>,
}

impl Prechecks {
    /// Keeps a problem.
    pub(super) fn add(&mut self, problem: Error) {
        self.problems.push(problem);
    }

    /// The value, or its error kept as a problem.
    pub(super) fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// Whether there is none so far.
    pub(super) fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    /// Fails with the problem, or with all of them where there are several.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        if self.problems.len() < 2 {
            return self.problems.pop().map_or(Ok(()), Err);
        }
        let mut message = format!("{} pre-checks failed:", self.problems.len());
        for (number, problem) in self.problems.iter().enumerate() {
            let text = super::failure(problem).message;
            message = format!("{message}\n{}. {}: {text}", number + 1, problem.reason);
        }
        Err(Error::new(Reason::PrecheckFailed, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_keeps_its_reason_and_many_are_listed() {
        assert!(Prechecks::default().finish().is_ok());
        let disk = || Error::new(Reason::DiskFull, "too little room");
        let mut one = Prechecks::default();
        assert_eq!(one.take(Ok(1)), Some(1));
        one.add(disk());
        assert!(!one.passed());
        assert_eq!(one.finish().unwrap_err().reason, Reason::DiskFull);
        let mut two = Prechecks::default();
        two.add(disk());
        assert_eq!(
            two.take::<()>(Err(Error::new(Reason::ToolMissing, "no pg_dump"))),
            None
        );
        let error = two.finish().unwrap_err();
        assert_eq!(error.reason, Reason::PrecheckFailed);
        assert_eq!(
            error.message,
            "2 pre-checks failed:\n1. DISK_FULL: too little room\n2. TOOL_MISSING: no pg_dump"
        );
    }
}
