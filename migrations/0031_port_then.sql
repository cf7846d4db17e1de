-- Who held a port at a moment reads, of every week after it, only what began before it: few spans are that long. By their
-- ends, all of them would be read.
drop index socket_span_by_port;
create index socket_span_by_port on socket_span (client_id, port, protocol, valid_from, valid_to) include (host_id);
