using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Silo = OrleansMq.Tests.Chaos.Running.Silo;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>How long a group's members get no answer after a SIGKILL to their coordinator's silo: from the signal to the first answered
/// heartbeat, over HTTP to any of the brokers. The member must have kept its membership and generation, and its committed offset must be
/// there.</summary>
internal static class CoordinatorFailoverTime
{
    private const string Group = "failover";
    private const string Topic = "coordinators";
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var kills = arguments.Number("--kills", 10);
        return ClusterForBenchmarks.RunAsync(arguments.Directory("coordinators"), async cluster =>
        {
            using var client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
            await client.Patient.CreateTopicAsync(new NewTopic(Topic, 1));
            var groups = client.Broker.Groups;
            var member = await JoinAsync(groups);
            var seconds = new List<double>();
            for (var kill = 1; kill <= kills; kill++)
            {
                Check((await CommitAsync(groups, member, kill)).Partitions[0].Error, "a commit");
                var silo = cluster[await groups.FindCoordinatorAsync(Group)];
                var time = await KillAsync(cluster, silo, groups, member);
                var fetched = await groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group });
                if (fetched.Partitions is not [{ Offset.Offset: var offset }] || offset != kill)
                    throw new InvalidOperationException($"The offset {kill} that was committed before the kill is not there: "
                        + $"{fetched.Error}.");
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"kill {kill}: {time.TotalSeconds:0.000} s"));
                seconds.Add(time.TotalSeconds);
                await cluster.RestartedAsync(silo, CancellationToken.None);
            }
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{kills} kills: median {Statistics.Median(seconds):0.000} s, worst {seconds.Max():0.000} s "
                + $"until a heartbeat is answered"));
        });
    }

    private static async Task<TimeSpan> KillAsync(LocalCluster cluster, Silo silo, IGroupCoordinator groups, JoinGroupResult member)
    {
        var moment = Stopwatch.GetTimestamp();
        cluster.Kill(silo);
        while (true)
        {
            var reply = await groups.HeartbeatAsync(new Heartbeat(Group, member.GenerationId, member.MemberId));
            var time = Stopwatch.GetElapsedTime(moment);
            if (reply.Error == ErrorCode.None)
                return time;
            if (reply.Error is not (ErrorCode.CoordinatorNotAvailable or ErrorCode.NotCoordinator or ErrorCode.CoordinatorLoadInProgress
                or ErrorCode.RequestTimedOut) || time > Patience)
                throw new InvalidOperationException($"After {time.TotalSeconds:0.0} s a heartbeat was answered by {reply.Error}: "
                    + $"{reply.Message}");
            await Task.Delay(Pause);
        }
    }

    private static async Task<JoinGroupResult> JoinAsync(IGroupCoordinator groups)
    {
        var joined = await groups.JoinGroupAsync(new JoinGroup
        {
            GroupId = Group,
            ClientId = "benchmark",
            ProtocolType = "benchmark",
            Protocols = [new GroupProtocol("none", default)],
            RequireKnownMemberId = false,
            SessionTimeout = TimeSpan.FromMinutes(2),
        });
        Check(joined.Error, "the join");
        Check(
            (await groups.SyncGroupAsync(new SyncGroup { GroupId = Group, GenerationId = joined.GenerationId,
                MemberId = joined.MemberId })).Error, "the synchronization");
        return joined;
    }

    private static ValueTask<OffsetCommitResult> CommitAsync(IGroupCoordinator groups, JoinGroupResult member, long offset) =>
        groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = Group,
            GenerationIdOrMemberEpoch = member.GenerationId,
            MemberId = member.MemberId,
            Offsets = [new PartitionOffset(Topic, 0, new CommittedOffset(offset))],
        });

    private static void Check(ErrorCode error, string what)
    {
        if (error != ErrorCode.None)
            throw new InvalidOperationException($"{what} was answered by {error}.");
    }
}
