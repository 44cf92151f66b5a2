-- Owner: the slice verify, alone.

CREATE TABLE proof (
    id TEXT COLLATE "C" PRIMARY KEY,
    backup_id TEXT COLLATE "C" NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL,
    agent_id TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL,
    instance_name TEXT COLLATE "C" NOT NULL,
    database_name TEXT COLLATE "C" NOT NULL,
    level TEXT COLLATE "C" NOT NULL CHECK (level IN ('restored', 'equal', 'equal_assertions')),
    create_time BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time BIGINT NOT NULL,
    table_count BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    large_object_count BIGINT NOT NULL,
    plain_bytes BIGINT NOT NULL,
    recovery_millis BIGINT NOT NULL,
    server_version TEXT COLLATE "C" NOT NULL,
    remarks_json TEXT COLLATE "C" NOT NULL,
    document_json TEXT COLLATE "C" NOT NULL,
    document_sha256 TEXT COLLATE "C" NOT NULL,
    agent_public_key TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    countersignature TEXT COLLATE "C"
);

CREATE INDEX proof_by_backup ON proof (backup_id, id);
CREATE INDEX proof_by_database ON proof (instance_id, database_name, id);
CREATE UNIQUE INDEX proof_by_run ON proof (run_id);

-- Which ended checks and drills have been looked at, so that each counts once.
CREATE TABLE verification (
    run_id TEXT COLLATE "C" PRIMARY KEY,
    verify_time BIGINT NOT NULL,
    finding TEXT COLLATE "C" NOT NULL
);

-- What is still to be looked at; without it every ended run would be read again and again.
CREATE INDEX run_verifiable ON run (id)
    WHERE kind IN ('check', 'drill') AND state IN ('succeeded', 'failed');
