-- The past for those who read SQL, such as Grafana: what is and what was in one view each, with names instead of numbers.
-- security_invoker: whoever reads a view sees what row-level security lets them see of its tables.

create view past_sockets with (security_invoker = true) as
select open.client_id, open.host_id, client.name as client_name, host.name as host_name,
  case open.protocol when 6 then 'tcp' else 'udp' end as protocol, open.port, host(open.address) as address,
  case open.state when 1 then 'listen' when 3 then 'connected' else 'bound' end as state,
  open.pid, image.path as image, service_list.names as services, open.bound_at, open.valid_from, open.valid_to
from (
  select client_id, host_id, protocol, port, address, state, pid, image_id, service_list_id, bound_at, valid_from,
    null::timestamptz as valid_to
  from socket_now
  union all
  select client_id, host_id, protocol, port, address, state, pid, image_id, service_list_id, bound_at, valid_from,
    valid_to
  from socket_span
) as open
join host using (client_id, host_id)
join client using (client_id)
left join image using (image_id)
left join service_list using (service_list_id);
comment on view past_sockets is 'Sockets that are or were open, from valid_from until valid_to, not including it.';
comment on column past_sockets.client_name is 'Of the client of the host.';
comment on column past_sockets.host_name is 'As the host calls itself now. Hostile text.';
comment on column past_sockets.protocol is 'tcp or udp.';
comment on column past_sockets.address is '0.0.0.0 and :: stand for all of the host''s addresses.';
comment on column past_sockets.state is 'listen, bound or connected.';
comment on column past_sockets.image is 'Of the owner, as far as it could be read. Null: not known, like pid.';
comment on column past_sockets.services is 'Services that the owner runs; several: candidates that share the process.';
comment on column past_sockets.bound_at is 'When it was bound, which is earlier than it was seen. Null: not known.';
comment on column past_sockets.valid_from is 'When the report was made that first had it, by the host''s clock, corrected by its skew.';
comment on column past_sockets.valid_to is 'When the report was made that no longer had it. Null: it is open, as far as is known.';

create view past_services with (security_invoker = true) as
select listed.client_id, listed.host_id, client.name as client_name, host.name as host_name, listed.name,
  listed.display_name, listed.state, listed.start, listed.pid, listed.exit_code, listed.service_exit_code,
  listed.image_path, listed.account, listed.state_since, listed.valid_from, listed.valid_to
from (
  select client_id, host_id, name, display_name, state, start, pid, exit_code, service_exit_code, image_path, account,
    state_since, valid_from, null::timestamptz as valid_to
  from service_now
  union all
  select client_id, host_id, name, display_name, state, start, pid, exit_code, service_exit_code, image_path, account,
    state_since, valid_from, valid_to
  from service_span
) as listed
join host using (client_id, host_id)
join client using (client_id);
comment on view past_services is 'Services as they are and were, from valid_from until valid_to, not including it.';
comment on column past_services.client_name is 'Of the client of the host.';
comment on column past_services.host_name is 'As the host calls itself now. Hostile text.';
comment on column past_services.name is 'SCM key name.';
comment on column past_services.exit_code is 'Null: not read. 1066: the reason is in service_exit_code.';
comment on column past_services.valid_from is 'When the report was made that first had it so, by the host''s clock, corrected by its skew.';
comment on column past_services.valid_to is 'When the report was made that no longer had it so. Null: it is so, as far as is known.';

create view past_updates with (security_invoker = true) as
select listed.client_id, listed.host_id, client.name as client_name, host.name as host_name, listed.kb, listed.title,
  listed.source, listed.id, listed.state, listed.installed_at, listed.version, listed.valid_from, listed.valid_to
from (
  select client_id, host_id, kb, title, source, id, state, installed_at, version, valid_from,
    null::timestamptz as valid_to
  from update_now
  union all
  select client_id, host_id, kb, title, source, id, state, installed_at, version, valid_from, valid_to
  from update_span
) as listed
join host using (client_id, host_id)
join client using (client_id);
comment on view past_updates is 'Entries of lists of updates as they are and were, from valid_from until valid_to, not including it.';
comment on column past_updates.client_name is 'Of the client of the host.';
comment on column past_updates.host_name is 'As the host calls itself now. Hostile text.';
comment on column past_updates.kb is 'Such as KB948609. Null: the entry names none. A KB may stand in several sources.';
comment on column past_updates.installed_at is 'As the list says. Null: it does not.';
comment on column past_updates.valid_from is 'When the report was made that first had it so, by the host''s clock, corrected by its skew.';
comment on column past_updates.valid_to is 'When the report was made that no longer had it so. Null: it is so, as far as is known.';

grant select on past_sockets, past_services, past_updates to portreeve_app;
