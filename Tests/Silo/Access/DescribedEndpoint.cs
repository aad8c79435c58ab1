using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Gateways.Http;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>An endpoint of the HTTP API with the request that is its example in <c>openapi.json</c>, which has every endpoint
/// (<see cref="Http.ApiTests"/>).</summary>
/// <param name="Route">Its method and path.</param>
/// <param name="Query">The required parameters.</param>
/// <param name="Body">Makes the body; null for none.</param>
internal sealed record DescribedEndpoint(string Route, string Query, Func<HttpContent>? Body)
{
    // Of every client.
    private static readonly string[] Open = ["GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json"];

    /// <summary>All endpoints.</summary>
    public static IReadOnlyList<DescribedEndpoint> All { get; } = [.. Described()];

    /// <summary>Whether every client may ask it.</summary>
    public bool IsOpen => Open.Contains(Route);

    /// <summary>How it refuses a client: its path names the resource.</summary>
    public ErrorCode Error => IsOfTopics ? ErrorCode.TopicAuthorizationFailed
        : IsOfGroups ? ErrorCode.GroupAuthorizationFailed
        : IsOfTransactions ? ErrorCode.TransactionalIdAuthorizationFailed : ErrorCode.ClusterAuthorizationFailed;

    /// <summary>The status of a refusal. Answers of the protocols of groups and transactions carry their error in the body.</summary>
    public int Status => (IsOfGroups || IsOfTransactions) && !Path.Contains('{', StringComparison.Ordinal) ? 200 : 403;

    private string Path => Route.Split(' ')[1];

    private bool IsOfTopics => Path.StartsWith("/api/topics/", StringComparison.Ordinal)
        || Path.StartsWith("/api/dead-letters/", StringComparison.Ordinal)
        || Path.StartsWith("/api/queue", StringComparison.Ordinal)
        || Path.StartsWith("/api/schedules/", StringComparison.Ordinal);

    // An operator aborts the transactions of others.
    private bool IsOfTransactions => Path.StartsWith("/api/transactions/", StringComparison.Ordinal)
        && !Path.EndsWith("/abort", StringComparison.Ordinal);

    private bool IsOfGroups => Path.StartsWith("/api/groups/", StringComparison.Ordinal);

    /// <summary>Makes the request.</summary>
    public HttpRequestMessage ToRequest() => new(new HttpMethod(Route.Split(' ')[0]), Path.Replace("{topic}", "orders")
        .Replace("{partition}", "0").Replace("{broker}", "0").Replace("{group}", "g").Replace("{queue}", "q")
        .Replace("{consumer}", Guid.Empty.ToString()).Replace("{schedule}", "x").Replace("{transaction}", "t")
        + Query) { Content = Body?.Invoke() };

    /// <summary>Returns the endpoint of a route.</summary>
    public static DescribedEndpoint Of(string route) => All.Single(endpoint => endpoint.Route == route);

    /// <summary>Makes what the examples are about.</summary>
    public static async Task PrepareAsync(RunningBroker broker)
    {
        await broker.Script.CreateTopicAsync(new NewTopic("orders"));
        await broker.Script.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a"), Acks.All);
        await broker.Script.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        });
        await broker.Script.CreateTopicAsync(new NewTopic("orders.dead-letter"));
        await broker.Script.ProduceAsync(new TopicPartition("orders.dead-letter", 0), TestBatches.Of("a"), Acks.All);
        var begun = await broker.Script.Transactions.SendAsync(new InitTransactions
        {
            TransactionalId = "t",
            Timeout = TimeSpan.FromMinutes(1),
        });
        Assert.Equal(ErrorCode.None, begun.Error);
    }

    private static IEnumerable<DescribedEndpoint> Described()
    {
        using var document = JsonDocument.Parse(OpenApiEndpoint.Open());
        return [.. from path in document.RootElement.GetProperty("paths").EnumerateObject()
                   from operation in path.Value.EnumerateObject()
                   where operation.Name != "parameters"
                   select new DescribedEndpoint($"{operation.Name.ToUpperInvariant()} {path.Name}", QueryOf(operation.Value),
                       BodyOf(operation.Value))];
    }

    // The required parameters.
    private static string QueryOf(JsonElement operation) =>
        !operation.TryGetProperty("parameters", out var parameters) ? ""
        : string.Concat(parameters.EnumerateArray()
            .Where(static parameter => parameter.TryGetProperty("required", out var required) && required.GetBoolean())
            .Select(static (parameter, index) =>
                $"{(index == 0 ? '?' : '&')}{parameter.GetProperty("name").GetString()}={parameter.GetProperty("example")}"));

    private static Func<HttpContent>? BodyOf(JsonElement operation)
    {
        if (!operation.TryGetProperty("requestBody", out var body))
            return null;
        var content = body.GetProperty("content").EnumerateObject().Single();
        var (type, example) = (content.Name, content.Value.TryGetProperty("example", out var text) ? text.ToString() : "");
        return type == HttpContract.RecordBatchMediaType
            ? () => new ByteArrayContent(TestBatches.Of("b")) { Headers = { ContentType = MediaTypeHeaderValue.Parse(type) } }
            : () => new StringContent(example, Encoding.UTF8, type);
    }
}
