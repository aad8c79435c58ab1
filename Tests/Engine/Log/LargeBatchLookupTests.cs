using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.Records;

namespace OrleansMq.Tests.Engine.Log;

[Collection(LargeBatchTests.Name)]
public sealed class LargeBatchLookupTests
{
    [Fact]
    public async Task Lookup_by_time_that_has_no_turn_for_a_large_batch_is_to_be_retried()
    {
        await using var rig = await PartitionRig.StartAsync();
        var time = rig.Clock.Now;
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        builder.Add(time, [], false, new byte[(16 << 20) + 1000], true);
        builder.Add(time + 10, [], false, [], true);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All)).Error);

        Check(OffsetSpec.AtOrAfter(time + 1));
        // Of a batch that is partly deleted, the largest time is that of the records left.
        await rig.Partition.DeleteRecordsAsync(1);
        Check(OffsetSpec.MaxTimestamp);

        void Check(OffsetSpec spec)
        {
            LargeBatches.Reads.Enter(1);
            try
            {
                var refused = rig.Partition.FindOffset(spec);
                Assert.Equal((ErrorAction.Retry, -1L), (refused.Error.Action(), refused.Offset));
                Assert.Contains("retry", refused.Message, StringComparison.Ordinal);
            }
            finally
            {
                LargeBatches.Reads.Exit();
            }
            var found = rig.Partition.FindOffset(spec);
            Assert.Equal((ErrorCode.None, 1L, time + 10), (found.Error, found.Offset, found.Timestamp));
            Assert.Null(rig.Partition.OfflineReason);
        }
    }
}
