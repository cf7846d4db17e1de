-- A Sunday of two clients with the same kinds of everything, beside the present that two_clients.sql holds. All times are
-- of 2026-11-01: at 02:00 DC2 was first heard of, udp/1812 was IAS's until 03:00 and dns.exe's from 03:10 on; an update
-- came at 02:30; from 04:00 to 05:00 the sockets could not be read, and from 06:00 to 07:00 nothing was heard.
update host_section set valid_from = '2026-11-01T02:00Z';
update host_section set valid_from = '2026-11-01T05:00Z' where section = 'sockets';
update host_section set valid_from = '2026-11-01T03:05Z' where section = 'host';
update socket_now set valid_from = '2026-11-01T03:10Z', bound_at = '2026-11-01T03:09:30Z';
update service_now set valid_from = '2026-11-01T03:00Z';
update update_now set valid_from = '2026-11-01T02:30Z';
insert into service_list (service_list_id, names) overriding system value values (1001, '{IAS}');
insert into image (image_id, path) overriding system value values (1001, 'C:\Windows\System32\svchost.exe');
insert into section_span (client_id, host_id, section, valid_from, valid_to, unknown_reason, facts)
select client_id, host_id, 'sockets', '2026-11-01T02:00Z'::timestamptz, '2026-11-01T04:00Z'::timestamptz, null, null::jsonb
from host
union all
select client_id, host_id, 'sockets', '2026-11-01T04:00Z', '2026-11-01T05:00Z', 'access denied', null
from host
union all
select client_id, host_id, 'host', '2026-11-01T02:00Z', '2026-11-01T03:05Z', null, jsonb_build_object(
  'name', name, 'os', jsonb_build_object('name', 'the system of before', 'major', 6, 'minor', 1, 'build', 7600)
)
from host;
insert into socket_span (client_id, host_id, key, valid_from, valid_to, learned_at, pid, image_id, service_list_id, port, scope, protocol, state, address)
select client_id, host_id, 7, '2026-11-01T02:00Z', '2026-11-01T03:00Z', now(), 900, 1001, 1001, 1812, 0, 17, 2, '0.0.0.0'
from host;
insert into service_span (client_id, host_id, key, valid_from, valid_to, name, display_name, state, start, pid, exit_code, depends_on, learned_at)
select client_id, host_id, 'ias', '2026-11-01T02:00Z', '2026-11-01T03:00Z', 'IAS', 'Network Policy Server of ' || name, 'running', 'auto', 900, 0, '{}', now()
from host;
insert into update_span (client_id, host_id, source, id, kb, valid_from, valid_to, title, state, aliases, learned_at)
select client_id, host_id, 'uninstall_entry', 'KB94860' || client_id, 'KB94860' || client_id, '2026-11-01T02:10Z', '2026-11-01T02:30Z', 'Update for ' || name, 'staged', '{}', now()
from host;
insert into host_silence (client_id, host_id, from_at, until_at)
select client_id, host_id, '2026-11-01T06:00Z', '2026-11-01T07:00Z'
from host;
