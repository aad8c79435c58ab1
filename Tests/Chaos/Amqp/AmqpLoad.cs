using OrleansMq.Tests.Chaos.Queues;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>What a consumer does with a delivery.</summary>
internal enum Answer
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>basic.ack.</summary>
    Accept,
    /// <summary>basic.reject without requeue: the message becomes a dead letter.</summary>
    Reject,
    /// <summary>basic.reject with requeue, which counts as a failure.</summary>
    Fail,
    /// <summary>basic.nack with requeue, which does not.</summary>
    Return,
}

/// <summary>Three quorum queues, and the load on them.</summary>
internal sealed record AmqpLoad
{
    /// <summary>A queue with several consumers, which limits failures.</summary>
    public const string Work = "work";

    /// <summary>A queue with a single active consumer, which keeps the order.</summary>
    public const string Single = "single";

    /// <summary>The dead letters of both.</summary>
    public const string Letters = "letters";

    /// <summary>The limit of failures of <see cref="Work"/>: higher than an innocent message is likely to reach by the deaths of its
    /// consumers.</summary>
    public const int MaxFailures = 8;

    // No message reaches it.
    private const int NoLimit = 100_000;

    /// <summary>The queues that are published to.</summary>
    public static readonly IReadOnlyList<string> Published = [Work, Single];

    /// <summary>All queues, sources before their dead letters.</summary>
    public static readonly IReadOnlyList<string> Queues = [Work, Single, Letters];

    /// <summary>The consumers of each queue; every other one commits in transactions.</summary>
    public IReadOnlyDictionary<string, int> Consumers { get; init; } =
        new Dictionary<string, int> { [Work] = 4, [Single] = 3, [Letters] = 2 };

    /// <summary>The publishing connections.</summary>
    public int Publishers { get; init; } = 3;

    /// <summary>The rate of each.</summary>
    public int MessagesPerSecond { get; init; } = 40;

    /// <summary>The topic of a queue.</summary>
    public static string TopicOf(string queue) => $"amqp.{queue}";

    /// <summary>The most failures of a message that a queue delivers.</summary>
    public static int LimitOf(string queue) => queue == Work ? MaxFailures : NoLimit;

    /// <summary>The arguments of a queue's declaration.</summary>
    public static Dictionary<string, object?> ArgumentsOf(string queue)
    {
        var arguments = new Dictionary<string, object?> { ["x-queue-type"] = "quorum", ["x-delivery-limit"] = LimitOf(queue) };
        if (queue == Single)
            arguments["x-single-active-consumer"] = true;
        if (queue == Letters)
            return arguments;
        arguments["x-dead-letter-exchange"] = "";
        arguments["x-dead-letter-routing-key"] = Letters;
        return arguments;
    }

    /// <summary>The fate of a message. In the ordered queue no consumer returns one, so that only faults bring messages back.</summary>
    public static RecordFate FateOf(MessageId id) => (id.Number % 20, id.Queue) switch
    {
        (1, Work) => RecordFate.AlwaysFails,
        (2, _) => RecordFate.Rejected,
        (3, Work) => RecordFate.FailsOnce,
        (4, Work) => RecordFate.ReleasedOnce,
        _ => RecordFate.Completed,
    };

    /// <summary>Whether a message ends as a dead letter.</summary>
    public static bool IsRefused(MessageId id) => FateOf(id) is RecordFate.Rejected or RecordFate.AlwaysFails;

    /// <summary>The answer to a delivery.</summary>
    public static Answer AnswerTo(string queue, MessageId id, bool isRedelivered, long failures) => queue == Letters
        ? Answer.Accept : FateOf(id) switch
        {
            RecordFate.AlwaysFails => Answer.Fail,
            RecordFate.Rejected => Answer.Reject,
            RecordFate.FailsOnce when failures == 0 => Answer.Fail,
            RecordFate.ReleasedOnce when !isRedelivered => Answer.Return,
            _ => Answer.Accept,
        };
}
