using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http.Queueing;

/// <summary><c>/api/queues</c> for operators: list, describe, create, reset, purge, peek, delete.</summary>
internal static class QueueEndpoints
{
    /// <summary>The path of a queue.</summary>
    public const string Path = "/api/queues/{topic}/{partition}/{queue}";

    private const string CreateExample = """{"start": "earliest", "options": {"maxFailures": 5, "retryDelayMs": 1000}}""";
    private const string OptionsExample = """{"maxFailures": 5, "retryDelayMs": 1000, "hasRecordTimes": true}""";
    private const string ResetExample = """{"start": "earliest"}""";

    // The number of records that a peek returns by default, and at most.
    private const int DefaultPeek = 10;
    private const int MostPeek = 1_000;

    // A peek holds the records that it reads.
    private static readonly TimeSpan TurnWait = TimeSpan.FromSeconds(15);

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/queues/{topic}", http => ListTopicAsync(http, api.BrokerOf(http)));
        routes.MapGet("/api/queues/{topic}/{partition}", http => ListAsync(http, api.BrokerOf(http).Queues));
        routes.MapPut(Path, http => CreateAsync(http, api.BrokerOf(http).Queues));
        routes.MapGet(Path, http => DescribeAsync(http, api.BrokerOf(http).Queues));
        routes.MapDelete(Path, http => DeleteAsync(http, api.BrokerOf(http).Queues));
        routes.MapPut(Path + "/options", http => AlterAsync(http, api.BrokerOf(http).Queues));
        routes.MapPost(Path + "/reset", http => ResetAsync(http, api.BrokerOf(http).Queues));
        routes.MapPost(Path + "/purge", http => PurgeAsync(http, api.BrokerOf(http).Queues));
        routes.MapGet(Path + "/handlers", http => HandlersAsync(http, api.BrokerOf(http).Queues));
        routes.MapGet(Path + "/records", http => PeekAsync(http, api));
    }

    private static async Task ListTopicAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        var topic = await broker.GetTopicAsync(RouteValues.Topic(http), http.RequestAborted);
        var queues = new List<QueueDocument>();
        for (var number = 0; number < topic.Partitions; number++)
        {
            var partition = new TopicPartition(topic.Name, number);
            queues.AddRange((await broker.Queues.ListAsync(partition, http.RequestAborted))
                .Select(queue => QueueDocument.Of(partition, queue)));
        }
        await JsonBodies.WriteAsync(http, queues, JsonBodies.QueueAnswers.IReadOnlyListQueueDocument);
    }

    private static async Task ListAsync(HttpContext http, IQueues queues)
    {
        _ = new QueryValues(http);
        var partition = RouteValues.Partition(http);
        var listed = await queues.ListAsync(partition, http.RequestAborted);
        await JsonBodies.WriteAsync(http, [.. listed.Select(queue => QueueDocument.Of(partition, queue))],
            JsonBodies.QueueAnswers.IReadOnlyListQueueDocument);
    }

    private static async Task CreateAsync(HttpContext http, IQueues queues)
    {
        _ = new QueryValues(http);
        var partition = RouteValues.Partition(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.Queues.CreateQueueBody, CreateExample) ?? new CreateQueueBody();
        var created = await queues.CreateAsync(partition, new NewQueue(RouteValues.Queue(http))
        {
            Start = StartOf(body.Start),
            Options = (body.Options ?? new QueueOptionsBody()).ToOptions(),
        }, http.RequestAborted);
        await WriteAsync(http, partition, created);
    }

    private static async Task DescribeAsync(HttpContext http, IQueues queues)
    {
        _ = new QueryValues(http);
        var partition = RouteValues.Partition(http);
        await WriteAsync(http, partition, await queues.DescribeAsync(partition, RouteValues.Queue(http), http.RequestAborted));
    }

    private static async Task AlterAsync(HttpContext http, IQueues queues)
    {
        var id = new QueryValues(http, "id").Id("id");
        var partition = RouteValues.Partition(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Queues.QueueOptionsBody, OptionsExample);
        await WriteAsync(http, partition,
            await queues.AlterAsync(partition, RouteValues.Queue(http), body.ToOptions(), id, http.RequestAborted));
    }

    private static async Task DeleteAsync(HttpContext http, IQueues queues)
    {
        var id = new QueryValues(http, "id").Id("id");
        await queues.DeleteAsync(RouteValues.Partition(http), RouteValues.Queue(http), id, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ResetAsync(HttpContext http, IQueues queues)
    {
        var id = new QueryValues(http, "id").Id("id");
        var partition = RouteValues.Partition(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Queues.ResetQueueBody, ResetExample);
        await WriteAsync(http, partition,
            await queues.ResetAsync(partition, RouteValues.Queue(http), StartOf(body.Start), id, http.RequestAborted));
    }

    private static async Task PurgeAsync(HttpContext http, IQueues queues)
    {
        var query = new QueryValues(http, "below");
        long? below = query.Text("below") is null ? null : query.Number("below", 0, 0, long.MaxValue);
        await queues.PurgeAsync(RouteValues.Partition(http), RouteValues.Queue(http), below, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task HandlersAsync(HttpContext http, IQueues queues)
    {
        var query = new QueryValues(http, "max");
        var max = (int)query.Number("max", DefaultPeek, 1, MostPeek);
        var partition = RouteValues.Partition(http);
        var handlers = await queues.ListHandlersAsync(partition, RouteValues.Queue(http), max, http.RequestAborted);
        await JsonBodies.WriteAsync(http, [.. handlers.Select(handler => QueueHandlerDocument.Of(partition, handler))],
            JsonBodies.QueueAnswers.IReadOnlyListQueueHandlerDocument);
    }

    private static async Task PeekAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "max", "encoding");
        var (max, isBase64) = ((int)query.Number("max", DefaultPeek, 1, MostPeek), query.IsBase64());
        var (partition, name) = (RouteValues.Partition(http), RouteValues.Queue(http));
        var access = api.AccessOf(http);
        var records = await access.Peeks.TryPeekAsync(TurnWait,
            async token => QueueRecordWriter.WithinBounds(await access.Broker.Queues.PeekAsync(partition, name, max, token)),
            http.RequestAborted) ?? throw new RequestException(StatusCodes.Status503ServiceUnavailable, ErrorCode.RequestTimedOut,
                "The broker peeks into queues for other clients, one at a time. Retry.");
        QueueRecordWriter.Demand(records, isBase64);
        using var writer = new QueueRecordWriter(http, api.DecompressedReads, api.TimeProvider, isBase64);
        writer.Take(records);
        await writer.WriteListAsync(records);
    }

    private static Task WriteAsync(HttpContext http, TopicPartition partition, QueueDescription queue) =>
        JsonBodies.WriteAsync(http, QueueDocument.Of(partition, queue), JsonBodies.QueueAnswers.QueueDocument);

    private static OffsetSpec StartOf(string text) =>
        HttpContract.TryParseQueueStart(text, out var start)
            ? start
            : throw new RequestException($"'start' is '{text}'; expected earliest, latest, milliseconds since 1970, or an offset such as "
                + "offset:1234.");
}
