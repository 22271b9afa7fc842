-- How names are resolved in a cvlan: the domain of its nodes and the last signed DnsRecord (serialised Signed).
CREATE TABLE cvlan_dns (
  tenant_id text NOT NULL,
  cvlan_id text PRIMARY KEY REFERENCES cvlan (id) ON DELETE CASCADE,
  domain text NOT NULL,
  record bytea NOT NULL,
  record_revision bigint NOT NULL CHECK (record_revision > 0),
  seal bytea NOT NULL,
  CONSTRAINT cvlan_dns_domain UNIQUE (tenant_id, domain)
);
--> statement-breakpoint
SELECT tenant_owned('cvlan_dns');
--> statement-breakpoint

-- Every cvlan, for the job of the platform that publishes what is due. A tenant sees its own.
CREATE TABLE publication (
  cvlan_id text PRIMARY KEY REFERENCES cvlan (id) ON DELETE CASCADE,
  owner text NOT NULL,
  due boolean NOT NULL
);
--> statement-breakpoint
CREATE INDEX publication_due ON publication (cvlan_id) WHERE due;
--> statement-breakpoint
ALTER TABLE publication ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY owner_or_platform ON publication USING (in_platform() OR owner = current_tenant());
--> statement-breakpoint
-- By trigger, so that cvlans which a worker of the former version makes meanwhile are due too.
CREATE FUNCTION cvlan_is_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO publication (cvlan_id, owner, due) VALUES (NEW.id, NEW.tenant_id, true);
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER cvlan_due AFTER INSERT ON cvlan FOR EACH ROW EXECUTE FUNCTION cvlan_is_due();
--> statement-breakpoint

-- The cvlans that are there already. Their owner, who migrates, is under row security like everybody else.
ALTER TABLE cvlan NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
INSERT INTO publication (cvlan_id, owner, due) SELECT id, tenant_id, true FROM cvlan;
--> statement-breakpoint
ALTER TABLE cvlan FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE publication FORCE ROW LEVEL SECURITY;
