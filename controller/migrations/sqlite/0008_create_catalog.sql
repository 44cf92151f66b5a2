-- Owner: the module lifecycle, alone. Which packs a backup needs.

CREATE TABLE backup_pack (
    backup_id TEXT NOT NULL,
    pack_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    stored_bytes INTEGER NOT NULL,
    referred_bytes INTEGER NOT NULL,
    PRIMARY KEY (backup_id, pack_id)
) STRICT;

CREATE INDEX backup_pack_by_pack ON backup_pack (pack_id);

-- Packs that a check found damaged: no new backup refers to what is in them.
CREATE TABLE damaged_pack (
    pack_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    found_time INTEGER NOT NULL
) STRICT;
