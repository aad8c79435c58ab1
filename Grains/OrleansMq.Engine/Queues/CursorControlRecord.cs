using OrleansMq.Records;

namespace OrleansMq.Queues;

/// <summary>
/// Transitions of a round as a <see cref="ControlRecord"/>. The value begins as that of a transaction marker. Big-endian:
/// <code>
/// key:   0 version i16 = 0 | 2 type i16 = 100
/// value: 0 version i16 = 0 | 2 transitions i32 | each: kind i8 (1 delta, 2 statement, 3 removal) | cursor id | incarnation, 16 bytes
///   delta:     sections i8 (bit 0 settlements, 1 returns, 2 intents, 3 finished, 4 delivered up to), then each present one:
///     settlements: count, each: cause i8 | records | ranges          returns, intents: as in CursorStateFormat
///     finished:    count, each: sequence | published i8              delivered up to: an offset
///   statement: length | the state, as in CursorStateFormat
///   removal:   nothing
/// </code>
/// Numbers without a width are varlongs.
/// </summary>
internal static class CursorControlRecord
{
    /// <summary>The control record's type. Kafka reserves 0 to 6.</summary>
    public const short Type = 100;

    private const short Version = 0;
    private const int Delta = 1;
    private const int Statement = 2;
    private const int Removal = 3;
    private const int SettlementsSection = 1;
    private const int ReturnsSection = 2;
    private const int IntentsSection = 4;
    private const int FinishedSection = 8;
    private const int DeliveredUpToSection = 16;
    private const int KnownSections = SettlementsSection | ReturnsSection | IntentsSection | FinishedSection | DeliveredUpToSection;

    /// <summary>Whether a control record has transitions of cursors.</summary>
    public static bool IsKey(ReadOnlySpan<byte> key) => ControlRecord.IsKey(key, Type);

    /// <summary>Finds the transitions of cursors in a batch.</summary>
    /// <inheritdoc cref="ControlRecord.TryFind"/>
    public static bool TryFind(in RecordBatchHeader header, ReadOnlySpan<byte> batch, out ReadOnlySpan<byte> value) =>
        ControlRecord.TryFind(header, batch, Type, out value);

    /// <summary>Adds the one record of a control batch to an empty, uncompressed builder without producer.</summary>
    /// <param name="batch">The builder.</param>
    /// <param name="timestamp">The leader's time, in milliseconds since 1970.</param>
    /// <param name="transitions">The transitions of the round, in order.</param>
    public static void AddTo(RecordBatchBuilder batch, long timestamp, IReadOnlyList<CursorTransition> transitions) =>
        ControlRecord.AddTo(batch, timestamp, Type, Encode(transitions));

    /// <summary>Encodes the record's value.</summary>
    public static byte[] Encode(IReadOnlyList<CursorTransition> transitions)
    {
        var writer = new TransitionWriter();
        writer.Int16(Version);
        writer.Int32(transitions.Count);
        foreach (var transition in transitions)
        {
            writer.Byte(transition switch { CursorDelta => Delta, CursorStatement => Statement, _ => Removal });
            writer.Number(transition.CursorId);
            writer.Id(transition.Incarnation);
            if (transition is CursorDelta delta)
                Write(writer, delta);
            else if (transition is CursorStatement statement)
                writer.Bytes(statement.State.Span);
        }
        return writer.Written.ToArray();
    }

    /// <summary>Decodes the record's value.</summary>
    /// <exception cref="UnknownTransitionException">It has a later version.</exception>
    /// <exception cref="InvalidDataException">The bytes are no transitions.</exception>
    public static IReadOnlyList<CursorTransition> Decode(ReadOnlySpan<byte> value)
    {
        var reader = new TransitionReader(value);
        if (reader.Int16() != Version)
            throw new UnknownTransitionException("A transition of cursors has a later version than this broker knows.");
        var transitions = new List<CursorTransition>();
        for (var left = reader.Int32(); left > 0; left--)
        {
            var (kind, cursorId, incarnation) = (reader.Byte(), reader.SmallNumber(), reader.Id());
            transitions.Add(kind switch
            {
                Delta => ReadDelta(ref reader, cursorId, incarnation),
                Statement => new CursorStatement(cursorId, incarnation, reader.Bytes().ToArray()),
                Removal => new CursorRemoval(cursorId, incarnation),
                _ => throw new UnknownTransitionException($"A transition of cursors has the kind {kind}, which this broker does not know."),
            });
        }
        return reader.IsAtEnd ? transitions : throw new InvalidDataException("A transition of cursors has more bytes than it says.");
    }

    private static void Write(TransitionWriter writer, CursorDelta delta)
    {
        writer.Byte((delta.Settlements.Count > 0 ? SettlementsSection : 0) | (delta.Returns.Count > 0 ? ReturnsSection : 0)
            | (delta.Intents.Count > 0 ? IntentsSection : 0) | (delta.Finished.Count > 0 ? FinishedSection : 0)
            | (delta.DeliveredUpTo > 0 ? DeliveredUpToSection : 0));
        if (delta.Settlements.Count > 0)
        {
            writer.Number(delta.Settlements.Count);
            foreach (var settlement in delta.Settlements)
            {
                writer.Byte((int)settlement.Cause);
                writer.Number(settlement.Count);
                writer.Ranges([.. settlement.Ranges]);
            }
        }
        if (delta.Returns.Count > 0)
            CursorStateFormat.WriteReturns(writer, delta.Returns);
        if (delta.Intents.Count > 0)
        {
            writer.Number(delta.Intents.Count);
            foreach (var intent in delta.Intents)
                CursorStateFormat.WriteIntent(writer, intent);
        }
        if (delta.Finished.Count > 0)
        {
            writer.Number(delta.Finished.Count);
            foreach (var finished in delta.Finished)
            {
                writer.Number(finished.Sequence);
                writer.Byte(finished.IsPublished ? 1 : 0);
            }
        }
        if (delta.DeliveredUpTo > 0)
            writer.Number(delta.DeliveredUpTo);
    }

    private static CursorDelta ReadDelta(ref TransitionReader reader, int cursorId, Guid incarnation)
    {
        var sections = reader.Byte();
        if ((sections & ~KnownSections) != 0)
            throw new UnknownTransitionException($"A change of a cursor has the sections {sections}, which this broker does not know.");
        var settlements = new List<Settlement>();
        for (var left = (sections & SettlementsSection) != 0 ? reader.Length(3) : 0; left > 0; left--)
            settlements.Add(new Settlement(reader.Cause(), reader.Number(), reader.Ranges()));
        var returns = (sections & ReturnsSection) != 0 ? CursorStateFormat.ReadReturns(ref reader) : [];
        var intents = new List<DeadLetterIntent>();
        for (var left = (sections & IntentsSection) != 0 ? reader.Length(1) : 0; left > 0; left--)
            intents.Add(CursorStateFormat.ReadIntent(ref reader));
        var finished = new List<FinishedIntent>();
        for (var left = (sections & FinishedSection) != 0 ? reader.Length(2) : 0; left > 0; left--)
            finished.Add(new FinishedIntent(reader.Number(), reader.Byte() != 0));
        return new CursorDelta(cursorId, incarnation)
        {
            Settlements = settlements,
            Returns = returns,
            Intents = intents,
            Finished = finished,
            DeliveredUpTo = (sections & DeliveredUpToSection) != 0 ? reader.Number() : 0,
        };
    }
}
