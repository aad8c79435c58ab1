using System.Text;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Followers delete what the leader's log deletes, and a late follower gets the rest.</summary>
public sealed class ReplicaRetentionTests
{
    private static readonly TopicConfig Small = TopicConfig.Default with
    {
        MinInsyncReplicas = 2,
        SegmentBytes = 1000,
        IndexIntervalBytes = 100,
        FileDeleteDelayMs = 0,
        RetentionMs = -1,
        TimestampBeforeMaxMs = long.MaxValue,
    };

    [Fact]
    public async Task Deleted_records_are_deleted_on_every_replica()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 50; i++)
            await partition.AppendAsync($"value {i}");
        Assert.Equal(40, await leader.Partition.DeleteRecordsAsync(40));
        await partition.AppendAsync("one more");
        await ReplicatedPartition.Until(() => ((int[])[2, 3]).All(b => partition.LogOf(b).LogStartOffset == 40), () => "deleted");
        await partition.AllTheSameAsync();
        Assert.Equal(ErrorCode.NotLeaderOrFollower, (await Assert.ThrowsAsync<BrokerException>(() =>
            partition.ReplicaOf(2).Partition.DeleteRecordsAsync(41).AsTask())).Code);
    }

    [Fact]
    public async Task Deletion_is_answered_when_every_replica_in_sync_knows_of_it()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 50; i++)
            await partition.AppendAsync($"value {i}");
        for (var start = 5; start <= 45; start += 5)
        {
            Assert.Equal(start, await leader.Partition.DeleteRecordsAsync(start));
            Assert.Equal((start, start), (partition.LogOf(2).LogStartOffset, partition.LogOf(3).LogStartOffset));
        }
    }

    /// <summary>The next leader does not know of the deletion, so its records return: the caller must not take them for gone.</summary>
    [Fact]
    public async Task Deletion_that_no_follower_knows_of_is_not_answered_as_done()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 50; i++)
            await partition.AppendAsync($"value {i}");
        partition.Cluster.Isolate(1);
        var deletion = leader.Partition.DeleteRecordsAsync(40).AsTask();
        await ReplicatedPartition.Until(() => leader.Partition.LogStartOffset == 40, () => "deleted here");
        Assert.Equal(0, partition.LogOf(2).LogStartOffset);
        leader.StopLeading("a test");
        Assert.Equal(ErrorCode.RequestTimedOut, (await Assert.ThrowsAsync<BrokerException>(() => deletion)).Code);
        // Asked again, the next leader completes it.
        partition.Cluster.Mend();
        var next = await partition.LeadAsync(2);
        // The former leader's ISR is the stored one still, so it does not tell that this one can prove its lease.
        await ReplicatedPartition.Until(() => next.Partition.CanRead(out _) == ErrorCode.None, () => "the lease of broker 2");
        await partition.InSyncAsync(3);
        Assert.Equal(40, await next.Partition.DeleteRecordsAsync(40));
    }

    /// <summary>The member that is away may lead after its leader's death, and would bring the records back.</summary>
    [Fact]
    public async Task Deletion_names_the_eligible_replica_that_is_away_and_holds_in_the_leader()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small,
            options: ReplicatedPartition.Patient with { AppendTimeout = TimeSpan.FromMilliseconds(300) });
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 20; i++)
            await partition.AppendAsync($"value {i}");
        await partition.AllTheSameAsync();
        await partition[3].StopAsync();
        await partition.InSyncAsync(2);
        await partition[2].StopAsync();
        await ReplicatedPartition.Until(() => partition.State is { Isr: [{ Broker: 1 }], Elr: [{ Broker: 2 }] },
            () => $"{partition.State}");
        var unknown = await Assert.ThrowsAsync<BrokerException>(() => leader.Partition.DeleteRecordsAsync(10).AsTask());
        Assert.Equal(ErrorCode.RequestTimedOut, unknown.Code);
        Assert.Contains("below offset 10 are deleted on this broker", unknown.Message, StringComparison.Ordinal);
        Assert.Contains("broker 2 may lead", unknown.Message, StringComparison.Ordinal);
        Assert.Equal(10, leader.Partition.LogStartOffset);
        // Asked again, it is done with the replica's return.
        await partition[2].StartAsync();
        await partition.InSyncAsync(2);
        Assert.Equal(10, await DeleteAsync(leader.Partition, 10));
        Assert.Equal(10, partition.LogOf(2).LogStartOffset);
    }

    /// <summary>The leader's log starts in the middle of a batch, far above the follower's empty log.</summary>
    [Fact]
    public async Task Empty_replica_starts_at_the_leaders_log_start()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 30; i++)
            await leader.Partition.AppendAsync(PartitionRig.Batch(1, "a", "b", "c"), Acks.All);
        await partition[3].StopAsync();
        partition[3].Files.DeleteDirectory(Path.Combine(partition[3].Data, "logs"));
        await leader.Partition.DeleteRecordsAsync(61);
        await partition[3].StartAsync();
        await partition.InSyncAsync(3);
        await partition.AppendAsync("after");
        await partition.AllTheSameAsync();
        Assert.Equal(61, partition.LogOf(3).LogStartOffset);
    }

    [Fact]
    public async Task Follower_that_was_down_during_retention_continues_after_it()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 20; i++)
            await partition.AppendAsync($"before {i}");
        await partition[3].StopAsync();
        await partition.InSyncAsync(2);
        for (var i = 0; i < 100; i++)
            await partition.AppendAsync($"after {i}");
        await leader.Partition.DeleteRecordsAsync(90);
        await partition[3].StartAsync();
        await partition.InSyncAsync(3);
        await partition.AppendAsync("now");
        await partition.AllTheSameAsync();
        Assert.Equal(90, partition.LogOf(3).LogStartOffset);
    }

    /// <summary>Compaction leaves holes, even of whole segments. Replicas compact independently and hold the same records in the
    /// end.</summary>
    [Fact]
    public async Task Compacted_log_is_caught_up_across_its_holes()
    {
        var config = Small with { CleanupCompact = true, CleanupDelete = false, MinCleanableDirtyRatio = 0, DeleteRetentionMs = 0 };
        await using var partition = await ReplicatedPartition.StartAsync(config);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 120; i++)
            await partition.AppendAsync($"key {i % 7}", 1, i);
        await partition.AllTheSameAsync();
        partition[1].Store.RunCompaction();
        Assert.True(partition.LogOf(1).SizeInBytes < partition.LogOf(2).SizeInBytes / 2);
        await partition[3].StopAsync();
        partition[3].Files.DeleteDirectory(Path.Combine(partition[3].Data, "logs"));
        await partition[3].StartAsync();
        await partition.InSyncAsync(3);
        await partition.AppendAsync("key 8", 1, 120);
        await partition.AllTheSameAsync(sameBytes: false);
        Assert.Equal(partition.BytesOf(1), partition.BytesOf(3));
        // After a kill or a clean stop it opens again and may lead.
        var (end, before) = (partition.LogOf(3).LogEndOffset, partition.BytesOf(3));
        await partition[3].KillAsync();
        await partition[3].StartAsync();
        Assert.Equal(end, partition.LogOf(3).LogEndOffset);
        await partition.AllTheSameAsync(sameBytes: false);
        Assert.Equal(before, partition.BytesOf(3));
        await partition[3].StopAsync();
        await partition[3].StartAsync();
        await partition.AllTheSameAsync(sameBytes: false);
        Assert.Equal(before, partition.BytesOf(3));
        partition[2].Store.RunCompaction();
        foreach (var broker in (int[])[1, 2, 3])
            Assert.Equal(Latest(partition.ReplicaOf(1).Partition), Latest(partition.ReplicaOf(broker).Partition));
    }

    /// <summary>It needs none of the locks of a cut when it arrives. By the time that it has the log, that has changed.</summary>
    [Fact]
    public async Task Push_that_cuts_the_log_only_by_what_changed_while_it_waited_holds_the_locks_of_a_cut()
    {
        const int epoch = 9;
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 10; i++)
            await partition.AppendAsync($"{i}");
        await partition.AllTheSameAsync();
        partition.Cluster.Isolate(3);
        var (replica, log) = (partition.ReplicaOf(3), partition.LogOf(3));
        replica.Receive(Beat(1), null);
        var latest = replica.Partition.Epochs!.Latest.Epoch;
        replica.Receive(new AlignAnswer(ReplicatedPartition.Key.TopicId, epoch, 1, 2, latest, new LeaderEpochEntry(latest, 10), 0), null);
        replica.Receive(Beat(2), null);
        Assert.Equal((5L, 10L), (log.LogStartOffset, log.LogEndOffset));
        var late = new Thread(() => replica.Receive(Beat(3), null));
        lock (log.RemovalLock)
            lock (log.AppendLock)
            {
                late.Start();
                Assert.True(SpinWait.SpinUntil(() => (late.ThreadState & ThreadState.WaitSleepJoin) != 0, TimeSpan.FromSeconds(30)));
                new ReplicaLog(replica.Partition).ResetTo(3);
            }
        Assert.True(late.Join(TimeSpan.FromSeconds(30)));
        Assert.Null(replica.Partition.OfflineReason);
        Assert.Equal((5L, 5L), (log.LogStartOffset, log.LogEndOffset));

        static Push Beat(long sequence) => new(ReplicatedPartition.Key.TopicId, epoch, 1, 2, sequence, 0, -1, [], 0, [], LogStart: 5,
            HighWatermark: 10, LeaderEnd: 10, SentAt: 0);
    }

    /// <summary>The leader has erased a tombstone that two replicas never saw. One copies the log, and leads when the other
    /// returns.</summary>
    [Fact]
    public async Task Replica_that_was_away_while_a_tombstone_was_erased_keeps_no_deleted_key()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Erasing with { MinInsyncReplicas = 1 });
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        foreach (var key in (string[])["gone", "kept"])
            await ChangeAsync(partition, key, "a value");
        await partition.AllTheSameAsync();
        foreach (var away in (int[])[2, 3])
            await partition[away].StopAsync();
        await partition.InSyncAsync(1);
        await ChangeAsync(partition, "gone", null);
        // Cleaned once, the tombstone gets its horizon; cleaned again after that, it goes.
        for (var round = 0; leader.Partition.Log!.ErasedEndOffset == 0; round++)
        {
            Assert.True(round < 100, "the tombstone stays");
            for (var i = 0; i < 30; i++)
                await ChangeAsync(partition, $"later {i}", $"{round}");
            partition[1].Store.RunCompaction();
        }
        var expected = ValuesOf(leader.Partition);
        Assert.DoesNotContain("gone", expected.Keys);
        await partition[3].StartAsync();
        await partition.InSyncAsync(2);
        Assert.Equal(expected, ValuesOf(partition.ReplicaOf(3).Partition));
        // It remembers what it lacks.
        await partition[3].KillAsync();
        await partition[3].StartAsync();
        await partition.InSyncAsync(2);
        await partition[1].StopAsync();
        await partition.LeadAsync(3);
        await partition[2].StartAsync();
        await ReplicatedPartition.Until(() => partition.State.Isr.Select(m => m.Broker).Order().SequenceEqual([2, 3]),
            () => $"{partition.State}");
        Assert.Equal(expected, ValuesOf(partition.ReplicaOf(3).Partition));
        Assert.Equal(expected, ValuesOf(partition.ReplicaOf(2).Partition));
    }

    /// <summary>It has a record of the transaction, and never gets its marker.</summary>
    [Fact]
    public async Task Replica_that_was_away_while_a_marker_was_erased_has_no_open_transaction()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Erasing with { MinInsyncReplicas = 1 });
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        LoggedTransactions.Append(leader.Partition, 1, producerId: 7, sequence: 0, "aborted");
        await ChangeAsync(partition, "kept", "a value");
        await partition.AllTheSameAsync();
        Assert.Equal(1, partition.LogOf(3).State.Transactions.OpenCount);
        foreach (var away in (int[])[2, 3])
            await partition[away].StopAsync();
        await partition.InSyncAsync(1);
        await LoggedTransactions.EndAsync(leader.Partition, producerId: 7, isCommit: false, number: 1);
        var log = leader.Partition.Log!;
        lock (log.AppendLock)
            log.State.RemoveExpired(long.MaxValue, TimeSpan.Zero, log.LogStartOffset);
        for (var round = 0; MarkersIn(log) > 0; round++)
        {
            Assert.True(round < 100, "the marker stays");
            for (var i = 0; i < 30; i++)
                await ChangeAsync(partition, $"later {i}", $"{round}");
            partition[1].Store.RunCompaction();
        }
        var expected = ValuesOf(leader.Partition);
        Assert.DoesNotContain("kaborted", expected.Keys);
        await partition[3].StartAsync();
        await partition.InSyncAsync(2);
        Assert.Equal(expected, ValuesOf(partition.ReplicaOf(3).Partition));
        var transactions = partition.LogOf(3).State.Transactions;
        Assert.Equal((0, log.LogEndOffset), (transactions.OpenCount, transactions.StableOffset(log.LogEndOffset)));
    }

    /// <summary>Keys are written and deleted at random while replicas stop, are killed, compact, catch up and lead.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Deleted_keys_stay_deleted_whichever_replica_leads(int seed)
    {
        var random = new Random(seed);
        await using var partition = await ReplicatedPartition.StartAsync(Erasing, seed);
        var leading = (await partition.LeadAsync(1)).Identity.Broker;
        await partition.InSyncAsync(3);
        var model = new SortedDictionary<string, string>();
        for (var round = 0; round < 8; round++)
        {
            var away = 1 + random.Next(3);
            if (away != leading)
            {
                await (random.Next(2) == 0 ? partition[away].StopAsync() : partition[away].KillAsync());
                await partition.InSyncAsync(2);
            }
            for (var i = 0; i < 4; i++)
            {
                await ChangeAllAsync(20);
                foreach (var broker in partition.Cluster.Brokers.Values.Where(b => b.IsUp))
                    broker.Store.RunCompaction();
            }
            if (away != leading)
                await partition[away].StartAsync();
            await ChangeAllAsync(10);
            partition[leading].Store.RunCompaction();
            await partition.InSyncAsync(3);
            var next = 1 + random.Next(3);
            if (next == leading)
                continue;
            await partition.ReplicaOf(leading).ResignAsync(next, TimeSpan.FromSeconds(10));
            leading = (await partition.LeadAsync(next)).Identity.Broker;
            await partition.InSyncAsync(3);
        }
        await partition.AllTheSameAsync(sameBytes: false);
        Assert.True(partition.LogOf(leading).ErasedEndOffset > 0, "nothing was erased");
        foreach (var broker in (int[])[1, 2, 3])
            Assert.Equal(model, ValuesOf(partition.ReplicaOf(broker).Partition));

        async Task ChangeAllAsync(int count)
        {
            for (var i = 0; i < count; i++)
            {
                var (key, value) = ($"key {random.Next(40)}", random.Next(3) == 0 ? null : $"{random.Next()}");
                await ChangeAsync(partition, key, value);
                model.Remove(key);
                if (value is not null)
                    model[key] = value;
            }
        }
    }

    private static int MarkersIn(SegmentedLog log)
    {
        var count = 0;
        for (var offset = log.LogStartOffset; log.Read(offset, log.LogEndOffset, 1) is { } batch; offset = batch.NextOffset)
        {
            using (batch)
                count += RecordBatchHeader.Read(batch.Memory.Span).IsControl ? 1 : 0;
        }
        return count;
    }

    private static TopicConfig Erasing => Small with { CleanupCompact = true, CleanupDelete = false, MinCleanableDirtyRatio = 0,
        DeleteRetentionMs = 0 };

    /// <summary>Deletes records, and again while the replicas answer after the time to wait for them.</summary>
    private static async Task<long> DeleteAsync(Partition partition, long offset)
    {
        var deadline = DateTime.UtcNow + ReplicatedPartition.Deadline;
        while (true)
        {
            try
            {
                return await partition.DeleteRecordsAsync(offset);
            }
            catch (BrokerException late) when (late.Code == ErrorCode.RequestTimedOut && DateTime.UtcNow < deadline)
            {
                // Deleted in the leader; a repetition waits for the replicas again.
            }
        }
    }

    /// <summary>Writes a key's value, or deletes it.</summary>
    private static async Task ChangeAsync(ReplicatedPartition partition, string key, string? value)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1, Encoding.UTF8.GetBytes(key), true, Encoding.UTF8.GetBytes(value ?? ""), value is not null);
        var batch = builder.Build().ToArray();
        var leader = partition.Cluster.Brokers.Values.Single(b => b.IsUp && partition.ReplicaOf(b.Id).Role == ReplicaRole.Leader);
        var result = await partition.ReplicaOf(leader.Id).Partition.AppendAsync(batch, Acks.All);
        Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
    }

    private static SortedDictionary<string, string> ValuesOf(Partition partition)
    {
        var values = new SortedDictionary<string, string>();
        foreach (var (key, value, _) in RecordsOf(partition))
        {
            values.Remove(key);
            if (value is not null)
                values[key] = value;
        }
        return values;
    }

    private static Dictionary<string, long> Latest(Partition partition)
    {
        var latest = new Dictionary<string, long>();
        foreach (var (key, _, offset) in RecordsOf(partition))
            latest[key] = offset;
        return latest;
    }

    private static List<(string Key, string? Value, long Offset)> RecordsOf(Partition partition)
    {
        var records = new List<(string, string?, long)>();
        for (var offset = partition.LogStartOffset; offset < partition.LogEndOffset;)
        {
            using var read = partition.Log!.Read(offset, partition.LogEndOffset, 1 << 20);
            if (read is null)
                break;
            using var reader = new RecordReader(read.Memory, CompressionCodecs.Empty);
            while (reader.MoveNext())
                records.Add((Encoding.UTF8.GetString(reader.Current.Key!.Value.Span),
                    reader.Current.Value is { } value ? Encoding.UTF8.GetString(value.Span) : null, reader.Current.Offset));
            offset = read.NextOffset;
        }
        return records;
    }
}
