CREATE TABLE `webhook_claims` (
	`owner` varchar(64) character set ascii collate ascii_bin NOT NULL,
	`name` varchar(255) character set utf8mb4 collate utf8mb4_bin NOT NULL,
	`digest` varchar(32) character set ascii collate ascii_bin NOT NULL,
	`refused_for` varchar(255) character set utf8mb4 collate utf8mb4_bin,
	CONSTRAINT `webhook_claims_owner_name_pk` PRIMARY KEY(`owner`,`name`)
) ROW_FORMAT=DYNAMIC;
