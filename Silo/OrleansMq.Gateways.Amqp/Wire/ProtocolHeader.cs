namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>What a client's first bytes are.</summary>
internal enum ProtocolHeaderKind
{
    /// <summary>Nothing known.</summary>
    Unknown = 0,
    /// <summary>AMQP 0-9-1, which this port speaks.</summary>
    Amqp091,
    /// <summary>Another version of AMQP.</summary>
    OtherAmqp,
    /// <summary>A TLS hello.</summary>
    Tls,
    /// <summary>An HTTP request.</summary>
    Http,
}

/// <summary>The eight bytes with which a connection begins.</summary>
internal static class ProtocolHeader
{
    /// <summary>The size of the header.</summary>
    public const int Bytes = 8;

    /// <summary>AMQP 0-9-1, as a client sends it, and as the server answers to any other.</summary>
    public static ReadOnlySpan<byte> Amqp091 => "AMQP\0\0\t\u0001"u8;

    // As clients of AMQP 0-9 send it.
    private static ReadOnlySpan<byte> Amqp09 => "AMQP\u0001\u0001\0\t"u8;

    /// <summary>Recognises a header.</summary>
    public static ProtocolHeaderKind Recognise(ReadOnlySpan<byte> bytes)
    {
        if (bytes.SequenceEqual(Amqp091) || bytes.SequenceEqual(Amqp09))
            return ProtocolHeaderKind.Amqp091;
        if (bytes.StartsWith("AMQP"u8))
            return ProtocolHeaderKind.OtherAmqp;
        if (bytes.StartsWith((ReadOnlySpan<byte>)[0x16, 0x03]))
            return ProtocolHeaderKind.Tls;
        return bytes.StartsWith("GET "u8) || bytes.StartsWith("POST "u8) || bytes.StartsWith("PUT "u8) || bytes.StartsWith("HEAD "u8)
            ? ProtocolHeaderKind.Http : ProtocolHeaderKind.Unknown;
    }
}
