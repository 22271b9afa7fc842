-- What each root key of a tenant said of its successor. A row is signed by the key that went, so it has no seal.
-- Written with the platform's change stream, hence not by tenant_owned.
CREATE TABLE root_transition (
  tenant text NOT NULL REFERENCES tenant (id),
  sequence bigint NOT NULL CHECK (sequence BETWEEN 1 AND 64),
  signed bytea NOT NULL,
  PRIMARY KEY (tenant, sequence)
);
--> statement-breakpoint
ALTER TABLE root_transition ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE root_transition FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant_itself ON root_transition USING (in_platform() OR tenant = current_tenant());
