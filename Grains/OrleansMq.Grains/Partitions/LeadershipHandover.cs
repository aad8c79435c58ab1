using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>Hands leadership to other brokers, gracefully: what was appended is replicated first. What could not be handed over in time
/// fails over when this broker is gone.</summary>
internal sealed class LeadershipHandover(ILocalReplicas replicas, PartitionLeadership leadership, FailoverWatch failover,
    IBrokerPeers peers,
    TimeProvider time, EngineLog log) : ILeadershipHandover
{
    // Enough to overlap the writes of many, few enough that each is without a leader for a moment only.
    private const int AtATime = 32;

    // Appends are refused while one drains: what is not replicated by then fails as "outcome unknown".
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
                $"Not all partitions could be handed over within {deadline.TotalSeconds} s; the others fail over.");
        }
        log.Write(EngineLogLevel.Information, $"{handed} of {led.Length} partitions that this broker led were handed over.");
    }

    /// <summary>Hands one partition to a broker.</summary>
    /// <param name="replica">Leads.</param>
    /// <param name="successor">Who is to lead next.</param>
    /// <param name="otherwise">The error where it cannot.</param>
    /// <returns>Who leads now.</returns>
    /// <exception cref="BrokerException"><paramref name="otherwise"/>, <see cref="ErrorCode.ElectionNotNeeded"/>, or
    /// <see cref="ErrorCode.LeaderNotAvailable"/>: it was resigned, and the successor does not lead yet.</exception>
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
            + $"{(leader < 0 ? "nobody leads it at the moment" : $"broker {leader} leads it")}. Retry.");
    }

    private async Task<bool> TryHandOverAsync(Replica replica, int successor)
    {
        try
        {
            return await PassOnAsync(replica, successor).ConfigureAwait(false) >= 0;
        }
        catch (BrokerException failure)
        {
            log.Write(EngineLogLevel.Warning, $"Partition {replica.TopicPartition} could not be handed over: {failure.Message}");
            return false;
        }
    }

    // Who is named need not search, nor read what is stored: it is told. Where that fails, somebody is found as after any loss of a leader.
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
