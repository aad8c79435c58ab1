using System.Globalization;
using System.Text.Json;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;
using OrleansMq.State;

namespace OrleansMq.Grains.PostgreSql;

/// <summary>
/// Partition states in PostgreSQL. Many partitions change at once, when topics are created or a broker restarts: what arrives while a
/// statement is under way shares the next one, and its transaction. They are the documents of <see cref="PartitionStates"/>.
/// </summary>
internal sealed class PostgreSqlPartitionStates : IPartitionStates
{
    // Two statements of a kind at a time: one is prepared while the other waits for the disk. Of the connections most are left to others.
    private const int Lanes = 2;
    private const int Most = 256;

    // As long as for a connection: callers have given up by then.
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(15);

    private readonly RequestBatches<string, (int Version, byte[] Payload)?> _reads;
    private readonly RequestBatches<(string Key, byte[] Payload), int?> _creations;
    private readonly RequestBatches<(string Key, int Version, byte[] Payload), int?> _writes;
    private readonly RequestBatches<string, bool> _removals;

    /// <summary>Uses a database whose schema exists.</summary>
    /// <param name="connectionString">An Npgsql connection string.</param>
    /// <param name="serviceId">The cluster's service id.</param>
    public PostgreSqlPartitionStates(string connectionString, string serviceId)
    {
        var table = new PartitionStateTable(connectionString, serviceId, PartitionStates.StateName);
        _reads = new(async keys =>
        {
            var found = await table.ReadAsync(keys.Distinct()).ConfigureAwait(false);
            return [.. keys.Select(key => found.TryGetValue(key, out var state) ? state : ((int, byte[])?)null)];
        }, Lanes, Most, MaxWait, TimeProvider.System, PartitionStateTable.MayBeOfOneRow);
        _creations = new(async states =>
        {
            var stored = await table.CreateAsync(states.DistinctBy(state => state.Key)).ConfigureAwait(false);
            // Of several for one key the first is stored, and the others find it.
            return [.. states.Select(state => stored.Remove(state.Key, out var version) ? version : (int?)null)];
        }, Lanes, Most, MaxWait, TimeProvider.System, PartitionStateTable.MayBeOfOneRow);
        _writes = new(async states => await table.WriteAsync(states).ConfigureAwait(false), Lanes, Most, MaxWait,
            TimeProvider.System, PartitionStateTable.MayBeOfOneRow);
        _removals = new(async keys =>
        {
            await table.ClearAsync(keys).ConfigureAwait(false);
            return [.. keys.Select(static _ => true)];
        }, Lanes, Most, MaxWait, TimeProvider.System, PartitionStateTable.MayBeOfOneRow);
    }

    /// <inheritdoc/>
    public async Task<StoredPartitionState?> ReadAsync(ReplicaKey key) =>
        await _reads.RunAsync(NameOf(key)).ConfigureAwait(false) is { } found ? Parse(found.Version, found.Payload) : null;

    /// <inheritdoc/>
    public async Task<string> CreateAsync(ReplicaKey key, PartitionState state) =>
        Format(await _creations.RunAsync((NameOf(key), Write(state))).ConfigureAwait(false)) ?? throw Conflict(key, null);

    /// <inheritdoc/>
    public async Task<string> WriteAsync(ReplicaKey key, PartitionState state, string etag) =>
        Format(await _writes.RunAsync((NameOf(key), int.Parse(etag, CultureInfo.InvariantCulture), Write(state))).ConfigureAwait(false))
        ?? throw Conflict(key, etag);

    /// <inheritdoc/>
    public Task ClearAsync(ReplicaKey key) => _removals.RunAsync(NameOf(key));

    private static StateConflictException Conflict(ReplicaKey key, string? etag) =>
        new($"{PartitionStates.StateName}/{key}", etag, stored: null);

    private static string? Format(int? version) => version?.ToString(CultureInfo.InvariantCulture);

    private static string NameOf(ReplicaKey key) => GrainKeys.Partition(key.TopicId, key.Partition);

    private static byte[] Write(PartitionState state) => JsonSerializer.SerializeToUtf8Bytes(state, StateDocuments.Json);

    private static StoredPartitionState Parse(int version, byte[] payload) =>
        new(JsonSerializer.Deserialize<PartitionState>(payload, StateDocuments.Json)!, Format(version)!);
}
