-- Sockets that are gone are looked up in the boot ledger with every report, and most are not in it.
create index boot_entry_by_socket on boot_entry (client_id, host_id, socket_key)
  where gone_at is null and socket_key is not null;
