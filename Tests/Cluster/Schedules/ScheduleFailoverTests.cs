using System.Text;
using OrleansMq.Api;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Schedules;

/// <summary>Schedules while brokers are lost: each record that was answered is in its topic exactly once.</summary>
public sealed class ScheduleFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Records = 400;
    private static readonly TopicPartition Orders = new("orders", 0);

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Record_is_appended_once_when_the_leader_of_schedules_or_of_their_topic_is_killed_meanwhile(bool isOfSchedules)
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Orders.Topic, 1, 3));
        await Cluster.UntilInSyncAsync(Orders.Topic);
        // The topic of schedules is made on first use.
        await Cluster.Broker(1).Schedules.CreateAsync(New("far", DateTimeOffset.UtcNow.AddDays(1)));
        await Cluster.UntilInSyncAsync("__schedules");
        var described = await Cluster.Broker(1).DescribeTopicAsync("__schedules");
        Assert.All(described.Partitions, partition => Assert.Equal(3, partition.Replicas.Count));
        var leader = isOfSchedules ? described.Partitions.GroupBy(partition => partition.Leader).MaxBy(led => led.Count())!.Key
            : (await Cluster.Broker(1).DescribeTopicAsync(Orders.Topic)).Partitions[0].Leader;
        var broker = Cluster.Broker(1 + (leader % 3));
        var begin = DateTimeOffset.UtcNow.AddSeconds(3);
        var expected = Enumerable.Range(0, Records).Select(i => $"{i:000}").ToArray();
        await Task.WhenAll(expected.Select((value, i) => broker.Schedules.CreateAsync(New(value, begin.AddMilliseconds(i * 5))).AsTask()));
        // Some are decided and not published, some are published and not removed.
        await Wait.UntilAsync(async () => (await ReadAsync(broker)).Count >= Records / 4, "a quarter is appended");
        await Cluster.KillAsync(leader);
        await Wait.UntilAsync(async () => (await ReadAsync(broker)).Count >= Records, "all records are appended",
            deadline: TimeSpan.FromMinutes(2));
        await Wait.UntilAsync(async () => (await broker.Schedules.ListAsync(new ScheduleQuery { MaxCount = 1_000 })).Schedules is
            [{ Id: "far" }], "only one schedule waits", deadline: TimeSpan.FromMinutes(1));
        Assert.Equal(expected, (await ReadAsync(broker)).Order());
    }

    private static NewSchedule New(string value, DateTimeOffset at) =>
        new(Orders.Topic) { Id = value, At = at, Value = Encoding.UTF8.GetBytes(value) };

    private static async Task<List<string>> ReadAsync(IBroker broker)
    {
        var read = new List<string>();
        var end = (await broker.FindOffsetAsync(Orders, OffsetSpec.Latest)).Offset;
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        for (var next = 0L; next < end;)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(Orders, next) { MaxWait = TimeSpan.FromSeconds(1) },
                deadline.Token);
            if (fetched.Error != ErrorCode.None)
                break;
            foreach (var (offset, value) in TestBatches.Read(fetched.Records))
            {
                next = offset + 1;
                read.Add(value);
            }
        }
        return read;
    }
}
