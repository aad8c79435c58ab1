-- The registry of queries, and this schema's own version.
--
-- Orleans' ADO.NET providers hold no SQL: when a silo starts they read all of OrleansQuery, look their queries up by fixed keys and
-- send the text as it stands, with named parameters. So the registry's names are theirs; every table behind the queries is ours.
--
-- Every script may be run again: by 'omq db migrate', or in order by psql -v ON_ERROR_STOP=1 -1 -f FILE. Tables are made in the first
-- schema of the search path. Tested with PostgreSQL 15; uses nothing newer than 12.

-- The version is that of the newest script here. A program that knows only older ones refuses the database.
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
