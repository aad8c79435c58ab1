using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Security;
using OrleansMq.Security;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Orleans clients that the client library logs in.</summary>
public sealed class LoggedInClientTests : IDisposable
{
    private static readonly TopicPartition Orders = new(SecuredUsers.Topic, 0);
    private static readonly TopicPartition Other = new("other", 0);
    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Client_may_do_exactly_what_rules_allow_to_its_user()
    {
        await using var silo = await StartAsync(new OrleansLogin { User = "alice", Password = SecuredUsers.Password });
        await silo.Inside.CreateTopicAsync(new NewTopic(Other.Topic));
        await silo.Inside.CreateTopicAsync(new NewTopic(Orders.Topic));
        Assert.Equal(ErrorCode.None, (await silo.Outside.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All)).Error);
        using (var read = await silo.Outside.FetchAsync(new FetchRequest(Orders, 0)))
            Assert.Equal("a", Assert.Single(TestBatches.Read(read.Records)).Value);
        Assert.Equal(ErrorCode.None, await CommitAsync(silo.Outside, Orders.Topic));
        Assert.Equal([Orders.Topic], (await silo.Outside.ListTopicsAsync()).Select(static topic => topic.Name));

        var refused = await silo.Outside.ProduceAsync(Other, TestBatches.Of("a"), Acks.All);
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refused.Error);
        Assert.Contains("User:alice", refused.Message, StringComparison.Ordinal);
        using (var unread = await silo.Outside.FetchAsync(new FetchRequest(Other, 0)))
            Assert.Equal(ErrorCode.TopicAuthorizationFailed, unread.Error);
        Assert.Equal(ErrorCode.GroupAuthorizationFailed, await CommitAsync(silo.Outside, "other"));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await silo.Outside.CreateTopicAsync(new NewTopic("fresh")))).Code);
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await silo.Outside.Queues.ListAsync(Other))).Code);
        Assert.Empty(await silo.Outside.Queues.ListAsync(Orders));
    }

    [Fact]
    public async Task Grains_of_the_application_see_no_ticket_and_use_the_broker_as_its_own()
    {
        await using var silo = await StartAsync(new OrleansLogin { User = "alice", Password = SecuredUsers.Password });
        await silo.Inside.CreateTopicAsync(new NewTopic(Other.Topic));
        var grain = silo.Client.GetGrain<ITicketLookoutGrain>("one");
        Assert.False(await grain.SeesTicketAsync());
        Assert.False(await grain.AnotherSeesTicketAsync());
        // What alice may not do.
        Assert.Equal(ErrorCode.None, await grain.ProduceAsync(Other.Topic));
    }

    [Fact]
    public async Task Client_whose_ticket_ends_early_goes_on_without_a_failed_call()
    {
        await using var silo = await StartAsync(new OrleansLogin { User = "alice", Password = SecuredUsers.Password });
        var topicId = (await silo.Inside.CreateTopicAsync(new NewTopic(Orders.Topic))).TopicId;
        var security = silo.Services.GetRequiredService<SiloSecurity>();
        await CallAsync();
        // The same password, with other verifiers.
        await security.Users.AlterUserAsync(BrokerSecurity.OfPassword("alice", SecuredUsers.Password));
        await CallAsync();
        await security.Tickets!.ReplaceKeyAsync(default);
        await CallAsync();
        await security.Tickets!.DropOldKeysAsync(default);
        // The login before may have been less than a second ago.
        await Wait.UntilAsync(async () =>
        {
            try
            {
                await CallAsync();
                return true;
            }
            catch (BrokerException refused) when (refused.Code == ErrorCode.SaslAuthenticationFailed)
            {
                return false;
            }
        }, "the client has logged in again");
        await security.Users.AlterUserAsync(BrokerSecurity.OfPassword("alice", "another"));
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, (await Assert.ThrowsAsync<BrokerException>(CallAsync)).Code);

        async Task CallAsync()
        {
            Assert.NotNull(await silo.Client.GetTopic(Orders.Topic).FindAsync());
            Assert.Equal(ErrorCode.None, (await silo.Client.GetPartition(topicId, 0).AppendAsync(TestBatches.Of("a"), Acks.All)).Error);
        }
    }

    [Fact]
    public async Task Client_whose_credentials_are_refused_does_not_start()
    {
        var refused = await Assert.ThrowsAnyAsync<Exception>(() =>
            StartAsync(new OrleansLogin { User = "alice", Password = "wrong" }));
        while (refused is not BrokerException && refused.InnerException is { } inner)
            refused = inner;
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, Assert.IsType<BrokerException>(refused).Code);
        Assert.DoesNotContain("wrong", $"{refused}", StringComparison.Ordinal);
    }

    [Fact]
    public async Task Brokers_without_access_control_let_every_login_in_and_see_no_ticket()
    {
        await using var silo = await TestSilo.StartAsync(_data.Path, client: static client =>
            client.AddOrleansMqClient().UseLogin(new OrleansLogin { User = "nobody", Password = "none" }));
        Assert.Null(silo.Services.GetRequiredService<SiloSecurity>().Tickets);
        await silo.Outside.CreateTopicAsync(new NewTopic(Orders.Topic));
        Assert.Equal(ErrorCode.None, (await silo.Outside.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All)).Error);
    }

    /// <summary>The end of a transaction is written where an id says, and the client was asked for the topic that a name says.</summary>
    [Fact]
    public async Task Client_adds_no_partition_of_another_topic_than_it_names()
    {
        await using var silo = await TestSilo.StartAsync(_data.Path);
        var mine = await silo.Outside.CreateTopicAsync(new NewTopic("mine", 1));
        var other = await silo.Outside.CreateTopicAsync(new NewTopic("other"));
        var producer = await TestTransactions.InitAsync(silo.Outside, "x");
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await AddAsync("mine", other.TopicId, 0));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await AddAsync("mine", mine.TopicId, 1));
        Assert.Equal(ErrorCode.None, await AddAsync("mine", mine.TopicId, 0));
        // What the silo remembers is older.
        await silo.Outside.AddPartitionsAsync("mine", 2);
        Assert.Equal(ErrorCode.None, await AddAsync("mine", mine.TopicId, 1));

        async Task<ErrorCode> AddAsync(string topic, Guid id, int partition) => (await silo.Outside.Transactions.SendAsync(
            new AddToTransaction
            {
                TransactionalId = "x",
                Producer = producer.Identity,
                Partitions = [new TransactionPartition(topic, partition, id)],
                Caller = new TransactionCaller("test"),
            })).Error;
    }

    [Fact]
    public async Task Warning_broker_lets_calls_with_a_bad_ticket_pass_and_counts_them()
    {
        await using var silo = await TestSilo.StartAsync(_data.Path, configure: static options => options with
        {
            Security = new SecurityOptions { Authorization = AuthorizationMode.Warn, SuperUsers = ["User:strangers"],
                OrleansPrincipal = "User:strangers" },
        });
        await silo.Inside.CreateTopicAsync(new NewTopic(Orders.Topic));
        var denials = silo.Services.GetRequiredService<BrokerAccess>().Meter.Denials;
        var before = denials.WarnedOf(AccessOperation.ClusterAction, ResourceType.Cluster);
        RequestContext.Set(TicketedCalls.Key, new byte[1]);
        Assert.NotNull(await silo.Client.GetTopic(Orders.Topic).FindAsync());
        Assert.Equal(before + 1, denials.WarnedOf(AccessOperation.ClusterAction, ResourceType.Cluster));
        RequestContext.Remove(TicketedCalls.Key);
        // A broker of an earlier version: without a ticket, on an interface between brokers.
        var forward = silo.Client.GetGrain<IPartitionForwardGrain>(GrainKeys.Partition(
            (await silo.Inside.GetTopicAsync(Orders.Topic)).TopicId, 0));
        Assert.Equal(ErrorCode.None, (await forward.FindOffsetAsync(OffsetSpec.Latest)).Error);
        Assert.Equal(before + 2, denials.WarnedOf(AccessOperation.ClusterAction, ResourceType.Cluster));
    }

    [Fact]
    public async Task Host_with_an_authorizer_of_its_own_can_only_warn_of_tickets_while_its_decisions_count()
    {
        var authorizer = new SwitchedAuthorizer();
        await using var silo = await TestSilo.StartAsync(_data.Path, configure: options => options with
        {
            Authorizer = authorizer,
            Security = new SecurityOptions { OnlyWarnsOfTickets = true },
        });
        var topicId = (await silo.Inside.CreateTopicAsync(new NewTopic(Orders.Topic))).TopicId;
        authorizer.Denies = true;
        var security = silo.Services.GetRequiredService<SiloSecurity>();
        Assert.NotNull(security.Tickets);
        var denials = silo.Services.GetRequiredService<BrokerAccess>().Meter.Denials;
        var before = denials.WarnedOf(AccessOperation.ClusterAction, ResourceType.Cluster);
        var forward = silo.Client.GetGrain<IPartitionForwardGrain>(GrainKeys.Partition(topicId, 0));
        Assert.Equal(ErrorCode.None, (await forward.FindOffsetAsync(OffsetSpec.Latest)).Error);
        RequestContext.Set(TicketedCalls.Key, new byte[1]);
        Assert.Equal(ErrorCode.None, (await forward.FindOffsetAsync(OffsetSpec.Latest)).Error);
        Assert.True(denials.WarnedOf(AccessOperation.ClusterAction, ResourceType.Cluster) >= before + 2);
        Assert.Equal(ErrorCode.TopicAuthorizationFailed,
            (await Assert.ThrowsAsync<BrokerException>(() => silo.Client.GetTopic(Orders.Topic).FindAsync())).Code);
        RequestContext.Remove(TicketedCalls.Key);
    }

    [Fact]
    public void Login_with_missing_or_double_credentials_is_refused_when_it_is_registered()
    {
        var services = new ServiceCollection();
        foreach (var login in new[] { new OrleansLogin(), new OrleansLogin { User = "alice" },
            new OrleansLogin { User = "", Password = "x" }, new OrleansLogin { User = "a\0b", Password = "x" },
            new OrleansLogin { User = "a", Password = "x", Token = static _ => new("t") } })
            Assert.Throws<ArgumentException>(() => new OrleansMqClientBuilder(services).UseLogin(login));
        Assert.Throws<InvalidOperationException>(() =>
            new OrleansMqClientBuilder(services).UseLogin(new OrleansLogin { User = "alice", Password = "x" }));
        Assert.DoesNotContain("x", new OrleansLogin { User = "alice", Password = "x" }.ToString(), StringComparison.Ordinal);
    }

    private Task<TestSilo> StartAsync(OrleansLogin login) => TestSilo.StartAsync(_data.Path,
        silo => silo.AddStartupTask(static (services, _) => SecuredUsers.CreateAsync(services)),
        client => client.AddOrleansMqClient().UseLogin(login), SecuredUsers.Enforce);

    private static async Task<ErrorCode> CommitAsync(IBroker broker, string group) => (await broker.Groups.CommitOffsetsAsync(
        new OffsetCommit
        {
            GroupId = group,
            Offsets = [new PartitionOffset(Orders.Topic, 0, new CommittedOffset(1))],
        })).Partitions.Single().Error;
}
