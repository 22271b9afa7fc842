CREATE TABLE open (tenant_id text, name text);
--> statement-breakpoint
CREATE TABLE half (tenant_id text, name text);
--> statement-breakpoint
SELECT tenant_owned('half');
--> statement-breakpoint
CREATE POLICY wide ON half USING (true);
