-- Owner: the module lifecycle, alone. The epoch in which an operator last agreed to go on with an
-- older copy of this database; 0 for never. What agents remember of earlier epochs is no news.

ALTER TABLE controller_state ADD COLUMN accepted_epoch BIGINT NOT NULL DEFAULT 0;
