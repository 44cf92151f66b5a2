//! A small schema with everything that is hard to back up: jsonb, bytea, arrays, ranges,
//! partitions, large objects, sequences, identity and generated columns, views, materialized
//! views, functions, triggers, domains, enums, rules of access, comments, an extension.

use crate::harness::Postgres;
use anyhow::Result;

/// Makes and fills it in a database that exists. `extension` where the server has pg_trgm.
pub fn load(server: &Postgres, database: &str, rows: u32) -> Result<()> {
    let extension = server.sql(
        database,
        "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'",
    )?;
    if extension == "1" {
        server.sql(database, "CREATE EXTENSION pg_trgm")?;
    }
    server
        .sql(database, &SCHEMA.replace("%ROWS%", &rows.to_string()))
        .map(drop)
}

const SCHEMA: &str = r#"
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_owner') THEN
    CREATE ROLE shop_owner NOLOGIN;
    CREATE ROLE "shop reader" NOLOGIN;
  END IF;
END $$;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
COMMENT ON SCHEMA shop IS 'everything that is hard to back up';
CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent', 'lost');
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '@');
CREATE SEQUENCE shop.ticket START 1000 INCREMENT 7;
CREATE TABLE shop.customer (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email shop.email UNIQUE,
  name text NOT NULL,
  shout text GENERATED ALWAYS AS (upper(name)) STORED,
  tags text[] DEFAULT '{}',
  profile jsonb,
  picture bytea,
  seen tstzrange,
  balance numeric(20,4) DEFAULT 0,
  score double precision
);
COMMENT ON COLUMN shop.customer.picture IS 'it''s "raw" \ bytes';
INSERT INTO shop.customer (email, name, tags, profile, picture, seen, balance, score)
SELECT 'c' || i || '@example.com', E'Name\t' || i || E'\nline \\N ' || chr(128512 + i % 60),
  ARRAY['a' || i % 7, NULL, 'b,{}"'],
  jsonb_build_object('i', i, 'n', NULL, 'deep', jsonb_build_array(i, 'x')),
  decode(md5(i::text), 'hex'), tstzrange(now(), now() + i * interval '1 second'), i / 3.0, random()
FROM generate_series(1, %ROWS%) i;
CREATE TABLE shop.event (
  at timestamptz NOT NULL, customer bigint, what shop.state, note text
) PARTITION BY RANGE (at);
CREATE TABLE shop.event_2025 PARTITION OF shop.event
  FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.event_2026 PARTITION OF shop.event
  FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (what);
CREATE TABLE shop.event_2026_paid PARTITION OF shop.event_2026 FOR VALUES IN ('paid');
CREATE TABLE shop.event_2026_rest PARTITION OF shop.event_2026 DEFAULT;
CREATE INDEX event_by_customer ON shop.event (customer);
INSERT INTO shop.event
SELECT timestamptz '2025-06-01 00:00+00' + i * interval '7 minutes', i % 100 + 1,
  (enum_range(NULL::shop.state))[1 + i % 4], repeat('note ', i % 5)
FROM generate_series(1, %ROWS% * 4) i;
CREATE TABLE shop.empty (id int PRIMARY KEY);
CREATE UNLOGGED TABLE shop.scratch AS SELECT 1 AS one;
CREATE TABLE shop."Quoted ""Name""" ("select" int, "from" text);
INSERT INTO shop."Quoted ""Name""" VALUES (1, 'x'), (NULL, NULL);
CREATE TABLE shop.parent (id int PRIMARY KEY, up int REFERENCES shop.parent);
INSERT INTO shop.parent VALUES (1, NULL), (2, 1), (3, 2);
CREATE VIEW shop.rich AS SELECT id, name FROM shop.customer WHERE balance > 10;
CREATE MATERIALIZED VIEW shop.per_state AS SELECT what, count(*) AS n FROM shop.event GROUP BY 1;
CREATE UNIQUE INDEX per_state_key ON shop.per_state (what);
CREATE FUNCTION shop.greet(who text, times int DEFAULT 1) RETURNS text LANGUAGE sql IMMUTABLE
  AS $f$ SELECT repeat('hello ' || who || '; ', times) $f$;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql
  AS $f$ BEGIN NEW.note := coalesce(NEW.note, ''); RETURN NEW; END $f$;
CREATE TRIGGER touch BEFORE INSERT ON shop.event FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE TABLE shop.secret (id int, owner text DEFAULT current_user);
INSERT INTO shop.secret SELECT i, 'nobody' FROM generate_series(1, 10) i;
ALTER TABLE shop.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.secret USING (owner = current_user);
GRANT USAGE ON SCHEMA shop TO "shop reader";
GRANT SELECT ON shop.customer, shop.rich TO "shop reader";
ALTER TABLE shop.customer OWNER TO shop_owner;
SELECT lo_from_bytea(0, decode(repeat(md5(i::text), 2000), 'hex')) FROM generate_series(1, 5) i;
SELECT lo_from_bytea(0, ''), lo_from_bytea(0, '\x00ff');
SELECT setval('shop.ticket', 5005), nextval('shop.ticket');
ANALYZE;
"#;
