using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Producers;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Brokers;

/// <summary>
/// Publishes the dead letters of this broker's cursors over the broker API: to a partition here, or wherever it is led. Thread safe.
/// </summary>
/// <remarks>
/// A letter is an ordinary record of an idempotent producer (<see cref="LetterProducers"/>), acknowledged by all in-sync replicas. Its
/// intent is in force at the source before, so every leader of the source publishes the same letters under the same sequences; the target's
/// producer state, which is decided under its append lock and derived from its log, admits each once. That also holds for a leader that
/// was replaced and does not know it: what it publishes late is a duplicate, and what it publishes early is one for its successor.
/// </remarks>
/// <param name="broker">Finds the broker, which the host makes later than its partitions.</param>
/// <param name="codecs">The codecs for a letter that is too large for its target otherwise.</param>
/// <param name="log">Receives warnings.</param>
/// <param name="time">The clock.</param>
internal sealed class DeadLetterPublisher(Func<IBroker> broker, CompressionCodecs codecs, EngineLog log, TimeProvider time)
    : IDeadLetterPort
{
    // A batch of a few letters shares an append; a large record has its own.
    private const int MostBatchBytes = 256 << 10;

    // gzip is built in; the others may be missing on some brokers.
    private static readonly CompressionType[] CodecsOfLargeLetters =
        [CompressionType.Gzip, CompressionType.Zstd, CompressionType.Lz4, CompressionType.Snappy];

    private readonly DeadLetterTopics _topics = new(broker, log, time);
    private readonly RareLine _refused = new(log, time);

    /// <inheritdoc/>
    public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
        CancellationToken cancellationToken) => _topics.FindForAsync(source, topic, current, cancellationToken);

    /// <inheritdoc/>
    public async Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
        CancellationToken cancellationToken)
    {
        var (topic, isGone) = await _topics.FindAsync(target.TopicId, source.TargetTopic, cancellationToken).ConfigureAwait(false);
        if (topic is null && !isGone)
            throw new BrokerException(ErrorCode.UnknownTopicOrPartition,
                $"The dead-letter topic {source.TargetTopic ?? target.TopicId.ToString()} was not found; it is looked up again.");
        (string Topic, DeadLetterTarget Target)? to = topic is not null ? (topic, target)
            : await _topics.FindSuccessorAsync(source, target.TopicId, cancellationToken).ConfigureAwait(false);
        while (to is { } known)
        {
            try
            {
                return await PublishAsync(source, known, letters, cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException refusal) when (refusal.Code is ErrorCode.UnknownTopicId or ErrorCode.UnknownTopicOrPartition)
            {
                // What was known of the topic may be a moment behind.
                if (!await _topics.IsGoneAsync(known.Target.TopicId, known.Topic, cancellationToken).ConfigureAwait(false))
                    throw;
            }
            to = await _topics.FindSuccessorAsync(source, known.Target.TopicId, cancellationToken).ConfigureAwait(false);
        }
        return DeadLetterOutcome.TargetGone;
    }

    private async Task<DeadLetterResult> PublishAsync(DeadLetterSource source, (string Topic, DeadLetterTarget Target) target,
        IReadOnlyList<DeadLetter> letters, CancellationToken cancellationToken)
    {
        var topic = target.Topic;
        await _topics.CheckAsync(source.Partition.Topic, topic, cancellationToken).ConfigureAwait(false);
        var dropped = letters.Where(letter => Letters.IsCycle(letter, topic)).Select(letter => letter.Intent.Sequence).ToHashSet();
        var to = (target.Target.TopicId, new TopicPartition(topic, target.Target.Partition));
        var sent = letters.Where(letter => !dropped.Contains(letter.Intent.Sequence)).ToList();
        for (var next = 0; next < sent.Count;)
        {
            var run = RunFrom(source, sent, next);
            if (!await TrySendAsync(source, to, run, dropped, cancellationToken).ConfigureAwait(false))
            {
                // The target has some of them: another leader sent them in other batches. Or it does not take one of them.
                foreach (var letter in run)
                    await TrySendAsync(source, to, [letter], dropped, cancellationToken).ConfigureAwait(false);
            }
            next += run.Count;
        }
        return new DeadLetterResult(DeadLetterOutcome.Published, dropped);
    }

    // The letters that fit into a batch: its sequences follow each other.
    private static List<DeadLetter> RunFrom(DeadLetterSource source, List<DeadLetter> letters, int first)
    {
        var run = new List<DeadLetter>();
        var bytes = 0L;
        for (var i = first; i < letters.Count; i++)
        {
            bytes += SizeOf(source, letters[i]);
            if (run.Count > 0 && (bytes > MostBatchBytes || letters[i].Intent.Incarnation != run[0].Intent.Incarnation
                || letters[i].Intent.Origin != run[0].Intent.Origin
                || letters[i].Intent.Sequence != run[^1].Intent.Sequence + 1))
                break;
            run.Add(letters[i]);
        }
        return run;
    }

    // Returns false if the letters are to be sent one by one.
    private async Task<bool> TrySendAsync(DeadLetterSource source, (Guid TopicId, TopicPartition Partition) target, List<DeadLetter> run,
        HashSet<long> dropped, CancellationToken cancellationToken)
    {
        var (topicId, to) = target;
        var first = run[0].Intent;
        using var batch = new RecordBatchBuilder(CompressionOf(source, run), codecs);
        foreach (var letter in run)
        {
            var (key, value) = (letter.Record.Key, letter.Record.Value);
            batch.Add(time.GetUtcNow().ToUnixTimeMilliseconds(), key.GetValueOrDefault().Span, key.HasValue,
                value.GetValueOrDefault().Span, value.HasValue, Letters.HeadersOf(source, letter));
        }
        batch.SetProducer(LetterProducers.IdOf(source.TopicId, source.Partition.Partition, first.Incarnation, first.Origin),
            LetterProducers.Epoch, LetterProducers.SequenceOf(first.Sequence));
        var result = await broker().ProduceToAsync(topicId, to, batch.Build(), Acks.All, cancellationToken).ConfigureAwait(false);
        if (result.Error == ErrorCode.None)
            return true;
        if (run.Count > 1 && (result.Error == ErrorCode.OutOfOrderSequenceNumber || IsForGood(result.Error)))
            return false;
        if (!IsForGood(result.Error))
            throw new BrokerException(result.Error, $"{to}: {result.Message ?? result.Error.ToString()}");
        dropped.Add(first.Sequence);
        _refused.Write(EngineLogLevel.Warning, $"The dead letter of {source.Partition} at offset {first.Offset} is dropped: {to} refuses "
            + $"it for good. {result.Message ?? result.Error.ToString()}");
        return true;
    }

    // A record may be larger than any batch that a topic accepts: its producer sent it compressed.
    private CompressionType CompressionOf(DeadLetterSource source, List<DeadLetter> run) =>
        run.Count > 1 || SizeOf(source, run[0]) <= LetterProducers.MostBatchBytes ? CompressionType.None
            : CodecsOfLargeLetters.FirstOrDefault(codec => codecs.WhyMissing(codec) is null, CompressionType.None);

    private static long SizeOf(DeadLetterSource source, in DeadLetter letter) => RecordBatchBuilder.MaxRecordSize(
        letter.Record.Key?.Length ?? 0, letter.Record.Value?.Length ?? 0, Letters.HeadersOf(source, letter));

    private static bool IsForGood(ErrorCode error) => error is ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord
        or ErrorCode.InvalidTimestamp or ErrorCode.CorruptMessage;
}
