using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Partitions.Schedules;

/// <summary>The topics that schedules are for. Thread safe.</summary>
/// <remarks>A look-up that takes long is left running, and asked for again later: the topics of other schedules do not wait for
/// it.</remarks>
internal sealed class ScheduleTopics(IBroker broker, TimeProvider time)
{
    /// <summary>How long a look-up is waited for, once.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<(string Name, Guid TopicId, int Partitions), Task<TopicListing?>> _late = [];

    /// <summary>Returns a topic; null if there surely is none of this name and id.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="topicId">Its id.</param>
    /// <param name="partitions">The number of partitions that it had at least when a record was scheduled for it. A topic never gets fewer;
    /// one with fewer is one that the cluster does not know well yet.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException">It cannot be looked up now.</exception>
    /// <exception cref="TimeoutException">The look-up takes long.</exception>
    public async Task<TopicListing?> FindAsync(string name, Guid topicId, int partitions, CancellationToken cancellationToken)
    {
        if (_late.TryGetValue((name, topicId, partitions), out var late))
        {
            if (!late.IsCompleted)
                throw new TimeoutException($"Topic '{name}' could not be looked up yet.");
            _late.TryRemove((name, topicId, partitions), out _);
            return await late.ConfigureAwait(false);
        }
        var finding = LookUpAsync(name, topicId, partitions, cancellationToken);
        try
        {
            return await finding.WaitAsync(Patience, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // A fault is seen when it is asked for again.
            _ = finding.ContinueWith(static task => task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted,
                TaskScheduler.Default);
            _late[(name, topicId, partitions)] = finding;
            throw;
        }
    }

    /// <summary>Returns the ids of all topics, as far as this broker knows them.</summary>
    public async Task<IEnumerable<Guid>> ListAsync(CancellationToken cancellationToken) =>
        (await broker.ListTopicsAsync(cancellationToken).AsTask().WaitAsync(Patience, time, cancellationToken).ConfigureAwait(false))
        .Select(topic => topic.TopicId);

    /// <summary>Returns the replicas of a partition of schedules and the brokers, where there could be more replicas; otherwise
    /// null.</summary>
    public async Task<(int Replicas, int Brokers, int Wanted)?> FindReplicasAsync(string topic, int partition,
        CancellationToken cancellationToken)
    {
        var described = await broker.DescribeTopicAsync(topic, cancellationToken).AsTask().WaitAsync(Patience, time, cancellationToken)
            .ConfigureAwait(false);
        var brokers = (await broker.DescribeClusterAsync(cancellationToken).ConfigureAwait(false)).Brokers.Count;
        var replicas = described.Partitions[partition].Replicas.Count;
        var wanted = Math.Min(brokers, InternalTopics.MostScheduleReplicas);
        return replicas > 0 && replicas < wanted ? (replicas, brokers, wanted) : null;
    }

    /// <summary>Whether there surely is no topic of this name and id, whatever this broker remembers.</summary>
    /// <exception cref="BrokerException">It cannot be looked up now.</exception>
    /// <exception cref="TimeoutException">The look-up takes long.</exception>
    public async Task<bool> IsGoneAsync(string name, Guid topicId, CancellationToken cancellationToken) =>
        await ConfirmAsync(name, topicId, cancellationToken).WaitAsync(Patience, time, cancellationToken).ConfigureAwait(false) is null;

    // What this broker remembers of topics may be a moment behind: its answer that there is none, or that it is smaller, is confirmed.
    private async Task<TopicListing?> LookUpAsync(string name, Guid topicId, int partitions, CancellationToken cancellationToken)
    {
        try
        {
            var known = await broker.GetTopicAsync(name, cancellationToken).ConfigureAwait(false);
            if (known.TopicId == topicId && known.Partitions >= partitions)
                return known;
        }
        catch (BrokerException refusal) when (refusal.Code == ErrorCode.UnknownTopicOrPartition)
        {
        }
        return await ConfirmAsync(name, topicId, cancellationToken).ConfigureAwait(false);
    }

    private async Task<TopicListing?> ConfirmAsync(string name, Guid topicId, CancellationToken cancellationToken) =>
        await broker.FindByIdAsync(name, topicId, cancellationToken).ConfigureAwait(false) is { } topic
            ? new TopicListing(topic.Name, topic.TopicId, topic.Partitions.Count) : null;
}
