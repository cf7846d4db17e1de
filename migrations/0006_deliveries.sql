-- alert -> route -> endpoint -> delivery -> attempt. The outbox is written by the transaction that changes a finding.

create table endpoint (
  endpoint_id uuid primary key,
  name text not null constraint endpoint_name_unique unique,
  url text not null,
  secret_sealed bytea not null,
  client_id int references client,
  min_severity smallint not null default 1,
  created_at timestamptz not null,
  disabled_at timestamptz,
  disabled_reason text
);
comment on table endpoint is 'Where webhooks go. Installation table; its route is the pair (client_id, min_severity).';
comment on column endpoint.secret_sealed is 'The signing secret, sealed under DIR/master.key.';
comment on column endpoint.client_id is 'Only alerts of this client; null: of every client.';
comment on column endpoint.min_severity is 'As finding.severity.';

create table delivery (
  client_id int not null,
  delivery_id uuid not null,
  endpoint_id uuid not null,
  finding_id uuid not null,
  episode int not null,
  transition text not null,
  body text not null,
  state text not null constraint delivery_state_known check (state in ('pending', 'delivered', 'dead')),
  attempts int not null default 0,
  next_attempt_at timestamptz not null,
  lease_id uuid,
  leased_until timestamptz,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (client_id, delivery_id),
  constraint delivery_once unique (client_id, endpoint_id, finding_id, episode, transition),
  constraint delivery_finding foreign key (client_id, finding_id) references finding (client_id, finding_id)
);
comment on table delivery is 'A message that an endpoint is owed: the outbox.';
comment on column delivery.delivery_id is 'The webhook-id: UUIDv5 of (endpoint, finding, episode, transition), the same after a crash, a retry and a restore.';
comment on column delivery.body is 'The JSON exactly as signed and sent.';
comment on column delivery.leased_until is 'A worker that died loses its lease at this time.';
create index delivery_due on delivery (endpoint_id, next_attempt_at) where state = 'pending';
create index delivery_by_finding on delivery (client_id, finding_id, created_at);

create table delivery_attempt (
  client_id int not null,
  delivery_id uuid not null,
  attempt int not null,
  at timestamptz not null,
  duration_ms int not null,
  status int,
  error text,
  response_excerpt text,
  primary key (client_id, delivery_id, attempt),
  constraint delivery_attempt_delivery foreign key (client_id, delivery_id) references delivery (client_id, delivery_id)
);
comment on table delivery_attempt is 'One try to deliver, and what came back.';
comment on column delivery_attempt.status is 'HTTP status; null when there was no answer, see error.';
comment on column delivery_attempt.response_excerpt is 'At most 1 KiB of the answer, as text.';

alter table delivery enable row level security;
alter table delivery force row level security;
create policy delivery_scope on delivery to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table delivery_attempt enable row level security;
alter table delivery_attempt force row level security;
create policy delivery_attempt_scope on delivery_attempt to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, insert, update on endpoint, delivery, delivery_attempt to portreeve_app;
