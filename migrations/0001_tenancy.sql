-- Tenancy from the first line: who owns the data, who may see which of it.
--
-- Roles (made before the first migration, see server/src/db/bootstrap.rs): portreeve_owner runs migrations and owns the
-- tables; portreeve_app is what the server speaks as: it owns nothing and cannot bypass row-level security.
-- Client tables carry client_id first in every key and a policy on it; the clients that a transaction may see are set
-- with `set local app.clients = '{1,2}'`. Unset means none. Installation tables are small and have no policy.

create table installation (
  installation_id uuid primary key,
  name text not null,
  created_at timestamptz not null,
  ca_certificate bytea not null,
  ca_key_sealed bytea not null,
  one_row boolean not null default true constraint installation_one_row unique check (one_row)
);
comment on table installation is 'The one row of this MSP''s deployment.';
comment on column installation.ca_certificate is 'Certificate of our own CA, DER.';
comment on column installation.ca_key_sealed is 'Its key, PKCS#8, sealed (XChaCha20-Poly1305) under DIR/master.key.';

create table client (
  client_id int primary key generated always as identity,
  name text not null constraint client_name_unique unique,
  created_at timestamptz not null
);
comment on table client is 'A customer of the MSP: the unit of tenancy.';

create table site (
  client_id int not null references client,
  site_id bigint not null generated always as identity,
  name text not null,
  created_at timestamptz not null,
  primary key (client_id, site_id),
  constraint site_name_unique unique (client_id, name)
);
comment on table site is 'A place of a client. Every host has exactly one.';

create table host (
  client_id int not null,
  host_id bigint not null generated always as identity,
  site_id bigint not null,
  name text not null,
  enrolled_at timestamptz not null,
  os_name text,
  os_generation text,
  os_build text,
  booted_at timestamptz,
  collected_by text not null default 'agent' constraint host_collected_by_known check (collected_by in ('agent', 'capture')),
  agent_version text,
  primary key (client_id, host_id),
  constraint host_site foreign key (client_id, site_id) references site (client_id, site_id)
);
comment on table host is 'A monitored Windows machine: slow facts for lists. Everything else of the host section is in host_section.';
comment on column host.name is 'As the host calls itself; until its first report, as the enrolling agent called it.';
comment on column host.os_generation is 'rules::facts::OsGeneration, such as server-2008r2; null until the first report.';
comment on column host.os_build is 'Dotted: 6.1.7601 or 10.0.17763.1577.';

create index host_by_site on host (client_id, site_id);

alter table client enable row level security;
alter table client force row level security;
create policy client_scope on client to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]))
  with check (true);
create policy client_directory on client for select to portreeve_owner using (true);

-- The one way to learn which clients exist before a scope is set: server-wide tasks and operators who may see all.
create function all_client_ids() returns int[]
  language sql stable security definer
  set search_path = public, pg_temp
  return (select coalesce(array_agg(client_id order by client_id), '{}') from client);
revoke all on function all_client_ids() from public;
grant execute on function all_client_ids() to portreeve_app;

alter table site enable row level security;
alter table site force row level security;
create policy site_scope on site to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table host enable row level security;
alter table host force row level security;
create policy host_scope on host to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, insert on installation to portreeve_app;
grant select, insert, update on client, site, host to portreeve_app;
