using System.Collections.Immutable;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Reports to the cluster's grain what this broker leads. One call at a time carries the latest state of every changed partition and is
/// repeated until it is answered. A new controller gets a complete report. Thread safe.
/// </summary>
internal sealed class LeadershipReports(SiloBroker broker, SiloReplicas replicas, ClusterImageCache images, IGrainFactory grains)
    : ILeadershipReports, ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private static readonly TimeSpan LastWord = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopped = new();
    private readonly SemaphoreSlim _work = new(0, 1);
    private Dictionary<ReplicaKey, LeadershipReport> _waiting = [];
    private long _counter;
    private bool _tellAll = true;
    private int _epoch;
    private Task _telling = Task.CompletedTask;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(LeadershipReports), ServiceLifecycleStage.Active, _ =>
        {
            images.Changed += OnImageChanged;
            _telling = Task.Run(TellAsync, CancellationToken.None);
            return Task.CompletedTask;
        }, _ => DisposeAsync().AsTask());

    /// <inheritdoc/>
    public void Report(Replica replica)
    {
        lock (_lock)
        {
            _waiting[replica.Key] = Of(replica);
            Wake();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        images.Changed -= OnImageChanged;
        await _stopped.CancelAsync().ConfigureAwait(false);
        // Let a call in progress complete while the silo can still process its answer.
        await Task.WhenAny(_telling, Task.Delay(LastWord, CancellationToken.None)).ConfigureAwait(false);
    }

    private void OnImageChanged(ClusterImage image)
    {
        lock (_lock)
        {
            if (image.Epoch == _epoch)
                return;
            _epoch = image.Epoch;
            _tellAll = true;
            Wake();
        }
    }

    private async Task TellAsync()
    {
        try
        {
            while (true)
            {
                await _work.WaitAsync(_stopped.Token).ConfigureAwait(false);
                var (reports, isComplete) = Take();
                if ((reports.Count > 0 || isComplete) && !await TryTellAsync(reports.Values, isComplete).ConfigureAwait(false))
                {
                    PutBack(reports, isComplete);
                    await Task.Delay(Pause, _stopped.Token).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    private async Task<bool> TryTellAsync(ICollection<LeadershipReport> reports, bool isComplete)
    {
        try
        {
            await grains.GetGrain<IClusterOwnerGrain>(GrainKeys.Cluster)
                .ReportLeadershipAsync(broker.Options.BrokerId.Value, [.. reports.Select(LeadershipRecord.Of)],
                    isComplete).ConfigureAwait(false);
            return true;
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException or BrokerException)
        {
            broker.Log(EngineLogLevel.Debug, "The cluster's grain did not accept this broker's leadership reports; retrying.", unanswered);
            return false;
        }
    }

    private (Dictionary<ReplicaKey, LeadershipReport> Reports, bool IsComplete) Take()
    {
        lock (_lock)
        {
            var reports = _waiting;
            _waiting = [];
            var isComplete = _tellAll;
            _tellAll = false;
            if (isComplete)
            {
                foreach (var replica in replicas.Manager.Replicas.Where(replica => replica.Role == ReplicaRole.Leader))
                    reports[replica.Key] = Of(replica);
            }
            return (reports, isComplete);
        }
    }

    private void PutBack(Dictionary<ReplicaKey, LeadershipReport> reports, bool isComplete)
    {
        lock (_lock)
        {
            foreach (var (key, report) in reports)
                _waiting.TryAdd(key, report);
            _tellAll |= isComplete;
            Wake();
        }
    }

    private void Wake()
    {
        if (_work.CurrentCount == 0)
            _work.Release();
    }

    private LeadershipReport Of(Replica replica)
    {
        var leads = replica.Role == ReplicaRole.Leader && replica.State is not null;
        var state = leads ? replica.State : null;
        return state is null
            ? new LeadershipReport(replica.Key, false, replica.LeaderEpoch, ++_counter, [], [], [], [])
            : new LeadershipReport(replica.Key, true, state.LeaderEpoch, ++_counter, state.Replicas, [.. Brokers(state.Isr)],
                [.. Brokers(state.Elr)],
                state.Reassignment);
    }

    private static IEnumerable<int> Brokers(ImmutableArray<ReplicaIdentity> members) => members.Select(member => member.Broker);
}
