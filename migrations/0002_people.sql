-- People and programs that use the API. Installation tables: an operator belongs to the MSP, not to a client.

create table operator (
  operator_id uuid primary key,
  name text not null constraint operator_name_unique unique,
  role text not null constraint operator_role_known check (role in ('viewer', 'operator', 'admin')),
  password_hash text not null,
  client_ids int[],
  created_at timestamptz not null,
  disabled_at timestamptz
);
comment on table operator is 'A person who signs in. Made by command line, never by sign-up.';
comment on column operator.password_hash is 'argon2id, PHC string.';
comment on column operator.client_ids is 'Clients that the operator may see; null: all of them.';

create table session (
  token_hash bytea primary key,
  operator_id uuid not null references operator on delete cascade,
  created_at timestamptz not null,
  last_seen_at timestamptz not null,
  expires_at timestamptz not null
);
comment on table session is 'A signed-in browser.';
comment on column session.token_hash is 'SHA-256 of the cookie''s 256 random bits.';
comment on column session.expires_at is 'Absolute end; idle end follows from last_seen_at.';

create table api_token (
  api_token_id uuid primary key,
  name text not null,
  secret_hash bytea not null,
  operator_id uuid not null references operator on delete cascade,
  created_at timestamptz not null,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);
comment on table api_token is 'Bearer tokens ptr_pat_<id>_<secret>. A token can do what its operator can, at the time of use.';

grant select, insert, update, delete on operator, session, api_token to portreeve_app;
