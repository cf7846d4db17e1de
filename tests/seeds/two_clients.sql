-- Two clients with the same kinds of everything. All text of the second holds the word `quagga`: an answer to someone
-- who may see only the first must not.
insert into client (client_id, name, created_at) overriding system value values
  (1, 'Contoso', '2026-01-01T00:00:00Z'),
  (2, 'quagga', '2026-01-01T00:00:00Z');
insert into site (client_id, site_id, name, created_at) overriding system value values
  (1, 1, 'Head office', '2026-01-01T00:00:00Z'),
  (2, 2, 'quagga site', '2026-01-01T00:00:00Z');
insert into host (client_id, host_id, site_id, name, enrolled_at, os_name, os_generation, os_build, collected_by) overriding system value values
  (1, 11, 1, 'DC2', '2026-01-01T00:00:00Z', 'Windows Server 2008 R2', 'server-2008r2', '6.1.7601', 'agent'),
  (2, 22, 2, 'quagga-host', '2026-01-01T00:00:00Z', 'quagga os', 'server-2008r2', '6.1.7601', 'capture');
insert into agent_stream (client_id, host_id, stream_id, boot_id, seq, epoch, pending_epoch, session_id, connected_at, last_seen_at)
select client_id, host_id, gen_random_uuid(), '\x01', 7, 1, 1, gen_random_uuid(), now(), now()
from host;
insert into host_section (client_id, host_id, section, unknown_reason, digest, facts, collected_at, learned_at, valid_from)
select
  host.client_id,
  host.host_id,
  section,
  case when section = 'port_policy' then 'access denied ' || host.name end,
  '\x01',
  case when section = 'host' then jsonb_build_object(
    'name', host.name,
    'os', jsonb_build_object('name', host.os_name, 'major', 6, 'minor', 1, 'build', 7601)
  ) end,
  now(),
  now(),
  now()
from host, unnest(array['host', 'sockets', 'services', 'updates', 'port_policy', 'events', 'connections']) as section;
insert into event (client_id, host_id, log, record_id, at, learned_at, provider, id, service, in_window, data)
select client_id, host_id, 'System', 1, now(), now(), 'Service Control Manager', 7023, 'IAS', true,
  jsonb_build_array(jsonb_build_object('value', 'IAS of ' || name), jsonb_build_object('value', '%%10048'))
from host;
insert into image (image_id, path) overriding system value values
  (1, 'C:\Windows\System32\dns.exe'), (2, 'C:\quagga\quagga.exe');
insert into boot (client_id, host_id, number, boot_id, booted_at, first_seen_at, last_seen_at, sockets_seen, services_seen, kept)
select client_id, host_id, 1, 'boot of ' || name, now(), now(), now(), true, true, 2
from host;
insert into boot_entry (client_id, host_id, number, key, kind, basis, at, learned_at, protocol, address, port, last_port, port_count, pid, image_id, services, exit_code, log, record_id)
select client_id, host_id, 1, 1, 1, 1, now(), now(), 17, '0.0.0.0'::inet, 1812, 1812, 1, 1420::int8, client_id, array[name], null::int8, null::text, null::int8
from host
union all
select client_id, host_id, 1, 2, 5, 2, now(), now(), null, null::inet, null, null, null, null, null, array['IAS'], 10048, 'System', 1
from host;
insert into service_list (service_list_id, names) overriding system value values (1000, '{DNS}');
insert into socket_now (key, client_id, host_id, learned_at, valid_from, bound_at, pid, image_id, port, scope, protocol, state, address, service_list_id)
select 1, host.client_id, host.host_id, now(), now(), now(), 1420, host.client_id, 1812, 0, 17, 2, '0.0.0.0', 1000
from host;
insert into service_now (client_id, host_id, key, name, display_name, state, start, exit_code, depends_on, learned_at, valid_from)
select host.client_id, host.host_id, 'ias', 'IAS', 'Network Policy Server of ' || host.name, 'stopped', 'auto', 10048, '{}', now(), now()
from host;
insert into update_now (client_id, host_id, source, id, kb, title, state, installed_at, removable, learned_at, valid_from)
select host.client_id, host.host_id, 'uninstall_entry', 'KB94860' || host.client_id, 'KB94860' || host.client_id, 'Update for ' || host.name, 'installed', '2026-10-14', true, now(), now()
from host;
insert into finding (
  client_id, finding_id, host_id, rule, subject_key, subject, severity, confidence, title, cause, evidence, remedy,
  state, episode, first_opened_at, opened_at, updated_at, problem
)
select
  host.client_id,
  case host.client_id when 1 then '11111111-1111-4111-8111-111111111111' else '22222222-2222-4222-8222-222222222222' end::uuid,
  host.host_id,
  'port-conflict/blocked',
  '{"port":"udp/1812","service":"IAS"}',
  '{"port": "udp/1812", "service": "IAS"}',
  3,
  3,
  'IAS did not start on ' || host.name,
  'A cause on ' || host.name,
  '[{"text": "udp/1812 is bound", "source": "socket table"}]',
  '{"summary": "s", "applies_to": "Server 2008 R2", "steps": [{"text": "t", "command": "net start IAS"}], "risk": "none", "restart": "service", "undo": [], "proven_when": "p"}',
  'open',
  1,
  now(),
  now(),
  now(),
  'taker/dns-socket-pool'
from host;
insert into problem_member (client_id, problem, finding_id, joined_at, host_id)
select client_id, problem, finding_id, opened_at, host_id
from finding;
insert into forecast (client_id, host_id, service, taker, ports, probability, condition, draws, boots_held, boots_seen, since)
select client_id, host_id, 'IAS', 'dns-socket-pool', '{udp/1812,udp/1813}', 0.146 + 0.1 * client_id,
  case client_id when 1 then 'if DNS binds first' else 'if quagga binds first' end,
  '[{"family": "ipv4", "range": "1025-65535", "free": 64511, "excluded": 0, "bound": 0, "drawn": 2500, "wanted": 2, "probability": 0.246}]',
  1, 4, now()
from host;
insert into service_setting (client_id, host_id, setting_id, facts)
select client_id, host_id, 1, '{}'
from host;
insert into service_good (client_id, host_id, key, setting_id, noted_at, boot, name, setup, ports)
select client_id, host_id, 'dns', 1, now(), 1, 'DNS', '{}', '{udp/53}'
from host;
insert into finding_event (client_id, finding_id, event_id, at, episode, transition, title)
select client_id, finding_id, gen_random_uuid(), now(), 1, 'opened', title
from finding;
insert into host_judgement (client_id, host_id, cannot_tell, judged_at, basis)
select client_id, host_id, jsonb_build_array(jsonb_build_object('rule', 'port-conflict/blocked', 'subject', jsonb_build_object(), 'reason', 'Cannot tell on ' || name)), now(), ''
from host;
insert into endpoint (endpoint_id, name, url, secret_sealed, client_id, created_at) values
  ('33333333-3333-4333-8333-333333333333', 'tickets', 'https://tickets.example/', '\x00', 1, now()),
  ('44444444-4444-4444-8444-444444444444', 'quagga tickets', 'https://quagga.example/', '\x00', 2, now());
insert into delivery (client_id, delivery_id, endpoint_id, finding_id, episode, transition, body, state, attempts, next_attempt_at, created_at)
select
  finding.client_id, gen_random_uuid(), endpoint.endpoint_id, finding.finding_id, 1, 'opened', '{}', 'pending', 1, now(), now()
from finding
join endpoint using (client_id);
insert into delivery_attempt (client_id, delivery_id, attempt, at, duration_ms, status, error)
select client_id, delivery_id, 1, now(), 12, null, 'connection refused by ' || case client_id when 1 then 'tickets' else 'quagga' end
from delivery;
alter table host alter host_id restart with 1000;
insert into suspect (suspect_id, kbs, service, exposed, exposed_failed, compared, compared_failed, clients, same_weeks, rise, odds_ratio_at_least, p, q, since)
values ('33333333-3333-4333-8333-333333333333', '{KB948601}', 'IAS', 20, 10, 40, 0, 2, true, 0.5, 9.9, 1e-6, 1e-5, now());
insert into suspect_host (client_id, suspect_id, host_id, failed)
select client_id, '33333333-3333-4333-8333-333333333333', host_id, true
from host;
insert into catalog_override (client_id, override_id, entry_id, severity, reason, decided_by, decided_at, until)
select client_id, gen_random_uuid(), 'dns-socket-pool', 1, 'Decided for ' || name, 'seed', now(), now() + interval '30 days'
from client;
insert into catalog_release (release_id, version, title, body, key_id, hold_above, state, imported_at, imported_by, hosts, opens, resolves, changes, settled_at, settled_by)
values ('55555555-5555-4555-8555-555555555555', 1, 'Seeded', '', '0123456789abcdef', 50, 'discarded', now(), 'seed', 2, 2, 0, 0, now(), 'seed');
insert into catalog_shadow (client_id, release_id, host_id, finding_id, rule, transition, severity, title)
select client_id, '55555555-5555-4555-8555-555555555555', host_id, gen_random_uuid(), 'bad-update/test', 'opened', 3, name || ' would have it'
from host;
