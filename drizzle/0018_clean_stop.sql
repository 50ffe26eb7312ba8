CREATE TABLE `clean_stop` (
	`id` tinyint NOT NULL,
	`epoch` int NOT NULL,
	`file` varchar(512) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`offset` bigint NOT NULL,
	`state` longtext character set utf8mb4 collate utf8mb4_bin,
	CONSTRAINT `clean_stop_id` PRIMARY KEY(`id`)
) ROW_FORMAT=DYNAMIC;
