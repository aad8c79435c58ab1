using System.Collections.Concurrent;
using System.Text.Json;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>
/// Elects leaders for partitions that have none, without waiting for requests. When a broker dies, this covers the partitions that it led
/// and this broker replicates. Every few seconds it also covers those whose leader has gone silent. All brokers compute the same choice,
/// and only the chosen one claims.
/// </summary>
internal sealed class FailoverWatch : ILifecycleParticipant<ISiloLifecycle>
{
    // Enough to overlap the latency of store and disk, few enough to leave threads for the claims.
    private const int AtATime = 32;

    // After a broker's death the search is repeated at this pace, in case an unresponsive broker delayed a choice.
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(250);
    private const int Retries = 4;

    // One for the chosen broker, one more in case it is gone or not ready.
    private const int Attempts = 2;

    // A leader that stepped down has usually been replaced, and the new leader is about to report.
    private static readonly TimeSpan AfterSteppingDown = TimeSpan.FromMilliseconds(150);

    // Bounds the delay after events without a membership change (a failed claim, a leader that stepped down).
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(2);

    private readonly ILocalReplicas _replicas;
    private readonly IBrokerPeers _peers;
    private readonly LeaderSearch _search;
    private readonly PartitionLeadership _leadership;
    private readonly LeaderServiceClient _others;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _changed = new(0, 1);
    // The partitions without a leader at the last sweep.
    private HashSet<ReplicaKey> _forlorn = [];
    private Task _running = Task.CompletedTask;

    public FailoverWatch(ILocalReplicas replicas, IBrokerPeers peers, LeaderSearch search, PartitionLeadership leadership,
        LeaderServiceClient others, TimeProvider time, EngineLog log) =>
        (_replicas, _peers, _search, _leadership, _others, _time, _log) = (replicas, peers, search, leadership, others, time, log);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(FailoverWatch), ServiceLifecycleStage.Active, _ =>
    {
        _peers.Changed += OnMembershipChanged;
        _leadership.SteppedDown += OnSteppedDown;
        _running = Task.Run(RunAsync, CancellationToken.None);
        return Task.CompletedTask;
    }, _ => StopAsync());

    /// <summary>Begins to stop: this broker takes no further leadership.</summary>
    public async Task StopAsync()
    {
        _peers.Changed -= OnMembershipChanged;
        _leadership.SteppedDown -= OnSteppedDown;
        await _stopping.CancelAsync();
        await _running;
    }

    /// <summary>Leads those of the partitions for which this broker is the choice.</summary>
    /// <returns>The partitions that it leads, including those it led before.</returns>
    /// <remarks>The replica claims, not the partition's grain: an activation on the former leader could block a grain call. The next grain
    /// call finds the new leader.</remarks>
    public async Task<IReadOnlyCollection<ReplicaKey>> LeadWhereChosenAsync(IReadOnlyList<ReplicaKey> keys)
    {
        var found = await _search.FindAsync(keys, AtATime).ConfigureAwait(false);
        return await LeadAsync(keys.Zip(found).Where(pair => pair.Second.Choice.Broker == _peers.Self)).ConfigureAwait(false);
    }

    /// <summary>Leads new partitions from their first states, which were just stored. No other broker needs to be asked: none has records
    /// of them, and of two claims of a state one fails.</summary>
    /// <returns>The partitions that it leads.</returns>
    public Task<IReadOnlyCollection<ReplicaKey>> BeginAsync(IReadOnlyList<(ReplicaKey Key, StoredPartitionState First)> partitions) =>
        LeadAsync(partitions.Select(partition => (partition.Key, HereFrom(partition.First))));

    private async Task<IReadOnlyCollection<ReplicaKey>> LeadAsync(IEnumerable<(ReplicaKey Key, LeaderFinding Found)> partitions)
    {
        var led = new ConcurrentBag<ReplicaKey>();
        await Parallel.ForEachAsync(partitions, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, async (partition, stopping) =>
        {
            var outcome = await _leadership.LeadAsync(partition.Key, partition.Found, stopping).ConfigureAwait(false);
            if (outcome.Replica is not null)
                led.Add(partition.Key);
            else
                _log.Write(EngineLogLevel.Warning, $"Could not take leadership of partition {partition.Key}: {outcome.Message}");
        }).ConfigureAwait(false);
        return led;
    }

    private LeaderFinding HereFrom(StoredPartitionState stored) =>
        new(new LeaderChoice(_peers.Self, Leads: false, []), stored.State, ErrorCode.None, stored.ETag);

    /// <summary>Ensures that a partition has a leader, on whichever broker the search chooses.</summary>
    /// <returns>The leader's broker; <see cref="LeaderChoice.Nobody"/> if there is none.</returns>
    public async Task<int> EnsureLedAsync(ReplicaKey key)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var found = await _search.FindAsync(key).ConfigureAwait(false);
            var chosen = found.Choice.Broker;
            if (chosen == _peers.Self ? (await _leadership.LeadAsync(key, found, _stopping.Token).ConfigureAwait(false)).Replica is not null
                : chosen >= 0 && (found.Choice.Leads || await IsTakenAsync(key, chosen).ConfigureAwait(false)))
                return chosen;
        }
        return LeaderChoice.Nobody;
    }

    /// <summary>Passes a partition that this broker has just resigned to the successor it named.</summary>
    /// <returns>Whether the successor leads now. If not, <see cref="EnsureLedAsync"/> finds another broker.</returns>
    public async Task<bool> PassOnAsync(ReplicaKey key, StoredPartitionState resigned)
    {
        if (_peers.Find(resigned.State.Successor) is not { } silo)
            return false;
        try
        {
            return await _others.Of(silo).TakeOverAsync(GrainKeys.Partition(key.TopicId, key.Partition),
                JsonSerializer.SerializeToUtf8Bytes(resigned.State, StateDocuments.Json), resigned.ETag).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is BrokerException or OrleansException or TimeoutException)
        {
            _log.Write(EngineLogLevel.Warning,
                $"Broker {resigned.State.Successor} did not answer the handover of partition {key}: {failure.Message}");
            return false;
        }
    }

    /// <summary>Takes over a partition whose leader has just resigned in favour of this broker.</summary>
    /// <param name="key">The partition.</param>
    /// <param name="resigned">The state that the former leader stored.</param>
    public async Task<bool> TakeOverAsync(ReplicaKey key, StoredPartitionState resigned)
    {
        var outcome = await _leadership.LeadAsync(key, HereFrom(resigned), _stopping.Token).ConfigureAwait(false);
        if (outcome.Replica is null)
            _log.Write(EngineLogLevel.Warning, $"Could not take over partition {key}: {outcome.Message}");
        return outcome.Replica is not null;
    }

    private async Task<bool> IsTakenAsync(ReplicaKey key, int broker)
    {
        try
        {
            return _peers.Find(broker) is { } silo
                && await _others.Of(silo).LeadAsync([GrainKeys.Partition(key.TopicId, key.Partition)]).ConfigureAwait(false) is [_];
        }
        catch (Exception failure) when (failure is BrokerException or OrleansException or TimeoutException)
        {
            _log.Write(EngineLogLevel.Warning, $"Could not ask broker {broker} to lead partition {key}: {failure.Message}");
            return false;
        }
    }

    /// <summary>Leads a partition without an eligible leader, although acknowledged records may be lost.</summary>
    /// <exception cref="BrokerException">This broker does not lead it.</exception>
    public async Task LeadUncleanAsync(ReplicaKey key)
    {
        var found = await _search.FindAsync(key).ConfigureAwait(false);
        if (found.State is null)
            throw new BrokerException(found.Error, found.Choice.Why ?? $"The state of partition {key} is not known. Retry.");
        if (found.Choice.Broker != LeaderChoice.Nobody)
            throw new BrokerException(ErrorCode.ElectionNotNeeded,
                $"Broker {found.Choice.Broker} leads partition {key} or can lead it without data loss.");
        var unclean = found with { Choice = found.Choice with { Broker = _peers.Self, Unclean = true, Why = null },
            Error = ErrorCode.None };
        var outcome = await _leadership.LeadAsync(key, unclean, CancellationToken.None).ConfigureAwait(false);
        if (outcome.Replica is null)
            throw new BrokerException(outcome.Error, outcome.Message!);
    }

    private void OnMembershipChanged()
    {
        try
        {
            _changed.Release();
        }
        catch (SemaphoreFullException)
        {
            // A check is already due.
        }
    }

    // A broker that is stopping hands over to successors by itself.
    private void OnSteppedDown(ReplicaKey key)
    {
        if (!_leadership.IsLeaving)
            _ = LeadAgainAsync(key);
    }

    private async Task LeadAgainAsync(ReplicaKey key)
    {
        try
        {
            await Task.Delay(AfterSteppingDown, _time, _stopping.Token).ConfigureAwait(false);
            await EnsureLedAsync(key).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // The watch stops.
        }
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                if (await _changed.WaitAsync(SweepInterval, _stopping.Token).ConfigureAwait(false))
                    await AfterChangeAsync().ConfigureAwait(false);
                else
                    await SweepAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // The watch stops.
        }
    }

    private async Task AfterChangeAsync()
    {
        for (var attempt = 0; attempt <= Retries; attempt++)
        {
            var orphans = Followers().Where(replica => replica.Leader >= 0 && _peers.Find(replica.Leader) is null)
                .Select(replica => replica.Key).ToArray();
            if (orphans.Length == 0)
                return;
            await LeadWhereChosenAsync(orphans).ConfigureAwait(false);
            await Task.Delay(RetryAfter, _time, _stopping.Token).ConfigureAwait(false);
        }
    }

    // The store is read only for partitions whose presumed leader denies or does not answer; at first by the broker alone that is expected
    // to lead it, since after a restart of all these are all partitions.
    private async Task SweepAsync()
    {
        var forlorn = new List<ReplicaKey>();
        foreach (var led in Followers().GroupBy(replica => replica.Leader).ToArray())
        {
            ReplicaKey[] keys = [.. led.Select(replica => replica.Key)];
            forlorn.AddRange(_peers.Find(led.Key) is null ? keys : await _search.NotLedByAsync(led.Key, keys).ConfigureAwait(false));
        }
        ReplicaKey[] mine = [.. forlorn.Where(key => _forlorn.Contains(key) || _peers.FindExpectedLeader(key) is not { } expected
            || expected == _peers.Self)];
        _forlorn = [.. forlorn];
        if (mine.Length > 0)
            await LeadWhereChosenAsync(mine).ConfigureAwait(false);
    }

    private IEnumerable<Replica> Followers() => _replicas.Manager.Replicas.Where(replica => replica.Role == ReplicaRole.Follower);
}
