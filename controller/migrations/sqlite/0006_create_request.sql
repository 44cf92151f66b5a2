-- Owner: the module request, alone.

CREATE TABLE request_answer (
    caller_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    method TEXT NOT NULL,
    digest TEXT NOT NULL,
    response BLOB NOT NULL,
    answer_time INTEGER NOT NULL,
    PRIMARY KEY (caller_id, request_id)
) STRICT;

CREATE INDEX request_answer_by_time ON request_answer (answer_time);
