-- What the archives beside this file hold; see README.md. Dumped by every major, so nothing here
-- is newer than PostgreSQL 15.
CREATE SCHEMA app;
CREATE SCHEMA "we ird";
CREATE TYPE app.mood AS ENUM ('calm', 'Für Elise');
CREATE DOMAIN app.positive AS integer CHECK (VALUE > 0);
CREATE FUNCTION app.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

CREATE SEQUENCE app.ticket START 1000 INCREMENT 7;
CREATE TABLE app.customer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number integer DEFAULT nextval('app.ticket') NOT NULL,
    name text NOT NULL,
    mood app.mood,
    facts jsonb,
    photo bytea,
    tags text[],
    weight double precision,
    seen timestamptz,
    age app.positive CHECK (app.twice(age) < 400),
    shout text GENERATED ALWAYS AS (upper(name)) STORED
);
INSERT INTO app.customer (name, mood, facts, photo, tags, weight, seen, age)
SELECT 'name ' || i, 'calm', jsonb_build_object('i', i, 'text', repeat('x', i)),
       decode(md5(i::text), 'hex'), ARRAY['a', NULL, 'c,d'], i / 3.0,
       timestamptz '2024-02-29 12:00:00+00' + i * interval '1 hour', i
FROM generate_series(1, 20) AS i;
INSERT INTO app.customer (name) VALUES
    (E'\\.'), (E'tab\there'), (E'line\nbreak'), (E'back\\slash'), (''), ('\N'), ('größe 🦀');
COMMENT ON TABLE app.customer IS 'who buys';
COMMENT ON COLUMN app.customer.name IS 'as spelled';
GRANT SELECT ON app.customer TO PUBLIC;
CREATE INDEX customer_name ON app.customer (lower(name));
CREATE TRIGGER customer_stamp BEFORE INSERT ON app.customer
    FOR EACH ROW EXECUTE FUNCTION app.stamp();
ALTER TABLE app.customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone ON app.customer USING (true);

CREATE TABLE app.purchase (
    id serial PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES app.customer,
    amount numeric(12, 2)
);
INSERT INTO app.purchase (customer_id, amount) SELECT 1 + i % 20, i * 1.25 FROM generate_series(1, 40) AS i;
CREATE TRIGGER purchase_stamp BEFORE INSERT ON app.purchase
    FOR EACH ROW EXECUTE FUNCTION app.stamp();

CREATE TABLE app.event (at date NOT NULL, what text, PRIMARY KEY (at)) PARTITION BY RANGE (at);
CREATE TABLE app.event_2024 PARTITION OF app.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE app.event_2025 PARTITION OF app.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO app.event SELECT date '2024-06-01' + i * 20, 'event ' || i FROM generate_series(0, 20) AS i;

CREATE TABLE app.no_columns ();
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
CREATE TABLE app.no_rows (a integer);
CREATE TABLE app.wide (id integer, line text);
INSERT INTO app.wide VALUES (1, repeat('0123456789', 70)), (2, 'short'), (3, repeat('wide ', 300));

CREATE VIEW app.big_purchase AS SELECT * FROM app.purchase WHERE amount > 40;
CREATE MATERIALIZED VIEW app.total AS SELECT sum(amount) AS total FROM app.purchase;

CREATE TABLE "we ird"."host=evil port=1" ("a""b" integer, "c)" text, "d FROM stdin;" text);
INSERT INTO "we ird"."host=evil port=1" VALUES (1, 'one', '--file=x'), (2, NULL, E'\\\\.');
CREATE TABLE "we ird"."line
break"".🦀" ("""" text);
INSERT INTO "we ird"."line
break"".🦀" VALUES ('quoted'), ('newlines');
CREATE TABLE "we ird".sixty_three_bytes_sixty_three_bytes_sixty_three_bytes_sixty_thr ();

SELECT lo_from_bytea(70001, 'a large object'::bytea);
SELECT lo_from_bytea(4000000000, convert_to(repeat('large ', 500), 'UTF8'));
SELECT lo_create(70002);
COMMENT ON LARGE OBJECT 70001 IS 'small, for a large object';
