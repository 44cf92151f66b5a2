-- Owner: the slice access, alone.

CREATE TABLE caller (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('dba', 'lead', 'devops', 'auditor')),
    state TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
    version INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    create_caller_id TEXT,
    revoke_time INTEGER
) STRICT;

CREATE TABLE caller_certificate (
    sha256 TEXT PRIMARY KEY,
    caller_id TEXT NOT NULL REFERENCES caller (id),
    not_before_time INTEGER NOT NULL,
    not_after_time INTEGER NOT NULL,
    revoke_time INTEGER
) STRICT;

CREATE INDEX caller_certificate_by_caller ON caller_certificate (caller_id);

-- The secret itself is shown once and stored nowhere; here is its SHA-256.
CREATE TABLE join_token (
    id TEXT PRIMARY KEY,
    secret_sha256 TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    labels_json TEXT NOT NULL,
    name_hint TEXT,
    create_time INTEGER NOT NULL,
    create_caller_id TEXT NOT NULL,
    expire_time INTEGER NOT NULL,
    use_time INTEGER,
    use_agent_id TEXT,
    revoke_time INTEGER
) STRICT;
