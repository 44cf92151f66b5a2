//! An error and its causes as one line. Errors add context and never repeat their source, so the
//! whole chain is printed, once, where the error stops.

use std::error::Error;
use std::fmt;

/// Most causes that are printed; a longer chain ends in `...`.
pub const CAUSES_MAX: usize = 32;

/// Shows an error and all its causes, outermost first, separated by `: `, on one line.
///
/// ```
/// use provado_telemetry::chain;
/// let error = std::io::Error::other("disk full");
/// assert_eq!(chain(&error).to_string(), "disk full");
/// ```
#[derive(Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'static));

/// [`Chain`] of an error, for a field of a log line: `error = %chain(&error)`.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain(error)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = String::new();
        let mut next = Some(self.0);
        let mut count = 0;
        while let Some(error) = next {
            if count == CAUSES_MAX {
                return f.write_str(": ...");
            }
            let words = one_line(&error.to_string());
            // Libraries that are not ours do repeat their source; to read it twice helps nobody.
            if count == 0 || !said.ends_with(&words) {
                if count > 0 {
                    f.write_str(": ")?;
                }
                f.write_str(&words)?;
                said = words;
            }
            count += 1;
            next = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A message that came from outside may hold line breaks or terminal codes; in a log it may not
/// look like a second entry.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.trim().chars() {
        match character {
            '\n' | '\r' | '\t' if line.ends_with(' ') => {}
            '\n' | '\r' | '\t' => line.push(' '),
            character if character.is_control() => line.extend(character.escape_default()),
            character => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as _)
        }
    }

    fn links(words: &[&'static str]) -> Link {
        let (first, rest) = words.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(links(rest)));
        Link(first, source)
    }

    #[test]
    fn the_whole_chain_reads_as_one_line() {
        let cases: [(&[&'static str], &str); 5] = [
            (&["one"], "one"),
            (&["cannot write", "disk full"], "cannot write: disk full"),
            (&["a", "b", "c"], "a: b: c"),
            (
                &["cannot write: disk full", "disk full"],
                "cannot write: disk full",
            ),
            (&["a\nb\r\n c", "\u{1b}[31mred"], "a b  c: \\u{1b}[31mred"),
        ];
        for (words, expected) in cases {
            let error = links(words);
            assert_eq!(chain(&error).to_string(), expected);
            assert_eq!(format!("{:?}", chain(&error)), expected);
        }
    }

    #[test]
    fn an_endless_chain_ends() {
        let words: Vec<&'static str> = ["x", "y"].repeat(CAUSES_MAX);
        let text = chain(&links(&words)).to_string();
        assert!(text.ends_with(": ..."));
        assert_eq!(text.matches(['x', 'y']).count(), CAUSES_MAX);
    }
}
