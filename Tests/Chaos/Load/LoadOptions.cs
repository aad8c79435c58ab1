using OrleansMq.Api;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>How much is sent while things break.</summary>
internal sealed record LoadOptions
{
    public string Topic { get; init; } = "chaos";
    public int Partitions { get; init; } = 4;
    public short ReplicationFactor { get; init; } = 3;
    public int Producers { get; init; } = 3;
    /// <summary>Of each producer, over all partitions.</summary>
    public int RecordsPerSecond { get; init; } = 500;
    public int ValueBytes { get; init; } = 200;
    /// <summary>For how long a record is tried. Longer than any fault of a schedule lasts, so that only a broken cluster fails
    /// one.</summary>
    public TimeSpan DeliveryTimeout { get; init; } = TimeSpan.FromMinutes(2);
    /// <summary>How often each partition is written to by the one who measures how long it cannot be.</summary>
    public TimeSpan ProbeInterval { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>Small segments, so that a run rolls many.</summary>
    public NewTopic ToNewTopic() =>
        new(Topic, Partitions, ReplicationFactor, new Dictionary<string, string> { ["segment.bytes"] = "4194304" });
}
