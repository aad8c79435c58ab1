using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>The leader refuses or corrects a client with an older or newer view of the partition (KIP-320, KIP-595). The log: offsets 0 and
/// 1 in an unrecorded epoch, 2 in epoch 3, 3 in epoch 5.</summary>
public sealed class EpochTests : IAsyncLifetime
{
    private const short Fetch = 1, ListOffsets = 2, OffsetForLeaderEpoch = 23;

    private GatewayHarness _harness = null!;

    public async Task InitializeAsync()
    {
        _harness = await GatewayHarness.StartAsync();
        Assert.True(_harness.Broker.TryGet(new TopicPartition("orders", 0), out var partition));
        foreach (var (epoch, offset) in new[] { (3, 2), (5, 3) })
        {
            partition.BeginLeaderEpoch(epoch);
            Assert.Equal(offset,
                (await _harness.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("c"), Acks.All)).BaseOffset);
        }
    }

    public async Task DisposeAsync() => await _harness.DisposeAsync();

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(5, 0)]
    [InlineData(4, 74)]
    [InlineData(6, 75)]
    public async Task Leader_epoch_of_the_client_is_checked(int known, int error)
    {
        Assert.Contains($"ErrorCode: {error}\n", (await AskAsync(Fetch, 12, ("CurrentLeaderEpoch", known))).Split("PartitionIndex")[1],
            StringComparison.Ordinal);
        Assert.Contains($"ErrorCode: {error}\n", await AskAsync(ListOffsets, 6, ("CurrentLeaderEpoch", known)), StringComparison.Ordinal);
        Assert.Contains($"ErrorCode: {error}\n", await AskAsync(OffsetForLeaderEpoch, 4, ("CurrentLeaderEpoch", known), ("LeaderEpoch", 3)),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 0, 2)]
    [InlineData(3, 3, 3)]
    [InlineData(4, 3, 3)]
    [InlineData(5, 5, 4)]
    [InlineData(6, -1, -1)]
    public async Task End_of_an_epoch_is_found(int epoch, int found, int end) =>
        Assert.Contains($"LeaderEpoch: {found}\n      EndOffset: {end}\n", await AskAsync(OffsetForLeaderEpoch, 4, ("LeaderEpoch", epoch)),
            StringComparison.Ordinal);

    [Theory]
    [InlineData(0, 2, null)]
    [InlineData(3, 3, null)]
    [InlineData(5, 4, null)]
    [InlineData(3, 4, "Epoch: 3\n        EndOffset: 3\n")]
    [InlineData(4, 3, "Epoch: 3\n        EndOffset: 3\n")]
    public async Task Reader_with_a_diverged_last_epoch_is_told_the_divergence(int lastEpoch, int offset, string? diverging)
    {
        var text = await AskAsync(Fetch, 12, ("LastFetchedEpoch", lastEpoch), ("FetchOffset", offset));
        if (diverging is null)
            Assert.DoesNotContain("DivergingEpoch", text, StringComparison.Ordinal);
        else
            Assert.Contains($"Records: 0 bytes\n      DivergingEpoch\n        {diverging}", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unknown_fetch_session_is_not_found()
    {
        Assert.Contains("ErrorCode: 70\n", await AskAsync(Fetch, 12, ("SessionId", 5), ("SessionEpoch", 1)), StringComparison.Ordinal);
        Assert.Contains("SessionId: 0\n", await AskAsync(Fetch, 12, ("SessionEpoch", 0)), StringComparison.Ordinal);
    }

    private async Task<string> AskAsync(short key, short version, params (string Field, object? Value)[] values) =>
        MessageText.OfResponse(Schema.Response(key), version, (await _harness.AnswerAsync(Frames.Of(key, version, 1, values)))!, 1);
}
