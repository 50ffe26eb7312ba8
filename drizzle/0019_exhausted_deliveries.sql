CREATE TABLE `exhausted_deliveries` (
	`delivery_id` bigint NOT NULL,
	`attempt` int NOT NULL,
	CONSTRAINT `exhausted_deliveries_delivery_id_attempt_pk` PRIMARY KEY(`delivery_id`,`attempt`)
) ROW_FORMAT=DYNAMIC;