using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Every served request in every version: its bytes, made from the schema, and the answer's bytes and fields, read by the schema.
/// The files in <c>Golden</c> hold the expectation; OMQ_UPDATE_GOLDEN=1 rewrites them.</summary>
public sealed class GoldenTests
{
    private const int CorrelationId = 0x01020304;

    public static TheoryData<string> Names => [.. ApiTable.All.Select(static api => api.Key.ToString())];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Every_version_is_read_and_answered_byte_for_byte(string name)
    {
        var api = ApiTable.All.Single(api => api.Key.ToString() == name);
        var text = new StringBuilder();
        for (var version = api.MinDecodedVersion; version <= api.MaxVersion; version++)
            text.Append(await ShowAsync(api, version));
        var path = Path.Combine(Folder(), $"{(short)api.Key:00}-{name}.txt");
        if (Environment.GetEnvironmentVariable("OMQ_UPDATE_GOLDEN") == "1")
            await File.WriteAllTextAsync(path, text.ToString());
        Assert.True(File.Exists(path), $"There is no {path}: run the test with OMQ_UPDATE_GOLDEN=1, and read what it writes.");
        Assert.Equal(await File.ReadAllTextAsync(path), text.ToString());
    }

    [Fact]
    public void Served_versions_are_within_the_protocol()
    {
        foreach (var api in ApiTable.All)
        {
            var request = Schema.Request((short)api.Key);
            Assert.True(request.Versions.Contains(api.MinDecodedVersion) && request.Versions.Contains(api.MaxVersion), $"{api.Key}");
            for (var version = api.MinDecodedVersion; version <= api.MaxVersion; version++)
                Assert.True(request.Flexible.Contains(version) == api.IsFlexible(version), $"{api.Key} version {version}");
        }
    }

    private static async Task<string> ShowAsync(KafkaApi api, short version)
    {
        await using var harness = await GatewayHarness.StartAsync();
        var masks = new List<(string From, string To)> { (Hex(harness.Orders), Hex(new Guid("0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"))) };
        var (key, orders) = ((short)api.Key, harness.Orders);
        var request = new MessageEncoder(new SampleValues(key, version, orders)).Request(Schema.Request(key), version, CorrelationId,
            "client");
        var response = await harness.AnswerAsync(request);
        Assert.NotNull(response);
        if (harness.Broker.Metadata.Image.FindServed("fresh") is { } fresh)
            masks.Add((Hex(fresh.TopicId), Hex(new Guid("0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b"))));
        var clusterId = Encoding.UTF8.GetBytes(harness.Broker.ClusterId);
        masks.Add((Convert.ToHexStringLower(clusterId),
            Convert.ToHexStringLower(Encoding.UTF8.GetBytes(new string('c', clusterId.Length)))));
        var (requestHex, responseHex) = (Mask(request, masks), Mask(response, masks));
        var fields = MessageText.OfResponse(Schema.Response(key), version, Convert.FromHexString(responseHex), CorrelationId);
        return string.Create(CultureInfo.InvariantCulture, $"version {version}\nrequest {requestHex}\nresponse {responseHex}\n{fields}\n");
    }

    private static string Mask(byte[] bytes, List<(string From, string To)> masks) =>
        masks.Aggregate(Convert.ToHexStringLower(bytes), static (hex, mask) => hex.Replace(mask.From, mask.To, StringComparison.Ordinal));

    private static string Hex(Guid id) => Convert.ToHexStringLower(id.ToByteArray(bigEndian: true));

    private static string Folder([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "Golden"));
}
