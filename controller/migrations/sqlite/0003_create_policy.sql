-- Owner: the slice policy, alone.

CREATE TABLE repository (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('file', 's3')),
    state TEXT NOT NULL CHECK (state IN ('declared', 'initialized')),
    version INTEGER NOT NULL,
    agent_id TEXT,
    path TEXT NOT NULL,
    encryption TEXT NOT NULL CHECK (encryption IN ('age', 'none')),
    recipients_json TEXT NOT NULL,
    segment_key BLOB,
    capabilities_json TEXT NOT NULL,
    labels_json TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    create_caller_id TEXT,
    init_time INTEGER
) STRICT;
