using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

// Replicated: the activation and its replica's leadership.
internal sealed partial class PartitionGrain
{
    // For so long an activation that may not lead answers why: it bounds how often the store is asked for a partition that nobody can lead.
    private static readonly TimeSpan RefusalTime = TimeSpan.FromMilliseconds(100);

    // Null where partitions are not replicated.
    private readonly PartitionLeadership? _leadership = services.GetService<PartitionLeadership>();
    // The replica that leads or has led here; null before the first claim that was not refused.
    private Replica? _replica;
    // Why this activation does not lead.
    private LeadOutcome? _refusal;
    private Task? _leading;

    /// <inheritdoc/>
    public async Task<int> LeadAsync()
    {
        if (_leadership is null)
            return Existing() is not null ? broker.Options.BrokerId.Value : LeaderChoice.Nobody;
        if (_replica is not { Role: ReplicaRole.Leader })
            await LeadAsync(CancellationToken.None);
        return _refusal is { } refusal ? throw new BrokerException(refusal.Error, refusal.Message!) : broker.Options.BrokerId.Value;
    }

    /// <inheritdoc/>
    public async Task<int> ElectPreferredAsync()
    {
        var (replica, state) = Leading();
        return await Handover.HandOverAsync(replica, state.Replicas[0], ErrorCode.PreferredLeaderNotAvailable);
    }

    /// <inheritdoc/>
    public async Task<int> HandOverAsync(int successor) =>
        await Handover.HandOverAsync(Leading().Replica, successor, ErrorCode.EligibleLeadersNotAvailable);

    /// <inheritdoc/>
    public async Task ReassignAsync(int[] replicas) => await Leading().Replica.ReassignAsync(replicas, CancellationToken.None);

    private LeadershipHandover Handover => services.GetRequiredService<LeadershipHandover>();

    private (Replica Replica, PartitionState State) Leading() => _replica is { State: { } state } replica
        ? (replica, state)
        : throw new BrokerException(_refusal?.Error ?? ErrorCode.NotLeaderOrFollower,
            _refusal?.Message ?? $"Broker {broker.Options.BrokerId} leads partition {_key} no more. Retry.");

    // One claim at a time: calls interleave here.
    private Task LeadAsync(CancellationToken cancellationToken) =>
        _leading is { IsCompleted: false } ? _leading : _leading = LeadOnceAsync(cancellationToken);

    private async Task LeadOnceAsync(CancellationToken cancellationToken)
    {
        var outcome = await _leadership!.LeadAsync(_key, cancellationToken);
        if (outcome.Replica is { } replica)
        {
            (_replica, _partition, _refusal) = (replica, replica.Partition, null);
            _ = GoWhenAsync(replica.LeadershipEnded, "Its replica leads no more.");
        }
        else
        {
            _refusal = outcome;
            _ = GoWhenAsync(Task.Delay(RefusalTime, broker.Options.TimeProvider, CancellationToken.None), "It may not lead.");
        }
    }

    // Not by DeactivateOnIdle, which fails where Orleans has ended the activation meanwhile.
    private async Task GoWhenAsync(Task ended, string reason)
    {
        await ended;
        if (_replica is not { Role: ReplicaRole.Leader })
            GrainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, reason));
    }

    private PartitionDescription DescribeReplica(Partition partition)
    {
        var (replica, state) = Leading();
        return new PartitionDescription(_key.Partition, broker.Options.BrokerId.Value, replica.LeaderEpoch, [.. state.Replicas],
            [.. state.Isr.Select(member => member.Broker)], partition.LogStartOffset, partition.HighWatermark, partition.LogEndOffset, partition.SizeInBytes,
            partition.OfflineReason, state.Elr.IsEmpty ? null : [.. state.Elr.Select(member => member.Broker)]);
    }
}
