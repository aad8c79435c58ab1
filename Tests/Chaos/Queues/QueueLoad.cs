using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>What consumers do with a record, whichever of them receives it.</summary>
internal enum RecordFate
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>It is completed.</summary>
    Completed,
    /// <summary>Its first attempt fails, a later one completes it.</summary>
    FailsOnce,
    /// <summary>Its first delivery is given back for a while, a later one completes it.</summary>
    ReleasedOnce,
    /// <summary>It is rejected.</summary>
    Rejected,
    /// <summary>Every attempt fails.</summary>
    AlwaysFails,
}

/// <summary>A topic with two queues, and the load on them.</summary>
internal sealed record QueueLoad
{
    public const string Topic = "jobs";
    public const string Letters = "jobs.dead-letter";

    /// <summary>A queue with a limit of failures and a dead-letter topic.</summary>
    public const string Work = "work";

    /// <summary>A queue that is ordered by key.</summary>
    public const string Ordered = "ordered";

    public static readonly IReadOnlyList<string> Queues = [Work, Ordered];

    public int Partitions { get; init; } = 3;
    public int ConsumersPerQueue { get; init; } = 3;
    public int RecordsPerSecond { get; init; } = 200;

    /// <summary>The members of a share group that reads the same topic over the Kafka port; 0: there is none.</summary>
    public int ShareConsumers { get; init; }

    /// <summary>Whether records are scheduled for a plain topic, and others published again and again under their message ids.</summary>
    public bool HasSchedulesAndPublishes { get; init; }

    /// <summary>How far ahead deferred records are; zero: there are none.</summary>
    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Higher than an innocent record is likely to reach by the deaths of its consumers.</summary>
    public int MaxFailures { get; init; } = 8;

    /// <summary>How long after a consumer's death its records go back. Shorter than some of its pauses.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(3);

    public LoadOptions Records => new()
    {
        Topic = Topic,
        Partitions = Partitions,
        Producers = 2,
        RecordsPerSecond = RecordsPerSecond / 2,
        Keys = 20,
        MaxDelay = MaxDelay,
        DeliveryTimeout = TimeSpan.FromMinutes(3),
    };

    /// <summary>Small segments, so that settled ones are deleted during a run.</summary>
    public NewTopic ToNewTopic() => new(Topic, Partitions, 3, new Dictionary<string, string>
    {
        ["segment.bytes"] = "100000",
        ["retention.until.settled"] = "true",
    });

    public NewTopic ToLettersTopic() => new(Letters, Partitions, 3);

    /// <summary>The options of a queue.</summary>
    public QueueOptions OptionsOf(string queue) => queue == Ordered
        ? new QueueOptions { IsOrderedByKey = true, RetryDelay = TimeSpan.FromMilliseconds(100) }
        : new QueueOptions
        {
            MaxFailures = MaxFailures,
            RetryDelay = TimeSpan.FromMilliseconds(50),
            MaxRetryDelay = TimeSpan.FromSeconds(1),
            DeadLetterTopic = Letters,
            HasRecordTimes = true,
        };

    /// <summary>The fate of a record in a queue.</summary>
    public static RecordFate FateOf(string queue, RecordId id) => (id.Number % 20, queue) switch
    {
        (1, Work) => RecordFate.AlwaysFails,
        (2, Work) => RecordFate.Rejected,
        (3, _) => RecordFate.FailsOnce,
        (4, _) => RecordFate.ReleasedOnce,
        _ => RecordFate.Completed,
    };
}
