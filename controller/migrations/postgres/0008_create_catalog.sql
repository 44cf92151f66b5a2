-- Owner: the module lifecycle, alone. Which packs a backup needs.

CREATE TABLE backup_pack (
    backup_id TEXT COLLATE "C" NOT NULL,
    pack_id TEXT COLLATE "C" NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    stored_bytes BIGINT NOT NULL,
    referred_bytes BIGINT NOT NULL,
    PRIMARY KEY (backup_id, pack_id)
);

CREATE INDEX backup_pack_by_pack ON backup_pack (pack_id);

-- Packs that a check found damaged: no new backup refers to what is in them.
CREATE TABLE damaged_pack (
    pack_id TEXT COLLATE "C" PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL,
    found_time BIGINT NOT NULL
);
