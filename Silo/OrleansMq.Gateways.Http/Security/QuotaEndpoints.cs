using OrleansMq.Client;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Http.Security;

/// <summary><c>/api/quotas</c>: what users, clients and addresses may use, and do use.</summary>
internal static class QuotaEndpoints
{
    private const string Path = "/api/quotas";
    private const int MaxChanges = 1_000;
    private const string Example = """{"changes": [{"user": "alice", "limits": {"producer_byte_rate": 1048576}}]}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet(Path, http => ListAsync(http, api));
        routes.MapGet(Path + "/usage", http => ListUsageAsync(http, api));
        routes.MapPost(Path, http => AlterAsync(http, api));
    }

    private static Task ListAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        return JsonBodies.WriteAsync(http, [.. api.AccessOf(http).QuotaAdministration.List(QuotaFilter.All).Select(QuotaBody.Of)],
            JsonBodies.QuotaAnswers.IReadOnlyListQuotaBody);
    }

    private static Task ListUsageAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        return JsonBodies.WriteAsync(http, [.. api.AccessOf(http).QuotaAdministration.ListUsage().Select(QuotaUsageBody.Of)],
            JsonBodies.QuotaAnswers.IReadOnlyListQuotaUsageBody);
    }

    private static async Task AlterAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Quotas.AlterQuotasBody, Example);
        if (body.Changes.Count > MaxChanges)
            throw new RequestException($"The request has {body.Changes.Count} changes; allowed are {MaxChanges}.");
        await api.AccessOf(http).QuotaAdministration.AlterAsync([.. JsonBodies.Present(body.Changes, "changes").Select(ChangeOf)],
            http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static QuotaChange ChangeOf(QuotaChangeBody change) => new(new QuotaEntity(change.User, change.ClientId, change.Ip),
        change.Limits.ToDictionary(static one => QuotaKeys.TryParse(one.Key, out var key) ? key
            : throw new RequestException($"There is no quota '{one.Key}'; allowed are "
                + $"{string.Join(", ", QuotaKeys.All.Select(QuotaKeys.Name))}."), static one => one.Value));
}
