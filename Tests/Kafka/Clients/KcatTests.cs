using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>kcat, from Debian: librdkafka as a command line.</summary>
public sealed class KcatTests : IAsyncLifetime
{
    private KafkaServer _server = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableTheory]
    [InlineData("none")]
    [InlineData("gzip")]
    [InlineData("snappy")]
    [InlineData("lz4")]
    [InlineData("zstd")]
    public async Task Kcat_reads_what_it_wrote_in_every_codec(string codec)
    {
        var lines = Lines(1000);
        await KcatAsync(["-P", "-t", "made", "-z", codec, "-X", "linger.ms=500"], lines);
        Assert.Equal(lines, await KcatAsync(["-C", "-t", "made", "-o", "beginning", "-e", "-q"]));
        await AssertCodecAsync("made", codec);
    }

    [SkippableFact]
    public async Task Keys_headers_and_nulls_round_trip()
    {
        await KcatAsync(["-P", "-t", "made", "-K", "=", "-Z", "-H", "trace=7", "-H", "empty="], "one=1\ntwo=\n");
        Assert.Equal("one|1|trace=7,empty=\ntwo|-1|trace=7,empty=\n",
            await KcatAsync(["-C", "-t", "made", "-o", "beginning", "-e", "-q", "-f", "%k|%S|%h\n"]));
    }

    [SkippableFact]
    public async Task Idempotent_producer_writes_a_large_record()
    {
        var record = new string('x', 900_000);
        await KcatAsync(["-P", "-t", "made", "-X", "enable.idempotence=true"], record);
        Assert.Equal("900000\n", await KcatAsync(["-C", "-t", "made", "-o", "beginning", "-e", "-q", "-f", "%S\n"]));
    }

    [SkippableFact]
    public async Task Offsets_are_found_by_time_and_from_the_end()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("timed"));
        await _server.Broker.ProduceAsync(new TopicPartition("timed", 0), TestBatches.Of("a", "b", "c"), Acks.All);
        var second = TestBatches.FirstTimestamp + 1000;
        Assert.Equal("b\nc\n", await KcatAsync(["-C", "-t", "timed", "-o", $"s@{second}", "-e", "-q"]));
        Assert.Equal("c\n", await KcatAsync(["-C", "-t", "timed", "-o", "-1", "-e", "-q"]));
        Assert.Contains("timed [0] offset 1", await KcatAsync(["-Q", "-t", $"timed:0:{second}"]), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Group_reads_every_partition_once_and_resumes_at_its_commit()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("shared", 4));
        await KcatAsync(["-P", "-t", "shared"], Lines(400));
        var first = await KcatAsync(["-G", "readers", "-c", "400", "-q", "-X", "auto.offset.reset=earliest", "shared"]);
        Assert.Equal(Lines(400).Split('\n').Order(), first.Split('\n').Order());
        await KcatAsync(["-P", "-t", "shared"], "more\n");
        Assert.Equal("more\n", await KcatAsync(["-G", "readers", "-c", "1", "-q", "-X", "auto.offset.reset=earliest", "shared"]));
    }

    private async Task AssertCodecAsync(string topic, string codec)
    {
        using var read = await _server.Broker.FetchAsync(new FetchRequest(new TopicPartition(topic, 0), 0));
        // A batch of a record or two may be larger when compressed; librdkafka then sends it uncompressed.
        Assert.Contains(codec, BatchCodecs.Of(read.Records.Span), StringComparer.OrdinalIgnoreCase);
    }

    private Task<string> KcatAsync(string[] arguments, string input = "") =>
        ClientProgram.RunAsync(ClientProgram.Require("kcat"), ["-b", _server.Address, .. arguments], input);

    private static string Lines(int count) => string.Concat(Enumerable.Range(0, count).Select(static number => $"{number}\n"));
}
