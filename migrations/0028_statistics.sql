-- Statements of the writers are planned once for each connection. What is planned while a table is thought to be empty reads
-- all rows of a client where it should look one up, until the table is analyzed; autovacuum looks once a minute, and a fleet
-- can join in less.
create function keep_statistics() returns void
  language plpgsql security definer
  set search_path = public, pg_temp
as $$
begin
  analyze socket_now, service_now, update_now, host_section, agent_stream, boot, boot_entry, event, service_good;
end
$$;
comment on function keep_statistics() is 'Lets Postgres count the rows of what is known now; plans are made anew after it.';
revoke all on function keep_statistics() from public;
grant execute on function keep_statistics() to portreeve_app;
