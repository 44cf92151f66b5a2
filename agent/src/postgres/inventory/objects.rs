//! Everything that is no table, index, constraint or sequence: functions, types, triggers,
//! policies and the rest, one query a catalog, all of one shape.

use super::database::rows;
use super::{extension, privileges, user_schema};
use crate::postgres::connection::PgError;
use crate::postgres::sql::ReadRow as _;
use provado_proto::repository::v1::ObjectFacts;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

/// Definitions above this are kept as SHA-256 only: an inventory is not a second dump.
const DEFINITION_BYTES_MAX: usize = 2048;

/// A query of the common shape: type, schema, owner, definition, privileges and state are
/// expressions over `o`, the catalog's row, and whatever the rest of FROM and WHERE adds.
macro_rules! object_query {
    ($catalog:literal, $type:expr, $schema:expr, $owner:expr, $definition:expr,
     $privileges:expr, $state:expr, $from_where:expr) => {
        concat!(
            "SELECT ",
            $type,
            " AS type, ",
            $schema,
            " AS schema, (pg_catalog.pg_identify_object('",
            $catalog,
            "'::pg_catalog.regclass, o.oid, 0)).identity AS identity, ",
            $owner,
            " AS owner, COALESCE(",
            $definition,
            ", '') AS definition, ",
            $privileges,
            " AS privileges, ",
            $state,
            " AS state, COALESCE(pg_catalog.obj_description(o.oid, '",
            $catalog,
            "'), '') AS comment, ",
            extension!($catalog, "o.oid"),
            " AS extension FROM ",
            $catalog,
            " o ",
            $from_where,
            " ORDER BY 1, 2, 3"
        )
    };
}

/// The owner's name of a column of `o`.
macro_rules! owner {
    ($column:literal) => {
        concat!("pg_catalog.pg_get_userbyid(o.", $column, ")::text")
    };
}

/// Joins the schema as `n` and leaves the server's own out.
macro_rules! in_schema {
    ($column:literal) => {
        concat!(
            "JOIN pg_catalog.pg_namespace n ON n.oid = o.",
            $column,
            " WHERE ",
            user_schema!("n.nspname")
        )
    };
}

/// Oids below this are made by initdb (`FirstNormalObjectId`, access/transam.h).
macro_rules! not_initdb {
    () => {
        "WHERE o.oid >= 16384"
    };
}

const FUNCTIONS: &str = object_query!(
    "pg_catalog.pg_proc",
    "CASE o.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END",
    "n.nspname::text",
    owner!("proowner"),
    "CASE WHEN o.prokind = 'a' THEN pg_catalog.pg_get_function_result(o.oid) \
        ELSE pg_catalog.pg_get_functiondef(o.oid) END",
    privileges!("o.proacl", "f", "o.proowner"),
    "''",
    in_schema!("pronamespace")
);

/// Base, range, enumeration and domain types; row types stand with their relations.
const TYPES: &str = object_query!(
    "pg_catalog.pg_type",
    "CASE o.typtype WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range' \
        ELSE 'type' END",
    "n.nspname::text",
    owner!("typowner"),
    "CASE o.typtype WHEN 'e' THEN (SELECT pg_catalog.string_agg( \
            pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) \
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = o.oid) \
        WHEN 'd' THEN pg_catalog.format_type(o.typbasetype, o.typtypmod) \
            || CASE WHEN o.typnotnull THEN ' NOT NULL' ELSE '' END \
            || COALESCE(' DEFAULT ' || o.typdefault, '') \
        WHEN 'r' THEN (SELECT pg_catalog.format_type(r.rngsubtype, NULL) \
            FROM pg_catalog.pg_range r WHERE r.rngtypid = o.oid) END",
    privileges!("o.typacl", "T", "o.typowner"),
    "''",
    concat!(
        in_schema!("typnamespace"),
        " AND o.typtype IN ('b', 'd', 'e', 'r') AND NOT (o.typtype = 'b' AND o.typelem <> 0 \
            AND EXISTS (SELECT 1 FROM pg_catalog.pg_type t WHERE t.typarray = o.oid))"
    )
);

const TRIGGERS: &str = object_query!(
    "pg_catalog.pg_trigger",
    "'trigger'",
    "n.nspname::text",
    "''",
    "pg_catalog.pg_get_triggerdef(o.oid)",
    "''",
    "CASE o.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' \
        WHEN 'A' THEN 'always' ELSE '' END",
    concat!(
        "JOIN pg_catalog.pg_class c ON c.oid = o.tgrelid \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE NOT o.tgisinternal AND ",
        user_schema!("n.nspname")
    )
);

const RULES: &str = object_query!(
    "pg_catalog.pg_rewrite",
    "'rule'",
    "n.nspname::text",
    "''",
    "pg_catalog.pg_get_ruledef(o.oid)",
    "''",
    "CASE o.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' \
        WHEN 'A' THEN 'always' ELSE '' END",
    concat!(
        "JOIN pg_catalog.pg_class c ON c.oid = o.ev_class \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE o.rulename <> '_RETURN' AND ",
        user_schema!("n.nspname")
    )
);

const POLICIES: &str = object_query!(
    "pg_catalog.pg_policy",
    "'policy'",
    "n.nspname::text",
    "''",
    "CASE WHEN o.polpermissive THEN 'permissive' ELSE 'restrictive' END || ' for ' \
        || o.polcmd::text || ' to ' || (SELECT pg_catalog.string_agg( \
            CASE WHEN r = 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(r)::text END, ', ' \
            ORDER BY 1) FROM pg_catalog.unnest(o.polroles) AS r) \
        || COALESCE(' using ' || pg_catalog.pg_get_expr(o.polqual, o.polrelid), '') \
        || COALESCE(' with check ' || pg_catalog.pg_get_expr(o.polwithcheck, o.polrelid), '')",
    "''",
    "''",
    concat!(
        "JOIN pg_catalog.pg_class c ON c.oid = o.polrelid \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE ",
        user_schema!("n.nspname")
    )
);

const STATISTICS: &str = object_query!(
    "pg_catalog.pg_statistic_ext",
    "'statistics'",
    "n.nspname::text",
    owner!("stxowner"),
    "pg_catalog.pg_get_statisticsobjdef(o.oid)",
    "''",
    "''",
    in_schema!("stxnamespace")
);

const OPERATORS: &str = object_query!(
    "pg_catalog.pg_operator",
    "'operator'",
    "n.nspname::text",
    owner!("oprowner"),
    "o.oprcode::text",
    "''",
    "''",
    in_schema!("oprnamespace")
);

const OPERATOR_CLASSES: &str = object_query!(
    "pg_catalog.pg_opclass",
    "'operator class'",
    "n.nspname::text",
    owner!("opcowner"),
    "''",
    "''",
    "''",
    in_schema!("opcnamespace")
);

const OPERATOR_FAMILIES: &str = object_query!(
    "pg_catalog.pg_opfamily",
    "'operator family'",
    "n.nspname::text",
    owner!("opfowner"),
    "''",
    "''",
    "''",
    in_schema!("opfnamespace")
);

const CONVERSIONS: &str = object_query!(
    "pg_catalog.pg_conversion",
    "'conversion'",
    "n.nspname::text",
    owner!("conowner"),
    "o.conproc::text",
    "''",
    "''",
    in_schema!("connamespace")
);

const TEXT_SEARCH_CONFIGURATIONS: &str = object_query!(
    "pg_catalog.pg_ts_config",
    "'text search configuration'",
    "n.nspname::text",
    owner!("cfgowner"),
    "(SELECT pg_catalog.string_agg(m.maptokentype || ':' || m.mapseqno || ':' \
        || m.mapdict::pg_catalog.regdictionary::text, ', ' ORDER BY m.maptokentype, m.mapseqno) \
        FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = o.oid)",
    "''",
    "''",
    in_schema!("cfgnamespace")
);

const TEXT_SEARCH_DICTIONARIES: &str = object_query!(
    "pg_catalog.pg_ts_dict",
    "'text search dictionary'",
    "n.nspname::text",
    owner!("dictowner"),
    "o.dictinitoption",
    "''",
    "''",
    in_schema!("dictnamespace")
);

const CASTS: &str = object_query!(
    "pg_catalog.pg_cast",
    "'cast'",
    "''",
    "''",
    "o.castcontext::text || o.castmethod::text",
    "''",
    "''",
    not_initdb!()
);

const LANGUAGES: &str = object_query!(
    "pg_catalog.pg_language",
    "'language'",
    "''",
    owner!("lanowner"),
    "''",
    privileges!("o.lanacl", "l", "o.lanowner"),
    "''",
    not_initdb!()
);

const FOREIGN_DATA_WRAPPERS: &str = object_query!(
    "pg_catalog.pg_foreign_data_wrapper",
    "'foreign data wrapper'",
    "''",
    owner!("fdwowner"),
    "''",
    privileges!("o.fdwacl", "F", "o.fdwowner"),
    "''",
    not_initdb!()
);

/// Options may hold what is nobody's business; their names are kept, their values are not.
const FOREIGN_SERVERS: &str = object_query!(
    "pg_catalog.pg_foreign_server",
    "'foreign server'",
    "''",
    owner!("srvowner"),
    "(SELECT pg_catalog.string_agg(pg_catalog.split_part(x, '=', 1), ', ' ORDER BY x) \
        FROM pg_catalog.unnest(o.srvoptions) AS x)",
    privileges!("o.srvacl", "S", "o.srvowner"),
    "''",
    not_initdb!()
);

const EVENT_TRIGGERS: &str = object_query!(
    "pg_catalog.pg_event_trigger",
    "'event trigger'",
    "''",
    owner!("evtowner"),
    "o.evtevent::text || ' ' || o.evtfoid::pg_catalog.regproc::text \
        || COALESCE(' ' || o.evttags::text, '')",
    "''",
    "CASE o.evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' \
        WHEN 'A' THEN 'always' ELSE '' END",
    not_initdb!()
);

const PUBLICATIONS: &str = object_query!(
    "pg_catalog.pg_publication",
    "'publication'",
    "''",
    owner!("pubowner"),
    "CASE WHEN o.puballtables THEN 'all tables' ELSE (SELECT pg_catalog.string_agg( \
        r.prrelid::pg_catalog.regclass::text, ', ' ORDER BY 1) \
        FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = o.oid) END",
    "''",
    "''",
    not_initdb!()
);

const QUERIES: &[&str] = &[
    FUNCTIONS,
    TYPES,
    TRIGGERS,
    RULES,
    POLICIES,
    STATISTICS,
    OPERATORS,
    OPERATOR_CLASSES,
    OPERATOR_FAMILIES,
    CONVERSIONS,
    TEXT_SEARCH_CONFIGURATIONS,
    TEXT_SEARCH_DICTIONARIES,
    CASTS,
    LANGUAGES,
    FOREIGN_DATA_WRAPPERS,
    FOREIGN_SERVERS,
    EVENT_TRIGGERS,
    PUBLICATIONS,
];

pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<ObjectFacts>, PgError> {
    let mut out = Vec::new();
    for sql in QUERIES {
        for row in rows(connection, sql, "list functions, types and other objects").await? {
            let mut definition: String = row.read("definition")?;
            let mut definition_sha256 = Vec::new();
            if definition.len() > DEFINITION_BYTES_MAX {
                definition_sha256 = Sha256::digest(definition.as_bytes()).to_vec();
                definition = String::new();
            }
            out.push(ObjectFacts {
                r#type: row.read("type")?,
                schema_name: row.read("schema")?,
                identity: row.read::<Option<String>>("identity")?.unwrap_or_default(),
                owner: row.read("owner")?,
                definition,
                definition_sha256,
                privileges: row.read("privileges")?,
                extension_name: row.read("extension")?,
                state: row.read("state")?,
                comment: row.read("comment")?,
            });
        }
    }
    Ok(out)
}
