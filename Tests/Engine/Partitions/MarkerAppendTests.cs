using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Markers of transactions at a partition's leader.</summary>
public sealed class MarkerAppendTests
{
    private const long Id = 7;

    [Fact]
    public async Task Marker_ends_the_open_transaction_and_moves_the_last_stable_offset()
    {
        await using var rig = await PartitionRig.StartAsync();
        Open(rig, sequence: 0);
        await rig.AppendAsync("plain");
        Assert.Equal((2L, 0L), (rig.Partition.HighWatermark, rig.Partition.LastStableOffset));
        var marker = await rig.Partition.Appends.AppendMarkerAsync(Id, 0, new TransactionMarker(false, 3, 1), raisesEpoch: false);
        Assert.Equal((ErrorCode.None, 2L), (marker.Error, marker.BaseOffset));
        Assert.Equal((3L, 3L), (rig.Partition.HighWatermark, rig.Partition.LastStableOffset));
        using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0)
        {
            Isolation = IsolationLevel.ReadCommitted,
        });
        Assert.Equal([new AbortedTransaction(Id, 0, 2, 3)], read.Aborted);
        Assert.Equal([(0L, "open"), (1L, "plain")], await rig.ReadAllAsync());
    }

    [Fact]
    public async Task Repeated_marker_ends_no_later_transaction()
    {
        await using var rig = await PartitionRig.StartAsync();
        Open(rig, sequence: 0);
        Assert.Equal(ErrorCode.None, (await End(rig, number: 1)).Error);
        Open(rig, sequence: 1);
        var late = await End(rig, number: 1);
        Assert.Equal((ErrorCode.None, -1L), (late.Error, late.BaseOffset));
        Assert.Equal((3L, 2L), (rig.Partition.LogEndOffset, rig.Partition.LastStableOffset));
        Assert.Equal(3, (await End(rig, number: 2)).BaseOffset);
        Assert.Equal(4, rig.Partition.LastStableOffset);
    }

    [Fact]
    public async Task Two_markers_of_one_transaction_in_one_round_are_one()
    {
        await using var rig = await PartitionRig.StartAsync();
        Open(rig, sequence: 0);
        var both = await Task.WhenAll(End(rig, number: 1).AsTask(), End(rig, number: 1).AsTask());
        Assert.All(both, static one => Assert.Equal(ErrorCode.None, one.Error));
        Assert.Equal((2L, 2L), (rig.Partition.LogEndOffset, rig.Partition.LastStableOffset));
    }

    [Fact]
    public async Task Older_coordinator_and_older_producer_are_fenced_by_name()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.Partition.Appends.AppendMarkerAsync(Id, 2, new TransactionMarker(true, 3), raisesEpoch: false);
        var coordinator = await rig.Partition.Appends.AppendMarkerAsync(Id, 2, new TransactionMarker(true, 2), raisesEpoch: false);
        Assert.Equal(ErrorCode.TransactionCoordinatorFenced, coordinator.Error);
        Assert.Contains("fenced by epoch 3", coordinator.Message, StringComparison.Ordinal);
        var producer = await rig.Partition.Appends.AppendMarkerAsync(Id, 1, new TransactionMarker(true, 3), raisesEpoch: false);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, producer.Error);
        Assert.Equal(1, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Producer_cannot_send_a_marker()
    {
        await using var rig = await PartitionRig.StartAsync();
        var marker = await rig.Partition.AppendAsync(new TransactionMarker(true, 0).ToBatch(Id, 0, rig.Clock.Now), Acks.All);
        Assert.Equal(ErrorCode.InvalidRecord, marker.Error);
        Assert.Contains("control", marker.Message, StringComparison.Ordinal);
        Assert.Equal(0, rig.Partition.LogEndOffset);
    }

    private static void Open(PartitionRig rig, int sequence) =>
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, Id, sequence, "open");

    private static ValueTask<ProduceResult> End(PartitionRig rig, long number) =>
        rig.Partition.Appends.AppendMarkerAsync(Id, 0, new TransactionMarker(true, 3, number), raisesEpoch: false);
}
