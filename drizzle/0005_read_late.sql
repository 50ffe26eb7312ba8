ALTER TABLE `event_log` ADD `read_late` json;--> statement-breakpoint
CREATE OR REPLACE VIEW `events` AS
SELECT
	e.`seq`, e.`id`, e.`type`, e.`entity_table`, e.`entity_key`, e.`transaction_id`, e.`occurred_at`,
	e.`body` AS `payload`, e.`created_at`, e.`read_late`
FROM `event_log` e
WHERE e.`staging` < (SELECT c.`staging` FROM `checkpoint` c WHERE c.`id` = 1);
