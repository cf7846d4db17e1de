-- Several servers over one database: which of them live, what they ask each other, and which migrations older ones
-- cannot live with. Dictionaries count in 64 bits, as distributed Postgres demands of sequences.

create table server_instance (
  server_id uuid primary key,
  version text not null,
  schema_version bigint not null,
  http text not null,
  agents text not null,
  started_at timestamptz not null,
  heard_at timestamptz not null,
  told bigint not null
);
comment on table server_instance is 'The servers over this database: each one that was heard of within the last 20 seconds. It names no client, so it has no policy.';
comment on column server_instance.schema_version is 'The newest migration that its program knows.';
comment on column server_instance.heard_at is 'By the clock of this database, like started_at. Others remove a server that is silent, and close its streams.';
comment on column server_instance.told is 'How many bulletins of hints it sent: who heard fewer has missed some.';

alter table agent_stream add column server_id uuid;
comment on column agent_stream.server_id is 'The server where the newest stream was opened; while connected_at is not null, it is open there.';

create unlogged table question (
  client_id int not null,
  question_id uuid not null,
  host_id bigint not null,
  server_id uuid not null,
  row_limit int not null,
  asked_at timestamptz not null,
  is_taken boolean not null default false,
  answer bytea,
  refusal text constraint question_refusal_known check (refusal in ('not-connected', 'silent')),
  primary key (client_id, question_id)
);
comment on table question is 'What somebody at one server asks an agent that is connected to another one, until it is answered; a minute at most. Nothing of it outlives a crash.';
comment on column question.server_id is 'The server that has the stream.';
comment on column question.answer is 'portreeve.fleet.v1.ConnectionList, as the agent sent it.';

create table schema_contract (
  version bigint primary key,
  why text not null
);
comment on table schema_contract is 'Migrations that a server which does not know them cannot live with. Any other migration may be ahead of a server. It names no client, so it has no policy.';
alter sequence client_client_id_seq as bigint;
alter sequence image_image_id_seq as bigint;
alter sequence service_list_service_list_id_seq as bigint;

alter table question enable row level security;
alter table question force row level security;
create policy question_scope on question to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
grant select, insert, update, delete on server_instance, question to portreeve_app;
grant select on schema_contract to portreeve_app;
