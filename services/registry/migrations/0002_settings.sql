-- What operators set for the whole cluster; everybody may read it, the platform writes it.
CREATE TABLE cluster_settings (
  slot smallint PRIMARY KEY CHECK (slot = 1),
  revision bigint NOT NULL CHECK (revision > 0),
  -- Serialised Settings.
  body bytea NOT NULL,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL
);
--> statement-breakpoint

-- What a tenant sets, for all its cvlans where `cvlan_id` is null.
CREATE TABLE tenant_settings (
  tenant_id text NOT NULL,
  cvlan_id text REFERENCES cvlan (id) ON DELETE CASCADE,
  revision bigint NOT NULL CHECK (revision > 0),
  body bytea NOT NULL,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL,
  CONSTRAINT tenant_settings_key UNIQUE NULLS NOT DISTINCT (tenant_id, cvlan_id)
);
--> statement-breakpoint
SELECT tenant_owned('tenant_settings');
--> statement-breakpoint

-- Layers that changed and whose cvlans are not all on the list `publication` yet: those after the cursor are to come.
-- `owner` is the tenant, or empty for the cluster.
CREATE TABLE fan_out (
  owner text PRIMARY KEY,
  cursor text NOT NULL
);
--> statement-breakpoint
ALTER TABLE fan_out ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE fan_out FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY owner_or_platform ON fan_out USING (in_platform() OR owner = current_tenant());
--> statement-breakpoint
CREATE INDEX publication_of_owner ON publication (owner, cvlan_id);
--> statement-breakpoint

-- The cvlans that are there already are told what is in force.
ALTER TABLE publication NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
UPDATE publication SET due = true;
--> statement-breakpoint
ALTER TABLE publication FORCE ROW LEVEL SECURITY;
