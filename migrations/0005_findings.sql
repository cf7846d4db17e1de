-- What the rules say, and how it came to be said.

create table finding (
  client_id int not null,
  finding_id uuid not null,
  host_id bigint not null,
  rule text not null,
  subject_key text not null,
  subject jsonb not null,
  severity smallint not null,
  confidence smallint not null,
  title text not null,
  cause text not null,
  evidence jsonb not null,
  remedy jsonb not null,
  probability double precision,
  since timestamptz,
  state text not null constraint finding_state_known check (state in ('open', 'resolved')),
  episode int not null,
  first_opened_at timestamptz not null,
  opened_at timestamptz not null,
  resolved_at timestamptz,
  updated_at timestamptz not null,
  cannot_tell text,
  primary key (client_id, finding_id),
  constraint finding_once unique (client_id, host_id, rule, subject_key),
  constraint finding_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table finding is 'One row per (client, host, rule, subject), for ever; a return is a new episode of it.';
comment on column finding.subject_key is 'The subject as canonical JSON: members in order, no spaces.';
comment on column finding.severity is '1 info, 2 warning, 3 critical.';
comment on column finding.confidence is '1 possible, 2 likely, 3 certain.';
comment on column finding.since is 'Since when it has been so on the host, by the host''s clock corrected by its skew.';
comment on column finding.cannot_tell is 'Not null: the last report left a fact unknown that this finding rests on; shown as such, neither open nor resolved by it.';
create index finding_open_first on finding (client_id, state, severity desc, opened_at desc, finding_id);
create index finding_by_host on finding (client_id, host_id, state);

create table finding_event (
  client_id int not null,
  finding_id uuid not null,
  event_id uuid not null,
  at timestamptz not null,
  episode int not null,
  transition text not null constraint finding_event_transition_known check (transition in ('opened', 'resolved', 'reopened', 'changed')),
  title text not null,
  primary key (client_id, finding_id, event_id),
  constraint finding_event_finding foreign key (client_id, finding_id) references finding (client_id, finding_id)
);
comment on table finding_event is 'The timeline of a finding.';

create table host_judgement (
  client_id int not null,
  host_id bigint not null,
  cannot_tell jsonb not null,
  judged_at timestamptz not null,
  primary key (client_id, host_id),
  constraint host_judgement_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table host_judgement is 'What the rules could not tell of a host at its last judgement.';
comment on column host_judgement.cannot_tell is 'rules::finding::CannotTell[] of the last judgement.';

alter table finding enable row level security;
alter table finding force row level security;
create policy finding_scope on finding to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table finding_event enable row level security;
alter table finding_event force row level security;
create policy finding_event_scope on finding_event to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));
alter table host_judgement enable row level security;
alter table host_judgement force row level security;
create policy host_judgement_scope on host_judgement to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, insert, update on finding, finding_event, host_judgement to portreeve_app;
