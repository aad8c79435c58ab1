using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Gateways.Http;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>Every endpoint of the HTTP API, by a client that may do nothing: none reaches the engine. The requests are the examples of
/// <c>openapi.json</c>, which has every endpoint (<see cref="Http.ApiTests"/>): a new one is tried without a change here.</summary>
public sealed class DeniedEndpointsTests : IAsyncLifetime
{
    // Open to every client.
    private static readonly string[] Open = ["GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json"];

    // Answer with what the client may see: nothing.
    private static readonly string[] Filtered = ["GET /api/topics", "GET /api/groups", "GET /api/dead-letters",
        "GET /api/transactions"];

    private static readonly IReadOnlyList<Endpoint> Refused = [.. Described().Where(static endpoint =>
        !Open.Contains(endpoint.Route) && !Filtered.Contains(endpoint.Route))];

    private readonly List<string> _calls = [];
    private readonly SwitchedAuthorizer _authorizer = new();
    private RunningBroker _broker = null!;

    public static TheoryData<string> Names => [.. Refused.Select(static endpoint => endpoint.Route)];

    public static TheoryData<string> Lists => [.. Filtered];

    public async Task InitializeAsync()
    {
        _broker = new RunningBroker { Authorizer = _authorizer, Engine = broker => CallRecorder.Of(broker, _calls) };
        await _broker.InitializeAsync();
        await _broker.Script.CreateTopicAsync(new NewTopic("orders"));
        await _broker.Script.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a"), Acks.All);
        await _broker.Script.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        });
        _authorizer.Denies = true;
        _calls.Clear();
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public void Every_endpoint_is_tried() => Assert.Equal(
        _broker.Server.Routes.SelectMany(static route => route.Metadata.OfType<HttpMethodMetadata>().Single().HttpMethods
            .Select(method => $"{method} {route.RoutePattern.RawText}")).Order(StringComparer.Ordinal),
        Refused.Select(static endpoint => endpoint.Route).Concat(Open).Concat(Filtered).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Denied_request_does_not_reach_the_engine(string route)
    {
        var endpoint = Refused.Single(endpoint => endpoint.Route == route);
        using var response = await _broker.Http.SendAsync(endpoint.ToRequest());
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(endpoint.Status == (int)response.StatusCode, $"{response.StatusCode}: {text}");
        Assert.Contains($"\"{endpoint.Error}\"", text, StringComparison.Ordinal);
        Assert.Empty(_calls);
    }

    [Theory]
    [MemberData(nameof(Lists))]
    public async Task Denied_list_is_empty(string route) => Assert.Contains(await _broker.Http.GetStringAsync(route.Split(' ')[1]),
        (string[])["[]"]);

    [Theory]
    [InlineData("/healthz")]
    [InlineData("/readyz")]
    [InlineData("/metrics")]
    [InlineData("/openapi.json")]
    public async Task Open_endpoint_is_answered(string path)
    {
        using var response = await _broker.Http.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    private static IEnumerable<Endpoint> Described()
    {
        using var document = JsonDocument.Parse(OpenApiEndpoint.Open());
        return [.. from path in document.RootElement.GetProperty("paths").EnumerateObject()
                   from operation in path.Value.EnumerateObject()
                   where operation.Name != "parameters"
                   select new Endpoint($"{operation.Name.ToUpperInvariant()} {path.Name}", QueryOf(operation.Value),
                       BodyOf(operation.Value))];
    }

    // The required parameters.
    private static string QueryOf(JsonElement operation) =>
        !operation.TryGetProperty("parameters", out var parameters) ? ""
        : string.Concat(parameters.EnumerateArray()
            .Where(static parameter => parameter.TryGetProperty("required", out var required) && required.GetBoolean())
            .Select(static (parameter, index) =>
                $"{(index == 0 ? '?' : '&')}{parameter.GetProperty("name").GetString()}={parameter.GetProperty("example")}"));

    private static HttpContent? BodyOf(JsonElement operation)
    {
        if (!operation.TryGetProperty("requestBody", out var body))
            return null;
        var content = body.GetProperty("content").EnumerateObject().Single();
        return content.Name == HttpContract.RecordBatchMediaType
            ? new ByteArrayContent(TestBatches.Of("b")) { Headers = { ContentType = MediaTypeHeaderValue.Parse(content.Name) } }
            : new StringContent(content.Value.GetProperty("example").ToString(), Encoding.UTF8, content.Name);
    }

    private sealed record Endpoint(string Route, string Query, HttpContent? Body)
    {
        // The path names the resource.
        public ErrorCode Error => IsOfTopics ? ErrorCode.TopicAuthorizationFailed
            : IsOfGroups ? ErrorCode.GroupAuthorizationFailed
            : IsOfTransactions ? ErrorCode.TransactionalIdAuthorizationFailed : ErrorCode.ClusterAuthorizationFailed;

        // Answers of the protocols of groups and transactions carry their error in the body.
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

        public HttpRequestMessage ToRequest() => new(new HttpMethod(Route.Split(' ')[0]), Path.Replace("{topic}", "orders")
            .Replace("{partition}", "0").Replace("{broker}", "0").Replace("{group}", "g").Replace("{queue}", "q")
            .Replace("{consumer}", Guid.Empty.ToString()).Replace("{schedule}", "x").Replace("{transaction}", "t")
            + Query) { Content = Body };
    }
}
