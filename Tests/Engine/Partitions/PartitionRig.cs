using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A broker's partitions on an in-memory disk under a manual clock, with one topic <c>t</c> of one partition.</summary>
internal sealed class PartitionRig : IAsyncDisposable
{
    public const string Data = "/data";
    public static readonly TopicPartition Name = new("t", 0);
    public static readonly Guid TopicId = new("11112222-3333-4444-5555-666677778888");
    public static readonly string PartitionPath = Path.Combine(Data, "logs", "t-0");

    private PartitionRig(IFileSystem files, TopicConfig config)
    {
        Files = files;
        Config = config;
    }

    public IFileSystem Files { get; private set; }
    public TopicConfig Config { get; set; }
    public ManualClock Clock { get; } = new();
    /// <summary>The number of timers armed while no reader waits.</summary>
    public int TimersOfStore { get; private set; }
    public LogLines Lines { get; } = new();
    public PartitionStore Store { get; private set; } = null!;
    public Partition Partition => Store.TryGet(Name, out var found) ? found
        : throw new InvalidOperationException("The partition is not there.");
    public Func<BrokerOptions, BrokerOptions> Options { get; set; } = options => options;

    public static async Task<PartitionRig> StartAsync(TopicConfig? config = null, IFileSystem? files = null, Func<BrokerOptions,
        BrokerOptions>? options = null)
    {
        var rig = new PartitionRig(files ?? new MemoryFileSystem(), config ?? TopicConfig.Default);
        if (options is not null)
            rig.Options = options;
        rig.Files.CreateDirectory(Data);
        rig.Files.FlushDirectory("/");
        await rig.OpenAsync();
        return rig;
    }

    public async Task OpenAsync()
    {
        Store = await PartitionStore.OpenAsync(Options(new BrokerOptions
        {
            DataDirectory = Data,
            FileSystem = Files,
            TimeProvider = Clock,
            Log = Lines,
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
            AppendThreads = 2,
        }), id => id == TopicId ? Config : null, (partition, id) => partition == Name && id == TopicId);
        TimersOfStore = Clock.TimerCount;
        Store.GetOrCreate(Name, TopicId, Config);
    }

    /// <summary>Uses this disk for the next start.</summary>
    public void Use(IFileSystem files) => Files = files;

    /// <summary>Stops cleanly and restarts.</summary>
    public async Task RestartAsync()
    {
        await Store.DisposeAsync();
        await OpenAsync();
    }

    /// <summary>Kills the process and starts another with the system's state of the files.</summary>
    public async Task KillAsync()
    {
        Files = ((MemoryFileSystem)Files).ProcessKill();
        await OpenAsync();
    }

    /// <summary>Cuts the machine's power and starts again with the flushed bytes and part of the others.</summary>
    public async Task CutPowerAsync(int seed)
    {
        Files = ((MemoryFileSystem)Files).PowerCut(new Random(seed));
        await OpenAsync();
    }

    /// <summary>Appends one batch with these values.</summary>
    public async Task<ProduceResult> AppendAsync(params string[] values) => await Partition.AppendAsync(Batch(Clock.Now, values), Acks.All);

    /// <summary>Appends a batch that nothing checks, as earlier versions have appended it.</summary>
    public async Task AppendUncheckedAsync(byte[] batch) => Assert.Equal(ErrorCode.None,
        (await Partition.Appends.AppendControlAsync(batch, new UncheckedAppend(Partition.Replication.Leadership!.Epoch))).Error);

    public async Task<long> AppendManyAsync(int batches, int bytes = 100)
    {
        for (var i = 0; i < batches; i++)
            Assert.Equal(ErrorCode.None, (await AppendAsync(new string((char)('a' + i % 26), bytes))).Error);
        return Partition.LogEndOffset;
    }

    public static byte[] Batch(long timestamp, params string[] values) => Batch(timestamp, null, values);

    public static byte[] Batch(long timestamp, Action<RecordBatchBuilder>? change, params string[] values)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var value in values)
            builder.Add(timestamp, Encoding.UTF8.GetBytes("k" + value), true, Encoding.UTF8.GetBytes(value), true);
        change?.Invoke(builder);
        return builder.Build().ToArray();
    }

    /// <summary>Reads the values of all records but control records from an offset to the high watermark.</summary>
    public async Task<List<(long Offset, string Value)>> ReadAllAsync(long from = 0, int maxBytes = 1 << 20)
    {
        var values = new List<(long, string)>();
        var offset = from;
        while (offset < Partition.HighWatermark)
        {
            using var result = await Partition.ReadAsync(new FetchRequest(Name, offset, maxBytes));
            Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
            Assert.False(result.Records.IsEmpty);
            using var reader = new RecordReader(result.Records, StandardCodecs.All);
            while (reader.MoveNext())
            {
                if (reader.Current.Offset >= from && !reader.Batch.IsControl)
                    values.Add((reader.Current.Offset, Encoding.UTF8.GetString(reader.Current.Value!.Value.Span)));
            }
            offset = reader.Batch.NextOffset;
        }
        return values;
    }

    public IReadOnlyList<string> FilesOf(string suffix) =>
        [.. Files.ListFiles(PartitionPath).Where(name => name.EndsWith(suffix, StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    /// <summary>Changes a byte of one of the partition's files.</summary>
    public void Flip(string name, long position)
    {
        using var file = Files.Open(Path.Combine(PartitionPath, name), FileOpening.ReadWrite);
        Span<byte> one = stackalloc byte[1];
        file.Read(one, position);
        one[0] ^= 0x40;
        file.Write(one, position);
        file.Flush();
    }

    private sealed record UncheckedAppend(int Epoch) : IControlAppend
    {
        public void OnWritten(long offset)
        {
        }
    }

    public void Truncate(string name, long length)
    {
        using var file = Files.Open(Path.Combine(PartitionPath, name), FileOpening.ReadWrite);
        file.SetLength(length);
        file.Flush();
    }

    public long LengthOf(string name) => Files.GetLength(Path.Combine(PartitionPath, name));

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}

/// <summary>The engine's log messages.</summary>
internal sealed class LogLines : EngineLog
{
    private readonly List<(DateTime At, EngineLogLevel Level, string Message)> _lines = [];

    public override void Write(EngineLogLevel level, string message, Exception? exception = null)
    {
        lock (_lines)
            _lines.Add((DateTime.UtcNow, level, message));
    }

    /// <summary>Returns the last messages and the last warnings and errors, each with its time.</summary>
    /// <param name="count">The most of either.</param>
    public IReadOnlyList<string> Latest(int count)
    {
        lock (_lines)
            return [.. _lines.Where(static line => line.Level != EngineLogLevel.Information).TakeLast(count)
                .Union(_lines.TakeLast(count)).OrderBy(static line => line.At)
                .Select(static line => $"{line.At:HH:mm:ss.fff} {line.Level}: {line.Message}")];
    }

    public IReadOnlyList<string> Of(EngineLogLevel level)
    {
        lock (_lines)
            return [.. _lines.Where(line => line.Level == level).Select(line => line.Message)];
    }
}
