-- Owner: the slice verify, alone.

CREATE TABLE proof (
    id TEXT PRIMARY KEY,
    backup_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    instance_name TEXT NOT NULL,
    database_name TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('restored', 'equal', 'equal_assertions')),
    create_time INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    table_count INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    large_object_count INTEGER NOT NULL,
    plain_bytes INTEGER NOT NULL,
    recovery_millis INTEGER NOT NULL,
    server_version TEXT NOT NULL,
    remarks_json TEXT NOT NULL,
    document_json TEXT NOT NULL,
    document_sha256 TEXT NOT NULL,
    agent_public_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    countersignature TEXT
) STRICT;

CREATE INDEX proof_by_backup ON proof (backup_id, id);
CREATE INDEX proof_by_database ON proof (instance_id, database_name, id);
CREATE UNIQUE INDEX proof_by_run ON proof (run_id);

-- Which ended checks and drills have been looked at, so that each counts once.
CREATE TABLE verification (
    run_id TEXT PRIMARY KEY,
    verify_time INTEGER NOT NULL,
    finding TEXT NOT NULL
) STRICT;

-- What is still to be looked at; without it every ended run would be read again and again.
CREATE INDEX run_verifiable ON run (id)
    WHERE kind IN ('check', 'drill') AND state IN ('succeeded', 'failed');
