using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Kafka's clients on a topic that a queue consumes: its transitions stand between the records.</summary>
public sealed class TopicWithQueueTests : RecordsAmongOthersTests
{
    protected override IReadOnlyDictionary<string, string> Configs { get; } = new Dictionary<string, string>();

    protected override async Task<IReadOnlyList<(long Offset, string Value)>> WriteAsync(IBroker broker, TopicPartition partition) =>
        await QueueTraffic.WriteAsync(broker, partition, rounds: 40);
}
