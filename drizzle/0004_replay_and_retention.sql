CREATE TABLE `kept_payloads` (
	`event_seq` bigint NOT NULL,
	CONSTRAINT `kept_payloads_event_seq` PRIMARY KEY(`event_seq`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
DROP INDEX `queue_lane` ON `queue`;--> statement-breakpoint
ALTER TABLE `replays` ADD `exhausted_only` boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `queue_lane` ON `queue` (`lane`,`state`,`event_seq`);