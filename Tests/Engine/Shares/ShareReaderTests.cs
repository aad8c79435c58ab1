using OrleansMq.Api;
using OrleansMq.Groups.Share;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Shares;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Shares;

/// <summary>Members of share groups over a partition with files.</summary>
public sealed class ShareReaderTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly ShareGroupConfig Earliest = new() { Start = ShareStart.Earliest };

    [Fact]
    public async Task Records_come_in_whole_batches_and_settled_ones_never_again()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b", "c");
        await rig.AppendAsync("d");
        var cursors = New(1);
        var reader = await OpenAsync(rig, cursors);
        using (var records = await AcquireAsync(rig, reader, 10))
        {
            Assert.Equal([new AcquiredRecords(0, 3, 1)], records.Acquired);
            Assert.Equal(["a", "b", "c", "d"], Values(records));
        }
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (0, 1, ShareAcknowledgeType.Accept)));
        Assert.Equal(ErrorCode.None,
            await AcknowledgeAsync(reader, (2, 2, ShareAcknowledgeType.Release), (3, 3, ShareAcknowledgeType.Gap)));
        using (var again = await AcquireAsync(rig, reader, 10))
        {
            Assert.Equal([new AcquiredRecords(2, 2, 2)], again.Acquired);
            // The batch is whole; the member holds one record of it.
            Assert.Equal(["a", "b", "c"], Values(again));
        }
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (2, 2, ShareAcknowledgeType.Reject)));
        await rig.KillAsync();
        await rig.AppendAsync("e");
        reader = await OpenAsync(rig, cursors);
        using var last = await AcquireAsync(rig, reader, 10);
        Assert.Equal(["e"], Values(last));
    }

    [Fact]
    public async Task Member_settles_only_what_it_holds()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b", "c", "d");
        var (one, two) = (await OpenAsync(rig, New(1)), await OpenAsync(rig, New(1)));
        using var first = await AcquireAsync(rig, one, 2);
        using var second = await AcquireAsync(rig, two, 2);
        Assert.Equal((new AcquiredRecords(0, 1, 1), new AcquiredRecords(2, 3, 1)), (first.Acquired.Single(), second.Acquired.Single()));
        Assert.Equal(ErrorCode.InvalidRecordState, await AcknowledgeAsync(one, (1, 2, ShareAcknowledgeType.Accept)));
        Assert.Equal(ErrorCode.InvalidRequest, await AcknowledgeAsync(one, (1, 0, ShareAcknowledgeType.Accept)));
        Assert.Equal(ErrorCode.InvalidRequest, await AcknowledgeAsync(one, (-1, 0, ShareAcknowledgeType.Accept)));
        Assert.Equal(ErrorCode.InvalidRequest,
            await AcknowledgeAsync(one, (1, 1, ShareAcknowledgeType.Accept), (0, 0, ShareAcknowledgeType.Accept)));
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (0, 1, ShareAcknowledgeType.Renew)));
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (0, 0, ShareAcknowledgeType.Accept)));
        // Below the floor: settled, whoever says so.
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (0, 0, ShareAcknowledgeType.Accept)));
        one.Close();
        using var returned = await AcquireAsync(rig, two, 2);
        Assert.Equal(new AcquiredRecords(1, 1, 2), returned.Acquired.Single());
        var (_, facts) = await rig.Partition.Cursors.DescribeAsync(ShareReader.CursorOf("g"));
        Assert.Equal(1, facts!.Floor);
    }

    [Fact]
    public async Task Record_at_the_limit_of_deliveries_is_not_delivered_again()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("poison");
        var reader = await OpenAsync(rig, New(1), Earliest with { DeliveryLimit = 2 });
        for (var delivery = 1; delivery <= 2; delivery++)
        {
            using var records = await AcquireAsync(rig, reader, 1);
            Assert.Equal(new AcquiredRecords(0, 0, delivery), records.Acquired.Single());
            Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (0, 0, ShareAcknowledgeType.Release)));
        }
        await rig.AppendAsync("next");
        using var next = await AcquireAsync(rig, reader, 1);
        Assert.Equal(["next"], Values(next));
    }

    [Theory]
    [InlineData(true, "a,e,f")]
    [InlineData(false, "a,b,c,d,e,f")]
    public async Task Records_of_aborted_transactions_are_left_out_by_groups_that_read_committed_ones(bool isCommitted, string expected)
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a");
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, 7, 0, "b", "c");
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, 8, 0, "d");
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, 9, 0, "e");
        await LoggedTransactions.EndAsync(rig.Partition, 7, isCommit: false, 1);
        await LoggedTransactions.EndAsync(rig.Partition, 9, isCommit: true, 1);
        await LoggedTransactions.EndAsync(rig.Partition, 8, isCommit: false, 1);
        await rig.AppendAsync("f");
        var end = rig.Partition.HighWatermark;
        var reader = await OpenAsync(rig, New(1), Earliest with { IsReadCommitted = isCommitted });
        var read = new List<string>();
        while (!read.Contains("f"))
        {
            using var some = await AcquireAsync(rig, reader, 10);
            read.AddRange(Values(some));
            foreach (var (first, last, _) in some.Acquired)
                Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (first, last, ShareAcknowledgeType.Accept)));
        }
        Assert.Equal(expected.Split(','), read);
        // What was left out holds the group as little as what was accepted.
        var (_, facts) = await rig.Partition.Cursors.DescribeAsync(ShareReader.CursorOf("g"));
        Assert.True(facts!.Floor >= end, $"{facts.Floor} of {end}");
    }

    [Fact]
    public async Task Record_of_an_open_transaction_is_delivered_by_groups_that_read_uncommitted_ones()
    {
        await using var rig = await PartitionRig.StartAsync();
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, 7, 0, "open");
        await rig.AppendAsync("a");
        var reader = await OpenAsync(rig, New(1));
        using var records = await AcquireAsync(rig, reader, 10);
        Assert.Equal(["open", "a"], Values(records));
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (0, 1, ShareAcknowledgeType.Accept)));
        // Those that follow do not wait, either.
        var next = AcquireAsync(rig, reader, 10);
        await rig.AppendAsync("b");
        using var more = await next;
        Assert.Equal(["b"], Values(more));
    }

    [Fact]
    public async Task Group_that_reads_committed_records_from_now_on_waits_for_open_transactions()
    {
        await using var rig = await PartitionRig.StartAsync();
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, 7, 0, "open");
        await rig.AppendAsync("a");
        var (one, two) = (await OpenAsync(rig, New(1)), await OpenAsync(rig, New(1)));
        using (var first = await AcquireAsync(rig, one, 10))
            Assert.Equal(["open", "a"], Values(first));
        // Acquired before the change, and read after it.
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (0, 1, ShareAcknowledgeType.Release)));
        var acquisition = one.Acquire(10);
        await acquisition.Arrived.WaitAsync(Patience);
        foreach (var reader in (ShareReader[])[one, two])
            await reader.ConfigureAsync(Earliest with { IsReadCommitted = true }).WaitAsync(Patience);
        using (var none = await one.FinishAsync(acquisition, 1 << 20, isStrict: true).WaitAsync(Patience))
            Assert.Empty(none.Acquired);
        // Nothing is handed out until the transaction has ended, and nothing is lost.
        var waiting = two.Acquire(10);
        await rig.AppendAsync("b");
        // The turn of the first one has ended when the second one is answered.
        for (var turn = 0; turn < 2; turn++)
            await rig.Partition.Cursors.DescribeAsync(ShareReader.CursorOf("g"));
        Assert.False(waiting.Arrived.IsCompleted);
        await LoggedTransactions.EndAsync(rig.Partition, 7, isCommit: true, 1);
        await waiting.Arrived.WaitAsync(Patience);
        using var second = await two.FinishAsync(waiting, 1 << 20, isStrict: true).WaitAsync(Patience);
        var read = new List<string>(Values(second));
        for (; read.Count < 3;)
        {
            using var rest = await AcquireAsync(rig, two, 10);
            read.AddRange(Values(rest));
        }
        Assert.Equal(["open", "a", "b"], read);
    }

    [Fact]
    public async Task Rest_of_the_last_batch_is_acquired_with_it_unless_the_number_is_strict()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b", "c");
        await rig.AppendAsync("d", "e", "f", "g");
        var (one, two) = (await OpenAsync(rig, New(1)), await OpenAsync(rig, New(1)));
        using var strict = await AcquireAsync(rig, one, 1);
        Assert.Equal(new AcquiredRecords(0, 0, 1), strict.Acquired.Single());
        using (var whole = await AcquireAsync(rig, two, 1, isStrict: false))
        {
            Assert.Equal(new AcquiredRecords(1, 2, 1), whole.Acquired.Single());
            Assert.Equal(["a", "b", "c"], Values(whole));
        }
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(two, (1, 2, ShareAcknowledgeType.Release)));
        // Those that came back are as many as were asked for.
        using (var again = await AcquireAsync(rig, one, 1, isStrict: false))
            Assert.Equal(new AcquiredRecords(1, 1, 2), again.Acquired.Single());
        using (var later = await AcquireAsync(rig, two, 2, isStrict: false))
            Assert.Equal([new AcquiredRecords(2, 2, 2), new AcquiredRecords(3, 3, 1)], later.Acquired);
        // Another member holds a part: the rest of it comes.
        using var rest = await AcquireAsync(rig, one, 1, isStrict: false);
        Assert.Equal(new AcquiredRecords(4, 6, 1), rest.Acquired.Single());
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (4, 6, ShareAcknowledgeType.Accept)));
    }

    [Fact]
    public async Task Rest_of_a_batch_is_acquired_within_the_bound_of_locks()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync([.. Enumerable.Range(0, 200).Select(static number => $"{number}")]);
        var reader = await OpenAsync(rig, New(1), Earliest with { MaxLocks = 120 });
        using var records = await AcquireAsync(rig, reader, 1, isStrict: false);
        Assert.Equal(new AcquiredRecords(0, 119, 1), records.Acquired.Single());
    }

    [Fact]
    public async Task Record_that_ends_its_consumers_takes_no_other_with_it()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("0", "1", "2", "poison", "4", "5", "6", "7");
        var (accepted, deaths) = (new List<string>(), 0);
        while (accepted.Count < 7)
        {
            var reader = await OpenAsync(rig, New(1));
            using var records = await AcquireAsync(rig, reader, 10);
            var held = records.Acquired
                .SelectMany(static run => Enumerable.Range((int)run.First, (int)(run.Last - run.First + 1))).ToList();
            if (held.Contains(3))
                deaths++;
            else
            {
                foreach (var run in records.Acquired)
                    Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (run.First, run.Last, ShareAcknowledgeType.Accept)));
                accepted.AddRange(held.Select(static offset => $"{offset}"));
            }
            reader.Close();
        }
        Assert.Equal(["0", "1", "2", "4", "5", "6", "7"], accepted.Order(StringComparer.Ordinal));
        Assert.InRange(deaths, 4, 5);
    }

    [Fact]
    public async Task Later_incarnation_begins_where_it_was_moved_and_an_earlier_one_is_refused()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b", "c");
        var before = New(1);
        var reader = await OpenAsync(rig, before);
        using (await AcquireAsync(rig, reader, 10))
            Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (0, 2, ShareAcknowledgeType.Accept)));
        var end = rig.Partition.LogEndOffset;
        await OpenAsync(rig, before);
        Assert.Equal(end, rig.Partition.LogEndOffset);
        var moved = await OpenAsync(rig, before with { Resets = [new ShareCursorReset(0, Incarnation(2), 1)] });
        using (var again = await AcquireAsync(rig, moved, 10))
            Assert.Equal((1L, 2L), (again.Acquired[0].First, again.Acquired[0].Last));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => OpenAsync(rig, before));
        Assert.Equal(ErrorCode.LeaderNotAvailable, refused.Code);
    }

    [Theory]
    [InlineData(1, 1, "new")]
    [InlineData(1, 0, "old")]
    [InlineData(0, -1, "old")]
    public async Task Group_begins_where_its_coordinator_says_and_an_added_partition_at_its_first_record(int partitions, long start,
        string first)
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("old");
        var reader = await OpenAsync(rig, New(1) with
        {
            Partitions = partitions,
            Resets = start < 0 ? [] : [new ShareCursorReset(0, Incarnation(1), start)],
        });
        await rig.AppendAsync("new");
        using var records = await AcquireAsync(rig, reader, 1);
        Assert.Equal(first, Values(records)[0]);
    }

    [Fact]
    public async Task Partition_whose_start_is_not_known_is_not_begun_by_a_reader_that_it_is_not_assigned_to()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("old");
        var unstarted = New(1) with { Partitions = 1 };
        await RefuseAsync();
        Assert.Null((await rig.Partition.Cursors.DescribeAsync(ShareReader.CursorOf("g"))).Facts);
        // One that has begun is read, also by a member that does not know yet where it began.
        await OpenAsync(rig, unstarted with { Resets = [new ShareCursorReset(0, Incarnation(1), 1)] });
        var reader = await OpenAsync(rig, unstarted);
        await rig.AppendAsync("new");
        using (var records = await AcquireAsync(rig, reader, 10))
            Assert.Equal(["new"], Values(records));
        unstarted = unstarted with { Incarnation = Incarnation(2) };
        await RefuseAsync();

        async Task RefuseAsync() => Assert.Equal(ErrorCode.LeaderNotAvailable,
            (await Assert.ThrowsAsync<BrokerException>(() => OpenAsync(rig, unstarted))).Code);
    }

    [Fact]
    public async Task Records_beyond_the_bytes_are_left_to_the_next_acquisition()
    {
        await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = 4_000 });
        await rig.AppendManyAsync(20);
        var reader = await OpenAsync(rig, New(1));
        var seen = new List<long>();
        while (seen.Count < 20)
        {
            using var records = await AcquireAsync(rig, reader, 20, maxBytes: 500);
            foreach (var run in records.Acquired)
            {
                // What was left was never delivered.
                Assert.Equal(1, run.Deliveries);
                seen.AddRange(Enumerable.Range((int)run.First, (int)(run.Last - run.First + 1)).Select(static offset => (long)offset));
                Assert.Equal(ErrorCode.None, await AcknowledgeAsync(reader, (run.First, run.Last, ShareAcknowledgeType.Accept)));
            }
        }
        Assert.Equal(20, seen.Distinct().Count());
    }

    [Fact]
    public async Task Without_enough_replicas_a_reader_is_to_be_opened_later_and_an_acknowledgement_has_an_unknown_outcome()
    {
        var strict = TopicConfig.Default with { MinInsyncReplicas = 2 };
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a");
        rig.Partition.UpdateConfig(strict);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => PassAsync(rig, ShareReader.OpenAsync(rig.Partition, "g", New(1),
            Earliest)));
        Assert.Equal(ErrorCode.LeaderNotAvailable, refused.Code);
        rig.Partition.UpdateConfig(TopicConfig.Default);
        var reader = await PassAsync(rig, ShareReader.OpenAsync(rig.Partition, "g", New(1), Earliest));
        using var records = await AcquireAsync(rig, reader, 1);
        rig.Partition.UpdateConfig(strict);
        Assert.Equal(ErrorCode.RequestTimedOut, await PassAsync(rig,
            reader.AcknowledgeAsync([new ShareAcknowledgement(0, 0, ShareAcknowledgeType.Accept)])));
    }

    [Fact]
    public async Task Acknowledgement_in_part_of_a_lock_that_has_ended_changes_nothing()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b", "c", "d");
        var (one, two) = (await OpenAsync(rig, New(1)), await OpenAsync(rig, New(1)));
        using var first = await AcquireAsync(rig, one, 2);
        rig.Clock.Advance(TimeSpan.FromSeconds(20));
        using var second = await AcquireAsync(rig, one, 2);
        rig.Clock.Advance(TimeSpan.FromSeconds(11));
        using var returned = await AcquireAsync(rig, two, 4);
        Assert.Equal([new AcquiredRecords(0, 1, 2)], returned.Acquired);
        Assert.Equal(ErrorCode.InvalidRecordState,
            await AcknowledgeAsync(one, (0, 1, ShareAcknowledgeType.Accept), (2, 3, ShareAcknowledgeType.Reject)));
        // Its second lock holds.
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (2, 2, ShareAcknowledgeType.Accept)));
        one.Close();
        using var last = await AcquireAsync(rig, two, 4);
        Assert.Equal([new AcquiredRecords(3, 3, 2)], last.Acquired);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Repeated_acknowledgement_has_the_outcome_of_the_first(bool isInForceBefore)
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b", "c");
        var reader = await OpenAsync(rig, New(1));
        using var records = await AcquireAsync(rig, reader, 3);
        rig.Partition.UpdateConfig(TopicConfig.Default with { MinInsyncReplicas = 2 });
        ShareAcknowledgement[] accepted = [new(1, 1, ShareAcknowledgeType.Accept)];
        Assert.Equal(ErrorCode.RequestTimedOut, await PassAsync(rig, reader.AcknowledgeAsync(accepted)));
        Assert.Equal(ErrorCode.InvalidRecordState, await AcknowledgeAsync(reader, (1, 1, ShareAcknowledgeType.Release)));
        var repeated = isInForceBefore ? null : reader.AcknowledgeAsync(accepted);
        rig.Partition.UpdateConfig(TopicConfig.Default);
        if (isInForceBefore)
            Assert.Equal(ErrorCode.None, await PassAsync(rig,
                reader.AcknowledgeAsync([new ShareAcknowledgement(2, 2, ShareAcknowledgeType.Accept)])));
        Assert.Equal(ErrorCode.None, await PassAsync(rig, repeated ?? reader.AcknowledgeAsync(accepted)));
        Assert.Equal(ErrorCode.InvalidRecordState, await AcknowledgeAsync(reader, (1, 1, ShareAcknowledgeType.Accept)));
        reader.Close();
        reader = await OpenAsync(rig, New(1));
        using var last = await AcquireAsync(rig, reader, 3);
        Assert.Equal(isInForceBefore ? [0] : [0, 2], last.Acquired.Select(static run => run.First));
    }

    [Fact]
    public async Task Share_groups_count_towards_the_most_queues_of_a_partition()
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { MaxQueuesPerPartition = 1 });
        await OpenAsync(rig, New(1));
        await OpenAsync(rig, New(1));
        await OpenAsync(rig, New(2));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => ShareReader.OpenAsync(rig.Partition, "h", New(1), Earliest)
            .WaitAsync(Patience));
        Assert.Equal(ErrorCode.PolicyViolation, refused.Code);
        var queue = await Assert.ThrowsAsync<BrokerException>(() => rig.Partition.Cursors.Queues.CreateAsync(new NewQueue("q"), default));
        Assert.Equal(ErrorCode.PolicyViolation, queue.Code);
    }

    [Fact]
    public async Task Changed_configuration_is_taken_over_by_a_reader_that_is_open()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a", "b");
        var (one, two) = (await OpenAsync(rig, New(1)), await OpenAsync(rig, New(1)));
        using var first = await AcquireAsync(rig, one, 1);
        var changed = Earliest with { LockDuration = TimeSpan.FromSeconds(60), MayRenew = false, DeliveryLimit = 3, MaxLocks = 100 };
        Assert.False(one.IsConfigured(changed));
        await one.ConfigureAsync(changed).WaitAsync(Patience);
        Assert.True(one.IsConfigured(changed));
        var (_, facts) = await rig.Partition.Cursors.DescribeAsync(ShareReader.CursorOf("g"));
        Assert.Equal((3, 100), (facts!.Configuration.MaxDeliveries, facts.Configuration.MaxExceptions));
        Assert.Equal(ErrorCode.InvalidRequest, await AcknowledgeAsync(one, (0, 0, ShareAcknowledgeType.Renew)));
        using var second = await AcquireAsync(rig, one, 1);
        rig.Clock.Advance(TimeSpan.FromSeconds(45));
        // The lock of before has ended, the later one has not.
        using var returned = await AcquireAsync(rig, two, 2);
        Assert.Equal([new AcquiredRecords(0, 0, 2)], returned.Acquired);
        Assert.Equal(ErrorCode.None, await AcknowledgeAsync(one, (1, 1, ShareAcknowledgeType.Accept)));
    }

    // The clock goes on until the task is complete.
    private static async Task<T> PassAsync<T>(PartitionRig rig, Task<T> task)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!task.IsCompleted)
        {
            rig.Clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(1, patience.Token);
        }
        return await task;
    }

    [Fact]
    public async Task Dead_letter_topic_that_was_created_again_is_the_new_target()
    {
        await using var rig = await PartitionRig.StartAsync();
        var letters = new Letters();
        rig.Partition.Ports.DeadLetters = letters;
        var config = Earliest with { DeadLetterTopic = "letters" };
        await OpenAsync(rig, New(1), config);
        Assert.Equal(new DeadLetterTarget(letters.TopicId, 0), await TargetAsync());
        letters.TopicId = Guid.NewGuid();
        await OpenAsync(rig, New(1), config);
        Assert.Equal(new DeadLetterTarget(letters.TopicId, 0), await TargetAsync());
        // It cannot be told whether there is another.
        letters.Failure = ErrorCode.LeaderNotAvailable;
        await OpenAsync(rig, New(1), config);
        Assert.Equal(new DeadLetterTarget(letters.TopicId, 0), await TargetAsync());
        letters.Failure = ErrorCode.InvalidRequest;
        Assert.Equal(ErrorCode.InvalidRequest,
            (await Assert.ThrowsAsync<BrokerException>(() => OpenAsync(rig, New(1), config))).Code);

        async Task<DeadLetterTarget?> TargetAsync() =>
            (await rig.Partition.Cursors.DescribeAsync(ShareReader.CursorOf("g"))).Facts!.Configuration.DeadLetterTarget;
    }

    private sealed class Letters : IDeadLetterPort
    {
        public Guid TopicId { get; set; } = Guid.NewGuid();
        public ErrorCode? Failure { get; set; }

        public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
            CancellationToken cancellationToken) => Failure is { } failure ? throw new BrokerException(failure, "No answer.")
            : Task.FromResult(current is { } kept && kept.TopicId == TopicId ? kept : new DeadLetterTarget(TopicId, 0));

        public Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
            CancellationToken cancellationToken) => throw new NotSupportedException();
    }

    // The cursor begins at the first record.
    private static ShareTopicCursors New(byte time) => new(PartitionRig.TopicId, Incarnation(time), 0, []);

    private static Guid Incarnation(byte time) => new(0, time, 0x7000, 0x80, 0, 0, 0, 0, 0, 0, 1);

    private static Task<ShareReader> OpenAsync(PartitionRig rig, ShareTopicCursors cursors, ShareGroupConfig? config = null) =>
        ShareReader.OpenAsync(rig.Partition, "g", cursors, config ?? Earliest).WaitAsync(Patience);

    private static async Task<ShareRecords> AcquireAsync(PartitionRig rig, ShareReader reader, int maxRecords, int maxBytes = 1 << 20,
        bool isStrict = true)
    {
        var acquisition = reader.Acquire(maxRecords);
        await acquisition.Arrived.WaitAsync(Patience);
        return await reader.FinishAsync(acquisition, maxBytes, isStrict).WaitAsync(Patience);
    }

    private static Task<ErrorCode> AcknowledgeAsync(ShareReader reader, params (long First, long Last, ShareAcknowledgeType Type)[] all) =>
        reader.AcknowledgeAsync([.. all.Select(static one =>
            new ShareAcknowledgement(one.First, one.Last, one.Type))]).WaitAsync(Patience);

    private static string[] Values(ShareRecords records) =>
        [.. records.Batches.SelectMany(static batch => OrleansMq.Tests.Shared.TestBatches.Read(batch.Records))
            .Select(static record => record.Value)];
}
