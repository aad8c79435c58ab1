using System.Collections.Concurrent;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Groups;

/// <summary>The groups that are coordinated on this silo; their grains enter and remove them. At a graceful stop it gives them all up, so
/// that whoever waits is told to look for the next coordinator before this silo is gone. Thread safe.</summary>
internal sealed class ActiveGroups : ILeadershipHandover, ILifecycleParticipant<ISiloLifecycle>
{
    private readonly ConcurrentDictionary<string, IGroupActivation> _groups = new(StringComparer.Ordinal);
    private volatile bool _isLeaving;

    /// <summary>Whether this silo takes no groups any more.</summary>
    public bool IsLeaving => _isLeaving;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ActiveGroups), ServiceLifecycleStage.Last, _ => Task.CompletedTask, _ => LeaveAsync());

    /// <summary>The ids of the groups that are coordinated here.</summary>
    public IReadOnlyCollection<string> Ids => [.. _groups.Where(group => !group.Value.IsEnded).Select(group => group.Key)];

    /// <summary>What this silo has to do with a group.</summary>
    public GroupHolding HoldingOf(string groupId) =>
        _isLeaving ? GroupHolding.Leaving
        : _groups.TryGetValue(groupId, out var group) && !group.IsEnded ? GroupHolding.Coordinates
        : GroupHolding.Absent;

    /// <summary>From now on the group is coordinated here.</summary>
    public void Add(string groupId, IGroupActivation grain) => _groups[groupId] = grain;

    /// <summary>The activation coordinates it no more; another one stays.</summary>
    public void Remove(string groupId, IGroupActivation grain) => _groups.TryRemove(new(groupId, grain));

    /// <summary>Ends the activation of a group, if there is one.</summary>
    public Task EndAsync(string groupId, string reason) =>
        _groups.TryGetValue(groupId, out var grain) ? grain.EndAsync(reason) : Task.CompletedTask;

    /// <inheritdoc/>
    public Task HandOverAllAsync(TimeSpan deadline) => LeaveAsync().WaitAsync(deadline);

    private Task LeaveAsync()
    {
        _isLeaving = true;
        return Task.WhenAll(_groups.Values.Select(grain => grain.EndAsync("Its broker is stopping.")));
    }
}

/// <summary>A group's activation, to those who end it.</summary>
internal interface IGroupActivation
{
    /// <summary>Whether it has lost its group to another.</summary>
    bool IsEnded { get; }

    /// <summary>Answers all that wait with <see cref="ErrorCode.NotCoordinator"/>, and goes. Usable from any thread.</summary>
    /// <param name="reason">For the log.</param>
    Task EndAsync(string reason);
}
