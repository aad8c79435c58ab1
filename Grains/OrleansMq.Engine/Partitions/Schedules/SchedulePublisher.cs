using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// Appends the intents of one leadership of schedules to their targets: each intent as one batch of an idempotent producer, whose id and
/// sequences are in the schedules' log. Every leader sends the same batch, so the target has it once.
/// </summary>
/// <remarks>
/// The producer's epoch stays 0, since a higher one would begin at sequence 0 again. A stale leader needs no fence: it publishes intents
/// that are in force, which its successor publishes, too. A target keeps the last five batches of a producer; at most
/// <see cref="ScheduleOptions.IntentsPerTarget"/> are not over. It forgets an idle producer after a day, so an old intent is looked for in
/// the target's log before it is published again.
/// <para>A record that the target refuses for good is dropped, and leaves a gap in the sequences, as a target does that lost records. The
/// batches behind the gap are looked for in the log, then appended without a producer: at least once, until the target has forgotten the
/// producer.</para>
/// </remarks>
internal sealed class SchedulePublisher(Partition partition, IBroker broker, long producerId)
{
    // Far below the time after which an idle producer is forgotten, far above that of a failover.
    private const long LookFirstAfterMs = 3_600_000;
    // The clocks of two brokers differ by less.
    private const long ClockSkewMs = 600_000;
    private const int MostBytesAtOnce = 1 << 20;

    /// <summary>Publishes an intent.</summary>
    /// <exception cref="IOException">The schedules' log cannot be read.</exception>
    /// <exception cref="BrokerException">The target cannot be looked at now.</exception>
    public async Task<PublishOutcome> PublishAsync(ScheduleIntent intent, CancellationToken cancellationToken)
    {
        var payloads = new ScheduledPayload[intent.Timers.Count];
        // Copied: the log's memory is lent for the call only.
        ScheduleLog.ReadPayloads(partition, intent.Timers, (index, payload) => payloads[index] = ScheduledPayload.Decode(
            payload?.Encode() ?? throw new InvalidDataException($"The log has no record of {intent.Timers[index]}, which is decided.")));
        var target = new TopicPartition(payloads[0].Topic, intent.Target.Partition);
        if (await FindTopicAsync(broker, target.Topic, intent.Target.TopicId, cancellationToken).ConfigureAwait(false) is not { } topic
            || topic.TopicId != intent.Target.TopicId)
            return PublishOutcome.TargetGone;
        var isOld = partition.Ports.Log.Now - intent.DecidedAt > LookFirstAfterMs;
        return await AppendAsync(target, intent, payloads, 0, payloads.Length, isOld, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Returns a topic; null if there surely is none. What this broker remembers of topics may be a moment behind: its answer that
    /// there is none is confirmed.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="name">The topic.</param>
    /// <param name="expected">Its id; empty: any.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task<TopicListing?> FindTopicAsync(IBroker broker, string name, Guid expected, CancellationToken cancellationToken)
    {
        try
        {
            var known = await broker.GetTopicAsync(name, cancellationToken).ConfigureAwait(false);
            if (expected == Guid.Empty || known.TopicId == expected)
                return known;
        }
        catch (BrokerException refusal) when (refusal.Code == ErrorCode.UnknownTopicOrPartition)
        {
        }
        try
        {
            var topic = await broker.DescribeTopicAsync(name, cancellationToken).ConfigureAwait(false);
            return new TopicListing(topic.Name, topic.TopicId, topic.Partitions.Count);
        }
        catch (BrokerException refusal) when (refusal.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return null;
        }
    }

    private async Task<PublishOutcome> AppendAsync(TopicPartition target, ScheduleIntent intent, ScheduledPayload[] payloads, int first,
        int count, bool isInDoubt, CancellationToken cancellationToken)
    {
        var sequence = Sequence(intent.FirstSequence + first);
        if (isInDoubt && await HasAsync(target, intent.DecidedAt, sequence, cancellationToken).ConfigureAwait(false))
            return PublishOutcome.Published;
        var result = await ProduceAsync(target, intent, payloads, first, count, sequence, cancellationToken).ConfigureAwait(false);
        if (result.Error == ErrorCode.OutOfOrderSequenceNumber)
        {
            if (await HasAsync(target, intent.DecidedAt, sequence, cancellationToken).ConfigureAwait(false))
                return PublishOutcome.Published;
            Warn($"{target} has a gap before sequence {sequence} of the schedules' producer {producerId}: it refused or lost records. "
                + $"{count} scheduled records are appended without it.");
            result = await ProduceAsync(target, intent, payloads, first, count, sequence: -1, cancellationToken).ConfigureAwait(false);
        }
        switch (result.Error)
        {
            case ErrorCode.None or ErrorCode.DuplicateSequenceNumber:
                return PublishOutcome.Published;
            case ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord or ErrorCode.InvalidTimestamp when count > 1:
                var half = count / 2;
                var outcome = await AppendAsync(target, intent, payloads, first, half, isInDoubt, cancellationToken).ConfigureAwait(false);
                return outcome != PublishOutcome.Published ? outcome
                    : await AppendAsync(target, intent, payloads, first + half, count - half, isInDoubt, cancellationToken)
                        .ConfigureAwait(false);
            case ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord or ErrorCode.InvalidTimestamp:
                Warn($"{target} refuses the record of schedule '{payloads[first].Id}', which is dropped: {result.Message}");
                return PublishOutcome.Published;
            default:
                return PublishOutcome.Unknown;
        }
    }

    private async Task<ProduceResult> ProduceAsync(TopicPartition target, ScheduleIntent intent, ScheduledPayload[] payloads, int first,
        int count, int sequence, CancellationToken cancellationToken)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var payload in payloads.AsSpan(first, count))
            builder.Add(intent.DecidedAt, payload.Key.GetValueOrDefault().Span, payload.Key.HasValue,
                payload.Value.GetValueOrDefault().Span, payload.Value.HasValue, [.. payload.Headers]);
        if (sequence >= 0)
            builder.SetProducer(producerId, 0, sequence);
        return await broker.ProduceAsync(target, builder.Build(), Acks.All, cancellationToken).ConfigureAwait(false);
    }

    // Whether the target's log has a record of this producer with this sequence, not older than the decision.
    private async Task<bool> HasAsync(TopicPartition target, long decidedAt, int sequence, CancellationToken cancellationToken)
    {
        var found = await broker.FindOffsetAsync(target, OffsetSpec.AtOrAfter(Math.Max(decidedAt - ClockSkewMs, 0)), cancellationToken)
            .ConfigureAwait(false);
        if (found.Error != ErrorCode.None)
            throw new BrokerException(found.Error, found.Message ?? $"No offset of {target} was found.");
        for (var offset = found.Offset; offset >= 0;)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(target, offset, MostBytesAtOnce), cancellationToken)
                .ConfigureAwait(false);
            if (fetched.Error != ErrorCode.None)
                throw new BrokerException(fetched.Error, fetched.Message ?? $"{target} could not be read.");
            if (fetched.Records.IsEmpty)
                return false;
            for (var batches = fetched.Records; !batches.IsEmpty;)
            {
                var header = RecordBatchHeader.Read(batches.Span);
                if (header.ProducerId == producerId && !header.IsControl
                    && Sequence((long)sequence - header.BaseSequence) <= header.LastOffsetDelta)
                    return true;
                offset = header.NextOffset;
                batches = batches[header.SizeInBytes..];
            }
        }
        return false;
    }

    // Sequences wrap from 2,147,483,647 to 0.
    private static int Sequence(long sequence) => (int)(sequence & int.MaxValue);

    private void Warn(string message) =>
        partition.Ports.EngineLog.Write(EngineLogLevel.Warning, $"Schedules of {partition.TopicPartition}: {message}");
}
