using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Storage;
using OrleansMq.Topics;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>The cost of idle partitions. With <c>OMQ_LONG=1</c> there are 10,000 of them.</summary>
[Collection(nameof(WholeProcess))]
public sealed class IdlePartitionTests(ITestOutputHelper output)
{
    private static readonly TopicConfig Config = new() { SegmentBytes = 1000, CleanupDelete = true };

    [Fact]
    public async Task Idle_partition_of_three_segments_takes_less_than_ten_kilobytes_of_memory()
    {
        var count = Environment.GetEnvironmentVariable("OMQ_LONG") == "1" ? 10_000 : 500;
        var options = OptionsFor(new MemoryFileSystem(tracksPowerCuts: false), "/idle");
        await FillAsync(options, count);
        var before = GC.GetTotalMemory(true);
        var start = Stopwatch.GetTimestamp();
        await using var store = await PartitionStore.OpenAsync(options, _ => Config);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var each = (GC.GetTotalMemory(true) - before) / count;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{count} partitions: {each} bytes each, opened in {seconds:F2} s"));
        Assert.Equal(count, store.Partitions.Count);
        Assert.All(store.Partitions, p => Assert.True(p.Log!.Segments.Count == 3 && p.LogEndOffset == 6));
        Assert.InRange(each, long.MinValue, 10_000);
    }

    [Fact]
    public async Task Open_files_stay_within_the_limit_when_all_are_used()
    {
        var directory = Directory.CreateTempSubdirectory("omq-idle-").FullName;
        try
        {
            var options = OptionsFor(new DiskFileSystem(), directory) with { MaxOpenFiles = 12 };
            await FillAsync(options, 8);
            await using var store = await PartitionStore.OpenAsync(options, _ => Config);
            foreach (var partition in store.Partitions)
            {
                for (var offset = 0; offset < 6; offset++)
                {
                    using var read = await partition.ReadAsync(new FetchRequest(partition.TopicPartition, offset));
                    Assert.Equal(ErrorCode.None, read.Error);
                }
                Assert.InRange(OpenFilesBelow(directory), 0, 12);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static BrokerOptions OptionsFor(IFileSystem files, string directory)
    {
        files.CreateDirectory(directory);
        return new BrokerOptions { DataDirectory = directory, MinFreeBytes = 0, FileSystem = files };
    }

    private static async Task FillAsync(BrokerOptions options, int count)
    {
        await using var store = await PartitionStore.OpenAsync(options, _ => Config);
        var topicId = Guid.NewGuid();
        var batch = PartitionRig.Batch(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), new string('v', 200));
        for (var number = 0; number < count; number++)
        {
            var partition = store.GetOrCreate(new TopicPartition("idle", number), topicId, Config);
            for (var i = 0; i < 6; i++)
                Assert.Equal(i, (await partition.AppendAsync(batch, Acks.All)).BaseOffset);
        }
    }

    private static int OpenFilesBelow(string directory) => !Directory.Exists("/proc/self/fd")
        ? 0
        : Directory.EnumerateFiles("/proc/self/fd").Count(link => PointsBelow(link, directory));

    private static bool PointsBelow(string link, string directory)
    {
        try
        {
            return File.ResolveLinkTarget(link, false)?.FullName.StartsWith(directory, StringComparison.Ordinal) ?? false;
        }
        catch (IOException)
        {
            return false; // Another test closed it meanwhile.
        }
    }
}

/// <summary>Tests that measure the whole process, and so run exclusively.</summary>
[CollectionDefinition(nameof(WholeProcess), DisableParallelization = true)]
public sealed class WholeProcess;
