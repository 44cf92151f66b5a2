-- Owner: the module events, alone. Rows of audit_event are never changed and never deleted.

CREATE TABLE audit_event (
    sequence INTEGER PRIMARY KEY,
    event_time INTEGER NOT NULL,
    caller_kind TEXT NOT NULL
        CHECK (caller_kind IN ('operator', 'agent', 'controller', 'local', 'anonymous')),
    caller_id TEXT NOT NULL,
    caller_name TEXT NOT NULL,
    agent_id TEXT,
    peer_address TEXT,
    action TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused', 'failed', 'intended')),
    request_id TEXT,
    detail_json TEXT NOT NULL,
    previous_hash TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE
) STRICT;

CREATE INDEX audit_event_by_resource ON audit_event (resource_kind, resource_name, sequence);

CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE audit_checkpoint (
    sequence INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    hash TEXT NOT NULL,
    checkpoint_time INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE TABLE run_log (
    run_id TEXT NOT NULL,
    attempt_number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    line_time INTEGER NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
    message TEXT NOT NULL,
    PRIMARY KEY (run_id, attempt_number, sequence)
) STRICT;

INSERT INTO audit_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
