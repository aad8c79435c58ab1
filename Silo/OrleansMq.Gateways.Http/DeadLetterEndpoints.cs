using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OrleansMq.Client;
using OrleansMq.Gateways.Http.Lines;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/dead-letters</c>: which topics hold dead letters, where they came from, and why.</summary>
internal static class DeadLetterEndpoints
{
    private const string Path = "/api/dead-letters";
    private const string MaxRead = "maxRead";
    private const string MaxReadBytes = "maxReadBytes";
    private const string Limit = "limit";

    // Reading decompresses batches and holds texts that clients have chosen: the broker bears one request at a time.
    private static readonly TimeSpan TurnWait = TimeSpan.FromSeconds(15);

    // Of a client that takes its answer, which may be megabytes.
    private static readonly MinDataRate LeastRate = new(HeldBatch.BytesPerSecond, HeldBatch.Grace);

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet(Path, http => ListAsync(http, api));
        routes.MapGet(Path + "/{topic}", http => DescribeAsync(http, api));
        routes.MapGet(Path + "/{topic}/records", http => ReadAsync(http, api));
    }

    private static Task ListAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, MaxRead, MaxReadBytes);
        var (maxRead, maxReadBytes) = (MaxReadOf(query), MaxReadBytesOf(query));
        return AnswerAsync(http, api, letters => letters.ListAsync(maxRead, maxReadBytes, http.RequestAborted),
            JsonBodies.Answers.IReadOnlyListDeadLetterTopic);
    }

    private static Task DescribeAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, MaxRead, MaxReadBytes);
        var (maxRead, maxReadBytes) = (MaxReadOf(query), MaxReadBytesOf(query));
        return AnswerAsync(http, api,
            letters => letters.DescribeAsync(RouteValues.Topic(http), maxRead, maxReadBytes, http.RequestAborted),
            JsonBodies.Answers.DeadLetterTopic);
    }

    private static Task ReadAsync(HttpContext http, ApiServices api)
    {
        var values = new QueryValues(http, Limit, MaxRead, MaxReadBytes, "source", "group");
        var query = new DeadLetterQuery
        {
            MaxLetters = (int)values.Number(Limit, 100, 1, 10_000),
            MaxRead = MaxReadOf(values),
            MaxReadBytes = MaxReadBytesOf(values),
            SourceTopic = values.Text("source"),
            GroupId = values.Text("group"),
        };
        return AnswerAsync(http, api, letters => letters.ReadAsync(RouteValues.Topic(http), query, http.RequestAborted),
            JsonBodies.Answers.DeadLetterPage);
    }

    private static async Task AnswerAsync<T>(HttpContext http, ApiServices api, Func<IDeadLetterAdmin, Task<T>> read, JsonTypeInfo<T> type)
    {
        var letters = new Admin(api.BrokerOf(http)).DeadLetters;
        if (!await api.DeadLetterTurn.WaitAsync(TurnWait, http.RequestAborted))
            throw new RequestException(StatusCodes.Status503ServiceUnavailable, ErrorCode.RequestTimedOut,
                "The broker reads dead letters for other requests, one at a time. Retry, or read them with omq dead-letter.");
        T answer;
        try
        {
            answer = await read(letters);
        }
        finally
        {
            api.DeadLetterTurn.Release();
        }
        if (http.Features.Get<IHttpMinResponseDataRateFeature>() is { } rate)
            rate.MinDataRate = LeastRate;
        await JsonBodies.WriteAsync(http, answer, type);
    }

    private static int MaxReadOf(QueryValues query) => (int)query.Number(MaxRead, 10_000, 1, 1_000_000);

    private static long MaxReadBytesOf(QueryValues query) => query.Number(MaxReadBytes, 256 << 20, 1, 16L << 30);
}
