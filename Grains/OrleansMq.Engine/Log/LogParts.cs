using OrleansMq.Dedupe;
using OrleansMq.Queues;
using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>
/// The state of one log: each part owns its own, and says which lock guards it. What changes several parts takes the locks in the order
/// that <see cref="SegmentedLog"/> documents.
/// </summary>
internal sealed class LogParts
{
    private volatile TopicConfig _config;

    /// <summary>Creates the parts of a log that is not open yet.</summary>
    /// <param name="ports">The dependencies that all logs share.</param>
    /// <param name="directory">The log's directory.</param>
    /// <param name="config">The topic's configuration.</param>
    public LogParts(LogPorts ports, string directory, TopicConfig config)
    {
        _config = config;
        Ports = ports;
        Directory = new LogDirectory(ports, directory);
        Compaction = new CompactionProgress(ports.Files, directory);
        Gaps = new LogGaps(Compaction);
        Gaps.Follow(config);
        Points = new DurablePoints(ports.Cache, directory);
        State = new LogState(new ProducerSnapshots(ports.Files, directory, ports.EngineLog),
            new ControlSnapshots<LogCursors>(ports.Files, directory, ports.EngineLog, LogFiles.Cursors, LogCursors.TryDecodeSnapshot),
            new ControlSnapshots<LogDedupe>(ports.Files, directory, ports.EngineLog, LogFiles.Dedupe, LogDedupe.TryDecodeSnapshot));
    }

    /// <summary>The dependencies that all logs share.</summary>
    public LogPorts Ports { get; }

    /// <summary>The topic's configuration in force.</summary>
    public TopicConfig Config
    {
        get => _config;
        set
        {
            Gaps.Follow(value);
            _config = value;
        }
    }

    /// <summary>The directory, and whether its entries are durable.</summary>
    public LogDirectory Directory { get; }

    /// <summary>The segments; also owns the removal lock and the append lock.</summary>
    public SegmentList Segments { get; } = new();

    /// <summary>How far the log is compacted.</summary>
    public CompactionProgress Compaction { get; }

    /// <summary>Whether offsets may have gaps.</summary>
    public LogGaps Gaps { get; }

    /// <summary>What the batches amount to at the log's end.</summary>
    public LogState State { get; }

    /// <summary>How much is durable, and where the log starts; also owns the flush lock.</summary>
    public DurablePoints Points { get; }

    /// <summary>Segments that have left the log.</summary>
    public RemovedSegments Removed { get; } = new();

    /// <summary>Deletes a segment's files once <c>file.delete.delay.ms</c> has passed.</summary>
    public void DeleteLater(Segment segment, long now) => Removed.Add(segment, now + _config.FileDeleteDelayMs);
}
