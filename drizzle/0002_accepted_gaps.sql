ALTER TABLE `checkpoint` ADD `file_created_at` bigint;--> statement-breakpoint
ALTER TABLE `checkpoint` ADD `waived` json;--> statement-breakpoint
ALTER TABLE `checkpoint` ADD `baseline` json;