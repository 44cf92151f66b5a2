-- Owner: the module events, alone. Rows of audit_event are never changed and never deleted.

CREATE TABLE audit_event (
    sequence BIGINT PRIMARY KEY,
    event_time BIGINT NOT NULL,
    caller_kind TEXT COLLATE "C" NOT NULL
        CHECK (caller_kind IN ('operator', 'agent', 'controller', 'local', 'anonymous')),
    caller_id TEXT COLLATE "C" NOT NULL,
    caller_name TEXT COLLATE "C" NOT NULL,
    agent_id TEXT COLLATE "C",
    peer_address TEXT COLLATE "C",
    action TEXT COLLATE "C" NOT NULL,
    resource_kind TEXT COLLATE "C" NOT NULL,
    resource_name TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('done', 'refused', 'failed', 'intended')),
    request_id TEXT COLLATE "C",
    detail_json TEXT COLLATE "C" NOT NULL,
    previous_hash TEXT COLLATE "C" NOT NULL UNIQUE,
    hash TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE INDEX audit_event_by_resource ON audit_event (resource_kind, resource_name, sequence);

CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL
);

CREATE TABLE audit_checkpoint (
    sequence BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    checkpoint_time BIGINT NOT NULL,
    note TEXT COLLATE "C" NOT NULL
);

CREATE TABLE run_log (
    run_id TEXT COLLATE "C" NOT NULL,
    attempt_number BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    line_time BIGINT NOT NULL,
    level TEXT COLLATE "C" NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
    message TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, attempt_number, sequence)
);

INSERT INTO audit_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
