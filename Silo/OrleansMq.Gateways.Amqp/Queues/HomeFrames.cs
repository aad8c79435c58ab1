namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// What brokers ask the home of queues in memory, and its answers.
/// <code>
/// publish  0, sender, number of the frame; then for each message: flags, its queue and the version of the image unless both are those
///          of the message before, exchange, message. Flags: 1, the queue is that of the message before; 2, a dead letter
///   answer an outcome for each message, a byte; 255: none was taken, since the home has no memory for them now
/// count    1, queue
///   answer 1, ready, held, bytes that are ready, bytes that are held, place of the last message; 0: there is no such queue
/// purge    2, queue, place of the last message to remove
///   answer 1, how many messages were removed; 0: there is no such queue
/// queue    virtual host, name, id
/// </code>
/// <see cref="MessageFields"/> has the form of texts, numbers and messages.
/// </summary>
internal static class HomeFrames
{
    /// <summary>Publishes messages.</summary>
    public const byte PublishKind = 0;

    /// <summary>Counts a queue's messages.</summary>
    public const byte CountKind = 1;

    /// <summary>Purges a queue.</summary>
    public const byte PurgeKind = 2;

    // Behind the kind, the sender and the number.
    private const int OriginEnd = 1 + (2 * sizeof(long));
    private const byte SameQueue = 1;
    private const byte DeadLetter = 2;

    /// <summary>The answer of a home that takes no messages now: no outcome has this number.</summary>
    public static ReadOnlyMemory<byte> Busy { get; } = new[] { byte.MaxValue };

    /// <summary>The answer to a question for a queue that is not there.</summary>
    public static ReadOnlyMemory<byte> Gone { get; } = new byte[] { 0 };

    /// <summary>Returns a question that publishes messages.</summary>
    /// <param name="origin">The sender, and the number of the frame, which rises with each that it sends.</param>
    /// <param name="publishes">The messages.</param>
    public static ReadOnlyMemory<byte> Publishes((long Sender, long Number) origin, IReadOnlyCollection<HomePublish> publishes)
    {
        using var frame = new MemoryStream(OriginEnd + publishes.Sum(static publish => publish.Message.Bytes));
        frame.WriteByte(PublishKind);
        MessageFields.WriteNumber(frame, origin.Sender);
        MessageFields.WriteNumber(frame, origin.Number);
        var last = default(HomePublish);
        foreach (var publish in publishes)
        {
            var isSame = ReferenceEquals(publish.Target, last.Target) && publish.Version == last.Version;
            frame.WriteByte((byte)((isSame ? SameQueue : 0) | (publish.Message.IsDeadLetter ? DeadLetter : 0)));
            if (!isSame)
            {
                Write(frame, publish.Target);
                MessageFields.WriteNumber(frame, publish.Version);
            }
            MessageFields.WriteText(frame, publish.Message.Exchange);
            MessageFields.WriteMessage(frame, publish.Message);
            last = publish;
        }
        return frame.ToArray();
    }

    /// <summary>Returns the sender of a question that publishes messages, and its number.</summary>
    public static (long Sender, long Number) ReadOrigin(ReadOnlyMemory<byte> question)
    {
        var rest = question[1..];
        var sender = MessageFields.ReadNumber(ref rest);
        return (sender, MessageFields.ReadNumber(ref rest));
    }

    /// <summary>Reads the messages of a question, each in memory of its own. Those of one queue that follow each other have the same
    /// target.</summary>
    /// <param name="question">The question.</param>
    /// <param name="now">The time at which the messages come, in milliseconds since 1970.</param>
    public static List<HomePublish> ReadPublishes(ReadOnlyMemory<byte> question, long now)
    {
        var publishes = new List<HomePublish>();
        var last = default(HomePublish);
        for (var rest = question[OriginEnd..]; !rest.IsEmpty;)
        {
            var flags = rest.Span[0];
            rest = rest[1..];
            var (target, version) = (last.Target, last.Version);
            if ((flags & SameQueue) == 0)
            {
                target = ReadTarget(ref rest);
                version = MessageFields.ReadNumber(ref rest);
            }
            var exchange = MessageFields.ReadText(ref rest);
            last = new HomePublish(target, version, MessageFields.Own(MessageFields.ReadMessage(ref rest,
                exchange), now, (flags & DeadLetter) != 0));
            publishes.Add(last);
        }
        return publishes;
    }

    /// <summary>Whether an answer is <see cref="Busy"/>.</summary>
    public static bool IsBusy(ReadOnlyMemory<byte> answer) => answer.Span.SequenceEqual(Busy.Span);

    /// <summary>Returns the outcomes in an answer; null if it has another number of them.</summary>
    /// <param name="answer">The answer.</param>
    /// <param name="count">The number of messages.</param>
    public static PublishOutcome[]? ReadOutcomes(ReadOnlyMemory<byte> answer, int count) => answer.Length != count ? null
        : [.. answer.ToArray().Select(static outcome => outcome <= (byte)PublishOutcome.TooLarge ? (PublishOutcome)outcome
            : PublishOutcome.Unknown)];

    /// <summary>Returns the question for a queue's messages.</summary>
    public static ReadOnlyMemory<byte> Count(HomeTarget target) => Question(CountKind, target);

    /// <summary>Returns the question that purges a queue.</summary>
    /// <param name="target">The queue.</param>
    /// <param name="end">The place of the last message to remove: one that comes twice, or late, removes no later ones.</param>
    public static ReadOnlyMemory<byte> Purge(HomeTarget target, long end) => Question(PurgeKind, target, end);

    /// <summary>Returns the queue of a question.</summary>
    public static HomeTarget ReadTarget(ReadOnlyMemory<byte> question)
    {
        var rest = question[1..];
        return ReadTarget(ref rest);
    }

    /// <summary>Returns the queue of a question that purges it, and the place of the last message to remove.</summary>
    public static (HomeTarget Target, long End) ReadPurge(ReadOnlyMemory<byte> question)
    {
        var rest = question[1..];
        return (ReadTarget(ref rest), MessageFields.ReadNumber(ref rest));
    }

    private static ReadOnlyMemory<byte> Question(byte kind, HomeTarget target, long? end = null)
    {
        using var frame = new MemoryStream();
        frame.WriteByte(kind);
        Write(frame, target);
        if (end is { } place)
            MessageFields.WriteNumber(frame, place);
        return frame.ToArray();
    }

    /// <summary>Returns the answer with a queue's messages.</summary>
    /// <param name="counts">Their numbers.</param>
    /// <param name="end">The place of the last one.</param>
    public static ReadOnlyMemory<byte> Counts(QueueCounts counts, long end) =>
        Numbers(counts.Ready, counts.Held, counts.ReadyBytes ?? 0, counts.HeldBytes ?? 0, end);

    /// <summary>Returns the answer with some numbers.</summary>
    public static ReadOnlyMemory<byte> Numbers(params long[] numbers)
    {
        using var frame = new MemoryStream();
        frame.WriteByte(1);
        foreach (var number in numbers)
            MessageFields.WriteNumber(frame, number);
        return frame.ToArray();
    }

    /// <summary>Returns the messages in an answer, and the place of the last one.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public static (QueueCounts Counts, long End) ReadCounts(ReadOnlyMemory<byte> answer)
    {
        var numbers = ReadNumbers(answer, 5);
        return (new QueueCounts(numbers[0], numbers[1], numbers[2], numbers[3]), numbers[4]);
    }

    /// <summary>Returns the numbers of an answer.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public static long[] ReadNumbers(ReadOnlyMemory<byte> answer, int count)
    {
        if (answer.Span is not [1, ..])
            throw new QueueGoneException();
        var rest = answer[1..];
        var numbers = new long[count];
        for (var i = 0; i < count; i++)
            numbers[i] = MessageFields.ReadNumber(ref rest);
        return numbers;
    }

    /// <summary>Writes a queue.</summary>
    public static void Write(MemoryStream frame, HomeTarget target)
    {
        MessageFields.WriteText(frame, target.VirtualHost);
        MessageFields.WriteText(frame, target.Queue);
        MessageFields.WriteNumber(frame, target.Id);
    }

    /// <summary>Reads a queue.</summary>
    /// <param name="rest">The frame from here on; afterwards, what follows.</param>
    public static HomeTarget ReadTarget(ref ReadOnlyMemory<byte> rest)
    {
        var host = MessageFields.ReadText(ref rest);
        var queue = MessageFields.ReadText(ref rest);
        return new HomeTarget(host, queue, MessageFields.ReadNumber(ref rest));
    }
}
