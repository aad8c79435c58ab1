using OrleansMq.Client;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/dead-letters</c>: which topics hold dead letters, where they came from, and why.</summary>
internal static class DeadLetterEndpoints
{
    private const string Path = "/api/dead-letters";
    private const string MaxRead = "maxRead";
    private const string Limit = "limit";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet(Path, http => ListAsync(http, Of(http, api)));
        routes.MapGet(Path + "/{topic}", http => DescribeAsync(http, Of(http, api)));
        routes.MapGet(Path + "/{topic}/records", http => ReadAsync(http, Of(http, api)));
    }

    private static IDeadLetterAdmin Of(HttpContext http, ApiServices api) => new Admin(api.BrokerOf(http)).DeadLetters;

    private static async Task ListAsync(HttpContext http, IDeadLetterAdmin letters)
    {
        var query = new QueryValues(http, MaxRead);
        await JsonBodies.WriteAsync(http, await letters.ListAsync(MaxReadOf(query), http.RequestAborted),
            JsonBodies.Answers.IReadOnlyListDeadLetterTopic);
    }

    private static async Task DescribeAsync(HttpContext http, IDeadLetterAdmin letters)
    {
        var query = new QueryValues(http, MaxRead);
        await JsonBodies.WriteAsync(http, await letters.DescribeAsync(RouteValues.Topic(http), MaxReadOf(query), http.RequestAborted),
            JsonBodies.Answers.DeadLetterTopic);
    }

    private static async Task ReadAsync(HttpContext http, IDeadLetterAdmin letters)
    {
        var query = new QueryValues(http, Limit, MaxRead, "source", "group");
        var page = await letters.ReadAsync(RouteValues.Topic(http), new DeadLetterQuery
        {
            MaxLetters = (int)query.Number(Limit, 100, 1, 10_000),
            MaxRead = MaxReadOf(query),
            SourceTopic = query.Text("source"),
            GroupId = query.Text("group"),
        }, http.RequestAborted);
        await JsonBodies.WriteAsync(http, page, JsonBodies.Answers.DeadLetterPage);
    }

    private static int MaxReadOf(QueryValues query) => (int)query.Number(MaxRead, 10_000, 1, 1_000_000);
}
