-- The key that takes the place of the one in force, wrapped; null while none does.
ALTER TABLE signing_key ADD COLUMN next_wrapped_seed bytea;
