using System.Text;
using OrleansMq.Compression;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Deliveries with a batch that the leader cannot read, or not all at once.</summary>
public sealed class UnreadableDeliveriesTests
{
    private static readonly CursorConfiguration Limited =
        PartitionCursorsActions.Configuration with { MaxDeliveries = 1, LimitedCount = LimitedCount.Failures };

    [Fact]
    public async Task Batch_without_its_codec_comes_back_later_uncounted_and_those_around_it_are_received()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(Limited);
        await rig.AppendAsync("one", "two");
        await AppendPackedAsync(rig, "packed");
        await rig.AppendAsync("three");
        var end = rig.Partition.LogEndOffset;
        rig.Options = options => options with { Codecs = CompressionCodecs.Empty };
        await rig.KillAsync();
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 10 });
        // All are in one delivery, with the offset of the batch that began the cursor.
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() >= end);
        using (var before = await consumer.ReceiveSomeAsync(0))
        {
            Assert.Equal(["one", "two"], before.Records.Select(PartitionCursorsActions.Text));
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(before));
        }
        using (var behind = await consumer.ReceiveSomeAsync(0))
        {
            Assert.Equal("three", Assert.Single(behind.Records).Text());
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(behind));
        }
        using (var none = await consumer.ReceiveAsync(0, TimeSpan.Zero))
            Assert.Null(none);
        // More often than the limit allows failures.
        for (var i = 0; i < 3; i++)
        {
            var receiving = consumer.ReceiveAsync(0, TimeSpan.FromHours(1));
            await rig.PassUntilAsync(() => receiving.IsCompleted);
            Assert.Equal(ErrorCode.UnsupportedCompressionType, (await Assert.ThrowsAsync<BrokerException>(() => receiving)).Code);
        }
        await rig.WaitUntilIdleAsync();
        Assert.Equal(0, rig.StateOf().Total(SettlementCause.DeliveryLimit));
        rig.Options = options => options;
        await rig.KillAsync();
        consumer = await rig.AttachAsync();
        var last = consumer.ReceiveAsync(1, TimeSpan.FromHours(1));
        await rig.PassUntilAsync(() => last.IsCompleted);
        using var packed = await last;
        Assert.Equal("packed", Assert.Single(packed!.Records).Text());
        Assert.Equal(0, packed.Records[0].Counts.Failures);
    }

    [Fact]
    public async Task Dead_letter_without_its_codec_waits_and_the_log_names_offset_codec_and_fix()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with
        {
            DeadLetterTarget = new DeadLetterTarget(PartitionRig.TopicId, 1),
        });
        await AppendPackedAsync(rig, "packed");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(1);
        var offset = received.Records[0].Record.Offset;
        Assert.Equal(CursorOutcome.Done, (await consumer.RejectAsync(received.Lock, OffsetRange.Of(offset))).Outcome);
        rig.Options = options => options with { Codecs = CompressionCodecs.Empty };
        await rig.KillAsync();
        rig.Partition.Cursors.Signal();
        await rig.PassUntilAsync(() => rig.Lines.Of(Diagnostics.EngineLogLevel.Warning).Any(line =>
            line.Contains($"offset {offset} is compressed with Gzip", StringComparison.Ordinal)
            && line.Contains("Install the codec on this broker", StringComparison.Ordinal)));
        Assert.Single(rig.StateOf().Intents);
    }

    [Fact]
    public async Task Records_of_one_batch_beyond_the_bound_are_received_next()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        // A few KB as they are stored.
        await AppendPackedAsync(rig, [.. Enumerable.Range(0, 9).Select(i => new string((char)('a' + i), 4 << 20))]);
        var consumer = await rig.AttachAsync(new AttachOptions { Prefetch = 100 });
        var sizes = new List<int>();
        for (var received = 0; received < 9;)
        {
            using var some = await consumer.ReceiveSomeAsync(0);
            Assert.InRange(some.Records.Sum(one => one.Record.Value!.Value.Length), 1, 16 << 20);
            Assert.All(some.Records, (one, i) => Assert.Equal((char)('a' + received + i), one.Text()[0]));
            Assert.All(some.Records, one => Assert.Equal(1, one.Counts.Deliveries));
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(some));
            received += some.Records.Count;
            sizes.Add(some.Records.Count);
        }
        Assert.Equal([3, 3, 3], sizes);
    }

    private static async Task AppendPackedAsync(PartitionRig rig, params string[] values)
    {
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        foreach (var value in values)
            builder.Add(rig.Clock.Now, "k"u8, true, Encoding.UTF8.GetBytes(value), true);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All)).Error);
    }
}
