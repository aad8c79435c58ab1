using System.Text;
using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Dedupe;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Message ids where several replicas hold a partition, and lead it in turn.</summary>
public sealed class ReplicaDedupeTests
{
    private static readonly TopicConfig Window = TopicConfig.Default with { MinInsyncReplicas = 2, DedupeWindowMs = 3_600_000 };

    [Fact]
    public async Task Next_leader_knows_the_ids_that_are_in_its_log_and_no_others()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Window);
        var first = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var known = await PublishAsync(first.Partition, "a", "b");
        partition.Cluster.Isolate(1);
        var lost = Begin(first.Partition, "c");
        await ReplicatedPartition.Until(() => partition.LogOf(1).LogEndOffset == known + 4, () => "written on broker 1");
        first.StopLeading("a test");
        Assert.NotEqual(ErrorCode.None, (await lost).Error);
        partition.Cluster.Mend();

        var second = await partition.LeadAsync(2);
        Assert.Equal(known, await PublishAsync(second.Partition, "a"));
        var retried = await PublishAsync(second.Partition, "d", "c") + 1;
        Assert.Equal(retried, await PublishAsync(second.Partition, "c"));

        // The first one cuts what it alone had, and what it had claimed there.
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
        second.StopLeading("a test");
        var again = await partition.LeadAsync(1);
        Assert.Equal(retried, await PublishAsync(again.Partition, "c"));
        Assert.Equal(known + 1, await PublishAsync(again.Partition, "b"));
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
        Assert.Equal(["a", "b", "d", "c"], Values(again.Partition));
        var states = ((int[])[1, 2, 3]).Select(broker => Convert.ToHexString(partition.LogOf(broker).State.Dedupe.EncodeSnapshot()));
        Assert.Single(states.Distinct());
    }

    [Fact]
    public async Task Duplicate_is_acknowledged_when_its_original_is_replicated_and_not_before()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Window);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        partition.Cluster.Isolate(1);
        var original = Begin(leader.Partition, "a");
        await ReplicatedPartition.Until(() => partition.LogOf(1).LogEndOffset == 2, () => "written on broker 1");
        var duplicate = Begin(leader.Partition, "a");
        var other = Begin(leader.Partition, "b");
        await ReplicatedPartition.Until(() => partition.LogOf(1).LogEndOffset == 4, () => "written on broker 1");
        // It was decided in the round before.
        Assert.False(duplicate.IsCompleted);
        partition.Cluster.Mend();
        Assert.Equal((ErrorCode.None, 1), ((await original).Error, (int)(await original).BaseOffset));
        Assert.Equal((ErrorCode.None, 1), ((await duplicate).Error, (int)(await duplicate).BaseOffset));
        Assert.Equal(3, (await other).BaseOffset);
    }

    private static async Task<long> PublishAsync(Partition partition, params string[] ids)
    {
        var result = await Begin(partition, ids);
        Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
        return result.BaseOffset;
    }

    private static Task<ProduceResult> Begin(Partition partition, params string[] ids)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var id in ids)
            builder.Add(1, default, false, Encoding.UTF8.GetBytes(id), true,
                [new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes(id))]);
        return partition.AppendAsync(builder.Build().ToArray(), Acks.All).AsTask();
    }

    private static List<string> Values(Partition partition)
    {
        var values = new List<string>();
        for (var offset = 0L; partition.Log!.Read(offset, partition.HighWatermark, 1 << 20) is { } read; offset = read.NextOffset)
        {
            using (read)
            {
                using var reader = new RecordReader(read.Memory, CompressionCodecs.Empty);
                while (reader.MoveNext())
                {
                    if (!reader.Batch.IsControl)
                        values.Add(Encoding.UTF8.GetString(reader.Current.Value!.Value.Span));
                }
            }
        }
        return values;
    }
}
