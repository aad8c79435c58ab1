-- Membership: the silos of each cluster, with one version per cluster.
--
-- Orleans' protocol requires every change of the member list to be an atomic compare-and-swap on the version. Each change below is one
-- statement that first locks the version's row: a concurrent second writer waits there, finds a newer version, and changes nothing.
-- Heartbeats ("I am alive") are an exception by design: they do not change the list, so they keep the version.

CREATE TABLE IF NOT EXISTS omq_cluster (
    cluster_id text    NOT NULL COLLATE "C",
    version    integer NOT NULL DEFAULT 0,
    CONSTRAINT omq_cluster_pk PRIMARY KEY (cluster_id)
);

-- Address, port and generation (the start of the process) identify a silo: a restarted silo is a new member.
CREATE TABLE IF NOT EXISTS omq_member (
    cluster_id    text        NOT NULL COLLATE "C",
    address       text        NOT NULL COLLATE "C",
    port          integer     NOT NULL,
    generation    integer     NOT NULL,
    silo_name     text        NOT NULL,
    host_name     text        NOT NULL,
    proxy_port    integer     NOT NULL,  -- for clients; 0: accepts none
    status        integer     NOT NULL,  -- Orleans' SiloStatus: 3 active, 6 dead
    suspect_times text,                  -- the suspecting silos and times, in Orleans' notation
    start_time    timestamptz NOT NULL,
    i_am_alive    timestamptz NOT NULL,
    CONSTRAINT omq_member_pk PRIMARY KEY (cluster_id, address, port, generation),
    CONSTRAINT omq_member_cluster_fk FOREIGN KEY (cluster_id) REFERENCES omq_cluster (cluster_id) ON DELETE CASCADE
);

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES

-- True only for the caller that created the version's row.
('InsertMembershipVersionKey', $query$
WITH made AS (
    INSERT INTO omq_cluster (cluster_id) VALUES (@DeploymentId)
    ON CONFLICT (cluster_id) DO NOTHING
    RETURNING cluster_id)
SELECT EXISTS (SELECT FROM made);
$query$),

-- If the silo is already a member, the version does not change.
('InsertMembershipKey', $query$
WITH advanced AS (
    UPDATE omq_cluster SET version = version + 1
    WHERE cluster_id = @DeploymentId AND version = @Version
      AND NOT EXISTS (
        SELECT FROM omq_member
        WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation)
    RETURNING cluster_id),
added AS (
    INSERT INTO omq_member (cluster_id, address, port, generation, silo_name, host_name, proxy_port, status, start_time, i_am_alive)
    SELECT cluster_id, @Address, @Port, @Generation, @SiloName, @HostName, @ProxyPort, @Status, @StartTime, @IAmAliveTime
    FROM advanced
    RETURNING cluster_id)
SELECT EXISTS (SELECT FROM added);
$query$),

-- If the silo is not a member, the version does not change.
('UpdateMembershipKey', $query$
WITH advanced AS (
    UPDATE omq_cluster SET version = version + 1
    WHERE cluster_id = @DeploymentId AND version = @Version
      AND EXISTS (
        SELECT FROM omq_member
        WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation)
    RETURNING cluster_id),
changed AS (
    UPDATE omq_member AS member SET status = @Status, suspect_times = @SuspectTimes, i_am_alive = @IAmAliveTime
    FROM advanced
    WHERE member.cluster_id = advanced.cluster_id AND address = @Address AND port = @Port AND generation = @Generation
    RETURNING member.cluster_id)
SELECT EXISTS (SELECT FROM changed);
$query$),

('UpdateIAmAlivetimeKey', $query$
UPDATE omq_member SET i_am_alive = @IAmAliveTime
WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation;
$query$),

-- Always returns the version. Without members it is in a single row whose other columns are null.
('MembershipReadAllKey', $query$
SELECT version AS "Version", address AS "Address", port AS "Port", generation AS "Generation", silo_name AS "SiloName",
    host_name AS "HostName", status AS "Status", proxy_port AS "ProxyPort", suspect_times AS "SuspectTimes",
    start_time AS "StartTime", i_am_alive AS "IAmAliveTime"
FROM omq_cluster LEFT JOIN omq_member USING (cluster_id)
WHERE cluster_id = @DeploymentId;
$query$),

('MembershipReadRowKey', $query$
SELECT version AS "Version", address AS "Address", port AS "Port", generation AS "Generation", silo_name AS "SiloName",
    host_name AS "HostName", status AS "Status", proxy_port AS "ProxyPort", suspect_times AS "SuspectTimes",
    start_time AS "StartTime", i_am_alive AS "IAmAliveTime"
FROM omq_cluster AS cluster LEFT JOIN omq_member AS member
    ON member.cluster_id = cluster.cluster_id AND address = @Address AND port = @Port AND generation = @Generation
WHERE cluster.cluster_id = @DeploymentId;
$query$),

('GatewaysQueryKey', $query$
SELECT address AS "Address", proxy_port AS "ProxyPort", generation AS "Generation"
FROM omq_member
WHERE cluster_id = @DeploymentId AND status = @Status AND proxy_port > 0;
$query$),

-- Deletes the dead, and those without heartbeats that were never active or have left.
('CleanupDefunctSiloEntriesKey', $query$
DELETE FROM omq_member
WHERE cluster_id = @DeploymentId AND status <> 3 AND i_am_alive < @IAmAliveTime;
$query$),

-- The members are deleted with their cluster.
('DeleteMembershipTableEntriesKey', $query$
DELETE FROM omq_cluster WHERE cluster_id = @DeploymentId;
$query$)

ON CONFLICT (QueryKey) DO UPDATE SET QueryText = excluded.QueryText;

INSERT INTO omq_schema_version (version, script) VALUES (2, '0002-membership') ON CONFLICT (version) DO NOTHING;
