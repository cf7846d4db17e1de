-- Rows of every kind that is removed by its age, of client 1: some are old, some must stay. Run as superuser.
insert into host (client_id, host_id, site_id, name, enrolled_at) overriding system value
select 1, 1, site_id, 'OLD1', now() from site where client_id = 1;

-- The old ones end in no week that is there, and come to lie in the partition of strays.
insert into socket_span (key, host_id, valid_from, valid_to, learned_at, scope, client_id, service_list_id, port, protocol, state, address)
values
  (1, 1, now() - interval '3 years', now() - interval '2 years', now(), 0, 1, 1, 53, 17, 2, '0.0.0.0'),
  (2, 1, now() - interval '3 years', now() - interval '1 minute', now(), 0, 1, 1, 53, 17, 2, '0.0.0.0');
insert into service_span (client_id, host_id, key, valid_from, valid_to, name, display_name, state, depends_on, learned_at)
values
  (1, 1, 'ias', now() - interval '3 years', now() - interval '2 years', 'IAS', '', 'running', '{}', now()),
  (1, 1, 'ias', now() - interval '2 years', now() - interval '1 minute', 'IAS', '', 'stopped', '{}', now());
insert into host_silence (client_id, host_id, from_at, until_at)
values
  (1, 1, now() - interval '3 years', now() - interval '2 years'),
  (1, 1, now() - interval '2 days', now() - interval '1 day');
insert into event (client_id, host_id, record_id, at, learned_at, id, in_window, log, provider, data)
values
  (1, 1, 1, now() - interval '3 years', now() - interval '3 years', 7036, false, 'System', 'goes', '[]'),
  (1, 1, 2, now() - interval '3 years', now() - interval '3 years', 7036, true, 'System', 'is reported', '[]'),
  (1, 1, 3, now() - interval '30 years', now(), 7036, false, 'System', 'was learned today', '[]');
insert into boot (client_id, host_id, number, boot_id, first_seen_at, last_seen_at, sockets_seen, services_seen)
values
  (1, 1, 1, 'goes', now() - interval '3 years', now() - interval '3 years', true, true),
  (1, 1, 2, 'is young', now() - interval '3 days', now() - interval '2 days', true, true),
  (1, 1, 3, 'is the newest', now() - interval '3 years', now() - interval '3 years', true, true);
insert into boot_entry (key, host_id, at, learned_at, client_id, number, kind, basis, services)
values
  (1, 1, now(), now(), 1, 1, 3, 4, '{IAS}'),
  (1, 1, now(), now(), 1, 3, 3, 4, '{IAS}');

insert into finding (client_id, finding_id, host_id, problem, rule, subject_key, subject, severity, confidence, title, cause, evidence,
  remedy, state, episode, first_opened_at, opened_at, resolved_at, updated_at)
select
  1, md5(title)::uuid, 1, '', 'port-conflict/blocked', title, '{}', 3, 3, title, '', '[]', '{}', state, 1,
  now() - interval '4 years', now() - interval '4 years',
  case when state = 'resolved' then now() - age end, now()
from (values
  ('goes', 'resolved', interval '3 years'),
  ('is open', 'open', null),
  ('was resolved today', 'resolved', interval '1 hour'),
  ('owes a webhook', 'resolved', interval '3 years'),
  ('had a webhook today', 'resolved', interval '1 day')
) as one (title, state, age);
insert into finding_event (client_id, finding_id, event_id, at, episode, transition, title)
select 1, finding_id, gen_random_uuid(), now() - interval '4 years', 1, 'opened', title from finding;
insert into problem_member (client_id, problem, finding_id, joined_at, left_at, host_id)
select 1, 'taker/dns', finding_id, now() - interval '4 years', resolved_at, 1 from finding where title in ('goes', 'is open');
insert into endpoint (endpoint_id, name, url, secret_sealed, created_at)
values ('00000000-0000-0000-0000-000000000001', 'test', 'https://example.com', '', now());
insert into delivery (client_id, delivery_id, endpoint_id, finding_id, episode, transition, body, state, next_attempt_at, created_at, finished_at)
select
  1, gen_random_uuid(), '00000000-0000-0000-0000-000000000001', finding_id, 1, 'opened', '{}',
  case when title = 'owes a webhook' then 'pending' else 'delivered' end,
  now(), now() - interval '3 years',
  case title when 'owes a webhook' then null when 'had a webhook today' then now() else now() - interval '3 years' end
from finding where title in ('goes', 'owes a webhook', 'had a webhook today', 'is open');
insert into delivery_attempt (client_id, delivery_id, attempt, at, duration_ms)
select 1, delivery_id, 1, now(), 5 from delivery;

insert into quarantine (client_id, quarantine_id, host_id, received_at, code, detail)
values
  (1, gen_random_uuid(), 1, now() - interval '3 years', 'test', ''),
  (1, gen_random_uuid(), 1, now(), 'test', '');
