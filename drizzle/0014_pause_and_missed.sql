ALTER TABLE `replays` ADD `missed_only` boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `webhooks` ADD `paused_at` datetime(3);--> statement-breakpoint
ALTER TABLE `webhooks` ADD `missed_from` bigint;--> statement-breakpoint
ALTER TABLE `webhooks` ADD `missed_to` bigint;