-- Statements of the writers are planned once for each connection. What is planned while a table is thought to be empty reads
-- all rows of a client where it should look one up, until the table is analyzed; autovacuum looks once a minute, and a fleet
-- can join in less.
create function keep_statistics() returns void
  language plpgsql security definer
  set search_path = public, pg_temp
as $$
declare
  grown regclass;
begin
  for grown in
    select oid::regclass
    from pg_class
    where relnamespace = 'public'::regnamespace
      and relname in ('socket_now', 'service_now', 'update_now', 'host_section', 'agent_stream', 'boot', 'boot_entry', 'event',
        'service_good', 'host', 'finding', 'problem_member')
      and pg_relation_size(oid) > 65536 + 2 * relpages::bigint * current_setting('block_size')::bigint
    order by relname
  loop
    execute format('analyze %s', grown);
  end loop;
end
$$;
comment on function keep_statistics() is 'Lets Postgres count the rows of what is known now, in tables twice as large as when it last did; plans are made anew after it.';
revoke all on function keep_statistics() from public;
grant execute on function keep_statistics() to portreeve_app;
