using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>The log writes from the memory of a request's frame, so no request ends before its appends have.</summary>
public sealed class ProduceFrameTests
{
    [Fact]
    public async Task Request_whose_second_partition_fails_to_open_ends_after_the_append_to_the_first()
    {
        await using var harness = await GatewayHarness.StartAsync(engine: static broker => new BrokerWithoutOffsets(broker),
            local: static broker => new AllButOne(broker, new TopicPartition("orders", 1)));
        var burst = new AppendBurst();
        var request = new ProduceRequest(null, -1, [new ProduceTopic("orders", Guid.Empty,
            [new ProducePartition(0, TestBatches.Of("c")), new ProducePartition(1, TestBatches.Of("d"))])]);
        var api = ApiTable.All.OfType<ProduceApi>().Single();

        var decoded = new DecodedRequest(DecodeOutcome.Decoded, api, (short)api.Key, 9, 1, "client", request, null, 0);
        var answer = harness.AnswerAsync(decoded, burst);
        var endedBefore = answer.IsCompleted;
        burst.Run();

        await Assert.ThrowsAsync<NotSupportedException>(() => answer);
        Assert.False(endedBefore, "the request ended before its append to partition 0");
        Assert.Equal(3, (await harness.Broker.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);
    }

    private sealed class BrokerWithoutOffsets(IBroker inner) : ForwardingBroker(inner)
    {
        public override ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
            CancellationToken cancellationToken = default) => throw new NotSupportedException();
    }

    private sealed class AllButOne(ILocalPartitions all, TopicPartition missing) : ILocalPartitions
    {
        public IReadOnlyCollection<Partition> Held => all.Held;

        public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found)
        {
            found = null;
            return partition != missing && all.TryGet(partition, out found);
        }
    }
}
