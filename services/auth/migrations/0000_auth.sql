-- Tenants: the platform sees all of them, a tenant itself. A row holds the root key (wrapped) and the signed keyset.
CREATE TABLE tenant (
  id text PRIMARY KEY,
  name text NOT NULL,
  status smallint NOT NULL,
  root_public_key bytea NOT NULL CHECK (length(root_public_key) = 32),
  root_seed bytea NOT NULL,
  created_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL,
  keyset_version bigint NOT NULL CHECK (keyset_version >= 0),
  keyset bytea NOT NULL,
  CONSTRAINT tenant_name_key UNIQUE (name)
);
--> statement-breakpoint
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant_itself ON tenant USING (in_platform() OR id = current_tenant());
--> statement-breakpoint

-- API keys of tenants, and of the platform where tenant_id is null.
CREATE TABLE api_key (
  tenant_id text,
  id text PRIMARY KEY,
  name text NOT NULL,
  digest bytea NOT NULL CHECK (length(digest) = 32),
  permissions integer[] NOT NULL,
  owner boolean NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  revoked_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL
);
--> statement-breakpoint
CREATE INDEX api_key_tenant ON api_key (tenant_id, id);
--> statement-breakpoint
CREATE UNIQUE INDEX api_key_owner ON api_key (owner) WHERE owner;
--> statement-breakpoint
SELECT tenant_owned('api_key');
--> statement-breakpoint

-- Identities that are refused. A row here never lets anybody in, so it has no seal.
CREATE TABLE denial (
  subject text PRIMARY KEY,
  issued_before timestamptz(3) NOT NULL,
  revision bigint NOT NULL,
  created_at timestamptz(3) NOT NULL
);
--> statement-breakpoint
ALTER TABLE denial ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE denial FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY platform_only ON denial USING (in_platform());
--> statement-breakpoint

-- The one key that signs call contexts, wrapped.
CREATE TABLE context_key (
  slot smallint PRIMARY KEY CHECK (slot = 1),
  key_id text NOT NULL,
  seed bytea NOT NULL,
  created_at timestamptz(3) NOT NULL
);
--> statement-breakpoint
ALTER TABLE context_key ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE context_key FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY platform_only ON context_key USING (in_platform());
