using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Shared;

public abstract partial class GroupConformance
{
    private static ConsumerGroupHeartbeat JoinConsumers(string group, string member, params string[] topics) => new()
    {
        GroupId = group,
        MemberId = member,
        ClientId = "tests",
        RebalanceTimeout = Deadline,
        SubscribedTopicNames = topics,
        OwnedPartitions = [],
    };

    /// <summary>Retries the join, since other brokers learn of a new topic a moment later.</summary>
    private static async Task<ConsumerGroupHeartbeatResult> JoinConsumersAsync(IGroupCoordinator groups, ConsumerGroupHeartbeat join,
        Guid topic)
    {
        ConsumerGroupHeartbeatResult joined = null!;
        await UntilAsync(async () =>
        {
            joined = await groups.ConsumerGroupHeartbeatAsync(join);
            return joined.Error == ErrorCode.None && joined.Assignment!.Any(held => held.TopicId == topic);
        });
        return joined;
    }

    [SkippableFact]
    public async Task Consumer_protocol_members_share_a_topic_over_long_polls_through_failures()
    {
        var (broker, group, topic, topicId) = await TopicAsync("polls", 6);
        await using var first = new PollingMember(broker.Groups, group, topic);
        await UntilSharedAsync([first], 6);
        await using var second = new PollingMember(broker.Groups, group, topic);
        await using var third = new PollingMember(broker.Groups, group, topic);
        PollingMember[] all = [first, second, third];
        await UntilSharedAsync(all, 6);
        Assert.All(all, member => Assert.Equal(2, member.Held.Count));

        // The description matches; a member's commit is accepted, and one with its former epoch is not.
        await UntilAsync(async () => (await broker.Groups.DescribeGroupAsync(group)).State == GroupState.Stable);
        var description = await broker.Groups.DescribeGroupAsync(group);
        Assert.Equal((GroupType.Consumer, "consumer", "uniform", description.Epoch),
            (description.Type, description.ProtocolType, description.Protocol, description.AssignmentEpoch));
        Assert.All(description.Members, member => Assert.Equal((2, description.Epoch), (member.Assignment.Count, member.MemberEpoch)));
        await UntilAsync(() => Task.FromResult(first.Epoch == description.Epoch)); // The answer may be in flight.
        var commit = new OffsetCommit
        {
            GroupId = group,
            MemberId = first.MemberId,
            GenerationIdOrMemberEpoch = first.Epoch,
            Offsets = [new PartitionOffset(topic, first.Held.First(), new CommittedOffset(5), topicId)],
        };
        Assert.Equal(ErrorCode.None, (await broker.Groups.CommitOffsetsAsync(commit)).Partitions[0].Error);
        Assert.Equal(ErrorCode.StaleMemberEpoch,
            (await broker.Groups.CommitOffsetsAsync(commit with { GenerationIdOrMemberEpoch = first.Epoch - 1 })).Partitions[0].Error);

        // Add partitions; then one member leaves.
        await broker.AddPartitionsAsync(topic, 9);
        await UntilSharedAsync(all, 9);
        var kept = (First: first.Held, Second: second.Held);
        await third.LeaveAsync();
        await UntilSharedAsync([first, second], 9);
        Assert.Superset(kept.First.ToHashSet(), first.Held.ToHashSet());
        Assert.Superset(kept.Second.ToHashSet(), second.Held.ToHashSet());
        Assert.Empty(PollingMember.Doubles);
    }

    [SkippableFact]
    public async Task Invalid_consumer_protocol_heartbeat_is_refused()
    {
        var (broker, group, topic, topicId) = await TopicAsync("refused-consumers");
        var groups = broker.Groups;
        async Task<ErrorCode> ErrorOf(ConsumerGroupHeartbeat request) => (await groups.ConsumerGroupHeartbeatAsync(request)).Error;
        var join = JoinConsumers(group, "a", topic);
        Assert.Equal(ErrorCode.UnknownMemberId, await ErrorOf(join with { MemberEpoch = 1 }));
        Assert.Equal(ErrorCode.InvalidGroupId, await ErrorOf(join with { GroupId = "" }));
        Assert.Equal(ErrorCode.UnsupportedAssignor, await ErrorOf(join with { ServerAssignor = "mine" }));
        Assert.Equal(ErrorCode.InvalidRegularExpression, await ErrorOf(join with { SubscribedTopicRegex = "(" }));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(join with { SubscribedTopicNames = null }));

        var joined = await JoinConsumersAsync(groups, join, topicId);
        Assert.Equal(ErrorCode.FencedMemberEpoch,
            await ErrorOf(new ConsumerGroupHeartbeat { GroupId = group, MemberId = "a", MemberEpoch = joined.MemberEpoch + 1 }));
        Assert.Equal(ErrorCode.None,
            await ErrorOf(new ConsumerGroupHeartbeat { GroupId = group, MemberId = "a", MemberEpoch = ConsumerGroupHeartbeat.LeaveEpoch }));
        Assert.Equal(ErrorCode.UnknownMemberId,
            await ErrorOf(new ConsumerGroupHeartbeat { GroupId = group, MemberId = "a", MemberEpoch = joined.MemberEpoch }));
        Assert.Equal(GroupState.Empty, (await groups.DescribeGroupAsync(group)).State);
    }

    [SkippableFact]
    public async Task Classic_group_is_upgraded_to_the_consumer_protocol_and_back()
    {
        var (broker, group, topic, topicId) = await TopicAsync("migrates");
        var groups = broker.Groups;
        Assert.True(ClientAssignors.TryGet("cooperative-sticky", out var assignor));
        JoinGroup Joining(string member, params TopicPartition[] owned) =>
            Join(group, member) with { Protocols = [ClientAssignors.Offer(assignor, assignor.Subscribe([topic], owned, 1))] };
        TopicPartition[] both = [new(topic, 0), new(topic, 1)];
        var id = (await groups.JoinGroupAsync(Joining(""))).MemberId;
        var classic = await groups.JoinGroupAsync(Joining(id));
        await groups.SyncGroupAsync(Sync(group,
            classic) with { Assignments = [new MemberAssignment(id, ConsumerProtocol.Encode(new ConsumerAssignment(both)))] });

        ConsumerGroupHeartbeatResult joined = null!;
        await UntilAsync(async () => (joined = await groups.ConsumerGroupHeartbeatAsync(JoinConsumers(group, "new", topic))).Error
            == ErrorCode.None
            && (await groups.DescribeGroupAsync(group)).Members.Any(member => member.MemberId == "new"
                && member.TargetAssignment.Count == 1));
        Assert.Equal(GroupType.Consumer, (await groups.DescribeGroupAsync(group)).Type);
        Assert.Empty(joined.Assignment!);
        Assert.Equal(ErrorCode.RebalanceInProgress, (await groups.HeartbeatAsync(Beat(group, classic))).Error);

        // The classic member is told to revoke one partition, does so and rejoins. The other member, which waits for it, gets it.
        var again = await groups.JoinGroupAsync(Joining(id, both));
        var left = Assigned(await groups.SyncGroupAsync(Sync(group, again)));
        Assert.Single(left);
        again = await groups.JoinGroupAsync(Joining(id, [.. left]));
        Assert.Equal(left, Assigned(await groups.SyncGroupAsync(Sync(group, again))));
        var beat = new ConsumerGroupHeartbeat { GroupId = group, MemberId = "new", MemberEpoch = joined.MemberEpoch, OwnedPartitions = [] };
        await UntilAsync(async () => (await groups.ConsumerGroupHeartbeatAsync(beat)).Assignment is [{ Partitions: [var number] } held]
            && held.TopicId == topicId && number != left[0].Partition);
        Assert.Equal(ErrorCode.None, (await groups.HeartbeatAsync(Beat(group, again))).Error);

        // The other member leaves: the group is classic, and the remaining member leads it.
        await groups.ConsumerGroupHeartbeatAsync(new ConsumerGroupHeartbeat { GroupId = group, MemberId = "new",
            MemberEpoch = ConsumerGroupHeartbeat.LeaveEpoch });
        Assert.Equal(ErrorCode.RebalanceInProgress, (await groups.HeartbeatAsync(Beat(group, again))).Error);
        var last = await groups.JoinGroupAsync(Joining(id, [.. left])).AsTask().WaitAsync(Deadline);
        Assert.Equal((ErrorCode.None, id), (last.Error, last.Leader));
        Assert.True(last.GenerationId > again.GenerationId);
        Assert.Equal(GroupType.Classic, (await groups.DescribeGroupAsync(group)).Type);
    }

    private static IReadOnlyList<TopicPartition> Assigned(SyncGroupResult synced)
    {
        Assert.Equal(ErrorCode.None, synced.Error);
        Assert.True(ConsumerProtocol.TryDecodeAssignment(synced.Assignment, out var assignment, out _));
        return assignment.Partitions;
    }

    private static Task UntilSharedAsync(IReadOnlyList<PollingMember> members, int partitions) => UntilAsync(async () =>
    {
        foreach (var ended in members.Where(static member => member.Polling.IsCompleted))
            await ended.Polling; // A member that ends before it is told to has failed.
        // Each is read once, since a member's partitions change concurrently.
        var shares = members.Select(static member => member.Held).ToList();
        var held = shares.SelectMany(static share => share).ToList();
        return held.Count == partitions && held.Distinct().Count() == partitions
            && shares.Max(static share => share.Count) - shares.Min(static share => share.Count) <= 1;
    });

    /// <summary>A member that always has a heartbeat pending at the coordinator. It receives changes at once, applies them and
    /// confirms.</summary>
    private sealed class PollingMember : IAsyncDisposable
    {
        private static readonly Dictionary<(string Group, int Partition), string> Readers = [];

        private readonly CancellationTokenSource _stop = new();
        private readonly IGroupCoordinator _groups;
        private readonly string _group;
        private readonly Task _loop;
        private volatile IReadOnlyList<int> _held = [];
        private volatile int _epoch;

        public PollingMember(IGroupCoordinator groups, string group, string topic)
        {
            (_groups, _group) = (groups, group);
            _loop = Task.Run(() => RunAsync(topic));
        }

        /// <summary>Partitions that two members read at the same time, over all groups of this process.</summary>
        public static List<string> Doubles { get; } = [];

        public string MemberId { get; } = Guid.NewGuid().ToString();

        public int Epoch => _epoch;

        public IReadOnlyList<int> Held => _held;

        /// <summary>Its heartbeats, until it is told to end.</summary>
        public Task Polling => _loop;

        public async Task LeaveAsync()
        {
            await _stop.CancelAsync();
            await _loop;
            Hold([]);
            await _groups.ConsumerGroupHeartbeatAsync(new ConsumerGroupHeartbeat { GroupId = _group, MemberId = MemberId,
                MemberEpoch = ConsumerGroupHeartbeat.LeaveEpoch });
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _loop;
            _stop.Dispose();
        }

        private async Task RunAsync(string topic)
        {
            var next = JoinConsumers(_group, MemberId, topic);
            while (!_stop.IsCancellationRequested)
            {
                ConsumerGroupHeartbeatResult answer;
                try
                {
                    answer = await _groups.ConsumerGroupHeartbeatAsync(next, _stop.Token);
                }
                catch (OperationCanceledException) when (_stop.IsCancellationRequested)
                {
                    return;
                }
                if (answer.Error != ErrorCode.None)
                {
                    if (answer.Error.Action() != ErrorAction.Retry)
                        throw new BrokerException(answer.Error, $"The heartbeat of {MemberId} with epoch {next.MemberEpoch} was refused.");
                    await Task.Delay(20, CancellationToken.None); // The coordinator was just found or lost; retry as clients do.
                    continue;
                }
                _epoch = answer.MemberEpoch;
                if (answer.Assignment is { } assignment)
                    Hold([.. assignment.SelectMany(held => held.Partitions)]);
                next = new ConsumerGroupHeartbeat
                {
                    GroupId = _group,
                    MemberId = MemberId,
                    MemberEpoch = answer.MemberEpoch,
                    ClientId = "tests",
                    OwnedPartitions = answer.Assignment,
                    MaxWait = answer.HeartbeatInterval,
                };
            }
        }

        private void Hold(IReadOnlyList<int> partitions)
        {
            lock (Readers)
            {
                foreach (var given in _held.Except(partitions))
                    Readers.Remove((_group, given));
                foreach (var taken in partitions.Except(_held).Where(taken => !Readers.TryAdd((_group, taken), MemberId)))
                    Doubles.Add($"{_group}-{taken}: {Readers[(_group, taken)]} and {MemberId}");
            }
            _held = partitions;
        }
    }
}
