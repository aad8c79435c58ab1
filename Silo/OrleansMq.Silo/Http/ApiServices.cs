using OrleansMq.Groups;
using OrleansMq.Records;

namespace OrleansMq.Silo.Http;

/// <summary>What the endpoints share.</summary>
internal sealed record ApiServices
{
    private GroupLag? _groupLag;

    /// <summary>The way to the broker.</summary>
    public required BrokerGate Gate { get; init; }
    /// <summary>The codecs records are compressed and read with.</summary>
    public required CompressionCodecs Codecs { get; init; }
    /// <summary>Where record timestamps and waiting times come from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
    /// <summary>Whether the data volume is below its low watermark: tells a full disk from a broken one.</summary>
    public Func<bool> IsDiskFull { get; init; } = static () => false;
    /// <summary>Where unexpected errors are logged.</summary>
    public required ILogger Logger { get; init; }
    /// <summary>The metrics behind <c>/metrics</c>.</summary>
    public required Metrics.BrokerMetrics Metrics { get; init; }
    /// <summary>The groups that this broker coordinates.</summary>
    public required Func<CancellationToken, ValueTask<IReadOnlyCollection<string>>> LocalGroups { get; init; }
    /// <summary>The memory of raw batches on their way in.</summary>
    public BodyMemory BodyMemory { get; init; } = new(BodyMemory.DefaultBytes);
    /// <summary>What the produce path needs to know of topics.</summary>
    public TopicShapes TopicShapes { get; } = new();
    /// <summary>The lag of groups, one memory for all who ask.</summary>
    /// <exception cref="BrokerException">The broker is not open yet.</exception>
    public GroupLag GroupLag => LazyInitializer.EnsureInitialized(ref _groupLag, () => new GroupLag(Gate.Broker, TimeProvider, Codecs));
}
