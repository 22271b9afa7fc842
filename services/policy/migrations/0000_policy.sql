CREATE TABLE document (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  version bigint NOT NULL CHECK (version >= 0),
  document bytea NOT NULL,
  manifest bytea NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id)
);
--> statement-breakpoint
CREATE TABLE rule (
  tenant_id text NOT NULL,
  cvlan_id text NOT NULL,
  rule_id bytea NOT NULL CHECK (octet_length(rule_id) = 16),
  signed bytea NOT NULL,
  PRIMARY KEY (tenant_id, cvlan_id, rule_id)
);
--> statement-breakpoint
SELECT tenant_owned('document'), tenant_owned('rule');
