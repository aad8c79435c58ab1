using System.Collections.Concurrent;
using System.Text.Json;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>
/// Sees to it that partitions without a leader get one, whether anybody calls them or not: when a broker died, those of this broker's
/// replicas that it led; every few seconds, those that no leader speaks to. Every broker works out who is to lead, and only that one
/// claims.
/// </summary>
internal sealed class FailoverWatch : ILifecycleParticipant<ISiloLifecycle>
{
    // Enough to overlap the store's and the disk's latency, few enough to leave the claims' threads to others.
    private const int AtATime = 32;

    // After a broker's death, once more so soon for what somebody who did not answer held up.
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(250);
    private const int Retries = 4;

    // The broker that was chosen, and another one where that one has gone or is not ready.
    private const int Attempts = 2;

    // A leader that stepped down was replaced, most of the time, and the other one is about to say so.
    private static readonly TimeSpan AfterSteppingDown = TimeSpan.FromMilliseconds(150);

    // What no membership change tells of (a claim that failed, a leader that stepped down) waits so long at most.
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
    private Task _running = Task.CompletedTask;

    public FailoverWatch(ILocalReplicas replicas, IBrokerPeers peers, LeaderSearch search, PartitionLeadership leadership,
        LeaderServiceClient others,
        TimeProvider time, EngineLog log) =>
        (_replicas, _peers, _search, _leadership, _others, _time, _log) = (replicas, peers, search, leadership, others, time, log);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(FailoverWatch), ServiceLifecycleStage.Active, _ =>
    {
        _peers.Changed += OnMembershipChanged;
        _leadership.SteppedDown += OnSteppedDown;
        _running = Task.Run(RunAsync, CancellationToken.None);
        return Task.CompletedTask;
    }, _ => StopAsync());

    /// <summary>Begins to stop: this broker leads nothing more.</summary>
    public async Task StopAsync()
    {
        _peers.Changed -= OnMembershipChanged;
        _leadership.SteppedDown -= OnSteppedDown;
        await _stopping.CancelAsync();
        await _running;
    }

    /// <summary>Leads those of the partitions that this broker is the one to lead.</summary>
    /// <returns>Those that it leads now, or led before.</returns>
    /// <remarks>The replica claims, not the partition's grain: a call to that may be held up by an activation where the partition was led
    /// before. The next call finds the leader.</remarks>
    public async Task<IReadOnlyCollection<ReplicaKey>> LeadWhereChosenAsync(IReadOnlyList<ReplicaKey> keys)
    {
        var found = await _search.FindAsync(keys, AtATime).ConfigureAwait(false);
        var chosen = keys.Zip(found).Where(pair => pair.Second.Choice.Broker == _peers.Self);
        var led = new ConcurrentBag<ReplicaKey>();
        await Parallel.ForEachAsync(chosen, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, async (pair, stopping) =>
        {
            var outcome = await _leadership.LeadAsync(pair.First, pair.Second, stopping).ConfigureAwait(false);
            if (outcome.Replica is not null)
                led.Add(pair.First);
            else
                _log.Write(EngineLogLevel.Warning, $"Partition {pair.First} could not be led: {outcome.Message}");
        }).ConfigureAwait(false);
        return led;
    }

    /// <summary>Sees to it that somebody leads a partition: who is to, on whichever broker that is.</summary>
    /// <returns>Who leads; <see cref="LeaderChoice.Nobody"/> where nobody does.</returns>
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

    /// <summary>Gives a partition that this broker has just resigned to whom it named.</summary>
    /// <returns>Whether that one leads now; where not, <see cref="EnsureLedAsync"/> finds somebody.</returns>
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
                $"Broker {resigned.State.Successor} did not answer when partition {key} was given to it: {failure.Message}");
            return false;
        }
    }

    /// <summary>Leads a partition whose leader has just resigned in favour of this broker.</summary>
    /// <param name="key">Which.</param>
    /// <param name="resigned">What that leader has stored.</param>
    public async Task<bool> TakeOverAsync(ReplicaKey key, StoredPartitionState resigned)
    {
        var found = new LeaderFinding(new LeaderChoice(_peers.Self, Leads: false, []), resigned.State, ErrorCode.None, resigned.ETag);
        var outcome = await _leadership.LeadAsync(key, found, _stopping.Token).ConfigureAwait(false);
        if (outcome.Replica is null)
            _log.Write(EngineLogLevel.Warning, $"Partition {key} could not be taken over: {outcome.Message}");
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
            _log.Write(EngineLogLevel.Warning, $"Broker {broker} could not be asked to lead partition {key}: {failure.Message}");
            return false;
        }
    }

    /// <summary>Leads a partition that nobody can lead, although acknowledged records may be lost by it.</summary>
    /// <exception cref="BrokerException">It does not lead.</exception>
    public async Task LeadUncleanAsync(ReplicaKey key)
    {
        var found = await _search.FindAsync(key).ConfigureAwait(false);
        if (found.State is null)
            throw new BrokerException(found.Error, found.Choice.Why ?? $"The state of partition {key} is not known. Retry.");
        if (found.Choice.Broker != LeaderChoice.Nobody)
            throw new BrokerException(ErrorCode.ElectionNotNeeded,
                $"Broker {found.Choice.Broker} leads partition {key}, or can: nothing need be lost.");
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
            // It is to look already.
        }
    }

    // Who leaves sees to its successors itself.
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
            // It stops.
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
            // It stops.
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

    // The store is asked only for those that have no leader by the leaders' own word.
    private async Task SweepAsync()
    {
        var forlorn = new List<ReplicaKey>();
        foreach (var led in Followers().GroupBy(replica => replica.Leader).ToArray())
        {
            ReplicaKey[] keys = [.. led.Select(replica => replica.Key)];
            forlorn.AddRange(_peers.Find(led.Key) is null ? keys : await _search.NotLedByAsync(led.Key, keys).ConfigureAwait(false));
        }
        if (forlorn.Count > 0)
            await LeadWhereChosenAsync(forlorn).ConfigureAwait(false);
    }

    private IEnumerable<Replica> Followers() => _replicas.Manager.Replicas.Where(replica => replica.Role == ReplicaRole.Follower);
}
