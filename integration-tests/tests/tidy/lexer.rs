//! Just enough of a lexer to tell code from comments and strings.
//!
//! It works for Rust, and for Protobuf, whose comments and strings look the same.

/// The text with every comment, string and character literal turned to spaces; lines stay lines.
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        let Some(end) = literal_end(&chars, at) else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        out.extend(
            chars[at..end]
                .iter()
                .map(|char| if *char == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    out.into_iter().collect()
}

/// Words of code with the line each stands on, from 1.
pub fn identifiers(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let words = line.split(|char: char| !char.is_alphanumeric() && char != '_');
        let starts_so = |word: &&str| word.starts_with(|char: char| !char.is_ascii_digit());
        found.extend(words.filter(starts_so).map(|word| (index + 1, word)));
    }
    found
}

/// Where the comment or literal that starts here ends, if one starts here.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => Some(line_end(chars, at)),
        '/' if next == Some('*') => Some(block_end(chars, at)),
        '"' => Some(string_end(chars, at)),
        'r' if !is_word(chars, at) => raw_end(chars, at),
        '\'' => char_end(chars, at),
        _ => None,
    }
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..]
        .iter()
        .position(|char| *char == '\n')
        .map_or(chars.len(), |length| at + length)
}

fn block_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut index = at + 1;
    while index < chars.len() {
        match chars[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#`; `None` for a raw identifier or a word that starts with r.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..]
        .iter()
        .take_while(|char| **char == '#')
        .count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body = at + 2 + hashes;
    let length = chars[body..]
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(chars.len(), |length| body + length + close.len()))
}

/// A character literal; `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match chars.get(at + 1)? {
        '\\' => chars[at + 3..]
            .iter()
            .position(|char| *char == '\'')
            .map(|length| at + 4 + length),
        _ if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

/// Whether the character before belongs to the same word.
fn is_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

#[test]
fn comments_and_literals_are_blanked() {
    let check = |text: &str, expected: &str| assert_eq!(code_only(text).trim_end(), expected);
    check("use a; // crate::b", "use a;");
    check("a /* b /* c */ d */ e", "a                   e");
    check(r#"let a = "x\"y"; b"#, "let a =       ; b");
    check("let a = r#\"x\"y\"#; b", "let a =         ; b");
    check("let r = for_a; b'\"' '\\'' c", "let r = for_a; b         c");
    check("fn a<'b>(c: &'b str) {}", "fn a<'b>(c: &'b str) {}");
    check("a\n/* b\n */ c", "a\n    \n    c");
}

#[test]
fn identifiers_have_lines() {
    assert_eq!(
        identifiers("a.b_c\n  9d D"),
        [(1, "a"), (1, "b_c"), (2, "D")]
    );
}
