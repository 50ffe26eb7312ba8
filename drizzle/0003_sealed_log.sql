CREATE TABLE `seal_leaves` (
	`seal` bigint NOT NULL,
	`place` int NOT NULL,
	`log` enum('attempts','audit_log') NOT NULL,
	`entry_id` bigint NOT NULL,
	`hash` binary(32) NOT NULL,
	`payload_hash` binary(32),
	CONSTRAINT `seal_leaves_seal_place_pk` PRIMARY KEY(`seal`,`place`),
	CONSTRAINT `seal_leaves_entry` UNIQUE(`log`,`entry_id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `seal_state` (
	`id` tinyint NOT NULL,
	`public_key` varchar(128) character set ascii collate ascii_bin NOT NULL,
	`private_key` varchar(512) character set ascii collate ascii_bin NOT NULL,
	`progress` json NOT NULL,
	`anchor_number` bigint NOT NULL DEFAULT 0,
	`anchor_hash` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`anchor_signature` varchar(128) character set ascii collate ascii_bin NOT NULL,
	CONSTRAINT `seal_state_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `seals` (
	`number` bigint NOT NULL,
	`sealed_at` datetime(3) NOT NULL,
	`entries` int NOT NULL,
	`root` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`previous_hash` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`hash` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`signature` varchar(128) character set ascii collate ascii_bin NOT NULL,
	CONSTRAINT `seals_number` PRIMARY KEY(`number`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `subject_keys` (
	`id` int AUTO_INCREMENT NOT NULL,
	`subject` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`key` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`created_at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	CONSTRAINT `subject_keys_id` PRIMARY KEY(`id`),
	CONSTRAINT `subject_keys_subject` UNIQUE(`subject`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
ALTER TABLE `event_log` ADD `subject` varchar(255) character set utf8mb4 collate utf8mb4_bin;--> statement-breakpoint
CREATE INDEX `event_log_subject` ON `event_log` (`subject`);