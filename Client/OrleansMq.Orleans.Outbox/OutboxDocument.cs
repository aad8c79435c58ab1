using System.Globalization;

namespace OrleansMq.Outboxes;

/// <summary>Names a message of the outboxes of all grains.</summary>
internal readonly record struct OutboxMessageKey(long ProducerId, long Sequence);

/// <summary>A state class with an outbox: its messages are stored with it. The class has the property, and leaves it alone.</summary>
public interface IHasOutbox
{
    /// <summary>The messages; the state of <see cref="IOutboxState{TState}"/> sets it before each write.</summary>
    OutboxDocument? Outbox { get; set; }
}

/// <summary>What the state of a grain holds of its outbox. It is written by <see cref="IOutboxState{TState}"/>, in the format of the
/// grain's storage, and is not for other use.</summary>
[GenerateSerializer, Alias("omq.OutboxDocument")]
public sealed class OutboxDocument
{
    /// <summary>A random number that chooses the partition of messages without a key; zero before the first message.</summary>
    [Id(0)]
    public long OutboxId { get; set; }

    /// <summary>The sequence of the last message.</summary>
    [Id(1)]
    public long LastSequence { get; set; }

    /// <summary>The write that this is. Each has another one.</summary>
    [Id(2)]
    public Guid Stamp { get; set; }

    /// <summary>The messages that are to be delivered, in order. Some may have been, since the last write.</summary>
    [Id(3)]
    public List<OutboxMessage> Pending { get; set; } = [];

    /// <summary>The messages that their topic refused for good.</summary>
    [Id(4)]
    public List<OutboxMessage> Parked { get; set; } = [];
}

/// <summary>A message of an outbox.</summary>
[GenerateSerializer, Alias("omq.OutboxMessage")]
public sealed class OutboxMessage
{
    /// <summary>Its number in the outbox. It is sent under this sequence only.</summary>
    [Id(0)]
    public long Sequence { get; set; }

    /// <summary>Its topic.</summary>
    [Id(1)]
    public string Topic { get; set; } = "";

    /// <summary>Its partition; -1: not chosen yet. It is not sent before a write has it.</summary>
    [Id(2)]
    public int Partition { get; set; } = -1;

    /// <summary>Its key; null for none.</summary>
    [Id(3)]
    public byte[]? Key { get; set; }

    /// <summary>Its value; null for a tombstone.</summary>
    [Id(4)]
    public byte[]? Value { get; set; }

    /// <summary>Its headers.</summary>
    [Id(5)]
    public List<OutboxHeader> Headers { get; set; } = [];

    /// <summary>When it was added, in milliseconds since 1970.</summary>
    [Id(6)]
    public long Timestamp { get; set; }

    /// <summary>Why its topic refused it; null for a message that is to be delivered.</summary>
    [Id(7)]
    public string? Refusal { get; set; }

    /// <summary>The id of the producer that it is sent under: one of the activation that added it.</summary>
    [Id(8)]
    public long ProducerId { get; set; }

    /// <summary>Its id for readers, which is random. Null for a message of an earlier version: its id follows from
    /// <see cref="ProducerId"/> and <see cref="Sequence"/>.</summary>
    [Id(9)]
    public string? MessageId { get; set; }

    /// <summary>Its id for readers: see <see cref="OutboxHeaders.MessageId"/>.</summary>
    internal string IdText => MessageId ?? string.Create(CultureInfo.InvariantCulture, $"{ProducerId:x}-{Sequence}");

    internal OutboxMessageKey MessageKey => new(ProducerId, Sequence);

    /// <summary>Its bytes, for the bounds of the outbox.</summary>
    internal int Size => (Key?.Length ?? 0) + (Value?.Length ?? 0) + Headers.Sum(static header => header.Name.Length
        + (header.Value?.Length ?? 0)) + Topic.Length;

    internal TopicPartition Target => new(Topic, Partition);

    internal OutboxMessage Copy() => (OutboxMessage)MemberwiseClone();
}

/// <summary>A header of a message.</summary>
[GenerateSerializer, Alias("omq.OutboxHeader")]
public sealed class OutboxHeader
{
    /// <summary>Its name.</summary>
    [Id(0)]
    public string Name { get; set; } = "";

    /// <summary>Its value; null for none.</summary>
    [Id(1)]
    public byte[]? Value { get; set; }
}

/// <summary>The headers that an outbox adds.</summary>
public static class OutboxHeaders
{
    /// <summary>The id of a message: it is the same however often the message is sent, and no other message has it. It is random, so that
    /// no client can send another message under it before.</summary>
    public const string MessageId = "omq.message-id";
}
