-- What was true of a host, as closed intervals: a row of a _now table that ends becomes a row of the _span table beside
-- it, written once. Partitions by the end of the interval, so that forgetting is dropping a partition.

create table service_list (
  service_list_id int primary key generated always as identity,
  names text[] not null constraint service_list_names_unique unique
);
comment on table service_list is 'Append-only dictionary of the lists of services that sockets belong to. Ingestion inserts, never updates.';
grant select, insert on service_list to portreeve_app;

alter table socket_now add column valid_from timestamptz not null default now();
alter table service_now add column valid_from timestamptz not null default now();
alter table update_now add column valid_from timestamptz not null default now();
alter table host_section add column valid_from timestamptz not null default now();
comment on column socket_now.valid_from is 'When the report that brought the row was made: by the host''s clock, corrected by its skew, never before what ended then and never in the server''s future. What was bound before is told by bound_at.';
comment on column host_section.valid_from is 'Since when it is unknown for this reason, or known and, of a section that is one document, this document.';

create table socket_span (
  key bigint not null,
  host_id bigint not null,
  valid_from timestamptz not null,
  valid_to timestamptz not null,
  bound_at timestamptz,
  process_started_at timestamptz,
  learned_at timestamptz not null,
  pid bigint,
  scope bigint not null,
  client_id int not null,
  image_id int,
  service_list_id int not null,
  port int not null,
  protocol smallint not null,
  state smallint not null,
  specific_port boolean,
  address inet not null
) partition by range (valid_to);
comment on table socket_span is 'Sockets that were open from valid_from until valid_to, not including it.';
comment on column socket_span.valid_to is 'When the report that no longer had it was made, by the clock of valid_from.';
create index socket_span_by_host on socket_span (client_id, host_id, port, protocol, valid_to, valid_from)
  include (pid, image_id, service_list_id, bound_at);
create index socket_span_by_port on socket_span (client_id, port, protocol, valid_to, valid_from) include (host_id);

create table service_span (
  client_id int not null,
  host_id bigint not null,
  key text not null,
  valid_from timestamptz not null,
  valid_to timestamptz not null,
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
  recovery jsonb,
  state_since timestamptz,
  learned_at timestamptz not null
) partition by range (valid_to);
comment on table service_span is 'Services as they were from valid_from until valid_to, not including it.';
create index service_span_by_host on service_span (client_id, host_id, key, valid_to, valid_from);

create table update_span (
  client_id int not null,
  host_id bigint not null,
  source text not null,
  id text not null,
  valid_from timestamptz not null,
  valid_to timestamptz not null,
  kb text,
  title text not null,
  state text not null,
  installed_at timestamptz,
  removable boolean,
  version text,
  aliases text[] not null,
  installed_by text,
  learned_at timestamptz not null
) partition by range (valid_to);
comment on table update_span is 'Entries of lists of updates as they were from valid_from until valid_to, not including it.';
create index update_span_by_host on update_span (client_id, host_id, valid_to, valid_from);
create index update_span_by_kb on update_span (client_id, kb, valid_to) where kb is not null;

create table section_span (
  client_id int not null,
  host_id bigint not null,
  section text not null,
  valid_from timestamptz not null,
  valid_to timestamptz not null,
  unknown_reason text,
  facts jsonb
) partition by range (valid_to);
comment on table section_span is 'Whether a section was known from valid_from until valid_to, and its document where it is one.';
create index section_span_by_host on section_span (client_id, host_id, section, valid_to, valid_from);

create table host_silence (
  client_id int not null,
  host_id bigint not null,
  from_at timestamptz not null,
  until_at timestamptz not null,
  primary key (client_id, host_id, from_at),
  constraint host_silence_host foreign key (client_id, host_id) references host (client_id, host_id),
  constraint host_silence_has_length check (until_at > from_at)
);
comment on table host_silence is 'When nothing was heard of a host for longer than three heartbeats, by the server''s clock: what is told of such a time is what was true before it.';

-- Partitions are made ahead and dropped by these two functions, which run as the owner: the server owns nothing.
create function keep_span_partitions(until_at timestamptz) returns int
  language plpgsql security definer
  set search_path = public, pg_temp
  set timezone = 'UTC'
as $$
declare
  span text;
  week timestamptz;
  made int := 0;
begin
  foreach span in array array['socket_span', 'service_span', 'update_span', 'section_span'] loop
    if to_regclass(span || '_other') is null then
      execute format('create table %I partition of %I default', span || '_other', span);
    end if;
    week := date_trunc('week', least(now(), until_at)) - interval '1 week';
    while week <= until_at loop
      if to_regclass(span || '_' || to_char(week, 'IYYY"w"IW')) is null then
        execute format(
          'create table %I partition of %I for values from (%L) to (%L)'
            || ' with (autovacuum_vacuum_insert_scale_factor = 0.05)',
          span || '_' || to_char(week, 'IYYY"w"IW'), span, week, week + interval '1 week');
        made := made + 1;
      end if;
      week := week + interval '1 week';
    end loop;
  end loop;
  return made;
end;
$$;
comment on function keep_span_partitions is 'Makes the weekly partitions of the spans up to a time, where they are missing, and says how many it made. What ends in no such week goes to the default partition.';

create function drop_span_partitions(span text, before timestamptz) returns int
  language plpgsql security definer
  set search_path = public, pg_temp
  set timezone = 'UTC'
as $$
declare
  partition text;
  dropped int := 0;
begin
  if span not in ('socket_span', 'service_span', 'update_span', 'section_span') then
    raise exception 'no table of spans: %', span;
  end if;
  for partition in
    select child.relname
    from pg_inherits
    join pg_class child on child.oid = pg_inherits.inhrelid
    where pg_inherits.inhparent = to_regclass(span)
      and child.relname ~ '_[0-9]{4}w[0-9]{2}$'
      and to_date(right(child.relname, 7), 'IYYY"w"IW') + 7 <= before at time zone 'UTC'
  loop
    execute format('drop table %I', partition);
    dropped := dropped + 1;
  end loop;
  return dropped;
end;
$$;
comment on function drop_span_partitions is 'Drops the weeks of one table of spans that ended before a time, and says how many.';
revoke all on function keep_span_partitions, drop_span_partitions from public;
grant execute on function keep_span_partitions, drop_span_partitions to portreeve_app;
select keep_span_partitions(now() + interval '5 weeks');

alter table socket_span enable row level security;
alter table socket_span force row level security;
create policy socket_span_scope on socket_span to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table service_span enable row level security;
alter table service_span force row level security;
create policy service_span_scope on service_span to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table update_span enable row level security;
alter table update_span force row level security;
create policy update_span_scope on update_span to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table section_span enable row level security;
alter table section_span force row level security;
create policy section_span_scope on section_span to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table host_silence enable row level security;
alter table host_silence force row level security;
create policy host_silence_scope on host_silence to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, delete on socket_span, service_span, update_span, section_span, host_silence to portreeve_app;
