using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>The load that is sent during the faults.</summary>
internal sealed record LoadOptions
{
    public string Topic { get; init; } = "chaos";
    public int Partitions { get; init; } = 4;
    public short ReplicationFactor { get; init; } = 3;
    public int Producers { get; init; } = 3;
    /// <summary>The rate of each producer over all partitions.</summary>
    public int RecordsPerSecond { get; init; } = 500;
    public int ValueBytes { get; init; } = 200;
    /// <summary>The number of keys of each producer's records in a partition; 0: records have no key.</summary>
    public int Keys { get; init; }
    /// <summary>How far ahead the records are deferred that are: one in twenty of each producer; zero: none.</summary>
    public TimeSpan MaxDelay { get; init; }
    /// <summary>The delivery timeout of a record. Longer than any fault of a schedule, so that only a broken cluster fails a
    /// record.</summary>
    public TimeSpan DeliveryTimeout { get; init; } = TimeSpan.FromMinutes(2);
    /// <summary>How often the availability probe appends to each partition.</summary>
    public TimeSpan ProbeInterval { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>The key of a record; null for none.</summary>
    public string? KeyOf(RecordId id) => Keys == 0 ? null : $"{id.Producer}-{id.Number % Keys}";

    /// <summary>Whether queues that read records' times deliver a record later.</summary>
    public bool IsDeferred(RecordId id) => MaxDelay > TimeSpan.Zero && id.Number % 20 == 5;

    /// <summary>Small segments, so that a run rolls many.</summary>
    public NewTopic ToNewTopic() =>
        new(Topic, Partitions, ReplicationFactor, new Dictionary<string, string> { ["segment.bytes"] = "4194304" });
}
