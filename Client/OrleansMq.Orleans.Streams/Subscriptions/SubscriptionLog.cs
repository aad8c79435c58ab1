using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Streams;

/// <summary>
/// The topic with the explicit subscriptions of a provider, and the table that follows it. A reader of the table first catches up with the
/// topic's end, so that it sees every subscription that was answered before. Thread-safe.
/// </summary>
internal sealed partial class SubscriptionLog
{
    /// <summary>What the name of the topic begins with.</summary>
    public const string Prefix = "__streams.";

    private const string Cleanup = "cleanup.policy";
    private const string Compact = "compact";

    // What passes events over for a subscription is durable before the events count as delivered, also in topics that are flushed.
    private const string Flush = "flush.messages";
    private const string Each = "1";

    private static readonly TimeSpan RemovalPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxWait = TimeSpan.FromMilliseconds(500);

    // As many as topics have by default.
    private const int MostReplicas = 3;

    private const int MostAtOnce = 100;

    private readonly IBroker _broker;
    private readonly TopicPartition _partition;
    private readonly IProducer<byte[]?, byte[]?> _producer;
    private readonly ILogger _logger;
    private readonly SharedRound _catchingUp;
    private readonly Once _created;
    // One permit: replays have begun that the silo has not been told of.
    private readonly SemaphoreSlim _begun = new(0, 1);
    private readonly ConcurrentDictionary<Guid, byte> _abandoning = new();
    private volatile bool _isRead;
    private Guid? _topicId;
    private long _position;
    private int _told;

    public SubscriptionLog(OrleansMqClient client, IProducer<byte[]?, byte[]?> producer, string provider, ILogger logger)
    {
        _broker = client.Broker;
        _partition = new TopicPartition(Prefix + provider, 0);
        _producer = producer;
        _logger = logger;
        _catchingUp = new SharedRound(CatchUpOnceAsync);
        _created = new Once(async () =>
        {
            await StreamTopics.EnsureTopicAsync(client, _partition.Topic, 1, new Dictionary<string, string>
            {
                [Cleanup] = Compact,
                [Flush] = Each,
            }).ConfigureAwait(false);
            await CheckAsync(CancellationToken.None).ConfigureAwait(false);
        });
    }

    /// <summary>The table as of the last catch up.</summary>
    public SubscriptionTable Table { get; } = new();

    /// <summary>The offset below which the table has everything.</summary>
    public long Position => Volatile.Read(ref _position);

    /// <summary>The topic's name.</summary>
    public string Topic => _partition.Topic;

    /// <summary>Whether the table has been read. Until then the topic may not exist: the first subscription creates it.</summary>
    public bool IsRead => _isRead;

    /// <summary>Refuses a topic that does not keep the last record of every subscription. One that another program has created deletes
    /// records by their age, unless it says otherwise. A caller that may not see the configuration is not refused. A topic that is not
    /// flushed with each record is altered; where that fails, it is used as it is, and a warning is logged.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidConfig"/>: it is such a topic. Others: it does not exist, or cannot be
    /// looked up now.</exception>
    public async Task CheckAsync(CancellationToken cancellationToken)
    {
        var described = await _broker.DescribeTopicAsync(Topic, cancellationToken).ConfigureAwait(false);
        if (described.Configs.FirstOrDefault(static config => config.Name == Cleanup) is { } config && config.Value != Compact)
        {
            throw new BrokerException(ErrorCode.InvalidConfig, $"Topic '{Topic}' holds explicit subscriptions, and has "
                + $"{Cleanup}={config.Value}, by which old ones are deleted. Set {Cleanup}={Compact}, as with "
                + $"'omq topic alter {Topic} --config {Cleanup}={Compact}', and start again.");
        }
        if (!described.Configs.Any(static config => config.Name == Flush && config.Value != Each))
            return;
        try
        {
            await _broker.AlterTopicAsync(Topic, new Dictionary<string, string?> { [Flush] = Each }, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (OrleansMqException failure)
        {
            // Deliveries do not wait for it: the database may be away.
            LogNotFlushed(_logger, Topic, failure);
        }
    }

    /// <summary>Completes when the table has everything that was answered before the call. A topic that was never there is an empty
    /// table.</summary>
    /// <exception cref="BrokerException">The topic cannot be read now, or its configuration is refused, as of
    /// <see cref="CheckAsync"/>.</exception>
    public Task CatchUpAsync(CancellationToken cancellationToken) => _catchingUp.RunAsync().WaitAsync(cancellationToken);

    /// <summary>
    /// Writes a subscription; null removes it. Completes when it is in force: no leader answers an end below it any more. An end above the
    /// record comes from the epoch that committed it or a later one, and a proven one outlives the lease of every earlier leader, which
    /// could tell the dispatcher of its own silo an older end. This takes a leader lease after a failover, and no time otherwise.
    /// </summary>
    /// <exception cref="OrleansMqException">It was not written, or the outcome is unknown.</exception>
    /// <returns>The offset of the record.</returns>
    public Task<long> WriteAsync(SubscriptionKey key, SubscriptionValue? value, CancellationToken cancellationToken) =>
        WriteAsync(key.ToBytes(), value?.ToBytes(), cancellationToken);

    /// <summary>Writes a further replay of a subscription. Completes when it is in the topic, as <see cref="WriteAsync(SubscriptionKey,
    /// SubscriptionValue, CancellationToken)"/> does; the table then says whether it is in force. <see cref="ReplayWrite"/> tries again
    /// where the outcome is unknown.</summary>
    public Task WriteAsync(NextReplayKey key, NextReplayValue value, CancellationToken cancellationToken) =>
        WriteAsync(key.ToBytes(), value.ToBytes(), cancellationToken);

    /// <summary>Completes when every write of this process that has failed before the call is in the topic, or never will be: the producer
    /// writes in order, and the record behind them, which has no meaning, is in it.</summary>
    /// <exception cref="OrleansMqException">That is not known now.</exception>
    public Task SettleAsync(CancellationToken cancellationToken) =>
        WriteAsync(new ReplayKey(Guid.NewGuid(), ReplayStep.Joined).ToBytes(), null, cancellationToken);

    /// <summary>Completes with true when the table has replays that have begun since the last time, or with false after a while. For one
    /// caller.</summary>
    public Task<bool> WaitForReplayAsync(TimeSpan longest, CancellationToken cancellationToken) =>
        _begun.WaitAsync(longest, cancellationToken);

    /// <summary>Writes how far a replay is. Completes when it is in force, as <see cref="WriteAsync(SubscriptionKey, SubscriptionValue,
    /// CancellationToken)"/> does.</summary>
    public Task WriteAsync(ReplayKey key, ReplayValue value, CancellationToken cancellationToken) =>
        WriteAsync(key.ToBytes(), value.ToBytes(), cancellationToken);

    /// <summary>Removes the records of a replay that no subscription has any more, soon. What stays does nothing, and
    /// <see cref="SweepAsync"/> finds it.</summary>
    /// <param name="of">The subscription.</param>
    /// <param name="replay">The replay. A newer one is in force, or it never was, or the subscription is removed.</param>
    /// <param name="withOrigin">Whether the replay from a token whose events it delivers is over, too.</param>
    public void RemoveProgress(SubscriptionKey of, Replay? replay, bool withOrigin)
    {
        if (replay is null)
            return;
        foreach (var step in (ReplayStep[])[ReplayStep.Joining, ReplayStep.Joined])
            _ = RemoveAsync(new ReplayKey(replay.Id, step).ToBytes());
        if (replay.IsSplit)
            _ = RemoveAsync(new NextReplayKey(replay.Id, of).ToBytes());
        if (withOrigin && Table.HasRecord(replay.Origin))
            _ = RemoveAsync(new NextReplayKey(replay.Origin, of).ToBytes());
    }

    /// <summary>Removes the records of replays that are over: those that came too late, or whose silo died before it removed
    /// them.</summary>
    /// <exception cref="BrokerException">The topic cannot be read now.</exception>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await CatchUpAsync(cancellationToken).ConfigureAwait(false);
        foreach (var left in Table.FindLeft().Chunk(MostAtOnce))
        {
            // Where one cannot be written, the others wait for the next sweep.
            if ((await Task.WhenAll(left.Select(RemoveAsync)).WaitAsync(cancellationToken).ConfigureAwait(false)).Contains(false))
                return;
        }
    }

    private async Task<bool> RemoveAsync(byte[] key)
    {
        try
        {
            await WriteAsync(key, null, CancellationToken.None).ConfigureAwait(false);
            return true;
        }
        catch (OrleansMqException failure)
        {
            LogLeft(_logger, _partition.Topic, failure);
            return false;
        }
    }

    private async Task<long> WriteAsync(byte[] key, byte[]? value, CancellationToken cancellationToken)
    {
        await _created.EnsureAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        var written = await _producer.SendAsync(new ProducerRecord<byte[]?, byte[]?>(_partition.Topic, key, value)
        {
            Partition = _partition.Partition,
        }, cancellationToken).ConfigureAwait(false);
        await Retries.RunAsync(async () =>
        {
            if (await FindEndAsync().WaitAsync(cancellationToken).ConfigureAwait(false) is var end && end <= written.Offset)
            {
                throw new BrokerException(ErrorCode.OffsetNotAvailable, $"The subscription at {_partition}, offset {written.Offset}, was "
                    + $"written, and the leader shows an end of {end}: it was replaced, or the topic was created again.");
            }
        }).ConfigureAwait(false);
        return written.Offset;
    }

    /// <summary>Returns what the log says of the topic's replicas, where brokers could hold more of them; otherwise null.</summary>
    /// <exception cref="BrokerException">It cannot be looked up now.</exception>
    public async Task<(int Replicas, string Wanted)?> FindMissingReplicasAsync(CancellationToken cancellationToken)
    {
        var described = await _broker.DescribeTopicAsync(_partition.Topic, cancellationToken).ConfigureAwait(false);
        var brokers = (await _broker.DescribeClusterAsync(cancellationToken).ConfigureAwait(false)).Brokers;
        return MissingReplicas(described.Partitions[_partition.Partition].Replicas, [.. brokers.Select(static broker => broker.BrokerId)]);
    }

    /// <summary>Returns the number of replicas, and those that there should be; null: there are enough, or the broker replicates
    /// nothing.</summary>
    internal static (int Replicas, string Wanted)? MissingReplicas(IReadOnlyList<int> replicas, IReadOnlyList<int> brokers)
    {
        var wanted = replicas.Union(brokers.Order()).Take(MostReplicas).ToList();
        return replicas.Count > 0 && replicas.Count < wanted.Count ? (replicas.Count, string.Join(',', wanted)) : null;
    }

    /// <summary>Writes that an activation has resumed a subscription: a call that wrote it and has failed does not remove it any more. When
    /// it completes, the table says whether the subscription is there.</summary>
    /// <exception cref="OrleansMqException">It is not written, or that is not known.</exception>
    public async Task ClaimAsync(SubscriptionKey key, CancellationToken cancellationToken)
    {
        await WriteAsync(SubscriptionClaim.Resumed, key, cancellationToken).ConfigureAwait(false);
        await CatchUpAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Removes a subscription that is of no activation, however long that takes, unless an activation has resumed it
    /// before.</summary>
    /// <param name="key">The subscription.</param>
    /// <param name="write">The write of its record, in a call that has failed; null: the record is in the topic.</param>
    public async Task AbandonEventuallyAsync(SubscriptionKey key, Task? write = null)
    {
        if (!_abandoning.TryAdd(key.Id, default))
            return;
        try
        {
            // The record is sent by then, or never. One that was sent is in the topic before the claim, or never.
            if (write is not null)
                await write.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            while (true)
            {
                try
                {
                    await AbandonAsync(key).ConfigureAwait(false);
                    return;
                }
                catch (OrleansMqException failure)
                {
                    LogNotRemoved(_logger, key.Id, key.Topic, failure);
                }
                await Task.Delay(RemovalPause).ConfigureAwait(false);
            }
        }
        finally
        {
            _abandoning.TryRemove(key.Id, out _);
        }
    }

    // The sweep removes the claim.
    private async Task AbandonAsync(SubscriptionKey key)
    {
        if (!Table.IsAbandoned(key.Id))
        {
            await WriteAsync(SubscriptionClaim.Abandoned, key, CancellationToken.None).ConfigureAwait(false);
            await CatchUpAsync(CancellationToken.None).ConfigureAwait(false);
        }
        if (Table.IsAbandoned(key.Id))
            await WriteAsync(key, null, CancellationToken.None).ConfigureAwait(false);
        else if (Table.IsResumed(key.Id))
            LogKept(_logger, key.Id, key.Topic);
    }

    // A claim is not written again where its outcome is unknown: each has its own key.
    private Task WriteAsync(SubscriptionClaim claim, SubscriptionKey key, CancellationToken cancellationToken) =>
        WriteAsync(new ClaimKey(Guid.NewGuid(), claim, key).ToBytes(), ClaimKey.Value.ToArray(), cancellationToken);

    // One that no other leader contradicts with a lower one later.
    private async Task<long> FindEndAsync()
    {
        var end = await _broker.FindOffsetAsync(_partition, OffsetSpec.LatestProven).ConfigureAwait(false);
        Throw(end.Error, end.Message);
        return end.Offset;
    }

    private async Task CatchUpOnceAsync()
    {
        if (_topicId is null)
        {
            if (!await ExistsAsync().ConfigureAwait(false))
                return;
            await CheckAsync(CancellationToken.None).ConfigureAwait(false);
        }
        var end = await FindEndAsync().ConfigureAwait(false);
        var topicId = (await _broker.GetTopicAsync(_partition.Topic).ConfigureAwait(false)).TopicId;
        _topicId ??= topicId;
        _isRead = true;
        if (end < _position || topicId != _topicId)
        {
            throw new BrokerException(ErrorCode.OffsetOutOfRange, $"{_partition} ends at {end} and was read up to {_position}: it "
                + "was deleted and created again, and explicit subscriptions wait. "
                + "Restart the silo to go on without those that were deleted.");
        }
        while (_position < end)
        {
            using var fetched = await _broker.FetchAsync(new FetchRequest(_partition, _position) { MaxWait = MaxWait })
                .ConfigureAwait(false);
            Throw(fetched.Error, fetched.Message);
            var before = _position;
            Apply(fetched.Records);
            // Compaction may have removed the last records below the end.
            if (_position == before && fetched.HighWatermark >= end)
                _position = end;
        }
        if (Table.Begun == _told)
            return;
        _told = Table.Begun;
        if (_begun.CurrentCount == 0)
            _begun.Release();
    }

    // A broker's memory of topics may be behind. That there is none is confirmed by the topic's owner, which creates it before a
    // subscription is answered.
    private async Task<bool> ExistsAsync()
    {
        try
        {
            await _broker.GetTopicAsync(_partition.Topic).ConfigureAwait(false);
            return true;
        }
        catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition)
        {
        }
        try
        {
            await _broker.DescribeTopicAsync(_partition.Topic).ConfigureAwait(false);
            return true;
        }
        catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return false;
        }
    }

    private void Apply(ReadOnlyMemory<byte> batches)
    {
        using var reader = new RecordReader(batches, StandardCodecs.All);
        try
        {
            while (reader.MoveNext())
            {
                if (reader.Current.Offset < _position)
                    continue;
                if (!reader.Batch.IsControl && reader.Current.Key is { } key)
                    Apply(reader.Current.Offset, key, reader.Current.Value);
                Volatile.Write(ref _position, reader.Current.Offset + 1);
            }
        }
        catch (RecordBatchException unreadable)
        {
            // It is no failure of the events that wait for it.
            throw new BrokerException(ErrorCode.CorruptMessage, $"{_partition} has a batch from offset {_position} on that cannot be read: "
                + $"{unreadable.Message} Explicit subscriptions wait.", unreadable);
        }
    }

    private void Apply(long offset, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte>? value)
    {
        try
        {
            Table.Apply(key.Span, value);
        }
        catch (Exception foreign) when (foreign is System.Text.Json.JsonException or FormatException or ArgumentException)
        {
            LogForeign(_logger, _partition, offset, foreign);
        }
    }

    private void Throw(ErrorCode error, string? message)
    {
        if (error != ErrorCode.None)
            throw new BrokerException(error, message ?? $"{_partition} cannot be read: {error}. Explicit subscriptions wait.");
    }

    [LoggerMessage(5, LogLevel.Warning, "Topic {Topic} with explicit subscriptions is not flushed with each record, and could not be "
        + "altered: a loss of power of its brokers may undo subscriptions. A silo tries again when it starts. Or: omq topic alter {Topic} "
        + "--config flush.messages=1.")]
    private static partial void LogNotFlushed(ILogger logger, string topic, Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "Subscription {Subscription} to topic {Topic}, whose outcome was unknown to its grain, is not "
        + "removed yet; retrying.")]
    private static partial void LogNotRemoved(ILogger logger, Guid subscription, string topic, Exception reason);

    [LoggerMessage(4, LogLevel.Information, "Subscription {Subscription} to topic {Topic}, whose outcome was unknown to the call that made "
        + "it, stays: an activation has resumed it.")]
    private static partial void LogKept(ILogger logger, Guid subscription, string topic);

    [LoggerMessage(3, LogLevel.Information, "A record of {Topic}, of a replay that is over, was not removed; retrying later.")]
    private static partial void LogLeft(ILogger logger, string topic, Exception reason);

    [LoggerMessage(1, LogLevel.Warning, "Ignored the record at {Partition}, offset {Offset}: it is no subscription.")]
    private static partial void LogForeign(ILogger logger, TopicPartition partition, long offset, Exception reason);
}
