using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using OrleansMq.Api;
using OrleansMq.Groups;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>
/// Members, rebalances and lag of the groups that this broker coordinates, as of the last look at them. Somebody who reads metrics causes a
/// look: at most one at a time, and so seldom that looking takes a tenth of the time at most. With nobody who reads it costs nothing.
/// </summary>
internal sealed class GroupMetrics(TimeProvider time)
{
    /// <summary>Between the starts of two looks at least.</summary>
    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(5);

    // A reader of metrics waits no longer than this; what he gets then is what was seen before.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    // A look takes a tenth of the time at most.
    private const int RestFactor = 10;

    // Groups looked at at a time; each looks at several partitions at a time by itself.
    private const int GroupsAtATime = 4;

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, Seen> _groups = new(StringComparer.Ordinal);
    // Groups that went while a look was under way, which may have seen them before.
    private readonly ConcurrentDictionary<string, bool> _gone = new(StringComparer.Ordinal);
    private Task _look = Task.CompletedTask;
    private long? _nextLookAt;

    /// <summary>Looks at the groups where it is time to, and waits a moment for what is seen.</summary>
    /// <param name="groups">Their coordinator.</param>
    /// <param name="lag">Their lag.</param>
    /// <param name="local">The groups that this broker coordinates.</param>
    /// <param name="ended">The reader has gone, or the broker stops.</param>
    public async ValueTask RefreshAsync(IGroupCoordinator groups, GroupLag lag,
        Func<CancellationToken, ValueTask<IReadOnlyCollection<string>>> local, CancellationToken ended)
    {
        Task look;
        lock (_gate)
        {
            if (_look.IsCompleted && (_nextLookAt is not { } at || time.GetTimestamp() >= at))
            {
                _nextLookAt = long.MaxValue;
                _gone.Clear();
                _look = LookAsync(groups, lag, local, ended);
            }
            look = _look;
        }
        try
        {
            await look.WaitAsync(Patience, time, ended);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // What was seen before has to do.
        }
    }

    /// <summary>The group is gone, and so are its series.</summary>
    public void Forget(string groupId)
    {
        lock (_gate)
        {
            if (!_look.IsCompleted)
                _gone[groupId] = true;
        }
        _groups.TryRemove(groupId, out _);
    }

    /// <summary>Adds the instruments.</summary>
    public void AddTo(Meter meter)
    {
        Add(meter, "orleansmq.group.members", "{member}", "Members of a group that this broker coordinates.",
            static seen => seen.Group.Members.Count);
        meter.CreateObservableCounter("orleansmq.group.rebalances", () => Observe(static seen => seen.Group.Epoch), "{rebalance}",
            "Generations (or group epochs) of a group so far: one for each rebalance.");
        Add(meter, "orleansmq.group.committed.offset", "{offset}", "The next offset that a group reads.", static lag => lag.Committed);
        Add(meter, "orleansmq.group.lag.records", "{record}", "Records of a partition that a group has not consumed.",
            static lag => lag.Records);
        Add(meter, "orleansmq.group.lag", "s",
            "Age of the first record of a partition that a group has not consumed; 0 where there is none.", static lag => lag.Seconds);
    }

    private async Task LookAsync(IGroupCoordinator groups, GroupLag lag,
        Func<CancellationToken, ValueTask<IReadOnlyCollection<string>>> local, CancellationToken ended)
    {
        // Not under the caller's lock.
        await Task.Yield();
        var started = time.GetTimestamp();
        try
        {
            var ids = await local(ended);
            await Parallel.ForEachAsync(ids, new ParallelOptions { MaxDegreeOfParallelism = GroupsAtATime, CancellationToken = ended },
                (id, cancelled) => LookAtAsync(id, groups, lag, cancelled));
            foreach (var gone in _groups.Keys.Except(ids, StringComparer.Ordinal))
            {
                _groups.TryRemove(gone, out _);
                lag.Forget(gone);
            }
        }
        catch (Exception e) when (e is BrokerException or OperationCanceledException)
        {
            // No coordinator at the moment, or the reader has gone: the next look will tell.
        }
        finally
        {
            var rest = TimeSpan.FromTicks(Math.Max(LeastInterval.Ticks, time.GetElapsedTime(started).Ticks * RestFactor));
            lock (_gate)
                _nextLookAt = started + (long)(rest.TotalSeconds * time.TimestampFrequency);
        }
    }

    private async ValueTask LookAtAsync(string groupId, IGroupCoordinator groups, GroupLag lag, CancellationToken cancellationToken)
    {
        try
        {
            var group = await groups.DescribeGroupAsync(groupId, cancellationToken);
            _groups[groupId] = new Seen(group, await lag.OfAsync(group, cancellationToken));
            // It may have gone since it was seen; whoever says so from here on takes the series away himself.
            if (_gone.ContainsKey(groupId))
                _groups.TryRemove(groupId, out _);
        }
        catch (BrokerException)
        {
            // Gone, or its coordinator does not answer: what is not known is absent.
            _groups.TryRemove(groupId, out _);
        }
    }

    private void Add(Meter meter, string name, string unit, string description, Func<Seen, long> value) =>
        meter.CreateObservableGauge(name, () => Observe(value), unit, description);

    private void Add(Meter meter, string name, string unit, string description, Func<PartitionLag, double?> value) =>
        meter.CreateObservableGauge(name, () => Observe(value), unit, description);

    private IEnumerable<Measurement<long>> Observe(Func<Seen, long> value)
    {
        foreach (var (groupId, seen) in _groups)
            yield return new Measurement<long>(value(seen), new KeyValuePair<string, object?>("group", groupId));
    }

    private IEnumerable<Measurement<double>> Observe(Func<PartitionLag, double?> value)
    {
        foreach (var (groupId, seen) in _groups)
        {
            foreach (var lag in seen.Lag)
            {
                if (value(lag) is { } known)
                    yield return new Measurement<double>(known, new("group", groupId), new("topic", lag.Partition.Topic),
                        new("partition", lag.Partition.Partition));
            }
        }
    }

    private sealed record Seen(GroupDescription Group, IReadOnlyList<PartitionLag> Lag);
}
