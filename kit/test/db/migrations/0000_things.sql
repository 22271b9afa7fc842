CREATE TABLE thing (
  tenant_id text,
  name text NOT NULL,
  amount bigint NOT NULL DEFAULT 0,
  body bytea NOT NULL DEFAULT '',
  CONSTRAINT thing_key UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);
--> statement-breakpoint
SELECT tenant_owned('thing');
