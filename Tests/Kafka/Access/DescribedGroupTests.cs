using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Access;

/// <summary>A group is told only to a client that may describe all of its topics.</summary>
public sealed class DescribedGroupTests
{
    [Theory]
    [InlineData((short)69)]
    [InlineData((short)77)]
    public async Task Group_of_a_hidden_topic_is_not_described(short key)
    {
        var rule = new SinglePermission { Permission = (ResourceType.Group, AccessOperation.Describe) };
        await using var harness = await GatewayHarness.StartAsync(rule);
        var answer = await AskAsync(harness, key);
        Assert.Contains($"ErrorCode: {(short)ErrorCode.TopicAuthorizationFailed}\n", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("orders", answer, StringComparison.Ordinal);

        await using var open = await GatewayHarness.StartAsync();
        Assert.Contains("orders", await AskAsync(open, key), StringComparison.Ordinal);
    }

    private static async Task<string> AskAsync(GatewayHarness harness, short key)
    {
        var version = ApiTable.All.Single(api => (short)api.Key == key).MaxVersion;
        var frame = new MessageEncoder(new SampleValues(key, version, harness.Orders)).Request(Schema.Request(key), version, 1, "client");
        return MessageText.OfResponse(Schema.Response(key), version, (await harness.AnswerAsync(frame))!, 1);
    }
}
