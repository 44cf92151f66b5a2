//! Which errors of a server tell of its host, and not of what it was asked to take or to give: a
//! full disk, a missing library, locale or role, a backend that was ended. From these nothing
//! follows about a backup.
//!
//! SQLSTATEs are matched by class (PostgreSQL manual, appendix A); the server's words, in English,
//! only where a code is shared with errors of another kind.

/// Classes: insufficient resources, operator intervention, system error, configuration file,
/// internal error (which covers damaged pages and libraries that do not fit).
const CLASSES: &[&str] = &["53", "57", "58", "F0", "XX"];

/// Single codes: a lock not had in time, a deadlock, a server that only reads.
const CODES: &[&str] = &["55P03", "40P01", "25006"];

/// What the host lacks, by a part of the message.
const WORDS: &[&str] = &[
    "shared_preload_libraries",
    "must be preloaded",
    "could not create locale",
    "requires the server to be built with",
    "not supported in this build",
    "has no installation script nor update path for version",
];

/// Things that belong to an instance and not to a database: beginning and end of the message that
/// says they are not there.
const ABSENT: &[(&str, &str)] = &[
    ("role \"", "\" does not exist"),
    ("tablespace \"", "\" does not exist"),
    ("collation \"", " does not exist"),
    ("extension \"", "\" is not available"),
];

/// Whether an error of this SQLSTATE and message tells of the host.
pub fn is_of_the_host(sqlstate: &str, message: &str) -> bool {
    CLASSES.iter().any(|class| sqlstate.starts_with(class))
        || CODES.contains(&sqlstate)
        || WORDS.iter().any(|words| message.contains(words))
        || ABSENT
            .iter()
            .any(|(start, end)| message.starts_with(start) && message.ends_with(end))
}

/// The `log_line_prefix` that [`in_log_line`] reads: the SQLSTATE.
pub const LOG_LINE_PREFIX: &str = "[%e] ";

/// The trouble of the host that a line of a server's log tells of, if it does.
pub fn in_log_line(line: &str) -> Option<String> {
    let (sqlstate, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (severity, message) = rest.split_once(':')?;
    let message = message.trim_start();
    let is_error = matches!(severity, "ERROR" | "FATAL" | "PANIC" | "DETAIL");
    (is_error && is_of_the_host(sqlstate, message))
        .then(|| format!("{message} (SQLSTATE {sqlstate})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_troubles_are_told_from_the_databases() {
        for (sqlstate, message, expected) in [
            (
                "53100",
                "could not extend file: No space left on device",
                true,
            ),
            ("53200", "out of memory", true),
            (
                "57014",
                "canceling statement due to statement timeout",
                true,
            ),
            (
                "57P01",
                "terminating connection due to administrator command",
                true,
            ),
            (
                "58P01",
                "could not access file \"$libdir/postgis-3\": No such file",
                true,
            ),
            (
                "XX001",
                "invalid page in block 7 of relation base/5/16384",
                true,
            ),
            ("55P03", "canceling statement due to lock timeout", true),
            (
                "55000",
                "pg_cron must be loaded via shared_preload_libraries",
                true,
            ),
            ("42704", "role \"app\" does not exist", true),
            (
                "42704",
                "collation \"de_DE.utf8\" for encoding \"UTF8\" does not exist",
                true,
            ),
            ("42704", "type \"app.mood\" does not exist", false),
            (
                "42P01",
                "relation \"role \"x\" does not exist\" does not exist",
                false,
            ),
            (
                "22P02",
                "invalid input syntax for type integer: \"x\"",
                false,
            ),
            ("23505", "could not create unique index \"t_pkey\"", false),
        ] {
            assert_eq!(is_of_the_host(sqlstate, message), expected, "{message}");
        }
    }

    #[test]
    fn a_line_of_the_log_is_read_with_its_code() {
        let told = in_log_line("[53100] ERROR:  could not write block 3: No space left on device");
        assert_eq!(
            told.as_deref(),
            Some("could not write block 3: No space left on device (SQLSTATE 53100)")
        );
        for line in [
            "[53100] HINT:  Check free disk space.",
            "[57P01] LOG:  received immediate shutdown request",
            "[42P01] ERROR:  relation \"x\" does not exist",
            "[00000] STATEMENT:  SELECT 'shared_preload_libraries'",
            "ERROR:  out of memory",
            "\tand more",
            "",
        ] {
            assert_eq!(in_log_line(line), None, "{line}");
        }
    }
}
