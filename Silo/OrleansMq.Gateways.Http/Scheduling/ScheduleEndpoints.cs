using System.Text;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http.Scheduling;

/// <summary><c>/api/schedules</c>: create, find, list, cancel.</summary>
internal static class ScheduleEndpoints
{
    private const string Example = """{"at": "2026-12-31T23:59:59Z", "key": "customer-7", "value": "reminder"}""";
    private const int DefaultPage = 100;
    private const int MostPage = 1_000;

    // A record of the most bytes, of which each may be escaped.
    private const int MostBodyBytes = 8 << 20;

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/schedules", http => ListAsync(http, api.BrokerOf(http).Schedules));
        routes.MapPost("/api/schedules/{topic}", http => CreateAsync(http, api.BrokerOf(http).Schedules));
        routes.MapGet("/api/schedules/{topic}/{schedule}", http => FindAsync(http, api.BrokerOf(http).Schedules));
        routes.MapDelete("/api/schedules/{topic}/{schedule}", http => CancelAsync(http, api.BrokerOf(http).Schedules));
    }

    private static async Task ListAsync(HttpContext http, ISchedules schedules)
    {
        var query = new QueryValues(http, "topic", "max", "after");
        var page = await schedules.ListAsync(new ScheduleQuery
        {
            Topic = query.Text("topic"),
            MaxCount = (int)query.Number("max", DefaultPage, 1, MostPage),
            After = query.Text("after"),
        }, http.RequestAborted);
        await JsonBodies.WriteAsync(http, new SchedulePageBody([.. page.Schedules.Select(ScheduleDocument.Of)], page.Next),
            JsonBodies.ScheduleAnswers.SchedulePageBody);
    }

    private static async Task CreateAsync(HttpContext http, ISchedules schedules)
    {
        var isBase64 = new QueryValues(http, "encoding").IsBase64();
        RequestBody.Limit(http, MostBodyBytes);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Schedules.CreateScheduleBody, Example);
        if (body.At == default && body.Cron is null)
            throw new RequestException("'at' is missing: the time of the record, unless 'cron' says when it repeats; expected JSON such as "
                + $"{Example}.");
        var created = await schedules.CreateAsync(new NewSchedule(RouteValues.Topic(http))
        {
            Id = body.Id,
            At = body.At,
            Cron = body.Cron,
            TimeZone = body.TimeZone,
            Partition = body.Partition,
            Key = Optional("key", body.Key, isBase64),
            Value = Optional("value", body.Value, isBase64),
            Headers = [.. (body.Headers ?? []).Select(header => new RecordHeader(Bytes("headers.name", header.Name, isBase64),
                Optional("headers.value", header.Value, isBase64)))],
        }, http.RequestAborted);
        await JsonBodies.WriteAsync(http, ScheduleDocument.Of(created), JsonBodies.ScheduleAnswers.ScheduleDocument);
    }

    private static async Task FindAsync(HttpContext http, ISchedules schedules)
    {
        _ = new QueryValues(http);
        if (await schedules.FindAsync(RouteValues.Topic(http), RouteValues.Schedule(http), http.RequestAborted) is { } found)
            await JsonBodies.WriteAsync(http, ScheduleDocument.Of(found), JsonBodies.ScheduleAnswers.ScheduleDocument);
        else
            http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task CancelAsync(HttpContext http, ISchedules schedules)
    {
        _ = new QueryValues(http);
        var isCancelled = await schedules.CancelAsync(RouteValues.Topic(http), RouteValues.Schedule(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, new CancelledSchedule(isCancelled), JsonBodies.ScheduleAnswers.CancelledSchedule);
    }

    private static ReadOnlyMemory<byte>? Optional(string field, string? text, bool isBase64) =>
        text is null ? null : (ReadOnlyMemory<byte>?)Bytes(field, text, isBase64);

    private static byte[] Bytes(string field, string text, bool isBase64)
    {
        if (!isBase64)
            return Encoding.UTF8.GetBytes(text);
        try
        {
            return Convert.FromBase64String(text);
        }
        catch (FormatException)
        {
            throw new RequestException($"'{field}' is no base64, which 'encoding' says.");
        }
    }
}
