ALTER TABLE document ADD COLUMN source bytea NOT NULL DEFAULT '';
