-- Every entry of a boot would be looked up in boot a second time: the transaction that adds entries holds their boot.
-- Who takes a boot away takes its entries away first.
alter table boot_entry drop constraint boot_entry_boot;
