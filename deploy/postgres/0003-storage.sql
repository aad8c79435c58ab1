-- Grain state: one row per state. Every write is a compare-and-swap, the first one too.
--
-- Each write draws its version (the grain's ETag) from one sequence instead of counting up in the row. So a state that was deleted and
-- written again never has a version that a grain remembers from before. The version has 32 bits because the providers read it so. It
-- wraps around after two billion writes, which is harmless unless a grain holds a version for exactly that many.

CREATE SEQUENCE IF NOT EXISTS omq_grain_state_version AS integer MINVALUE 1 CYCLE;

-- The providers split a grain's key into two numbers and a text, and send null for a missing text. A '+' before the text distinguishes
-- null from empty. They send the numbers 0 and 0 both for a text key and for the number 0 with that text. The hash of the whole key
-- distinguishes those; that is why it is part of the primary key, not for lookups.
CREATE TABLE IF NOT EXISTS omq_grain_state (
    service_id         text        NOT NULL COLLATE "C",
    state_name         text        NOT NULL COLLATE "C",
    grain_id_hash      integer     NOT NULL,
    grain_id_n0        bigint      NOT NULL,
    grain_id_n1        bigint      NOT NULL,
    grain_id_extension text        NOT NULL COLLATE "C",
    version            integer     NOT NULL,
    payload            bytea,                 -- null: cleared, with the version as a tombstone
    modified_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT omq_grain_state_pk PRIMARY KEY (service_id, state_name, grain_id_extension, grain_id_n1, grain_id_n0, grain_id_hash)
);

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES

('ReadFromStorageKey', $query$
SELECT payload AS "PayloadBinary", version AS "Version"
FROM omq_grain_state
WHERE service_id = @ServiceId AND state_name = @GrainTypeString AND grain_id_extension = coalesce('+' || @GrainIdExtensionString, '')
  AND grain_id_n1 = @GrainIdN1 AND grain_id_n0 = @GrainIdN0 AND grain_id_hash = @GrainIdHash;
$query$),

-- Without a version the row must be missing or cleared; otherwise it must have that version. Returning no row means a conflict.
('WriteToStorageKey', $query$
WITH first AS (
    INSERT INTO omq_grain_state AS state
        (service_id, state_name, grain_id_hash, grain_id_n0, grain_id_n1, grain_id_extension, version, payload)
    SELECT @ServiceId, @GrainTypeString, @GrainIdHash, @GrainIdN0, @GrainIdN1, coalesce('+' || @GrainIdExtensionString, ''),
        nextval('omq_grain_state_version')::integer, @PayloadBinary
    WHERE @GrainStateVersion IS NULL
    ON CONFLICT ON CONSTRAINT omq_grain_state_pk
        DO UPDATE SET version = excluded.version, payload = excluded.payload, modified_at = excluded.modified_at
        WHERE state.payload IS NULL
    RETURNING version),
next AS (
    UPDATE omq_grain_state
    SET version = nextval('omq_grain_state_version')::integer, payload = @PayloadBinary, modified_at = now()
    WHERE service_id = @ServiceId AND state_name = @GrainTypeString AND grain_id_extension = coalesce('+' || @GrainIdExtensionString, '')
      AND grain_id_n1 = @GrainIdN1 AND grain_id_n0 = @GrainIdN0 AND grain_id_hash = @GrainIdHash
      AND version = @GrainStateVersion
    RETURNING version)
SELECT version AS "NewGrainStateVersion" FROM first
UNION ALL
SELECT version FROM next;
$query$),

-- Keeps the row, so that the grain's next write has a version to compare with. Clearing again succeeds.
('ClearStorageKey', $query$
UPDATE omq_grain_state
SET version = nextval('omq_grain_state_version')::integer, payload = NULL, modified_at = now()
WHERE service_id = @ServiceId AND state_name = @GrainTypeString AND grain_id_extension = coalesce('+' || @GrainIdExtensionString, '')
  AND grain_id_n1 = @GrainIdN1 AND grain_id_n0 = @GrainIdN0 AND grain_id_hash = @GrainIdHash
  AND (version = @GrainStateVersion OR payload IS NULL)
RETURNING version AS "NewGrainStateVersion";
$query$),

-- Removes the row. The providers accept any number except the caller's version as success; 0 is never a version. Removing again succeeds.
('DeleteStorageKey', $query$
WITH identified AS (
    SELECT version FROM omq_grain_state
    WHERE service_id = @ServiceId AND state_name = @GrainTypeString AND grain_id_extension = coalesce('+' || @GrainIdExtensionString, '')
      AND grain_id_n1 = @GrainIdN1 AND grain_id_n0 = @GrainIdN0 AND grain_id_hash = @GrainIdHash),
removed AS (
    DELETE FROM omq_grain_state
    WHERE service_id = @ServiceId AND state_name = @GrainTypeString AND grain_id_extension = coalesce('+' || @GrainIdExtensionString, '')
      AND grain_id_n1 = @GrainIdN1 AND grain_id_n0 = @GrainIdN0 AND grain_id_hash = @GrainIdHash
      AND (version = @GrainStateVersion OR payload IS NULL)
    RETURNING version)
SELECT 0 AS "NewGrainStateVersion"
WHERE EXISTS (SELECT FROM removed) OR NOT EXISTS (SELECT FROM identified);
$query$)

ON CONFLICT (QueryKey) DO UPDATE SET QueryText = excluded.QueryText;

INSERT INTO omq_schema_version (version, script) VALUES (3, '0003-storage') ON CONFLICT (version) DO NOTHING;
