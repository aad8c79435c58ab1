using OrleansMq.Api;
using OrleansMq.Producers;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Batches of transactions at the leader: the first one of a transaction needs its coordinator's number.</summary>
public sealed class TransactionalAppendTests
{
    private const long Id = 7;

    [Fact]
    public async Task First_batch_is_refused_until_the_coordinator_has_told_the_transactions_number()
    {
        await using var rig = await PartitionRig.StartAsync();
        var refused = await AppendAsync(rig, 0, 0);
        Assert.Equal(ErrorCode.TransactionAbortable, refused.Error);
        Assert.Contains("add the partition to its transaction", refused.Message, StringComparison.Ordinal);
        Assert.Equal(0, rig.Partition.LogEndOffset);
        Assert.False(rig.Partition.IsInTransaction(Id, 0));

        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 0, 0, new VerifiedTransaction(1))).Error);
        Assert.True(rig.Partition.IsInTransaction(Id, 0));
        Assert.False(rig.Partition.IsInTransaction(Id, 1));
        Assert.False(rig.Partition.IsInTransaction(Id + 1, 0));
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 0, 1)).Error);
        Assert.Equal((0, 2), (rig.Partition.LastStableOffset, rig.Partition.HighWatermark));
    }

    [Fact]
    public async Task Number_of_an_ended_transaction_opens_nothing()
    {
        await using var rig = await PartitionRig.StartAsync();
        // The marker came between the coordinator's answer and the append.
        await EndAsync(rig, 0, number: 5);
        Assert.Equal(ErrorCode.TransactionAbortable, (await AppendAsync(rig, 0, 0, new VerifiedTransaction(5))).Error);
        Assert.Equal(ErrorCode.TransactionAbortable, (await AppendAsync(rig, 0, 0, new VerifiedTransaction(4))).Error);
        Assert.Equal(1, rig.Partition.LastStableOffset);
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 0, 0, new VerifiedTransaction(6))).Error);
    }

    [Fact]
    public async Task Duplicate_of_an_ended_transaction_is_answered_with_its_offset()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 0, 0, new VerifiedTransaction(1))).Error);
        await EndAsync(rig, 0, number: 1);
        var again = await AppendAsync(rig, 0, 0);
        Assert.Equal((ErrorCode.None, 0), (again.Error, again.BaseOffset));
        Assert.Equal(2, rig.Partition.LastStableOffset);
    }

    [Fact]
    public async Task Batch_of_another_epoch_does_not_join_an_open_transaction()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 3, 0, new VerifiedTransaction(1))).Error);
        Assert.Equal(ErrorCode.TransactionAbortable, (await AppendAsync(rig, 4, 0, new VerifiedTransaction(2))).Error);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, (await AppendAsync(rig, 2, 0, new VerifiedTransaction(2))).Error);
        Assert.Equal(1, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Batch_outside_of_the_open_transaction_is_refused()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 0, 0, new VerifiedTransaction(1))).Error);
        var outside = PartitionRig.Batch(rig.Clock.Now, static builder => builder.SetProducer(Id, 0, 1), "a");
        Assert.Equal(ErrorCode.InvalidTxnState, (await rig.Partition.AppendAsync(outside, Acks.All)).Error);
        await EndAsync(rig, 0, number: 1);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(outside, Acks.All)).Error);
    }

    [Theory]
    [InlineData(true, ErrorCode.OutOfOrderSequenceNumber)]
    [InlineData(false, ErrorCode.None)]
    public async Task Unknown_producer_that_restarts_its_sequences_begins_at_zero(bool startsAtZero, ErrorCode expected)
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(expected, (await AppendAsync(rig, 0, 5, new VerifiedTransaction(1, startsAtZero))).Error);
    }

    [Fact]
    public async Task Open_transactions_are_known_after_a_restart()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 2, 0, new VerifiedTransaction(1))).Error);
        await rig.RestartAsync();
        Assert.True(rig.Partition.IsInTransaction(Id, 2));
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, 2, 1)).Error);
        await EndAsync(rig, 2, number: 1);
        await rig.RestartAsync();
        Assert.False(rig.Partition.IsInTransaction(Id, 2));
        Assert.Equal(ErrorCode.TransactionAbortable, (await AppendAsync(rig, 2, 2, new VerifiedTransaction(1))).Error);
    }

    private static async ValueTask<ProduceResult> AppendAsync(PartitionRig rig, short epoch, int sequence,
        VerifiedTransaction verified = default) => await rig.Partition.AppendAsync(
            PartitionRig.Batch(rig.Clock.Now, builder => builder.SetProducer(Id, epoch, sequence, transactional: true), "a"), Acks.All,
            verified: verified);

    private static async Task EndAsync(PartitionRig rig, short epoch, long number) => Assert.Equal(ErrorCode.None,
        (await rig.Partition.Appends.AppendMarkerAsync(Id, epoch, new TransactionMarker(true, 3, number), raisesEpoch: false)).Error);
}
