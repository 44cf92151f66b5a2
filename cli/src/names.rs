//! How operators name things on the command line, and the resource names the API wants.

use crate::error::{CliError, Result};

/// `NAME/DB` or `NAME`: an instance, and perhaps a database in it. Everything after the first
/// slash is the database's name, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceAndDatabase {
    /// The instance's name or id.
    pub(crate) instance: String,
    /// The database, if one was named.
    pub(crate) database: Option<String>,
}

impl InstanceAndDatabase {
    /// Reads the argument.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (instance, database) = match text.split_once('/') {
            Some((instance, database)) => (instance, Some(database.to_owned())),
            None => (text, None),
        };
        if instance.is_empty() || database.as_deref() == Some("") {
            return Err(CliError::invalid(format!(
                "`{text}` is not of the form INSTANCE or INSTANCE/DATABASE; `provado instance \
                 list` and `provado instance show INSTANCE` tell the names"
            )));
        }
        Ok(Self {
            instance: instance.to_owned(),
            database,
        })
    }
}

/// `collection/id`, accepting an argument that is written so already.
pub(crate) fn resource(collection: &str, text: &str) -> String {
    let id = text
        .strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(text);
    format!("{collection}/{id}")
}

/// The resource name, or nothing for no argument.
pub(crate) fn optional(collection: &str, text: Option<&str>) -> String {
    text.map(|text| resource(collection, text))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_may_be_called_anything() {
        let check = |text: &str, instance: &str, database: Option<&str>| {
            let parsed = InstanceAndDatabase::parse(text).unwrap();
            assert_eq!(parsed.instance, instance);
            assert_eq!(parsed.database.as_deref(), database);
        };
        check("db1", "db1", None);
        check("db1/shop", "db1", Some("shop"));
        check("db1/a/b", "db1", Some("a/b"));
        check("db1/host=evil port=1", "db1", Some("host=evil port=1"));
        assert!(InstanceAndDatabase::parse("/x").is_err());
        assert!(InstanceAndDatabase::parse("x/").is_err());
        assert_eq!(resource("runs", "01"), "runs/01");
        assert_eq!(resource("runs", "runs/01"), "runs/01");
        assert_eq!(
            resource("backups", "latest:db1/shop"),
            "backups/latest:db1/shop"
        );
    }
}
