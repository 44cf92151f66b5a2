-- Owner: the module lifecycle, alone. A state moves only by an UPDATE guarded by version.

CREATE TABLE run (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL
        CHECK (kind IN ('backup', 'restore', 'check', 'drill', 'prune', 'inspect', 'init')),
    state TEXT NOT NULL CHECK (state IN ('requested', 'queued', 'dispatched', 'running',
        'succeeded', 'failed', 'canceled', 'skipped')),
    version INTEGER NOT NULL,
    requester_id TEXT NOT NULL,
    requester_name TEXT NOT NULL,
    spec_json TEXT NOT NULL,
    labels_json TEXT NOT NULL,
    agent_id TEXT,
    instance_id TEXT,
    database_id TEXT,
    database_name TEXT,
    repository_id TEXT,
    backup_id TEXT,
    parent_run_id TEXT REFERENCES run (id),
    priority INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    attempt_number INTEGER NOT NULL,
    exclusive_key TEXT,
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    not_before_time INTEGER NOT NULL,
    deadline_time INTEGER,
    request_time INTEGER NOT NULL,
    queue_time INTEGER,
    start_time INTEGER,
    end_time INTEGER,
    failure_kind TEXT,
    failure_reason TEXT,
    failure_message TEXT,
    failure_context_json TEXT,
    outcome_json TEXT
) STRICT;

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
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id),
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('offered', 'accepted', 'running',
        'succeeded', 'failed', 'canceled', 'refused', 'lost')),
    version INTEGER NOT NULL,
    offer_time INTEGER NOT NULL,
    accept_time INTEGER,
    start_time INTEGER,
    end_time INTEGER,
    lease_until_time INTEGER NOT NULL,
    progress_json TEXT,
    progress_sequence INTEGER NOT NULL,
    outcome_sha256 TEXT,
    outcome_json TEXT,
    failure_kind TEXT,
    failure_reason TEXT,
    failure_message TEXT,
    failure_context_json TEXT,
    UNIQUE (run_id, number)
) STRICT;

-- A run has at most one attempt that may still act.
CREATE UNIQUE INDEX attempt_live ON attempt (run_id)
    WHERE state IN ('offered', 'accepted', 'running');
CREATE INDEX attempt_lease ON attempt (lease_until_time)
    WHERE state IN ('offered', 'accepted', 'running');
CREATE INDEX attempt_live_by_agent ON attempt (agent_id)
    WHERE state IN ('offered', 'accepted', 'running');

CREATE TABLE backup (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    attempt_id TEXT,
    agent_id TEXT NOT NULL,
    agent_public_key TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    instance_name TEXT NOT NULL,
    system_identifier TEXT NOT NULL,
    database_id TEXT,
    database_name TEXT NOT NULL,
    database_oid INTEGER NOT NULL,
    repository_id TEXT NOT NULL,
    parent_backup_id TEXT,
    selection TEXT NOT NULL CHECK (selection IN ('full', 'schema', 'data', 'tables')),
    check_state TEXT NOT NULL
        CHECK (check_state IN ('unchecked', 'intact', 'readable', 'proven', 'corrupt')),
    keep_state TEXT NOT NULL CHECK (keep_state IN ('active', 'expired', 'pruning', 'pruned')),
    version INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    snapshot_time INTEGER NOT NULL,
    keep_until_time INTEGER,
    keep_forever INTEGER NOT NULL CHECK (keep_forever IN (0, 1)),
    last_check_time INTEGER,
    last_check_level TEXT CHECK (last_check_level IN ('present', 'intact', 'readable', 'proven')),
    server_version_num INTEGER NOT NULL,
    tool_version TEXT NOT NULL,
    plain_bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    new_bytes INTEGER NOT NULL,
    segment_count INTEGER NOT NULL,
    new_segment_count INTEGER NOT NULL,
    table_count INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    encrypted INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
    recipients_json TEXT NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    record_sha256 TEXT NOT NULL,
    signature TEXT NOT NULL,
    countersignature TEXT,
    labels_json TEXT NOT NULL,
    summary_json TEXT NOT NULL
) STRICT;

CREATE INDEX backup_by_time ON backup (create_time, id);
CREATE INDEX backup_by_database ON backup (instance_id, database_name, create_time, id);
CREATE INDEX backup_by_repository ON backup (repository_id, create_time, id);
CREATE INDEX backup_by_run ON backup (run_id);

CREATE TABLE controller_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    controller_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    clock_high_water_time INTEGER NOT NULL,
    -- Set when agents or manifests knew more than this database; destructive work waits.
    amnesia_reason TEXT,
    amnesia_time INTEGER,
    -- Authenticates page tokens; it grants nothing, and every controller must have the same.
    page_key TEXT NOT NULL
) STRICT;
