-- How often name or status of a tenant changed, and when last. Of no authority, so neither is in the seal.
ALTER TABLE tenant
  ADD COLUMN revision bigint NOT NULL DEFAULT 1 CHECK (revision > 0),
  ADD COLUMN updated_at timestamptz(3);
--> statement-breakpoint
-- The row of a deleted tenant stays, so that its id is never given out again; its name is free.
ALTER TABLE tenant DROP CONSTRAINT tenant_name_key;
--> statement-breakpoint
CREATE UNIQUE INDEX tenant_name_key ON tenant (name) WHERE status <> 3;
