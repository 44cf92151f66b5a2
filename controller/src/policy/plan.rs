//! Whether a repository may be declared so: pure.

use super::model::Repository;
use super::recipient;
use crate::request::Violations;
use provado_model::label::name_is_valid;
use provado_model::{Error, Reason};
use provado_proto::operator::v1::{CreateRepositoryRequest, RepositoryKind as WireKind};

/// Longest path of a directory (PATH_MAX of Linux, limits.h, counts the NUL).
const PATH_BYTES_MAX: usize = 4_095;
/// Recipients one repository may have.
const RECIPIENTS_MAX: usize = 20;

/// Notes everything that is wrong with a request by itself.
pub(super) fn check(request: &CreateRepositoryRequest, violations: &mut Violations) {
    if !name_is_valid(&request.repository_id) {
        violations.add(
            "repository_id",
            "must be 2 to 63 characters of a-z, 0-9 and -, starting with a letter",
        );
    }
    match request.kind() {
        WireKind::File => {}
        WireKind::Unspecified => violations.add("kind", "must be a kind of repository: file"),
    }
    if request.agent.is_empty() {
        violations.add("agent", "must name the agent whose host has the directory");
    }
    if let Err(problem) = check_path(&request.path) {
        violations.add("path", problem);
    }
    check_recipients(&request.recipients, violations);
}

/// The error for a request without any recipient: what it stored could be read by anybody.
pub(super) fn check_encryption(request: &CreateRepositoryRequest) -> Result<(), Error> {
    if request.recipients.is_empty() {
        return Err(Error::new(
            Reason::EncryptionKeyMissing,
            "a repository needs at least one age recipient; make one with `provado key create` \
             and give its public half",
        ));
    }
    Ok(())
}

/// A path is one place by one name: absolute, without `.`, `..` or doubled slashes.
fn check_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("must be at most {PATH_BYTES_MAX} bytes long"));
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err("must be an absolute directory".to_owned());
    };
    if path.chars().any(char::is_control) {
        return Err("must not hold control characters".to_owned());
    }
    if rest.is_empty() {
        return Err("must not be the root of the file system".to_owned());
    }
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("must not hold `.`, `..`, `//` or end in `/`".to_owned());
    }
    Ok(())
}

fn check_recipients(recipients: &[String], violations: &mut Violations) {
    if recipients.len() > RECIPIENTS_MAX {
        violations.add("recipients", format!("must be at most {RECIPIENTS_MAX}"));
        return;
    }
    for (index, text) in recipients.iter().enumerate() {
        let number = index.saturating_add(1);
        if let Err(problem) = recipient::check(text) {
            violations.add("recipients", format!("number {number}: {problem}"));
        } else if recipients.iter().take(index).any(|before| before == text) {
            violations.add("recipients", format!("number {number} stands there twice"));
        }
    }
}

/// Whether a directory overlaps one of the agent's other repositories: each would take the other's
/// objects for orphans.
pub(super) fn check_place(path: &str, others: &[Repository]) -> Result<(), String> {
    let overlap = others.iter().find(|other| {
        let other = other.facts.path.as_str();
        path == other || is_below(path, other) || is_below(other, path)
    });
    match overlap {
        None => Ok(()),
        Some(other) => Err(format!(
            "must not overlap the repository {}, which has {}",
            other.facts.name, other.facts.path
        )),
    }
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_place_by_one_name() {
        for good in ["/srv/backups", "/a", "/srv/ä b"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        for bad in [
            "", "/", "a", "./a", "/a/", "/a//b", "/a/../b", "/..", "/a/.", "/a\nb", &long,
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn neighbors_are_not_below_each_other() {
        assert!(is_below("/srv/a/b", "/srv/a"));
        assert!(!is_below("/srv/ab", "/srv/a"));
        assert!(!is_below("/srv/a", "/srv/a"));
    }
}
