-- Every entry of a boot, and every service that runs well, would look its parent up a second time: the transaction that
-- writes them holds it. Who takes a boot away takes its entries away first, and a setting goes only where no service has it.
alter table boot_entry drop constraint boot_entry_boot;
alter table service_good drop constraint service_good_setting;
