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

    private TimeProvider Time => broker.Options.TimeProvider;

    /// <summary>Begins to run the stored rebalance.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Describes the running rebalance, or the last one.</summary>
    public async Task<RebalanceStatus?> DescribeAsync() => (await document.ReadAsync())?.Describe(cluster.Image, _trouble);

    /// <summary>Starts a rebalance.</summary>
    /// <param name="plan">The moves.</param>
    /// <param name="reason">The reason, for the log and the status.</param>
    /// <param name="throttle">The limits.</param>
    /// <param name="supersede">Whether it replaces a running one.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ReassignmentInProgress"/>.</exception>
    public Task<RebalanceStatus> BeginAsync(RebalancePlan plan, string reason, RebalanceThrottle throttle, bool supersede) =>
        ChangeAsync(running =>
            running is { IsRunning: true } && !supersede
                ? throw new BrokerException(ErrorCode.ReassignmentInProgress,
                    $"Rebalance '{running.PlanId}' is running. Wait until it is done, or cancel it, then plan again.")
                : RebalanceJob.Begin(plan, cluster.Image, reason, throttle, Time.GetUtcNow()));

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
            if (job is not { IsRunning: true })
            {
                if (!IsDue(job, out var reason, out var isGrowth))
                    return [];
                var planId = $"{(isGrowth ? "grow" : "auto")}-{Guid.NewGuid():N}"[..13];
                var plan = isGrowth ? RebalancePlanner.PlanGrowth(cluster.Image, planId) : RebalancePlanner.Plan(cluster.Image, planId);
                if (plan.Moves.Count == 0)
                    return [];
                job = RebalanceJob.Begin(plan, cluster.Image, reason, new RebalanceThrottle(), Time.GetUtcNow());
                broker.Log(EngineLogLevel.Information, $"Started rebalance '{job.PlanId}': {reason}. {plan.Summary}");
                await document.WriteAsync(job);
            }
            var (next, actions) = RebalanceDecision.Next(job, cluster.Image, Time.GetUtcNow());
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

    // Replicas are added first: the others are then levelled with them.
    private bool IsDue(RebalanceJob? last, out string reason, out bool isGrowth)
    {
        var growth = ReplicaGrowth.WhyDue(cluster.Image);
        isGrowth = growth is not null;
        reason = growth ?? RebalanceDecision.WhyDue(cluster.Image) ?? "";
        var members = string.Join(' ', cluster.Image.Brokers.Where(entry => entry.Value.IsAlive).Select(entry => entry.Key));
        if (members != _members || reason.Length == 0)
            (_members, _settledSince) = (members, Time.GetTimestamp());
        return reason.Length > 0 && Time.GetElapsedTime(_settledSince) >= settleTime
            && (last?.FinishedAt is not { } finished || Time.GetUtcNow() - finished >= Patience);
    }

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
