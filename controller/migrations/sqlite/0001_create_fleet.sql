-- Owner: the slice fleet, alone. Instants are microseconds since 1970 UTC, ids are UUIDs as text.

CREATE TABLE agent (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'locked', 'revoked')),
    state_reason TEXT,
    version INTEGER NOT NULL,
    labels_json TEXT NOT NULL,
    os_json TEXT NOT NULL,
    tools_json TEXT NOT NULL,
    capabilities_json TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    protocol_version INTEGER NOT NULL,
    signing_public_key TEXT NOT NULL,
    sealing_recipient TEXT,
    certificate_generation INTEGER NOT NULL,
    machine_id TEXT,
    boot_id TEXT,
    session_id TEXT,
    session_start_time INTEGER,
    draining INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1)),
    create_time INTEGER NOT NULL,
    last_seen_time INTEGER,
    witness_sequence INTEGER,
    witness_hash TEXT,
    witness_epoch INTEGER
) STRICT;

CREATE TABLE agent_certificate (
    sha256 TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL REFERENCES agent (id),
    generation INTEGER NOT NULL,
    not_before_time INTEGER NOT NULL,
    not_after_time INTEGER NOT NULL,
    revoke_time INTEGER,
    UNIQUE (agent_id, generation)
) STRICT;

CREATE TABLE instance (
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL REFERENCES agent (id),
    name TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('up', 'down', 'unknown', 'gone')),
    system_identifier TEXT NOT NULL,
    data_directory TEXT NOT NULL,
    socket_directory TEXT,
    port INTEGER NOT NULL,
    server_version_num INTEGER NOT NULL,
    in_recovery INTEGER NOT NULL DEFAULT 0 CHECK (in_recovery IN (0, 1)),
    size_bytes INTEGER NOT NULL DEFAULT 0,
    labels_json TEXT NOT NULL,
    inventory_json TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    last_seen_time INTEGER NOT NULL
) STRICT;

CREATE INDEX instance_by_agent ON instance (agent_id);
CREATE INDEX instance_by_system_identifier ON instance (system_identifier);

CREATE TABLE database (
    id TEXT PRIMARY KEY,
    instance_id TEXT NOT NULL REFERENCES instance (id),
    oid INTEGER NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('present', 'gone')),
    size_bytes INTEGER NOT NULL,
    owner TEXT NOT NULL,
    encoding TEXT NOT NULL,
    collation_name TEXT NOT NULL,
    ctype TEXT NOT NULL,
    locale_provider TEXT NOT NULL,
    collation_version TEXT,
    collation_version_actual TEXT,
    is_template INTEGER NOT NULL CHECK (is_template IN (0, 1)),
    allows_connections INTEGER NOT NULL CHECK (allows_connections IN (0, 1)),
    extensions_json TEXT NOT NULL,
    labels_json TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    last_seen_time INTEGER NOT NULL
) STRICT;

-- A dropped and re-created database keeps its name but not its oid: it is another database.
CREATE UNIQUE INDEX database_by_oid ON database (instance_id, oid);
CREATE UNIQUE INDEX database_by_name ON database (instance_id, name) WHERE state = 'present';
