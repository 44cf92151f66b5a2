//! Everything that is wrong with a request, told at once.

use provado_model::{Error, Reason};

/// Collects what is wrong with the fields of a request.
#[derive(Debug, Default)]
pub struct Violations {
    list: Vec<(&'static str, String)>,
}

impl Violations {
    /// Notes that a field is wrong; the text continues the field's name ("must not be empty").
    pub fn add(&mut self, field: &'static str, problem: impl Into<String>) {
        self.list.push((field, problem.into()));
    }

    /// Notes what an error says of a field, and goes on without the value.
    pub fn take<T>(&mut self, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                if error.context.is_empty() {
                    self.list.push(("request", error.message));
                } else {
                    self.list.extend(error.context);
                }
                None
            }
        }
    }

    /// An error that says one field is wrong.
    pub fn of(field: &'static str, problem: impl Into<String>) -> Error {
        let problem = problem.into();
        Error::new(Reason::InvalidArgument, format!("{field}: {problem}")).with(field, problem)
    }

    /// Nothing, or one `INVALID_ARGUMENT` that names every field.
    pub fn finish(self) -> Result<(), Error> {
        if self.list.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self
            .list
            .iter()
            .map(|(field, problem)| format!("{field}: {problem}"))
            .collect();
        let mut error = Error::new(Reason::InvalidArgument, lines.join("; "));
        error.context = self.list;
        Err(error)
    }
}
