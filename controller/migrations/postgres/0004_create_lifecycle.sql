-- Owner: the module lifecycle, alone. A state moves only by an UPDATE guarded by version.

CREATE TABLE run (
    id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL
        CHECK (kind IN ('backup', 'restore', 'check', 'drill', 'prune', 'inspect', 'init')),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('requested', 'queued', 'dispatched', 'running',
        'succeeded', 'failed', 'canceled', 'skipped')),
    version BIGINT NOT NULL,
    requester_id TEXT COLLATE "C" NOT NULL,
    requester_name TEXT COLLATE "C" NOT NULL,
    spec_json TEXT COLLATE "C" NOT NULL,
    labels_json TEXT COLLATE "C" NOT NULL,
    agent_id TEXT COLLATE "C",
    instance_id TEXT COLLATE "C",
    database_id TEXT COLLATE "C",
    database_name TEXT COLLATE "C",
    repository_id TEXT COLLATE "C",
    backup_id TEXT COLLATE "C",
    parent_run_id TEXT COLLATE "C" REFERENCES run (id),
    priority BIGINT NOT NULL,
    attempts_max BIGINT NOT NULL,
    attempt_number BIGINT NOT NULL,
    exclusive_key TEXT COLLATE "C",
    cancel_requested BIGINT NOT NULL CHECK (cancel_requested IN (0, 1)),
    not_before_time BIGINT NOT NULL,
    deadline_time BIGINT,
    request_time BIGINT NOT NULL,
    queue_time BIGINT,
    start_time BIGINT,
    end_time BIGINT,
    failure_kind TEXT COLLATE "C",
    failure_reason TEXT COLLATE "C",
    failure_message TEXT COLLATE "C",
    failure_context_json TEXT COLLATE "C",
    outcome_json TEXT COLLATE "C"
);

CREATE INDEX run_by_parent ON run (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX run_by_backup ON run (backup_id) WHERE backup_id IS NOT NULL;
-- Newest first; ids made from requests do not sort by time, so the time leads.
CREATE INDEX run_by_time ON run (request_time, id);
CREATE INDEX run_deadline ON run (deadline_time)
    WHERE deadline_time IS NOT NULL AND state IN ('requested', 'queued', 'dispatched', 'running');
CREATE INDEX run_requested ON run (id) WHERE state = 'requested';
CREATE INDEX run_queued ON run (priority, request_time, id) WHERE state = 'queued';
CREATE INDEX run_live ON run (agent_id, id) WHERE state IN ('dispatched', 'running');
-- Two runs that exclude each other are never both with an agent, whatever the dispatcher thinks.
CREATE UNIQUE INDEX run_exclusive ON run (exclusive_key)
    WHERE exclusive_key IS NOT NULL AND state IN ('dispatched', 'running');

-- Who works on, or waits for, the same thing.
CREATE INDEX run_by_exclusive_key ON run (exclusive_key, request_time, id)
    WHERE exclusive_key IS NOT NULL
    AND state IN ('requested', 'queued', 'dispatched', 'running');

CREATE TABLE attempt (
    id TEXT COLLATE "C" PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id),
    number BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    agent_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('offered', 'accepted', 'running',
        'succeeded', 'failed', 'canceled', 'refused', 'lost')),
    version BIGINT NOT NULL,
    offer_time BIGINT NOT NULL,
    accept_time BIGINT,
    start_time BIGINT,
    end_time BIGINT,
    lease_until_time BIGINT NOT NULL,
    progress_json TEXT COLLATE "C",
    progress_sequence BIGINT NOT NULL,
    outcome_sha256 TEXT COLLATE "C",
    outcome_json TEXT COLLATE "C",
    failure_kind TEXT COLLATE "C",
    failure_reason TEXT COLLATE "C",
    failure_message TEXT COLLATE "C",
    failure_context_json TEXT COLLATE "C",
    UNIQUE (run_id, number)
);

-- A run has at most one attempt that may still act.
CREATE UNIQUE INDEX attempt_live ON attempt (run_id)
    WHERE state IN ('offered', 'accepted', 'running');
CREATE INDEX attempt_lease ON attempt (lease_until_time)
    WHERE state IN ('offered', 'accepted', 'running');
CREATE INDEX attempt_live_by_agent ON attempt (agent_id)
    WHERE state IN ('offered', 'accepted', 'running');

CREATE TABLE backup (
    id TEXT COLLATE "C" PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL,
    attempt_id TEXT COLLATE "C",
    agent_id TEXT COLLATE "C" NOT NULL,
    agent_public_key TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL,
    instance_name TEXT COLLATE "C" NOT NULL,
    system_identifier TEXT COLLATE "C" NOT NULL,
    database_id TEXT COLLATE "C",
    database_name TEXT COLLATE "C" NOT NULL,
    database_oid BIGINT NOT NULL,
    repository_id TEXT COLLATE "C" NOT NULL,
    parent_backup_id TEXT COLLATE "C",
    selection TEXT COLLATE "C" NOT NULL CHECK (selection IN ('full', 'schema', 'data', 'tables')),
    check_state TEXT COLLATE "C" NOT NULL
        CHECK (check_state IN ('unchecked', 'intact', 'readable', 'proven', 'corrupt')),
    keep_state TEXT COLLATE "C" NOT NULL CHECK (keep_state IN ('active', 'expired', 'pruning', 'pruned')),
    version BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    snapshot_time BIGINT NOT NULL,
    keep_until_time BIGINT,
    keep_forever BIGINT NOT NULL CHECK (keep_forever IN (0, 1)),
    last_check_time BIGINT,
    last_check_level TEXT COLLATE "C" CHECK (last_check_level IN ('present', 'intact', 'readable', 'proven')),
    server_version_num BIGINT NOT NULL,
    tool_version TEXT COLLATE "C" NOT NULL,
    plain_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    new_bytes BIGINT NOT NULL,
    segment_count BIGINT NOT NULL,
    new_segment_count BIGINT NOT NULL,
    table_count BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    encrypted BIGINT NOT NULL CHECK (encrypted IN (0, 1)),
    recipients_json TEXT COLLATE "C" NOT NULL,
    manifest_sha256 TEXT COLLATE "C" NOT NULL,
    record_sha256 TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    countersignature TEXT COLLATE "C",
    labels_json TEXT COLLATE "C" NOT NULL,
    summary_json TEXT COLLATE "C" NOT NULL
);

CREATE INDEX backup_by_time ON backup (create_time, id);
CREATE INDEX backup_by_database ON backup (instance_id, database_name, create_time, id);
CREATE INDEX backup_by_repository ON backup (repository_id, create_time, id);
CREATE INDEX backup_by_run ON backup (run_id);

CREATE TABLE controller_state (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    controller_id TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    version BIGINT NOT NULL,
    clock_high_water_time BIGINT NOT NULL,
    -- Set when agents or manifests knew more than this database; destructive work waits.
    amnesia_reason TEXT COLLATE "C",
    amnesia_time BIGINT,
    -- Authenticates page tokens; it grants nothing, and every controller must have the same.
    page_key TEXT COLLATE "C" NOT NULL
);
