using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Dedupe;

/// <summary>An id that the log remembers.</summary>
/// <param name="Id">The id.</param>
/// <param name="Offset">Its record's offset.</param>
/// <param name="Time">The leader's time of its append, in milliseconds since 1970.</param>
internal readonly record struct RememberedId(UInt128 Id, long Offset, long Time);

/// <summary>A change of what a log remembers.</summary>
/// <param name="ForgetBelow">Ids of records below this offset are forgotten.</param>
/// <param name="Time">The leader's time, in milliseconds since 1970. It goes back within a log only with a statement that forgets
/// all.</param>
internal abstract record DedupeChange(long ForgetBelow, long Time);

/// <summary>The ids of the next batch. They are remembered when that batch follows, and forgotten if it does not.</summary>
/// <param name="ForgetBelow">Ids of records below this offset are forgotten.</param>
/// <param name="Time">The leader's time, in milliseconds since 1970.</param>
/// <param name="Crc">The CRC of that batch, by which it is recognised.</param>
/// <param name="Ids">The ids, each with its record's offset minus the batch's.</param>
internal sealed record DedupeClaims(long ForgetBelow, long Time, uint Crc, IReadOnlyList<(int Delta, UInt128 Id)> Ids)
    : DedupeChange(ForgetBelow, Time);

/// <summary>Ids that earlier records told, told again, so that the log may start behind those.</summary>
/// <param name="ForgetBelow">Ids of records below this offset are forgotten.</param>
/// <param name="Time">The leader's time, in milliseconds since 1970.</param>
/// <param name="Ids">The ids.</param>
internal sealed record DedupeStatement(long ForgetBelow, long Time, IReadOnlyList<RememberedId> Ids) : DedupeChange(ForgetBelow, Time);

/// <summary>
/// A change of what a log remembers as a <see cref="ControlRecord"/>. The value begins as that of a transaction marker. Big-endian:
/// <code>
/// value: 0 version i16 = 0 | 2 ids i32 | kind i8 (1 claims, 2 statement) | forget below | time
///   claims:    crc | each: delta | id, 16 bytes
///   statement: each: offset | time | id, 16 bytes
/// </code>
/// Numbers without a width are varlongs.
/// </summary>
internal static class DedupeRecord
{
    /// <summary>The control record's type.</summary>
    public const short Type = 101;

    private const short Version = 0;
    private const int Claims = 1;
    private const int Statement = 2;
    private const int IdBytes = 16;

    /// <summary>Finds the change in a batch.</summary>
    /// <inheritdoc cref="ControlRecord.TryFind"/>
    public static bool TryFind(in RecordBatchHeader header, ReadOnlySpan<byte> batch, out ReadOnlySpan<byte> value) =>
        ControlRecord.TryFind(header, batch, Type, out value);

    /// <summary>Returns the most bytes that the batch of claims can have.</summary>
    public static int MostBytes(int ids) => RecordBatchHeader.Size + 128 + (ids * (IdBytes + VarInt.MaxSize));

    /// <summary>Makes the control batch of a statement.</summary>
    /// <param name="statement">The statement.</param>
    /// <param name="timestamp">The broker's time, by which retention and lookups by time take it.</param>
    public static byte[] Build(DedupeStatement statement, long timestamp) => Build((DedupeChange)statement, timestamp);

    /// <summary>Makes the control batch of claims. Its timestamp is just below those of the batch that it precedes: a lookup by time finds
    /// the record, or what stands right before it.</summary>
    /// <param name="claims">The claims.</param>
    /// <param name="batch">The header of the batch that it precedes.</param>
    public static byte[] Build(DedupeClaims claims, in RecordBatchHeader batch) =>
        Build(claims, Math.Max(-1, (batch.IsLogAppendTime ? batch.MaxTimestamp : batch.BaseTimestamp) - 1));

    private static byte[] Build(DedupeChange change, long timestamp)
    {
        using var builder = new RecordBatchBuilder(initialCapacity: 512);
        ControlRecord.AddTo(builder, timestamp, Type, Encode(change));
        return builder.Build().ToArray();
    }

    /// <summary>Encodes the record's value.</summary>
    public static ReadOnlySpan<byte> Encode(DedupeChange change)
    {
        var writer = new TransitionWriter();
        writer.Int16(Version);
        writer.Int32(change is DedupeClaims { Ids.Count: var claimed } ? claimed : ((DedupeStatement)change).Ids.Count);
        writer.Byte(change is DedupeClaims ? Claims : Statement);
        writer.Number(change.ForgetBelow);
        writer.Number(change.Time);
        if (change is DedupeClaims claims)
        {
            writer.Number(claims.Crc);
            foreach (var (delta, id) in claims.Ids)
            {
                writer.Number(delta);
                writer.Hash(id);
            }
        }
        else
        {
            foreach (var remembered in ((DedupeStatement)change).Ids)
            {
                writer.Number(remembered.Offset);
                writer.Number(remembered.Time);
                writer.Hash(remembered.Id);
            }
        }
        return writer.Written;
    }

    /// <summary>Decodes the record's value.</summary>
    /// <exception cref="UnknownTransitionException">It has a later version.</exception>
    /// <exception cref="InvalidDataException">The bytes are no change.</exception>
    public static DedupeChange Decode(ReadOnlySpan<byte> value)
    {
        var reader = new TransitionReader(value);
        if (reader.Int16() != Version)
            throw new UnknownTransitionException("A record of message ids has a later version than this broker knows.");
        var (count, kind, forgetBelow, time) = (reader.Int32(), reader.Byte(), reader.Number(), reader.Number());
        if (count < 0 || count > value.Length / IdBytes)
            throw new InvalidDataException($"A record of message ids has {value.Length} bytes, which cannot hold {count} ids.");
        DedupeChange change = kind switch
        {
            Claims => new DedupeClaims(forgetBelow, time, (uint)reader.Number(), ReadClaims(ref reader, count)),
            Statement => new DedupeStatement(forgetBelow, time, ReadStatement(ref reader, count)),
            _ => throw new UnknownTransitionException($"A record of message ids has the kind {kind}, which this broker does not know."),
        };
        return reader.IsAtEnd ? change : throw new InvalidDataException("A record of message ids has more bytes than it says.");
    }

    private static (int Delta, UInt128 Id)[] ReadClaims(ref TransitionReader reader, int count)
    {
        var ids = new (int, UInt128)[count];
        for (var i = 0; i < count; i++)
            ids[i] = (reader.SmallNumber(), reader.Hash());
        return ids;
    }

    private static RememberedId[] ReadStatement(ref TransitionReader reader, int count)
    {
        var ids = new RememberedId[count];
        for (var i = 0; i < count; i++)
        {
            var (offset, time) = (reader.Number(), reader.Number());
            ids[i] = new RememberedId(reader.Hash(), offset, time);
        }
        return ids;
    }
}
