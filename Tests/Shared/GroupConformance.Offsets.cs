using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

public abstract partial class GroupConformance
{
    private async Task<(IBroker Broker, string Group, string Topic, Guid TopicId)> TopicAsync(string test, int partitions = 2)
    {
        var broker = await BrokerAsync();
        var topic = await broker.CreateTopicAsync(new NewTopic(NewName(test), partitions));
        return (broker, NewName(test), topic.Name, topic.TopicId);
    }

    private static OffsetCommit Commit(string group, string topic, int partition, long offset, JoinGroupResult? member = null) => new()
    {
        GroupId = group,
        MemberId = member?.MemberId ?? "",
        GenerationIdOrMemberEpoch = member?.GenerationId ?? -1,
        Offsets = [new PartitionOffset(topic, partition, new CommittedOffset(offset))],
    };

    private static async Task<ErrorCode> CommitAsync(IGroupCoordinator groups, OffsetCommit request) =>
        Assert.Single((await groups.CommitOffsetsAsync(request)).Partitions).Error;

    private static async Task<long?> FetchAsync(IGroupCoordinator groups, string group, string topic, int partition)
    {
        var result =
            await groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group, Partitions = [new TopicPartition(topic, partition)] });
        Assert.Equal(ErrorCode.None, result.Error);
        var fetched = Assert.Single(result.Partitions);
        Assert.Equal(ErrorCode.None, fetched.Error);
        return fetched.Offset?.Offset;
    }

    [SkippableFact]
    public async Task Committed_offset_is_fetched_with_epoch_and_metadata()
    {
        var (broker, group, topic, topicId) = await TopicAsync("commits");
        var member = await AloneAsync(broker.Groups, group);
        var before = DateTimeOffset.UtcNow.AddMinutes(-5).ToUnixTimeMilliseconds();
        var request = Commit(group, topic, 1, 0, member) with
        {
            Offsets = [new PartitionOffset(topic, 0, new CommittedOffset(42, 3, "with care")),
                new PartitionOffset(null, 1, new CommittedOffset(7), topicId)],
        };
        var answers = await broker.Groups.CommitOffsetsAsync(request);
        Assert.Equal([(topic, 0, ErrorCode.None), (topic, 1, ErrorCode.None)],
            answers.Partitions.Select(answer => (answer.Topic!, answer.Partition, answer.Error)));

        var all = await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group });
        Assert.Equal([new TopicPartition(topic, 0), new TopicPartition(topic, 1)], all.Partitions.Select(fetched => fetched.Partition));
        var first = all.Partitions[0];
        Assert.Equal(topicId, first.TopicId);
        Assert.Equal((42, 3, "with care"), (first.Offset!.Offset, first.Offset.LeaderEpoch, first.Offset.Metadata));
        Assert.True(first.Offset.CommitTimestamp > before);
        Assert.Equal(7, all.Partitions[1].Offset!.Offset);
    }

    [SkippableFact]
    public async Task Fetch_without_commits_is_no_error_and_creates_no_group()
    {
        var (broker, group, topic, _) = await TopicAsync("nothing");
        Assert.Null(await FetchAsync(broker.Groups, group, topic, 0));
        Assert.Empty((await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group })).Partitions);
        Assert.DoesNotContain(await broker.Groups.ListGroupsAsync(), listing => listing.GroupId == group);
    }

    [SkippableFact]
    public async Task Offsets_are_committed_without_membership_while_a_group_is_empty()
    {
        var (broker, group, topic, _) = await TopicAsync("outside");
        Assert.Equal(ErrorCode.None, await CommitAsync(broker.Groups, Commit(group, topic, 0, 5)));
        Assert.Equal(5, await FetchAsync(broker.Groups, group, topic, 0));
        Assert.Contains(new GroupListing(group, "", GroupState.Empty, GroupType.Classic), await broker.Groups.ListGroupsAsync());

        var member = await AloneAsync(broker.Groups, group);
        Assert.Equal(ErrorCode.UnknownMemberId, await CommitAsync(broker.Groups, Commit(group, topic, 0, 6)));
        Assert.Equal(5, await FetchAsync(broker.Groups, group, topic, 0));
        await broker.Groups.LeaveGroupAsync(new LeaveGroup(group, [new LeavingMember(member.MemberId)]));
        Assert.Equal(ErrorCode.None, await CommitAsync(broker.Groups, Commit(group, topic, 0, 3)));
        Assert.Equal(3, await FetchAsync(broker.Groups, group, topic, 0));
    }

    [SkippableFact]
    public async Task Commit_of_an_old_generation_or_unknown_member_is_refused()
    {
        var (broker, group, topic, _) = await TopicAsync("fenced");
        var member = await AloneAsync(broker.Groups, group);
        Assert.Equal(ErrorCode.IllegalGeneration,
            await CommitAsync(broker.Groups, Commit(group, topic, 0, 1, member with { GenerationId = 0 })));
        Assert.Equal(ErrorCode.UnknownMemberId,
            await CommitAsync(broker.Groups, Commit(group, topic, 0, 1, member with { MemberId = "stranger" })));
        Assert.Null(await FetchAsync(broker.Groups, group, topic, 0));
    }

    [SkippableFact]
    public async Task Refused_commits_are_reported_by_partition()
    {
        var (broker, group, topic, topicId) = await TopicAsync("partly");
        var request = new OffsetCommit
        {
            GroupId = group,
            Offsets =
            [
                new PartitionOffset(topic, 0, new CommittedOffset(1)),
                new PartitionOffset(topic, 2, new CommittedOffset(1)),
                new PartitionOffset(NewName("missing"), 0, new CommittedOffset(1)),
                new PartitionOffset(null, 0, new CommittedOffset(1), Guid.NewGuid()),
                new PartitionOffset(NewName("other"), 0, new CommittedOffset(1), topicId),
                new PartitionOffset(topic, 1, new CommittedOffset(1, -1, new string('x', 4097))),
            ],
        };
        Assert.Equal(
            [ErrorCode.None, ErrorCode.UnknownTopicOrPartition, ErrorCode.UnknownTopicOrPartition, ErrorCode.UnknownTopicId,
                ErrorCode.InconsistentTopicId,
                ErrorCode.OffsetMetadataTooLarge],
            (await broker.Groups.CommitOffsetsAsync(request)).Partitions.Select(answer => answer.Error));
        Assert.Equal(1, await FetchAsync(broker.Groups, group, topic, 0));
        Assert.Null(await FetchAsync(broker.Groups, group, topic, 1));
    }

    [SkippableFact]
    public async Task Offsets_of_a_recreated_topic_are_void()
    {
        var (broker, group, topic, _) = await TopicAsync("again");
        Assert.Equal(ErrorCode.None, await CommitAsync(broker.Groups, Commit(group, topic, 0, 9)));
        await broker.DeleteTopicAsync(topic);
        await broker.CreateTopicAsync(new NewTopic(topic, 2));
        await UntilAsync(async () => await FetchAsync(broker.Groups, group, topic, 0) is null);
        await UntilAsync(async () => await CommitAsync(broker.Groups, Commit(group, topic, 1, 2)) == ErrorCode.None);
        await UntilAsync(async () => (await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group })).Partitions.Count == 1);
    }

    [SkippableFact]
    public async Task Offsets_are_deleted_where_no_member_is_subscribed()
    {
        var (broker, group, topic, _) = await TopicAsync("deleted");
        var delete = new OffsetDelete(group, [new TopicPartition(topic, 0)]);
        Assert.Equal(ErrorCode.GroupIdNotFound, (await broker.Groups.DeleteOffsetsAsync(delete)).Error);
        Assert.Equal(ErrorCode.None, await CommitAsync(broker.Groups, Commit(group, topic, 0, 1)));
        Assert.Equal(ErrorCode.None, await CommitAsync(broker.Groups, Commit(group, topic, 1, 1)));
        var answer = await broker.Groups.DeleteOffsetsAsync(delete);
        Assert.Equal((ErrorCode.None, ErrorCode.None), (answer.Error, Assert.Single(answer.Partitions).Error));
        Assert.Null(await FetchAsync(broker.Groups, group, topic, 0));
        Assert.Equal(1, await FetchAsync(broker.Groups, group, topic, 1));
    }
}
