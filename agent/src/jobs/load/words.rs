//! What `pg_restore` says: lines put together to messages, each given a class.

use crate::postgres::tools::{Severity, StderrLine};

/// Messages kept that say nothing of the result, or nothing bad.
const REMARKS_MAX: usize = 1000;
/// Messages kept in all; one that ends the restore is kept in any case.
const MESSAGES_MAX: usize = 10_000;
/// Characters of one message.
const MESSAGE_CHARACTERS_MAX: usize = 2000;

/// What a message means for the restored database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::jobs) enum Class {
    /// Says nothing about the result.
    Notice,
    /// An error whose effect is nothing, or is there anyway.
    Ignorable,
    /// Something of the backup is missing or different.
    Difference,
    /// The restore as a whole failed.
    Fatal,
}

impl Class {
    /// The word in an outcome.
    pub(in crate::jobs) const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Ignorable => "ignored",
            Self::Difference => "difference",
            Self::Fatal => "fatal",
        }
    }
}

/// One message: its first line and those that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::jobs) struct Message {
    pub(in crate::jobs) class: Class,
    pub(in crate::jobs) text: String,
}

impl Message {
    /// Whether it is about the making of an extension.
    pub(in crate::jobs) fn is_of_an_extension(&self) -> bool {
        self.text
            .lines()
            .any(|line| line.starts_with("Command was: CREATE EXTENSION "))
    }
}

/// Puts lines together.
#[derive(Debug, Default)]
pub(super) struct Words {
    messages: Vec<Message>,
    remark_count: usize,
    open: Option<(Severity, String)>,
}

impl Words {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &StderrLine) {
        let goes_on = !line.starts_message();
        match &mut self.open {
            Some((_, text)) if goes_on => {
                if text.chars().count() < MESSAGE_CHARACTERS_MAX {
                    text.push('\n');
                    text.push_str(&line.text);
                }
            }
            _ => {
                self.close();
                self.open = Some((line.severity, line.text.clone()));
            }
        }
    }

    /// All messages.
    pub(super) fn finish(mut self) -> Vec<Message> {
        self.close();
        self.messages
    }

    fn close(&mut self) {
        let Some((severity, text)) = self.open.take() else {
            return;
        };
        let class = classify(severity, &text);
        // A thousand grants that failed must not hide the table that is missing.
        let is_kept = match class {
            Class::Notice | Class::Ignorable => {
                self.remark_count += 1;
                self.remark_count <= REMARKS_MAX
            }
            Class::Difference => self.messages.len() < MESSAGES_MAX,
            Class::Fatal => true,
        };
        if is_kept {
            let text = text.chars().take(MESSAGE_CHARACTERS_MAX).collect();
            self.messages.push(Message { class, text });
        }
    }
}

/// Errors whose statement changes nothing that a restore is for. The server's words are matched
/// in English; on a server that speaks otherwise they count as differences, which is safe.
const IGNORABLE: &[&str] = &[
    // Made with the database; a dump creates it again when somebody commented on it.
    "schema \"public\" already exists",
    // Comments on extensions need their owner, who on many servers is a superuser.
    "must be owner of extension plpgsql",
    // A newer pg_dump sets it; an older server does not have it, and needs it not.
    "unrecognized configuration parameter \"transaction_timeout\"",
    "unrecognized configuration parameter \"idle_session_timeout\"",
];

/// What a message says, in English, of a server that is gone or has no room left: nothing after it
/// says anything of the backup. Beginnings of libpq's words or of the server's.
const GONE: &[&str] = &[
    "could not execute query: server closed the connection unexpectedly",
    "could not execute query: no connection to the server",
    "could not execute query: SSL SYSCALL error",
    "could not execute query: FATAL: ",
    "could not execute query: PANIC: ",
    "could not execute query: ERROR:  out of memory",
    "could not execute query: ERROR:  out of shared memory",
];
const NO_ROOM: &str = "No space left on device";

fn is_gone(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.ends_with(NO_ROOM) || GONE.iter().any(|words| first.contains(words))
}

fn classify(severity: Severity, text: &str) -> Class {
    match severity {
        Severity::Notice => Class::Notice,
        // "errors ignored on restore: 3" only sums up what was said before.
        Severity::Warning => Class::Notice,
        Severity::Fatal => Class::Fatal,
        Severity::Error if IGNORABLE.iter().any(|words| text.contains(words)) => Class::Ignorable,
        Severity::Error if is_gone(text) => Class::Fatal,
        Severity::Error if text.contains("could not execute query") => Class::Difference,
        Severity::Error if text.contains("COPY failed for table") => Class::Difference,
        Severity::Error => Class::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_not_lost_behind_what_does_not() {
        let mut words = Words::default();
        for _ in 0..2 * REMARKS_MAX {
            words.line(&StderrLine::new("pg_restore: warning: nothing".to_owned()));
        }
        for text in [
            "pg_restore: error: could not execute query: ERROR:  no such thing",
            "pg_restore: error: could not open input file \"toc.dat\": No such file",
        ] {
            words.line(&StderrLine::new(text.to_owned()));
        }
        let messages = words.finish();
        assert_eq!(messages.len(), REMARKS_MAX + 2);
        assert_eq!(messages[REMARKS_MAX].class, Class::Difference);
        assert_eq!(messages[REMARKS_MAX + 1].class, Class::Fatal);
    }

    #[test]
    fn lines_become_messages_with_a_class() {
        let mut words = Words::default();
        for text in [
            "pg_restore: error: could not execute query: ERROR:  schema \"public\" already exists",
            "Command was: CREATE SCHEMA public;",
            "",
            "pg_restore: while PROCESSING TOC:",
            "pg_restore: from TOC entry 215; 1259 16386 TABLE t postgres",
            "pg_restore: error: could not execute query: ERROR:  type \"x\" does not exist",
            "LINE 2:     a x",
            "pg_restore: error: COPY failed for table \"t\": ERROR:  value too long",
            "pg_restore: error: could not open input file \"toc.dat\": No such file",
            "pg_restore: error: could not execute query: server closed the connection unexpectedly",
            "\tThis probably means the server terminated abnormally",
            "pg_restore: error: could not execute query: ERROR:  could not extend file \"b/5/6\": \
             No space left on device",
            "pg_restore: error: could not execute query: ERROR:  could not access file \"x\"",
            "Command was: CREATE EXTENSION IF NOT EXISTS x WITH SCHEMA public;",
            "pg_restore: warning: errors ignored on restore: 3",
        ] {
            words.line(&StderrLine::new(text.to_owned()));
        }
        let messages = words.finish();
        let classes: Vec<Class> = messages.iter().map(|m| m.class).collect();
        assert_eq!(
            classes,
            [
                Class::Ignorable,
                Class::Difference,
                Class::Difference,
                Class::Fatal,
                Class::Fatal,
                Class::Fatal,
                Class::Difference,
                Class::Notice
            ]
        );
        let of_extensions: Vec<bool> = messages.iter().map(Message::is_of_an_extension).collect();
        assert_eq!(of_extensions.iter().filter(|is| **is).count(), 1);
        assert!(of_extensions[6]);
        assert!(messages[1].text.contains("LINE 2"));
    }
}
