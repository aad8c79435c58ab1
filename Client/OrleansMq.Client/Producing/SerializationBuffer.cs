using System.Buffers;

namespace OrleansMq.Client;

/// <summary>A buffer per thread. Records are serialized into it, and copied into their batch when their size is known.</summary>
internal static class SerializationBuffer
{
    // A buffer that grew beyond this size is not kept.
    private const int MaxKept = 256 << 10;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _buffer;

    public static ArrayBufferWriter<byte> Rent()
    {
        // Cleared while in use: a serializer may itself send records.
        var buffer = _buffer ?? new ArrayBufferWriter<byte>(1024);
        _buffer = null;
        return buffer;
    }

    public static void Return(ArrayBufferWriter<byte> buffer)
    {
        if (buffer.Capacity > MaxKept)
            return;
        buffer.ResetWrittenCount();
        _buffer = buffer;
    }
}
