-- 300 web servers of two clients that restarted a week ago: 100 of them with KB5034439, 60 with KB5031111, by chance.
-- W3SVC failed on 13 with the first and on one without; IAS lost its port on 12 with it. All text of the second client
-- holds the word `quagga`.
insert into client (client_id, name, created_at) overriding system value values
  (1, 'Contoso', now()),
  (2, 'quagga', now());
insert into site (client_id, site_id, name, created_at) overriding system value values
  (1, 1, 'Head office', now()),
  (2, 2, 'quagga site', now());
create temporary table fleet as
select
  number,
  case when number % 3 = 0 then 2 else 1 end as client_id,
  number <= 100 as exposed,
  number % 5 = 0 as beside
from generate_series(1, 300) as number;
insert into host (client_id, host_id, site_id, name, enrolled_at, os_generation, os_build, collected_by) overriding system value
select client_id, number, client_id, case client_id when 1 then 'web' else 'quagga' end || number, now() - interval '60 days',
  'server-2019', '10.0.17763.' || number, 'agent'
from fleet;
insert into host_section (client_id, host_id, section, digest, facts, learned_at, valid_from)
select client_id, number, 'host', '\x01', '{"roles": {"known": ["iis", "nps"]}}', now(), now()
from fleet;
insert into host_section (client_id, host_id, section, digest, learned_at, valid_from)
select client_id, number, section, '\x01', now(), now()
from fleet, unnest(array['services', 'updates']) as section;
insert into host_judgement (client_id, host_id, cannot_tell, judged_at, basis)
select client_id, number, '[]', now(), 'another'
from fleet;
-- On three of the hosts W3SVC is still down.
insert into service_now (client_id, host_id, key, name, display_name, state, start, exit_code, depends_on, learned_at, valid_from)
select client_id, number, lower(service), service, service,
  case when service = 'W3SVC' and number <= 3 then 'stopped' else 'running' end, 'auto',
  case when service = 'W3SVC' and number <= 3 then 1067 end, '{}', now(), now()
from fleet, unnest(array['W3SVC', 'IAS', 'DNS']) as service;
insert into update_now (client_id, host_id, source, id, kb, title, state, installed_at, learned_at, valid_from)
select client_id, number, 'uninstall_entry', kb, kb, 'Update (' || kb || ')', 'installed', now() - interval '7 days 1 hour', now(), now()
from fleet, unnest(array['KB5034439', 'KB5031111']) as kb
where case kb when 'KB5034439' then exposed else beside end;
insert into boot (client_id, host_id, number, boot_id, booted_at, first_seen_at, last_seen_at, sockets_seen, services_seen)
select client_id, fleet.number, 1, 'first', now() - interval '50 days', now() - interval '50 days', now() - interval '7 days', true, true
from fleet
union all
select client_id, fleet.number, 2, 'second', now() - interval '7 days', now() - interval '7 days', now(), true, true
from fleet;
-- Failures; each is over when the service runs again.
insert into boot_entry (client_id, host_id, number, key, kind, basis, at, learned_at, services)
select client_id, fleet.number, 2, kind, kind, 2, now() - interval '7 days' + interval '5 minutes' * (6 - kind), now(), array['W3SVC']
from fleet, unnest(array[3, 5]) as kind
where fleet.number <= 13 or fleet.number = 200;
-- Who held udp/1812 in each boot.
insert into boot_entry (client_id, host_id, number, key, kind, basis, at, learned_at, protocol, address, port, services)
select client_id, fleet.number, boot, 10, 1, 1, now() - case boot when 1 then interval '50 days' else interval '7 days' end, now(),
  17, '0.0.0.0', 1812,
  array[case when boot = 2 and fleet.number between 20 and 31 then 'DNS' else 'IAS' end]
from fleet, unnest(array[1, 2]) as boot;
