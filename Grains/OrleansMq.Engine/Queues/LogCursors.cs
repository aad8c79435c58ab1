using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Queues;

/// <summary>
/// The cursors of a log at its end, derived from its control records alone. They stand in <c>LogState</c> beside the producers.
/// </summary>
/// <remarks>A batch that is about to be written is not staged here: only the leader's <see cref="Cursor"/> looks ahead. Apply it when its
/// write is done.</remarks>
internal sealed class LogCursors
{
    private const short SnapshotVersion = 0;
    private const int CrcOffset = 2;
    private const int BodyOffset = 6;

    private readonly SortedDictionary<int, CursorState> _cursors = [];
    private readonly ReplacedPlaces _replaced = new();

    /// <summary>The cursors by id.</summary>
    public IReadOnlyDictionary<int, CursorState> Cursors => _cursors;

    /// <summary>Whether the log has held a transition.</summary>
    public bool IsUsed { get; private set; }

    /// <summary>The lowest free cursor id. Ids are reused; the incarnation tells cursors apart.</summary>
    public int FreeId
    {
        get
        {
            var id = 0;
            while (_cursors.ContainsKey(id))
                id++;
            return id;
        }
    }

    /// <summary>Records below it are needed by no cursor; null without cursors: then the topic's own retention decides.</summary>
    public long? NeededFrom => _cursors.Count == 0 ? null : _cursors.Values.Min(cursor => cursor.NeededFrom);

    /// <summary>The lowest record that is being dead-lettered; <see cref="long.MaxValue"/> for none. One whose letter is confirmed is not
    /// among them, also before that is in force: its target has it.</summary>
    public long DeadLettersFrom => _cursors.Values.Select(cursor => cursor.DeadLettersFrom).DefaultIfEmpty(long.MaxValue).Min();

    /// <inheritdoc cref="CursorState.HasDeadLettersIn"/>
    public bool HasDeadLettersIn(OffsetRange range) => _cursors.Values.Any(cursor => cursor.HasDeadLettersIn(range));

    /// <summary>Adds the offsets of a range that a cursor may still need: all but those that each has settled. Without a cursor nothing is
    /// settled.</summary>
    public void AddNeeded(OffsetRange range, OffsetSet needed)
    {
        if (_cursors.Count == 0)
            needed.Add(range);
        foreach (var cursor in _cursors.Values)
            cursor.AddNeeded(range, needed);
    }

    /// <summary>Returns a number of offsets of a range that are needed, without a walk over them. There may be more.</summary>
    public long NeededAtLeast(OffsetRange range) => _cursors.Values.Select(cursor => cursor.Unsettled(range))
        .DefaultIfEmpty(range.Count).Max();

    /// <summary>Returns the highest offset at which the log may start: it keeps each cursor's newest statement in force, and the records
    /// that are being dead-lettered.</summary>
    /// <param name="highWatermark">Transitions below it are in force.</param>
    /// <returns><see cref="long.MaxValue"/> without cursors.</returns>
    public long StartBound(long highWatermark)
    {
        var bound = _replaced.KeptFrom(highWatermark);
        foreach (var cursor in _cursors.Values)
            bound = Math.Min(bound, cursor.KeptFrom);
        return bound;
    }

    /// <summary>Applies a control record's value.</summary>
    /// <param name="offset">Its batch's offset.</param>
    /// <param name="value">The value; its key is one of <see cref="CursorControlRecord.IsKey"/>.</param>
    /// <exception cref="UnknownTransitionException">It has a later version: this replica cannot follow.</exception>
    /// <exception cref="InvalidDataException">The bytes are no transitions.</exception>
    public void Apply(long offset, ReadOnlySpan<byte> value) => Apply(offset, CursorControlRecord.Decode(value));

    /// <summary>Applies transitions, all or, with an exception, none.</summary>
    /// <exception cref="UnknownTransitionException">A statement has a later version.</exception>
    /// <exception cref="InvalidDataException">The bytes of a statement are no state.</exception>
    public void Apply(long offset, IReadOnlyList<CursorTransition> transitions)
    {
        CursorState?[]? stated = null;
        for (var i = 0; i < transitions.Count; i++)
        {
            if (transitions[i] is CursorStatement statement)
                (stated ??= new CursorState?[transitions.Count])[i] = CursorState.From(statement, offset);
        }
        for (var i = 0; i < transitions.Count; i++)
        {
            var transition = transitions[i];
            var before = _cursors.GetValueOrDefault(transition.CursorId);
            var keptFrom = transition is CursorDelta { Finished.Count: 0 } ? long.MaxValue : before?.KeptFrom ?? long.MaxValue;
            // A delta of an unknown cursor is older than the statement that the log still has.
            var after = stated?[i] ?? Apply(before, transition, offset);
            if (after is not null)
                _cursors[transition.CursorId] = after;
            else
                _cursors.Remove(transition.CursorId);
            if (keptFrom < (after?.KeptFrom ?? long.MaxValue))
                _replaced.Add(offset, keptFrom);
        }
        IsUsed = true;
    }

    /// <summary>Returns a cursor's state after a transition; null: there is no such cursor then.</summary>
    /// <param name="state">The state before, which may be changed; null: no cursor.</param>
    /// <param name="transition">The transition.</param>
    /// <param name="offset">Its batch's offset.</param>
    public static CursorState? Apply(CursorState? state, CursorTransition transition, long offset)
    {
        switch (transition)
        {
            case CursorStatement statement:
                return CursorState.From(statement, offset);
            case CursorDelta delta:
                state?.Apply(delta);
                return state;
            default:
                return state?.Incarnation == transition.Incarnation ? null : state;
        }
    }

    /// <summary>Encodes a snapshot: version i16, CRC-32C of the rest u32, the number of cursors, and of each id, incarnation, statement's
    /// offset and state.</summary>
    public byte[] EncodeSnapshot()
    {
        var writer = new TransitionWriter();
        writer.Int16(SnapshotVersion);
        writer.Int32(0);
        writer.Number(_cursors.Count);
        foreach (var state in _cursors.Values)
        {
            writer.Number(state.Id);
            writer.Id(state.Incarnation);
            writer.Number(state.StatementOffset);
            writer.Bytes(CursorStateFormat.Encode(state));
        }
        var bytes = writer.Written.ToArray();
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(CrcOffset), Crc32C.Compute(bytes.AsSpan(BodyOffset)));
        return bytes;
    }

    /// <summary>Decodes a snapshot.</summary>
    /// <returns>Null if it is damaged, or of another version: an older one serves, or none.</returns>
    public static LogCursors? TryDecodeSnapshot(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < BodyOffset || BinaryPrimitives.ReadInt16BigEndian(bytes) != SnapshotVersion
            || BinaryPrimitives.ReadUInt32BigEndian(bytes[CrcOffset..]) != Crc32C.Compute(bytes[BodyOffset..]))
            return null;
        var reader = new TransitionReader(bytes[BodyOffset..]);
        var cursors = new LogCursors { IsUsed = true };
        for (var left = reader.Length(1); left > 0; left--)
        {
            var (id, incarnation, statementOffset) = (reader.SmallNumber(), reader.Id(), reader.Number());
            var state = CursorStateFormat.Decode(id, incarnation, reader.Bytes());
            state.RestoreStatementOffset(statementOffset);
            cursors._cursors.Add(id, state);
        }
        return cursors;
    }
}
