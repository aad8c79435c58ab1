using System.Collections.Concurrent;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Coordination;

/// <summary>The coordinators that run on this silo; their grains enter and remove them. A graceful stop ends all of them before this silo
/// is gone, so that callers that wait look for the next coordinator. Thread safe.</summary>
internal sealed class ActiveCoordinators : ILeadershipHandover, ILifecycleParticipant<ISiloLifecycle>
{
    private readonly ConcurrentDictionary<GrainId, ICoordinatorActivation> _active = new();
    private volatile bool _isLeaving;

    /// <summary>Whether this silo takes no coordinators any more.</summary>
    public bool IsLeaving => _isLeaving;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ActiveCoordinators), ServiceLifecycleStage.Last, _ => Task.CompletedTask, _ => LeaveAsync());

    /// <summary>The ids of what the coordinators of one grain type coordinate here.</summary>
    public IReadOnlyCollection<string> IdsOf(string grainType)
    {
        var type = GrainType.Create(grainType);
        return [.. _active.Where(entry => entry.Key.Type == type && !entry.Value.IsEnded).Select(entry => entry.Key.Key.ToString()!)];
    }

    /// <summary>What this silo has to do with a coordinator.</summary>
    public CoordinatorHolding HoldingOf(GrainId coordinator) =>
        _isLeaving ? CoordinatorHolding.Leaving
        : _active.TryGetValue(coordinator, out var activation) && !activation.IsEnded ? CoordinatorHolding.Coordinates
        : CoordinatorHolding.Absent;

    /// <summary>Enters an activation.</summary>
    public void Add(GrainId coordinator, ICoordinatorActivation activation) => _active[coordinator] = activation;

    /// <summary>Removes an activation; another one of the same coordinator stays.</summary>
    public void Remove(GrainId coordinator, ICoordinatorActivation activation) => _active.TryRemove(new(coordinator, activation));

    /// <summary>Ends the activation of a coordinator, if there is one.</summary>
    public Task EndAsync(GrainId coordinator, string reason) =>
        _active.TryGetValue(coordinator, out var activation) ? activation.EndAsync(reason) : Task.CompletedTask;

    /// <summary>Abandons the requests of a caller that is gone.</summary>
    public void AbandonCallsOf(GoneCaller gone)
    {
        foreach (var activation in _active.Values)
            activation.AbandonCallsOf(gone);
    }

    /// <summary>The callers whose requests wait here.</summary>
    public IReadOnlyList<GrainId> Callers => [.. _active.Values.SelectMany(static activation => activation.Callers).Distinct()];

    /// <inheritdoc/>
    public Task HandOverAllAsync(TimeSpan deadline) => LeaveAsync().WaitAsync(deadline);

    private Task LeaveAsync()
    {
        _isLeaving = true;
        return Task.WhenAll(_active.Values.Select(activation => activation.EndAsync("Its broker is stopping.")));
    }
}

/// <summary>A coordinator's activation.</summary>
internal interface ICoordinatorActivation
{
    /// <summary>Whether another coordinator owns the documents.</summary>
    bool IsEnded { get; }

    /// <summary>Answers all callers that wait with <see cref="ErrorCode.NotCoordinator"/>, and deactivates. Usable from any
    /// thread.</summary>
    /// <param name="reason">For the log.</param>
    Task EndAsync(string reason);

    /// <summary>Abandons the requests of a caller that is gone. Usable from any thread.</summary>
    void AbandonCallsOf(GoneCaller gone);

    /// <summary>The callers whose requests wait. Usable from any thread.</summary>
    IReadOnlyList<GrainId> Callers { get; }
}
