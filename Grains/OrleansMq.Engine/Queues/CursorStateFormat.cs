namespace OrleansMq.Queues;

/// <summary>
/// The encoding of a cursor's state, in statements and snapshots. The same state has the same bytes: sets are written in order, whatever
/// they are in memory. Numbers are varlongs; a list begins with its length.
/// <code>
/// version i8 | floor | delivered up to | next sequence | totals: count, each
/// configuration: name | max deliveries | limited count i8 | backoff: first, multiplier, most, jitter | flags i8 (bit 0: dead-letter
///   target: 16 bytes, partition; 1: single active consumer; 2: by key; 3: time to live; 4: schedules; 5: the target's name; 6: time to
///   live of all; 7: filter) | look-ahead | records per turn | max exceptions | max length | overflow i8 | priority levels | time to live
///   of all, if there is one | filter, if there is one | in version 1: limits i8 (bit 0: max length 0; 1: max bytes) | max bytes, if
///   there are
/// settled ranges: distance, length - 1
/// returns, by offset: distance | deliveries | failures | available at, negative where it follows from a delay | that delay
/// intents, by sequence: see WriteIntent
/// </code>
/// The version is 0, and 1 with one of the limits that a broker of version 0 does not know: that broker does not follow.
/// </summary>
internal static class CursorStateFormat
{
    private const int Version = 1;
    private const int TargetFlag = 1;
    private const int SingleActiveConsumerFlag = 2;
    private const int ByKeyFlag = 4;
    private const int TimeToLiveFlag = 8;
    private const int SchedulesFlag = 16;
    private const int TargetNameFlag = 32;
    private const int TimeToLiveOfAllFlag = 64;
    private const int FilterFlag = 128;
    private const int NoBacklogLimit = 1;
    private const int BytesLimit = 2;
    // An intent's cause with these bits is followed by the reason, and the origin. Brokers that know neither meet an unknown cause.
    private const int ReasonFlag = 64;
    private const int OriginFlag = 128;
    private static readonly SettlementCause[] Causes = Enum.GetValues<SettlementCause>();

    /// <summary>Encodes a state, with another configuration if one is given.</summary>
    public static byte[] Encode(CursorState state, CursorConfiguration? configuration = null)
    {
        configuration ??= state.Configuration;
        var limits = LimitsOf(configuration);
        var writer = new TransitionWriter();
        writer.Byte(limits == 0 ? 0 : Version);
        writer.Number(state.Floor);
        writer.Number(state.DeliveredUpTo);
        writer.Number(state.NextSequence);
        writer.Number(Causes.Length);
        foreach (var cause in Causes)
            writer.Number(state.Total(cause));
        WriteConfiguration(writer, configuration);
        if (limits != 0)
            writer.Byte(limits);
        if (configuration.MaxBytes is { } bytes)
            writer.Number(bytes);
        writer.Ranges([.. state.Settled]);
        WriteReturns(writer, [.. state.Returns.Values.OrderBy(returned => returned.Offset)]);
        writer.Number(state.Intents.Count);
        foreach (var intent in state.Intents.Values)
            WriteIntent(writer, intent);
        return writer.Written.ToArray();
    }

    /// <summary>Decodes a state. Its statement's offset is not part of it.</summary>
    /// <exception cref="InvalidDataException">The bytes are no state, or one of a later version.</exception>
    public static CursorState Decode(int cursorId, Guid incarnation, ReadOnlySpan<byte> bytes)
    {
        var reader = new TransitionReader(bytes);
        if (reader.Byte() is var version && version is not (0 or Version))
            throw new UnknownTransitionException("The statement of a cursor has a later version than this broker knows.");
        var (floor, deliveredUpTo, nextSequence) = (reader.Number(), reader.Number(), reader.Number());
        Span<long> totals = stackalloc long[Causes.Length];
        var count = reader.Length(1);
        if (count > totals.Length)
            throw new UnknownTransitionException("The statement of a cursor counts causes that this broker does not know.");
        totals.Clear();
        for (var i = 0; i < count; i++)
            totals[i] = reader.Number();
        var configuration = ReadConfiguration(ref reader);
        var state = new CursorState(cursorId, incarnation, version == 0 ? configuration : ReadLimits(ref reader, configuration), floor);
        state.Restore(nextSequence, deliveredUpTo, totals);
        foreach (var range in reader.Ranges())
            state.Restore(range);
        foreach (var returned in ReadReturns(ref reader))
            state.Restore(returned);
        for (var left = reader.Length(1); left > 0; left--)
            state.Intend(ReadIntent(ref reader));
        return reader.IsAtEnd ? state : throw new InvalidDataException("The statement of a cursor has more bytes than its state.");
    }

    /// <summary>Writes returned records in order of their offsets.</summary>
    public static void WriteReturns(TransitionWriter writer, IReadOnlyList<ReturnedRecord> returns)
    {
        writer.Number(returns.Count);
        var previous = 0L;
        foreach (var returned in returns)
        {
            writer.Number(returned.Offset - previous);
            writer.Counts(returned.Counts);
            writer.Number(returned.DelayMs > 0 ? -returned.AvailableAt : returned.AvailableAt);
            if (returned.DelayMs > 0)
                writer.Number(returned.DelayMs);
            previous = returned.Offset;
        }
    }

    public static List<ReturnedRecord> ReadReturns(ref TransitionReader reader)
    {
        var returns = new List<ReturnedRecord>(reader.Length(4));
        var previous = 0L;
        for (var left = returns.Capacity; left > 0; left--)
        {
            previous += reader.Number();
            var (counts, availableAt) = (reader.Counts(), reader.Number());
            returns.Add(new ReturnedRecord(previous, counts, Math.Abs(availableAt))
            {
                DelayMs = availableAt < 0 ? reader.Number() : 0,
            });
        }
        return returns;
    }

    public static void WriteIntent(TransitionWriter writer, DeadLetterIntent intent)
    {
        writer.Number(intent.Sequence);
        writer.Id(intent.Incarnation);
        writer.Number(intent.Offset);
        writer.Id(intent.Target.TopicId);
        writer.Number(intent.Target.Partition);
        writer.Byte((int)intent.Cause | (intent.Reason is null ? 0 : ReasonFlag) | (intent.Origin == 0 ? 0 : OriginFlag));
        if (intent.Reason is not null)
            writer.Text(intent.Reason);
        if (intent.Origin != 0)
            writer.Number(intent.Origin);
        writer.Counts(intent.Counts);
        writer.Number(intent.DecidedAt);
    }

    public static DeadLetterIntent ReadIntent(ref TransitionReader reader)
    {
        var (sequence, incarnation, offset) = (reader.Number(), reader.Id(), reader.Number());
        var target = new DeadLetterTarget(reader.Id(), reader.SmallNumber());
        var cause = reader.Cause(ReasonFlag | OriginFlag, out var flags);
        var reason = (flags & ReasonFlag) != 0 ? reader.Text() : null;
        var origin = (flags & OriginFlag) != 0 ? reader.Number() : 0;
        return new DeadLetterIntent(sequence, incarnation, offset, target, cause, reader.Counts(), reader.Number())
        {
            Reason = reason,
            Origin = origin,
        };
    }

    private static void WriteConfiguration(TransitionWriter writer, CursorConfiguration configuration)
    {
        writer.Text(configuration.Name);
        writer.Number(configuration.MaxDeliveries);
        writer.Byte((int)configuration.LimitedCount);
        writer.Number(configuration.Backoff.FirstMs);
        writer.Number(configuration.Backoff.Multiplier);
        writer.Number(configuration.Backoff.MostMs);
        writer.Number(configuration.Backoff.JitterPercent);
        writer.Byte((configuration.DeadLetterTarget is null ? 0 : TargetFlag)
            | (configuration.IsSingleActiveConsumer ? SingleActiveConsumerFlag : 0) | (configuration.IsOrderedByKey ? ByKeyFlag : 0)
            | (configuration.HasTimeToLive ? TimeToLiveFlag : 0) | (configuration.HasSchedules ? SchedulesFlag : 0)
            | (configuration.DeadLetterTopic is null ? 0 : TargetNameFlag) | (configuration.TimeToLiveMs > 0 ? TimeToLiveOfAllFlag : 0)
            | (configuration.Filter is null ? 0 : FilterFlag));
        if (configuration.DeadLetterTarget is { } target)
        {
            writer.Id(target.TopicId);
            writer.Number(target.Partition);
        }
        if (configuration.DeadLetterTopic is not null)
            writer.Text(configuration.DeadLetterTopic);
        writer.Number(configuration.LookAhead);
        writer.Number(configuration.RecordsPerTurn);
        writer.Number(configuration.MaxExceptions);
        writer.Number(configuration.MaxLength ?? 0);
        writer.Byte((int)configuration.Overflow);
        writer.Number(configuration.PriorityLevels);
        if (configuration.TimeToLiveMs > 0)
            writer.Number(configuration.TimeToLiveMs);
        if (configuration.Filter is not null)
            writer.Text(configuration.Filter);
    }

    private static int LimitsOf(CursorConfiguration configuration) =>
        (configuration.MaxLength == 0 ? NoBacklogLimit : 0) | (configuration.MaxBytes is null ? 0 : BytesLimit);

    private static CursorConfiguration ReadLimits(ref TransitionReader reader, CursorConfiguration configuration)
    {
        var limits = reader.Byte();
        if ((limits & ~(NoBacklogLimit | BytesLimit)) != 0)
            throw new UnknownTransitionException($"The statement of a cursor has the limits {limits}, which this broker does not know.");
        return configuration with
        {
            MaxLength = (limits & NoBacklogLimit) != 0 ? 0 : configuration.MaxLength,
            MaxBytes = (limits & BytesLimit) != 0 ? reader.Number() : null,
        };
    }

    private static CursorConfiguration ReadConfiguration(ref TransitionReader reader)
    {
        var name = reader.Text();
        var (maxDeliveries, limited) = (reader.SmallNumber(), (LimitedCount)reader.Byte());
        var backoff = new BackoffSchedule(reader.SmallNumber(), reader.SmallNumber(), reader.SmallNumber(), reader.SmallNumber());
        var flags = reader.Byte();
        DeadLetterTarget? target = (flags & TargetFlag) != 0 ? new DeadLetterTarget(reader.Id(), reader.SmallNumber()) : null;
        var targetName = (flags & TargetNameFlag) != 0 ? reader.Text() : null;
        return new CursorConfiguration
        {
            Name = name,
            MaxDeliveries = maxDeliveries,
            LimitedCount = limited,
            Backoff = backoff,
            DeadLetterTarget = target,
            DeadLetterTopic = targetName,
            IsSingleActiveConsumer = (flags & SingleActiveConsumerFlag) != 0,
            IsOrderedByKey = (flags & ByKeyFlag) != 0,
            HasTimeToLive = (flags & TimeToLiveFlag) != 0,
            HasSchedules = (flags & SchedulesFlag) != 0,
            LookAhead = reader.SmallNumber(),
            RecordsPerTurn = reader.SmallNumber(),
            MaxExceptions = reader.SmallNumber(),
            MaxLength = reader.Number() is not 0 and var length ? length : null,
            Overflow = (OverflowAction)reader.Byte(),
            PriorityLevels = reader.SmallNumber(),
            TimeToLiveMs = (flags & TimeToLiveOfAllFlag) != 0 ? reader.Number() : 0,
            Filter = (flags & FilterFlag) != 0 ? reader.Text() : null,
        };
    }
}

/// <summary>A transition of a later version. A replica that meets one cannot derive the state: it leaves the in-sync replicas, and cannot
/// lead.</summary>
internal sealed class UnknownTransitionException(string message) : Exception(message);
