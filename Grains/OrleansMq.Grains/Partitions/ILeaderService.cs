using System.Text.Json;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using Orleans.Services;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>Requests about leadership between brokers, independent of the partition's grain.</summary>
[Alias("omq.ILeaderService")]
internal interface ILeaderService : IGrainService
{
    /// <summary>Requests leadership of those of the partitions for which the receiver is the choice; completes when that is
    /// decided.</summary>
    /// <param name="partitions">The keys of their grains.</param>
    /// <returns>The partitions that it leads.</returns>
    [Alias("Lead")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<string[]> LeadAsync(string[] partitions);

    /// <summary>Takes over a partition whose leader has just resigned in favour of this broker.</summary>
    /// <param name="partition">The key of its grain.</param>
    /// <param name="state">The state that the former leader stored, as the store has it: JSON in UTF-8.</param>
    /// <param name="etag">The ETag of the stored state.</param>
    /// <returns>Whether it leads.</returns>
    [Alias("TakeOver")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<bool> TakeOverAsync(string partition, byte[] state, string etag);

    /// <summary>Leads new partitions, which never had a leader.</summary>
    /// <param name="partitions">The keys of their grains.</param>
    /// <param name="states">Their first states, as the store has them: JSON in UTF-8.</param>
    /// <param name="etags">The ETags of the stored states.</param>
    /// <returns>The partitions that it leads.</returns>
    [Alias("Begin")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<string[]> BeginAsync(string[] partitions, byte[][] states, string[] etags);

    /// <summary>Leads the partition, if it has no leader, although acknowledged records may be lost.</summary>
    /// <param name="partition">The key of its grain.</param>
    /// <exception cref="BrokerException">The receiver does not lead it.</exception>
    [Alias("LeadUnclean")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task LeadUncleanAsync(string partition);
}

/// <summary>Calls the <see cref="ILeaderService"/> of a silo.</summary>
internal sealed class LeaderServiceClient(IServiceProvider services) : GrainServiceClient<ILeaderService>(services)
{
    /// <summary>Returns the service of that silo.</summary>
    public ILeaderService Of(SiloAddress silo) => GetGrainService(silo);
}

/// <summary>See <see cref="ILeaderService"/>. Orleans' clients can address it: each method refuses them.</summary>
[Reentrant]
internal sealed class LeaderService(FailoverWatch failover, GrainDoor door, GrainId id, Silo silo, ILoggerFactory loggers)
    : GrainService(id, silo, loggers), ILeaderService
{
    /// <inheritdoc/>
    public async Task<string[]> LeadAsync(string[] partitions)
    {
        door.DemandBroker<ILeaderService>();
        return Format(await failover.LeadWhereChosenAsync([.. partitions.Select(Parse)]));
    }

    /// <inheritdoc/>
    public Task<bool> TakeOverAsync(string partition, byte[] state, string etag)
    {
        door.DemandBroker<ILeaderService>();
        return failover.TakeOverAsync(Parse(partition), Parse(state, etag));
    }

    /// <inheritdoc/>
    public async Task<string[]> BeginAsync(string[] partitions, byte[][] states, string[] etags)
    {
        door.DemandBroker<ILeaderService>();
        return Format(await failover.BeginAsync([.. partitions.Select((partition, i) => (Parse(partition), Parse(states[i], etags[i])))]));
    }

    /// <inheritdoc/>
    public Task LeadUncleanAsync(string partition)
    {
        door.DemandBroker<ILeaderService>();
        return failover.LeadUncleanAsync(Parse(partition));
    }

    private static string[] Format(IReadOnlyCollection<ReplicaKey> led) =>
        [.. led.Select(key => GrainKeys.Partition(key.TopicId, key.Partition))];

    private static StoredPartitionState Parse(byte[] state, string etag) =>
        new(JsonSerializer.Deserialize<PartitionState>(state, StateDocuments.Json)!, etag);

    private static ReplicaKey Parse(string key) => GrainKeys.TryParsePartition(key, out var topicId, out var number)
        ? new(topicId, number)
        : throw new ArgumentException($"'{key}' is not the key of a partition.", nameof(key));
}
