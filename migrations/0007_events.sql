-- Two more sections of a host (events and counts of connections), and more columns of services and updates.

alter table host_section drop constraint host_section_known_name;
alter table host_section add constraint host_section_known_name
  check (section in ('host', 'sockets', 'services', 'updates', 'port_policy', 'events', 'connections'));

alter table service_now add column recovery jsonb;
comment on column service_now.recovery is 'rules::facts::Recovery as written in facts files; null: not read.';

alter table update_now add column aliases text[] not null default '{}';
alter table update_now add column installed_by text;
comment on column update_now.aliases is 'Other names under which the list knows the entry.';
comment on column update_now.installed_by is 'Account or program, as the list names it; null: not said.';

create table event (
  client_id int not null,
  host_id bigint not null,
  record_id bigint not null,
  at timestamptz,
  learned_at timestamptz not null,
  id bigint not null,
  in_window boolean not null,
  log text not null,
  provider text not null,
  service text,
  data jsonb not null,
  primary key (client_id, host_id, log, record_id),
  constraint event_host foreign key (client_id, host_id) references host (client_id, host_id)
) with (fillfactor = 90);
comment on table event is 'Entries of the event logs of a host, as ids and data. They stay when they leave the window that the host reports.';
comment on column event.record_id is 'Number of the entry in its log. A log that was cleared starts anew: the later entry then takes the place of the earlier.';
comment on column event.at is 'By the host''s clock, corrected by its skew.';
comment on column event.in_window is 'Whether the host still reports it: what the section holds now.';
comment on column event.service is 'SCM key name of the service that it tells of; null: of none, or not known.';
comment on column event.data is 'rules::facts::EventDatum, in the order of the entry.';
create index event_by_time on event (client_id, host_id, at desc);
create index event_in_window on event (client_id, host_id) where in_window;
alter table event enable row level security;
alter table event force row level security;
create policy event_scope on event to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update, delete on event to portreeve_app;
