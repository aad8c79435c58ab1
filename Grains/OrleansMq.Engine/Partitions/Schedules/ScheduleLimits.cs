using System.Collections.Concurrent;
using OrleansMq.Api;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// Refuses to schedule what its topic would refuse: by the topic's configuration, which is remembered for a while. Where a topic cannot be
/// described now, the caller is to retry: a record that its topic refuses at its time waits for another configuration. One that is not
/// there any more, or is another one, refuses all. Thread safe.
/// </summary>
internal sealed class ScheduleLimits(IBroker broker, TimeProvider time)
{
    private const int MaxTopics = 1_000;
    private static readonly TimeSpan Remembered = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);

    private readonly ConcurrentDictionary<Guid, (Task<TopicLimits> Limits, long Since)> _known = [];

    /// <summary>Checks a record.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRecord"/>, <see cref="ErrorCode.MessageTooLarge"/>, or
    /// <see cref="ErrorCode.UnknownTopicId"/>: the listing is of a topic that was deleted. One that says to retry: the topic cannot be
    /// described now.</exception>
    public async ValueTask CheckAsync(TopicListing topic, NewSchedule schedule, CancellationToken cancellationToken)
    {
        var limits = await FindAsync(topic, cancellationToken).ConfigureAwait(false);
        if (limits.RefusalOf(schedule.Key, schedule.Value, schedule.Headers) is { } refusal)
            throw new BrokerException(refusal.Code, refusal.Code == ErrorCode.InvalidRecord
                ? $"{refusal.Message} Give the scheduled record one." : $"{refusal.Message} Make the record smaller, or raise the limit.");
    }

    private async ValueTask<TopicLimits> FindAsync(TopicListing topic, CancellationToken cancellationToken)
    {
        var now = time.GetTimestamp();
        if (!_known.TryGetValue(topic.TopicId, out var known) || time.GetElapsedTime(known.Since, now) > Remembered)
        {
            if (_known.Count >= MaxTopics)
                _known.Clear();
            _known[topic.TopicId] = known = (DescribeAsync(topic), now);
        }
        try
        {
            return await known.Limits.WaitAsync(Patience, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            if (known.Limits.IsCompleted)
                _known.TryRemove(KeyValuePair.Create(topic.TopicId, known));
            throw new BrokerException(ErrorCode.LeaderNotAvailable,
                $"Topic '{topic.Name}' was not described within {Patience.TotalSeconds} s, by which the record is checked. Retry.");
        }
        catch (BrokerException)
        {
            _known.TryRemove(KeyValuePair.Create(topic.TopicId, known));
            throw;
        }
    }

    private async Task<TopicLimits> DescribeAsync(TopicListing topic)
    {
        TopicDescription? described = null;
        for (var began = time.GetTimestamp(); described is null;)
        {
            try
            {
                described = await broker.DescribeTopicAsync(topic.Name, CancellationToken.None).ConfigureAwait(false);
            }
            catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition)
            {
                throw Deleted(topic, unknown);
            }
            catch (BrokerException passing) when (passing.Code.Action() == ErrorAction.Retry && time.GetElapsedTime(began) < Patience)
            {
                await Task.Delay(RetryPause, time).ConfigureAwait(false);
            }
        }
        if (described.TopicId != topic.TopicId)
            throw Deleted(topic, null);
        return TopicLimits.Of(described);
    }

    // A lookup may answer from memory; a description does not.
    private static BrokerException Deleted(TopicListing topic, Exception? cause) => new(ErrorCode.UnknownTopicId,
        $"Topic '{topic.Name}' with the id {topic.TopicId} was deleted. Retry, if one of that name was created since.", cause);
}
