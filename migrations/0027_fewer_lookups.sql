-- Every entry of a boot, and every service that runs well, would look its parent up a second time. The cursor of the host is
-- locked while either is written. Who takes a boot away takes its entries away first; a server of the version before leaves
-- them, and the next boot of the host that is too old takes them with it. A setting goes only where no service has it.
alter table boot_entry drop constraint boot_entry_boot;
alter table service_good drop constraint service_good_setting;
