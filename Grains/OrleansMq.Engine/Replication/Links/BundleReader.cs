using System.Buffers.Binary;
using OrleansMq.Log;

namespace OrleansMq.Replication.Links;

/// <summary>
/// Reads the messages of a bundle: see <see cref="BundleFormat"/>. A push's batches are slices of the bundle. Lengths beyond the bytes and
/// impossible values throw <see cref="BundleFormatException"/>. The appender checks record batches beyond their headers.
/// </summary>
internal struct BundleReader
{
    private readonly ReadOnlyMemory<byte> _bundle;
    private int _position;

    /// <summary>Begins to read.</summary>
    /// <exception cref="BundleFormatException">Another version, or not a bundle at all.</exception>
    public BundleReader(ReadOnlyMemory<byte> bundle)
    {
        _bundle = bundle;
        if (bundle.Length == 0)
            return; // No messages.
        var version = bundle.Span[0] & BundleFormat.VersionBits;
        if (version != BundleFormat.Version)
            throw new BundleFormatException($"A bundle has version {version}; this broker reads {BundleFormat.Version}.");
        _position = BundleFormat.EmptyBytes;
    }

    /// <summary>Reads the next message; false at the end.</summary>
    /// <exception cref="BundleFormatException">The message is malformed.</exception>
    public bool TryRead(out ReplicaKey key, out ReplicationMessage message)
    {
        (key, message) = (default, null!);
        if (_position == _bundle.Length)
            return false;
        var rest = _bundle[_position..];
        if (rest.Length < BundleFormat.HeaderBytes)
            throw Bad($"{rest.Length} bytes are not a whole header");
        var length = BinaryPrimitives.ReadInt32BigEndian(rest.Span);
        if (length < BundleFormat.HeaderBytes - 4 || length > rest.Length - 4)
            throw Bad($"a length of {length} with {rest.Length - 4} bytes left");
        var bytes = rest[..(length + 4)];
        var header = bytes.Span;
        key = new ReplicaKey(new Guid(header[5..21], bigEndian: true), BinaryPrimitives.ReadInt32BigEndian(header[21..]));
        var talk = (key.TopicId, BinaryPrimitives.ReadInt32BigEndian(header[25..]), BinaryPrimitives.ReadInt32BigEndian(header[29..]));
        var body = bytes[BundleFormat.HeaderBytes..];
        message = (MessageKind)header[4] switch
        {
            MessageKind.Push => ReadPush(talk, body),
            MessageKind.PushAnswer => ReadPushAnswer(talk, Exactly(body, BundleFormat.PushAnswerBytes).Span),
            MessageKind.AlignRequest => ReadAlignRequest(talk, Exactly(body, BundleFormat.AlignRequestBytes).Span),
            MessageKind.AlignAnswer => ReadAlignAnswer(talk, Exactly(body, BundleFormat.AlignAnswerBytes).Span),
            var kind => throw Bad($"kind {(byte)kind}"),
        };
        _position += bytes.Length;
        return true;
    }

    private readonly Push ReadPush((Guid TopicId, int Epoch, int Session) talk, ReadOnlyMemory<byte> body)
    {
        if (body.Length < BundleFormat.PushBytes)
            throw Bad($"a push of {body.Length} bytes");
        var fields = body.Span;
        var count = BinaryPrimitives.ReadInt32BigEndian(fields[64..]);
        if (count < 0 || count > (body.Length - BundleFormat.PushBytes) / BundleFormat.EpochBytes)
            throw Bad($"a push with {count} epochs in {body.Length} bytes");
        var epochs = count == 0 ? [] : new LeaderEpochEntry[count];
        for (var i = 0; i < count; i++)
        {
            var entry = fields[(BundleFormat.PushBytes + i * BundleFormat.EpochBytes)..];
            epochs[i] = new LeaderEpochEntry(BinaryPrimitives.ReadInt32BigEndian(entry), BinaryPrimitives.ReadInt64BigEndian(entry[4..]));
        }
        return new Push(talk.TopicId, talk.Epoch, talk.Session, Leader: BinaryPrimitives.ReadInt32BigEndian(fields),
            Sequence: BinaryPrimitives.ReadInt64BigEndian(fields[4..]), PreviousEnd: BinaryPrimitives.ReadInt64BigEndian(fields[12..]),
            PreviousEpoch: BinaryPrimitives.ReadInt32BigEndian(fields[20..]),
            Batches: ReadBatches(body[(BundleFormat.PushBytes + count * BundleFormat.EpochBytes)..]),
            EndOffset: BinaryPrimitives.ReadInt64BigEndian(fields[24..]), Epochs: epochs,
            LogStart: BinaryPrimitives.ReadInt64BigEndian(fields[32..]),
            HighWatermark: BinaryPrimitives.ReadInt64BigEndian(fields[40..]), LeaderEnd: BinaryPrimitives.ReadInt64BigEndian(fields[48..]),
            SentAt: BinaryPrimitives.ReadInt64BigEndian(fields[56..]));
    }

    private readonly IReadOnlyList<ReplicatedBatch> ReadBatches(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.IsEmpty)
            return [];
        var batches = new List<ReplicatedBatch>();
        if (!ReplicatedBatches.TrySplit(bytes, batches))
            throw Bad("what a push holds is not whole record batches");
        return batches;
    }

    private static PushAnswer ReadPushAnswer((Guid TopicId, int Epoch, int Session) talk, ReadOnlySpan<byte> body) =>
        new(talk.TopicId, talk.Epoch, talk.Session, ReadIdentity(body), BinaryPrimitives.ReadInt64BigEndian(body[20..]),
            (PushAnswerOutcome)body[28], BinaryPrimitives.ReadInt32BigEndian(body[29..]), BinaryPrimitives.ReadInt64BigEndian(body[33..]),
            BinaryPrimitives.ReadInt64BigEndian(body[41..]), BinaryPrimitives.ReadInt64BigEndian(body[49..]))
        {
            LogStart = BinaryPrimitives.ReadInt64BigEndian(body[57..]),
        };

    private static AlignRequest ReadAlignRequest((Guid TopicId, int Epoch, int Session) talk, ReadOnlySpan<byte> body) =>
        new(talk.TopicId, talk.Epoch, talk.Session, ReadIdentity(body), BinaryPrimitives.ReadInt32BigEndian(body[20..]));

    private static AlignAnswer ReadAlignAnswer((Guid TopicId, int Epoch, int Session) talk, ReadOnlySpan<byte> body) =>
        new(talk.TopicId, talk.Epoch, talk.Session, BinaryPrimitives.ReadInt32BigEndian(body),
            BinaryPrimitives.ReadInt32BigEndian(body[4..]),
            new LeaderEpochEntry(BinaryPrimitives.ReadInt32BigEndian(body[8..]), BinaryPrimitives.ReadInt64BigEndian(body[12..])),
            BinaryPrimitives.ReadInt32BigEndian(body[20..])) { ErasedEnd = BinaryPrimitives.ReadInt64BigEndian(body[24..]) };

    private static ReplicaIdentity ReadIdentity(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadInt32BigEndian(bytes), new Guid(bytes[4..20], bigEndian: true));

    private readonly ReadOnlyMemory<byte> Exactly(ReadOnlyMemory<byte> body, int length) =>
        body.Length == length ? body : throw Bad($"a body of {body.Length} bytes where {length} belong");

    private readonly BundleFormatException Bad(string what) =>
        new($"A bundle of {_bundle.Length} bytes is malformed at byte {_position}: {what}.");
}
