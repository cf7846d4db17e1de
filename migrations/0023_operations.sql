-- Hosts that are watched no longer or went to another client, silence that is told, and what a restore leaves to people.

alter table host
  add column retired_at timestamptz,
  add column moved_to_client_id int,
  add column moved_to_host_id bigint,
  add column moved_from_client_id int,
  add column moved_from_host_id bigint;
comment on column host.retired_at is 'Since when it is watched no longer: its identity is revoked or speaks for another record, and no list or count has it. Null: it is watched.';
comment on column host.moved_to_host_id is 'The record that its agent speaks for since then, in client moved_to_client_id, whose operators see nothing of this one.';
comment on column host.moved_from_host_id is 'The record that its agent spoke for before, in client moved_from_client_id.';
create index host_retired on host (client_id, retired_at) where retired_at is not null;
grant delete on host_judgement to portreeve_app;

alter table finding add column resolved_because text;
comment on column finding.resolved_because is 'Why it was ended where no report did it, such as `host retired`; null: a report showed that it is over.';

-- A message may be about a host instead of a finding.
alter table delivery
  alter column finding_id drop not null,
  add column host_id bigint,
  add constraint delivery_host foreign key (client_id, host_id) references host (client_id, host_id),
  add constraint delivery_is_about_one check ((finding_id is null) <> (host_id is null));
comment on column delivery.host_id is 'The host that fell silent or was heard of again; null: the message is about a finding.';
create index delivery_by_host on delivery (client_id, host_id, created_at) where host_id is not null;
alter table endpoint add column tells_silence boolean not null default false;
comment on column endpoint.tells_silence is 'Whether it is told of hosts that fall silent and are heard of again.';

alter table agent_stream
  add column backup_at timestamptz,
  add column backup_heard_at timestamptz;
comment on column agent_stream.backup_at is 'The row comes from a backup of this time: what the agent told after it, up to backup_heard_at, is not known here. Null: it does not.';
comment on column agent_stream.backup_heard_at is 'When the agent was heard of first after the restore; null: not yet.';

create table restore (
  restored_at timestamptz primary key,
  backup_at timestamptz not null,
  released_at timestamptz
);
comment on table restore is 'When this database was made from a backup. Until an operator releases them, no delivery is sent: some were sent already, after the backup was taken.';
grant select, insert, update on restore to portreeve_app;
