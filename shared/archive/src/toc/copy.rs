//! Takes a COPY statement of pg_dump apart so that the same columns can be read back.

/// What a `COPY relation (columns) FROM stdin;` of pg_dump names, exactly as written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTarget {
    /// The qualified relation, quoted as SQL needs it: `public."Weird ""name"`.
    pub relation: String,
    /// The column list without its parentheses, quoted as SQL needs it; None where the statement
    /// names no columns (a table without any).
    pub columns: Option<String>,
}

impl CopyTarget {
    /// Parses the statement; None for any text that pg_dump does not write.
    pub fn parse(statement: &str) -> Option<Self> {
        let rest = statement.strip_prefix("COPY ")?;
        let relation_bytes = qualified_name_bytes(rest)?;
        let (relation, rest) = rest.split_at_checked(relation_bytes)?;
        let rest = rest.strip_prefix(' ')?;
        let (columns, rest) = match rest.strip_prefix('(') {
            Some(list) => {
                let list_bytes = unquoted_find(list, ')')?;
                let (columns, rest) = list.split_at_checked(list_bytes)?;
                (Some(columns.to_owned()), rest.strip_prefix(')')?)
            }
            None => (None, rest),
        };
        let tail = rest.trim_end_matches('\n');
        (tail == " FROM stdin;").then(|| Self {
            relation: relation.to_owned(),
            columns,
        })
    }

    /// The statement that reads the same columns in the same order from a server.
    pub fn copy_to_stdout(&self) -> String {
        match &self.columns {
            Some(columns) => format!("COPY {} ({columns}) TO STDOUT", self.relation),
            None => format!("COPY {} TO STDOUT", self.relation),
        }
    }
}

/// Bytes of `name` or `schema.name` at the start of `text`, each part quoted or not.
fn qualified_name_bytes(text: &str) -> Option<usize> {
    let end = unquoted_find(text, ' ')?;
    let name = text.get(..end)?;
    let well_formed = !name.is_empty() && !name.starts_with('.') && !name.ends_with('.');
    well_formed.then_some(end)
}

/// Where `wanted` first stands outside double quotes. A doubled quote inside quotes toggles twice
/// and so stays inside.
fn unquoted_find(text: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if character == wanted && !quoted {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::CopyTarget;

    fn check(statement: &str, expected: Option<(&str, Option<&str>)>) {
        let found = CopyTarget::parse(statement);
        let found = found
            .as_ref()
            .map(|t| (t.relation.as_str(), t.columns.as_deref()));
        assert_eq!(found, expected, "{statement}");
    }

    #[test]
    fn takes_apart_what_pg_dump_writes_and_nothing_else() {
        check(
            "COPY public.t (a, b) FROM stdin;\n",
            Some(("public.t", Some("a, b"))),
        );
        check("COPY public.t  FROM stdin;\n", Some(("public.t", None)));
        check(
            "COPY \"a b\".\"x\"\" FROM stdin;\" (\"c)\", d) FROM stdin;\n",
            Some(("\"a b\".\"x\"\" FROM stdin;\"", Some("\"c)\", d"))),
        );
        check(
            "COPY \"a\nb\".t (a) FROM stdin;",
            Some(("\"a\nb\".t", Some("a"))),
        );
        check("COPY public.t (a) FROM program 'x';", None);
        check("COPY public.t (a FROM stdin;", None);
        check("COPY .t (a) FROM stdin;", None);
        check("INSERT INTO t", None);
        check("", None);
    }

    #[test]
    fn reads_back_the_same_columns() {
        let target = CopyTarget::parse("COPY s.t (a, \"B\") FROM stdin;\n").unwrap();
        assert_eq!(target.copy_to_stdout(), "COPY s.t (a, \"B\") TO STDOUT");
        let target = CopyTarget::parse("COPY s.t  FROM stdin;\n").unwrap();
        assert_eq!(target.copy_to_stdout(), "COPY s.t TO STDOUT");
    }
}
