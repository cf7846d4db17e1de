-- Ports that services hold across the whole installation: what one host cannot know yet, others have shown.

create table learned_port (
  service text not null,
  image text not null,
  protocol smallint not null,
  port int not null,
  hosts int not null,
  of int not null,
  learned_at timestamptz not null,
  primary key (service, image, protocol, port)
);
comment on table learned_port is 'In how many hosts of the installation a service holds a port, where at least three do. It names no client and no host, so it has no policy.';
comment on column learned_port.service is 'SCM key name in lower case.';
comment on column learned_port.image is 'File name of the program that held it, in lower case.';
comment on column learned_port.protocol is '6 TCP, 17 UDP (IANA).';
comment on column learned_port.hosts is 'Hosts whose newest boot shows it.';
comment on column learned_port.of is 'Hosts whose newest boot shows the service run.';
grant select, insert, delete on learned_port to portreeve_app;
