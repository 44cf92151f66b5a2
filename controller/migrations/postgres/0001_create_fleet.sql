-- Owner: the slice fleet, alone. Instants are microseconds since 1970 UTC, ids are UUIDs as text.

CREATE TABLE agent (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'active', 'locked', 'revoked')),
    state_reason TEXT COLLATE "C",
    version BIGINT NOT NULL,
    labels_json TEXT COLLATE "C" NOT NULL,
    os_json TEXT COLLATE "C" NOT NULL,
    tools_json TEXT COLLATE "C" NOT NULL,
    capabilities_json TEXT COLLATE "C" NOT NULL,
    agent_version TEXT COLLATE "C" NOT NULL,
    protocol_version BIGINT NOT NULL,
    signing_public_key TEXT COLLATE "C" NOT NULL,
    sealing_recipient TEXT COLLATE "C",
    certificate_generation BIGINT NOT NULL,
    machine_id TEXT COLLATE "C",
    boot_id TEXT COLLATE "C",
    session_id TEXT COLLATE "C",
    session_start_time BIGINT,
    draining BIGINT NOT NULL DEFAULT 0 CHECK (draining IN (0, 1)),
    create_time BIGINT NOT NULL,
    last_seen_time BIGINT,
    witness_sequence BIGINT,
    witness_hash TEXT COLLATE "C",
    witness_epoch BIGINT
);

CREATE TABLE agent_certificate (
    sha256 TEXT COLLATE "C" PRIMARY KEY,
    agent_id TEXT COLLATE "C" NOT NULL REFERENCES agent (id),
    generation BIGINT NOT NULL,
    not_before_time BIGINT NOT NULL,
    not_after_time BIGINT NOT NULL,
    revoke_time BIGINT,
    UNIQUE (agent_id, generation)
);

CREATE TABLE instance (
    id TEXT COLLATE "C" PRIMARY KEY,
    agent_id TEXT COLLATE "C" NOT NULL REFERENCES agent (id),
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('up', 'down', 'unknown', 'gone')),
    system_identifier TEXT COLLATE "C" NOT NULL,
    data_directory TEXT COLLATE "C" NOT NULL,
    socket_directory TEXT COLLATE "C",
    port BIGINT NOT NULL,
    server_version_num BIGINT NOT NULL,
    in_recovery BIGINT NOT NULL DEFAULT 0 CHECK (in_recovery IN (0, 1)),
    size_bytes BIGINT NOT NULL DEFAULT 0,
    labels_json TEXT COLLATE "C" NOT NULL,
    inventory_json TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    last_seen_time BIGINT NOT NULL
);

CREATE INDEX instance_by_agent ON instance (agent_id);
CREATE INDEX instance_by_system_identifier ON instance (system_identifier);

CREATE TABLE database (
    id TEXT COLLATE "C" PRIMARY KEY,
    instance_id TEXT COLLATE "C" NOT NULL REFERENCES instance (id),
    oid BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('present', 'gone')),
    size_bytes BIGINT NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    encoding TEXT COLLATE "C" NOT NULL,
    collation_name TEXT COLLATE "C" NOT NULL,
    ctype TEXT COLLATE "C" NOT NULL,
    locale_provider TEXT COLLATE "C" NOT NULL,
    collation_version TEXT COLLATE "C",
    collation_version_actual TEXT COLLATE "C",
    is_template BIGINT NOT NULL CHECK (is_template IN (0, 1)),
    allows_connections BIGINT NOT NULL CHECK (allows_connections IN (0, 1)),
    extensions_json TEXT COLLATE "C" NOT NULL,
    labels_json TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    last_seen_time BIGINT NOT NULL
);

-- A dropped and re-created database keeps its name but not its oid: it is another database.
CREATE UNIQUE INDEX database_by_oid ON database (instance_id, oid);
CREATE UNIQUE INDEX database_by_name ON database (instance_id, name) WHERE state = 'present';
