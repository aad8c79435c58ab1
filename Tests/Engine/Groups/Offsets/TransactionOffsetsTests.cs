using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Offsets;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Offsets;

public sealed class TransactionOffsetsTests
{
    private const long Producer = 7;
    private const long Other = 8;
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly TopicPartition Zero = new("t", 0);
    private static readonly TopicPartition One = new("t", 1);

    private readonly TestTopics _topics = new() { HasTimeOrderedIds = true };
    private GroupOffsets _offsets = GroupOffsets.Empty;
    private DateTimeOffset _now = Start;
    private GroupOptions _options = new();

    public TransactionOffsetsTests() => _topics.Set("t", 2);

    private TransactionOffsetCommit Request(long producer, long number, long offset, TopicPartition partition, short epoch = 0) => new()
    {
        GroupId = "g",
        TransactionalId = $"x{producer}",
        Producer = new ProducerIdentity(producer, epoch),
        Number = number,
        Offsets = [new PartitionOffset(partition.Topic, partition.Partition, new CommittedOffset(offset))],
    };

    [Fact]
    public void Transactions_with_pending_offsets_are_bounded()
    {
        _options = new GroupOptions { MaxPendingTransactions = 1 };
        Assert.Equal(ErrorCode.None, Add(Producer, 1, 5));
        var refused = Answer(Request(Other, 1, 6, One));
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, Assert.Single(refused.Partitions).Error);
        Assert.Contains("1 open transactions", refused.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.None, Add(Producer, 1, 6, One));
        Assert.Equal(ErrorCode.None, End(Producer, 1));
        Assert.Equal(ErrorCode.None, Add(Other, 1, 6, One));
    }

    private OffsetCommitResult Answer(TransactionOffsetCommit request)
    {
        var (next, reply) = TransactionOffsetDecision.Commit(_offsets, request, _topics.Topics, _options, _now);
        if (reply.Partitions.All(static partition => partition.Error != ErrorCode.None))
            Assert.Same(_offsets, next);
        _offsets = next;
        return reply;
    }

    private ErrorCode Add(long producer, long number, long offset, TopicPartition? partition = null, short epoch = 0) =>
        Assert.Single(Answer(Request(producer, number, offset, partition ?? Zero, epoch)).Partitions).Error;

    private ErrorCode Commit(long offset, TopicPartition? partition = null)
    {
        var (topic, number) = partition ?? Zero;
        (_offsets, var reply) = OffsetDecision.Commit(_offsets, new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset(topic, number, new CommittedOffset(offset))],
        }, _topics.Topics, new GroupOptions(), _now);
        return Assert.Single(reply.Partitions).Error;
    }

    private ErrorCode End(long producer, long number, bool isCommit = true, short epoch = 0, int coordinatorEpoch = 1)
    {
        (_offsets, var reply) = TransactionOffsetDecision.End(_offsets, new EndTransactionOffsets
        {
            GroupId = "g",
            Producer = new ProducerIdentity(producer, epoch),
            Number = number,
            CoordinatorEpoch = coordinatorEpoch,
            IsCommit = isCommit,
        }, _now);
        return reply.Error;
    }

    private long? Committed(TopicPartition? partition = null) => _offsets.Find(partition ?? Zero)?.Offset;

    [Fact]
    public void Offsets_of_a_transaction_take_effect_with_its_commit()
    {
        Commit(1, One);
        Assert.Equal(ErrorCode.None, Add(Producer, 1, 5));
        Assert.Equal(ErrorCode.None, Add(Producer, 1, 6, One));
        Assert.Equal((null, 1), (Committed(), Committed(One)));
        Assert.Equal(ErrorCode.None, End(Producer, 1));
        Assert.Equal((5, 6), (Committed(), Committed(One)));
        Assert.True(_offsets.Pending.IsEmpty);
    }

    [Fact]
    public void Offsets_of_an_aborted_transaction_are_discarded()
    {
        Commit(1);
        Add(Producer, 1, 5);
        Assert.Equal(ErrorCode.None, End(Producer, 1, isCommit: false));
        Assert.Equal(1, Committed());
        Assert.True(_offsets.Pending.IsEmpty);
    }

    [Fact]
    public void Later_offset_of_the_same_transaction_replaces_the_earlier()
    {
        Add(Producer, 1, 5);
        Add(Producer, 1, 4);
        End(Producer, 1);
        Assert.Equal(4, Committed());
    }

    [Fact]
    public void Repeated_or_late_end_changes_nothing()
    {
        Add(Producer, 1, 5);
        End(Producer, 1, isCommit: false);
        Add(Producer, 2, 6);
        var before = _offsets;
        Assert.Equal(ErrorCode.None, End(Producer, 1));
        Assert.Same(before, _offsets);
        Assert.Equal(ErrorCode.None, End(Producer, 2));
        before = _offsets;
        Assert.Equal(ErrorCode.None, End(Producer, 2, isCommit: false));
        Assert.Same(before, _offsets);
        Assert.Equal(6, Committed());
    }

    [Fact]
    public void Offsets_of_an_ended_transaction_are_refused()
    {
        Assert.Equal(ErrorCode.None, End(Producer, 3));
        Assert.Equal(ErrorCode.TransactionAbortable, Add(Producer, 3, 5));
        Assert.Equal(ErrorCode.TransactionAbortable, Add(Producer, 2, 5));
        Assert.Equal(ErrorCode.None, Add(Producer, 4, 5));
        Assert.Equal(ErrorCode.TransactionAbortable, Add(Producer, 3, 6));
        Assert.Equal(ErrorCode.None, Add(Other, 1, 5));
    }

    [Fact]
    public void Older_epoch_is_fenced_by_the_end_and_by_the_open_transaction()
    {
        Add(Producer, 1, 5, epoch: 2);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, Add(Producer, 1, 6, epoch: 1));
        End(Producer, 1, epoch: 3);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, Add(Producer, 2, 6, epoch: 2));
        Assert.Equal(ErrorCode.None, Add(Producer, 2, 6, epoch: 3));
        End(Producer, 2, epoch: 1);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, Add(Producer, 3, 7, epoch: 2));
        Assert.Contains("'x7'", Answer(Request(Producer, 3, 7, Zero, epoch: 2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Newer_transaction_waits_for_the_end_of_the_open_one()
    {
        Add(Producer, 1, 5);
        Assert.Equal(ErrorCode.ConcurrentTransactions, Add(Producer, 2, 6));
        End(Producer, 1);
        Assert.Equal(ErrorCode.None, Add(Producer, 2, 6));
    }

    [Fact]
    public void End_of_a_newer_transaction_discards_an_older_one()
    {
        Add(Producer, 1, 5);
        Assert.Equal(ErrorCode.None, End(Producer, 2));
        Assert.Null(Committed());
        Assert.True(_offsets.Pending.IsEmpty);
    }

    [Fact]
    public void End_of_an_older_transaction_leaves_the_open_one()
    {
        Add(Producer, 3, 5);
        Assert.Equal(ErrorCode.None, End(Producer, 2));
        Assert.Null(Committed());
        Assert.Equal(ErrorCode.None, End(Producer, 3));
        Assert.Equal(5, Committed());
    }

    [Fact]
    public void Older_coordinator_is_fenced()
    {
        Add(Producer, 1, 5);
        End(Producer, 1, coordinatorEpoch: 4);
        Add(Producer, 2, 6);
        var before = _offsets;
        Assert.Equal(ErrorCode.TransactionCoordinatorFenced, End(Producer, 2, coordinatorEpoch: 3));
        Assert.Same(before, _offsets);
        // It has nothing left to say of that one.
        Assert.Equal(ErrorCode.None, End(Producer, 1, coordinatorEpoch: 3));
        Assert.Equal(ErrorCode.None, End(Producer, 2, coordinatorEpoch: 4));
        Assert.Equal(6, Committed());
        Assert.Equal(ErrorCode.None, End(Other, 1, coordinatorEpoch: 1));
    }

    [Theory]
    [InlineData(-1, 1, 0)]
    [InlineData(7, 0, 0)]
    [InlineData(7, 1, -1)]
    public void Request_without_a_number_or_a_producer_is_invalid(long producer, long number, short epoch)
    {
        Assert.Equal(ErrorCode.InvalidRequest, Add(producer, number, 5, epoch: epoch));
        Assert.Equal(ErrorCode.InvalidRequest, End(producer, number, epoch: epoch));
        Assert.Equal(GroupOffsets.Empty, _offsets);
    }

    [Fact]
    public void Commit_outside_of_transactions_prevails_over_what_was_pending_before()
    {
        Add(Producer, 1, 5);
        Add(Producer, 1, 5, One);
        Assert.Equal(ErrorCode.None, Commit(3));
        Assert.False(_offsets.IsPending(Zero));
        End(Producer, 1);
        Assert.Equal((3, 5), (Committed(), Committed(One)));

        Add(Producer, 2, 6);
        Commit(4);
        Add(Producer, 2, 7);
        End(Producer, 2);
        Assert.Equal(7, Committed());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Of_two_transactions_the_offset_that_was_written_later_prevails(bool isInOrder)
    {
        Add(Producer, 1, 5);
        Add(Other, 1, 6);
        Add(Producer, 1, 7, One);
        Add(Other, 1, 1, One);
        Add(Producer, 1, 8, One);
        End(isInOrder ? Producer : Other, 1);
        End(isInOrder ? Other : Producer, 1);
        Assert.Equal((6, 8), (Committed(), Committed(One)));
        Assert.True(_offsets.Pending.IsEmpty);
    }

    [Fact]
    public void Aborted_offset_prevails_over_none()
    {
        Add(Producer, 1, 5);
        Add(Other, 1, 6);
        End(Other, 1, isCommit: false);
        End(Producer, 1);
        Assert.Equal(5, Committed());
    }

    [Fact]
    public void Each_partition_has_its_own_result()
    {
        var answer = Answer(Request(Producer, 1, 5, Zero) with
        {
            Offsets =
            [
                new PartitionOffset("t", 0, new CommittedOffset(5)),
                new PartitionOffset("missing", 0, new CommittedOffset(5)),
                new PartitionOffset("t", 1, new CommittedOffset(5, Metadata: new string('m', 4097))),
            ],
        });
        Assert.Equal([ErrorCode.None, ErrorCode.UnknownTopicOrPartition, ErrorCode.OffsetMetadataTooLarge],
            answer.Partitions.Select(static partition => partition.Error));
        Assert.Equal([Zero], _offsets.Pending.Partitions);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, Add(Other, 1, 5, new TopicPartition("t", 2)));
        Assert.Null(_offsets.Pending.Find(Other));
    }

    [Fact]
    public void Only_partitions_with_pending_offsets_are_unstable()
    {
        Commit(1);
        Commit(2, One);
        Add(Producer, 1, 5);
        var fetch = new OffsetFetch { GroupId = "g", Partitions = [Zero, One], RequireStable = true };
        Assert.Equal([(null, ErrorCode.UnstableOffsetCommit), (2, ErrorCode.None)], Fetched(fetch));
        Assert.Equal([(1, ErrorCode.None), (2, ErrorCode.None)], Fetched(fetch with { RequireStable = false }));
        _offsets = _offsets.Without(One);
        Add(Other, 1, 6, One);
        Assert.Equal([(null, ErrorCode.UnstableOffsetCommit), (null, ErrorCode.UnstableOffsetCommit)],
            Fetched(fetch with { Partitions = null }));
        Assert.Equal([(1, ErrorCode.None)], Fetched(fetch with { Partitions = null, RequireStable = false }));
        End(Producer, 1);
        End(Other, 1, isCommit: false);
        Assert.Equal([(5, ErrorCode.None), (null, ErrorCode.None)], Fetched(fetch));
    }

    private (long?, ErrorCode)[] Fetched(OffsetFetch fetch) => [.. OffsetDecision.Fetch(_offsets, fetch, _topics.Topics).Partitions
        .Select(static partition => (partition.Offset?.Offset, partition.Error))];

    [Fact]
    public void Deleted_offset_does_not_come_back()
    {
        Commit(1);
        Add(Producer, 1, 5);
        Add(Producer, 1, 6, One);
        // Also where the topic is not known any more.
        (_offsets, var reply) = OffsetDecision.Delete(_offsets, new OffsetDelete("g", [Zero, One]), GroupTopics.Unknown,
            new HashSet<string>());
        Assert.All(reply.Partitions, static partition => Assert.Equal(ErrorCode.None, partition.Error));
        Assert.True(_offsets.IsEmpty);
        End(Producer, 1);
        Assert.True(_offsets.IsEmpty);
    }

    [Fact]
    public void Pending_offsets_of_a_removed_topic_are_removed()
    {
        _topics.Set("u", 1);
        var old = _topics.Topics.Find("t")!.Value.TopicId;
        Add(Producer, 1, 5);
        Add(Producer, 1, 6, new TopicPartition("u", 0));
        Add(Other, 1, 7);
        _offsets = _offsets.WithoutTopics((_, id) => id == old);
        Assert.Equal([Producer], _offsets.Pending.Transactions.Keys);
        End(Producer, 1);
        End(Other, 1);
        Assert.Equal((null, 6), (Committed(), Committed(new TopicPartition("u", 0))));
        Assert.Same(_offsets, _offsets.WithoutTopics((_, id) => id == old));
    }

    [Fact]
    public void Commit_for_an_older_topic_of_the_name_is_refused_while_a_newer_one_is_pending()
    {
        var newer = new TestTopics { HasTimeOrderedIds = true };
        newer.Set("other", 1);
        newer.Set("t", 2);
        var offsets = TransactionOffsetDecision.Commit(_offsets, Request(Producer, 1, 5, Zero), newer.Topics, new GroupOptions(), Start)
            .Next;
        _offsets = offsets;
        Assert.Equal(ErrorCode.UnknownTopicId, Commit(3));
        Assert.Equal(ErrorCode.UnknownTopicId, Add(Other, 1, 3));
        Assert.Same(offsets, _offsets);
        // An outdated coordinator can commit for another partition: the newer topic's prevails.
        Assert.Equal(ErrorCode.None, Add(Other, 1, 3, One));
        End(Producer, 1);
        End(Other, 1);
        Assert.Equal((5, null), (Committed(), Committed(One)));
    }

    [Fact]
    public void Partition_with_a_pending_offset_does_not_expire()
    {
        Commit(1);
        Commit(1, One);
        Add(Producer, 1, 5);
        var hour = TimeSpan.FromHours(1);
        var kept = OffsetDecision.Expire(_offsets, Start, hour, Start + hour);
        Assert.Equal([0], kept.Topics["t"].Partitions.Keys);
    }

    [Fact]
    public void Fences_are_forgotten_after_an_hour()
    {
        End(Producer, 1);
        _now += TimeSpan.FromMinutes(1);
        End(Other, 1);
        Assert.Same(_offsets, TransactionOffsetDecision.Forget(_offsets, Start + TransactionOffsetDecision.FenceRetention
            - TimeSpan.FromMilliseconds(1)));
        Assert.Equal([Other], TransactionOffsetDecision.Forget(_offsets, Start + TransactionOffsetDecision.FenceRetention).Fences.Keys);
        End(Producer, 2);
        Assert.Equal(2, TransactionOffsetDecision.Forget(_offsets, Start + TransactionOffsetDecision.FenceRetention).Fences.Count);
    }

    [Fact]
    public void Oldest_fences_go_where_there_are_too_many()
    {
        for (var producer = 0; producer <= TransactionOffsetDecision.MaxFences; producer++)
        {
            _now = Start.AddMilliseconds(TransactionOffsetDecision.MaxFences - producer);
            End(producer, 1);
        }
        Assert.Equal(TransactionOffsetDecision.MaxFences * 9 / 10 + 1, _offsets.Fences.Count);
        Assert.Contains(TransactionOffsetDecision.MaxFences, _offsets.Fences.Keys);
        Assert.Contains(0, _offsets.Fences.Keys);
        Assert.DoesNotContain(TransactionOffsetDecision.MaxFences - 1, _offsets.Fences.Keys);
    }
}
