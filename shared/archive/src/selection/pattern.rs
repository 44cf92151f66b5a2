//! Patterns for names of relations, after `pg_dump --table`.

use std::fmt;
use std::str::FromStr;

/// A pattern for relations: `name` or `schema.name`.
///
/// `*` stands for any characters, `?` for one. Letters are folded to lower case unless they are
/// within double quotes, where every character, `*`, `?` and `.` included, stands for itself and
/// `""` is one quote. Without a schema the pattern matches in every schema. Other characters that
/// `pg_dump --table` would take as a regular expression stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    schema: Option<Vec<Token>>,
    name: Vec<Token>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing between or beside dots, or nothing at all.
    #[error("the table pattern {pattern:?} has an empty part; write name or schema.name")]
    EmptyPart {
        /// The text.
        pattern: String,
    },
    /// More than a schema and a name.
    #[error("the table pattern {pattern:?} has more than two parts; write name or schema.name")]
    TooManyParts {
        /// The text.
        pattern: String,
    },
    /// An odd number of double quotes.
    #[error("the table pattern {pattern:?} has a double quote without its partner")]
    UnclosedQuote {
        /// The text.
        pattern: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Character(char),
    /// `?`
    One,
    /// `*`
    Any,
}

impl Pattern {
    /// The pattern that matches this one relation, both names unquoted.
    #[must_use]
    pub fn exact(schema: &str, name: &str) -> Self {
        let tokens = |text: &str| text.chars().map(Token::Character).collect();
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        Self {
            text: format!("{}.{}", quoted(schema), quoted(name)),
            schema: Some(tokens(schema)),
            name: tokens(name),
        }
    }

    /// Whether a relation of this schema and name, both unquoted, matches.
    pub fn matches(&self, schema: Option<&str>, name: &str) -> bool {
        let schema_matches = match &self.schema {
            Some(tokens) => schema.is_some_and(|schema| glob(tokens, schema)),
            None => true,
        };
        schema_matches && glob(&self.name, name)
    }
}

impl fmt::Display for Pattern {
    /// As it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let pattern = || text.to_owned();
        let mut parts = vec![Vec::new()];
        let mut characters = text.chars().peekable();
        let mut quoted = false;
        while let Some(character) = characters.next() {
            let token = match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    Token::Character('"')
                }
                '"' => {
                    quoted = !quoted;
                    continue;
                }
                _ if quoted => Token::Character(character),
                '.' => {
                    parts.push(Vec::new());
                    continue;
                }
                '*' => Token::Any,
                '?' => Token::One,
                _ => Token::Character(character.to_ascii_lowercase()),
            };
            if let Some(part) = parts.last_mut() {
                part.push(token);
            }
        }
        if quoted {
            return Err(PatternError::UnclosedQuote { pattern: pattern() });
        }
        if parts.iter().any(Vec::is_empty) {
            return Err(PatternError::EmptyPart { pattern: pattern() });
        }
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() {
            return Err(PatternError::TooManyParts { pattern: pattern() });
        }
        Ok(Self {
            text: pattern(),
            schema,
            name,
        })
    }
}

/// Whether the tokens match the whole text. Takes time of at most tokens × characters.
fn glob(tokens: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut token, mut character) = (0, 0);
    // Where to go on if the match fails: behind the last star, one character further.
    let mut retry = None;
    loop {
        match (tokens.get(token), text.get(character)) {
            (None, None) => return true,
            (Some(Token::Any), _) => {
                retry = Some((token + 1, character));
                token += 1;
                continue;
            }
            (Some(Token::One), Some(_)) => {
                (token, character) = (token + 1, character + 1);
                continue;
            }
            (Some(Token::Character(wanted)), Some(found)) if wanted == found => {
                (token, character) = (token + 1, character + 1);
                continue;
            }
            (_, _) => (),
        }
        match retry {
            Some((star, at)) if at < text.len() => {
                retry = Some((star, at + 1));
                (token, character) = (star, at + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};

    fn check(pattern: &str, schema: &str, name: &str, expected: bool) {
        let parsed: Pattern = pattern.parse().unwrap();
        assert_eq!(
            parsed.matches(Some(schema), name),
            expected,
            "{pattern} on {schema}.{name}"
        );
    }

    #[test]
    fn matches_as_pg_dump_does() {
        check("orders", "public", "orders", true);
        check("orders", "app", "orders", true);
        check("ORDERS", "app", "orders", true);
        check("orders", "app", "Orders", false);
        check("\"Orders\"", "app", "Orders", true);
        check("app.orders", "public", "orders", false);
        check("app.*", "app", "anything", true);
        check("app.*", "app2", "anything", false);
        check("a*.o?ders", "app", "orders", true);
        check("a*.o?ders", "app", "oders", false);
        check("*a*b*", "s", "xxaxxbxx", true);
        check("*a*b*", "s", "xxbxxaxx", false);
        check("\"a.b\".\"c*\"", "a.b", "c*", true);
        check("\"a.b\".\"c*\"", "a.b", "cc", false);
        check("\"x\"\"y\"", "s", "x\"y", true);
        check("a\"B\"c", "s", "aBc", true);
        check("größe", "s", "größe", true);
        check("[0-9]", "s", "[0-9]", true);
        check("?", "s", "", false);
        check("*", "s", "", true);
    }

    #[test]
    fn an_exact_pattern_reads_back_as_itself() {
        for name in [
            "plain",
            "Mixed",
            "do.t",
            "st*r",
            "qu\"ote",
            "host=evil port=1",
            "line\nbreak",
        ] {
            let pattern = Pattern::exact("S", name);
            assert!(pattern.matches(Some("S"), name));
            assert!(!pattern.matches(Some("s"), name));
            assert_eq!(pattern.to_string().parse::<Pattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_text() {
        let parse = |text: &str| text.parse::<Pattern>().unwrap_err();
        for text in ["", ".", "a.", ".a", "\"\"", "a..b"] {
            assert_eq!(
                parse(text),
                PatternError::EmptyPart {
                    pattern: text.to_owned()
                }
            );
        }
        let pattern = "db.schema.name".to_owned();
        assert_eq!(
            parse("db.schema.name"),
            PatternError::TooManyParts { pattern }
        );
        let pattern = "\"open".to_owned();
        assert_eq!(parse("\"open"), PatternError::UnclosedQuote { pattern });
    }
}
