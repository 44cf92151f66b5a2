-- Owner of `join_token`: the slice access. The agent that alone may come back with the token.

ALTER TABLE join_token ADD COLUMN bound_agent_id TEXT COLLATE "C";

-- Owner of `agent`: the slice fleet. Certificates of lower generations ended when the agent came
-- back with such a token.

ALTER TABLE agent ADD COLUMN first_certificate_generation BIGINT NOT NULL DEFAULT 1;
