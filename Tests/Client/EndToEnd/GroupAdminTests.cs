using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>Administration of consumer groups through the client, and the base of its exceptions.</summary>
public sealed class GroupAdminTests : IAsyncLifetime
{
    private TestBroker _broker = null!;

    public async Task InitializeAsync() => _broker = await TestBroker.StartAsync();

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Groups_are_listed_described_reset_and_deleted()
    {
        var admin = _broker.Client.Admin;
        await admin.CreateTopicAsync("orders");
        await using (var producer = _broker.Client.CreateProducer<Ignore, string>())
        {
            for (var i = 0; i < 3; i++)
                await producer.SendAsync(new("orders", default, $"{i}"));
        }
        await using (var consumer = _broker.Client.CreateConsumer<Ignore, string>(
            new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest, AutoCommit = false }))
        {
            consumer.Subscribe("orders");
            await consumer.CommitAsync(await consumer.ReadAsync().SoonAsync()).SoonAsync();
            Assert.Single((await admin.Groups.DescribeAsync("billing")).Members);
            var refused = await Assert.ThrowsAnyAsync<OrleansMqException>(() => admin.Groups.ResetAsync(
                new OffsetReset("billing", OffsetTarget.Latest)));
            Assert.Equal((ErrorCode.NonEmptyGroup, ErrorAction.Abort), (refused.Code, refused.Action));
        }
        Assert.Equal(["billing"], (await admin.Groups.ListAsync()).Select(group => group.GroupId));
        Assert.Equal(2, Assert.Single(await admin.Groups.GetLagAsync("billing")).Records);
        var plan = await admin.Groups.PlanResetAsync(new OffsetReset("billing", OffsetTarget.Latest, ["orders"]));
        Assert.Equal((false, 3L), (plan.Executed, plan.Partitions[0].Target));
        Assert.True((await admin.Groups.ResetAsync(new OffsetReset("billing", OffsetTarget.Latest, ["orders"]))).Executed);
        Assert.Equal(0, Assert.Single(await admin.Groups.GetLagAsync("billing")).Records);
        await admin.Groups.DeleteAsync("billing");
        Assert.Empty(await admin.Groups.ListAsync());
    }

    [Fact]
    public void Exceptions_of_the_library_have_one_base()
    {
        var own = typeof(OrleansMqClient).Assembly.GetExportedTypes().Concat(typeof(BrokerException).Assembly.GetExportedTypes()
            .Where(type => type == typeof(BrokerException))).Where(type => type.IsSubclassOf(typeof(Exception)));
        Assert.All(own, type => Assert.True(type.IsSubclassOf(typeof(OrleansMqException)), type.Name));
    }

    [Fact]
    public async Task Tombstone_is_recognised_without_its_value()
    {
        await _broker.Client.Admin.CreateTopicAsync("customers");
        await using (var producer = _broker.Client.CreateProducer<string, string?>())
        {
            await producer.SendAsync(new("customers", "customer-7", "Ada"));
            await producer.SendAsync(new("customers", "customer-7", null));
            await producer.SendAsync(new("customers", "customer-8", ""));
        }
        await using var reader = _broker.Client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition("customers", 0), ReadFrom.Earliest);
        foreach (var expected in (bool[])[false, true, false])
            Assert.Equal(expected, (await reader.ReadAsync().SoonAsync()).IsTombstone);
    }
}
