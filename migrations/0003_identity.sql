-- How agents get and keep their identity. Installation tables: they are read before the client is known.

create table enroll_token (
  enroll_token_id text primary key,
  secret_hash bytea not null,
  client_id int not null,
  site_id bigint not null,
  uses_left int not null constraint enroll_token_uses_not_negative check (uses_left >= 0),
  expires_at timestamptz not null,
  created_at timestamptz not null,
  revoked_at timestamptz
);
comment on table enroll_token is 'The middle of ptr_enr_<id>_<secret>_<pin>; the pin is derived from the CA.';

create table agent_certificate (
  serial bytea primary key,
  client_id int not null,
  host_id bigint not null,
  public_key_hash bytea not null,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz
);
comment on table agent_certificate is 'Every certificate ever issued. Identity of a stream: serial -> (client, host).';
comment on column agent_certificate.public_key_hash is 'SHA-256 of the SubjectPublicKeyInfo.';
create index agent_certificate_by_host on agent_certificate (client_id, host_id);
create index agent_certificate_revoked on agent_certificate (expires_at) where revoked_at is not null;

create table agent_stream (
  client_id int not null,
  host_id bigint not null,
  stream_id uuid not null,
  boot_id bytea not null,
  seq bigint not null,
  epoch bigint not null,
  pending_epoch bigint not null,
  session_id uuid not null,
  connected_at timestamptz,
  last_seen_at timestamptz not null,
  clock_skew_ms bigint not null default 0,
  quarantined bigint not null default 0,
  dropped_rows bigint not null default 0,
  gaps bigint not null default 0,
  fork_seen_at timestamptz,
  primary key (client_id, host_id),
  constraint agent_stream_host foreign key (client_id, host_id) references host (client_id, host_id)
) with (fillfactor = 50);
comment on table agent_stream is 'The cursor. A report commits only where (stream_id, seq, session_id) are still what its stream last saw.';
comment on column agent_stream.session_id is 'The stream that owns the cursor; a newer stream of the same agent writes its own and so fences this one.';
comment on column agent_stream.connected_at is 'Null: no stream is open.';
comment on column agent_stream.clock_skew_ms is 'Host clock minus server clock at the last Hello or report.';
comment on column agent_stream.gaps is 'Reports that the agent says it lost.';
alter table agent_stream enable row level security;
alter table agent_stream force row level security;
create policy agent_stream_scope on agent_stream to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

create table quarantine (
  client_id int not null,
  quarantine_id uuid not null,
  host_id bigint not null,
  received_at timestamptz not null,
  seq bigint,
  code text not null,
  detail text not null,
  body bytea,
  primary key (client_id, quarantine_id),
  constraint quarantine_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table quarantine is 'Reports that could not be applied, kept for people.';
comment on column quarantine.body is 'The first 64 KiB as received; null when it could not be decoded at all.';
create index quarantine_by_host on quarantine (client_id, host_id, received_at desc);
alter table quarantine enable row level security;
alter table quarantine force row level security;
create policy quarantine_scope on quarantine to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, insert, update on enroll_token, agent_certificate, agent_stream, quarantine to portreeve_app;
grant delete on quarantine to portreeve_app;
