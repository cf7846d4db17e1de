-- What operators know beside the built-in catalog: own entries, signed releases with their shadow runs, and decisions
-- about entries for single clients.

create table catalog_state (
  one_row boolean primary key default true constraint catalog_state_one_row check (one_row),
  revision bigint not null
);
comment on table catalog_state is 'The one row that every change of the catalog moves on, and that changes wait for each other at.';
comment on column catalog_state.revision is 'Servers that read another one load the catalog anew.';
insert into catalog_state (revision) values (0);

create table catalog_entry (
  kind text not null constraint catalog_entry_kind_known check (kind in ('bad-updates', 'claims', 'takers')),
  entry_id text not null,
  body text not null,
  added_at timestamptz not null,
  added_by text not null,
  primary key (kind, entry_id)
);
comment on table catalog_entry is 'Entries of this installation''s own. One takes the place of a built-in or released entry with its id.';
comment on column catalog_entry.body is 'TOML, one entry, as rules/catalog has it.';
comment on column catalog_entry.added_by is 'Name of the operator, or "command line".';

create table catalog_key (
  key_id text primary key,
  name text not null,
  public_key bytea not null constraint catalog_key_length check (octet_length(public_key) = 32),
  trusted_at timestamptz not null,
  trusted_by text not null
);
comment on table catalog_key is 'Whose signatures of catalog releases are believed. Ed25519.';
comment on column catalog_key.key_id is 'The first 16 hexadecimal digits of the SHA-256 of the key.';

create table catalog_release (
  release_id uuid primary key,
  version bigint not null,
  title text not null,
  body text not null,
  key_id text not null,
  hold_above int not null,
  state text not null constraint catalog_release_state_known
    check (state in ('shadowing', 'held', 'in-force', 'replaced', 'discarded')),
  imported_at timestamptz not null,
  imported_by text not null,
  hosts int,
  opens int,
  resolves int,
  changes int,
  leased_until timestamptz,
  settled_at timestamptz,
  settled_by text
);
comment on table catalog_release is 'Imported catalogs. At most one is in force, and at most one waits.';
comment on column catalog_release.body is 'The bundle exactly as signed.';
comment on column catalog_release.hold_above is 'It waits for an admin when its shadow run opens more findings than this.';
comment on column catalog_release.hosts is 'Hosts that the shadow run judged; null, like the next three: it has not ended.';
comment on column catalog_release.opens is 'Findings that it would open, reopened ones among them.';
comment on column catalog_release.changes is 'Findings that it would word or weigh otherwise.';
comment on column catalog_release.leased_until is 'A server whose shadow run of it goes on extends it; one that died loses it at this time.';
comment on column catalog_release.settled_by is 'Who approved or discarded it; null: nobody had to.';
create unique index catalog_release_in_force on catalog_release (state) where state = 'in-force';
create unique index catalog_release_waiting on catalog_release ((true)) where state in ('shadowing', 'held');

create table catalog_shadow (
  client_id int not null,
  release_id uuid not null references catalog_release on delete cascade,
  host_id bigint not null,
  finding_id uuid not null,
  rule text not null,
  transition text not null constraint catalog_shadow_transition_known check (transition in ('opened', 'resolved', 'changed')),
  severity smallint not null,
  title text not null,
  primary key (client_id, release_id, host_id, finding_id),
  constraint catalog_shadow_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table catalog_shadow is 'What a release would do to findings, by its shadow run.';
comment on column catalog_shadow.severity is '1 info, 2 warning, 3 critical.';

create table catalog_override (
  client_id int not null references client,
  override_id uuid not null,
  entry_id text not null,
  severity smallint,
  reason text not null,
  decided_by text not null,
  decided_at timestamptz not null,
  until timestamptz not null,
  primary key (client_id, override_id),
  constraint catalog_override_once unique (client_id, entry_id),
  constraint catalog_override_ends check (until > decided_at)
);
comment on table catalog_override is 'What was decided about an entry for one client. It ends by itself.';
comment on column catalog_override.entry_id is 'Of a bad update or a taker.';
comment on column catalog_override.severity is '1 info, 2 warning, 3 critical; null: the entry does not apply at the client.';

alter table host_judgement add column basis text not null default '';
alter table host_judgement alter column basis drop default;
comment on column host_judgement.basis is 'Hash of the catalog and the overrides that the host was judged by. Another one than that of today: judge it again.';
create index host_judgement_by_basis on host_judgement (client_id, basis);

alter table catalog_shadow enable row level security;
alter table catalog_shadow force row level security;
create policy catalog_shadow_scope on catalog_shadow to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table catalog_override enable row level security;
alter table catalog_override force row level security;
create policy catalog_override_scope on catalog_override to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, update on catalog_state to portreeve_app;
grant select, insert, update, delete on catalog_entry, catalog_key, catalog_override to portreeve_app;
grant select, insert, update on catalog_release to portreeve_app;
grant select, insert, delete on catalog_shadow to portreeve_app;
