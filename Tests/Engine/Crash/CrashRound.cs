using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>One round: a broker's partition store over a disk that fails on cue; a script of appends, retries, rolls, compaction,
/// retention, delete-records and restarts drawn from the seed; the fault; the restart; the checker; and further operation. The same seed
/// repeats the round.</summary>
internal sealed partial class CrashRound
{
    private const string Data = "/data";
    private static readonly TopicPartition Main = new("main", 0);
    private static readonly TopicPartition Plug = new("plug", 0);
    private static readonly Guid MainId = new("11111111-1111-1111-1111-111111111111");
    private static readonly Guid PlugId = new("22222222-2222-2222-2222-222222222222");
    private static readonly string Directory = Path.Combine(Data, "logs", "main-0");

    private readonly Random _random;
    private readonly Mutant _mutant;
    private readonly ManualTime _time = new();
    private readonly Ledger _ledger = new();
    private readonly int[] _nextSequence = new int[3];
    private readonly SortedDictionary<int, SentBatch>[] _blocked = [new(), new(), new()];
    private FaultyFileSystem _disk;
    private PartitionStore _store = null!;
    private int _records;
    private bool _powerCut;

    public CrashRound(int seed, Mutant? mutant = null)
    {
        _random = new Random(seed);
        _mutant = mutant ?? new Mutant();
        Scenario = CrashScenario.Draw(seed, _random);
        _disk = new FaultyFileSystem(seed);
    }

    public CrashScenario Scenario { get; }
    public RoundStatistics Statistics { get; } = new();

    private Partition Partition =>
        _store.TryGet(Main, out var found) ? found : throw new InvalidOperationException("The partition is not there.");
    private bool IsUp => !_disk.Crashed && Partition.OfflineReason is null;

    public async Task RunAsync()
    {
        _disk.CreateDirectory(Data);
        _disk.FlushDirectory("/");
        await OpenAsync();
        try
        {
            while (Statistics.Appends < 50 || Statistics.Rolls == 0)
                await StepAsync();
            var stopped = await FaultAsync();
            await RestartAsync(stopped);
        }
        finally
        {
            await _store.DisposeAsync();
        }
    }

    private async Task OpenAsync()
    {
        _store = await PartitionStore.OpenAsync(new BrokerOptions
        {
            DataDirectory = Data,
            FileSystem = _mutant.Wrap(_disk),
            TimeProvider = _time,
            Log = EngineLog.Silent,
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
            AppendThreads = 1,
            MaxOpenFiles = 8,
            CompactionMapBytes = 24 * 40,
        }, id => id == MainId ? Scenario.Config : id == PlugId ? TopicConfig.Default : null);
        _store.GetOrCreate(Main, MainId, Scenario.Config);
        _store.GetOrCreate(Plug, PlugId, TopicConfig.Default);
    }

    /// <summary>Runs until the fault occurs. Returns whether the broker was closed cleanly.</summary>
    private async Task<bool> FaultAsync()
    {
        if (Scenario.Kind == FaultKind.FlippedBit)
        {
            // Nor may it lose anything below the checkpoint's flushed point.
            _ledger.MarkDurable(before: Partition.Log!.SecuredOffset);
            return await StopAsync();
        }
        _disk.Arm(new Fault(Scenario.Kind, Scenario.After, Writes: _random.Next(1, 4)));
        switch (Scenario.Moment)
        {
            case FaultMoment.Compacting:
                Compact();
                break;
            case FaultMoment.DeletingRecords when Scenario.Config.CleanupDelete:
                await DeleteRecordsAsync();
                break;
            case FaultMoment.Maintaining:
                Maintain();
                break;
            case FaultMoment.Checkpointing:
                Checkpoint();
                break;
            case FaultMoment.Closing:
                await _store.DisposeAsync();
                // After a failed flush the page cache may show what the disk lacks. No new process can detect it before the machine
                // restarts.
                if (_disk.Crashed || _disk.TookEffect.Any(f => f.Kind == FaultKind.FlushFailure))
                    return await StopAsync();
                await OpenAfterCloseAsync();
                break;
        }
        for (var step = 0; step < 300 && IsUp && _disk.TookEffect.Count == 0; step++)
            await StepAsync();
        // The process survives this fault and continues for a while.
        for (var step = _random.Next(15); step > 0 && IsUp; step--)
            await StepAsync();
        return await StopAsync();
    }

    // The close completed before the fault; it occurs after the next start. Everything is durable after a clean close.
    private async Task OpenAfterCloseAsync()
    {
        if (_disk.TookEffect.Count == 0)
            _ledger.MarkDurable();
        _disk.Disarm();
        await OpenAsync();
        CheckFailedException.Unless(Partition.OfflineReason is null, $"offline after a clean stop: {Partition.OfflineReason}");
        _disk.Arm(new Fault(Scenario.Kind, _random.Next(10)));
    }

    /// <summary>Ends the process, unless the fault has. Returns whether it was closed cleanly.</summary>
    private async Task<bool> StopAsync()
    {
        _disk.Disarm();
        var clean = IsUp && Scenario.Kind == FaultKind.FlippedBit && Scenario.CleanStopBeforeFlip;
        if (clean)
        {
            await _store.DisposeAsync();
            _ledger.MarkDurable();
            _disk.Crash(powerCut: false);
        }
        else if (!_disk.Crashed)
        {
            _disk.Crash(powerCut: Scenario.Kind == FaultKind.FlushFailure || _random.Next(2) == 0);
        }
        _powerCut = _disk.WasPowerCut;
        foreach (var fault in _disk.TookEffect.Where(f => f.Kind != FaultKind.FlippedBit && f.Effect != FaultyFileSystem.BetweenOperations))
            Statistics.Faults.Add(fault);
        await _store.DisposeAsync();
        return clean;
    }
}
