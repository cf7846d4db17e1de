-- Which findings were one problem, from when to when; and what the next boot may take.

create table problem_member (
  client_id int not null,
  problem text not null,
  finding_id uuid not null,
  joined_at timestamptz not null,
  left_at timestamptz,
  host_id bigint not null,
  primary key (client_id, problem, finding_id, joined_at),
  constraint problem_member_finding foreign key (client_id, finding_id) references finding (client_id, finding_id),
  constraint problem_member_ends_after_it_began check (left_at >= joined_at)
);
comment on table problem_member is 'Findings as members of problems, as closed intervals. A problem is nothing but its members: whether it is open, since when and for how many hosts follows from these rows, so that reports of its hosts share none.';
comment on column problem_member.problem is 'As finding.problem was then.';
comment on column problem_member.left_at is 'When the finding resolved, or another cause was found for it; null: it is a member.';
create unique index problem_member_once on problem_member (client_id, finding_id) where left_at is null;
create index problem_member_open on problem_member (client_id, problem) where left_at is null;

-- The table above answers what this index was for.
drop index finding_by_problem;

insert into problem_member (client_id, problem, finding_id, joined_at, left_at, host_id)
select client_id, problem, finding_id, at, ends_at, host_id
from (
  select
    finding.client_id,
    finding.problem,
    finding.finding_id,
    finding.host_id,
    finding_event.at,
    finding_event.transition,
    lead(finding_event.at) over (partition by finding.client_id, finding.finding_id order by finding_event.at) as ends_at
  from finding
  join finding_event using (client_id, finding_id)
  where finding.problem <> ''
    and finding_event.transition in ('opened', 'reopened', 'resolved')
) as step
where transition <> 'resolved'
on conflict do nothing;

create table forecast (
  client_id int not null,
  host_id bigint not null,
  service text not null,
  taker text not null,
  ports text[] not null,
  probability double precision constraint forecast_probability_is_one check (probability between 0 and 1),
  condition text not null,
  draws jsonb not null,
  boots_held int,
  boots_seen int,
  since timestamptz not null,
  primary key (client_id, host_id, service, taker),
  constraint forecast_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table forecast is 'What each taker may take from each service at the next boot of a host, as the last judgement says.';
comment on column forecast.service is 'Key name of the service.';
comment on column forecast.taker is 'Id of the taker in the catalog.';
comment on column forecast.ports is 'Ports of the service that it may take, as udp/1812.';
comment on column forecast.probability is 'That the service loses at least one of them, where the condition holds; null: no formula tells.';
comment on column forecast.draws is 'rules::forecast::Draw[]: the numbers that the probability is made of.';
comment on column forecast.boots_held is 'In how many earlier boots the taker held one of the ports, of boots_seen; both null: none was seen.';
comment on column forecast.since is 'When a report said so first, in exactly these numbers.';

alter table problem_member enable row level security;
alter table problem_member force row level security;
create policy problem_member_scope on problem_member to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table forecast enable row level security;
alter table forecast force row level security;
create policy forecast_scope on forecast to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update on problem_member to portreeve_app;
grant select, insert, update, delete on forecast to portreeve_app;
