using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>A received frame; valid until more is received.</summary>
internal readonly ref struct AmqpFrame(int type, ReadOnlySpan<byte> payload)
{
    public const int MethodType = 1, HeaderType = 2, BodyType = 3;
    public const byte End = 0xCE;

    /// <summary>Methods with which a broker delivers a message and confirms or refuses one.</summary>
    public const int Deliver = (60 << 16) | 60, Ack = (60 << 16) | 80, Nack = (60 << 16) | 120;

    public int Type { get; } = type;

    public ReadOnlySpan<byte> Payload { get; } = payload;

    /// <summary>The class in the upper 16 bits and the method in the lower; 0 of other frames.</summary>
    public int Method => Type == MethodType ? BinaryPrimitives.ReadInt32BigEndian(Payload) : 0;

    /// <summary>Describes the frame for an error, with the readable text of a close.</summary>
    public string Describe() => Type == MethodType
        ? $"method {Method >> 16}.{Method & 0xFFFF}: {Encoding.UTF8.GetString(Payload[4..])}"
        : $"a frame of type {Type}";
}

/// <summary>Divides received bytes into frames.</summary>
/// <param name="bufferBytes">The bytes that are received at once. The buffer grows with a frame that is larger.</param>
internal sealed class AmqpFrameReader(int bufferBytes)
{
    private const int HeaderBytes = 7;

    private byte[] _bytes = new byte[bufferBytes];
    private int _from;
    private int _until;

    /// <summary>Returns the place for the next bytes, at least one.</summary>
    public Span<byte> Free()
    {
        if (_from > 0)
        {
            _bytes.AsSpan(_from, _until - _from).CopyTo(_bytes);
            (_from, _until) = (0, _until - _from);
        }
        if (_until == _bytes.Length)
            Array.Resize(ref _bytes, 2 * _bytes.Length);
        return _bytes.AsSpan(_until);
    }

    /// <summary>Takes bytes that were received into that place.</summary>
    public void Received(int count) => _until += count;

    /// <summary>Reads the next frame.</summary>
    /// <returns>False if not all of it is received.</returns>
    /// <exception cref="InvalidOperationException">The bytes are no frame.</exception>
    public bool TryRead(out AmqpFrame frame)
    {
        frame = default;
        var received = _bytes.AsSpan(_from, _until - _from);
        if (received.Length < HeaderBytes)
            return false;
        var bytes = BinaryPrimitives.ReadInt32BigEndian(received[3..]);
        if (received.Length < HeaderBytes + bytes + 1)
            return false;
        if (bytes < 0 || received[HeaderBytes + bytes] != AmqpFrame.End)
            throw new InvalidOperationException("The broker sent a frame without its end.");
        frame = new AmqpFrame(received[0], received.Slice(HeaderBytes, bytes));
        _from += HeaderBytes + bytes + 1;
        return true;
    }
}
