using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>Reconciliation of the current assignment with the target assignment.</content>
internal sealed partial class ConsumerProtocolMember
{
    private Task _reconciling = Task.CompletedTask;
    private IReadOnlyList<TopicPartitions>? _wanted;
    private HashSet<ClaimedPartition> _held = [];

    /// <summary>Sets the target assignment. Called under the gate.</summary>
    private void Reconcile(IReadOnlyList<TopicPartitions> wanted)
    {
        _wanted = wanted;
        if (_reconciling.IsCompleted)
            _reconciling = Task.Run(ReconcileAsync);
    }

    private async Task ReconcileAsync()
    {
        try
        {
            for (var attempt = 1; !_stop.IsCancellationRequested; attempt++)
            {
                IReadOnlyList<TopicPartitions>? wanted;
                int joins;
                lock (_gate)
                {
                    (wanted, joins) = (_wanted, _joins);
                    if (wanted is null)
                        _reconciling = Task.CompletedTask;
                }
                if (wanted is null)
                {
                    Wake(); // Heartbeats may be long polls again.
                    return;
                }
                if (!await ReconcileAsync(wanted, joins).ConfigureAwait(false))
                    await Task.Delay(_reader.BackoffAfter(attempt), _reader.TimeProvider, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Leaving: all partitions are revoked already.
        }
        catch (Exception e)
        {
            _target.Fail(new ConsumerGroupException(ErrorCode.UnknownServerError, _options.GroupId, $"{e.GetType().Name}: {e.Message}", e));
        }
    }

    /// <summary>Revokes partitions first and confirms it, so that other members get them without waiting for the new ones here. Then adds
    /// the new partitions. Returns false if some topics are not known yet.</summary>
    private async Task<bool> ReconcileAsync(IReadOnlyList<TopicPartitions> wanted, int joins)
    {
        IReadOnlyDictionary<Guid, string> names;
        try
        {
            names = await _topics.FindAsync(wanted.Select(static topic => topic.TopicId), _stop.Token).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            LogTopicsUnknown(_options.GroupId!, e.Message);
            return false;
        }
        TopicPartitions[] known = [.. wanted.Where(topic => names.ContainsKey(topic.TopicId))];
        var holds =
            known.SelectMany(topic =>
                topic.Partitions.Select(partition => new ClaimedPartition(new TopicPartition(names[topic.TopicId], partition),
                    topic.TopicId))).ToHashSet();
        HashSet<ClaimedPartition> held;
        lock (_gate)
            held = _held;
        await _target.RevokeAsync([.. held.Where(item => !holds.Contains(item)).Select(static item => item.Partition)]).ConfigureAwait(
            false);
        bool hasReport;
        lock (_gate)
        {
            if (joins != _joins)
                return true; // Lost in the meantime.
            // Heartbeats have reported a newer target assignment, so a partition of this one may be assigned elsewhere: add none.
            if (!ReferenceEquals(_wanted, wanted))
                holds.IntersectWith(held);
            else if (known.Length == wanted.Count)
                _wanted = null;
            var owned = ByTopic(holds.Select(static item => (item.TopicId, item.Partition.Partition)));
            hasReport = _sendOwned |= !Same(_owned, owned);
            (_owned, _held) = (owned, holds);
        }
        if (hasReport)
            Wake();
        await _target.AddAsync([.. holds.Except(held)]).ConfigureAwait(false);
        lock (_gate)
        {
            if (joins != _joins)
                _target.LoseAll("the session timed out while they were being assigned");
        }
        return known.Length == wanted.Count;
    }

    /// <summary>The partitions it holds, and those of the target assignment that it will add without another request. The coordinator may
    /// assign any other partition elsewhere. Called under the gate.</summary>
    private IReadOnlyList<TopicPartitions> OwnedAndWanted() =>
        _wanted is not { } wanted || _epoch == ConsumerGroupHeartbeat.JoinEpoch ? _owned
            : ByTopic(Pairs(_owned).Union(Pairs(wanted)));

    private static IReadOnlyList<TopicPartitions> ByTopic(IEnumerable<(Guid TopicId, int Partition)> partitions) =>
        [.. partitions.GroupBy(static pair => pair.TopicId, static pair => pair.Partition)
            .Select(static topic => new TopicPartitions(topic.Key, [.. topic.Order()]))];

    private static bool Same(IReadOnlyList<TopicPartitions> left, IReadOnlyList<TopicPartitions> right) =>
        left.Count == right.Count && Pairs(left).SetEquals(Pairs(right));

    private static HashSet<(Guid, int)> Pairs(IReadOnlyList<TopicPartitions> topics) =>
        [.. topics.SelectMany(static topic => topic.Partitions.Select(partition => (topic.TopicId, partition)))];

    [LoggerMessage(32, LogLevel.Warning, "Group {Group}: topics cannot be looked up yet; retrying. {Reason}")]
    private partial void LogTopicsUnknown(string group, string reason);
}
