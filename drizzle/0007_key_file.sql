CREATE TABLE `destroyed_keys` (
	`key_file` varchar(16) character set ascii collate ascii_bin NOT NULL,
	`slot` varchar(16) character set ascii collate ascii_bin NOT NULL,
	CONSTRAINT `destroyed_keys_key_file_slot_pk` PRIMARY KEY(`key_file`,`slot`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
ALTER TABLE `installation` ADD `payloads_sealed_to` bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `installation` ADD `key_file` varchar(16) character set ascii collate ascii_bin;