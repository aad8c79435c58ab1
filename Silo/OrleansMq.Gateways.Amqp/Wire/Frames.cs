using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>The types of frames.</summary>
internal enum FrameType
{
    /// <summary>None.</summary>
    None = 0,
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

/// <summary>The head of a frame.</summary>
/// <param name="Type">The type, which may be unknown.</param>
/// <param name="Channel">The channel; 0 is the connection itself.</param>
/// <param name="Size">The bytes of the payload.</param>
internal readonly record struct FrameHead(FrameType Type, ushort Channel, uint Size)
{
    /// <summary>The size of a head, in bytes.</summary>
    public const int Bytes = 7;

    /// <summary>Reads a head.</summary>
    public static FrameHead Read(ReadOnlySpan<byte> bytes) =>
        new((FrameType)bytes[0], BinaryPrimitives.ReadUInt16BigEndian(bytes[1..]), BinaryPrimitives.ReadUInt32BigEndian(bytes[3..]));
}

/// <summary>The head of a content.</summary>
/// <param name="ClassId">The class, which is basic's.</param>
/// <param name="BodyBytes">The size of the body that follows.</param>
internal readonly record struct ContentHead(ushort ClassId, ulong BodyBytes)
{
    /// <summary>The size of the head in front of the properties: class, weight, size of the body.</summary>
    public const int Bytes = 12;

    /// <summary>Reads a head.</summary>
    /// <exception cref="AmqpException">The payload is too short.</exception>
    public static ContentHead Read(ReadOnlySpan<byte> payload) => payload.Length >= Bytes
        ? new(BinaryPrimitives.ReadUInt16BigEndian(payload), BinaryPrimitives.ReadUInt64BigEndian(payload[4..]))
        : throw new AmqpException(ReplyCode.SyntaxError, $"a content header has {payload.Length} bytes, at least {Bytes} are needed");
}

/// <summary>
/// Frames on the wire.
/// <code>
/// octet type | uint16 channel | uint32 size | payload | octet 0xCE
/// payload of a method: uint16 class | uint16 method | arguments
/// payload of a header: uint16 class | uint16 weight = 0 | uint64 body size | properties
/// </code>
/// </summary>
internal static class Frames
{
    /// <summary>The last octet of each frame.</summary>
    public const byte End = 0xCE;

    /// <summary>What a frame has besides its payload, in bytes.</summary>
    public const int Overhead = FrameHead.Bytes + 1;

    /// <summary>The size of class and method in front of the arguments.</summary>
    public const int MethodIdBytes = 4;

    /// <summary>Reads the payload of a method frame.</summary>
    /// <exception cref="AmqpException">There is no such method, or its arguments are malformed.</exception>
    public static IMethod ReadMethod(ReadOnlySpan<byte> payload, NamePool? names = null)
    {
        var id = ReadMethodId(payload);
        var reader = new FieldReader(payload[MethodIdBytes..], id, names);
        var method = Methods.MethodTable.Read(id, ref reader);
        reader.ExpectEnd();
        return method;
    }

    /// <summary>Reads which method a payload has.</summary>
    /// <exception cref="AmqpException">The payload is too short.</exception>
    public static MethodId ReadMethodId(ReadOnlySpan<byte> payload) => payload.Length >= MethodIdBytes
        ? new(BinaryPrimitives.ReadUInt16BigEndian(payload), BinaryPrimitives.ReadUInt16BigEndian(payload[2..]))
        : throw new AmqpException(ReplyCode.SyntaxError, $"a method frame has {payload.Length} bytes, at least {MethodIdBytes} are needed");

    /// <summary>Appends a method, or nothing if it cannot be written.</summary>
    /// <exception cref="ArgumentException">A short string is too long.</exception>
    public static void WriteMethod<T>(PooledBuffer output, ushort channel, in T method)
        where T : IMethod
    {
        var start = output.Length;
        try
        {
            Begin(output, FrameType.Method, channel);
            var writer = new FieldWriter(output);
            var id = method.Id;
            writer.WriteUInt16(id.ClassId);
            writer.WriteUInt16(id.Index);
            method.Write(ref writer);
            Finish(output, start);
        }
        catch
        {
            output.Truncate(start);
            throw;
        }
    }

    /// <summary>Appends a method and its content, or nothing if they cannot be written.</summary>
    /// <param name="output">Where it is appended.</param>
    /// <param name="channel">The channel.</param>
    /// <param name="method">The method.</param>
    /// <param name="properties">Flags and values of the content's properties.</param>
    /// <param name="body">The content's body.</param>
    /// <param name="frameMax">The largest frame; the body is divided.</param>
    public static void WriteContent<T>(PooledBuffer output, ushort channel, in T method, ReadOnlySpan<byte> properties,
        ReadOnlySpan<byte> body, int frameMax)
        where T : IMethod
    {
        var before = output.Length;
        try
        {
            WriteMethod(output, channel, method);
            var start = Begin(output, FrameType.Header, channel);
            var writer = new FieldWriter(output);
            writer.WriteUInt16(method.Id.ClassId);
            writer.WriteUInt16(0);
            writer.WriteUInt64((ulong)body.Length);
            output.Write(properties);
            Finish(output, start);
            for (var most = frameMax - Overhead; !body.IsEmpty; body = body[Math.Min(most, body.Length)..])
            {
                start = Begin(output, FrameType.Body, channel);
                output.Write(body[..Math.Min(most, body.Length)]);
                Finish(output, start);
            }
        }
        catch
        {
            output.Truncate(before);
            throw;
        }
    }

    /// <summary>Appends a heartbeat.</summary>
    public static void WriteHeartbeat(PooledBuffer output) => Finish(output, Begin(output, FrameType.Heartbeat, 0));

    private static int Begin(PooledBuffer output, FrameType type, ushort channel)
    {
        var start = output.Length;
        var head = output.GetSpan(FrameHead.Bytes);
        head[0] = (byte)type;
        BinaryPrimitives.WriteUInt16BigEndian(head[1..], channel);
        output.Advance(FrameHead.Bytes);
        return start;
    }

    private static void Finish(PooledBuffer output, int start)
    {
        var size = output.Length - start - FrameHead.Bytes;
        BinaryPrimitives.WriteInt32BigEndian(output.WrittenSpan[(start + 3)..], size);
        output.GetSpan(1)[0] = End;
        output.Advance(1);
    }
}
