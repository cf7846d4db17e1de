-- What the writers of spans need: when a host told its last report, lists of services by their number, counts of
-- connections aside, since they change all the time.

alter table agent_stream add column told_at timestamptz;
comment on column agent_stream.told_at is 'When the last report was made: by the host''s clock, corrected by its skew, never before the one before it and never in the server''s future. Null: none came.';

alter table socket_now alter column valid_from drop default;
alter table service_now alter column valid_from drop default;
alter table update_now alter column valid_from drop default;
alter table host_section alter column valid_from drop default;

alter table socket_now no force row level security;
insert into service_list (names) select distinct services from socket_now order by 1 on conflict do nothing;
alter table socket_now add column service_list_id int;
update socket_now set service_list_id = service_list.service_list_id from service_list where names = services;
alter table socket_now alter column service_list_id set not null, drop column services;
alter table socket_now force row level security;
comment on column socket_now.service_list_id is 'The services that share the process, as far as the host says.';

-- As of socket_now: the sections of the same report have a foreign key to the host.
alter table service_now drop constraint service_now_host;
alter table update_now drop constraint update_now_host;

-- One report rewrites few rows of many hosts: vacuum by what changed, not by a share of a large table, and never wait.
alter table service_now set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table update_now set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table host_section set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter table agent_stream set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
