using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http;

/// <summary><c>.../offsets</c> and <c>.../delete-records</c>: looks up offsets, and moves the log start offset.</summary>
internal static class OffsetEndpoints
{
    private const string DeleteExample = """{"beforeOffset": 1000}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/topics/{topic}/partitions/{partition}/offsets", http => FindAsync(http, api));
        routes.MapPost("/api/topics/{topic}/partitions/{partition}/delete-records", http => DeleteRecordsAsync(http, api.BrokerOf(http)));
    }

    private static async Task FindAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "at", "isolation");
        var partition = RouteValues.Partition(http);
        var at = query.Text("at") ?? "latest";
        if (!HttpContract.TryParseOffsetSpec(at, out var spec))
            throw QueryValues.Bad("at", at, "earliest, latest, latest-proven, max-timestamp or milliseconds since 1970");
        spec = spec with { Isolation = query.Isolation() };
        var found = await api.BrokerOf(http).FindOffsetAsync(partition, spec, http.RequestAborted);
        if (found.Error == ErrorCode.None)
            await JsonBodies.WriteAsync(http, new OffsetResponse(found.Offset, found.Timestamp, found.LeaderEpoch),
                JsonBodies.Answers.OffsetResponse);
        else
            await Problems.WriteAsync(http, api, found.Error, found.Message);
    }

    private static async Task DeleteRecordsAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        var partition = RouteValues.Partition(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.DeleteRecords, DeleteExample);
        if (body.BeforeOffset < -1)
            throw new BrokerException(ErrorCode.OffsetOutOfRange,
                $"beforeOffset is {body.BeforeOffset}; expected an offset from 0, or -1 for everything up to the high watermark.");
        var start = await broker.DeleteRecordsAsync(partition, body.BeforeOffset, http.RequestAborted);
        await JsonBodies.WriteAsync(http, new DeleteRecordsResponse(start), JsonBodies.Answers.DeleteRecordsResponse);
    }
}
