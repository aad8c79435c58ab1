using OrleansMq.Api;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>The state of the topic under load, as the cluster describes it.</summary>
internal sealed class ClusterView(IBroker broker, string topic, short replicationFactor)
{
    /// <summary>The partitions as any broker describes them; null if none answers now.</summary>
    public async Task<IReadOnlyList<PartitionDescription>?> TryDescribeAsync(CancellationToken cancellationToken)
    {
        try
        {
            return (await broker.DescribeTopicAsync(topic, cancellationToken)).Partitions;
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry || e.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return null;
        }
    }

    /// <summary>Waits until every partition has a leader and all its replicas are in sync.</summary>
    /// <exception cref="TimeoutException">The cluster did not recover in time; the message says what is missing.</exception>
    public async Task<IReadOnlyList<PartitionDescription>> WellAsync(TimeSpan patience, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(patience);
        while (true)
        {
            var partitions = await TryDescribeAsync(cancellationToken);
            if (partitions is not null && IsWell(partitions))
                return partitions;
            if (deadline.IsCancellationRequested)
                throw new TimeoutException($"After {patience.TotalSeconds} s the cluster is not healthy: {Ills(partitions)}");
            await Task.Delay(100, cancellationToken);
        }
    }

    /// <summary>Whether every partition has a leader and all its replicas are in sync.</summary>
    public bool IsWell(IReadOnlyList<PartitionDescription> partitions) => partitions.All(IsWell);

    private bool IsWell(PartitionDescription partition) =>
        partition.Leader >= 0 && partition.InSyncReplicas.Count >= replicationFactor && partition.OfflineReason is null;

    private string Ills(IReadOnlyList<PartitionDescription>? partitions) => partitions is null
        ? "no broker describes the topic."
        : string.Join("; ", partitions.Where(partition => !IsWell(partition)).Select(partition =>
            $"partition {partition.Partition} leader {partition.Leader} epoch {partition.LeaderEpoch} replicas "
            + $"{string.Join(',', partition.Replicas)} "
            + $"isr {string.Join(',', partition.InSyncReplicas)} elr {string.Join(',', partition.EligibleLeaderReplicas ?? [])} "
            + $"{partition.HighWatermark}/{partition.LogEndOffset} {partition.OfflineReason}"));
}
