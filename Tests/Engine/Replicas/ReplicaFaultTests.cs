using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Replication;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Three managers over real logs, while brokers die, networks lose messages and stores fail.</summary>
public sealed class ReplicaFaultTests
{
    private static readonly TopicConfig Small = TopicConfig.Default with
    {
        MinInsyncReplicas = 2,
        SegmentBytes = 4000,
        IndexIntervalBytes = 200,
        FileDeleteDelayMs = 0,
        TimestampAfterMaxMs = long.MaxValue,
        TimestampBeforeMaxMs = long.MaxValue,
        RetentionMs = -1,
    };

    [Fact]
    public async Task Lossy_network_costs_only_time()
    {
        var seed = Seeds.Next();
        await using var partition = await ReplicatedPartition.StartAsync(Small, seed);
        await partition.LeadAsync(1);
        (partition.Cluster.LossPercent, partition.Cluster.DoublePercent, partition.Cluster.MaxDelayMs) = (5, 10, 5);
        var acknowledged = await ProduceAsync(partition, producers: 4, batches: 100);
        (partition.Cluster.LossPercent, partition.Cluster.MaxDelayMs) = (0, 0);
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
        Check(acknowledged, await partition.ReadAsync(1), Seeds.Replay(seed));
    }

    [Fact]
    public async Task Proven_end_is_answered_only_when_the_earlier_leader_answers_no_more()
    {
        // The new leader commits without the earlier one while that one may still hold its lease. The earlier one removes no replica on a
        // busy machine, and the new one does not remove a follower between two heartbeats, which are a quarter of the lease apart.
        var lease = TimeSpan.FromSeconds(10);
        await using var partition = await ReplicatedPartition.StartAsync(broker => ReplicatedPartition.Patient with
        {
            LeaderLease = lease,
            ReplicaLagTimeMax = broker == 1 ? ReplicatedPartition.Patient.ReplicaLagTimeMax : lease * 0.4,
        }, Small);
        var old = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        Assert.Equal(0, old.Partition.FindOffset(OffsetSpec.LatestProven).Offset);
        partition.Cluster.Isolate(1);
        var next = await partition.LeadAsync(2);
        await ReplicatedPartition.Until(() => next.Partition.FindOffset(OffsetSpec.Latest).Error == ErrorCode.None, () => "serves");
        await ReplicatedPartition.Until(() => next.State is { Isr.Length: 2, Elr.Length: 0 }, () => $"without the earlier: {next.State}");
        var appended = await next.Partition.AppendAsync(PartitionRig.Batch(1, "subscription"), Acks.All);
        Assert.Equal(ErrorCode.None, appended.Error);
        var refused = 0;
        await ReplicatedPartition.Until(() =>
        {
            var proven = next.Partition.FindOffset(OffsetSpec.LatestProven);
            var stale = old.Partition.FindOffset(OffsetSpec.Latest);
            refused += proven.Error == ErrorCode.OffsetNotAvailable ? 1 : 0;
            Assert.True(proven.Error != ErrorCode.None || stale.Error == ErrorCode.NotLeaderOrFollower, $"{proven} and {stale}");
            return proven == new OffsetResult(ErrorCode.None, 1, LeaderEpoch: next.LeaderEpoch);
        }, () => "proven");
        Assert.NotEqual(0, refused);
    }

    [Fact]
    public async Task Leader_that_replicas_outside_its_ISR_may_replace_proves_no_end()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small,
            options: ReplicatedPartition.Patient with { ReplicaLagTimeMax = TimeSpan.FromSeconds(1) });
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("both");
        partition.Cluster.Isolate(1);
        // Alone, its lease has no end.
        await ReplicatedPartition.Until(() => leader.State is { Isr.Length: 1, Elr.Length: > 0 }, () => "alone");
        Assert.Equal(ErrorCode.None, leader.Partition.FindOffset(OffsetSpec.Latest).Error);
        Assert.Equal(ErrorCode.OffsetNotAvailable, leader.Partition.FindOffset(OffsetSpec.LatestProven).Error);
        partition.Cluster.Mend();
        await partition.InSyncAsync(3);
        await ReplicatedPartition.Until(() => leader.Partition.FindOffset(OffsetSpec.LatestProven).Error == ErrorCode.None,
            () => "proven");
    }

    /// <summary>An isolated leader accepts records that it cannot replicate. After its return it has been superseded and truncates
    /// them.</summary>
    [Fact]
    public async Task Isolated_leader_truncates_what_it_could_not_replicate()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var old = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("both");
        partition.Cluster.Isolate(1);
        var lonely = Enumerable.Range(0, 30).Select(i => old.Partition.AppendAsync(PartitionRig.Batch(1, $"lonely {i}"), Acks.All).AsTask())
            .ToArray();
        await ReplicatedPartition.Until(() => old.Partition.LogEndOffset == 31, () => "written");
        await partition.LeadAsync(2);
        var ended = old.LeadershipEnded;
        // Its lease has expired: it must not return stale results.
        await ReplicatedPartition.Until(() => old.Partition.FindOffset(OffsetSpec.Latest).Error == ErrorCode.NotLeaderOrFollower,
            () => "no lease");
        partition.Cluster.Mend();
        await ended.WaitAsync(ReplicatedPartition.Deadline);
        foreach (var append in lonely)
            Assert.NotEqual(ErrorCode.None, (await append).Error);
        var next = await partition.ReplicaOf(2).Partition.AppendAsync(PartitionRig.Batch(1, "after"), Acks.All);
        Assert.Equal((ErrorCode.None, 1), (next.Error, next.BaseOffset));
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
        Assert.Equal([(0L, "both"), (1, "after")], await partition.ReadAsync(2));
    }

    /// <summary>A follower of such a leader must not take the missing batches for records that compaction removed.</summary>
    [Fact]
    public async Task Leader_without_a_handle_to_read_for_a_follower_reads_later()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition[1].StopAsync();
        var files = new FaultyFiles(partition[1].Files);
        partition[1].Files = files;
        await partition[1].StartAsync();
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        partition.Cluster.Cut(1, 3);
        for (var i = 0; i < 20; i++)
            await leader.Partition.AppendAsync(PartitionRig.Batch(1, new string('x', 500)), Acks.Leader);
        files.OnOpen = path =>
        {
            if (path.EndsWith(".log", StringComparison.Ordinal))
                FaultyFiles.NoHandle(path);
        };
        await ReplicatedPartition.Until(() =>
        {
            partition.LogOf(1).CloseFiles();
            return partition.LogOf(1).Segments.All(segment => IsClosed(segment.Log));
        }, () => "closed files");
        partition.Cluster.Mend();
        await ReplicatedPartition.Until(() => leader.Role != ReplicaRole.Leader || partition[1].Lines.Of(EngineLogLevel.Warning)
            // Other lines tell of appends and flushes.
            .Any(line => line.Contains("Too many open files", StringComparison.Ordinal)
                && !line.Contains("Nothing was appended", StringComparison.Ordinal)), () => "a read without a handle");
        Assert.Null(leader.Partition.OfflineReason);
        Assert.Equal(ReplicaRole.Leader, leader.Role);
        files.OnOpen = null;
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
    }

    /// <summary>Batches are read on threads of the pool, where an exception ends the process.</summary>
    [Fact]
    public async Task Bug_in_a_read_for_a_follower_stops_the_partition_alone()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition[1].StopAsync();
        var files = new FaultyFiles(partition[1].Files);
        partition[1].Files = files;
        await partition[1].StartAsync();
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        files.OnRead = (path, _) =>
        {
            if (path.EndsWith(".log", StringComparison.Ordinal))
                throw new InvalidOperationException("no fault of a disk");
        };
        await leader.Partition.AppendAsync(PartitionRig.Batch(1, "unread"), Acks.Leader);
        await ReplicatedPartition.Until(() => leader.Partition.OfflineReason is not null, () => "offline");
        Assert.Contains("A bug in OrleansMq stopped the partition: no fault of a disk", leader.Partition.OfflineReason,
            StringComparison.Ordinal);
        files.OnRead = null;
        await partition.LeadAsync(2);
        await partition.AppendAsync("goes on");
    }

    /// <summary>More batches than one write takes, of which the volume has no room for the second part.</summary>
    [Fact]
    public async Task Batches_of_a_push_that_was_taken_in_part_are_flushed()
    {
        await using var partition = await ReplicatedPartition.StartAsync(
            TopicConfig.Default with { MinInsyncReplicas = 2, FlushMessages = 1 });
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition[3].StopAsync();
        var files = new FaultyFiles(partition[3].Files);
        partition[3].Files = files;
        var batches = Enumerable.Range(0, AppendRound.MaxBatches + 100).Select(static number => PartitionRig.Batch(1, $"{number}"))
            .ToArray();
        var appends = batches.Select(batch => partition.ReplicaOf(1).Partition.AppendAsync(batch, Acks.Leader).AsTask()).ToArray();
        Assert.All(await Task.WhenAll(appends), static result => Assert.Equal(ErrorCode.None, result.Error));
        files.OnWrite = (path, position, _) =>
        {
            if (path.EndsWith(".log", StringComparison.Ordinal) && position > 0)
                throw new DiskFullException(path);
        };
        await partition[3].StartAsync();
        var log = partition.LogOf(3);
        await ReplicatedPartition.Until(() => log.LogEndOffset > 0 && log.SecuredOffset == log.LogEndOffset,
            () => $"{log.SecuredOffset} of {log.LogEndOffset} flushed");
        Assert.True(log.LogEndOffset < batches.Length);
        files.OnWrite = null;
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
    }

    [Theory]
    [InlineData(true)] // Begins again, empty.
    [InlineData(false)]
    public async Task Follower_without_a_handle_to_cut_its_log_cuts_it_later(bool empties)
    {
        await using var partition = await StartDivergingAsync();
        var files = await DivergeAsync(partition, empties);
        var follower = partition.ReplicaOf(3);
        partition.LogOf(3).CloseFiles();
        var shortages = 0;
        files.OnOpen = path =>
        {
            // What takes a push, and a lookup: the checkpoint with the fence.
            if (path.EndsWith("checkpoint", StringComparison.Ordinal))
                return;
            Interlocked.Increment(ref shortages);
            FaultyFiles.NoHandle(path);
        };
        partition.Cluster.Mend();
        await ReplicatedPartition.Until(() => follower.Partition.OfflineReason is not null || Volatile.Read(ref shortages) > 3,
            () => "a cut without a handle");
        Assert.Null(follower.Partition.OfflineReason);
        files.OnOpen = null;
        await partition.InSyncAsync(3);
        await partition.AppendAsync("after");
        await partition.AllTheSameAsync();
    }

    /// <summary>It stays in the ISR, so it must keep all that is replicated. What was compacted lies below that.</summary>
    [Fact]
    public async Task Follower_with_a_damaged_compaction_checkpoint_is_cut_and_does_not_begin_again()
    {
        await using var partition = await StartDivergingAsync();
        var files = await DivergeAsync(partition, empties: false);
        var (identity, directory) = (partition.ReplicaOf(3).Identity, partition.LogOf(3).Directory);
        await partition[3].StopAsync();
        AtomicFile.Write(files, Path.Combine(directory, CompactionCheckpoint.FileName), [1, 2, 3]);
        await partition[3].StartAsync();
        Assert.Equal(identity, partition.ReplicaOf(3).Identity);
        Assert.Contains(partition[3].Lines.Of(EngineLogLevel.Warning),
            static line => line.Contains("cleaner-checkpoint' was damaged", StringComparison.Ordinal));
        var log = partition.LogOf(3);
        var (cuts, first) = (log.Cuts, log.Segments[0]);
        Assert.True(log.LogEndOffset > 1);
        partition.Cluster.Mend();
        await partition.InSyncAsync(3);
        await partition.AppendAsync("after");
        await partition.AllTheSameAsync();
        Assert.NotEqual(cuts, log.Cuts);
        Assert.Same(first, log.Segments[0]);
    }

    [Theory]
    [InlineData(true)] // Begins again, empty.
    [InlineData(false)]
    public async Task Follower_that_runs_out_of_handles_while_it_cuts_its_log_opens_it_again(bool empties)
    {
        await using var partition = await StartDivergingAsync();
        var files = await DivergeAsync(partition, empties);
        var follower = partition.ReplicaOf(3);
        var isShort = false;
        files.OnOpen = path =>
        {
            if (Volatile.Read(ref isShort))
                FaultyFiles.NoHandle(path);
        };
        files.OnFlushDirectory = path =>
        {
            if (Volatile.Read(ref isShort))
                FaultyFiles.NoHandle(path);
        };
        partition.LogOf(3).CloseFiles();
        // In the middle: segments are renamed, or the last one is cut.
        if (empties)
            files.OnChange = () => Volatile.Write(ref isShort, follower.Partition.Log!.IsHalfCut || Volatile.Read(ref isShort));
        else
            files.OnSetLength = path => Volatile.Write(ref isShort, path.EndsWith(".log", StringComparison.Ordinal) || isShort);
        partition.Cluster.Mend();
        await ReplicatedPartition.Until(() => follower.Partition.OfflineReason is not null, () => "an interrupted cut");
        Assert.True(follower.Partition.Log!.IsCutInterrupted);
        // What was under way changes nothing.
        Assert.Throws<InterruptedCutException>(follower.Partition.Log.Flush);
        (files.OnChange, files.OnSetLength) = (null, null);
        Volatile.Write(ref isShort, false);
        await ReplicatedPartition.Until(() => partition[3].Manager.TryGet(ReplicatedPartition.Key, out var opened)
            && opened != follower && opened.Role == ReplicaRole.Follower, () => "opened again");
        await partition.InSyncAsync(3);
        await partition.AppendAsync("after");
        await partition.AllTheSameAsync();
        Assert.DoesNotContain(files.ListDirectories(Path.Combine(partition[3].Data, "logs")),
            name => name.EndsWith("-replaced", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Replica_that_lacked_handles_at_the_start_is_opened_later()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("before");
        await partition[3].StopAsync();
        var files = new FaultyFiles(partition[3].Files);
        var isShort = true;
        files.OnOpen = path =>
        {
            if (Volatile.Read(ref isShort) && path.EndsWith(".log", StringComparison.Ordinal))
                FaultyFiles.NoHandle(path);
        };
        partition[3].Files = files;
        await partition[3].StartAsync();
        Assert.Equal(ReplicaRole.Offline, partition.ReplicaOf(3).Role);
        Volatile.Write(ref isShort, false);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("after");
        await partition.AllTheSameAsync();
    }

    // And cannot be opened.
    private static bool IsClosed(CachedFile file)
    {
        try
        {
            file.Rent().Dispose();
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    [Fact]
    public async Task Wiped_follower_is_a_new_member_and_catches_up_during_appends()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var acknowledged = await ProduceAsync(partition, producers: 3, batches: 100);
        var before = partition.ReplicaOf(3).Identity;
        await partition[3].StopAsync();
        partition[3].Files.DeleteDirectory(Path.Combine(partition[3].Data, "logs"));
        var producing = ProduceAsync(partition, producers: 3, batches: 100, firstProducer: 10, acknowledged);
        await partition[3].StartAsync();
        await producing;
        await partition.InSyncAsync(3);
        Assert.NotEqual(before, partition.ReplicaOf(3).Identity);
        Assert.DoesNotContain(before, partition.State.Isr);
        await partition.AllTheSameAsync();
        Check(acknowledged, await partition.ReadAsync(1), "");
    }

    [Fact]
    public async Task Power_cut_with_unflushed_records_makes_the_replica_a_new_member()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var acknowledged = await ProduceAsync(partition, producers: 2, batches: 50);
        var before = partition.ReplicaOf(1).Identity;
        await partition[1].CutPowerAsync(7);
        await partition.LeadAsync(2);
        await partition[1].StartAsync();
        await partition.InSyncAsync(3);
        Assert.NotEqual(before, partition.ReplicaOf(1).Identity);
        await partition.AllTheSameAsync();
        Check(acknowledged, await partition.ReadAsync(2), "");
    }

    [Fact]
    public async Task Simultaneous_power_cuts_under_sync_lose_nothing()
    {
        var seed = Seeds.Next();
        await using var partition = await ReplicatedPartition.StartAsync(Small with { FlushMessages = 1 }, seed);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var acknowledged = await ProduceAsync(partition, producers: 3, batches: 30);
        var members = partition.State.Isr;
        foreach (var id in (int[])[1, 2, 3])
            await partition[id].CutPowerAsync(unchecked(seed + id));
        foreach (var id in (int[])[1, 2, 3])
            await partition[id].StartAsync();
        await partition.LeadAsync(2);
        await partition.InSyncAsync(3);
        Assert.True(members.ToHashSet().SetEquals(partition.State.Isr));
        await partition.AllTheSameAsync();
        Check(acknowledged, await partition.ReadAsync(2), Seeds.Replay(seed));
    }

    [Fact]
    public async Task Appends_continue_without_the_store_and_state_changes_wait()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        partition.Cluster.StoreIsDown = true;
        await partition.AppendAsync("without a store");
        await partition[3].KillAsync();
        // Broker 3 cannot be removed from the ISR, so the high watermark waits for it.
        var waiting = partition.ReplicaOf(1).Partition.AppendAsync(PartitionRig.Batch(1, "waits"), Acks.All).AsTask();
        await ReplicatedPartition.Until(() => partition.LogOf(2).LogEndOffset == 2, () => "on broker 2");
        Assert.False(waiting.IsCompleted);
        partition.Cluster.StoreIsDown = false;
        Assert.Equal(ErrorCode.None, (await waiting).Error);
        Assert.Equal(2, partition.State.Isr.Length);
    }

    [Fact]
    public async Task Leadership_handover_includes_all_appended_records()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var acknowledged = await ProduceAsync(partition, producers: 2, batches: 20);
        await leader.ResignAsync(3, TimeSpan.FromSeconds(60));
        Assert.NotEqual(ReplicaRole.Leader, leader.Role);
        Assert.Equal(3, partition.State.Successor);
        await partition.LeadAsync(3);
        await ProduceAsync(partition, producers: 2, batches: 20, firstProducer: 10, acknowledged);
        await partition.AllTheSameAsync();
        Check(acknowledged, await partition.ReadAsync(3), "");
    }

    [Fact]
    public async Task Replica_set_is_changed_step_by_step()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Small);
        await new TestBroker(partition.Cluster, 4, ReplicatedPartition.Patient).StartAsync();
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        var acknowledged = await ProduceAsync(partition, producers: 2, batches: 50);
        await leader.ReassignAsync([1, 2, 4], CancellationToken.None);
        await ReplicatedPartition.Until(() => partition.State is { Reassignment.IsEmpty: true, Isr.Length: 3 },
            () => partition.State.ToString());
        Assert.Equal("1 2 4", string.Join(' ', partition.State.Replicas));
        await partition[3].Manager.DropAsync(ReplicatedPartition.Key);
        await partition[3].StopAsync();
        await ProduceAsync(partition, producers: 2, batches: 20, firstProducer: 10, acknowledged);
        await partition.AllTheSameAsync();
        Check(acknowledged, await partition.ReadAsync(1), "");
    }

    /// <summary>All faults at random from a seed: kills, power cuts, network cuts and handovers, under load.</summary>
    [Fact]
    public async Task Acknowledged_records_survive_any_single_fault_at_a_time()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        await using var partition = await ReplicatedPartition.StartAsync(Small, seed);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        (partition.Cluster.LossPercent, partition.Cluster.DoublePercent, partition.Cluster.MaxDelayMs) = (2, 2, 3);
        var acknowledged = new ConcurrentBag<(long Offset, string Value)>();
        for (var round = 0; round < 7; round++)
        {
            var producing = ProduceAsync(partition, producers: 3, batches: 40, firstProducer: 100 * (round + 1), acknowledged);
            var leader = partition.Cluster.Brokers.Values.First(b => partition.ReplicaOf(b.Id).Role == ReplicaRole.Leader).Id;
            var next = leader % 3 + 1;
            var fate = random.Next(4);
            switch (fate)
            {
                case 0:
                    await partition[leader].KillAsync();
                    break;
                case 1:
                    await partition[leader].CutPowerAsync(random.Next());
                    break;
                case 2:
                    partition.Cluster.Isolate(leader);
                    break;
                default:
                    await partition.ReplicaOf(leader).ResignAsync(next, TimeSpan.FromSeconds(1));
                    break;
            }
            await partition.LeadAsync(next);
            if (!partition[leader].IsUp)
                await partition[leader].StartAsync();
            partition.Cluster.Mend();
            await producing;
            await partition.InSyncAsync(3);
        }
        (partition.Cluster.LossPercent, partition.Cluster.MaxDelayMs) = (0, 0);
        await partition.AllTheSameAsync();
        var last = partition.Cluster.Brokers.Values.First(b => partition.ReplicaOf(b.Id).Role == ReplicaRole.Leader).Id;
        Check(acknowledged, await partition.ReadAsync(last), Seeds.Replay(seed));
    }

    // Broker 3, which is cut off as the leader, must not remove the others on a busy machine. Its successor removes it soon.
    private static Task<ReplicatedPartition> StartDivergingAsync() => ReplicatedPartition.StartAsync(broker =>
        ReplicatedPartition.Patient with
        {
            ReplicaLagTimeMax = broker == 3 ? ReplicatedPartition.Patient.ReplicaLagTimeMax : TimeSpan.FromSeconds(2),
        }, Small);

    /// <summary>Gives broker 3 records that no other has, and a later leader: it has to cut its log, or to begin again where the leader has
    /// deleted what it holds.</summary>
    /// <returns>Its files.</returns>
    private static async Task<FaultyFiles> DivergeAsync(ReplicatedPartition partition, bool empties)
    {
        await partition[3].StopAsync();
        var files = new FaultyFiles(partition[3].Files);
        partition[3].Files = files;
        await partition[3].StartAsync();
        await partition.LeadAsync(3);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("both");
        await partition.AllTheSameAsync();
        partition.Cluster.Isolate(3);
        for (var i = 0; i < 10; i++)
            await partition.ReplicaOf(3).Partition.AppendAsync(PartitionRig.Batch(1, $"lonely {i}"), Acks.Leader);
        Assert.True(partition.LogOf(3).LogEndOffset > 1);
        var leader = await partition.LeadAsync(1);
        for (var i = 0; i < 20; i++)
            await partition.AppendAsync($"{i}");
        if (empties)
            await leader.Partition.DeleteRecordsAsync(15);
        return files;
    }

    private static async Task<ConcurrentBag<(long Offset, string Value)>> ProduceAsync(ReplicatedPartition partition, int producers,
        int batches, int firstProducer = 0,
        ConcurrentBag<(long Offset, string Value)>? into = null)
    {
        into ??= [];
        await Task.WhenAll(Enumerable.Range(firstProducer, producers).Select(async producer =>
        {
            await Task.Yield();
            for (var i = 0; i < batches; i++)
            {
                var value = $"{producer}/{i}";
                into.Add((await partition.AppendAsync(value, producer, i), value));
            }
        }));
        return into;
    }

    // Every acknowledged record is at its offset, nothing is duplicated, and each producer's records are in order.
    private static void Check(ConcurrentBag<(long Offset, string Value)> acknowledged, IReadOnlyList<(long Offset, string Value)> read,
        string told)
    {
        var found = read.ToDictionary(r => r.Offset, r => r.Value);
        Assert.All(acknowledged,
            a => Assert.True(found.GetValueOrDefault(a.Offset) == a.Value, $"{a} is {found.GetValueOrDefault(a.Offset)}; {told}"));
        Assert.True(read.Select(r => r.Value).Distinct().Count() == read.Count, $"a record is duplicated; {told}");
        foreach (var producer in read.Select(r => r.Value.Split('/')).GroupBy(v => v[0]))
            Assert.Equal(producer.Select(v => int.Parse(v[1], null)).Order(), producer.Select(v => int.Parse(v[1], null)));
    }
}
