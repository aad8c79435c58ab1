using OrleansMq.Access;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>Which single permission changes the answer to which request of the HTTP API: each opens its own rows alone.</summary>
public sealed class SingleEndpointPermissionTests
{
    // Some need a second permission for the rest of the request: those that look at a topic or group first. Two that are joined by a plus
    // sign open it together alone.
    private static readonly Dictionary<string, string> Opens = new()
    {
        ["DELETE /api/brokers/{broker}"] = "Cluster.Alter",
        ["DELETE /api/brokers/{broker}/drain"] = "Cluster.Alter",
        ["DELETE /api/cluster/rebalance"] = "Cluster.Alter",
        ["DELETE /api/partitions/{topic}/{partition}/reassign"] = "Cluster.Alter",
        ["DELETE /api/ticket-keys/old"] = "Cluster.Alter",
        ["DELETE /api/users/{user}"] = "Cluster.Alter",
        ["PATCH /api/cluster"] = "Cluster.Alter",
        ["POST /api/acls"] = "Cluster.Alter",
        ["POST /api/acls/delete"] = "Cluster.Alter",
        ["POST /api/brokers/{broker}/drain"] = "Cluster.Alter",
        ["POST /api/cluster/rebalance"] = "Cluster.Alter",
        ["POST /api/cluster/rebalance/plan"] = "Cluster.Alter",
        ["POST /api/leaders/elect"] = "Cluster.Alter",
        ["POST /api/partitions/{topic}/{partition}/reassign"] = "Cluster.Alter",
        ["POST /api/ticket-keys"] = "Cluster.Alter",
        ["POST /api/transactions/{transaction}/abort"] = "Cluster.Alter",
        ["PUT /api/users/{user}"] = "Cluster.Alter",
        ["GET /api/cluster"] = "Cluster.Describe",
        ["GET /api/cluster/reassignments"] = "Cluster.Describe",
        ["GET /api/cluster/rebalance"] = "Cluster.Describe",
        ["GET /api/schedules"] = "Cluster.Describe",
        ["GET /api/users"] = "Cluster.Describe",
        ["POST /api/acls/explain"] = "Cluster.Describe",
        ["POST /api/acls/list"] = "Cluster.Describe",
        ["GET /api/quotas"] = "Cluster.DescribeConfigs",
        ["GET /api/quotas/usage"] = "Cluster.DescribeConfigs",
        ["POST /api/quotas"] = "Cluster.AlterConfigs",
        ["DELETE /api/groups/{group}"] = "Group.Delete",
        ["POST /api/groups/delete-offsets"] = "Group.Delete",
        ["GET /api/groups"] = "Group.Describe",
        ["GET /api/groups/{group}"] = "Group.Describe",
        ["GET /api/groups/{group}/coordinator"] = "Group.Describe",
        ["GET /api/groups/{group}/lag"] = "Group.Describe",
        ["GET /api/groups/{group}/offsets"] = "Group.Describe",
        ["GET /api/groups/{group}/share"] = "Group.Describe",
        ["POST /api/groups/fetch-offsets"] = "Group.Describe",
        ["POST /api/groups/{group}/reset"] = "Group.Describe",
        ["POST /api/groups/commit-offsets"] = "Group.Read",
        ["POST /api/groups/commit-transaction-offsets"] = "Group.Read",
        ["POST /api/groups/consumer-heartbeat"] = "Group.Read",
        ["POST /api/groups/heartbeat"] = "Group.Read",
        ["POST /api/groups/join"] = "Group.Read",
        ["POST /api/groups/leave"] = "Group.Read",
        ["POST /api/groups/sync"] = "Group.Read",
        ["DELETE /api/queues/{topic}/{partition}/{queue}"] = "Topic.Alter",
        ["PUT /api/queues/{topic}/{partition}/{queue}"] = "Topic.Alter",
        ["PUT /api/queues/{topic}/{partition}/{queue}/options"] = "Topic.Alter",
        ["POST /api/queues/{topic}/{partition}/{queue}/reset"] = "Topic.Alter",
        ["PUT /api/topics/{topic}"] = "Topic.Create Cluster.Create",
        ["DELETE /api/topics/{topic}"] = "Topic.Delete",
        ["POST /api/queues/{topic}/{partition}/{queue}/purge"] = "Topic.Delete",
        ["POST /api/topics/{topic}/partitions/{partition}/delete-records"] = "Topic.Delete",
        ["GET /api/dead-letters/{topic}"] = "Topic.Describe",
        ["GET /api/dead-letters/{topic}/records"] = "Topic.Describe",
        ["GET /api/queues/{topic}"] = "Topic.Describe",
        ["GET /api/queues/{topic}/{partition}"] = "Topic.Describe",
        ["GET /api/queues/{topic}/{partition}/{queue}"] = "Topic.Describe",
        ["GET /api/schedules/{topic}/{schedule}"] = "Topic.Describe",
        ["GET /api/topics"] = "Topic.Describe",
        ["GET /api/topics/{topic}"] = "Topic.Describe",
        ["GET /api/topics/{topic}/partitions/{partition}/records"] = "Topic.Describe",
        ["GET /api/topics/{topic}/partitions/{partition}/offsets"] = "Topic.Describe",
        ["PATCH /api/topics/{topic}"] = "Topic.Describe",
        ["DELETE /api/queue-consumers/{topic}/{partition}/{consumer}"] = "Topic.Read",
        ["GET /api/queues/{topic}/{partition}/{queue}/handlers"] = "Topic.Read",
        ["GET /api/queues/{topic}/{partition}/{queue}/records"] = "Topic.Read",
        ["GET /api/topics/{topic}/partitions/{partition}/batches"] = "Topic.Read",
        ["POST /api/queue-consumers/{topic}/{partition}/{consumer}/receive"] = "Topic.Read",
        ["POST /api/queue-consumers/{topic}/{partition}/{consumer}/settle"] = "Topic.Read",
        ["POST /api/queues/{topic}/{partition}/{queue}/consumers"] = "Topic.Read",
        ["DELETE /api/schedules/{topic}/{schedule}"] = "Topic.Write",
        ["POST /api/schedules/{topic}"] = "Topic.Write",
        ["POST /api/topics/{topic}/partitions/{partition}/batches"] = "Topic.Write",
        ["POST /api/topics/{topic}/records"] = "Topic.Write",
        ["POST /api/producers"] = "Topic.Write Cluster.IdempotentWrite",
        ["GET /api/transactions/{transaction}"] = "TransactionalId.Describe",
        ["GET /api/transactions/{transaction}/coordinator"] = "TransactionalId.Describe",
        ["POST /api/transactions/add"] = "TransactionalId.Write",
        ["POST /api/transactions/end"] = "TransactionalId.Write",
        ["POST /api/transactions/init"] = "TransactionalId.Write",
        ["GET /api/transactions"] = "TransactionalId.Describe",
        ["GET /api/dead-letters"] = "Topic.Describe+Topic.Read",
    };

    // What each list has of the samples.
    private static readonly Dictionary<string, string> Listed = new()
    {
        ["GET /api/dead-letters"] = "\"orders.dead-letter\"",
        ["GET /api/groups"] = "\"g\"",
        ["GET /api/topics"] = "\"orders\"",
        ["GET /api/transactions"] = "\"t\"",
    };

    public static TheoryData<string> Routes => [.. DescribedEndpoint.All.Select(static endpoint => endpoint.Route)];

    public static TheoryData<string> Lists => [.. Listed.Keys];

    [Fact]
    public void Every_endpoint_is_in_the_table() =>
        Assert.Equal(DescribedEndpoint.All.Where(static endpoint => !endpoint.IsOpen).Select(static endpoint => endpoint.Route)
            .Order(StringComparer.Ordinal), Opens.Keys.Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task Each_permission_opens_its_own_rows_alone(string route)
    {
        var endpoint = DescribedEndpoint.Of(route);
        if (endpoint.IsOpen)
            return;
        var opened = new List<string>();
        var left = new Queue<(ResourceType Type, AccessOperation Operation)>(SinglePermission.All);
        while (left.Count > 0)
        {
            // What is refused leaves the broker as it was.
            var rule = new SinglePermission { AllowsAll = true };
            var broker = new RunningBroker { Authorizer = rule };
            await broker.InitializeAsync();
            await DescribedEndpoint.PrepareAsync(broker);
            rule.AllowsAll = false;
            var denied = await AskAsync(broker, endpoint);
            while (left.TryDequeue(out var permission))
            {
                rule.Permission = permission;
                if (await AskAsync(broker, endpoint) == denied)
                    continue;
                opened.Add($"{permission.Type}.{permission.Operation}");
                break;
            }
            await broker.DisposeAsync();
        }
        var opens = Opens[route];
        Assert.Equal(opens.Contains('+', StringComparison.Ordinal) ? "" : opens, string.Join(' ', opened));
    }

    [Theory]
    [MemberData(nameof(Lists))]
    public async Task List_has_the_samples_for_a_client_with_its_permissions(string route)
    {
        var rule = new SinglePermission { AllowsAll = true };
        var broker = new RunningBroker { Authorizer = rule };
        await broker.InitializeAsync();
        await DescribedEndpoint.PrepareAsync(broker);
        rule.AllowsAll = false;
        var permissions = Opens[route].Split('+').Select(PermissionOf).ToArray();
        rule.Permission = permissions[0];
        rule.Second = permissions.Length > 1 ? permissions[1] : null;
        Assert.Contains(Listed[route], await AskAsync(broker, DescribedEndpoint.Of(route)), StringComparison.Ordinal);
        rule.Permission = null;
        Assert.DoesNotContain(Listed[route], await AskAsync(broker, DescribedEndpoint.Of(route)), StringComparison.Ordinal);
        await broker.DisposeAsync();
    }

    private static (ResourceType Type, AccessOperation Operation) PermissionOf(string text) =>
        SinglePermission.All.Single(permission => $"{permission.Type}.{permission.Operation}" == text);

    private static async Task<string> AskAsync(RunningBroker broker, DescribedEndpoint endpoint)
    {
        using var response = await broker.Http.SendAsync(endpoint.ToRequest());
        return $"{response.StatusCode} {await response.Content.ReadAsStringAsync()}";
    }
}
