using Npgsql;
using NpgsqlTypes;

namespace OrleansMq.Grains.PostgreSql;

/// <summary>
/// The states of partitions in the table of grain states, many with one statement. The rows are those that Orleans' provider writes
/// (<c>deploy/postgres/0003-storage.sql</c>), with the same rules: every write is a compare-and-swap, and draws its version from the
/// sequence. Statements that change rows lock them in the order of their keys, so that two of them never wait for each other.
/// </summary>
/// <param name="connectionString">An Npgsql connection string.</param>
/// <param name="serviceId">The cluster's service id.</param>
/// <param name="stateName">The name of the states.</param>
internal sealed class PartitionStateTable(string connectionString, string serviceId, string stateName)
{
    // A database that does not answer keeps no batch for longer.
    private const int TimeoutSeconds = 10;

    // Before callers give up: a row that another transaction holds must not keep the others of a statement waiting. Our own hold rows for
    // the time of a statement. In force for this transaction alone.
    private const string LockTimeout = "SELECT set_config('lock_timeout', '1000', true);\n";

    private const string Read = """
        SELECT grain_id_extension, version, payload
        FROM omq_grain_state
        WHERE service_id = @service AND state_name = @name AND grain_id_extension = ANY(@keys) AND grain_id_n1 = 0 AND grain_id_n0 = 0
          AND payload IS NOT NULL;
        """;

    private const string Create = LockTimeout + """
        INSERT INTO omq_grain_state AS state
            (service_id, state_name, grain_id_hash, grain_id_n0, grain_id_n1, grain_id_extension, version, payload)
        SELECT @service, @name, wanted.hash, 0, 0, wanted.key, nextval('omq_grain_state_version')::integer, wanted.payload
        FROM unnest(@keys, @hashes, @payloads) WITH ORDINALITY AS wanted (key, hash, payload, number)
        ORDER BY wanted.number
        ON CONFLICT ON CONSTRAINT omq_grain_state_pk
            DO UPDATE SET version = excluded.version, payload = excluded.payload, modified_at = excluded.modified_at
            WHERE state.payload IS NULL
        RETURNING grain_id_extension, version;
        """;

    private const string Write = LockTimeout + Held + """
        UPDATE omq_grain_state AS state
        SET version = nextval('omq_grain_state_version')::integer, payload = held.payload, modified_at = now()
        FROM held
        """ + Same + "RETURNING held.number, state.version;";

    private const string Clear = LockTimeout + """
        WITH held AS MATERIALIZED (
            SELECT wanted.key, found.grain_id_hash
            FROM unnest(@keys) WITH ORDINALITY AS wanted (key, number)
            CROSS JOIN LATERAL (
                SELECT grain_id_hash FROM omq_grain_state
                WHERE service_id = @service AND state_name = @name AND grain_id_extension = wanted.key
                  AND grain_id_n1 = 0 AND grain_id_n0 = 0
                FOR UPDATE) AS found)
        DELETE FROM omq_grain_state AS state USING held
        """ + Same + ";";

    // The rows with the expected versions, locked.
    private const string Held = """
        WITH held AS MATERIALIZED (
            SELECT wanted.number, wanted.key, wanted.payload, found.grain_id_hash
            FROM unnest(@keys, @versions, @payloads) WITH ORDINALITY AS wanted (key, version, payload, number)
            CROSS JOIN LATERAL (
                SELECT grain_id_hash FROM omq_grain_state
                WHERE service_id = @service AND state_name = @name AND grain_id_extension = wanted.key
                  AND grain_id_n1 = 0 AND grain_id_n0 = 0 AND version = wanted.version
                FOR UPDATE) AS found)

        """;

    private const string Same = """

        WHERE state.service_id = @service AND state.state_name = @name AND state.grain_id_extension = held.key
          AND state.grain_id_n1 = 0 AND state.grain_id_n0 = 0 AND state.grain_id_hash = held.grain_id_hash

        """;

    /// <summary>Whether a statement was rolled back for a reason that one of its rows may have: another transaction holds it, or its
    /// content is damaged or refused. By the classes of PostgreSQL's error codes.</summary>
    public static bool MayBeOfOneRow(Exception failure) =>
        failure is PostgresException refused && refused.SqlState[..2] is "22" or "23" or "40" or "55" or "XX";

    /// <summary>Reads states. Those that are missing are not stored.</summary>
    public async Task<Dictionary<string, (int Version, byte[] Payload)>> ReadAsync(IEnumerable<string> keys)
    {
        var found = new Dictionary<string, (int, byte[])>(StringComparer.Ordinal);
        await ExecuteAsync(Read, row => found[KeyOf(row)] = (row.GetInt32(1), row.GetFieldValue<byte[]>(2)),
            Keys(keys.Order(StringComparer.Ordinal))).ConfigureAwait(false);
        return found;
    }

    /// <summary>Stores first states, with keys that are all different. Returns the versions of those that were stored; for the others a
    /// state is stored already.</summary>
    public async Task<Dictionary<string, int>> CreateAsync(IEnumerable<(string Key, byte[] Payload)> states)
    {
        var sorted = states.OrderBy(state => state.Key, StringComparer.Ordinal).ToArray();
        var stored = new Dictionary<string, int>(StringComparer.Ordinal);
        await ExecuteAsync(Create, row => stored[KeyOf(row)] = row.GetInt32(1), Keys(sorted.Select(state => state.Key)),
            Of("hashes", NpgsqlDbType.Integer, sorted.Select(state => ExactKeyGrainStorage.HashOf(state.Key))),
            Of("payloads", NpgsqlDbType.Bytea, sorted.Select(state => state.Payload))).ConfigureAwait(false);
        return stored;
    }

    /// <summary>Replaces states that have the expected versions. Returns the version of each that was replaced, null for each that was not:
    /// another version is stored, or none.</summary>
    public async Task<int?[]> WriteAsync(IReadOnlyList<(string Key, int Version, byte[] Payload)> states)
    {
        int[] order = [.. Enumerable.Range(0, states.Count).OrderBy(i => states[i].Key, StringComparer.Ordinal)];
        var stored = new int?[states.Count];
        await ExecuteAsync(Write, row => stored[order[row.GetInt64(0) - 1]] = row.GetInt32(1), Keys(order.Select(i => states[i].Key)),
            Of("versions", NpgsqlDbType.Integer, order.Select(i => states[i].Version)),
            Of("payloads", NpgsqlDbType.Bytea, order.Select(i => states[i].Payload))).ConfigureAwait(false);
        return stored;
    }

    /// <summary>Removes states, whatever their versions.</summary>
    public Task ClearAsync(IEnumerable<string> keys) =>
        ExecuteAsync(Clear, static _ => { }, Keys(keys.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)));

    // Returns when the statement is committed: the end of a result's rows comes before that.
    private async Task ExecuteAsync(string statement, Action<NpgsqlDataReader> take, params NpgsqlParameter[] parameters)
    {
        var connection = new NpgsqlConnection(connectionString);
        await using var _ = connection.ConfigureAwait(false);
        await connection.OpenAsync().ConfigureAwait(false);
        var command = new NpgsqlCommand(statement, connection) { CommandTimeout = TimeoutSeconds };
        await using var __ = command.ConfigureAwait(false);
        command.Parameters.AddWithValue("service", serviceId);
        command.Parameters.AddWithValue("name", stateName);
        command.Parameters.AddRange(parameters);
        var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        await using (reader.ConfigureAwait(false))
        {
            // The lock time-out is a result of its own.
            if (statement.StartsWith(LockTimeout, StringComparison.Ordinal))
                await reader.NextResultAsync().ConfigureAwait(false);
            while (await reader.ReadAsync().ConfigureAwait(false))
                take(reader);
            await reader.CloseAsync().ConfigureAwait(false);
        }
    }

    // The provider's queries put a '+' before a text.
    private const string TextMark = "+";

    private static string KeyOf(NpgsqlDataReader row) => row.GetString(0)[(TextMark.Length + ExactKeyGrainStorage.Prefix.Length)..];

    private static NpgsqlParameter Keys(IEnumerable<string> keys) =>
        Of("keys", NpgsqlDbType.Text, keys.Select(key => TextMark + ExactKeyGrainStorage.Prefix + key));

    private static NpgsqlParameter Of<T>(string name, NpgsqlDbType type, IEnumerable<T> values) =>
        new(name, NpgsqlDbType.Array | type) { Value = values.ToArray() };
}
