-- The latest replacement of each delegated key of a tenant. Written with the platform's change stream, hence not by tenant_owned.
CREATE TABLE key_rotation (
  tenant text NOT NULL REFERENCES tenant (id),
  -- KeyRole
  role smallint NOT NULL CHECK (role BETWEEN 1 AND 3),
  -- KeyRotationStage
  stage smallint NOT NULL CHECK (stage BETWEEN 1 AND 4),
  former_key_ids text[] NOT NULL,
  -- Empty until the service that signs has made the key.
  key_id text NOT NULL,
  records_left bigint NOT NULL,
  started_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  started_by text NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (tenant, role)
);
--> statement-breakpoint
ALTER TABLE key_rotation ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE key_rotation FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant_itself ON key_rotation USING (in_platform() OR tenant = current_tenant());
--> statement-breakpoint
-- Public keys that left a tenant's keyset and may not come back.
CREATE TABLE retired_key (
  tenant text NOT NULL REFERENCES tenant (id),
  public_key bytea NOT NULL,
  retired_at timestamptz(3) NOT NULL,
  PRIMARY KEY (tenant, public_key)
);
--> statement-breakpoint
ALTER TABLE retired_key ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE retired_key FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant_itself ON retired_key USING (in_platform() OR tenant = current_tenant());
