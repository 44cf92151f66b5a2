-- Owner: the slice catalog, alone. Which packs a backup needs, and which backup wrote them.

CREATE TABLE backup_pack (
    backup_id TEXT COLLATE "C" NOT NULL,
    pack_id TEXT COLLATE "C" NOT NULL,
    owner_backup_id TEXT COLLATE "C" NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    stored_bytes BIGINT NOT NULL,
    PRIMARY KEY (backup_id, pack_id)
);

CREATE INDEX backup_pack_by_pack ON backup_pack (pack_id);
