using System.Text;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A batch refused because of some of its records: from version 8 on the answer names them (KIP-467), so that the client can
/// resend the others.</summary>
public sealed class RecordErrorTests : IAsyncLifetime
{
    private const short Produce = 0;

    private GatewayHarness _harness = null!;

    public async Task InitializeAsync()
    {
        _harness = await GatewayHarness.StartAsync();
        await _harness.AnswerAsync(Frames.Of(33, 2, 1, ("ResourceName", "orders"), ("Name", "cleanup.policy"), ("Value", "compact")));
    }

    public async Task DisposeAsync() => await _harness.DisposeAsync();

    [Fact]
    public async Task Records_without_a_key_are_named_for_a_compacted_topic()
    {
        var answer = await AskAsync(8, Batch("a", null, "b", null));
        Assert.Contains("ErrorCode: 87\n", answer, StringComparison.Ordinal);
        Assert.Contains("RecordErrors[0]\n        BatchIndex: 1\n        BatchIndexErrorMessage: null\n      RecordErrors[1]\n        "
            + "BatchIndex: 3\n", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("RecordErrors[2]", answer, StringComparison.Ordinal);
        Assert.Contains("2 records of the batch have no key, the first is number 1", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_record_is_named_when_the_whole_batch_is_invalid()
    {
        var broken = Batch("a");
        broken[^1] ^= 1;
        var answer = await AskAsync(8, broken);
        Assert.Contains("ErrorCode: 2\n", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("BatchIndex", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Older_clients_get_only_the_error_code() =>
        Assert.Contains("ErrorCode: 87\n", await AskAsync(7, Batch(key: null)), StringComparison.Ordinal);

    private static byte[] Batch(params string?[] keys)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var key in keys)
            builder.Add(TestBatches.FirstTimestamp, Encoding.UTF8.GetBytes(key ?? ""), key is not null, "value"u8, true);
        return builder.Build().ToArray();
    }

    private static byte[] Batch(string? key) => Batch([key]);

    private async Task<string> AskAsync(short version, byte[] records) =>
        MessageText.OfResponse(Schema.Response(Produce), version,
            (await _harness.AnswerAsync(Frames.Of(Produce, version, 1, ("Records", records))))!, 1);
}
