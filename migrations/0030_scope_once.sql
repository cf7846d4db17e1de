-- A policy's condition was worked out for every row that was read and every key that was looked up, parsing the list of
-- clients each time. As a subquery without a table it is worked out once by statement.
do $$
declare
  policy record;
begin
  for policy in
    select tablename, policyname
    from pg_policies
    where schemaname = 'public'
      and qual = '(client_id = ANY ((NULLIF(current_setting(''app.clients''::text, true), ''''::text))::integer[]))'
    order by tablename
  loop
    execute format(
      'alter policy %I on %I using (client_id = any ((select nullif(current_setting(''app.clients'', true), '''')::int[])::int[]))',
      policy.policyname, policy.tablename);
  end loop;
end
$$;
