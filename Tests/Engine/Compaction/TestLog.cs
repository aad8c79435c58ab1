using OrleansMq.Compaction;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Crash;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>A record that a test writes and reads back.</summary>
public sealed record Entry(long Offset, long Timestamp, string? Key, string? Value);

/// <summary>A log on any file system, without its partition.</summary>
internal sealed class TestLog
{
    public const string Directory = "/data/logs/t-0";
    public static readonly CompressionCodecs Codecs = StandardCodecs.All;

    public static readonly TopicConfig Compacted = TopicConfig.Default with
    {
        CleanupCompact = true,
        CleanupDelete = false,
        MinCleanableDirtyRatio = 0,
        SegmentBytes = 1 << 20,
        IndexIntervalBytes = 256,
        FileDeleteDelayMs = 0,
        TimestampAfterMaxMs = long.MaxValue,
        DeleteRetentionMs = 1000,
    };

    public TestLog(IFileSystem disk, TopicConfig? config = null, ManualTime? time = null, string directory = Directory, bool clean = false)
    {
        Disk = disk;
        Time = time ?? new ManualTime();
        Ports = new LogPorts(new FileHandleCache(disk, 64), Time, EngineLog.Silent, Codecs, VerifyOnRead: true);
        disk.CreateDirectory(directory);
        for (var path = Path.GetDirectoryName(directory); path is not null && path != Path.GetTempPath();
            path = Path.GetDirectoryName(path))
            disk.FlushDirectory(path);
        Log = SegmentedLog.Open(Ports, directory, config ?? Compacted, clean);
    }

    public IFileSystem Disk { get; }
    public ManualTime Time { get; }
    public LogPorts Ports { get; }
    public SegmentedLog Log { get; }

    /// <summary>What the next compactions must not erase, and what they erase.</summary>
    public TestErasure Erasure { get; } = new();

    public CompactionResult Compact(int maxMapBytes = KeyOffsetMap.DefaultMaxBytes, long highWatermark = long.MaxValue) =>
        new LogCompactor(new CompactionOptions(maxMapBytes), Ports).Run(Log, Math.Min(highWatermark, Log.LogEndOffset), Erasure,
            CancellationToken.None);

    public void Append(params (string? Key, string? Value)[] records) => Append(CompressionType.None, -1, -1, records);

    public long Append(CompressionType compression, long producerId, int sequence, params (string? Key, string? Value)[] records)
    {
        using var builder = new RecordBatchBuilder(compression, Codecs);
        foreach (var (key, value) in records)
            builder.Add(Time.NowMs, Bytes(key), key is not null, Bytes(value), value is not null);
        if (producerId >= 0)
            builder.SetProducer(producerId, 0, sequence);
        return Append(builder.Build());
    }

    /// <summary>Appends a batch as it is, in a segment that can hold it.</summary>
    public long Append(Memory<byte> batch)
    {
        lock (Log.AppendLock)
        {
            var offset = Log.LogEndOffset;
            RecordBatchHeader.StampBaseOffset(batch.Span, offset);
            RecordBatchHeader.StampLeaderEpoch(batch.Span, 0);
            var header = RecordBatchHeader.Read(batch.Span);
            if (Log.MustRoll(header, header.LastOffset, 0) == RollReason.RelativeOffset)
                Log.Roll(Time.NowMs);
            Log.Write([batch]);
            Log.ApplyAppended(header, batch.Span, Time.NowMs);
            return offset;
        }
    }

    public void Roll()
    {
        lock (Log.AppendLock)
        {
            if (Log.Active.Size > 0)
                Log.Roll(Time.NowMs);
        }
    }

    public List<Entry> ReadAll()
    {
        var entries = new List<Entry>();
        for (var offset = Log.LogStartOffset; offset < Log.LogEndOffset;)
        {
            using var batches = Log.Read(offset, Log.LogEndOffset, 1000);
            if (batches is null)
                break;
            using var reader = new RecordReader(batches.Memory, Codecs);
            while (reader.MoveNext())
            {
                var record = reader.Current;
                if (record.Offset >= Log.LogStartOffset)
                    entries.Add(new Entry(record.Offset, record.Timestamp, Text(record.Key), Text(record.Value)));
            }
            offset = LastBatch(batches.Memory.Span).NextOffset;
        }
        return entries;
    }

    public static RecordBatchHeader LastBatch(ReadOnlySpan<byte> batches)
    {
        var header = RecordBatchHeader.Read(batches);
        while (batches.Length > header.SizeInBytes)
        {
            batches = batches[header.SizeInBytes..];
            header = RecordBatchHeader.Read(batches);
        }
        return header;
    }

    private static byte[] Bytes(string? text) => text is null ? [] : System.Text.Encoding.UTF8.GetBytes(text);

    private static string? Text(ReadOnlyMemory<byte>? bytes) =>
        bytes is null ? null : System.Text.Encoding.UTF8.GetString(bytes.Value.Span);
}

/// <summary>Stands for the replicas that must know of an erasure.</summary>
internal sealed class TestErasure : IErasure
{
    private readonly Queue<long> _limits = new([long.MaxValue]);

    /// <summary>Called before records are erased.</summary>
    public Action OnErasing { get; set; } = static () => { };

    public long EraseLimit => _limits.Count > 1 ? _limits.Dequeue() : _limits.Peek();

    /// <summary>Sets the limits that are told from now on, one after the other; the last one stays.</summary>
    public void Limit(params long[] limits)
    {
        _limits.Clear();
        foreach (var limit in limits)
            _limits.Enqueue(limit);
    }

    public void BeforeErasing() => OnErasing();
}
