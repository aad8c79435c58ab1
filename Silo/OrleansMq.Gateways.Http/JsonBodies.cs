using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Access;
using OrleansMq.Client;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Gateways.Http;

/// <summary>JSON in and out of the administrative endpoints.</summary>
internal static class JsonBodies
{
    /// <summary>The shared contract for requests, parsed strictly: an unknown member is a typing error.</summary>
    private static readonly HttpJson Strict = new(StrictOptions());

    /// <summary>The shared contract for answers. It leaves quotes and non-ASCII text unescaped, since no answer is part of a
    /// page.</summary>
    public static HttpJson Answers { get; } = new(ReadableOptions());

    /// <summary>The same for groups.</summary>
    public static GroupJson GroupAnswers { get; } = new(ReadableOptions());

    /// <summary>The same for queues.</summary>
    public static QueueJson QueueAnswers { get; } = new(ReadableOptions());

    /// <summary>The same for schedules.</summary>
    public static ScheduleJson ScheduleAnswers { get; } = new(ReadableOptions());

    /// <summary>The same for transactions.</summary>
    public static TransactionJson TransactionAnswers { get; } = new(ReadableOptions());

    /// <summary>The same for users and rules.</summary>
    public static SecurityApiJson SecurityAnswers { get; } = new(ReadableOptions());

    /// <summary>The answers of <c>/api/quotas</c>.</summary>
    public static QuotaApiJson QuotaAnswers { get; } = new(ReadableOptions());

    /// <summary>The contract of <c>PUT /api/topics/{topic}</c>.</summary>
    public static JsonTypeInfo<CreateTopicBody> CreateTopic => Strict.CreateTopicBody;
    /// <summary>The contract of <c>PATCH /api/topics/{topic}</c>.</summary>
    public static JsonTypeInfo<AlterTopicBody> AlterTopic => Strict.AlterTopicBody;
    /// <summary>The contract of <c>PATCH /api/cluster</c>.</summary>
    public static JsonTypeInfo<AlterClusterBody> AlterCluster => Strict.AlterClusterBody;
    /// <summary>The contract of <c>POST .../reassign</c>.</summary>
    public static JsonTypeInfo<ReassignBody> Reassign => Strict.ReassignBody;
    /// <summary>The contract of <c>POST /api/leaders/elect</c>.</summary>
    public static JsonTypeInfo<ElectLeadersBody> ElectLeaders => Strict.ElectLeadersBody;
    /// <summary>The contract of <c>POST /api/cluster/rebalance</c>.</summary>
    public static JsonTypeInfo<ExecuteRebalanceBody> ExecuteRebalance => Strict.ExecuteRebalanceBody;
    /// <summary>The contract of <c>POST .../delete-records</c>.</summary>
    public static JsonTypeInfo<DeleteRecordsBody> DeleteRecords => Strict.DeleteRecordsBody;

    /// <summary>The contracts of <c>POST /api/groups/...</c>.</summary>
    public static GroupJson Groups { get; } = new(new JsonSerializerOptions(StrictOptions()) { RespectNullableAnnotations = true });

    /// <summary>The contracts of <c>/api/queues</c> and <c>/api/queue-consumers</c>.</summary>
    public static QueueJson Queues { get; } = new(new JsonSerializerOptions(StrictOptions()) { RespectNullableAnnotations = true });

    /// <summary>The contracts of <c>/api/schedules</c>.</summary>
    public static ScheduleJson Schedules { get; } = new(new JsonSerializerOptions(StrictOptions()) { RespectNullableAnnotations = true });

    /// <summary>The contracts of <c>/api/transactions</c>.</summary>
    public static TransactionJson Transactions { get; } =
        new(new JsonSerializerOptions(StrictOptions()) { RespectNullableAnnotations = true });

    /// <summary>The contracts of <c>/api/users</c> and <c>/api/acls</c>.</summary>
    public static SecurityApiJson Security { get; } = new(new JsonSerializerOptions(StrictOptions()) { RespectNullableAnnotations = true });

    /// <summary>The contract of <c>POST /api/quotas</c>.</summary>
    public static QuotaApiJson Quotas { get; } = new(new JsonSerializerOptions(StrictOptions()) { RespectNullableAnnotations = true });

    /// <summary>Reads the body, which must not be empty.</summary>
    /// <inheritdoc cref="ReadAsync"/>
    public static async Task<T> RequireAsync<T>(HttpContext http, JsonTypeInfo<T> type, string example) where T : class =>
        await ReadAsync(http, type, example) ?? throw new RequestException($"The body is empty; expected JSON such as {example}.");

    /// <summary>Reads the body; null if it is empty.</summary>
    /// <param name="http">The request.</param>
    /// <param name="type">The contract.</param>
    /// <param name="example">A valid body, for the error message.</param>
    /// <exception cref="RequestException">The body does not match the contract, or other requests have the memory for its
    /// objects.</exception>
    public static async Task<T?> ReadAsync<T>(HttpContext http, JsonTypeInfo<T> type, string example) where T : class
    {
        using var body = await SessionPace.ReceiveAsync(ReceiveAsync(http), http.Features.Get<SessionPace>());
        if (body.Memory.Span.Trim(" \t\r\n"u8).IsEmpty)
            return null;
        try
        {
            return JsonSerializer.Deserialize(body.Memory.Span, type)
                ?? throw new RequestException($"The body is null; expected JSON such as {example}.");
        }
        catch (JsonException e)
        {
            var where = e.Path is null or "$" ? $"at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}" : $"at {e.Path}";
            throw new RequestException($"The body is wrong {where}; expected JSON such as {example}.");
        }
    }

    /// <summary>Returns the entries of a field.</summary>
    /// <exception cref="RequestException">One is null.</exception>
    public static IReadOnlyList<T> Present<T>(IReadOnlyList<T> entries, string field) where T : class =>
        entries.All(static entry => entry is not null) ? entries
            : throw new RequestException($"An entry of '{field}' is null; leave it out.");

    /// <summary>Whether the body's objects have memory, so that the request should not wait.</summary>
    public static bool IsLarge(HttpContext http) => http.Features.Get<ParsedBodies.Place>() is not null;

    /// <summary>Returns the memory of the body's objects: what the request needs from now on is bounded otherwise, or small. Called before
    /// what may take long, such as a wait for other members of a group.</summary>
    public static void Release(HttpContext http) => http.Features.Get<ParsedBodies.Place>()?.Dispose();

    /// <summary>Answers with JSON. The body's objects are not needed any more: a client may take as long as it likes to read.</summary>
    public static Task WriteAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type, int status = StatusCodes.Status200OK)
    {
        Release(http);
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        return JsonSerializer.SerializeAsync(http.Response.BodyWriter, value, type, http.RequestAborted);
    }

    // The bytes, once there is memory for the objects.
    private static async ValueTask<RequestBody> ReceiveAsync(HttpContext http)
    {
        var body = await RequestBody.ReadAsync(http);
        if (body.Memory.Length < ParsedBodies.FreeBytes)
            return body;
        try
        {
            await TakeObjectsAsync(http, body.Memory.Length);
            return body;
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    // The endpoint uses the objects until it answers, or waits.
    private static async ValueTask TakeObjectsAsync(HttpContext http, int length)
    {
        var place = await ApiServices.Of(http).ParsedBodies.TryTakeAsync(length, http.RequestAborted)
            ?? throw new RequestException(StatusCodes.Status503ServiceUnavailable, ErrorCode.RequestTimedOut,
                $"Other requests with large bodies had all the memory for {ParsedBodies.MostWait.TotalSeconds:0} s. Retry in a moment, or "
                + "send less at once.");
        http.Features.Set(place);
        http.Response.RegisterForDispose(place);
    }

    private static JsonSerializerOptions StrictOptions() => new(JsonSerializerDefaults.Web)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        AllowDuplicateProperties = false,
        NumberHandling = JsonNumberHandling.Strict,
        RespectRequiredConstructorParameters = true,
    };

    private static JsonSerializerOptions ReadableOptions() =>
        new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}
