-- Current facts as rows. A section is Known or Unknown(reason); rows of an unknown section stay, and are stale.

create table host_section (
  client_id int not null,
  host_id bigint not null,
  section text not null constraint host_section_known_name check (section in ('host', 'sockets', 'services', 'updates', 'port_policy')),
  unknown_reason text,
  digest bytea not null,
  facts jsonb,
  collected_at timestamptz,
  learned_at timestamptz not null,
  primary key (client_id, host_id, section),
  constraint host_section_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table host_section is 'What is known of each section of a host, and since when.';
comment on column host_section.unknown_reason is 'Null: known. Otherwise why it is not, and what is stored is what was known last.';
comment on column host_section.digest is 'Opaque, the agent''s own; compared with the next Hello.';
comment on column host_section.facts is 'The section itself for host and port_policy, which are one document each; null for sections made of rows.';
comment on column host_section.collected_at is 'By the host''s clock, corrected by its skew.';
comment on column host_section.learned_at is 'By the server''s clock.';

create table image (
  image_id int primary key generated always as identity,
  path text not null constraint image_path_unique unique
);
comment on table image is 'Append-only dictionary of image names and paths. Ingestion inserts, never updates.';

create table socket_now (
  key bigint not null,
  host_id bigint not null,
  bound_at timestamptz,
  process_started_at timestamptz,
  learned_at timestamptz not null,
  pid bigint,
  client_id int not null,
  image_id int,
  port int not null,
  scope bigint not null,
  protocol smallint not null,
  state smallint not null,
  specific_port boolean,
  address inet not null,
  services text[] not null,
  primary key (client_id, host_id, key)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table socket_now is 'Sockets that are open as far as we know. No foreign key to host: it would take two fifths of the time of an insert, and the cursor that moves in the same transaction has one.';
comment on column socket_now.key is '64-bit hash over all fields that the host sent: a changed socket is another socket.';
comment on column socket_now.bound_at is 'By the host''s clock, corrected by its skew; null: not known.';
comment on column socket_now.learned_at is 'By the server''s clock: when we first heard of it.';
comment on column socket_now.protocol is '6 TCP, 17 UDP (IANA).';
comment on column socket_now.state is '1 listen, 2 bound, 3 connected (fleet.v1.SocketState).';
create index socket_now_by_port on socket_now (client_id, port, protocol, host_id) include (pid, image_id, bound_at);

create table service_now (
  client_id int not null,
  host_id bigint not null,
  key text not null,
  name text not null,
  display_name text not null,
  state text not null,
  start text,
  delayed boolean,
  trigger_start boolean,
  pid bigint,
  exit_code bigint,
  service_exit_code bigint,
  image_path text,
  account text,
  depends_on text[] not null,
  state_since timestamptz,
  learned_at timestamptz not null,
  primary key (client_id, host_id, key),
  constraint service_now_host foreign key (client_id, host_id) references host (client_id, host_id)
) with (fillfactor = 70);
comment on table service_now is 'Services of a host as last reported.';
comment on column service_now.key is 'SCM key name in lower case: key names compare without case.';
comment on column service_now.state is 'rules::facts::ServiceState as written in facts files.';

create table update_now (
  client_id int not null,
  host_id bigint not null,
  source text not null,
  id text not null,
  kb text,
  title text not null,
  state text not null,
  installed_at timestamptz,
  removable boolean,
  version text,
  learned_at timestamptz not null,
  primary key (client_id, host_id, source, id),
  constraint update_now_host foreign key (client_id, host_id) references host (client_id, host_id)
) with (fillfactor = 70);
comment on table update_now is 'Entries of the lists of updates of a host as last reported.';
create index update_now_by_kb on update_now (client_id, kb, host_id) where kb is not null;

alter table host_section enable row level security;
alter table host_section force row level security;
create policy host_section_scope on host_section to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table socket_now enable row level security;
alter table socket_now force row level security;
create policy socket_now_scope on socket_now to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table service_now enable row level security;
alter table service_now force row level security;
create policy service_now_scope on service_now to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table update_now enable row level security;
alter table update_now force row level security;
create policy update_now_scope on update_now to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, insert, update, delete on host_section, socket_now, service_now, update_now to portreeve_app;
grant select, insert on image to portreeve_app;
