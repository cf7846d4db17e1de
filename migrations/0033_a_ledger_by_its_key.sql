-- A bind that ends is found by the key of its entry, and who held a port in a boot among the entries of that boot: its
-- 2,000 at most. The two indexes were as large as the entries, and of all that a report touches they had most pages.
drop index boot_entry_by_socket;
drop index boot_entry_by_port;
