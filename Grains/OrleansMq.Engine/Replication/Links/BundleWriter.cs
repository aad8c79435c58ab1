using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>Writes messages one after the other: see <see cref="BundleFormat"/>. Not thread safe.</summary>
internal static class BundleWriter
{
    /// <summary>Returns the size of a message in bytes.</summary>
    public static int SizeOf(ReplicationMessage message) => BundleFormat.HeaderBytes + message switch
    {
        Push push => SizeOf(push),
        PushAnswer => BundleFormat.PushAnswerBytes,
        AlignRequest => BundleFormat.AlignRequestBytes,
        AlignAnswer => BundleFormat.AlignAnswerBytes,
        _ => throw new ArgumentException($"There is no wire format for a {message.GetType().Name}.", nameof(message)),
    };

    /// <summary>Adds a message; the first one begins the bundle.</summary>
    public static void Add(PooledBuffer bundle, ReplicaKey key, ReplicationMessage message)
    {
        if (bundle.Length == 0)
        {
            bundle.GetSpan(1)[0] = BundleFormat.Version;
            bundle.Advance(1);
        }
        var size = SizeOf(message);
        var bytes = bundle.GetSpan(size)[..size];
        BinaryPrimitives.WriteInt32BigEndian(bytes, size - 4);
        key.TopicId.TryWriteBytes(bytes[5..], bigEndian: true, out _);
        BinaryPrimitives.WriteInt32BigEndian(bytes[21..], key.Partition);
        BinaryPrimitives.WriteInt32BigEndian(bytes[25..], message.Epoch);
        BinaryPrimitives.WriteInt32BigEndian(bytes[29..], message.Session);
        bytes[4] = (byte)WriteBody(bytes[BundleFormat.HeaderBytes..], message);
        bundle.Advance(size);
    }

    private static MessageKind WriteBody(Span<byte> body, ReplicationMessage message)
    {
        switch (message)
        {
            case Push push:
                Write(body, push);
                return MessageKind.Push;
            case PushAnswer answer:
                Write(body, answer);
                return MessageKind.PushAnswer;
            case AlignRequest request:
                WriteIdentity(body, request.Follower);
                BinaryPrimitives.WriteInt32BigEndian(body[20..], request.AskedEpoch);
                return MessageKind.AlignRequest;
            default:
                Write(body, (AlignAnswer)message);
                return MessageKind.AlignAnswer;
        }
    }

    private static int SizeOf(Push push)
    {
        var size = BundleFormat.PushBytes + push.Epochs.Count * BundleFormat.EpochBytes;
        foreach (var batch in push.Batches)
            size += batch.Bytes.Length;
        return size;
    }

    private static void Write(Span<byte> body, Push push)
    {
        BinaryPrimitives.WriteInt32BigEndian(body, push.Leader);
        BinaryPrimitives.WriteInt64BigEndian(body[4..], push.Sequence);
        BinaryPrimitives.WriteInt64BigEndian(body[12..], push.PreviousEnd);
        BinaryPrimitives.WriteInt32BigEndian(body[20..], push.PreviousEpoch);
        BinaryPrimitives.WriteInt64BigEndian(body[24..], push.EndOffset);
        BinaryPrimitives.WriteInt64BigEndian(body[32..], push.LogStart);
        BinaryPrimitives.WriteInt64BigEndian(body[40..], push.HighWatermark);
        BinaryPrimitives.WriteInt64BigEndian(body[48..], push.LeaderEnd);
        BinaryPrimitives.WriteInt64BigEndian(body[56..], push.SentAt);
        BinaryPrimitives.WriteInt32BigEndian(body[64..], push.Epochs.Count);
        var rest = body[BundleFormat.PushBytes..];
        foreach (var epoch in push.Epochs)
        {
            BinaryPrimitives.WriteInt32BigEndian(rest, epoch.Epoch);
            BinaryPrimitives.WriteInt64BigEndian(rest[4..], epoch.StartOffset);
            rest = rest[BundleFormat.EpochBytes..];
        }
        foreach (var batch in push.Batches)
        {
            batch.Bytes.Span.CopyTo(rest);
            rest = rest[batch.Bytes.Length..];
        }
    }

    private static void Write(Span<byte> body, PushAnswer answer)
    {
        WriteIdentity(body, answer.Follower);
        BinaryPrimitives.WriteInt64BigEndian(body[20..], answer.Sequence);
        body[28] = (byte)answer.Outcome;
        BinaryPrimitives.WriteInt32BigEndian(body[29..], answer.Fence);
        BinaryPrimitives.WriteInt64BigEndian(body[33..], answer.LogEnd);
        BinaryPrimitives.WriteInt64BigEndian(body[41..], answer.CountedEnd);
        BinaryPrimitives.WriteInt64BigEndian(body[49..], answer.SentAt);
        BinaryPrimitives.WriteInt64BigEndian(body[57..], answer.LogStart);
    }

    private static void Write(Span<byte> body, AlignAnswer answer)
    {
        BinaryPrimitives.WriteInt32BigEndian(body, answer.Leader);
        BinaryPrimitives.WriteInt32BigEndian(body[4..], answer.AskedEpoch);
        BinaryPrimitives.WriteInt32BigEndian(body[8..], answer.End.Epoch);
        BinaryPrimitives.WriteInt64BigEndian(body[12..], answer.End.StartOffset);
        BinaryPrimitives.WriteInt32BigEndian(body[20..], answer.UncleanEpoch);
        BinaryPrimitives.WriteInt64BigEndian(body[24..], answer.ErasedEnd);
    }

    private static void WriteIdentity(Span<byte> bytes, ReplicaIdentity identity)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes, identity.Broker);
        identity.Incarnation.TryWriteBytes(bytes[4..], bigEndian: true, out _);
    }
}
