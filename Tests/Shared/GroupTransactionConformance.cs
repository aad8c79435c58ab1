using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>The part of a group in transactions, in process, over grains and over HTTP; one subclass for each implementation. Tests may
/// share a broker that is not empty, so each test uses its own group and topics.</summary>
public abstract class GroupTransactionConformance
{
    private static int s_lastProducer;

    /// <summary>The broker whose groups are under test.</summary>
    protected abstract ValueTask<IBroker> BrokerAsync();

    /// <summary>The groups as the coordinator of a transaction reaches them. No client ends a transaction in a group.</summary>
    protected virtual async ValueTask<IGroupCoordinator> ParticipantsAsync() => (await BrokerAsync()).Groups;

    private async Task<Participant> ParticipantAsync(string test)
    {
        var broker = await BrokerAsync();
        var topic = await broker.CreateTopicAsync(new NewTopic($"{test}-{Guid.NewGuid():N}", 2));
        return new Participant(broker.Groups, await ParticipantsAsync(), $"{test}-{Guid.NewGuid():N}", topic.Name,
            Interlocked.Increment(ref s_lastProducer));
    }

    [SkippableFact]
    public async Task Offsets_of_a_transaction_are_unstable_until_it_is_committed()
    {
        var group = await ParticipantAsync("committed");
        await group.CommitOutsideAsync(0, 1);
        Assert.Equal(ErrorCode.None, await group.CommitAsync(1, 0, 5));
        Assert.Equal([(null, ErrorCode.UnstableOffsetCommit), (null, ErrorCode.None)], await group.FetchAsync(requireStable: true));
        Assert.Equal([(1, ErrorCode.None), (null, ErrorCode.None)], await group.FetchAsync(requireStable: false));
        Assert.Equal(ErrorCode.None, await group.EndAsync(1, isCommit: true));
        Assert.Equal([(5, ErrorCode.None), (null, ErrorCode.None)], await group.FetchAsync(requireStable: true));
        // Twice, and late.
        Assert.Equal(ErrorCode.None, await group.EndAsync(1, isCommit: true));
        Assert.Equal(ErrorCode.TransactionAbortable, await group.CommitAsync(1, 0, 6));
        Assert.Equal(ErrorCode.None, await group.CommitAsync(2, 1, 7));
        Assert.Equal(ErrorCode.ConcurrentTransactions, await group.CommitAsync(3, 1, 8));
        Assert.Equal(ErrorCode.None, await group.EndAsync(2, isCommit: false));
        Assert.Equal([(5, ErrorCode.None), (null, ErrorCode.None)], await group.FetchAsync(requireStable: true));
    }

    [SkippableFact]
    public async Task End_without_a_group_makes_none_and_refuses_what_comes_late()
    {
        var group = await ParticipantAsync("ended");
        Assert.Equal(ErrorCode.None, await group.EndAsync(3, isCommit: true));
        Assert.DoesNotContain(group.GroupId, (await group.Groups.ListGroupsAsync()).Select(static listing => listing.GroupId));
        Assert.Equal(ErrorCode.TransactionAbortable, await group.CommitAsync(3, 0, 5));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await group.CommitAsync(4, 0, 5, epoch: 0));
        Assert.Equal(ErrorCode.None, await group.CommitAsync(4, 0, 5));
        Assert.Contains(group.GroupId, (await group.Groups.ListGroupsAsync()).Select(static listing => listing.GroupId));
        Assert.Equal(ErrorCode.TransactionCoordinatorFenced, await group.EndAsync(4, isCommit: true, coordinatorEpoch: 1));
        await group.Groups.DeleteGroupAsync(group.GroupId);
        Assert.DoesNotContain(group.GroupId, (await group.Groups.ListGroupsAsync()).Select(static listing => listing.GroupId));
        Assert.Equal(ErrorCode.None, await group.EndAsync(4, isCommit: true));
        Assert.Equal([(null, ErrorCode.None), (null, ErrorCode.None)], await group.FetchAsync(requireStable: true));
    }

    private sealed record Participant(IGroupCoordinator Groups, IGroupCoordinator Ends, string GroupId, string Topic, long Producer)
    {
        public async Task CommitOutsideAsync(int partition, long offset) => Assert.Equal(ErrorCode.None, Assert.Single(
            (await Groups.CommitOffsetsAsync(new OffsetCommit { GroupId = GroupId, Offsets = [Of(partition, offset)] })).Partitions).Error);

        public async Task<ErrorCode> CommitAsync(long number, int partition, long offset, short epoch = 2) =>
            Assert.Single((await Groups.SendAsync(new TransactionOffsetCommit
            {
                GroupId = GroupId,
                TransactionalId = "x",
                Producer = new ProducerIdentity(Producer, epoch),
                Number = number,
                Offsets = [Of(partition, offset)],
            })).Partitions).Error;

        public async Task<ErrorCode> EndAsync(long number, bool isCommit, int coordinatorEpoch = 2) =>
            (await Ends.SendAsync(new EndTransactionOffsets
            {
                GroupId = GroupId,
                Producer = new ProducerIdentity(Producer, 2),
                Number = number,
                CoordinatorEpoch = coordinatorEpoch,
                IsCommit = isCommit,
            })).Error;

        public async Task<(long?, ErrorCode)[]> FetchAsync(bool requireStable) => [.. (await Groups.FetchOffsetsAsync(new OffsetFetch
        {
            GroupId = GroupId,
            Partitions = [new TopicPartition(Topic, 0), new TopicPartition(Topic, 1)],
            RequireStable = requireStable,
        })).Partitions.Select(static found => (found.Offset?.Offset, found.Error))];

        private PartitionOffset Of(int partition, long offset) => new(Topic, partition, new CommittedOffset(offset));
    }
}
