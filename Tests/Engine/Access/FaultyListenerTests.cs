using System.Diagnostics.Metrics;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Listeners to a broker's metrics are code of the application.</summary>
public sealed class FaultyListenerTests
{
    [Fact]
    public async Task Commit_is_answered_whatever_a_listener_to_its_metric_throws()
    {
        var commits = new AccessMeter();
        using var meter = new Meter("faulty listeners");
        commits.AddTo(meter);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (ReferenceEquals(instrument.Meter, meter) && instrument.Name == "orleansmq.group.commit.duration")
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((_, _, _, _) => throw new NotSupportedException("a faulty listener"));
        listener.Start();
        await using var broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
            Meter = commits,
        });
        await broker.CreateTopicAsync(new NewTopic("orders", 1));
        var session = broker.Access.Open(BrokerSession.InProcess).Broker;
        var result = await session.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(0))],
        });
        Assert.Equal(ErrorCode.None, result.Partitions[0].Error);
        Assert.Equal(1, commits.Commits.Stored);
    }
}
