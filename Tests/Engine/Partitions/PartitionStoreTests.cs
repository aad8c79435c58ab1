using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

public sealed class PartitionStoreTests
{
    private static readonly string Logs = Path.Combine(PartitionRig.Data, "logs");

    /// <summary>Also none of a segment that has left the log, or that a reader still has: the disk space would stay in use.</summary>
    [Fact]
    public async Task Deleted_partition_leaves_no_file_open()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = 500, FileDeleteDelayMs = 3_600_000 });
        await rig.AppendManyAsync(30);
        await rig.Partition.DeleteRecordsAsync(15);
        Assert.NotEmpty(rig.FilesOf(".deleted"));
        var (log, cache) = (rig.Partition.Log!, rig.Partition.Ports.Log.Cache);
        Assert.NotEqual(0, cache.OpenCount);
        using (log.Segments[0].Log.Rent())
            await rig.Store.DeleteAsync(PartitionRig.Name);
        Assert.Equal(0, cache.OpenCount);
    }

    [Fact]
    public async Task Metadata_file_has_Kafkas_format()
    {
        await using var rig = await PartitionRig.StartAsync();
        var text = Encoding.ASCII.GetString(AtomicFile.TryRead(rig.Files, Path.Combine(PartitionRig.PartitionPath, "partition.metadata"))!);
        Assert.Equal("version: 0\ntopic_id: EREiIjMzRERVVWZmd3eIiA\n", text);
    }

    [Fact]
    public async Task Partition_is_created_once_and_belongs_to_its_topic_id()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Same(rig.Partition, rig.Store.GetOrCreate(PartitionRig.Name, PartitionRig.TopicId, TopicConfig.Default));
        var refused = Assert.Throws<BrokerException>(() => rig.Store.GetOrCreate(PartitionRig.Name, Guid.NewGuid(), TopicConfig.Default));
        Assert.Equal(ErrorCode.InconsistentTopicId, refused.Code);
    }

    [Fact]
    public async Task Directories_of_unknown_topics_are_set_aside_and_taken_back_when_the_topic_is_known_again()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("somebody's");
        await rig.Store.DisposeAsync();
        // The topic is unknown, as after damage of its document, which is then restored.
        await using (await Partitions(rig, _ => null))
        {
            Assert.False(rig.Files.DirectoryExists(PartitionRig.PartitionPath));
        }
        var aside = Assert.Single(rig.Files.ListDirectories(Logs));
        Assert.Equal($"t-0.{PartitionRig.TopicId:N}-stray", aside);
        Assert.Contains(rig.Lines.Of(EngineLogLevel.Warning), line => line.Contains(aside, StringComparison.Ordinal));
        Assert.True(rig.Files.GetLength(Path.Combine(Logs, aside, "00000000000000000000.log")) > 0);
        await rig.OpenAsync();
        Assert.Equal(1, rig.Partition.LogEndOffset);
        Assert.Equal(["t-0"], rig.Files.ListDirectories(Logs).Select(path => Path.GetFileName(path)));
    }

    [Fact]
    public async Task Directory_set_aside_stays_while_another_has_its_name()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("somebody's");
        await rig.Store.DisposeAsync();
        var other = Guid.NewGuid();
        await using (var store = await Partitions(rig, id => id == other ? TopicConfig.Default : null))
            store.GetOrCreate(PartitionRig.Name, other, TopicConfig.Default);
        await using (await Partitions(rig, _ => TopicConfig.Default, (_, _) => true))
            Assert.Equal(["t-0", $"t-0.{PartitionRig.TopicId:N}-stray"], rig.Files.ListDirectories(Logs).Order(StringComparer.Ordinal));
    }

    /// <summary>Not even a bug that one partition's files reveal may keep the others from serving.</summary>
    [Fact]
    public async Task Partition_that_cannot_be_opened_for_any_reason_is_offline_alone()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(files: files);
        var other = new TopicPartition("t", 1);
        rig.Store.GetOrCreate(other, PartitionRig.TopicId, rig.Config);
        await rig.AppendAsync("a");
        await rig.Store.DisposeAsync();
        files.OnOpen = path =>
        {
            if (path.Contains("t-1", StringComparison.Ordinal) && path.EndsWith("partition-checkpoint", StringComparison.Ordinal))
                throw new InvalidOperationException("It cannot be.");
        };
        await rig.OpenAsync();
        files.OnOpen = null;
        Assert.Equal([(0L, "a")], await rig.ReadAllAsync());
        Assert.True(rig.Store.TryGet(other, out var offline));
        Assert.Contains("It cannot be.", offline.OfflineReason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(".cleaned")]
    [InlineData("partition-checkpoint")]
    public async Task Bug_in_one_partitions_maintenance_stops_no_other(string file)
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        var config = TopicConfig.Default with { CleanupCompact = true, CleanupDelete = false, SegmentBytes = 1000, FileDeleteDelayMs = 0 };
        await using var rig = await PartitionRig.StartAsync(config, files,
            options => options with { CompactionCheckInterval = TimeSpan.FromHours(1) });
        var names = Enumerable.Range(1, 4).Select(number => new TopicPartition("t", number)).ToArray();
        foreach (var name in names)
        {
            var partition = rig.Store.GetOrCreate(name, PartitionRig.TopicId, config);
            for (var i = 0; i < 40; i++)
                await partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, $"{i % 3}", new string('x', 50)), Acks.All);
        }
        var bad = Path.Combine(Logs, "t-2") + Path.DirectorySeparatorChar;
        files.OnOpen = path =>
        {
            if (path.StartsWith(bad, StringComparison.Ordinal) && path.EndsWith(file, StringComparison.Ordinal))
                throw new InvalidOperationException("It cannot be.");
        };
        files.OnWrite = (path, _, _) => files.OnOpen(path);
        rig.Store.RunCompaction();
        rig.Clock.Advance(TimeSpan.FromMinutes(2));
        rig.Store.RunMaintenance(rig.Clock.Now);
        (files.OnOpen, files.OnWrite) = (null, null);
        foreach (var name in names)
        {
            Assert.True(rig.Store.TryGet(name, out var partition));
            var isBad = name.Partition == 2;
            Assert.Equal(isBad, partition.SizeInBytes > 4000);
            Assert.True(isBad || partition.Log!.RecoveryPoint.Offset == partition.LogEndOffset);
        }
        Assert.Contains(rig.Lines.Of(EngineLogLevel.Error), line => line.Contains("t-2", StringComparison.Ordinal)
            && line.Contains("It cannot be.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Directory_set_aside_stays_where_no_catalogue_lists_its_partition()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.Store.DisposeAsync();
        await using (await Partitions(rig, _ => null))
        {
            // Sets it aside.
        }
        string[] aside = [$"t-0.{PartitionRig.TopicId:N}-stray"];
        await using (await Partitions(rig, _ => TopicConfig.Default))
            Assert.Equal(aside, rig.Files.ListDirectories(Logs));
        await using (await Partitions(rig, _ => TopicConfig.Default, (_, _) => false))
            Assert.Equal(aside, rig.Files.ListDirectories(Logs));
    }

    [Fact]
    public async Task Directory_with_a_cut_name_is_taken_back_as_no_other_partition()
    {
        await using var rig = await PartitionRig.StartAsync();
        // With its ending the name has one character too many: it shows the number 1, not 10.
        var name = new TopicPartition(new string('n', 214), 10);
        var topicId = Guid.NewGuid();
        rig.Store.GetOrCreate(name, topicId, TopicConfig.Default);
        await rig.Store.DisposeAsync();
        await using (await Partitions(rig, id => id == PartitionRig.TopicId ? TopicConfig.Default : null))
        {
            // Sets it aside.
        }
        var aside = Assert.Single(rig.Files.ListDirectories(Logs), found => found != "t-0");
        Assert.StartsWith($"{name.Topic}-1.{topicId:N}", aside, StringComparison.Ordinal);
        await using (await Partitions(rig, _ => TopicConfig.Default, (partition, id) => partition.Topic == name.Topic && id == topicId))
            Assert.Contains(aside, rig.Files.ListDirectories(Logs));
    }

    [Fact]
    public async Task Directory_taken_back_is_checked_although_the_last_end_was_clean()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("torn");
        await rig.Store.DisposeAsync();
        rig.Files.DeleteFile(Path.Combine(PartitionRig.Data, "clean-shutdown"));
        await using (await Partitions(rig, _ => null))
        {
            // Sets it aside, and ends cleanly.
        }
        await rig.OpenAsync();
        Assert.False(rig.Partition.Log!.Opening.IsClean);
        await rig.RestartAsync();
        Assert.True(rig.Partition.Log!.Opening.IsClean);
    }

    [Fact]
    public async Task Directory_that_was_skipped_is_checked_by_the_next_start_although_the_end_was_clean()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("torn");
        await rig.Store.DisposeAsync();
        var disk = rig.Files;
        rig.Files.DeleteFile(Path.Combine(PartitionRig.Data, "clean-shutdown"));
        rig.Use(new Unreadable(disk, Path.Combine(PartitionRig.PartitionPath, "partition.metadata")));
        await using (await Partitions(rig, _ => TopicConfig.Default))
            Assert.Contains(rig.Lines.Of(EngineLogLevel.Error), line => line.Contains("t-0", StringComparison.Ordinal));
        rig.Use(disk);
        await rig.OpenAsync();
        Assert.False(rig.Partition.Log!.Opening.IsClean);
        await rig.RestartAsync();
        Assert.True(rig.Partition.Log!.Opening.IsClean);
    }

    [Fact]
    public async Task Directory_of_a_known_partition_that_is_created_again_is_never_taken_back()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("replaced");
        await rig.Store.DisposeAsync();
        var disk = rig.Files;
        var unreadable = new Unreadable(disk, Path.Combine(PartitionRig.PartitionPath, "partition.metadata"));
        rig.Use(unreadable);
        await using (var store = await Partitions(rig, _ => TopicConfig.Default))
        {
            unreadable.IsMended = true;
            store.GetOrCreate(PartitionRig.Name, PartitionRig.TopicId, TopicConfig.Default);
            Assert.Equal(["t-0", $"t-0.{PartitionRig.TopicId:N}-replaced"], disk.ListDirectories(Logs).Order(StringComparer.Ordinal));
            await store.DeleteAsync(PartitionRig.Name);
        }
        rig.Use(disk);
        await using (var store = await Partitions(rig, _ => TopicConfig.Default, (_, _) => true))
            Assert.Empty(store.Partitions);
    }

    private sealed class Unreadable(IFileSystem files, string unreadable) : WrappedFileSystem(files)
    {
        public bool IsMended { get; set; }

        public override IFile Open(string path, FileOpening mode) => path == unreadable && !IsMended
            ? throw new IOException($"Input/output error: '{path}'")
            : Inner.Open(path, mode);
    }

    [Fact]
    public async Task Interrupted_deletion_is_completed_and_interrupted_creation_restarted()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.Store.DisposeAsync();
        var dying = Path.Combine(Logs, $"old-1.{Guid.NewGuid():N}-delete");
        rig.Files.CreateDirectory(dying);
        rig.Files.Open(Path.Combine(dying, "00000000000000000000.log"), FileOpening.CreateOrTruncate).Dispose();
        rig.Files.CreateDirectory(Path.Combine(Logs, "half-0"));
        await rig.OpenAsync();
        Assert.Equal(["t-0"], rig.Files.ListDirectories(Logs));
        Assert.Equal(0, rig.Store.GetOrCreate(new TopicPartition("half", 0), PartitionRig.TopicId, TopicConfig.Default).LogEndOffset);
    }

    [Fact]
    public async Task Partition_recreated_under_another_id_starts_empty()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendManyAsync(5);
        var old = rig.Partition;
        await rig.Store.DeleteAsync(PartitionRig.Name);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await old.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), Acks.All)).Error);
        using var read = await old.ReadAsync(new FetchRequest(PartitionRig.Name, 0));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, read.Error);
        Assert.Equal(0, rig.Store.GetOrCreate(PartitionRig.Name, Guid.NewGuid(), TopicConfig.Default).LogEndOffset);
        await rig.Store.DeleteAsync(new TopicPartition("never", 3));
    }

    [Fact]
    public async Task Creation_during_the_deletion_of_a_namesake_waits_and_gets_a_new_partition()
    {
        for (var round = 0; round < 20; round++)
        {
            await using var rig = await PartitionRig.StartAsync();
            await rig.AppendManyAsync(3);
            var newId = Guid.NewGuid();
            var creating = Task.Run(async () =>
            {
                while (true)
                {
                    try
                    {
                        return rig.Store.GetOrCreate(PartitionRig.Name, newId, TopicConfig.Default);
                    }
                    catch (BrokerException refused)
                    {
                        Assert.True(refused.Code is ErrorCode.InconsistentTopicId or ErrorCode.LeaderNotAvailable);
                        await Task.Yield();
                    }
                }
            });
            await rig.Store.DeleteAsync(PartitionRig.Name);
            var created = await creating;
            Assert.Equal((newId, 0L), (created.TopicId, created.LogEndOffset));
            Assert.Equal(0, (await created.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "mine"), Acks.All)).BaseOffset);
            Assert.Equal(["t-0"], rig.Files.ListDirectories(Logs));
        }
    }

    [Fact]
    public async Task Topic_deleted_under_load_leaves_no_files()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 500, FlushMs = 0 });
        // By itself where the test fails before it stops them.
        using var stop = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        var partition = rig.Partition;
        var senders = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                var result = await partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "x"), Acks.All);
                if (result.Error != ErrorCode.None)
                    return result.Error;
            }
            return ErrorCode.None;
        })).ToArray();
        var upkeep = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                rig.Store.RunMaintenance(rig.Clock.Now);
                partition.Checkpoint();
            }
        });
        await Wait.UntilAsync(() => partition.LogEndOffset >= 200, TimeSpan.FromMinutes(1));
        await rig.Store.DeleteAsync(PartitionRig.Name);
        Assert.All(await Task.WhenAll(senders), error => Assert.Equal(ErrorCode.UnknownTopicOrPartition, error));
        await stop.CancelAsync();
        await upkeep;
        Assert.Empty(rig.Files.ListDirectories(Logs));
        Assert.Empty(rig.Lines.Of(EngineLogLevel.Error));
    }

    [Fact]
    public async Task Clean_stop_marker_is_removed_before_appends_and_not_written_with_an_offline_partition()
    {
        var marker = Path.Combine(PartitionRig.Data, "clean-shutdown");
        await using var rig = await PartitionRig.StartAsync();
        Assert.False(rig.Files.FileExists(marker));
        await rig.Store.DisposeAsync();
        Assert.True(rig.Files.FileExists(marker));
        await rig.OpenAsync();
        await rig.CutPowerAsync(Seeds.Next());
        Assert.False(rig.Files.FileExists(marker));
        rig.Partition.GoOffline("the disk is gone", null);
        await rig.Store.DisposeAsync();
        Assert.False(rig.Files.FileExists(marker));
        await rig.OpenAsync();
        Assert.Null(rig.Partition.OfflineReason);
    }

    [Fact]
    public async Task Queued_appends_are_written_and_answered_when_the_broker_closes()
    {
        await using var rig = await PartitionRig.StartAsync();
        var waiting = Enumerable.Range(0, 300).Select(i => rig.AppendAsync($"{i}")).ToArray();
        await rig.Store.DisposeAsync();
        var results = await Task.WhenAll(waiting);
        Assert.All(results, result => Assert.True(result.Error is ErrorCode.None or ErrorCode.NotLeaderOrFollower));
        await rig.OpenAsync();
        Assert.Equal(results.Count(result => result.Error == ErrorCode.None), rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Rolled_segment_advances_the_recovery_point_soon()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 1000 });
        await rig.AppendManyAsync(20);
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(20, rig.Partition.Log!.RecoveryPoint.Offset);
    }

    [Fact]
    public async Task Partitions_are_created_at_once()
    {
        const int together = 8;
        await using var rig = await PartitionRig.StartAsync();
        await rig.Store.DisposeAsync();
        var files = new Meeting(rig.Files, together);
        await using var store = await OrleansMq.Partitions.PartitionStore.OpenAsync(
            new BrokerOptions { DataDirectory = PartitionRig.Data, FileSystem = files, Log = rig.Lines }, _ => TopicConfig.Default);
        files.IsArmed = true;
        await Task.WhenAll(Enumerable.Range(0, together).Select(number =>
            store.GetOrCreateAsync(new TopicPartition("many", number), PartitionRig.TopicId, TopicConfig.Default)));
        Assert.Equal(together + 1, store.Partitions.Count);
    }

    /// <summary>A disk on which a thread's first change waits until so many threads change something.</summary>
    private sealed class Meeting(IFileSystem files, int threads) : WrappedFileSystem(files)
    {
        private readonly CountdownEvent _there = new(threads);
        private readonly ThreadLocal<bool> _came = new();

        public bool IsArmed { get; set; }

        public override IFile Open(string path, FileOpening mode) => Inner.Open(path, mode);

        protected override void Changing()
        {
            if (!IsArmed || _came.Value || _there.IsSet)
                return;
            _came.Value = true;
            _there.Signal();
            Assert.True(_there.Wait(TimeSpan.FromSeconds(30)), "not all partitions were being created at once");
        }
    }

    private static async Task<OrleansMq.Partitions.PartitionStore> Partitions(PartitionRig rig, Func<Guid, TopicConfig?> findConfig,
        Func<TopicPartition, Guid, bool>? isListed = null) =>
        await OrleansMq.Partitions.PartitionStore.OpenAsync(
            new BrokerOptions
            {
                DataDirectory = PartitionRig.Data,
                FileSystem = rig.Files,
                Log = rig.Lines,
                TimeProvider = rig.Clock,
                MinFreeBytes = 0
            }, findConfig, isListed);
}
