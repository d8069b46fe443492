CREATE TABLE goods (name text PRIMARY KEY, cents int NOT NULL)
INSERT INTO goods VALUES ('lamp', 4900), ('chair', 12900), ('table', 24900)
