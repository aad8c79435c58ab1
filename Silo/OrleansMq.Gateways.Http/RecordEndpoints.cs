using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Http.Lines;

namespace OrleansMq.Gateways.Http;

/// <summary><c>.../records</c>: records as lines of JSON, for people and for languages without a client library.</summary>
internal static class RecordEndpoints
{
    /// <summary>The number of records that a read returns by default.</summary>
    private const int DefaultMax = 1000;

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost("/api/topics/{topic}/records", http => ProduceAsync(http, api));
        routes.MapGet("/api/topics/{topic}/partitions/{partition}/records", http => ConsumeAsync(http, api));
    }

    private static async Task ProduceAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "acks", "compression", "encoding");
        var (acks, compression, base64) = (query.Acks(), query.Compression(), query.IsBase64());
        if (api.Codecs.WhyMissing(compression) is { } missing)
            throw new BrokerException(ErrorCode.UnsupportedCompressionType, $"compression: {missing}");
        var topic = RouteValues.Topic(http);
        var access = api.AccessOf(http);
        // Before a line takes memory. The client is told so again where it may not write any longer.
        access.Demand(AccessOperation.Write, ResourceType.Topic, topic);
        var broker = access.Broker;
        var shape = await api.TopicShapes.GetAsync(broker, api.Gate.Own, topic, api.TimeProvider, http.RequestAborted);
        await new ProduceStream(http, api, broker, topic, shape, new ProduceOptions(acks, compression, base64)).RunAsync();
    }

    private static async Task ConsumeAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "offset", "timestamp", "max", "waitMs", "isolation", "encoding");
        var partition = RouteValues.Partition(http);
        var max = query.Number("max", DefaultMax, 1, int.MaxValue);
        var wait = TimeSpan.FromMilliseconds(query.Number("waitMs", 0, 0, BatchEndpoints.MaxWaitMs));
        var (base64, isolation) = (query.IsBase64(), query.Isolation());
        var (start, found) = await FindStartAsync(query, partition, isolation, api.BrokerOf(http), http.RequestAborted);
        if (found.Error != ErrorCode.None)
            await Problems.WriteAsync(http, api, found.Error, found.Message);
        else
            await new ConsumeStream(http, api, partition, base64, isolation).RunAsync(start, max, wait);
    }

    private static async ValueTask<(long Start, OffsetResult Found)> FindStartAsync(QueryValues query, TopicPartition partition,
        IsolationLevel isolation, IBroker broker, CancellationToken cancellationToken)
    {
        var text = query.Text("offset");
        var timestamp = query.Number("timestamp", -1, 0, long.MaxValue);
        if (text is not null && timestamp >= 0)
            throw new RequestException("Query parameters 'offset' and 'timestamp' both say where to begin; give one of them.");
        if (timestamp < 0 && text is not (null or "earliest" or "latest"))
            return long.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture,
                out var offset)
                ? (offset, default)
                : throw QueryValues.Bad("offset", text, "earliest, latest or a whole number from 0");

        var spec = timestamp >= 0 ? OffsetSpec.AtOrAfter(timestamp) : text == "latest" ? OffsetSpec.Latest : OffsetSpec.Earliest;
        var found = await broker.FindOffsetAsync(partition, spec with { Isolation = isolation }, cancellationToken);
        if (found is { Error: ErrorCode.None, Offset: < 0 })
            // No record is that late yet: begin with the next one.
            found = await broker.FindOffsetAsync(partition, OffsetSpec.Latest with { Isolation = isolation }, cancellationToken);
        return (found.Offset, found);
    }
}
