using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>
/// Splits subscriptions that do not keep pace with the others of their stream: a replay goes on for such a one with the first event that it
/// has not served, and the shared cursor passes it over. The replay's cursor exists before the split is written, so that retention keeps
/// its events; the split is in force before the shared cursor settles them. A subscription has served every event below the first one of
/// its split, whenever the record comes into force, so that a late one skips nothing. A split whose outcome is unknown is kept: the next
/// try finds out, and goes on with its cursor and its record where the subscription has served no more since. Thread-safe.
/// </summary>
/// <param name="provider">The provider.</param>
/// <param name="client">The broker.</param>
/// <param name="logger">Takes what is split, and what cannot be.</param>
internal sealed partial class StreamSplits(OrleansMqStreamProvider provider, OrleansMqClient client, ILogger logger)
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMinutes(1);

    private readonly CursorSources _sources = new(client);
    private readonly ConcurrentDictionary<string, long> _reported = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    // Splits that were chosen and are not known to be written, by their subscriptions.
    private readonly Dictionary<Guid, UndecidedSplit> _undecided = [];

    /// <summary>Splits a subscription, unless its topic has as many that are split as it may.</summary>
    /// <param name="stream">Its stream.</param>
    /// <param name="subscription">The subscription, as the shared cursor serves it.</param>
    /// <param name="partition">The partition of the event.</param>
    /// <param name="queue">The id of the shared cursor.</param>
    /// <param name="from">The first event that it has not served.</param>
    /// <param name="failures">How often that has failed.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>Whether it was written. The table then says what is in force.</returns>
    public async Task<bool> TrySplitAsync(StreamId stream, ExplicitSubscription subscription, int partition, Guid queue, long from,
        int failures, CancellationToken cancellationToken)
    {
        var topic = stream.GetNamespace()!;
        // A producer that chose the partition has broken the order of the stream: a replay reads one partition.
        if (partition != subscription.Partition)
            return false;
        if (provider.Subscriptions.Table.CountSplits(topic) >= provider.Options.MaxSplits)
        {
            if (MayReport(topic))
                LogFull(logger, topic, provider.Options.MaxSplits, subscription.Id, subscription.Grain);
            return false;
        }
        try
        {
            var source = new TopicPartition(topic, partition);
            var topicId = await _sources.FindTopicAsync(source, provider.Topics.ExplicitQueue, queue, cancellationToken)
                .ConfigureAwait(false);
            await WriteAsync(stream, subscription, queue, topicId, from, failures, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (OrleansMqException failure)
        {
            if (MayReport(topic))
                LogNotSplit(logger, subscription.Id, subscription.Grain, stream, failure);
            return false;
        }
    }

    /// <summary>Splits a subscription again whose replay was about to join the shared cursor.</summary>
    /// <param name="stream">Its stream.</param>
    /// <param name="subscription">The subscription.</param>
    /// <param name="from">The first event that the replay's cursor has not settled.</param>
    /// <param name="failures">How often that has failed there.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="OrleansMqException">It was not written, or that is not known.</exception>
    public Task SplitAgainAsync(StreamId stream, ExplicitSubscription subscription, long from, int failures,
        CancellationToken cancellationToken)
    {
        var replay = subscription.Replay!;
        return WriteAsync(stream, subscription, subscription.Queue, replay.TopicId, from, failures + replay.FailuresAt(from),
            cancellationToken);
    }

    private async Task WriteAsync(StreamId stream, ExplicitSubscription subscription, Guid queue, Guid topicId, long from, int failures,
        CancellationToken cancellationToken)
    {
        var table = provider.Subscriptions.Table;
        var chosen = Choose(stream, subscription, queue, topicId, from, failures);
        // The subscription has served more since.
        if (chosen.Write.Replay.From != from && await chosen.Write.TryAbandonAsync(cancellationToken).ConfigureAwait(false))
        {
            Forget(subscription.Id, chosen);
            DeleteLater(chosen);
            chosen = Choose(stream, subscription, queue, topicId, from, failures);
        }
        var split = chosen.Write.Replay;
        if (!table.HasRecord(split.Id))
        {
            await provider.Topics.CreateReplayQueueAsync(chosen.Partition, stream.Key, split, cancellationToken)
                .ConfigureAwait(false);
        }
        await chosen.Write.TryAsync(cancellationToken).ConfigureAwait(false);
        Forget(subscription.Id, chosen);
        var key = OrleansMqStreamProvider.KeyOf(stream, subscription.Id);
        if (table.Find(stream, subscription.Id)?.Replay?.Id == split.Id)
        {
            LogSplit(logger, subscription.Id, subscription.Grain, stream, split.From, chosen.Partition);
            provider.Subscriptions.RemoveProgress(key, subscription.Replay, withOrigin: false);
        }
        else
        {
            // Another silo was first, or the grain has unsubscribed or resumed from a token.
            provider.Subscriptions.RemoveProgress(key, split, withOrigin: false);
            DeleteLater(chosen);
        }
    }

    private void Forget(Guid subscription, UndecidedSplit decided)
    {
        lock (_lock)
        {
            if (_undecided.GetValueOrDefault(subscription) == decided)
                _undecided.Remove(subscription);
        }
    }

    // The split of an earlier try, where that may still come into force.
    private UndecidedSplit Choose(StreamId stream, ExplicitSubscription subscription, Guid queue, Guid topicId, long from, int failures)
    {
        lock (_lock)
        {
            // What has come into force since, or never can.
            foreach (var (id, other) in _undecided.ToList())
            {
                var current = provider.Subscriptions.Table.Find(other.Stream, id);
                if (current?.IsContinuedBy(other.Write.Replay) == true)
                    continue;
                _undecided.Remove(id);
                if (current?.Replay?.Id != other.Write.Replay.Id)
                    DeleteLater(other);
            }
            if (_undecided.TryGetValue(subscription.Id, out var before) && before.Write.Queue == queue
                && before.Write.Replay.TopicId == topicId && subscription.IsNext(before.Write.Replay))
                return before;
            // The cursor of one that it takes the place of is left to the sweep: it may come into force yet.
            var write = new ReplayWrite(provider.Subscriptions, OrleansMqStreamProvider.KeyOf(stream, subscription.Id), queue,
                subscription.Split(topicId, from, failures));
            return _undecided[subscription.Id] = new UndecidedSplit(stream, new TopicPartition(stream.GetNamespace()!,
                subscription.Partition), write);
        }
    }

    private void DeleteLater(UndecidedSplit split) =>
        _ = StreamReplays.DeleteLaterAsync(client, split.Partition, provider.Topics.QueueOf(split.Write.Replay), logger);

    private bool MayReport(string topic)
    {
        var now = TimeProvider.System.GetTimestamp();
        var last = _reported.GetOrAdd(topic, now);
        return last == now || (TimeProvider.System.GetElapsedTime(last, now) >= ReportInterval && _reported.TryUpdate(topic, now, last));
    }

    private sealed record UndecidedSplit(StreamId Stream, TopicPartition Partition, ReplayWrite Write);

    [LoggerMessage(1, LogLevel.Information, "Subscription {Subscription} of grain {Grain} to stream {Stream} is slower than others of the "
        + "stream: it continues on its own from offset {From} of {Partition}, and joins them again when it has caught up.")]
    private static partial void LogSplit(ILogger logger, Guid subscription, GrainId grain, StreamId stream, long from,
        TopicPartition partition);

    [LoggerMessage(2, LogLevel.Warning, "Topic {Topic} has {MaxSplits} or more subscriptions that continue on their own, as many as it may "
        + "have: subscription {Subscription} of grain {Grain} is slow, and holds the others of its stream. Raise MaxSplits, or remove "
        + "subscriptions that no grain serves.")]
    private static partial void LogFull(ILogger logger, string topic, int maxSplits, Guid subscription, GrainId grain);

    [LoggerMessage(3, LogLevel.Warning, "Subscription {Subscription} of grain {Grain} to stream {Stream} is slow and cannot continue on "
        + "its own now: it holds the others of the stream; retrying.")]
    private static partial void LogNotSplit(ILogger logger, Guid subscription, GrainId grain, StreamId stream, Exception reason);
}
