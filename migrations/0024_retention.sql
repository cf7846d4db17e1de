-- How long what is stored is kept, how much room it may take, how large it was, and what upkeep did last. Installation
-- tables. And how often the tables that every report writes are tidied.

create table retention (
  kind text primary key,
  keep_days int,
  least_days int,
  most_days int,
  budget_bytes bigint constraint retention_budget_positive check (budget_bytes > 0),
  may_shorten boolean not null default false,
  shortened_to_days int,
  shortened_at timestamptz,
  changed_at timestamptz,
  changed_by text,
  constraint retention_within_bounds check (keep_days between least_days and most_days)
);
comment on table retention is 'One row for each kind of what is stored.';
comment on column retention.keep_days is 'What ended, or was learned, longer ago is removed. Null: the kind has no end.';
comment on column retention.least_days is 'The bounds of keep_days; null with it.';
comment on column retention.budget_bytes is 'The room that an admin gives it; null: none was said.';
comment on column retention.may_shorten is 'Whether upkeep may drop the oldest weeks of a kind of spans, where it is over its budget.';
comment on column retention.shortened_to_days is 'What upkeep made of keep_days when it last did so; forgotten when an admin changes the row.';
insert into retention (kind, keep_days, least_days, most_days) values
  ('socket-spans', 90, 7, 3660),
  ('service-spans', 400, 7, 3660),
  ('update-spans', 800, 7, 3660),
  ('section-spans', 400, 7, 3660),
  ('silences', 400, 7, 3660),
  ('events', 400, 30, 3660),
  ('boots', 400, 30, 3660),
  ('findings', 800, 90, 3660),
  ('deliveries', 90, 7, 3660),
  ('quarantine', 30, 1, 366),
  ('facts', null, null, null),
  ('other', null, null, null),
  ('wal', null, null, null),
  ('total', null, null, null);

create table size_sample (
  kind text not null,
  at timestamptz not null,
  bytes bigint not null,
  primary key (kind, at)
);
comment on table size_sample is 'How large each kind was, once an hour, for the forecast.';

create table sweep (
  name text primary key,
  begun_at timestamptz not null,
  ended_at timestamptz,
  removed bigint not null default 0,
  fault text
);
comment on table sweep is 'The last run of each part of upkeep.';
comment on column sweep.ended_at is 'Null: it is under way, or its server died.';
comment on column sweep.removed is 'Rows that it removed; of spans, the weeks that it dropped.';
comment on column sweep.fault is 'Why it did not come to its end; null: it did.';

-- What comes to lie in no week (the host's clock was far off) is removed a few rows at a time.
create function trim_span_default(span text, before timestamptz, at_most int) returns int
  language plpgsql security definer
  set search_path = public, pg_temp
as $$
declare
  removed int;
begin
  if span not in ('socket_span', 'service_span', 'update_span', 'section_span') then
    raise exception 'no table of spans: %', span;
  end if;
  if to_regclass(span || '_other') is null then
    return 0;
  end if;
  execute format(
    'delete from %1$I where ctid = any (array(select ctid from %1$I where valid_to < $1 limit $2))',
    span || '_other') using before, at_most;
  get diagnostics removed = row_count;
  return removed;
end;
$$;
comment on function trim_span_default is 'Removes rows that ended before a time from the partition of those that belong to no week, and says how many.';
revoke all on function trim_span_default from public;
grant execute on function trim_span_default to portreeve_app;

grant select, update on retention to portreeve_app;
grant select, insert, delete on size_sample to portreeve_app;
grant select, insert, update on sweep to portreeve_app;
grant delete on finding, finding_event, problem_member, delivery, delivery_attempt to portreeve_app;

-- Tables that reports write: dead rows are cleared after one row in fifty, without pauses, so that none grows for what it
-- no longer holds. The cursor is written by every report and stays small enough to be cleared at every look.
alter table agent_stream set
  (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
alter table host set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table host_section set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table host_judgement set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table service_now set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table update_now set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table event set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table boot set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table boot_entry set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table finding set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table problem_member set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table forecast set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table delivery set
  (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
