using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Brokers;

/// <summary>
/// Refuses to schedule what its topic would refuse: by the topic's configuration, which is remembered for a while. Where a topic cannot be
/// described now, the caller is to retry: a record that its topic refuses at its time is dropped. One that is not there any more, or is
/// another one, refuses all. Thread safe.
/// </summary>
internal sealed class ScheduleLimits(IBroker broker, TimeProvider time)
{
    private const int MaxTopics = 1_000;
    private static readonly TimeSpan Remembered = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);

    private readonly ConcurrentDictionary<Guid, (Task<Limits> Limits, long Since)> _known = [];

    private sealed record Limits(bool IsCompacted, int MaxMessageBytes);

    /// <summary>Checks a record.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRecord"/>, <see cref="ErrorCode.MessageTooLarge"/>, or
    /// <see cref="ErrorCode.UnknownTopicId"/>: the listing is of a topic that was deleted. One that says to retry: the topic cannot be
    /// described now.</exception>
    public async ValueTask CheckAsync(TopicListing topic, NewSchedule schedule, CancellationToken cancellationToken)
    {
        var limits = await FindAsync(topic, cancellationToken).ConfigureAwait(false);
        if (limits.IsCompacted && schedule.Key is null)
            throw new BrokerException(ErrorCode.InvalidRecord,
                $"'{topic.Name}' is compacted (cleanup.policy): its records need a key. Give the scheduled record one.");
        if (SizeOf(schedule, limits.MaxMessageBytes) is var size && size > limits.MaxMessageBytes)
            throw new BrokerException(ErrorCode.MessageTooLarge, $"The record takes a batch of {size} bytes; max.message.bytes of "
                + $"'{topic.Name}' is {limits.MaxMessageBytes}. Make the record smaller, or raise the limit.");
    }

    private async ValueTask<Limits> FindAsync(TopicListing topic, CancellationToken cancellationToken)
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

    private async Task<Limits> DescribeAsync(TopicListing topic)
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
        var configs = described.Configs.ToDictionary(config => config.Name, config => config.Value);
        return new Limits(configs["cleanup.policy"].Split(',').Contains("compact"),
            int.Parse(configs["max.message.bytes"], CultureInfo.InvariantCulture));
    }

    // A lookup may answer from memory; a description does not.
    private static BrokerException Deleted(TopicListing topic, Exception? cause) => new(ErrorCode.UnknownTopicId,
        $"Topic '{topic.Name}' with the id {topic.TopicId} was deleted. Retry, if one of that name was created since.", cause);

    // Of the batch that has this record alone. Exact only near the limit.
    private static int SizeOf(NewSchedule schedule, int limit)
    {
        RecordHeader[] headers = [.. schedule.Headers];
        var most = RecordBatchHeader.Size
            + RecordBatchBuilder.MaxRecordSize(schedule.Key?.Length ?? 0, schedule.Value?.Length ?? 0, headers);
        if (most <= limit)
            return most;
        using var builder = new RecordBatchBuilder();
        builder.Add(timestamp: 0, schedule.Key.GetValueOrDefault().Span, schedule.Key.HasValue,
            schedule.Value.GetValueOrDefault().Span, schedule.Value.HasValue, headers);
        return builder.Build().Length;
    }
}
