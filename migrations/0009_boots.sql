-- The boot ledger: for each boot of a host, in order, what bound which port and what became of its services.

create table boot (
  client_id int not null,
  host_id bigint not null,
  number int not null,
  boot_id text not null,
  booted_at timestamptz,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  shutdown text constraint boot_shutdown_known check (shutdown in ('asked', 'clean', 'unexpected')),
  shutdown_at timestamptz,
  sockets_seen boolean not null,
  services_seen boolean not null,
  kept int not null default 0,
  omitted int not null default 0,
  primary key (client_id, host_id, number),
  constraint boot_once unique (client_id, host_id, boot_id),
  constraint boot_host foreign key (client_id, host_id) references host (client_id, host_id)
) with (fillfactor = 70);
comment on table boot is 'Boots of a host that its agent saw, the newest 60.';
comment on column boot.number is 'Counts the boots that were seen of this host, from 1; never given again.';
comment on column boot.boot_id is 'As the host tells its boots apart.';
comment on column boot.booted_at is 'By the host''s clock, corrected by its skew; null: not known.';
comment on column boot.first_seen_at is 'By the server''s clock, like the next. Of the newest boot, agent_stream knows better when it was seen last.';
comment on column boot.shutdown is 'How it ended: asked for, clean, or unexpected as the next boot says. Null: not known.';
comment on column boot.sockets_seen is 'Whether its sockets were known at any time: without, nobody can say who held a port.';
comment on column boot.kept is 'Rows of boot_entry.';
comment on column boot.omitted is 'Entries that were not kept, because there were too many.';

create table boot_entry (
  key bigint not null,
  host_id bigint not null,
  at timestamptz not null,
  learned_at timestamptz not null,
  gone_at timestamptz,
  socket_key bigint,
  pid bigint,
  record_id bigint,
  exit_code bigint,
  service_exit_code bigint,
  client_id int not null,
  number int not null,
  port int,
  last_port int,
  port_count int,
  image_id int,
  kind smallint not null,
  basis smallint not null,
  protocol smallint,
  address inet,
  log text,
  services text[] not null,
  primary key (client_id, host_id, number, key),
  constraint boot_entry_boot foreign key (client_id, host_id, number) references boot (client_id, host_id, number) on delete cascade
) with (fillfactor = 90);
comment on table boot_entry is 'What happened in a boot. Told again, an entry is the same row: its key is a hash of what makes it that entry.';
comment on column boot_entry.at is 'By the host''s clock, corrected by its skew; what it is the time of, basis says.';
comment on column boot_entry.gone_at is 'When a bound port was first not seen any more; null: it is still bound, as far as is known, or the entry is no bind.';
comment on column boot_entry.socket_key is 'Of the row in socket_now.';
comment on column boot_entry.kind is '1 a port was bound, 2 a pool of ports was bound, 3 a service runs, 4 stopped, 5 failed, 6 an event that concerns ports or the boot.';
comment on column boot_entry.basis is '1 bind time of the socket, 2 entry of an event log, 3 change of a service that the agent watched, 4 it was so when it was first seen.';
comment on column boot_entry.protocol is '6 TCP, 17 UDP (IANA).';
comment on column boot_entry.last_port is 'Of a pool: its highest port, and port the lowest.';
comment on column boot_entry.log is 'With record_id, the row of event that it comes from.';
create index boot_entry_by_port on boot_entry (client_id, host_id, protocol, port, number, at) where kind = 1;

-- The order of the page of events, in which one without a time stands where it was learned.
drop index event_by_time;
create index event_in_order on event (client_id, host_id, (coalesce(at, learned_at)) desc, log desc, record_id desc);

alter table boot enable row level security;
alter table boot force row level security;
create policy boot_scope on boot to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table boot_entry enable row level security;
alter table boot_entry force row level security;
create policy boot_entry_scope on boot_entry to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update, delete on boot, boot_entry to portreeve_app;
