-- The one row that capture's transactions update.
INSERT INTO `checkpoint` (`id`) VALUES (1);
--> statement-breakpoint
-- What auditors read. A transaction that is still being staged is in neither view, and then wholly in both.
CREATE VIEW `events` AS
SELECT
	e.`seq`, e.`id`, e.`type`, e.`entity_table`, e.`entity_key`, e.`transaction_id`, e.`occurred_at`,
	e.`body` AS `payload`, e.`created_at`
FROM `event_log` e
WHERE e.`staging` < (SELECT c.`staging` FROM `checkpoint` c WHERE c.`id` = 1);
--> statement-breakpoint
CREATE VIEW `webhook_deliveries` AS
SELECT
	d.`id`, d.`webhook_id`, e.`type` AS `event_type`, COALESCE(d.`payload`, e.`body`) AS `payload`,
	d.`response_status`, d.`response_body`, d.`delivered_at`, d.`failed_at`, d.`retry_count`, d.`created_at`,
	e.`id` AS `event_id`,
	COALESCE(q.`state`, IF(d.`status` = 'open', 'pending', d.`status`)) AS `status`,
	IF(q.`state` = 'pending', q.`due_at`, NULL) AS `next_attempt_at`,
	IF(q.`state` = 'sending', q.`due_at`, NULL) AS `claim_expires_at`,
	q.`claimed_by`, d.`exhausted_at`, e.`entity_table`, e.`entity_key`, e.`occurred_at`, d.`event_seq`
FROM `delivery_log` d
JOIN `event_log` e ON e.`seq` = d.`event_seq`
LEFT JOIN `queue` q ON q.`delivery_id` = d.`id`
WHERE e.`staging` < (SELECT c.`staging` FROM `checkpoint` c WHERE c.`id` = 1);
