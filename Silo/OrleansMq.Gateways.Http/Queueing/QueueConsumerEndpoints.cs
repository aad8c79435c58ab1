using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Http.Queueing;

/// <summary>Consumers of queues: attach below the queue; receive, settle and detach below <c>/api/queue-consumers</c>.</summary>
internal static class QueueConsumerEndpoints
{
    private const string Path = "/api/queue-consumers/{topic}/{partition}/{consumer}";
    private const string AttachExample = """{"prefetch": 100, "lockDurationMs": 30000, "sessionTimeoutMs": 30000}""";
    private const string SettleExample =
        """{"settlements": [{"lock": {"queue": "...", "leaderEpoch": 0, "number": 1}, "first": 0, "last": 9, "action": "Accept"}]}""";

    private const int DefaultReceive = 100;
    private const int MostReceive = 10_000;

    /// <summary>The most settlements of a request, as <see cref="IQueues.SettleAsync"/> takes.</summary>
    public const int MostSettlements = 1_000;

    /// <summary>The most bytes of a settlement: 4 MiB.</summary>
    public const int MaxBodyBytes = 4 << 20;

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost(QueueEndpoints.Path + "/consumers", http => AttachAsync(http, api));
        routes.MapPost(Path + "/receive", http => ReceiveAsync(http, api));
        routes.MapPost(Path + "/settle", http => SettleAsync(http, api));
        routes.MapDelete(Path, http => DetachAsync(http, api));
    }

    private static async Task AttachAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var (partition, name) = (RouteValues.Partition(http), RouteValues.Queue(http));
        var body = await JsonBodies.ReadAsync(http, JsonBodies.Queues.AttachQueueBody, AttachExample) ?? new AttachQueueBody();
        var options = body.ToOptions();
        var queues = api.BrokerOf(http).Queues;
        using var place = api.QueueConsumers.Take(http.Connection.RemoteIpAddress?.ToString() ?? "");
        var consumer = await queues.AttachAsync(partition, name, options, http.RequestAborted);
        place.Use(consumer, partition, options.SessionTimeout);
        await JsonBodies.WriteAsync(http, new AttachedQueueConsumer(consumer), JsonBodies.QueueAnswers.AttachedQueueConsumer,
            StatusCodes.Status201Created);
    }

    private static async Task ReceiveAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "max", "waitMs", "encoding");
        var max = (int)query.Number("max", DefaultReceive, 1, MostReceive);
        var wait = TimeSpan.FromMilliseconds(query.Number("waitMs", 0, 0, BatchEndpoints.MaxWaitMs));
        var isBase64 = query.IsBase64();
        var (partition, consumer) = (RouteValues.Partition(http), RouteValues.Consumer(http));
        var access = api.AccessOf(http);
        var queues = access.Broker.Queues;
        // The consumer's quota may hold the call back.
        var held = access.PaceOf(QuotaKey.ConsumerByteRate) is { } pace ? pace.Most : TimeSpan.Zero;
        api.QueueConsumers.Heard(consumer, wait + held);
        // At the wait's end, or that of a broker that drains, nothing was received.
        var delivery = await LongPoll.AskAsync(http, api, ended => queues.ReceiveAsync(partition, consumer, max, wait, ended));
        using var writer = new QueueRecordWriter(http, api.DecompressedReads, api.TimeProvider, isBase64);
        try
        {
            QueueRecordWriter.Demand(delivery?.Records ?? [], isBase64);
            writer.Take(delivery?.Records ?? []);
            await writer.WriteAsync(delivery);
        }
        catch when (delivery is not null)
        {
            // The answer is not whole: its client cannot settle these records, so others receive them.
            await ReleaseAsync(queues, partition, consumer, delivery);
            throw;
        }
    }

    private static async Task SettleAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var (partition, consumer) = (RouteValues.Partition(http), RouteValues.Consumer(http));
        RequestBody.Limit(http, MaxBodyBytes);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Queues.SettleQueueBody, SettleExample);
        if (body.Settlements.Count > MostSettlements)
            throw new RequestException($"'settlements' has {body.Settlements.Count} entries; send at most {MostSettlements} at once.");
        if (body.Settlements.Any(static settlement => settlement is null))
            throw new RequestException("An entry of 'settlements' is null; leave it out.");
        api.QueueConsumers.Heard(consumer, TimeSpan.Zero);
        var errors = await api.BrokerOf(http).Queues.SettleAsync(partition, consumer,
            [.. body.Settlements.Select(static settlement => settlement.ToSettlement())], http.RequestAborted);
        await JsonBodies.WriteAsync(http, new SettledQueueBody(errors), JsonBodies.QueueAnswers.SettledQueueBody);
    }

    private static async Task DetachAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var (partition, consumer) = (RouteValues.Partition(http), RouteValues.Consumer(http));
        await api.BrokerOf(http).Queues.DetachAsync(partition, consumer, http.RequestAborted);
        api.QueueConsumers.Forget(consumer, partition);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ReleaseAsync(IQueues queues, TopicPartition partition, Guid consumer, QueueDelivery delivery)
    {
        try
        {
            foreach (var some in ReturnedRecords.Of(delivery).Chunk(MostSettlements))
                await queues.SettleAsync(partition, consumer, some, CancellationToken.None);
        }
        catch (BrokerException)
        {
            // The consumer is not attached any more, or the leader has changed: they are back already.
        }
    }
}
