using System.Text;
using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>The epochs of a log are in its batches. Without them a follower would count a tail that its leader does not have.</summary>
public sealed class LostEpochsTests
{
    private static readonly string EpochsPath = Path.Combine(PartitionRig.PartitionPath, LeaderEpochCache.FileName);
    private static readonly TopicConfig Small = TopicConfig.Default with { SegmentBytes = 1000, FileDeleteDelayMs = 0 };

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("0\n2\n1 0\n")]
    [InlineData("0\n1\n1 0\n")] // An earlier copy of the file.
    public async Task Lost_epochs_are_found_in_the_batches(string? left)
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await FillAsync(rig, 1, 3, 7);
        await rig.Store.DisposeAsync();
        Leave(rig, left);
        await rig.OpenAsync();
        Assert.Null(rig.Partition.OfflineReason);
        Assert.Equal([new(1, 0), new(3, 20), new(7, 40)], rig.Partition.Epochs!.Entries);
        Assert.Equal(7, rig.Partition.LeaderEpoch);
        await rig.KillAsync();
        Assert.Equal([new(1, 0), new(3, 20), new(7, 40)], rig.Partition.Epochs!.Entries);
    }

    [Fact]
    public async Task Epochs_found_begin_at_the_log_start()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await FillAsync(rig, 1, 3, 7);
        await rig.Partition.DeleteRecordsAsync(25);
        await rig.Store.DisposeAsync();
        Leave(rig, null);
        await rig.OpenAsync();
        Assert.Equal([new(3, 25), new(7, 40)], rig.Partition.Epochs!.Entries);
    }

    /// <summary>An epoch without records leaves no batch. The next one begins where it did.</summary>
    [Fact]
    public async Task Log_without_epochs_is_left_alone()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await rig.AppendManyAsync(30);
        await rig.RestartAsync();
        Assert.Empty(rig.Partition.Epochs!.Entries);
        Assert.False(rig.Files.FileExists(EpochsPath));
    }

    /// <summary>Compaction may have removed the first records of an epoch, so its start is not known.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData("damaged")]
    public async Task Epochs_of_a_compacted_log_that_cannot_be_told_take_the_partition_offline(string? left)
    {
        var compacted = Small with { CleanupCompact = true, CleanupDelete = false };
        await using var rig = await PartitionRig.StartAsync(compacted);
        await FillAsync(rig, 1, 3, 7);
        rig.Store.RunCompaction();
        await rig.Store.DisposeAsync();
        Leave(rig, left);
        await rig.OpenAsync();
        Assert.IsType<InvalidDataException>(rig.Partition.OfflineFault);
        Assert.Contains(EpochsPath, rig.Partition.OfflineReason, StringComparison.Ordinal);
    }

    private static async Task FillAsync(PartitionRig rig, params int[] epochs)
    {
        foreach (var epoch in epochs)
        {
            rig.Partition.BeginLeaderEpoch(epoch);
            await rig.AppendManyAsync(20);
        }
    }

    private static void Leave(PartitionRig rig, string? text)
    {
        if (text is null)
            rig.Files.DeleteFile(EpochsPath);
        else
            AtomicFile.Write(rig.Files, EpochsPath, Encoding.ASCII.GetBytes(text));
    }
}
