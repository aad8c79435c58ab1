using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Api;
using OrleansMq.Hosting;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Shares;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Shares;

/// <summary>Share groups over the Kafka port while the leader of their partition is lost: nothing that was accepted and answered comes
/// again, nothing is missing, and deliveries are counted on.</summary>
public sealed class ShareFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Records = 600;
    private static readonly TopicPartition Orders = new("orders", 0);

    private readonly Dictionary<int, IPEndPoint> _ports = [];
    private int _epoch;

    private protected override void Extend(IBrokerBuilder builder) =>
        builder.AddKafka(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) });

    [SkippableFact]
    public async Task Released_records_are_counted_on_by_the_next_leader_and_accepted_ones_are_settled()
    {
        await CreateAsync(records: 30);
        var leader = await LeaderAsync(1);
        using (var member = await ConnectAsync(leader, "m"))
        {
            await member.JoinAsync();
            Assert.Equal([(0, 19, 1)], await AcquireAsync(member, maxRecords: 20));
            var answer = await member.FetchAsync(_epoch++, [new WireAck(0, (0, 9, [ShareWire.Accept]), (10, 14, [ShareWire.Release]))],
                maxRecords: 5, maxBytes: 16 << 20);
            Assert.Equal([0], ShareWire.Of("AcknowledgeErrorCode", answer));
            // Held, and not acknowledged.
            Assert.Equal([(10, 14, 2)], ShareWire.Acquired(answer));
            Assert.Equal([0, 0],
                ShareWire.Of("ErrorCode", await member.AcknowledgeAsync(_epoch, ShareWire.Ack(10, 14, ShareWire.Release))));
            await Cluster.KillAsync(leader);
        }
        var survivor = Cluster.Running.First();
        await Wait.UntilAsync(async () => await LeaderAsync(survivor) is var next && next != leader && next >= 0, "another one leads");
        using var after = await ConnectAsync(await LeaderAsync(survivor), "m");
        var acquired = await AcquireAsync(after, maxRecords: 100);
        Assert.Equal((10, 14, 3), acquired[0]);
        Assert.Equal((15, 29), (acquired[1].First, acquired[^1].Last));
        Assert.Equal([0, 0], ShareWire.Of("ErrorCode", await after.AcknowledgeAsync(_epoch, ShareWire.Ack(10, 29, ShareWire.Accept))));
        var cursor = await Cluster.Broker(survivor).Queues.DescribeShareAsync(Orders, "g");
        Assert.Equal(0, cursor!.Unsettled);
        Assert.Equal(0, cursor.Held);
    }

    [SkippableFact]
    public async Task Records_that_were_accepted_never_come_again_when_the_leader_is_killed_under_load()
    {
        await CreateAsync(Records);
        var leader = await LeaderAsync(1);
        var survivor = Cluster.Running.First(broker => broker != leader);
        using (var first = await ConnectAsync(survivor, "m0"))
            await first.JoinAsync();
        var log = new DeliveryLog();
        using var stop = new CancellationTokenSource();
        Task[] members = [.. Enumerable.Range(0, 3).Select(number => RunAsync($"m{number}", survivor, log, stop.Token))];
        await Wait.UntilAsync(() => log.Accepted >= Records / 4, "a quarter is accepted");
        await Cluster.KillAsync(leader);
        // An acceptance without an answer may be in force: its record need not come again.
        await Wait.UntilAsync(async () =>
        {
            foreach (var ended in members.Where(static member => member.IsCompleted))
                await ended; // A member that ends before it is told to has failed.
            return await IsDoneAsync(survivor);
        }, "every record is settled", () => StateAsync(survivor), TimeSpan.FromMinutes(3));
        await stop.CancelAsync();
        await Task.WhenAll(members);
        Assert.Empty(log.Problems);
        Assert.Equal(Records, log.Delivered);
    }

    private async Task CreateAsync(int records)
    {
        foreach (var broker in Cluster.Running)
            _ports[broker] = Cluster.Get<IEnumerable<IGateway>>(broker).Single(static gateway => gateway.Name == "kafka").EndPoint;
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 3));
        await Cluster.UntilInSyncAsync("orders");
        Assert.Equal(default, await Cluster.Broker(1).Groups.SendAsync(new AlterShareGroup("g")
        {
            Configs = [new ShareGroupSetting("share.auto.offset.reset", "earliest"),
                new ShareGroupSetting("share.delivery.count.limit", "100")],
        }));
        for (var first = 0; first < records; first += 10)
        {
            var values = Enumerable.Range(first, 10).Select(value => $"{value}").ToArray();
            Assert.Equal(ErrorCode.None, (await Cluster.Broker(1).ProduceAsync(Orders, TestBatches.Of(values), Acks.All)).Error);
        }
    }

    private async Task<int> LeaderAsync(int asked) => (await Cluster.Broker(asked).DescribeTopicAsync("orders")).Partitions[0].Leader;

    private async Task<bool> IsDoneAsync(int asked)
    {
        try
        {
            return await Cluster.Broker(asked).Queues.DescribeShareAsync(Orders, "g") is { Floor: >= Records, Unsettled: 0 };
        }
        catch (BrokerException)
        {
            return false; // The next leader is not there yet.
        }
    }

    private async Task<string> StateAsync(int asked)
    {
        var partition = (await Cluster.Broker(asked).DescribeTopicAsync("orders")).Partitions[0];
        return $"{partition}; {await Cluster.Broker(asked).Queues.DescribeShareAsync(Orders, "g")}";
    }

    private async Task<ShareWire> ConnectAsync(int broker, string member)
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(_ports[broker]);
        return new ShareWire(new WireClient(client), Cluster.ImageOf(Cluster.Running.First()).FindServed("orders")!.TopicId, member);
    }

    // Opens the session, and fetches until the leader serves.
    private async Task<IReadOnlyList<(long First, long Last, int Deliveries)>> AcquireAsync(ShareWire member, int maxRecords)
    {
        IReadOnlyList<(long, long, int)> acquired = [];
        _epoch = 0;
        await Wait.UntilAsync(async () =>
            (acquired = ShareWire.Acquired(await member.FetchAsync(_epoch++, maxRecords: maxRecords, maxBytes: 16 << 20,
                maxWait: 200))).Count > 0, "records are acquired");
        return acquired;
    }

    // A member: it accepts most records, releases some, and goes to the next leader when its connection breaks.
    private async Task RunAsync(string member, int asked, DeliveryLog log, CancellationToken stop)
    {
        var random = new Random(member[^1]);
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var leader = await LeaderAsync(asked);
                if (leader < 0)
                    continue; // Its leader was declared dead, and none is elected yet.
                using var wire = await ConnectAsync(leader, member);
                for (var epoch = 0; !stop.IsCancellationRequested; epoch += 2)
                {
                    var fetched = await wire.FetchAsync(epoch, maxRecords: 7, maxWait: 100);
                    if (ShareWire.Of("ErrorCode", fetched).Any(static error => error != 0))
                        break;
                    var acquired = ShareWire.Acquired(fetched);
                    log.Take(acquired);
                    if (acquired.Count == 0)
                    {
                        epoch--;
                        continue;
                    }
                    var type = random.Next(5) == 0 ? ShareWire.Release : ShareWire.Accept;
                    var answer = await wire.AcknowledgeAsync(epoch + 1, new WireAck(0,
                        [.. acquired.Select(run => (run.First, run.Last, new[] { type }))]));
                    if (ShareWire.Of("ErrorCode", answer).Any(static error => error != 0))
                        break;
                    log.Answer(acquired, type == ShareWire.Accept);
                }
            }
            catch (Exception away) when (away is IOException or SocketException or BrokerException)
            {
                // Its leader is lost: the next round finds another.
            }
            finally
            {
                await Task.Delay(20, CancellationToken.None);
            }
        }
    }

    /// <summary>What members were given, and what was answered to them.</summary>
    private sealed class DeliveryLog
    {
        private readonly Lock _lock = new();
        private readonly HashSet<long> _delivered = [];
        private readonly HashSet<long> _accepted = [];
        // By offset, the deliveries of a record that was released and answered.
        private readonly Dictionary<long, int> _released = [];

        public ConcurrentBag<string> Problems { get; } = [];

        public int Accepted
        {
            get
            {
                lock (_lock)
                    return _accepted.Count;
            }
        }

        public int Delivered
        {
            get
            {
                lock (_lock)
                    return _delivered.Count;
            }
        }

        public void Take(IReadOnlyList<(long First, long Last, int Deliveries)> acquired) => Each(acquired, (offset, deliveries) =>
        {
            _delivered.Add(offset);
            if (_accepted.Contains(offset))
                Problems.Add($"{offset} was accepted, and came again");
            if (_released.TryGetValue(offset, out var before) && deliveries <= before)
                Problems.Add($"{offset} was delivered {before} times, and then for the {deliveries}. time");
        });

        public void Answer(IReadOnlyList<(long First, long Last, int Deliveries)> acquired, bool isAccepted) =>
            Each(acquired, (offset, deliveries) =>
            {
                if (isAccepted)
                    _accepted.Add(offset);
                else
                    _released[offset] = deliveries;
            });

        private void Each(IReadOnlyList<(long First, long Last, int Deliveries)> acquired, Action<long, int> act)
        {
            lock (_lock)
            {
                foreach (var (first, last, deliveries) in acquired)
                {
                    for (var offset = first; offset <= last; offset++)
                        act(offset, deliveries);
                }
            }
        }
    }
}
