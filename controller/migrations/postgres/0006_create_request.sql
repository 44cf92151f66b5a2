-- Owner: the module request, alone.

CREATE TABLE request_answer (
    caller_id TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    response BYTEA NOT NULL,
    answer_time BIGINT NOT NULL,
    PRIMARY KEY (caller_id, request_id)
);

CREATE INDEX request_answer_by_time ON request_answer (answer_time);
