using System.Globalization;
using System.Net.Http.Json;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Schedules over HTTP.</summary>
internal sealed class HttpSchedules(HttpBroker broker) : ISchedules
{
    private static ScheduleJson Json => ScheduleJson.Default;

    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        // The id is made here: a request that is repeated is the same one.
        var body = new CreateScheduleBody(schedule.At, schedule.Id ?? Guid.NewGuid().ToString("N"), schedule.Partition,
            Base64(schedule.Key), Base64(schedule.Value), [.. schedule.Headers.Select(static header =>
                new ScheduleHeaderBody(Convert.ToBase64String(header.Key.Span), Base64(header.Value)))], schedule.Cron, schedule.TimeZone);
        return (await broker.AskAsync(HttpMethod.Post, $"api/schedules/{Uri.EscapeDataString(schedule.Topic)}?encoding=base64",
            () => JsonContent.Create(body, Json.CreateScheduleBody), Json.ScheduleDocument, cancellationToken).ConfigureAwait(false))
            .ToDescription();
    }

    /// <inheritdoc/>
    public async ValueTask<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        (await broker.AskAsync(HttpMethod.Delete, PathOf(topic, id), null, Json.CancelledSchedule, cancellationToken)
            .ConfigureAwait(false)).Cancelled;

    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        (await broker.LookForAsync(HttpMethod.Get, PathOf(topic, id), Json.ScheduleDocument, cancellationToken).ConfigureAwait(false))
            ?.ToDescription();

    /// <inheritdoc/>
    public async ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        var path = string.Create(CultureInfo.InvariantCulture, $"api/schedules?max={query.MaxCount}")
            + (query.Topic is null ? "" : "&topic=" + Uri.EscapeDataString(query.Topic))
            + (query.After is null ? "" : "&after=" + Uri.EscapeDataString(query.After));
        var page = await broker.AskAsync(HttpMethod.Get, path, null, Json.SchedulePageBody, cancellationToken).ConfigureAwait(false);
        return new SchedulePage([.. page.Schedules.Select(static schedule => schedule.ToDescription())], page.Next);
    }

    // In a path the names "." and ".." always mean something else.
    private static string PathOf(string topic, string id) => id is not (null or "" or "." or "..")
        ? $"api/schedules/{Uri.EscapeDataString(topic)}/{Uri.EscapeDataString(id)}"
        : throw new BrokerException(ErrorCode.InvalidRequest,
            $"The schedule's id is '{id}'; over HTTP it is not empty, '.' or '..'.");

    private static string? Base64(ReadOnlyMemory<byte>? bytes) => bytes is { } known ? Convert.ToBase64String(known.Span) : null;
}
