-- A stream that opens told the whole ledger of its boot again, to be safe. Where the rows of a boot already hold all that
-- is stored of the host, it tells what changed only.
alter table boot add column derived_by text;
comment on column boot.derived_by is 'By which catalog and which version of the derivation all that was true was told to the ledger; every report since tells what it changed in the transaction that changes it. Null: by an older server.';
