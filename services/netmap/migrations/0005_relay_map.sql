-- Revision of the cvlan's relay map, which is a row of `record` as the DNS record is; 0 before the first. A worker of the former
-- version moves `registry_cursor` past relay maps without taking them: how far they were taken stands beside it.
ALTER TABLE map
  ADD COLUMN relay_map_revision bigint NOT NULL DEFAULT 0 CHECK (relay_map_revision >= 0),
  ADD COLUMN relay_map_cursor bigint NOT NULL DEFAULT 0 CHECK (relay_map_cursor >= 0);
