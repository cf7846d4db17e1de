-- Which machine speaks with an identity, and who else tried to.

alter table agent_stream
  add column fingerprint bytea constraint agent_stream_fingerprint_length check (octet_length(fingerprint) between 1 and 32),
  add column restored_at timestamptz,
  add column clone_seen_at timestamptz,
  add column clone_fingerprint bytea,
  add column clone_address inet;
comment on column agent_stream.fingerprint is 'Hash of what identifies the machine, as its agent says. Null: not said yet, or an operator lets the next one speak.';
comment on column agent_stream.fork_seen_at is 'When two machines with one fingerprint were seen to take turns. Null: not, or settled by an operator.';
comment on column agent_stream.restored_at is 'When the agent came with a state that was older than what it had said before: a restored snapshot.';
comment on column agent_stream.clone_seen_at is 'When another machine last came with this identity and was refused. Null: never, or settled by an operator.';
comment on column agent_stream.clone_fingerprint is 'Of that machine.';
comment on column agent_stream.clone_address is 'From where it came.';
