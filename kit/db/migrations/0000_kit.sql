-- Tables that every service has, made in its own schema: the search path says which.

-- Tenant of the transaction; null when none was set, so that no row of a tenant matches.
CREATE FUNCTION current_tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(nullif(pg_catalog.current_setting('app.tenant', true), ''), 'platform');
--> statement-breakpoint
CREATE FUNCTION in_platform() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(pg_catalog.current_setting('app.tenant', true), '') = 'platform';
--> statement-breakpoint
-- Puts a table with a column tenant_id under row security: rows of the transaction's tenant, or, in a platform
-- transaction, rows of no tenant. Forced, so that it holds for the owner of the table too.
CREATE FUNCTION tenant_owned(owned regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', owned);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', owned);
  EXECUTE format('CREATE POLICY tenant_isolation ON %s USING ((tenant_id = current_tenant()) OR (tenant_id IS NULL AND in_platform()))', owned);
END $$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION tenant_owned(regclass) FROM PUBLIC;
--> statement-breakpoint

CREATE TABLE change_stream (
  tenant_id text DEFAULT current_tenant(),
  stream text NOT NULL,
  revision bigint NOT NULL CHECK (revision > 0),
  CONSTRAINT change_stream_key UNIQUE NULLS NOT DISTINCT (tenant_id, stream)
);
--> statement-breakpoint
CREATE TABLE change (
  tenant_id text DEFAULT current_tenant(),
  stream text NOT NULL,
  object_id text NOT NULL,
  revision bigint NOT NULL,
  body bytea NOT NULL,
  CONSTRAINT change_key UNIQUE NULLS NOT DISTINCT (tenant_id, stream, object_id)
);
--> statement-breakpoint
CREATE UNIQUE INDEX change_revision ON change (tenant_id, stream, revision) NULLS NOT DISTINCT;
--> statement-breakpoint

CREATE TABLE audit_sequence (
  tenant_id text DEFAULT current_tenant(),
  sequence bigint NOT NULL CHECK (sequence > 0),
  CONSTRAINT audit_sequence_key UNIQUE NULLS NOT DISTINCT (tenant_id)
);
--> statement-breakpoint
CREATE TABLE audit_log (
  tenant_id text DEFAULT current_tenant(),
  sequence bigint NOT NULL,
  cluster_id text NOT NULL,
  occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor_type smallint NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  object_id text NOT NULL,
  outcome text NOT NULL,
  request_id text NOT NULL,
  source_address text NOT NULL,
  CONSTRAINT audit_log_key UNIQUE NULLS NOT DISTINCT (tenant_id, sequence)
);
--> statement-breakpoint
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
DO $$ BEGIN
  EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM %I', 'cloudvlan_' || current_schema());
END $$;
--> statement-breakpoint
-- The key with which a service signs for a tenant, wrapped by the key provider.
CREATE TABLE signing_key (
  tenant_id text PRIMARY KEY,
  wrapped_seed bytea NOT NULL
);
--> statement-breakpoint

SELECT tenant_owned('change_stream'), tenant_owned('change'), tenant_owned('audit_sequence'), tenant_owned('audit_log'), tenant_owned('signing_key');
