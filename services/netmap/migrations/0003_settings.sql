-- What is in force for the cvlan as registry said it last, at which revision of its stream: serialised EffectiveSettings, sealed.
ALTER TABLE map
  ADD COLUMN settings bytea NOT NULL DEFAULT '',
  ADD COLUMN settings_revision bigint NOT NULL DEFAULT 0 CHECK (settings_revision >= 0),
  ADD COLUMN settings_seal bytea NOT NULL DEFAULT '';
