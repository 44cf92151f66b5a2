//! Privileges as PostgreSQL writes them (`grantee=letters/grantor`), turned back into statements.

use crate::postgres::sql::Statement;

/// One `aclitem` (PostgreSQL manual, section 5.8).
#[derive(Debug, PartialEq, Eq)]
struct Item {
    /// Empty for PUBLIC.
    grantee: String,
    /// Letters, each with whether it may be granted on.
    letters: Vec<(char, bool)>,
}

/// Statements that give a database exactly these privileges; `None` for text that is none.
pub(super) fn statements(database: &str, privileges: &str) -> Option<Vec<Statement>> {
    if privileges.is_empty() {
        return Some(Vec::new());
    }
    let mut out = vec![
        Statement::new("REVOKE ALL ON DATABASE ")
            .identifier(database)
            .text(" FROM PUBLIC"),
    ];
    for item in parse(privileges)? {
        for (letter, may_grant) in item.letters {
            let word = match letter {
                'C' => "GRANT CREATE ON DATABASE ",
                'T' => "GRANT TEMPORARY ON DATABASE ",
                'c' => "GRANT CONNECT ON DATABASE ",
                _ => return None,
            };
            let statement = Statement::new(word).identifier(database).text(" TO ");
            let statement = if item.grantee.is_empty() {
                statement.text("PUBLIC")
            } else {
                statement.identifier(&item.grantee)
            };
            out.push(if may_grant {
                statement.text(" WITH GRANT OPTION")
            } else {
                statement
            });
        }
    }
    Some(out)
}

/// Items with commas between; names are in double quotes where they are not plain.
fn parse(text: &str) -> Option<Vec<Item>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let grantee = name(&mut chars, '=')?;
        let mut letters: Vec<(char, bool)> = Vec::new();
        loop {
            match chars.next()? {
                '/' => break,
                '*' => letters.last_mut()?.1 = true,
                letter if letter.is_ascii_alphabetic() => letters.push((letter, false)),
                _ => return None,
            }
        }
        out.push(Item { grantee, letters });
        name(&mut chars, ',')?;
        if chars.peek().is_none() {
            return Some(out);
        }
    }
}

/// A name up to `end`, which is taken too, or up to the end of the text.
fn name(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, end: char) -> Option<String> {
    let mut out = String::new();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => out.push('"'),
            '"' => quoted = !quoted,
            c if c == end && !quoted => return Some(out),
            c => out.push(c),
        }
    }
    (!quoted && end == ',').then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_become_grants() {
        let text = "=Tc/ann,ann=CTc/ann,\"host=evil, \"\"x\"=C*c/ann";
        let lines: Vec<String> = statements("d", text)
            .unwrap()
            .iter()
            .map(|s| s.as_str().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                "REVOKE ALL ON DATABASE \"d\" FROM PUBLIC",
                "GRANT TEMPORARY ON DATABASE \"d\" TO PUBLIC",
                "GRANT CONNECT ON DATABASE \"d\" TO PUBLIC",
                "GRANT CREATE ON DATABASE \"d\" TO \"ann\"",
                "GRANT TEMPORARY ON DATABASE \"d\" TO \"ann\"",
                "GRANT CONNECT ON DATABASE \"d\" TO \"ann\"",
                "GRANT CREATE ON DATABASE \"d\" TO \"host=evil, \"\"x\" WITH GRANT OPTION",
                "GRANT CONNECT ON DATABASE \"d\" TO \"host=evil, \"\"x\"",
            ]
        );
        assert_eq!(statements("d", ""), Some(vec![]));
        for bad in ["x", "a=Z/b", "a=C", "\"a=C/b", "a=*/b"] {
            assert_eq!(statements("d", bad), None, "{bad}");
        }
    }
}
