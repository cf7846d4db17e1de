-- That a socket is gone is most of what is changed of entries. While gone_at was in the condition of an index, every such
-- entry was written anew, and into the other indexes of its kind.
drop index boot_entry_by_socket;
create index boot_entry_by_socket on boot_entry (client_id, host_id, socket_key) where socket_key is not null;
