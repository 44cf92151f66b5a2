//! One form for expressions that PostgreSQL writes in two.
//!
//! `s IN ('a', 'b')` on a `varchar` column is stored as an array that is cast as a whole, and
//! shown so: `(ARRAY['a'::character varying, 'b'::character varying])::text[]`. What is shown is
//! what pg_dump dumps; when it is parsed again the cast goes to the elements, and the same
//! condition reads `ARRAY[('a'::character varying)::text, ('b'::character varying)::text]` from
//! then on (`transformArrayExpr` in PostgreSQL's `parse_expr.c`). Both say the same, so a backup
//! that differs in nothing else is equal. Pure.

/// The text with every `(ARRAY[x, y])::t[]` as `ARRAY[(x)::t, (y)::t]`.
pub(super) fn normal(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(at) = find(rest) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        if let Some(cast) = whole_cast(found) {
            out.push_str("ARRAY[");
            for (index, element) in cast.elements.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                // An element may hold such a cast itself.
                out.push('(');
                out.push_str(&normal(element));
                out.push_str(")::");
                out.push_str(cast.element_type);
            }
            out.push(']');
            rest = cast.rest;
        } else {
            out.push_str(START);
            rest = found.get(START.len()..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

const START: &str = "(ARRAY[";

/// One array that is cast as a whole.
struct WholeCast<'a> {
    elements: Vec<&'a str>,
    element_type: &'a str,
    rest: &'a str,
}

/// Where the next array in brackets starts that no quotes are around.
fn find(text: &str) -> Option<usize> {
    let mut scan = Scan::default();
    text.char_indices()
        .find(|(at, c)| {
            let starts = scan.is_plain() && text.get(*at..).is_some_and(|t| t.starts_with(START));
            scan.step(*c);
            starts
        })
        .map(|(at, _)| at)
}

/// Takes `(ARRAY[x, y])::t[]…` apart; None where the text goes on otherwise.
fn whole_cast(text: &str) -> Option<WholeCast<'_>> {
    let body = text.strip_prefix(START)?;
    let mut scan = Scan::default();
    let mut elements = Vec::new();
    let mut from = 0;
    let mut end = None;
    for (at, c) in body.char_indices() {
        if scan.is_plain() && scan.depth == 0 {
            if c == ']' {
                elements.push(body.get(from..at)?.trim());
                end = Some(at);
                break;
            }
            if c == ',' {
                elements.push(body.get(from..at)?.trim());
                from = at + 1;
            }
        }
        scan.step(c);
    }
    let rest = body.get(end? + 1..)?.strip_prefix(")::")?;
    let type_bytes = type_length(rest)?;
    let (element_type, rest) = rest.split_at_checked(type_bytes)?;
    let rest = rest.strip_prefix("[]")?;
    if elements.iter().any(|element| element.is_empty()) {
        return None;
    }
    Some(WholeCast {
        elements,
        element_type,
        rest,
    })
}

/// Bytes of a type's name up to its `[]`: words, quoted parts, a modifier in brackets.
fn type_length(text: &str) -> Option<usize> {
    let mut scan = Scan::default();
    for (at, c) in text.char_indices() {
        if scan.is_plain() && scan.depth == 0 {
            if c == '[' {
                return (at > 0).then_some(at);
            }
            let fits = c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '"' | '(' | '$');
            if !fits {
                return None;
            }
        }
        scan.step(c);
    }
    None
}

/// Quotes and brackets around the place at hand. A doubled quote leaves its text and enters it
/// again, which comes to the same.
#[derive(Default)]
struct Scan {
    quote: Option<char>,
    depth: usize,
}

impl Scan {
    const fn is_plain(&self) -> bool {
        self.quote.is_none()
    }

    fn step(&mut self, c: char) {
        match (self.quote, c) {
            (Some(quote), c) if quote == c => self.quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => self.quote = Some(c),
            (None, '(' | '[') => self.depth += 1,
            (None, ')' | ']') => self.depth = self.depth.saturating_sub(1),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn a_cast_of_an_array_is_a_cast_of_its_elements() {
        for (text, expected) in [
            ("CHECK ((a > 1))", "CHECK ((a > 1))"),
            (
                "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b,]'::character \
                 varying])::text[])))",
                "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, \
                 ('b,]'::character varying)::text])))",
            ),
            (
                "x = ANY ((ARRAY[f(1, 2), ((ARRAY[3])::bigint[])[1]])::numeric(10,2)[]) AND y",
                "x = ANY (ARRAY[(f(1, 2))::numeric(10,2), ((ARRAY[(3)::bigint])[1])::numeric(10,2)\
                 ]) AND y",
            ),
            (
                "(ARRAY[1])::\"odd[]\".\"type\"[]",
                "ARRAY[(1)::\"odd[]\".\"type\"]",
            ),
            // Neither of these is such a cast.
            ("'(ARRAY[1])::int[]'::text", "'(ARRAY[1])::int[]'::text"),
            ("(ARRAY[1, 2])::tags", "(ARRAY[1, 2])::tags"),
            ("(ARRAY[1, 2] || x)", "(ARRAY[1, 2] || x)"),
            ("(ARRAY[1, 'it''s (ARRAY['])", "(ARRAY[1, 'it''s (ARRAY['])"),
            ("(ARRAY[", "(ARRAY["),
            ("(ARRAY[])::int[]", "(ARRAY[])::int[]"),
        ] {
            assert_eq!(normal(text), expected);
            assert_eq!(normal(&normal(text)), expected, "a second time");
        }
    }
}
