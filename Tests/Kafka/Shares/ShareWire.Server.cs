using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Shares;

internal sealed partial class ShareWire
{
    /// <summary>Connects a member to a server of one broker.</summary>
    public static async Task<ShareWire> OpenAsync(KafkaServer server, string member = "m") => new(await server.ConnectAsync(),
        server.Broker.Metadata.Image.FindServed("orders")!.TopicId, member);
}
