using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Replicas;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>A leader that is cut off, and does not know of its successor.</summary>
public sealed class StaleLeaderCursorsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Leader_without_lease_hands_out_nothing_that_waits_for_its_consumers()
    {
        await using var partition = await ReplicatedPartition.StartAsync(static broker => ReplicatedPartition.Patient with
        {
            LeaderLease = TimeSpan.FromMilliseconds(800),
            // The leader that is cut off must not remove the others on a busy machine. Its successor removes it soon.
            ReplicaLagTimeMax = broker == 1 ? ReplicatedPartition.Patient.ReplicaLagTimeMax : TimeSpan.FromSeconds(3),
        });
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var cursors = partition.ReplicaOf(1).Partition.Cursors;
        var begun = await cursors.BeginAsync(Guid.NewGuid(), PartitionCursorsActions.Configuration, 0).WaitAsync(Patience);
        Assert.Equal(CursorOutcome.Done, begun.Outcome);
        await partition.AppendAsync("one");
        var former = await cursors.AttachAsync("c", new AttachOptions { Prefetch = 10 });
        await Wait.UntilAsync(async () => await cursors.AskAsync(term => term.Find("c")!.Cursor.Held).WaitAsync(Patience) > 0, Patience);
        partition.Cluster.Isolate(1);
        await partition.LeadAsync(2);
        var consumer = await partition.ReplicaOf(2).Partition.Cursors.AttachAsync("c", new AttachOptions());
        using var received = await consumer.ReceiveSomeAsync(1);
        Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(received));

        try
        {
            using var late = await former.ReceiveAsync(0, TimeSpan.Zero);
            Assert.Null(late);
        }
        catch (BrokerException ended)
        {
            Assert.Equal(ErrorCode.NotLeaderOrFollower, ended.Code);
        }
        partition.Cluster.Mend();
    }
}
