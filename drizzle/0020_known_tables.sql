CREATE TABLE `known_tables` (
	`id` tinyint NOT NULL,
	`baseline` json,
	`keys_in_force` json,
	CONSTRAINT `known_tables_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
--> statement-breakpoint
INSERT INTO `known_tables` (`id`, `baseline`, `keys_in_force`) SELECT `id`, `baseline`, `keys_in_force` FROM `checkpoint`;--> statement-breakpoint
ALTER TABLE `checkpoint` DROP COLUMN `baseline`;--> statement-breakpoint
ALTER TABLE `checkpoint` DROP COLUMN `keys_in_force`;