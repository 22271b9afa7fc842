-- Servers of the platform that tell nodes their public address.
CREATE TABLE discovery_server (
  id text PRIMARY KEY,
  name text NOT NULL CONSTRAINT discovery_server_name UNIQUE,
  region_id text NOT NULL CONSTRAINT discovery_server_region REFERENCES region (id),
  -- As the region has it: what is signed comes from sealed rows.
  region_name text NOT NULL,
  -- `address:port`, an IPv6 address in brackets.
  endpoints text[] NOT NULL,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL
);
--> statement-breakpoint

-- Counts what relay maps are made of; its row lock puts changes of that in a line.
CREATE TABLE relay_revision (
  slot smallint PRIMARY KEY CHECK (slot = 1),
  revision bigint NOT NULL CHECK (revision >= 0)
);
--> statement-breakpoint

-- The last signed RelayMap of a cvlan (serialised Signed).
CREATE TABLE cvlan_relay_map (
  tenant_id text NOT NULL,
  cvlan_id text PRIMARY KEY REFERENCES cvlan (id) ON DELETE CASCADE,
  record bytea NOT NULL,
  record_revision bigint NOT NULL CHECK (record_revision > 0),
  seal bytea NOT NULL
);
--> statement-breakpoint
SELECT tenant_owned('cvlan_relay_map');
--> statement-breakpoint

-- The relay_revision that the cvlan was told. A worker of the former version leaves it alone, whatever else it publishes.
ALTER TABLE publication ADD COLUMN relay_revision bigint NOT NULL DEFAULT 0;
--> statement-breakpoint
CREATE INDEX publication_relay ON publication (relay_revision, cvlan_id);
