-- Updates after which services fail more often, as the fleet shows, and the hosts behind each.

create table suspect (
  suspect_id uuid primary key,
  kbs text[] not null,
  service text not null,
  exposed int not null,
  exposed_failed int not null,
  compared int not null,
  compared_failed int not null,
  clients int not null,
  same_weeks boolean not null,
  rise double precision not null,
  odds_ratio_at_least double precision not null,
  p double precision not null,
  q double precision not null,
  since timestamptz not null,
  constraint suspect_once unique (kbs, service)
);
comment on table suspect is 'What the last look at the fleet says: counts over all clients, no host and no client by name.';
comment on column suspect.suspect_id is 'Derived from kbs and service: the same for ever.';
comment on column suspect.kbs is 'In order. Several: they came with the same boots and cannot be told apart.';
comment on column suspect.service is 'SCM key name.';
comment on column suspect.exposed is 'Hosts with the update; compared: comparable hosts without it. Those that failed within 72 hours are among each.';
comment on column suspect.clients is 'Of which hosts failed with it.';
comment on column suspect.same_weeks is 'Whether all that was compared booted in the same weeks.';
comment on column suspect.rise is 'By how much the share that fails is higher: 0.1 for ten points.';
comment on column suspect.odds_ratio_at_least is 'Lower end of the exact 95 % interval.';
comment on column suspect.q is 'The share of false suspects among all of this q and less.';
comment on column suspect.since is 'When a look found it first, without interruption.';

create table suspect_host (
  client_id int not null,
  suspect_id uuid not null constraint suspect_host_suspect references suspect on delete cascade,
  host_id bigint not null,
  failed boolean not null,
  primary key (client_id, suspect_id, host_id),
  constraint suspect_host_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table suspect_host is 'Hosts with a suspect update that count, each shown to those who may see its client.';

create table suspect_look (
  begun_at timestamptz not null,
  ended_at timestamptz,
  tests int not null default 0,
  untold jsonb not null default '[]',
  one_row boolean not null default true constraint suspect_look_one_row unique check (one_row)
);
comment on table suspect_look is 'The one row of the last look at the fleet. Whoever moves begun_at on does the next one.';
comment on column suspect_look.ended_at is 'Of the last look that came to its end; null: none has.';
comment on column suspect_look.tests is 'Pairs of update and service that it tested.';
comment on column suspect_look.untold is 'rules::suspect::Untold[]: failures after updates that nothing could be compared with.';
insert into suspect_look (begun_at) values ('2000-01-01T00:00:00Z');

-- All failures of the fleet in some months, without reading all that was bound.
create index boot_entry_failures on boot_entry (client_id, host_id, at) include (number, services) where kind = 5;

alter table suspect_host enable row level security;
alter table suspect_host force row level security;
create policy suspect_host_scope on suspect_host to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update, delete on suspect, suspect_host to portreeve_app;
grant select, update on suspect_look to portreeve_app;
