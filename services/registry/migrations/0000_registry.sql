-- What the installation has once. The prefix is a random ULA /48 (RFC 4193).
CREATE TABLE installation (
  slot smallint PRIMARY KEY CHECK (slot = 1),
  ula_prefix bytea NOT NULL CHECK (length(ula_prefix) = 6),
  seal bytea NOT NULL
);
--> statement-breakpoint

CREATE TABLE cvlan (
  tenant_id text NOT NULL,
  id text PRIMARY KEY,
  name text NOT NULL,
  ipv4_pool text NOT NULL,
  ipv6_prefix text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL,
  CONSTRAINT cvlan_name UNIQUE (tenant_id, name),
  CONSTRAINT cvlan_ipv6_prefix UNIQUE (ipv6_prefix)
);
--> statement-breakpoint

-- Lowest host number never given out; its row lock puts the allocations of a cvlan in a line.
CREATE TABLE address_pool (
  tenant_id text NOT NULL,
  cvlan_id text PRIMARY KEY REFERENCES cvlan (id) ON DELETE CASCADE,
  next_host bigint NOT NULL CHECK (next_host > 0),
  seal bytea NOT NULL
);
--> statement-breakpoint
CREATE TABLE address (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL REFERENCES cvlan (id) ON DELETE CASCADE,
  host bigint NOT NULL,
  node_id text NOT NULL,
  released_at timestamptz(3),
  seal bytea NOT NULL,
  PRIMARY KEY (cvlan_id, host)
);
--> statement-breakpoint
CREATE INDEX address_released ON address (cvlan_id, released_at, host) WHERE released_at IS NOT NULL;
--> statement-breakpoint
CREATE INDEX address_node ON address (node_id);
--> statement-breakpoint

CREATE TABLE node (
  tenant_id text NOT NULL,
  id text PRIMARY KEY,
  cvlan_id text NOT NULL REFERENCES cvlan (id) ON DELETE CASCADE,
  name text NOT NULL,
  kind smallint NOT NULL,
  status smallint NOT NULL,
  host bigint NOT NULL,
  wireguard_public_key bytea NOT NULL CHECK (length(wireguard_public_key) = 32),
  control_public_key bytea NOT NULL CHECK (length(control_public_key) = 32),
  capability_version bigint NOT NULL,
  tags jsonb NOT NULL,
  routes text[] NOT NULL,
  join_token_id text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  joined_at timestamptz(3),
  revoked_at timestamptz(3),
  -- Serialised Signed of the NodeRecord; empty while the node is joining.
  record bytea NOT NULL,
  record_revision bigint NOT NULL,
  seal bytea NOT NULL,
  CONSTRAINT node_join_token UNIQUE (join_token_id)
);
--> statement-breakpoint
CREATE UNIQUE INDEX node_name ON node (cvlan_id, name) WHERE revoked_at IS NULL;
--> statement-breakpoint
CREATE UNIQUE INDEX node_wireguard_public_key ON node (cvlan_id, wireguard_public_key) WHERE revoked_at IS NULL;
--> statement-breakpoint
-- An address is one live node's, whatever the rows of pool and addresses say.
CREATE UNIQUE INDEX node_host ON node (cvlan_id, host) WHERE revoked_at IS NULL;
--> statement-breakpoint
CREATE INDEX node_of_tenant ON node (tenant_id, id);
--> statement-breakpoint
CREATE INDEX node_of_cvlan ON node (cvlan_id, id);
--> statement-breakpoint
CREATE INDEX node_tags ON node USING gin (tags jsonb_path_ops);
--> statement-breakpoint

CREATE TABLE node_group (
  tenant_id text NOT NULL,
  id text PRIMARY KEY,
  cvlan_id text NOT NULL REFERENCES cvlan (id) ON DELETE CASCADE,
  name text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL,
  CONSTRAINT node_group_name UNIQUE (cvlan_id, name)
);
--> statement-breakpoint
CREATE TABLE group_member (
  tenant_id text NOT NULL,
  group_id text NOT NULL REFERENCES node_group (id),
  node_id text NOT NULL REFERENCES node (id) ON DELETE CASCADE,
  seal bytea NOT NULL,
  PRIMARY KEY (group_id, node_id)
);
--> statement-breakpoint
CREATE INDEX group_member_node ON group_member (node_id);
--> statement-breakpoint

CREATE TABLE join_token (
  tenant_id text NOT NULL,
  id text PRIMARY KEY,
  cvlan_id text NOT NULL REFERENCES cvlan (id) ON DELETE CASCADE,
  digest bytea NOT NULL CHECK (length(digest) = 32),
  expires_at timestamptz(3) NOT NULL,
  tags jsonb NOT NULL,
  group_ids text[] NOT NULL,
  node_kind smallint NOT NULL,
  created_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  revoked_at timestamptz(3),
  -- SHA-256 of the key of the request that spent it, and the node it made.
  used_by bytea,
  node_id text,
  seal bytea NOT NULL
);
--> statement-breakpoint
CREATE INDEX join_token_of_cvlan ON join_token (tenant_id, cvlan_id, id);
--> statement-breakpoint
CREATE INDEX join_token_tags ON join_token USING gin (tags jsonb_path_ops);
--> statement-breakpoint

CREATE TABLE region (
  id text PRIMARY KEY,
  name text NOT NULL CONSTRAINT region_name UNIQUE,
  display_name text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  created_by text NOT NULL
);
--> statement-breakpoint

-- Nodes that are revoked here and whose identity auth was not yet told to deny. A tenant adds its own, the job of the
-- platform works through all.
CREATE TABLE pending_denial (
  node_id text PRIMARY KEY,
  owner text NOT NULL,
  since timestamptz(3) NOT NULL
);
--> statement-breakpoint
ALTER TABLE pending_denial ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE pending_denial FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY owner_or_platform ON pending_denial USING (in_platform() OR owner = current_tenant());
--> statement-breakpoint

SELECT tenant_owned(owned) FROM unnest(ARRAY['cvlan', 'address_pool', 'address', 'node', 'node_group', 'group_member', 'join_token']::regclass[]) AS owned;
