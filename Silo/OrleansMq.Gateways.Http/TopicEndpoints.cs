using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/topics</c>: create, list, describe, alter, delete.</summary>
internal static class TopicEndpoints
{
    private const string CreateExample = """{"partitions": 3, "replicationFactor": 1, "configs": {"retention.ms": "86400000"}}""";
    private const string AlterExample = """{"partitions": 6, "configs": {"retention.ms": "86400000", "cleanup.policy": null}}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/topics", http => ListAsync(http, api.BrokerOf(http)));
        routes.MapPut("/api/topics/{topic}", http => CreateAsync(http, api.BrokerOf(http)));
        routes.MapGet("/api/topics/{topic}", http => DescribeAsync(http, api.BrokerOf(http)));
        routes.MapPatch("/api/topics/{topic}", http => AlterAsync(http, api.BrokerOf(http)));
        routes.MapDelete("/api/topics/{topic}", http => DeleteAsync(http, api.BrokerOf(http)));
    }

    private static async Task ListAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await broker.ListTopicsAsync(http.RequestAborted), JsonBodies.Answers.IReadOnlyListTopicListing);
    }

    private static async Task CreateAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        var topic = RouteValues.Topic(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.CreateTopic, CreateExample) ?? new CreateTopicBody();
        RefuseNulls(body.Configs);
        var created = await broker.CreateTopicAsync(
            new NewTopic(topic, body.Partitions ?? -1, body.ReplicationFactor ?? -1, body.Configs)
            {
                AllowFewerReplicas = body.AllowFewerReplicas ?? false,
            },
            http.RequestAborted);
        http.Response.Headers.Location = $"/api/topics/{Uri.EscapeDataString(topic)}";
        await JsonBodies.WriteAsync(http, created, JsonBodies.Answers.TopicDescription, StatusCodes.Status201Created);
    }

    private static async Task DescribeAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await broker.DescribeTopicAsync(RouteValues.Topic(http), http.RequestAborted),
            JsonBodies.Answers.TopicDescription);
    }

    private static async Task AlterAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        var topic = RouteValues.Topic(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.AlterTopic, AlterExample);
        if (body is not { Partitions: not null } and not { Configs.Count: > 0 })
            throw new RequestException($"The body asks for no change; expected JSON such as {AlterExample}.");
        if (body.Partitions is { } wanted)
            await RefuseFewerPartitionsAsync(broker, topic, wanted, http.RequestAborted);
        // Configuration first: it is refused more often, and then nothing has changed.
        TopicDescription? altered = null;
        if (body.Configs is { Count: > 0 } configs)
            altered = await broker.AlterTopicAsync(topic, configs, http.RequestAborted);
        if (body.Partitions is { } total)
            altered = await broker.AddPartitionsAsync(topic, total, http.RequestAborted);
        await JsonBodies.WriteAsync(http, altered!, JsonBodies.Answers.TopicDescription);
    }

    private static async Task DeleteAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        await broker.DeleteTopicAsync(RouteValues.Topic(http), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task RefuseFewerPartitionsAsync(IBroker broker, string topic, int wanted, CancellationToken cancellationToken)
    {
        var now = await broker.GetTopicAsync(topic, cancellationToken);
        if (wanted <= now.Partitions)
            throw new BrokerException(ErrorCode.InvalidPartitions,
                $"partitions: topic '{topic}' has {now.Partitions}, and the number can only grow; give the new total, above "
                + $"{now.Partitions}.");
    }

    private static void RefuseNulls(IReadOnlyDictionary<string, string>? configs)
    {
        foreach (var (key, value) in configs ?? new Dictionary<string, string>())
        {
            if (value is null)
                throw new BrokerException(ErrorCode.InvalidConfig, $"configs: '{key}' is null; leave it out for the default.");
        }
    }
}
