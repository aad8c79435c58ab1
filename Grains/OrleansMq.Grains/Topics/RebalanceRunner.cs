using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Runs the stored rebalance in the activation of the cluster's grain; the next activation continues it. Starts an automatic rebalance when
/// one is due. <see cref="RebalanceDecision"/> decides each step. Thread safe.
/// </summary>
internal sealed class RebalanceRunner(SiloBroker broker, ClusterController cluster, GrainDocument<RebalanceJob> document,
    IGrainFactory grains, TimeSpan settleTime, bool returnsLeaders)
    : IAsyncDisposable
{
    // How often to check without a change of the image: an action may have been lost.
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    // The pause between two automatic rebalances, so that one that cannot complete is not started over and over.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    // The pause after one that an operator has cancelled.
    private static readonly TimeSpan PatienceWhenCancelled = TimeSpan.FromMinutes(10);
    private const int ActionsAtATime = 16;
    // Leaderships returned to their preferred replica in one interval; each is briefly without a leader.
    private const int ReturnsAtATime = 4;

    private readonly CancellationTokenSource _stopped = new();
    private readonly SemaphoreSlim _gate = new(1, 1);
    private Task _running = Task.CompletedTask;
    private string? _trouble;
    private ImmutableDictionary<ReplicaKey, DateTimeOffset> _returning = ImmutableDictionary<ReplicaKey, DateTimeOffset>.Empty;
    // When the set of live brokers last changed.
    private long _settledSince;
    private string _members = "";
    // When the partitions that are to be moved were first seen without a leader.
    private Dictionary<ReplicaKey, long> _leaderless = [];
    // The last rebalance, if nothing was left to be planned after it.
    private string? _nothingLeftAfter;

    private TimeProvider Time => broker.Options.TimeProvider;

    /// <summary>Begins to run the stored rebalance.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Describes the running rebalance, or the last one.</summary>
    public async Task<RebalanceStatus?> DescribeAsync() => (await document.ReadAsync())?.Describe(cluster.Image, _trouble);

    /// <summary>Starts a rebalance.</summary>
    /// <param name="plan">The moves.</param>
    /// <param name="reason">The reason, for the log and the status.</param>
    /// <param name="throttle">The limits.</param>
    /// <param name="isAutomatic">Whether the cluster planned it: it replaces a running one, and what it gives up is planned again.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ReassignmentInProgress"/>.</exception>
    public Task<RebalanceStatus> BeginAsync(RebalancePlan plan, string reason, RebalanceThrottle throttle, bool isAutomatic) =>
        ChangeAsync(running =>
            running is { IsRunning: true } && !isAutomatic
                ? throw new BrokerException(ErrorCode.ReassignmentInProgress,
                    $"Rebalance '{running.PlanId}' is running. Wait until it is done, or cancel it, then plan again.")
                : RebalanceJob.Begin(plan, cluster.Image, reason, throttle, Time.GetUtcNow(), isAutomatic));

    /// <summary>Cancels the running rebalance.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NoReassignmentInProgress"/>.</exception>
    public Task<RebalanceStatus> CancelAsync() => ChangeAsync(running => running is { IsRunning: true }
        ? running.Cancel()
        : throw new BrokerException(ErrorCode.NoReassignmentInProgress, "No rebalance is running: there is nothing to cancel."));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        await _running;
    }

    private async Task<RebalanceStatus> ChangeAsync(Func<RebalanceJob?, RebalanceJob> change)
    {
        await _gate.WaitAsync();
        try
        {
            var next = change(await document.ReadAsync());
            await document.WriteAsync(next);
            Throttle(next);
            _trouble = null;
            return next.Describe(cluster.Image, null);
        }
        finally
        {
            _gate.Release();
        }
    }

    private async Task RunAsync()
    {
        while (!_stopped.IsCancellationRequested)
        {
            var changed = cluster.ChangedSince(cluster.Image.Version);
            try
            {
                await ActAsync(RebalanceDecision.LeadersToMove(cluster.Image));
                await ActAsync(await NextAsync());
                if (returnsLeaders)
                    await ActAsync(Returns());
            }
            catch (BrokerException failure)
            {
                Trouble(failure.Message);
            }
            await Task.WhenAny(changed, Task.Delay(Interval, _stopped.Token));
        }
    }

    private async Task<IReadOnlyList<RebalanceAction>> NextAsync()
    {
        await _gate.WaitAsync(CancellationToken.None);
        try
        {
            var job = await document.ReadAsync();
            Throttle(job);
            var isSettled = IsSettled();
            if (job is not { IsRunning: true })
            {
                _leaderless = [];
                if (!isSettled || !IsPatienceOver(job) || Plan(job) is not { } planned)
                    return [];
                job = planned;
                await document.WriteAsync(job);
            }
            var image = cluster.Image;
            ObserveLeaders(job, image);
            var (next, actions) = RebalanceDecision.Next(job, image, Time.GetUtcNow(), isSettled, IsAbandoned);
            if (!ReferenceEquals(next, job))
                await document.WriteAsync(next);
            Throttle(next);
            if (!next.IsRunning)
                broker.Log(EngineLogLevel.Information, $"Rebalance '{next.PlanId}' ended: {next.State.ToString().ToLowerInvariant()}.");
            return actions;
        }
        finally
        {
            _gate.Release();
        }
    }

    // While a rebalance runs, leaders move with their replicas, so none is returned separately.
    private IReadOnlyList<RebalanceAction> Returns()
    {
        if (document.Known is { IsRunning: true })
            return [];
        (_returning, var actions) = LeaderReturn.Next(_returning, cluster.Image, Time.GetUtcNow(), settleTime, ReturnsAtATime);
        return actions;
    }

    // The limit applies to all brokers, since each of them may lead a moving partition.
    private void Throttle(RebalanceJob? job)
    {
        var limit = job is { IsRunning: true } ? job.MaxBytesPerSecond : 0;
        cluster.Update(image => image.CatchUpMaxBytesPerSecond == limit ? image : image with { CatchUpMaxBytesPerSecond = limit });
    }

    // What is due first may have no possible move, such as draining the only broker.
    private RebalanceJob? Plan(RebalanceJob? last)
    {
        var image = cluster.Image;
        foreach (var due in RebalanceDecision.WhatIsDue(image, last?.PlanId == _nothingLeftAfter ? null : last))
        {
            var plan = due.Plan(image, $"{(due.IsGrowth ? "grow" : "auto")}-{Guid.NewGuid():N}"[..13]);
            if (plan.Moves.Count == 0)
                continue;
            broker.Log(EngineLogLevel.Information, $"Started rebalance '{plan.PlanId}': {due.Reason}. {plan.Summary}");
            return RebalanceJob.Begin(plan, image, due.Reason, new RebalanceThrottle(), Time.GetUtcNow(), isAutomatic: true);
        }
        _nothingLeftAfter = last?.PlanId;
        return null;
    }

    private void ObserveLeaders(RebalanceJob job, ClusterImage image)
    {
        var (before, now) = (_leaderless, Time.GetTimestamp());
        _leaderless = [];
        foreach (var step in job.Steps.Where(step => RebalanceDecision.LacksLeader(step, image)))
            _leaderless[step.Key] = before.GetValueOrDefault(step.Key, now);
    }

    private bool IsAbandoned(ReplicaKey key) =>
        _leaderless.TryGetValue(key, out var since) && Time.GetElapsedTime(since) >= settleTime;

    private bool IsSettled()
    {
        var members = string.Join(' ', cluster.Image.Brokers.Where(entry => entry.Value.IsAlive).Select(entry => entry.Key));
        if (members != _members)
            (_members, _settledSince) = (members, Time.GetTimestamp());
        return Time.GetElapsedTime(_settledSince) >= settleTime;
    }

    private bool IsPatienceOver(RebalanceJob? last) => last?.FinishedAt is not { } finished
        || Time.GetUtcNow() - finished >= (last.State == RebalanceState.Cancelled ? PatienceWhenCancelled : Patience);

    private async Task ActAsync(IReadOnlyList<RebalanceAction> actions)
    {
        if (actions.Count == 0)
            return;
        string? trouble = null;
        await Parallel.ForEachAsync(actions, new ParallelOptions { MaxDegreeOfParallelism = ActionsAtATime },
            async (action, _) => trouble = await TryActAsync(action) ?? trouble);
        Trouble(trouble);
    }

    private async Task<string?> TryActAsync(RebalanceAction action)
    {
        var leader = grains.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(action.Key.TopicId, action.Key.Partition));
        try
        {
            await (action.Kind == RebalanceActionKind.HandOver
                ? leader.HandOverAsync(action.Replicas[0])
                : leader.ReassignAsync([.. action.Replicas]));
            return null;
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.ElectionNotNeeded)
        {
            return null;
        }
        catch (Exception failure) when (failure is BrokerException or TimeoutException or OrleansException)
        {
            return $"Partition {action.Key} cannot be moved at the moment: {failure.Message}";
        }
    }

    private void Trouble(string? message)
    {
        if (message is not null && message != _trouble)
            broker.Log(EngineLogLevel.Warning, message);
        _trouble = message;
    }
}
