CREATE TABLE `receivers` (
	`id` int AUTO_INCREMENT NOT NULL,
	`webhook_id` int NOT NULL,
	`name` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`url` varchar(2048) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`since` datetime(3) NOT NULL,
	CONSTRAINT `receivers_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `seal_packs` (
	`seal` bigint NOT NULL,
	`place` int NOT NULL,
	`log` enum('event_log','delivery_log','attempts','audit_log') NOT NULL,
	`leaves` mediumblob NOT NULL,
	CONSTRAINT `seal_packs_seal_place_pk` PRIMARY KEY(`seal`,`place`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
ALTER TABLE `attempts` ADD `recorded_at` datetime(3);--> statement-breakpoint
ALTER TABLE `attempts` ADD `receiver` int;--> statement-breakpoint
ALTER TABLE `attempts` ADD `mark` binary(16);--> statement-breakpoint
ALTER TABLE `audit_log` ADD `mark` binary(24);--> statement-breakpoint
ALTER TABLE `seal_state` ADD `anchor` json;--> statement-breakpoint
ALTER TABLE `seals` ADD `version` tinyint DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE `seals` ADD `progress` json;--> statement-breakpoint
ALTER TABLE `audit_log` ADD CONSTRAINT `audit_log_mark` UNIQUE(`mark`);--> statement-breakpoint
CREATE INDEX `receivers_webhook` ON `receivers` (`webhook_id`);--> statement-breakpoint
CREATE INDEX `audit_log_action` ON `audit_log` (`action`,`target`);