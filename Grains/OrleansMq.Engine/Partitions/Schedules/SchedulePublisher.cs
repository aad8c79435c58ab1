using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// Appends intents to their targets. Their records are those of a producer that may skip sequences (<see cref="LetterProducers"/>), whose
/// origin and sequences are in the schedules' log. Every leader sends the same ones, so the target has each once.
/// </summary>
/// <remarks>
/// An intent is sent as one batch. A target that has some of its records, or refuses one of them, refuses the batch; it is then sent in
/// halves, in order. So only the records that are missing are appended, until one is refused: those behind it are not sent. A half that is
/// not answered ends the attempt: a later half would make it a duplicate. The next attempt begins with that half.
/// <para>A stale leader needs no fence: it publishes intents that are in force, which its successor publishes, too.</para>
/// </remarks>
internal sealed class SchedulePublisher(Partition partition, IBroker broker, ScheduleTopics topics, ScheduleRefusals refusals)
{
    private const int MostNames = 10_000;

    private readonly ConcurrentDictionary<(ScheduleTarget, long), Progress> _progress = [];
    private readonly ConcurrentDictionary<Guid, string> _names = [];

    // The runs of an intent that are not published, the first on top. An intent is published by one call at a time.
    private sealed class Progress(int count)
    {
        public Stack<(int First, int Count)> Left { get; } = new([(0, count)]);
    }

    /// <summary>Returns the name of the topic that an intent is for.</summary>
    /// <exception cref="IOException">The schedules' log cannot be read.</exception>
    /// <exception cref="InvalidDataException">The log lacks a record that is decided.</exception>
    public string TopicOf(ScheduleIntent intent)
    {
        if (_names.TryGetValue(intent.Target.TopicId, out var known))
            return known;
        if (_names.Count >= MostNames)
            _names.Clear();
        var name = "";
        ScheduleLog.ReadPayloads(partition, [intent.Timers[0]], (_, payload) => name = (payload ?? throw Lost(intent.Timers[0])).Topic);
        return _names[intent.Target.TopicId] = name;
    }

    /// <summary>Reads the records of an intent.</summary>
    /// <exception cref="IOException">The schedules' log cannot be read.</exception>
    /// <exception cref="InvalidDataException">The log lacks a record that is decided.</exception>
    public ScheduledPayload[] Read(ScheduleIntent intent)
    {
        var payloads = new ScheduledPayload[intent.Timers.Count];
        // Copied: the log's memory is lent for the call only.
        ScheduleLog.ReadPayloads(partition, intent.Timers, (index, payload) => payloads[index] = payload?.Copy()
            ?? throw Lost(intent.Timers[index]));
        return payloads;
    }

    internal static InvalidDataException Lost(in ScheduledTimer timer) =>
        new($"The log has no record of {timer}, which is decided.");

    /// <summary>Publishes an intent whose topic exists, as far as is known.</summary>
    /// <returns>What the target did, and which of its records it refused first.</returns>
    /// <exception cref="BrokerException">The target does not take it now.</exception>
    public async Task<(PublishOutcome Outcome, RefusedRecord? Refused)> PublishAsync(ScheduleIntent intent,
        ScheduledPayload[] payloads, CancellationToken cancellationToken)
    {
        var target = new TopicPartition(payloads[0].Topic, intent.Target.Partition);
        var progress = _progress.GetOrAdd((intent.Target, intent.FirstSequence), static (_, count) => new(count), payloads.Length);
        try
        {
            RefusedRecord? refused = null;
            while (refused is null && progress.Left.TryPeek(out var run))
                refused = await AppendAsync(target, intent, payloads, run, progress.Left, cancellationToken).ConfigureAwait(false);
            _progress.TryRemove((intent.Target, intent.FirstSequence), out _);
            return (PublishOutcome.Published, refused);
        }
        catch (BrokerException refusal) when (refusal.Code is ErrorCode.UnknownTopicId or ErrorCode.UnknownTopicOrPartition)
        {
            // What was known of the topic was a moment behind.
            if (await topics.IsGoneAsync(target.Topic, intent.Target.TopicId, cancellationToken).ConfigureAwait(false))
            {
                _progress.TryRemove((intent.Target, intent.FirstSequence), out _);
                return (PublishOutcome.TargetGone, null);
            }
            throw;
        }
    }

    // Returns the record that is refused; null: none of the run is, or the run is smaller now.
    private async Task<RefusedRecord?> AppendAsync(TopicPartition target, ScheduleIntent intent, ScheduledPayload[] payloads,
        (int First, int Count) run, Stack<(int First, int Count)> left, CancellationToken cancellationToken)
    {
        var (first, count) = run;
        var result = await ProduceAsync(target, intent, payloads, first, count, cancellationToken).ConfigureAwait(false);
        switch (result.Error)
        {
            case ErrorCode.None:
                left.Pop();
                return null;
            case ErrorCode.OutOfOrderSequenceNumber or ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord when count > 1:
                left.Pop();
                left.Push((first + count / 2, count - count / 2));
                left.Push((first, count / 2));
                return null;
            case ErrorCode.MessageTooLarge or ErrorCode.InvalidRecord:
                var payload = payloads[first];
                refusals.Note(payload.Topic, payload.TopicId);
                partition.Ports.FailedSchedules.Write(EngineLogLevel.Warning, $"Schedules of {partition.TopicPartition}: {target} refuses "
                    + $"the record of schedule '{payload.Id}', which waits and is tried again: {result.Message} "
                    + TopicLimits.Remedy(payload.Topic, result.Error));
                return new RefusedRecord(first, payload.EncodedBytes, payload.Repeats, IsLast(payload, intent.Timers[first].Handle.Due));
            default:
                throw new BrokerException(result.Error, $"{target}: {result.Message ?? result.Error.ToString()}");
        }
    }

    private bool IsLast(ScheduledPayload payload, long due)
    {
        try
        {
            return payload.Repeats && Repetition.Parse(payload.Cron, payload.TimeZone)
                .NextAfter(Math.Max(due, partition.Ports.Log.Now)) is null;
        }
        catch (FormatException)
        {
            // A later version, or another machine, knew what follows it.
            return false;
        }
    }

    private async Task<ProduceResult> ProduceAsync(TopicPartition target, ScheduleIntent intent, ScheduledPayload[] payloads, int first,
        int count, CancellationToken cancellationToken)
    {
        var builder = new RecordBatchBuilder();
        var now = partition.Ports.Log.Now;
        foreach (var payload in payloads.AsSpan(first, count))
            builder.Add(now, payload.Key.GetValueOrDefault().Span, payload.Key.HasValue, payload.Value.GetValueOrDefault().Span,
                payload.Value.HasValue, [.. payload.Headers]);
        var origin = LetterProducers.IdOfSchedules(partition.TopicId, partition.TopicPartition.Partition, intent.Origin);
        builder.SetProducer(origin, LetterProducers.ScheduleEpoch, LetterProducers.SequenceOf(intent.FirstSequence + first));
        var append = broker.ProduceToAsync(intent.Target.TopicId, target, builder.Build(), Acks.All, cancellationToken).AsTask();
        return await partition.Ports.SchedulePublishes.AnswerAsync(intent.Target, append, builder, cancellationToken)
            .ConfigureAwait(false);
    }
}
