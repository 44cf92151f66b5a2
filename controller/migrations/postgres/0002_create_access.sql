-- Owner: the slice access, alone.

CREATE TABLE caller (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('dba', 'lead', 'devops', 'auditor')),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'revoked')),
    version BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    create_caller_id TEXT COLLATE "C",
    revoke_time BIGINT
);

CREATE TABLE caller_certificate (
    sha256 TEXT COLLATE "C" PRIMARY KEY,
    caller_id TEXT COLLATE "C" NOT NULL REFERENCES caller (id),
    not_before_time BIGINT NOT NULL,
    not_after_time BIGINT NOT NULL,
    revoke_time BIGINT
);

CREATE INDEX caller_certificate_by_caller ON caller_certificate (caller_id);

-- The secret itself is shown once and stored nowhere; here is its SHA-256.
CREATE TABLE join_token (
    id TEXT COLLATE "C" PRIMARY KEY,
    secret_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    labels_json TEXT COLLATE "C" NOT NULL,
    name_hint TEXT COLLATE "C",
    create_time BIGINT NOT NULL,
    create_caller_id TEXT COLLATE "C" NOT NULL,
    expire_time BIGINT NOT NULL,
    use_time BIGINT,
    use_agent_id TEXT COLLATE "C",
    revoke_time BIGINT
);
