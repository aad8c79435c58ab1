using System.Text.Json;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using Orleans.Services;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>What a broker asks of another broker about leadership, whatever the partition's grain is doing.</summary>
[Alias("omq.ILeaderService")]
internal interface ILeaderService : IGrainService
{
    /// <summary>Asks to lead those of the partitions that it is the one to lead; complete when it does, or does not.</summary>
    /// <param name="partitions">Their grains' keys.</param>
    /// <returns>Those that it leads.</returns>
    [Alias("Lead")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<string[]> LeadAsync(string[] partitions);

    /// <summary>Takes over a partition whose leader has just resigned in favour of this broker.</summary>
    /// <param name="partition">Its grain's key.</param>
    /// <param name="state">What that leader has stored, as the store has it: JSON in UTF-8.</param>
    /// <param name="etag">Of what is stored.</param>
    /// <returns>Whether it leads.</returns>
    [Alias("TakeOver")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<bool> TakeOverAsync(string partition, byte[] state, string etag);

    /// <summary>Leads the partition although acknowledged records may be lost by it, if nobody leads it.</summary>
    /// <param name="partition">Its grain's key.</param>
    /// <exception cref="BrokerException">It does not lead.</exception>
    [Alias("LeadUnclean")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task LeadUncleanAsync(string partition);
}

/// <summary>Calls the <see cref="ILeaderService"/> of a silo.</summary>
internal sealed class LeaderServiceClient(IServiceProvider services) : GrainServiceClient<ILeaderService>(services)
{
    /// <summary>The service of that silo.</summary>
    public ILeaderService Of(SiloAddress silo) => GetGrainService(silo);
}

/// <summary>See <see cref="ILeaderService"/>.</summary>
[Reentrant]
internal sealed class LeaderService(FailoverWatch failover, GrainId id, Silo silo, ILoggerFactory loggers)
    : GrainService(id, silo, loggers), ILeaderService
{
    /// <inheritdoc/>
    public async Task<string[]> LeadAsync(string[] partitions) =>
        [.. (await failover.LeadWhereChosenAsync([.. partitions.Select(Parse)])).Select(key =>
            GrainKeys.Partition(key.TopicId, key.Partition))];

    /// <inheritdoc/>
    public Task<bool> TakeOverAsync(string partition, byte[] state, string etag) => failover.TakeOverAsync(Parse(partition),
        new StoredPartitionState(JsonSerializer.Deserialize<PartitionState>(state, StateDocuments.Json)!, etag));

    /// <inheritdoc/>
    public Task LeadUncleanAsync(string partition) => failover.LeadUncleanAsync(Parse(partition));

    private static ReplicaKey Parse(string key) => GrainKeys.TryParsePartition(key, out var topicId, out var number)
        ? new(topicId, number)
        : throw new ArgumentException($"'{key}' is no partition's key.", nameof(key));
}
