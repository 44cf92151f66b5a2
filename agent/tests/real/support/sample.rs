//! A small database with something of everything, and names that try to be something else.

/// Roles of the sample; run once an instance.
pub const ROLES: &str = "\
CREATE ROLE app_owner LOGIN;
CREATE ROLE reader;
CREATE ROLE \"host=evil role\" LOGIN IN ROLE reader;
ALTER ROLE app_owner SET search_path = app, \"$user\", public;
ALTER ROLE app_owner SET work_mem = '8MB';
";

/// The contents; run in a database of its own.
pub const CONTENTS: &str = r#"
CREATE SCHEMA app AUTHORIZATION app_owner;
CREATE SCHEMA "weird ""schema"" = x";
SET ROLE app_owner;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'it''s');
CREATE DOMAIN app.positive AS integer CHECK (VALUE > 0);
CREATE TYPE app.pair AS (a integer, b text);
CREATE TABLE app.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL, mood app.mood DEFAULT 'ok', tags text[], data jsonb, raw bytea,
    amount app.positive, price double precision, at timestamptz DEFAULT now(),
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED, UNIQUE (name));
CREATE TABLE app.orders (
    id serial, customer bigint REFERENCES app.customers (id) ON DELETE CASCADE,
    day date NOT NULL, total numeric(12,2) CHECK (total >= 0), PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE app.orders_2025 PARTITION OF app.orders
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.orders_2026 PARTITION OF app.orders
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX orders_total ON app.orders (total) WHERE total > 10;
CREATE INDEX customers_data ON app.customers USING gin (data);
CREATE VIEW app.rich AS SELECT name, amount FROM app.customers WHERE amount > 100;
CREATE TABLE app.states (s varchar(9) CHECK (s IN ('new', 'old')));
CREATE VIEW app.known_states AS SELECT s FROM app.states WHERE s IN ('new', 'old');
CREATE INDEX states_known ON app.states (s) WHERE s IN ('new', 'old');
CREATE MATERIALIZED VIEW app.totals AS
    SELECT customer, sum(total) AS total FROM app.orders GROUP BY customer;
CREATE UNIQUE INDEX totals_key ON app.totals (customer);
CREATE FUNCTION app.twice(i integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE PROCEDURE app.nothing() LANGUAGE sql AS '';
CREATE TRIGGER stamp BEFORE UPDATE ON app.customers FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE RULE no_delete AS ON DELETE TO app.rich DO INSTEAD NOTHING;
CREATE SEQUENCE app.lonely INCREMENT 5 START 100 CYCLE MAXVALUE 1000;
CREATE SEQUENCE app.untouched;
CREATE SEQUENCE app.set_only; SELECT setval('app.set_only', 77, false);
CREATE STATISTICS app.name_mood ON name, mood FROM app.customers;
ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY only_ok ON app.customers FOR SELECT TO reader USING (mood = 'ok');
GRANT SELECT ON app.customers TO reader;
GRANT INSERT, SELECT ON app.orders TO "host=evil role" WITH GRANT OPTION;
GRANT SELECT (name) ON app.customers TO "host=evil role";
COMMENT ON TABLE app.customers IS 'those who pay';
COMMENT ON COLUMN app.customers.name IS 'as on the card';
RESET ROLE;
CREATE TABLE "weird ""schema"" = x"."--file=x; DROP" ("a b" integer, "it's" text, "quote""d" text,
    "colon:back\slash" text);
CREATE TABLE "weird ""schema"" = x"."line
break" (a integer);
CREATE TABLE public.empty_table (a integer, b text);
CREATE TABLE public.no_columns ();
CREATE UNLOGGED TABLE public.fleeting (a integer);
DO $$ BEGIN EXECUTE (SELECT format('CREATE EXTENSION %I SCHEMA public', name)
    FROM pg_available_extensions WHERE name IN ('btree_gist', 'vector') ORDER BY 1 LIMIT 1); END $$;
CREATE AGGREGATE public.total_of (numeric) (sfunc = numeric_add, stype = numeric, initcond = '0');
CREATE PUBLICATION pub FOR TABLE public.empty_table;
ALTER TABLE public.empty_table ALTER COLUMN b SET STATISTICS 500;
ALTER TABLE public.empty_table REPLICA IDENTITY FULL;

INSERT INTO app.customers (name, mood, tags, data, raw, amount, price)
    SELECT 'customer ' || i, (ARRAY['sad', 'ok', 'it''s'])[1 + i % 3]::app.mood,
        ARRAY['a' || i, E'tab\there', 'nul', NULL], jsonb_build_object('i', i, 'x', E'l\nl'),
        decode(md5(i::text), 'hex'), i, i / 7.0
    FROM generate_series(1, 1000) AS i;
INSERT INTO app.orders (customer, day, total)
    SELECT 1 + i % 1000, date '2025-01-01' + (i % 700), i / 3.0 FROM generate_series(1, 5000) AS i;
INSERT INTO "weird ""schema"" = x"."--file=x; DROP"
  VALUES (1, E'a\\b', '\.', E'\n'), (2, NULL, '', '\N');
INSERT INTO "weird ""schema"" = x"."line
break" VALUES (1), (2), (2);
INSERT INTO public.no_columns SELECT FROM generate_series(1, 3);
INSERT INTO public.fleeting VALUES (1);
SELECT nextval('app.lonely'), nextval('app.lonely');
SELECT lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'));
SELECT lo_from_bytea(0, '');
SELECT lo_from_bytea(0, 'third');
REFRESH MATERIALIZED VIEW app.totals;
ANALYZE;
"#;
