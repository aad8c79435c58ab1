using System.Diagnostics.CodeAnalysis;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Each record is counted once, on the broker that serves the client's request.</summary>
public sealed class ClientTrafficTests : IAsyncLifetime
{
    private static readonly TopicPartition Orders = new("orders", 0);
    private readonly TempDirectory _data = new();
    private readonly AccessMeter _meter = new();
    private TestSilo _silo = null!;
    private Guid _topicId;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, configure: options => options with { Meter = _meter });
        _topicId = (await _silo.Outside.CreateTopicAsync(new NewTopic("orders"))).TopicId;
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Records_of_an_Orleans_client_are_counted_once()
    {
        await ProduceAsync(_silo.Outside, "a", "b");
        AssertCounts(_meter, recordsIn: 2, recordsOut: 0);
        using var fetched = await _silo.Outside.FetchAsync(new FetchRequest(Orders, 0));
        AssertCounts(_meter, recordsIn: 2, recordsOut: 2);
        var grain = _silo.Client.GetGrain<IPartitionGrain>(GrainKeys.Partition(_topicId, 0));
        Assert.Equal(ErrorCode.None, (await grain.AppendAsync(TestBatches.Of("c"), Acks.All)).Error);
        AssertCounts(_meter, recordsIn: 3, recordsOut: 2);
    }

    [Fact]
    public async Task Records_of_code_in_the_silo_are_counted_once()
    {
        await ProduceAsync(_silo.Inside, "a");
        // Its grain has been activated by now, so that this one goes to the engine directly.
        await ProduceAsync(_silo.Inside, "b");
        using var fetched = await _silo.Inside.FetchAsync(new FetchRequest(Orders, 0));
        AssertCounts(_meter, recordsIn: 2, recordsOut: 2);
    }

    [Fact]
    public async Task Records_that_a_broker_forwards_are_counted_there_and_not_at_the_leader()
    {
        var meter = new AccessMeter();
        var other = new GrainBroker(_silo.Client, new LeadsNothing());
        var session = new BrokerAccess(other, meter: meter).Open(BrokerSession.InProcess);
        await ProduceAsync(session.Broker, "a", "b");
        using var fetched = await session.Broker.FetchAsync(new FetchRequest(Orders, 0));
        AssertCounts(meter, recordsIn: 2, recordsOut: 2);
        AssertCounts(_meter, recordsIn: 0, recordsOut: 0);
    }

    [Fact]
    public async Task Commits_are_counted_once_whichever_way_they_come()
    {
        await CommitAsync(_silo.Outside);
        Assert.Equal(1, _meter.Commits.Stored);
        await CommitAsync(_silo.Inside);
        Assert.Equal(2, _meter.Commits.Stored);
    }

    private static async Task ProduceAsync(IBroker broker, params string[] values) =>
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, TestBatches.Of(values), Acks.All)).Error);

    private static async Task CommitAsync(IBroker broker)
    {
        var committed = await broker.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        });
        Assert.Equal(ErrorCode.None, committed.Partitions.Single().Error);
    }

    private static void AssertCounts(AccessMeter meter, long recordsIn, long recordsOut)
    {
        var counts = meter.Topics.Of("orders");
        Assert.Equal((recordsIn, recordsOut), (counts.RecordsIn, counts.RecordsOut));
    }

    private sealed class LeadsNothing : ILocalPartitions
    {
        public IReadOnlyCollection<Partition> Held => [];

        public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found)
        {
            found = null;
            return false;
        }
    }
}
