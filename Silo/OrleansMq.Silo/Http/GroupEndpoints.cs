using OrleansMq.Client.Http;
using OrleansMq.Groups;

namespace OrleansMq.Silo.Http;

/// <summary><c>/api/groups</c> for operators: list, describe, delete, offsets.</summary>
internal static class GroupEndpoints
{
    private const string Path = "/api/groups/{group}";

    /// <summary>Maps them.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/groups", http => ListAsync(http, api.Gate.Broker.Groups));
        routes.MapGet(Path, http => DescribeAsync(http, api.Gate.Broker.Groups));
        routes.MapDelete(Path, http => DeleteAsync(http, api.Gate.Broker.Groups));
        routes.MapGet(Path + "/coordinator", http => FindCoordinatorAsync(http, api.Gate.Broker.Groups));
        routes.MapGet(Path + "/offsets", http => OffsetsAsync(http, api));
    }

    private static async Task ListAsync(HttpContext http, IGroupCoordinator groups)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await groups.ListGroupsAsync(http.RequestAborted), JsonBodies.GroupAnswers.IReadOnlyListGroupListing);
    }

    private static async Task DescribeAsync(HttpContext http, IGroupCoordinator groups)
    {
        _ = new QueryValues(http);
        var description = await groups.DescribeGroupAsync(RouteValues.Group(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, description, JsonBodies.GroupAnswers.GroupDescription);
    }

    private static async Task DeleteAsync(HttpContext http, IGroupCoordinator groups)
    {
        _ = new QueryValues(http);
        await groups.DeleteGroupAsync(RouteValues.Group(http), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task FindCoordinatorAsync(HttpContext http, IGroupCoordinator groups)
    {
        _ = new QueryValues(http);
        var broker = await groups.FindCoordinatorAsync(RouteValues.Group(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, new CoordinatorAnswer(broker), JsonBodies.GroupAnswers.CoordinatorAnswer);
    }

    private static async Task OffsetsAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var groups = api.Gate.Broker.Groups;
        var group = RouteValues.Group(http);
        // A group that is not there has no offsets either, but that is no answer to somebody who mistyped its name.
        _ = await groups.DescribeGroupAsync(group, http.RequestAborted);
        var offsets = await groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group }, http.RequestAborted);
        if (offsets.Error == ErrorCode.None)
            await JsonBodies.WriteAsync(http, offsets.Partitions, JsonBodies.GroupAnswers.IReadOnlyListFetchedOffset);
        else
            await Problems.WriteAsync(http, api, offsets.Error, offsets.Message);
    }
}
