DROP INDEX `queue_lane` ON `queue`;--> statement-breakpoint
ALTER TABLE `delivery_log` ADD `reserve` varchar(16) character set ascii collate ascii_bin;--> statement-breakpoint
ALTER TABLE `queue` ADD `waiting` boolean GENERATED ALWAYS AS (state = 'waiting') STORED;--> statement-breakpoint
CREATE INDEX `queue_lane` ON `queue` (`lane`,`waiting`,`event_seq`);--> statement-breakpoint
-- `claimed_by` tells of a claim while there is one only; the queue keeps the last.
CREATE OR REPLACE VIEW `webhook_deliveries` AS
SELECT
	d.`id`, d.`webhook_id`, e.`type` AS `event_type`, COALESCE(d.`payload`, e.`body`) AS `payload`,
	d.`response_status`, d.`response_body`, d.`delivered_at`, d.`failed_at`, d.`retry_count`, d.`created_at`,
	e.`id` AS `event_id`,
	COALESCE(q.`state`, IF(d.`status` = 'open', 'pending', d.`status`)) AS `status`,
	IF(q.`state` = 'pending', q.`due_at`, NULL) AS `next_attempt_at`,
	IF(q.`state` = 'sending', q.`due_at`, NULL) AS `claim_expires_at`,
	IF(q.`state` = 'sending', q.`claimed_by`, NULL) AS `claimed_by`,
	d.`exhausted_at`, e.`entity_table`, e.`entity_key`, e.`occurred_at`, d.`event_seq`
FROM `delivery_log` d
JOIN `event_log` e ON e.`seq` = d.`event_seq`
LEFT JOIN `queue` q ON q.`delivery_id` = d.`id`
WHERE e.`staging` < (SELECT c.`staging` FROM `checkpoint` c WHERE c.`id` = 1);
