using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>Encodes frames of AMQP 0-9-1, one behind the other: type, channel, size of the payload, payload and end. A frame is begun, gets
/// its values, and is ended.</summary>
internal sealed class AmqpFrameWriter
{
    private const ushort Basic = 60;
    private const ushort HasDeliveryMode = 1 << 12;
    private const byte Persistent = 2;

    private readonly List<byte> _bytes = [];
    private int _payload; // where that of the frame being built begins

    /// <summary>The encoded frames; valid until the next call.</summary>
    public ReadOnlySpan<byte> Bytes => CollectionsMarshal.AsSpan(_bytes);

    /// <summary>Drops the encoded frames.</summary>
    public void Clear() => _bytes.Clear();

    /// <summary>Begins a method, or the header of a content.</summary>
    /// <param name="type">The type of the frame.</param>
    /// <param name="channel">The channel.</param>
    /// <param name="first">The class.</param>
    /// <param name="second">The method; 0 in a header.</param>
    public void Begin(int type, ushort channel, ushort first, ushort second)
    {
        BeginFrame(type, channel);
        Short(first);
        Short(second);
    }

    /// <summary>Begins a frame.</summary>
    public void BeginFrame(int type, ushort channel)
    {
        Octet((byte)type);
        Short(channel);
        Int(0);
        _payload = _bytes.Count;
    }

    /// <summary>Ends a frame.</summary>
    public void End()
    {
        BinaryPrimitives.WriteInt32BigEndian(CollectionsMarshal.AsSpan(_bytes)[(_payload - 4)..], _bytes.Count - _payload);
        _bytes.Add(AmqpFrame.End);
    }

    /// <summary>Adds a message: a method, a header and a body, which fits into one frame.</summary>
    /// <param name="exchange">The exchange; empty for the default one.</param>
    /// <param name="key">The routing key.</param>
    /// <param name="body">The body; at least one byte.</param>
    /// <param name="isMandatory">Whether the broker returns it when it reaches no queue.</param>
    /// <param name="isPersistent">Whether a durable queue keeps it on disk.</param>
    public void AddPublish(string exchange, string key, ReadOnlySpan<byte> body, bool isMandatory = false, bool isPersistent = false)
    {
        Begin(AmqpFrame.MethodType, 1, Basic, 40);
        Short(0);
        Name(exchange);
        Name(key);
        Octet((byte)(isMandatory ? 0b1 : 0));
        End();
        Begin(AmqpFrame.HeaderType, 1, Basic, 0);
        Long(body.Length);
        Short(isPersistent ? HasDeliveryMode : (ushort)0);
        if (isPersistent)
            Octet(Persistent);
        End();
        BeginFrame(AmqpFrame.BodyType, 1);
        _bytes.AddRange(body);
        End();
    }

    /// <summary>Adds the acknowledgement of one message.</summary>
    public void AddAck(long tag)
    {
        Begin(AmqpFrame.MethodType, 1, Basic, 80);
        Long(tag);
        Octet(0); // not of several
        End();
    }

    public void Octet(byte value) => _bytes.Add(value);

    public void Short(ushort value)
    {
        _bytes.Add((byte)(value >> 8));
        _bytes.Add((byte)value);
    }

    public void Int(int value)
    {
        Short((ushort)(value >> 16));
        Short((ushort)value);
    }

    public void Long(long value)
    {
        Int((int)(value >> 32));
        Int((int)value);
    }

    /// <summary>Adds a short string.</summary>
    public void Name(string name)
    {
        Octet((byte)Encoding.UTF8.GetByteCount(name));
        _bytes.AddRange(Encoding.UTF8.GetBytes(name));
    }

    public void LongString(string text)
    {
        Int(Encoding.UTF8.GetByteCount(text));
        _bytes.AddRange(Encoding.UTF8.GetBytes(text));
    }

    /// <summary>Adds a table that is empty or has one text.</summary>
    public void Table(string? name = null, string? value = null)
    {
        var start = _bytes.Count;
        Int(0);
        if (name is not null)
        {
            Name(name);
            Octet((byte)'S');
            LongString(value!);
        }
        BinaryPrimitives.WriteInt32BigEndian(CollectionsMarshal.AsSpan(_bytes)[start..], _bytes.Count - start - 4);
    }
}
