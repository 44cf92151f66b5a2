//! SQL text: one for both engines, or a pair where they must differ.

use super::Engine;

/// The text of a statement on each engine. Placeholders are `$1`, `$2`, ... on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Sql {
    /// One text for both engines.
    pub const fn both(text: &'static str) -> Self {
        Self {
            sqlite: text,
            postgres: text,
        }
    }

    /// Two texts, for what one engine cannot say; beside it stands a comment why.
    pub const fn pair(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres }
    }

    /// The text for one engine.
    pub const fn on(self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }

    /// The table it is about, for messages: the word after the first FROM, INTO or UPDATE.
    pub(crate) fn table(self) -> &'static str {
        let mut words = self.sqlite.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if matches!(word, "FROM" | "INTO" | "UPDATE") {
                return words.next().unwrap_or("?");
            }
        }
        "?"
    }
}

/// A statement as its store exports it to the registry, which prepares every one on both engines.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// The constant's name.
    pub name: &'static str,
    /// Its text.
    pub sql: Sql,
}

/// Defines a store's statements as constants of type [`Sql`], and `STATEMENTS` with all of them.
///
/// ```text
/// statements! {
///     THING_GET = both("SELECT id, name FROM thing WHERE id = $1");
///     // SQLite has one writer and no row locks.
///     THING_LOCK = pair("SELECT id FROM thing", "SELECT id FROM thing FOR UPDATE");
/// }
/// ```
macro_rules! statements {
    ($($name:ident = $form:ident($($text:expr),+ $(,)?);)*) => {
        $(const $name: $crate::db::Sql = $crate::db::Sql::$form($($text),+);)*

        /// Every statement of this store, for the test that prepares them all.
        pub const STATEMENTS: &[$crate::db::Statement] = &[
            $($crate::db::Statement { name: stringify!($name), sql: $name },)*
        ];
    };
}
pub(crate) use statements;
