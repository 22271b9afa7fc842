-- Revision of the cvlan's DNS record, which is a row of `record`; 0 before the first. It has an order of its own: a worker
-- of the former version that follows the log meets nothing in it that it does not know.
ALTER TABLE map ADD COLUMN dns_revision bigint NOT NULL DEFAULT 0 CHECK (dns_revision >= 0);
