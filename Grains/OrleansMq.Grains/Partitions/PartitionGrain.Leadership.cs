using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

// Replicated clusters: the activation and its replica's leadership.
internal sealed partial class PartitionGrain
{
    // How long a refused activation stays to report the reason. It limits how often the store is read for a partition without an eligible
    // leader.
    private static readonly TimeSpan RefusalTime = TimeSpan.FromMilliseconds(100);

    // Calls that arrive while leadership ends get a retriable error; later ones find the next leader.
    private static readonly TimeSpan GraceTime = TimeSpan.FromMilliseconds(5);

    // Null if partitions are not replicated.
    private readonly PartitionLeadership? _leadership = services.GetService<PartitionLeadership>();
    // The replica that leads or has led here; null before the first successful claim.
    private Replica? _replica;
    // Why this activation does not lead.
    private LeadOutcome? _refusal;
    private Task? _leading;

    /// <inheritdoc/>
    public async Task<int> LeadAsync()
    {
        door.DemandBroker<IPartitionLeaderGrain>();
        if (_leadership is null)
            return Existing() is not null ? broker.Options.BrokerId.Value : LeaderChoice.Nobody;
        if (_replica is not { Role: ReplicaRole.Leader })
            await LeadAsync(CancellationToken.None);
        return _refusal is { } refusal ? throw new BrokerException(refusal.Error, refusal.Message!) : broker.Options.BrokerId.Value;
    }

    /// <inheritdoc/>
    public async Task<int> ElectPreferredAsync()
    {
        door.DemandBroker<IPartitionLeaderGrain>();
        var (replica, state) = Leading();
        return await Handover.HandOverAsync(replica, state.Replicas[0], ErrorCode.PreferredLeaderNotAvailable);
    }

    /// <inheritdoc/>
    public async Task<int> HandOverAsync(int successor)
    {
        door.DemandBroker<IPartitionLeaderGrain>();
        return await Handover.HandOverAsync(Leading().Replica, successor, ErrorCode.EligibleLeadersNotAvailable);
    }

    /// <inheritdoc/>
    public async Task ReassignAsync(int[] replicas)
    {
        door.DemandBroker<IPartitionLeaderGrain>();
        await Leading().Replica.ReassignAsync(replicas, CancellationToken.None);
    }

    private LeadershipHandover Handover => services.GetRequiredService<LeadershipHandover>();

    private (Replica Replica, PartitionState State) Leading() => _replica is { State: { } state } replica
        ? (replica, state)
        : throw new BrokerException(_refusal?.Error ?? ErrorCode.NotLeaderOrFollower,
            _refusal?.Message ?? $"Broker {broker.Options.BrokerId} no longer leads partition {_key}. Retry.");

    // One claim at a time, since calls interleave.
    private Task LeadAsync(CancellationToken cancellationToken) =>
        _leading is { IsCompleted: false } ? _leading : _leading = LeadOnceAsync(cancellationToken);

    private async Task LeadOnceAsync(CancellationToken cancellationToken)
    {
        var outcome = await _leadership!.LeadAsync(_key, cancellationToken);
        if (outcome.Replica is { } replica)
        {
            (_replica, _partition, _refusal) = (replica, replica.Partition, null);
            _ = GoWhenLedNoMoreAsync(replica);
        }
        else
        {
            _refusal = outcome;
            _ = GoUnlessLeadingAsync();
        }
    }

    // A leadership that has just begun may still show the end of the previous one, hence the loop.
    private async Task GoWhenLedNoMoreAsync(Replica replica)
    {
        do
        {
            await replica.LeadershipEnded;
            await Task.Delay(GraceTime, broker.Options.TimeProvider, CancellationToken.None);
        }
        while (replica.Role == ReplicaRole.Leader);
        Go("Its replica lost leadership.");
    }

    private async Task GoUnlessLeadingAsync()
    {
        await Task.Delay(RefusalTime, broker.Options.TimeProvider, CancellationToken.None);
        if (_replica is not { Role: ReplicaRole.Leader })
            Go("It may not lead.");
    }

    // Not DeactivateOnIdle, which fails if Orleans has already ended the activation.
    private void Go(string reason) => GrainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, reason));

    private PartitionDescription DescribeReplica(Partition partition)
    {
        var (replica, state) = Leading();
        return new PartitionDescription(_key.Partition, broker.Options.BrokerId.Value, replica.LeaderEpoch, [.. state.Replicas],
            [.. state.Isr.Select(member => member.Broker)], partition.LogStartOffset, partition.HighWatermark, partition.LogEndOffset,
            partition.SizeInBytes, partition.OfflineReason, state.Elr.IsEmpty ? null : [.. state.Elr.Select(member => member.Broker)]);
    }
}
