-- Which server does what only one may do at a time.

create table lease (
  name text primary key,
  holder uuid not null,
  until timestamptz not null
);
comment on table lease is 'A task that one server at a time does, and until when it is that server''s. It names no client, so it has no policy.';
comment on column lease.holder is 'The server, as it named itself when it started.';
comment on column lease.until is 'By the clock of this database. Whoever holds the lease moves it on; then it is anybody''s.';
grant select, insert, update, delete on lease to portreeve_app;
