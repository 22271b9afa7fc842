-- Workers that are alive until `expires_at`, by the database's clock. It holds nothing of any tenant.
CREATE TABLE presence_worker (
  worker text PRIMARY KEY,
  seen_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);
--> statement-breakpoint
-- The latest map stream of each node: written when it opens and when it ends, never in between.
CREATE TABLE presence (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  node_id text NOT NULL,
  worker text NOT NULL,
  since timestamptz NOT NULL,
  -- Null while it is open, as long as its worker is alive.
  ended_at timestamptz,
  revision bigint NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id, node_id)
);
--> statement-breakpoint
SELECT tenant_owned('presence');
