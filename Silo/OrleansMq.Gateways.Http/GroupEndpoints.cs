using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Groups;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/groups</c> for operators: list, describe, delete, offsets, lag, the partitions of a share group, reset.</summary>
internal static class GroupEndpoints
{
    private const string Path = "/api/groups/{group}";
    private const string ResetExample = """{"target": {"kind": "Earliest"}, "topics": ["orders"], "execute": false}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/groups", http => ListAsync(http, api.BrokerOf(http).Groups));
        routes.MapGet(Path, http => DescribeAsync(http, api.BrokerOf(http).Groups));
        routes.MapDelete(Path, http => DeleteAsync(http, api.BrokerOf(http).Groups));
        routes.MapGet(Path + "/coordinator", http => FindCoordinatorAsync(http, api.BrokerOf(http).Groups));
        routes.MapGet(Path + "/offsets", http => OffsetsAsync(http, api));
        routes.MapGet(Path + "/lag", http => LagAsync(http, api));
        routes.MapGet(Path + "/share", http => ShareAsync(http, api.BrokerOf(http)));
        routes.MapPost(Path + "/reset", http => ResetAsync(http, api));
    }

    private static async Task ListAsync(HttpContext http, IGroupCoordinator groups)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await groups.ListGroupsAsync(http.RequestAborted),
            JsonBodies.GroupAnswers.IReadOnlyListGroupListing);
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
        var groups = api.BrokerOf(http).Groups;
        var group = RouteValues.Group(http);
        // A missing group has no offsets either, but an empty answer would hide a mistyped name.
        _ = await groups.DescribeGroupAsync(group, http.RequestAborted);
        var offsets = await groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group }, http.RequestAborted);
        if (offsets.Error == ErrorCode.None)
            await JsonBodies.WriteAsync(http, offsets.Partitions, JsonBodies.GroupAnswers.IReadOnlyListFetchedOffset);
        else
            await Problems.WriteAsync(http, api, offsets.Error, offsets.Message);
    }

    private static async Task LagAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var group = RouteValues.Group(http);
        var access = api.AccessOf(http);
        access.Demand(AccessOperation.Describe, ResourceType.Group, group);
        IReadOnlyList<PartitionLag> lag = [.. (await api.GroupLag.OfAsync(group, http.RequestAborted))
            .Where(one => access.Allows(AccessOperation.Describe, ResourceType.Topic, one.Partition.Topic))];
        await JsonBodies.WriteAsync(http, lag, JsonBodies.GroupAnswers.IReadOnlyListPartitionLag);
    }

    private static async Task ShareAsync(HttpContext http, IBroker broker)
    {
        _ = new QueryValues(http);
        var partitions = await new ShareProgress(broker).OfAsync(RouteValues.Group(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, partitions, JsonBodies.GroupAnswers.IReadOnlyListSharePartition);
    }

    private static async Task ResetAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        RequestBody.Limit(http, GroupMemberEndpoints.MaxBodyBytes);
        var body = await JsonBodies.RequireAsync(http, JsonBodies.Groups.ResetOffsetsBody, ResetExample);
        var reset = new OffsetReset(RouteValues.Group(http), body.Target, body.Topics, body.Partitions, body.Offsets is null
            ? null : OffsetsOf(body.Offsets));
        var resets = new GroupOffsetResets(api.BrokerOf(http), api.TimeProvider);
        var plan = body.Execute ? await resets.ExecuteAsync(reset, http.RequestAborted)
            : await resets.PlanAsync(reset, http.RequestAborted);
        await JsonBodies.WriteAsync(http, plan, JsonBodies.GroupAnswers.OffsetResetPlan);
    }

    private static Dictionary<TopicPartition, long> OffsetsOf(IReadOnlyList<OffsetToSet> offsets)
    {
        var byPartition = new Dictionary<TopicPartition, long>();
        foreach (var offset in offsets)
        {
            if (offset is null || !byPartition.TryAdd(new TopicPartition(offset.Topic, offset.Partition), offset.Offset))
                throw new RequestException(offset is null ? "An entry of 'offsets' is null; leave it out."
                    : $"'offsets' names {offset.Topic}-{offset.Partition} twice.");
        }
        return byPartition;
    }
}
