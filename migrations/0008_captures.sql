-- Captures: facts of hosts that cannot run the agent, brought by people. One row an import.

create table capture (
  client_id int not null,
  capture_id uuid not null,
  host_id bigint not null,
  captured_at timestamptz not null,
  imported_at timestamptz not null,
  operator_id uuid references operator on delete set null,
  pieces jsonb not null,
  lines_not_understood int not null,
  primary key (client_id, capture_id),
  constraint capture_host foreign key (client_id, host_id) references host (client_id, host_id)
);
comment on table capture is 'Who brought which capture of a host. The newest by captured_at is what the host''s facts say.';
comment on column capture.captured_at is 'When it was taken: as it says, or as the importer said, or else when it was imported. Never later than the import.';
comment on column capture.operator_id is 'Null: by command line, or the operator is gone.';
comment on column capture.pieces is 'What was understood: [{"file": "netstat.txt", "what": "sockets", "lines": 40}].';
create index capture_by_host on capture (client_id, host_id, captured_at desc);

alter table capture enable row level security;
alter table capture force row level security;
create policy capture_scope on capture to portreeve_app
  using (client_id = any (nullif(current_setting('app.clients', true), '')::int[]));

grant select, insert on capture to portreeve_app;
