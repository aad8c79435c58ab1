using System.Net;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>The administration of brokers and replicas over HTTP: requests arrive, and answers return, unchanged.</summary>
public sealed class ClusterApiTests : IClassFixture<RunningBroker>, IDisposable
{
    private static readonly TopicPartition Partition = new("orders", 2);

    private readonly RunningBroker _broker;
    private readonly HttpBroker _client;
    private readonly RecordedAdministration _administration = new();

    public ClusterApiTests(RunningBroker broker)
    {
        _broker = broker;
        _broker.Script.OnAdministration = _administration;
        _client = new HttpBroker(broker.Http.BaseAddress!);
    }

    public void Dispose()
    {
        _client.Dispose();
        _broker.Script.OnAdministration = null;
    }

    [Fact]
    public async Task Every_order_arrives_and_every_answer_returns()
    {
        var over = _client.Administration;

        Same(RecordedAdministration.Moving, await over.ReassignPartitionAsync(Partition, [1, 2, 4]));
        Same<IReadOnlyList<PartitionReassignment>>([RecordedAdministration.Moving], await over.ListReassignmentsAsync());
        await over.CancelReassignmentAsync(Partition);
        Same<IReadOnlyList<LeaderElection>>([RecordedAdministration.Elected], await over.ElectPreferredLeadersAsync());
        Same<IReadOnlyList<LeaderElection>>([RecordedAdministration.Elected], await over.ElectPreferredLeadersAsync("orders", 2));
        Same(RecordedAdministration.Elected, await over.ElectUncleanAsync(Partition));
        Same(RecordedAdministration.Elected, await over.ElectUncleanAsync(Partition, 3));
        Same(RecordedAdministration.Plan, await over.PlanRebalanceAsync());
        Same(RecordedAdministration.Status, await over.ExecuteRebalanceAsync("plan-1"));
        Same(RecordedAdministration.Status, await over.ExecuteRebalanceAsync("plan-1", new RebalanceThrottle(2, 1000)));
        Same(RecordedAdministration.Status, (await over.GetRebalanceAsync())!);
        Same(RecordedAdministration.Status, await over.CancelRebalanceAsync());
        await over.SetAutoRebalanceAsync(true);
        Same(RecordedAdministration.Status, await over.DrainBrokerAsync(3));
        await over.ResumeBrokerAsync(3);
        await over.RemoveBrokerAsync(3);

        Assert.Equal(
        [
            $"reassign {Partition} to 1,2,4", "list", $"cancel {Partition}", "elect preferred  ", "elect preferred orders 2",
            $"elect unclean {Partition} ",
            $"elect unclean {Partition} 3", "plan", "execute plan-1 ", $"execute plan-1 {new RebalanceThrottle(2, 1000)}", "status",
            "cancel rebalance", "auto True",
            "drain 3", "resume 3", "remove 3",
        ], _administration.Asked);
    }

    [Fact]
    public async Task Missing_rebalance_is_no_content()
    {
        _administration.Rebalance = null;
        using var response = await _broker.Http.GetAsync("/api/cluster/rebalance");
        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.Null(await _client.Administration.GetRebalanceAsync());
    }

    [Fact]
    public async Task Outcomes_and_states_are_strings()
    {
        using var elected = await _broker.Http.PostAsync("/api/leaders/elect", RunningBroker.Json("""{"type":"preferred"}"""));
        Assert.Equal("ElectionNotNeeded", JsonDocument.Parse(await elected.Content.ReadAsStringAsync()).RootElement[0].GetProperty("error")
            .GetString());
        using var rebalance = await _broker.Http.GetAsync("/api/cluster/rebalance");
        Assert.Equal("running", JsonDocument.Parse(await rebalance.Content.ReadAsStringAsync()).RootElement.GetProperty("state")
            .GetString());
    }

    [Theory]
    [InlineData("POST", "/api/partitions/orders/2/reassign", "", "replicas")]
    [InlineData("POST", "/api/partitions/orders/2/reassign", """{"replicas":[]}""", "replicas")]
    [InlineData("POST", "/api/partitions/orders/2/reassign", """{"replica":[1]}""", "\"replicas\"")]
    [InlineData("POST", "/api/partitions/orders/2/reassign", """{"replicas":["1"]}""", "$.replicas[0]")]
    [InlineData("POST", "/api/partitions/orders/x/reassign", """{"replicas":[1]}""", "Partition 'x'")]
    [InlineData("POST", "/api/leaders/elect", "", "\"type\"")]
    [InlineData("POST", "/api/leaders/elect", """{"type":"fast"}""", "preferred or unclean")]
    [InlineData("POST", "/api/leaders/elect", """{"type":"preferred","broker":1}""", "'broker'")]
    [InlineData("POST", "/api/leaders/elect", """{"type":"unclean","topic":"orders","acceptDataLoss":true}""", "one partition")]
    [InlineData("POST", "/api/leaders/elect", """{"type":"unclean","topic":"orders","partition":2}""", "acceptDataLoss")]
    [InlineData("POST", "/api/cluster/rebalance", "", "planId")]
    [InlineData("POST", "/api/cluster/rebalance", """{"planId":""}""", "planId")]
    [InlineData("POST", "/api/cluster/rebalance", """{"planId":"p","throttle":{"maxPartitions":0}}""", "'throttle.maxPartitions' is 0")]
    [InlineData("POST", "/api/cluster/rebalance", """{"planId":"p","throttle":{"maxBytesPerSecond":-1}}""",
        "'throttle.maxBytesPerSecond' is -1")]
    [InlineData("PATCH", "/api/cluster", "{}", "autoRebalance")]
    [InlineData("POST", "/api/brokers/first/drain", "", "Broker 'first'")]
    [InlineData("DELETE", "/api/brokers/-1", "", "Broker '-1'")]
    public async Task Invalid_request_is_refused_by_name_and_not_forwarded(string method, string path, string body, string named)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = RunningBroker.Json(body) };
        using var response = await _broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
        Assert.Empty(_administration.Asked);
    }

    [Fact]
    public async Task Standalone_broker_refuses_and_names_what_it_lacks()
    {
        _broker.Script.OnAdministration = null;
        var alone = _client.Administration;
        Func<Task>[] orders =
        [
            async () => await alone.ReassignPartitionAsync(Partition, [1]), async () => await alone.ElectPreferredLeadersAsync(),
            async () => await alone.ElectUncleanAsync(Partition), async () => await alone.PlanRebalanceAsync(),
            async () => await alone.DrainBrokerAsync(0),
            async () => await alone.RemoveBrokerAsync(0), async () => await alone.SetAutoRebalanceAsync(true),
        ];
        foreach (var order in orders)
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(order);
            Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
            Assert.Contains("--postgres", refused.Message, StringComparison.Ordinal);
        }
        Assert.Empty(await alone.ListReassignmentsAsync());
    }

    private static void Same<T>(T expected, T actual) => Assert.Equal(JsonSerializer.Serialize(expected), JsonSerializer.Serialize(actual));
}
