-- What is remembered of services that ran well, so that it can be told what changed when one fails.

create table service_setting (
  client_id int not null,
  host_id bigint not null,
  setting_id bigint not null,
  facts jsonb not null,
  primary key (client_id, host_id, setting_id),
  constraint service_setting_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table service_setting is 'What services of a host had in common when they last ran well: versions, port policy, installed updates.';
comment on column service_setting.setting_id is 'A hash of facts: the same setting is one row for all services that last ran in it.';
comment on column service_setting.facts is 'rules::last_good::Setting.';

create table service_good (
  client_id int not null,
  host_id bigint not null,
  key text not null,
  setting_id bigint not null,
  noted_at timestamptz not null,
  boot int not null,
  name text not null,
  setup jsonb not null,
  ports text[] not null,
  primary key (client_id, host_id, key),
  constraint service_good_setting foreign key (client_id, host_id, setting_id)
    references service_setting (client_id, host_id, setting_id)
) with (fillfactor = 70);
comment on table service_good is 'Services that the system starts by itself, as they last ran well; at most 1,000 of a host.';
comment on column service_good.key is 'SCM key name in lower case.';
comment on column service_good.noted_at is 'When it was first seen so, by the host''s clock corrected by its skew.';
comment on column service_good.boot is 'boot.number in which it was seen so last.';
comment on column service_good.setup is 'rules::last_good::Setup.';
comment on column service_good.ports is 'That it alone held, such as tcp/8123.';

alter table service_setting enable row level security;
alter table service_setting force row level security;
create policy service_setting_scope on service_setting to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table service_good enable row level security;
alter table service_good force row level security;
create policy service_good_scope on service_good to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update, delete on service_setting, service_good to portreeve_app;
