-- The registry of queries, and this schema's own version.
--
-- Orleans' ADO.NET providers contain no SQL. When a silo starts they read the table OrleansQuery, look their queries up by fixed keys,
-- and send the text unchanged, with named parameters. So they determine the registry's names; the tables behind the queries are ours.
--
-- Every script is idempotent: run them with 'omq db migrate', or in order with psql -v ON_ERROR_STOP=1 -1 -f FILE. Tables are created
-- in the first schema of the search path. Tested with PostgreSQL 15; requires version 12.

-- The version is that of the newest script applied. A program that knows only older scripts refuses the database.
CREATE TABLE IF NOT EXISTS omq_schema_version (
    version    integer     NOT NULL,
    script     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT omq_schema_version_pk PRIMARY KEY (version)
);

CREATE TABLE IF NOT EXISTS OrleansQuery (
    QueryKey  text NOT NULL,
    QueryText text NOT NULL,
    CONSTRAINT orleans_query_pk PRIMARY KEY (QueryKey)
);

INSERT INTO omq_schema_version (version, script) VALUES (1, '0001-query-registry') ON CONFLICT (version) DO NOTHING;
