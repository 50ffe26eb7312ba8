CREATE TABLE `attempts` (
	`id` bigint AUTO_INCREMENT NOT NULL,
	`delivery_id` bigint NOT NULL,
	`number` int NOT NULL,
	`started_at` datetime(3) NOT NULL,
	`duration_ms` int NOT NULL,
	`outcome` enum('delivered','rejected','gone','failed','forbidden','lost') NOT NULL,
	`response_status` smallint,
	`reason` varchar(32) character set ascii collate ascii_bin,
	CONSTRAINT `attempts_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `audit_log` (
	`id` bigint AUTO_INCREMENT NOT NULL,
	`at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	`actor` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`role` varchar(32) character set ascii collate ascii_bin NOT NULL,
	`action` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`target` varchar(255) character set utf8mb4 collate utf8mb4_bin,
	`details` json,
	CONSTRAINT `audit_log_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `checkpoint` (
	`id` tinyint NOT NULL,
	`fence` bigint NOT NULL DEFAULT 0,
	`epoch` int NOT NULL DEFAULT 0,
	`lineage` varchar(255) character set utf8mb4 collate utf8mb4_bin,
	`flavour` varchar(16) character set ascii collate ascii_bin,
	`server_uuid` varchar(64) character set ascii collate ascii_bin,
	`gtid` longtext character set utf8mb4 collate utf8mb4_bin,
	`file` varchar(512) character set utf8mb4 collate utf8mb4_bin,
	`offset` bigint,
	`committed_at` datetime(3),
	`updated_at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	`next_event_seq` bigint NOT NULL DEFAULT 1,
	`next_delivery_id` bigint NOT NULL DEFAULT 1,
	`staging` int NOT NULL DEFAULT 1,
	`staged_from_seq` bigint,
	`staged_from_delivery` bigint,
	`unqueued_from` bigint,
	`unqueued_to` bigint,
	`halt` json,
	`halted_at` datetime(3),
	CONSTRAINT `checkpoint_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `delivery_log` (
	`id` bigint NOT NULL,
	`webhook_id` int NOT NULL,
	`event_seq` bigint NOT NULL,
	`status` enum('open','delivered','exhausted') NOT NULL DEFAULT 'open',
	`response_status` smallint,
	`delivered_at` datetime(3),
	`failed_at` datetime(3),
	`exhausted_at` datetime(3),
	`retry_count` int NOT NULL DEFAULT 0,
	`created_at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	`response_body` longtext character set utf8mb4 collate utf8mb4_bin,
	`payload` longtext character set utf8mb4 collate utf8mb4_bin,
	CONSTRAINT `delivery_log_id` PRIMARY KEY(`id`),
	CONSTRAINT `delivery_log_event` UNIQUE(`event_seq`,`webhook_id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `event_log` (
	`seq` bigint NOT NULL,
	`id` varchar(36) character set ascii collate ascii_bin NOT NULL,
	`type` varchar(128) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`entity_table` varchar(64) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`entity_key` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`transaction_id` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`occurred_at` datetime(3) NOT NULL,
	`staging` int NOT NULL DEFAULT 0,
	`created_at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	`body` longtext character set utf8mb4 collate utf8mb4_bin,
	CONSTRAINT `event_log_seq` PRIMARY KEY(`seq`),
	CONSTRAINT `event_log_id` UNIQUE(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `installation` (
	`id` tinyint NOT NULL,
	`uuid` varchar(36) character set ascii collate ascii_bin NOT NULL,
	`server_id` bigint NOT NULL,
	`payloads_pruned_to` bigint NOT NULL DEFAULT 0,
	`created_at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	CONSTRAINT `installation_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `leases` (
	`name` varchar(32) character set ascii collate ascii_bin NOT NULL,
	`holder` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`token` bigint NOT NULL,
	`expires_at` datetime(3) NOT NULL,
	CONSTRAINT `leases_name` PRIMARY KEY(`name`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `queue` (
	`delivery_id` bigint NOT NULL,
	`webhook_id` int NOT NULL,
	`event_seq` bigint NOT NULL,
	`lane` bigint,
	`state` enum('sending','pending','waiting') NOT NULL,
	`due_at` datetime(3),
	`attempt` int NOT NULL DEFAULT 0,
	`attempts_before` int NOT NULL DEFAULT 0,
	`claimed_at` datetime(3),
	`claimed_by` varchar(64) character set ascii collate ascii_bin,
	CONSTRAINT `queue_delivery_id` PRIMARY KEY(`delivery_id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `replays` (
	`id` bigint AUTO_INCREMENT NOT NULL,
	`webhook_id` int NOT NULL,
	`events` json,
	`entity_table` varchar(64) character set utf8mb4 collate utf8mb4_bin,
	`entity_key` varchar(255) character set utf8mb4 collate utf8mb4_bin,
	`since` datetime(3) NOT NULL,
	`until` datetime(3) NOT NULL,
	`requested_by` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`reason` varchar(1024) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`rate_per_second` double,
	`state` enum('running','done','cancelled') NOT NULL DEFAULT 'running',
	`next_seq` bigint NOT NULL,
	`last_seq` bigint NOT NULL,
	`total` int NOT NULL,
	`queued` int NOT NULL DEFAULT 0,
	`created_at` datetime(3) NOT NULL DEFAULT (utc_timestamp(3)),
	`finished_at` datetime(3),
	CONSTRAINT `replays_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE TABLE `webhooks` (
	`id` int AUTO_INCREMENT NOT NULL,
	`name` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`url` varchar(2048) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`events` json NOT NULL,
	`secret` varchar(1024) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`is_active` boolean NOT NULL DEFAULT true,
	`created_at` timestamp(3) NOT NULL DEFAULT current_timestamp(3),
	`updated_at` timestamp(3) NOT NULL DEFAULT current_timestamp(3) on update current_timestamp(3),
	`managed_by` enum('database','file') NOT NULL DEFAULT 'database',
	`previous_secret` varchar(1024) character set utf8mb4 collate utf8mb4_bin,
	`previous_secret_expires_at` datetime(3),
	`filter` json,
	`fields` json,
	`headers` json,
	`delivery_order` enum('entity','none') NOT NULL DEFAULT 'entity',
	`max_in_flight` int NOT NULL DEFAULT 8,
	`rate_per_second` double,
	`timeout_ms` int NOT NULL DEFAULT 15000,
	`legacy_signature` boolean NOT NULL DEFAULT true,
	`failing_since` datetime(3),
	`disabled_at` datetime(3),
	`disabled_reason` varchar(32) character set ascii collate ascii_bin,
	`deleted_at` datetime(3),
	CONSTRAINT `webhooks_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
CREATE INDEX `attempts_delivery` ON `attempts` (`delivery_id`);--> statement-breakpoint
CREATE INDEX `audit_log_at` ON `audit_log` (`at`);--> statement-breakpoint
CREATE INDEX `delivery_log_webhook` ON `delivery_log` (`webhook_id`);--> statement-breakpoint
CREATE INDEX `delivery_log_exhausted` ON `delivery_log` (`exhausted_at`);--> statement-breakpoint
CREATE INDEX `event_log_occurred_at` ON `event_log` (`occurred_at`);--> statement-breakpoint
CREATE INDEX `event_log_entity` ON `event_log` (`entity_table`,`entity_key`);--> statement-breakpoint
CREATE INDEX `queue_due` ON `queue` (`state`,`webhook_id`,`due_at`);--> statement-breakpoint
CREATE INDEX `queue_lane` ON `queue` (`lane`,`event_seq`);