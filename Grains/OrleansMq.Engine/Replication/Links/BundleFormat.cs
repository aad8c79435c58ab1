namespace OrleansMq.Replication.Links;

/// <summary>
/// The wire format between brokers: messages of many partitions in one bundle. All numbers are big-endian; a topic id is a UUID's 16 bytes,
/// most significant first.
/// <code>
/// bundle         first u8: version 3 in the lower 6 bits, marks above | message *  (up to the end)
/// marks          0x80 the batches are of catching-up replicas | 0x40 the sender has live traffic (in answers to such)
/// message        length i32, of what follows | kind u8 | topic id 16 | partition i32 | epoch i32 | session i32 | body
/// 1 push         leader i32 | sequence i64 | previous end i64 | previous epoch i32 | end offset i64 | log start i64 | high watermark i64
///                | leader end i64 | sent at i64 | number of epochs i32 | (epoch i32, start offset i64) * | record batches, up to the end
/// 2 push answer  follower | sequence i64 | outcome u8 | fence i32 | log end i64 | counted end i64 | sent at i64 | log start i64
/// 3 align        follower | asked epoch i32
/// 4 align answer leader i32 | asked epoch i32 | epoch i32 | end offset i64 | unclean epoch i32 | erased end i64
/// follower       broker i32 | incarnation, 16 bytes
/// </code>
/// </summary>
internal static class BundleFormat
{
    /// <summary>The version that this program writes, and the only one it reads. Any change of the format raises it: a broker of another
    /// version is then refused by that name, not by the first message that does not fit.</summary>
    public const byte Version = 3;
    /// <summary>The bits of the first byte that hold the version.</summary>
    public const byte VersionBits = 0x3F;
    /// <summary>The size of a bundle without messages.</summary>
    public const int EmptyBytes = 1;
    /// <summary>The size of a message before its body, including its length.</summary>
    public const int HeaderBytes = 4 + 1 + 16 + 4 + 4 + 4;
    /// <summary>The size of a push's body before its epochs and batches.</summary>
    public const int PushBytes = 4 + 8 + 8 + 4 + 8 + 8 + 8 + 8 + 8 + 4;
    /// <summary>The size of an epoch.</summary>
    public const int EpochBytes = 4 + 8;
    /// <summary>The size of a member.</summary>
    public const int IdentityBytes = 4 + 16;
    /// <summary>The size of a push answer's body.</summary>
    public const int PushAnswerBytes = IdentityBytes + 8 + 1 + 4 + 8 + 8 + 8 + 8;
    /// <summary>The size of an align request's body.</summary>
    public const int AlignRequestBytes = IdentityBytes + 4;
    /// <summary>The size of an align answer's body.</summary>
    public const int AlignAnswerBytes = 4 + 4 + 4 + 8 + 4 + 8;

    /// <summary>Adds marks to a bundle that has begun.</summary>
    public static void Mark(Span<byte> bundle, BundleMarks marks) => bundle[0] |= (byte)marks;

    /// <summary>Returns the marks of a bundle; none if it is empty.</summary>
    public static BundleMarks MarksOf(ReadOnlySpan<byte> bundle) =>
        bundle.IsEmpty ? BundleMarks.None : (BundleMarks)(bundle[0] & ~VersionBits);
}

/// <summary>Properties of a bundle that are needed before it is decoded.</summary>
[Flags]
internal enum BundleMarks : byte
{
    /// <summary>A bundle of the live lane.</summary>
    None = 0,
    /// <summary>In an answer: client records are being appended on the answering broker.</summary>
    SenderIsLive = 0x40,
    /// <summary>Its batches are of catching-up replicas, so it gives way to other bundles.</summary>
    CatchUp = 0x80,
}

/// <summary>The kinds of messages, by their number on the wire.</summary>
internal enum MessageKind : byte
{
    /// <summary>Never sent.</summary>
    Unknown = 0,
    /// <summary><see cref="Replication.Push"/>.</summary>
    Push = 1,
    /// <summary><see cref="Replication.PushAnswer"/>.</summary>
    PushAnswer = 2,
    /// <summary><see cref="Replication.AlignRequest"/>.</summary>
    AlignRequest = 3,
    /// <summary><see cref="Replication.AlignAnswer"/>.</summary>
    AlignAnswer = 4,
}
