namespace OrleansMq;

/// <summary>The headers of a record that belong to its message, whatever protocol it came by.</summary>
public static class MessageHeaders
{
    /// <summary>The message's id, 1 to 256 bytes. Where the topic has <c>dedupe.window.ms</c>, a record with an id that the partition has
    /// seen within that time is acknowledged and not appended.</summary>
    public const string MessageId = "omq.message-id";

    /// <summary>With the value <c>false</c>: the record was sent as one that need not survive a power cut. Clients and gateways set it, and
    /// give it back to consumers. How a record is acknowledged depends on its request alone (<see cref="Acks.Replicated"/>).</summary>
    public const string Persistent = "omq.persistent";

    /// <summary>The longest <see cref="MessageId"/>, in bytes.</summary>
    public const int MostIdBytes = 256;
}
