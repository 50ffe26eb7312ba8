-- Rows' keys are compared byte by byte, without padding. One statement for each table, which is rewritten once.
ALTER TABLE `event_log`
	MODIFY COLUMN `entity_key` varchar(255) character set utf8mb4 /*!80017 collate utf8mb4_0900_bin *//*M!100600 collate utf8mb4_nopad_bin */ NOT NULL,
	MODIFY COLUMN `subject` varchar(255) character set utf8mb4 /*!80017 collate utf8mb4_0900_bin *//*M!100600 collate utf8mb4_nopad_bin */;
--> statement-breakpoint
ALTER TABLE `replays`
	MODIFY COLUMN `entity_key` varchar(255) character set utf8mb4 /*!80017 collate utf8mb4_0900_bin *//*M!100600 collate utf8mb4_nopad_bin */;
--> statement-breakpoint
ALTER TABLE `subject_keys`
	MODIFY COLUMN `subject` varchar(255) character set utf8mb4 /*!80017 collate utf8mb4_0900_bin *//*M!100600 collate utf8mb4_nopad_bin */ NOT NULL;
