using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Microsoft.AspNetCore.Routing;
using OrleansMq.Api;
using OrleansMq.Client.Http;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>Every endpoint of the HTTP API, by a client that may do nothing: none reaches the engine.</summary>
public sealed class DeniedEndpointsTests : IAsyncLifetime
{
    private const string Topic = nameof(ErrorCode.TopicAuthorizationFailed);
    private const string Group = nameof(ErrorCode.GroupAuthorizationFailed);
    private const string Cluster = nameof(ErrorCode.ClusterAuthorizationFailed);

    // Open to every client.
    private static readonly string[] Open = ["GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json"];

    // Answer with what the client may see: nothing.
    private static readonly string[] Filtered = ["GET /api/topics", "GET /api/groups"];

    private static readonly Endpoint[] Refused =
    [
        new("GET /api/cluster", Cluster),
        new("PATCH /api/cluster", Cluster, """{"autoRebalance": true}"""),
        new("GET /api/cluster/reassignments", Cluster),
        new("POST /api/cluster/rebalance/plan", Cluster),
        new("GET /api/cluster/rebalance", Cluster),
        new("POST /api/cluster/rebalance", Cluster, """{"planId": "plan"}"""),
        new("DELETE /api/cluster/rebalance", Cluster),
        new("POST /api/brokers/{broker}/drain", Cluster),
        new("DELETE /api/brokers/{broker}/drain", Cluster),
        new("DELETE /api/brokers/{broker}", Cluster),
        new("POST /api/partitions/{topic}/{partition}/reassign", Cluster, """{"replicas": [0]}"""),
        new("DELETE /api/partitions/{topic}/{partition}/reassign", Cluster),
        new("POST /api/leaders/elect", Cluster, """{"type": "preferred"}"""),
        new("POST /api/producers", Cluster),
        new("PUT /api/topics/{topic}", Topic, "{}"),
        new("GET /api/topics/{topic}", Topic),
        new("PATCH /api/topics/{topic}", Topic, """{"partitions": 9}"""),
        new("DELETE /api/topics/{topic}", Topic),
        new("POST /api/topics/{topic}/records", Topic, """{"value": "b"}"""),
        new("GET /api/topics/{topic}/partitions/{partition}/records", Topic),
        new("POST /api/topics/{topic}/partitions/{partition}/batches", Topic) { Batch = TestBatches.Of("b") },
        new("GET /api/topics/{topic}/partitions/{partition}/batches", Topic, Query: "?offset=0"),
        new("GET /api/topics/{topic}/partitions/{partition}/offsets", Topic),
        new("POST /api/topics/{topic}/partitions/{partition}/delete-records", Topic, """{"beforeOffset": -1}"""),
        new("GET /api/groups/{group}", Group),
        new("DELETE /api/groups/{group}", Group),
        new("GET /api/groups/{group}/coordinator", Group),
        new("GET /api/groups/{group}/offsets", Group),
        new("GET /api/groups/{group}/lag", Group),
        new("POST /api/groups/{group}/reset", Group, """{"target": {"kind": "Earliest"}, "topics": ["orders"], "execute": true}"""),
        // Answers of the group protocols carry their error in the body.
        new("POST /api/groups/join", Group, """{"groupId": "g"}""") { Status = 200 },
        new("POST /api/groups/sync", Group, """{"groupId": "g", "generationId": 1, "memberId": "m"}""") { Status = 200 },
        new("POST /api/groups/heartbeat", Group, """{"groupId": "g", "generationId": 1, "memberId": "m"}""") { Status = 200 },
        new("POST /api/groups/leave", Group, """{"groupId": "g", "members": [{"memberId": "m"}]}""") { Status = 200 },
        new("POST /api/groups/consumer-heartbeat", Group, """{"groupId": "g", "memberId": "m", "memberEpoch": 0}""") { Status = 200 },
        new("POST /api/groups/commit-offsets", Group,
            """{"groupId": "g", "offsets": [{"topic": "orders", "partition": 0, "offset": {"offset": 1}}]}""") { Status = 200 },
        new("POST /api/groups/fetch-offsets", Group, """{"groupId": "g"}""") { Status = 200 },
        new("POST /api/groups/delete-offsets", Group,
            """{"groupId": "g", "partitions": [{"topic": "orders", "partition": 0}]}""") { Status = 200 },
    ];

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
    public void Every_endpoint_is_in_the_table() => Assert.Equal(
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
    public async Task Denied_list_is_empty(string route) => Assert.Equal("[]", await _broker.Http.GetStringAsync(route.Split(' ')[1]));

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

    private sealed record Endpoint(string Route, string Error, string? Body = null, string Query = "")
    {
        public int Status { get; init; } = 403;

        public byte[]? Batch { get; init; }

        public HttpRequestMessage ToRequest()
        {
            var parts = Route.Split(' ');
            var path = parts[1].Replace("{topic}", "orders").Replace("{partition}", "0").Replace("{broker}", "0").Replace("{group}", "g");
            var request = new HttpRequestMessage(new HttpMethod(parts[0]), path + Query);
            if (Batch is not null)
            {
                request.Content = new ByteArrayContent(Batch);
                request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(HttpContract.RecordBatchMediaType);
            }
            else if (Body is not null)
            {
                request.Content = new StringContent(Body, Encoding.UTF8, "application/json");
            }
            return request;
        }
    }
}
