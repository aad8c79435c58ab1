using System.Text;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// What brokers ask the home of queues in memory for their consumers, and its answers.
/// <code>
/// attach   0, reader, version of the image, priority, queue, incarnation of the reader's broker, 1. Without the last byte the reader
///          tells of no answer that has come, and its answers need no room
///   answer 1, 1: the reader is to tell of answers that have come; 1: it is not
/// receive  1, reader, number of the call, most messages, milliseconds to wait
///   answer 1, then for each message: number of its delivery, place, failures, flags, exchange, message. Flags: 1, it may have been
///          delivered before; 2, a dead letter
/// settle   2, reader, then for each message: number of its delivery, settlement. The settlement is a byte
/// read     3, reader, number of the delivery
///   answer as for a receive with one message
/// yield    4, reader
/// stop     5, reader, number of the call that no longer waits
/// end      6, reader
/// got      7, reader, number of the call whose answer has come
/// answers  1; 0: there is no such queue; 2: there is no such reader, or no such delivery; 3: the messages of a receive had no room:
///          another call may have them
/// queue    virtual host, name, id
/// </code>
/// Readers are numbered by those who attach them, calls and deliveries by reader, each from 1. A call that comes twice has one answer, and
/// a settlement is in force once. Answers of more than <see cref="SmallBytes"/> have room at the home until they have come; they are told
/// of, since the next call may be late. <see cref="MessageFields"/> has the form of texts, numbers and messages.
/// </summary>
internal static class ReaderFrames
{
    /// <summary>Attaches a reader.</summary>
    public const byte AttachKind = 0;

    /// <summary>Receives messages.</summary>
    public const byte ReceiveKind = 1;

    /// <summary>Settles messages.</summary>
    public const byte SettleKind = 2;

    /// <summary>Reads a message again.</summary>
    public const byte ReadKind = 3;

    /// <summary>Gives a single active reader's turn up.</summary>
    public const byte YieldKind = 4;

    /// <summary>Ends the wait of a receive.</summary>
    public const byte StopKind = 5;

    /// <summary>Ends a reader.</summary>
    public const byte EndKind = 6;

    /// <summary>The answer of a receive has come.</summary>
    public const byte GotKind = 7;

    /// <summary>The most bytes of an answer's messages that need no room.</summary>
    public const int SmallBytes = 16 << 10;

    // The most that a message has beside its names, properties and body.
    private const int NumberBytes = 64;
    private const byte Redelivered = 1;
    private const byte DeadLetter = 2;

    /// <summary>The answer to what was carried out.</summary>
    public static ReadOnlyMemory<byte> Done { get; } = new byte[] { 1 };

    /// <summary>The answer to what attached a reader that tells of the answers that have come.</summary>
    public static ReadOnlyMemory<byte> AttachedWithRoom { get; } = new byte[] { 1, 1 };

    /// <summary>The answer for a queue that is not there.</summary>
    public static ReadOnlyMemory<byte> Gone { get; } = new byte[] { 0 };

    /// <summary>The answer for a reader, or a delivery, that is not there.</summary>
    public static ReadOnlyMemory<byte> Unknown { get; } = new byte[] { 2 };

    /// <summary>The answer to a receive whose messages had no room.</summary>
    public static ReadOnlyMemory<byte> Busy { get; } = new byte[] { 3 };

    /// <summary>Returns the question that attaches a reader.</summary>
    public static ReadOnlyMemory<byte> Attach(long reader, ReaderOrigin origin)
    {
        using var frame = Question(AttachKind, reader, origin.Version, origin.Priority);
        HomeFrames.Write(frame, origin.Target);
        MessageFields.WriteText(frame, origin.Incarnation);
        if (origin.TellsGot)
            frame.WriteByte(1);
        return frame.ToArray();
    }

    /// <summary>Returns the question for messages.</summary>
    public static ReadOnlyMemory<byte> Receive(long reader, long call, int max, TimeSpan maxWait)
    {
        using var frame = Question(ReceiveKind, reader, call, max, (long)maxWait.TotalMilliseconds);
        return frame.ToArray();
    }

    /// <summary>Returns the question that settles messages.</summary>
    public static ReadOnlyMemory<byte> Settle(long reader, IEnumerable<(long Delivery, Settlement Settlement)> settlements)
    {
        using var frame = Question(SettleKind, reader);
        foreach (var (delivery, settlement) in settlements)
        {
            MessageFields.WriteNumber(frame, delivery);
            frame.WriteByte((byte)settlement);
        }
        return frame.ToArray();
    }

    /// <summary>Returns a question about a reader, with some numbers.</summary>
    public static ReadOnlyMemory<byte> Of(byte kind, long reader, params ReadOnlySpan<long> numbers)
    {
        using var frame = Question(kind, reader, numbers);
        return frame.ToArray();
    }

    /// <summary>Returns the reader of a question.</summary>
    public static long ReadReader(ReadOnlyMemory<byte> question)
    {
        var rest = question[1..];
        return MessageFields.ReadNumber(ref rest);
    }

    /// <summary>Returns the numbers that follow the reader in a question.</summary>
    public static long[] ReadNumbers(ReadOnlyMemory<byte> question, int count)
    {
        var rest = question[(1 + sizeof(long))..];
        var numbers = new long[count];
        for (var i = 0; i < count; i++)
            numbers[i] = MessageFields.ReadNumber(ref rest);
        return numbers;
    }

    /// <summary>Reads a question that attaches a reader.</summary>
    public static ReaderOrigin ReadAttach(ReadOnlyMemory<byte> question)
    {
        var rest = question[(1 + sizeof(long))..];
        var version = MessageFields.ReadNumber(ref rest);
        var priority = (int)MessageFields.ReadNumber(ref rest);
        var target = HomeFrames.ReadTarget(ref rest);
        return new ReaderOrigin(target, version, priority, MessageFields.ReadText(ref rest), TellsGot: !rest.IsEmpty);
    }

    /// <summary>Reads a question that settles messages.</summary>
    public static List<(long Delivery, Settlement Settlement)> ReadSettle(ReadOnlyMemory<byte> question)
    {
        var settlements = new List<(long, Settlement)>();
        for (var rest = question[(1 + sizeof(long))..]; !rest.IsEmpty;)
        {
            var delivery = MessageFields.ReadNumber(ref rest);
            settlements.Add((delivery, (Settlement)rest.Span[0]));
            rest = rest[1..];
        }
        return settlements;
    }

    /// <summary>Returns the bytes of an answer's messages, the same at the home and at the reader.</summary>
    public static long BytesOf(IEnumerable<(long Delivery, HeldMessage Held)> messages) =>
        messages.Sum(static one => (long)one.Held.Message.Bytes);

    /// <summary>Returns how many of the messages, from the first on, need no room together.</summary>
    public static int CountSmall(IReadOnlyList<(long Delivery, HeldMessage Held)> messages)
    {
        var count = 0;
        for (var bytes = 0L; count < messages.Count && (bytes += messages[count].Held.Message.Bytes) <= SmallBytes;)
            count++;
        return count;
    }

    /// <summary>Returns the answer with messages.</summary>
    public static ReadOnlyMemory<byte> Messages(IReadOnlyCollection<(long Delivery, HeldMessage Held)> messages)
    {
        // A frame that grew would take twice its size.
        using var frame = new MemoryStream((int)(1 + messages.Sum(static one => MostBytesOf(one.Held.Message))));
        frame.WriteByte(Done.Span[0]);
        foreach (var (delivery, held) in messages)
        {
            MessageFields.WriteNumber(frame, delivery);
            MessageFields.WriteNumber(frame, held.Hold.Position);
            MessageFields.WriteNumber(frame, held.Hold.Failures);
            frame.WriteByte((byte)((held.IsRedelivered ? Redelivered : 0) | (held.Message.IsDeadLetter ? DeadLetter : 0)));
            MessageFields.WriteText(frame, held.Message.Exchange);
            MessageFields.WriteMessage(frame, held.Message);
        }
        // The frame itself: a copy would need as much room.
        return frame.GetBuffer().AsMemory(0, (int)frame.Length);
    }

    private static long MostBytesOf(AmqpMessage message) => NumberBytes + Encoding.UTF8.GetByteCount(message.Exchange)
        + Encoding.UTF8.GetByteCount(message.RoutingKey) + message.Properties.Bytes.Length + message.Body.Length;

    /// <summary>Reads the messages of an answer, each in memory of its own.</summary>
    public static List<(long Delivery, HeldMessage Held)> ReadMessages(ReadOnlyMemory<byte> answer)
    {
        var messages = new List<(long, HeldMessage)>();
        for (var rest = answer[1..]; !rest.IsEmpty;)
        {
            var delivery = MessageFields.ReadNumber(ref rest);
            var position = MessageFields.ReadNumber(ref rest);
            var hold = new MessageHold(position, (int)MessageFields.ReadNumber(ref rest));
            var flags = rest.Span[0];
            rest = rest[1..];
            var exchange = MessageFields.ReadText(ref rest);
            var message = MessageFields.ReadMessage(ref rest, exchange);
            messages.Add((delivery, new HeldMessage(MessageFields.Own(message, message.Published, (flags & DeadLetter) != 0), hold,
                (flags & Redelivered) != 0)));
        }
        return messages;
    }

    private static MemoryStream Question(byte kind, long reader, params ReadOnlySpan<long> numbers)
    {
        var frame = new MemoryStream();
        frame.WriteByte(kind);
        MessageFields.WriteNumber(frame, reader);
        foreach (var number in numbers)
            MessageFields.WriteNumber(frame, number);
        return frame;
    }
}

/// <summary>A reader, as its broker names it to the home of the queue.</summary>
/// <param name="Target">The queue.</param>
/// <param name="Version">The version of the virtual host's image by which the broker knows of the queue.</param>
/// <param name="Priority">Readers with a higher one receive first.</param>
/// <param name="Incarnation">The incarnation of the reader's broker: the reader ends with that.</param>
/// <param name="TellsGot">Whether the reader tells of large answers that have come. Those of earlier builds do not.</param>
internal readonly record struct ReaderOrigin(HomeTarget Target, long Version, int Priority, string Incarnation, bool TellsGot = true);
