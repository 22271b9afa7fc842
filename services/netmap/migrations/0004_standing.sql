-- Whether the map is told without peers, for its tenant is suspended, and at which revision of the tenant that was decided.
ALTER TABLE map
  ADD COLUMN suspended boolean NOT NULL DEFAULT false,
  ADD COLUMN standing_revision bigint NOT NULL DEFAULT 0 CHECK (standing_revision >= 0);
