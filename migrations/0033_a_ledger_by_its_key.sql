-- A bind that ends is found by the key of its entry, and who held a port in a boot among the entries of that boot: its
-- 2,000 at most. At 10,000 hosts a report read 37 pages, and eleven of them were of these two indexes.
drop index boot_entry_by_socket;
drop index boot_entry_by_port;
