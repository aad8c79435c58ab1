using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>Hands leadership over to other brokers gracefully, after replicating what was appended. Partitions that miss the deadline fail
/// over once this broker is gone.</summary>
internal sealed class LeadershipHandover(ILocalReplicas replicas, PartitionLeadership leadership, FailoverWatch failover,
    IBrokerPeers peers, TimeProvider time, EngineLog log) : ILeadershipHandover
{
    // Enough to overlap the writes of many, few enough to keep each partition's time without a leader short.
    private const int AtATime = 32;

    // Appends are refused while a partition drains. Records that are not replicated by this deadline fail as "outcome unknown".
    private static readonly TimeSpan DrainTimeout = TimeSpan.FromSeconds(1);

    /// <inheritdoc/>
    public async Task HandOverAllAsync(TimeSpan deadline)
    {
        leadership.Leave();
        using var timeout = new CancellationTokenSource(deadline, time);
        var led = replicas.Manager.Replicas.Where(replica => replica.Role == ReplicaRole.Leader).ToArray();
        var handed = 0;
        try
        {
            await Parallel.ForEachAsync(led, new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = timeout.Token },
                async (replica, _) =>
            {
                if (SuccessorOf(replica) is { } successor && await TryHandOverAsync(replica, successor).ConfigureAwait(false))
                    Interlocked.Increment(ref handed);
            }).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            log.Write(EngineLogLevel.Warning,
                $"Could not hand over all partitions within {deadline.TotalSeconds} s; the rest will fail over.");
        }
        log.Write(EngineLogLevel.Information, $"Handed over {handed} of the {led.Length} partitions that this broker led.");
    }

    /// <summary>Hands one partition over to a broker.</summary>
    /// <param name="replica">The leading replica.</param>
    /// <param name="successor">The next leader.</param>
    /// <param name="otherwise">The error if that broker cannot lead.</param>
    /// <returns>The broker that leads now.</returns>
    /// <exception cref="BrokerException"><paramref name="otherwise"/>, <see cref="ErrorCode.ElectionNotNeeded"/>, or
    /// <see cref="ErrorCode.LeaderNotAvailable"/>: leadership was resigned, and the successor does not lead yet.</exception>
    public async Task<int> HandOverAsync(Replica replica, int successor, ErrorCode otherwise)
    {
        if (successor == peers.Self)
            throw new BrokerException(ErrorCode.ElectionNotNeeded, $"Broker {successor} leads partition {replica.TopicPartition} already.");
        if (!peers.IsActive(successor))
            throw new BrokerException(otherwise,
                $"Broker {successor} is down, or stopping, so it cannot lead partition {replica.TopicPartition}.");
        if (replica.State is not { } state || state.Isr.All(member => member.Broker != successor))
            throw new BrokerException(otherwise,
                $"Broker {successor} is not in sync, so it cannot lead partition {replica.TopicPartition}. Wait until it is.");
        var leader = await PassOnAsync(replica, successor).ConfigureAwait(false);
        return leader == successor ? successor : throw new BrokerException(leader < 0 ? ErrorCode.LeaderNotAvailable : otherwise,
            $"Broker {successor} was not ready to lead partition {replica.TopicPartition}; "
            + $"{(leader < 0 ? "it has no leader at the moment" : $"broker {leader} leads it")}. Retry.");
    }

    private async Task<bool> TryHandOverAsync(Replica replica, int successor)
    {
        try
        {
            return await PassOnAsync(replica, successor).ConfigureAwait(false) >= 0;
        }
        catch (BrokerException failure)
        {
            log.Write(EngineLogLevel.Warning, $"Could not hand over partition {replica.TopicPartition}: {failure.Message}");
            return false;
        }
    }

    // The named successor need neither search nor read the store, since it is told the stored state. If that fails, the partition fails
    // over as after any loss of its leader.
    private async Task<int> PassOnAsync(Replica replica, int successor)
    {
        var resigned = await replica.ResignAsync(successor, DrainTimeout).ConfigureAwait(false);
        return resigned is not null && await failover.PassOnAsync(replica.Key, resigned).ConfigureAwait(false)
            ? resigned.State.Successor
            : await failover.EnsureLedAsync(replica.Key).ConfigureAwait(false);
    }

    private int? SuccessorOf(Replica replica)
    {
        if (replica.State is not { } state)
            return null;
        foreach (var broker in state.Replicas)
        {
            if (broker != peers.Self && peers.IsActive(broker) && state.Isr.Any(member => member.Broker == broker))
                return broker;
        }
        return null;
    }
}
