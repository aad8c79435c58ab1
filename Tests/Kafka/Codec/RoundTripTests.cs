using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Everything the schema allows is read to its last byte, and answered in a form that the schema allows.</summary>
public sealed class RoundTripTests
{
    private const int Rounds = 40;

    [Fact]
    public async Task Any_request_version_is_read_to_its_end_and_answered_by_the_schema()
    {
        await using var harness = await GatewayHarness.StartAsync();
        harness.Abort(); // Cancels waits.
        foreach (var api in ApiTable.All)
        {
            for (var version = api.MinDecodedVersion; version <= api.MaxVersion; version++)
            {
                for (var seed = 0; seed < Rounds; seed++)
                    await RoundAsync(harness, api, version, seed);
            }
        }
        Assert.Empty(harness.Log.Lines);
    }

    private static async Task RoundAsync(GatewayHarness harness, KafkaApi api, short version, int seed)
    {
        var key = (short)api.Key;
        var frame = new MessageEncoder(new RandomValues(new Random((((key * 100) + version) * 1000) + seed))).Request(Schema.Request(key),
            version, seed, "client");
        var request = ApiTable.Decode(frame);
        var which = $"{api.Key} version {version} seed {seed}";
        Assert.True(request.Outcome == DecodeOutcome.Decoded, $"{which}: {request.Fault}");
        Assert.True(request.Unread == 0, $"{which}: {request.Unread} bytes were not read");
        Assert.Equal((seed, "client"), (request.CorrelationId, request.ClientId));
        byte[]? response;
        try
        {
            response = await harness.AnswerAsync(request);
        }
        catch (OperationCanceledException)
        {
            return; // Its wait was cancelled.
        }
        try
        {
            if (response is not null)
                MessageText.OfResponse(Schema.Response(key), version, response, seed);
        }
        catch (InvalidDataException fault)
        {
            Assert.Fail($"{which}: {fault.Message}");
        }
    }
}
