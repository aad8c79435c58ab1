using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>A rebalance of a protocol: all members but one are stable, then the last one joins.</summary>
internal interface IRebalance
{
    /// <summary>Returns the seconds from the last member's join until all members have their partitions.</summary>
    Task<double> MeasureAsync(GroupCoordinators groups, int members, int partitions);
}

/// <summary>The classic protocol with members that rejoin as soon as a rebalance starts, like a client that learns of it at once.
/// Cooperative assignors take a second round.</summary>
internal sealed class ClassicRebalance(string assignorName) : IRebalance
{
    public async Task<double> MeasureAsync(GroupCoordinators groups, int members, int partitions)
    {
        if (!ClientAssignors.TryGet(assignorName, out var assignor))
            throw new InvalidOperationException($"There is no assignor '{assignorName}'.");
        var all = Enumerable.Range(0, members).Select(_ => new Member(groups, assignor, partitions)).ToList();
        await RoundsAsync(all[..^1], [], partitions);
        var started = Stopwatch.GetTimestamp();
        var last = Task.Run(all[^1].RoundAsync);
        while ((await groups.DescribeGroupAsync("g")).State == GroupState.Stable)
            await Task.Yield();
        await RoundsAsync(all[..^1], [last], partitions, all[^1]);
        return Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    // Rounds until no member revokes anything and every partition is read.
    private static async Task RoundsAsync(List<Member> members, List<Task> under, int partitions, Member? last = null)
    {
        for (var round = 1; ; round++)
        {
            await Task.WhenAll([.. under, .. members.Select(member => Task.Run(member.RoundAsync))]);
            if (last is not null)
                members.Add(last);
            (last, under) = (null, []);
            var held = members.SelectMany(member => member.Held).ToList();
            if (held.Count == partitions && held.Distinct().Count() == partitions)
                return;
            if (round == 3)
                throw new InvalidOperationException("Three rounds did not assign all partitions.");
        }
    }

    private sealed class Member(GroupCoordinators groups, IClientAssignor assignor, int partitions)
    {
        private JoinGroupResult _joined = new() { Error = ErrorCode.None };

        public IReadOnlyList<TopicPartition> Held { get; private set; } = [];

        /// <summary>Joins and syncs, again whenever another member restarts the rebalance.</summary>
        public async Task RoundAsync()
        {
            do
                await JoinAsync();
            while (!await SyncAsync());
        }

        private async Task JoinAsync()
        {
            var subscription = new ConsumerSubscription { Topics = [GroupBenchmarks.Topic], OwnedPartitions = Held,
                Generation = _joined.GenerationId };
            do
            {
                _joined = await groups.JoinGroupAsync(new JoinGroup
                {
                    GroupId = "g",
                    MemberId = _joined.MemberId,
                    Protocols = [ClientAssignors.Offer(assignor, subscription)],
                });
            }
            while (_joined.Error == ErrorCode.MemberIdRequired);
            Check(_joined.Error);
        }

        private async Task<bool> SyncAsync()
        {
            var assignments = _joined.Leader == _joined.MemberId
                ? ClientAssignors.Assign(assignor, ClientAssignors.Read(assignor, _joined.Members),
                    [new AssignmentTopic(GroupBenchmarks.Topic, partitions)])
                : [];
            var synced = await groups.SyncGroupAsync(new SyncGroup
            {
                GroupId = "g",
                MemberId = _joined.MemberId,
                GenerationId = _joined.GenerationId,
                Assignments = assignments,
            });
            if (synced.Error == ErrorCode.RebalanceInProgress)
                return false;
            Check(synced.Error);
            Held = ConsumerProtocol.TryDecodeAssignment(synced.Assignment, out var assignment, out var error)
                ? assignment.Partitions : throw new InvalidOperationException(error);
            return true;
        }

        private static void Check(ErrorCode error)
        {
            if (error != ErrorCode.None)
                throw new InvalidOperationException($"A member was answered with {error}.");
        }
    }
}

/// <summary>The consumer protocol with members that wait for changes in long polls.</summary>
internal sealed class ConsumerRebalance : IRebalance
{
    public async Task<double> MeasureAsync(GroupCoordinators groups, int members, int partitions)
    {
        using var stop = new CancellationTokenSource();
        var all = Enumerable.Range(0, members).Select(_ => new Member(groups)).ToList();
        var running = all[..^1].Select(member => Task.Run(() => member.RunAsync(stop.Token))).ToList();
        await UntilStableAsync(groups, members - 1, partitions);
        var started = Stopwatch.GetTimestamp();
        running.Add(Task.Run(() => all[^1].RunAsync(stop.Token)));
        await UntilStableAsync(groups, members, partitions);
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        await stop.CancelAsync();
        await Task.WhenAll(running);
        return elapsed;
    }

    private static async Task UntilStableAsync(GroupCoordinators groups, int members, int partitions)
    {
        while (true)
        {
            await Task.Delay(5);
            if ((await groups.ListGroupsAsync()).All(listing => listing.State != GroupState.Stable))
                continue;
            var group = await groups.DescribeGroupAsync("g");
            if (group.Members.Count == members && group.Members.Sum(member => member.Assignment.Count) == partitions)
                return;
        }
    }

    private sealed class Member(GroupCoordinators groups)
    {
        private readonly string _id = Guid.NewGuid().ToString();

        public async Task RunAsync(CancellationToken stop)
        {
            ConsumerGroupHeartbeatResult? told = null;
            IReadOnlyList<TopicPartitions> held = [];
            while (!stop.IsCancellationRequested)
            {
                var request = new ConsumerGroupHeartbeat
                {
                    GroupId = "g",
                    MemberId = _id,
                    MemberEpoch = told?.MemberEpoch ?? ConsumerGroupHeartbeat.JoinEpoch,
                    SubscribedTopicNames = told is null ? [GroupBenchmarks.Topic] : null,
                    RebalanceTimeout = told is null ? TimeSpan.FromMinutes(1) : null,
                    OwnedPartitions = told is null || told.Assignment is not null ? held : null,
                    MaxWait = TimeSpan.FromSeconds(5),
                };
                try
                {
                    told = await groups.ConsumerGroupHeartbeatAsync(request, stop);
                }
                catch (OperationCanceledException) when (stop.IsCancellationRequested)
                {
                    return;
                }
                if (told.Error != ErrorCode.None)
                    throw new InvalidOperationException($"A member was answered with {told.Error}: {told.Message}");
                held = told.Assignment ?? held;
            }
        }
    }
}
