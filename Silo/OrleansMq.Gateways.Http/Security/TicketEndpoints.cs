using OrleansMq.Security;

namespace OrleansMq.Gateways.Http.Security;

/// <summary><c>/api/ticket-keys</c>: the keys that the tickets of grain calls are made with. No answer shows one.</summary>
internal static class TicketEndpoints
{
    private const string Path = "/api/ticket-keys";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost(Path, http => ReplaceAsync(http, api.TicketsOf(http)));
        routes.MapDelete(Path + "/old", http => DropAsync(http, api.TicketsOf(http)));
    }

    private static async Task ReplaceAsync(HttpContext http, SessionTickets tickets)
    {
        _ = new QueryValues(http);
        await tickets.ReplaceKeyAsync(http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task DropAsync(HttpContext http, SessionTickets tickets)
    {
        _ = new QueryValues(http);
        await tickets.DropOldKeysAsync(http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
