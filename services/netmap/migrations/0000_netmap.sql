CREATE TABLE map (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  epoch bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
  revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
  registry_cursor bigint NOT NULL DEFAULT 0,
  policy_cursor bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, cvlan_id)
);
--> statement-breakpoint
CREATE TABLE record (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  object_id text NOT NULL,
  kind smallint NOT NULL,
  signed bytea NOT NULL,
  version bigint NOT NULL,
  removed boolean NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id, object_id)
);
--> statement-breakpoint
CREATE TABLE log (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  revision bigint NOT NULL,
  ordinal integer NOT NULL,
  entries integer NOT NULL,
  object_id text NOT NULL,
  kind smallint NOT NULL,
  before bytea NOT NULL,
  after bytea NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id, revision, ordinal)
);
--> statement-breakpoint
CREATE TABLE endpoint (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  node_id text NOT NULL,
  sequence bigint NOT NULL,
  hint bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id, node_id)
);
--> statement-breakpoint
CREATE INDEX endpoint_sequence_of ON endpoint (tenant_id, cvlan_id, sequence);
--> statement-breakpoint
CREATE TABLE endpoint_sequence (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  sequence bigint NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id)
);
--> statement-breakpoint
SELECT tenant_owned('map'), tenant_owned('record'), tenant_owned('log'), tenant_owned('endpoint'),
  tenant_owned('endpoint_sequence');
