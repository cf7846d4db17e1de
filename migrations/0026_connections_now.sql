-- Counts of connections are another document with nearly every report: kept compressed, as they are now only, and no span
-- tells of those before.
create table connections_now (
  client_id int not null,
  host_id bigint not null,
  at timestamptz not null,
  body bytea not null,
  primary key (client_id, host_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table connections_now alter column body set storage external;
comment on table connections_now is 'Counts of connections of a host as last reported. No foreign key to host, as of socket_now.';
comment on column connections_now.at is 'As agent_stream.told_at.';
comment on column connections_now.body is 'rules::facts::Connections as JSON, compressed by zstd.';
alter table connections_now enable row level security;
alter table connections_now force row level security;
create policy connections_now_scope on connections_now to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update, delete on connections_now to portreeve_app;

-- Without its digest the section is asked for in full at the next Hello.
alter table host_section no force row level security;
update host_section set facts = null, digest = '' where section = 'connections';
alter table host_section force row level security;
