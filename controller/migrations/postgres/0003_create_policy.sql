-- Owner: the slice policy, alone.

CREATE TABLE repository (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('file', 's3')),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('declared', 'initialized')),
    version BIGINT NOT NULL,
    agent_id TEXT COLLATE "C",
    path TEXT COLLATE "C" NOT NULL,
    encryption TEXT COLLATE "C" NOT NULL CHECK (encryption IN ('age', 'none')),
    recipients_json TEXT COLLATE "C" NOT NULL,
    segment_key BYTEA,
    capabilities_json TEXT COLLATE "C" NOT NULL,
    labels_json TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    create_caller_id TEXT COLLATE "C",
    init_time BIGINT
);
