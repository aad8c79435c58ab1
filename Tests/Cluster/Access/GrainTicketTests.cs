using System.Reflection;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Security;
using OrleansMq.Grains.Topics;
using OrleansMq.Security;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>What calls are worth that carry a ticket, or none, by a client with code of its own.</summary>
public sealed class GrainTicketTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private Guid _topicId;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, configure: SecuredUsers.Enforce);
        await SecuredUsers.CreateAsync(_silo.Services);
        _topicId = (await _silo.Inside.CreateTopicAsync(new NewTopic(SecuredUsers.Topic))).TopicId;
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    private BrokerTickets Tickets => _silo.Services.GetRequiredService<SiloSecurity>().Tickets!;

    private BrokerSecurity Users => _silo.Services.GetRequiredService<SiloSecurity>().Users;

    [Fact]
    public async Task Ticket_of_a_login_has_the_rights_of_its_user_at_every_grain()
    {
        var ticket = await LogInAsync("alice", SecuredUsers.Password);
        foreach (var (call, refusal) in Calls())
        {
            Assert.Equal(refusal, (await Assert.ThrowsAsync<BrokerException>(call)).Code);
            await WithAsync(ticket, call);
        }
        var other = await Assert.ThrowsAsync<BrokerException>(() => WithAsync(ticket, () => _silo.Client.GetTopic("other").FindAsync()));
        Assert.Contains("User:alice", other.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Timers_of_grains_run_that_ask_for_tickets()
    {
        var root = await LogInAsync("root", SecuredUsers.Password);
        await WithAsync(root, async () => Assert.Null(await _silo.Client.GetTopic("invented").FindAsync()));
        // By its timer.
        await Wait.UntilAsync(async () => !(await _silo.Client.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics())
            .Any(static statistic => statistic.GrainId == GrainId.Create(TopicGrain.TypeName, "invented")), "the grain has left");
    }

    [Fact]
    public async Task Ticket_of_a_user_that_has_changed_elsewhere_is_refused_for_a_while()
    {
        var ahead = Tickets.Issue("User:alice", null, Users.CreatedAt("alice"), Users.Version + 1, out _);
        Assert.Equal(ErrorCode.BrokerNotAvailable, (await Assert.ThrowsAsync<BrokerException>(
            () => WithAsync(ahead, () => _silo.Client.GetTopic(SecuredUsers.Topic).FindAsync()))).Code);
    }

    [Fact]
    public async Task Ticket_that_no_broker_made_so_is_refused_at_every_grain()
    {
        var good = await LogInAsync("root", SecuredUsers.Password);
        var altered = (byte[])good.Clone();
        altered[^40] ^= 1;
        var expired = Tickets.Issue("User:root", DateTimeOffset.UtcNow - TimeSpan.FromSeconds(1), -1, -1, out _);
        var elsewhere = TicketFormat.Write(new Ticket(TicketKind.Broker, "broker-1", DateTimeOffset.UtcNow + TimeSpan.FromHours(1)),
            TicketKey.Create());
        foreach (var (ticket, code, reason) in new (object, ErrorCode, string)[]
        {
            (altered, ErrorCode.SaslAuthenticationFailed, "altered"),
            (expired, ErrorCode.SaslAuthenticationFailed, "expired"),
            (elsewhere, ErrorCode.BrokerNotAvailable, "key"),
            (good[..^1], ErrorCode.SaslAuthenticationFailed, "altered"),
            (Array.Empty<byte>(), ErrorCode.SaslAuthenticationFailed, "read"),
            (new byte[100_000], ErrorCode.SaslAuthenticationFailed, "read"),
            ("text", ErrorCode.SaslAuthenticationFailed, "read"),
        })
        {
            foreach (var (call, _) in Calls())
            {
                var refused = await Assert.ThrowsAsync<BrokerException>(() => WithAsync(ticket, call));
                Assert.Equal(code, refused.Code);
                Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public async Task Ticket_goes_no_further_than_the_grain_that_the_client_calls()
    {
        var ticket = await LogInAsync("alice", SecuredUsers.Password);
        await _silo.Inside.CreateTopicAsync(new NewTopic("other"));
        var grain = _silo.Client.GetGrain<ITicketLookoutGrain>("one");
        Assert.False(await grain.SeesTicketAsync());
        await WithAsync(ticket, async () =>
        {
            Assert.True(await grain.SeesTicketAsync());
            Assert.False(await grain.AnotherSeesTicketAsync());
            // The application may do what alice may not.
            Assert.Equal(ErrorCode.None, await grain.ProduceAsync("other"));
        });
    }

    [Fact]
    public async Task Ticket_ends_with_its_user_and_its_password()
    {
        var (find, _) = Calls().First();
        var ticket = await LogInAsync("alice", SecuredUsers.Password);
        await WithAsync(ticket, find);
        await Users.AlterUserAsync(BrokerSecurity.OfPassword("alice", "another"));
        await RefusedAsync(ticket);
        ticket = await LogInAsync("alice", "another");
        await WithAsync(ticket, find);
        await Users.DeleteUserAsync("alice");
        await RefusedAsync(ticket);
        await Users.AlterUserAsync(BrokerSecurity.OfPassword("alice", "another"));
        await RefusedAsync(ticket);

        async Task RefusedAsync(byte[] old) => Assert.Equal(ErrorCode.SaslAuthenticationFailed,
            (await Assert.ThrowsAsync<BrokerException>(() => WithAsync(old, find))).Code);
    }

    [Fact]
    public async Task Client_that_may_do_everything_is_no_broker()
    {
        var ticket = await LogInAsync("root", SecuredUsers.Password);
        var partition = _silo.Client.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(_topicId, 0));
        var topic = _silo.Client.GetGrain<ITopicOwnerGrain>(SecuredUsers.Topic);
        foreach (var call in new Func<Task>[] { () => partition.LeadAsync(), () => topic.DeleteAsync(_topicId) })
        {
            Assert.Equal(ErrorCode.ClusterAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(call)).Code);
            Assert.Equal(ErrorCode.ClusterAuthorizationFailed,
                (await Assert.ThrowsAsync<BrokerException>(() => WithAsync(ticket, call))).Code);
        }
        // That is what the ticket is for.
        await WithAsync(TicketFor(partition.GetGrainId(), typeof(IPartitionLeaderGrain)), () => partition.LeadAsync());
    }

    [Fact]
    public async Task Ticket_of_a_broker_is_good_at_the_grain_and_the_interface_alone_that_it_was_sent_to()
    {
        // What a program gets that Orleans takes for a silo.
        var stolen = TicketFor(GrainId.Create(PartitionGrain.TypeName, GrainKeys.Partition(_topicId, 0)), typeof(IPartitionForwardGrain));
        var others = TicketFor(GrainId.Create(PartitionGrain.TypeName, GrainKeys.Partition(_topicId, 1)), typeof(IPartitionLeaderGrain));
        var forward = _silo.Client.GetGrain<IPartitionForwardGrain>(GrainKeys.Partition(_topicId, 0));
        await WithAsync(stolen, async () => Demand((await forward.FindOffsetAsync(OffsetSpec.Latest)).Error));
        var partition = _silo.Client.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(_topicId, 0));
        var calls = Calls().Select(static call => call.Call).Append(() => partition.LeadAsync())
            .Append(() => _silo.Client.GetGrain<ITopicOwnerGrain>(SecuredUsers.Topic).DeleteAsync(_topicId));
        foreach (var call in calls)
        {
            foreach (var ticket in new[] { stolen, others })
                Assert.Equal(ErrorCode.SaslAuthenticationFailed,
                    (await Assert.ThrowsAsync<BrokerException>(() => WithAsync(ticket, call))).Code);
        }
    }

    [Fact]
    public async Task Every_method_of_a_partition_asks_for_the_ticket_of_its_own_interface()
    {
        // There is no such partition: what comes through does nothing.
        var key = GrainKeys.Partition(Guid.NewGuid(), 0);
        var interfaces = typeof(PartitionGrain).GetInterfaces().Where(static type => type != typeof(IGrainWithStringKey)
            && type.IsAssignableTo(typeof(IGrainWithStringKey))).ToArray();
        Assert.True(interfaces.Length >= 9);
        foreach (var type in interfaces)
        {
            var own = TicketFor(GrainId.Create(PartitionGrain.TypeName, key), type);
            var other = TicketFor(GrainId.Create(PartitionGrain.TypeName, key), typeof(ILoginGrain));
            foreach (var method in type.GetMethods())
            {
                Assert.True(await IsRefusedAsync(other, type, method), method.Name);
                Assert.False(await IsRefusedAsync(own, type, method), method.Name);
            }
        }

        async Task<bool> IsRefusedAsync(byte[] ticket, Type type, MethodInfo method)
        {
            try
            {
                await WithAsync(ticket, () => (Task)method.Invoke(_silo.Client.GetGrain(type, key),
                    [.. method.GetParameters().Select(static parameter => ArgumentOf(parameter.ParameterType))])!);
                return false;
            }
            catch (BrokerException refused)
            {
                return refused.Code is ErrorCode.SaslAuthenticationFailed or ErrorCode.ClusterAuthorizationFailed;
            }
            catch (Exception failure) when (failure is not TargetInvocationException)
            {
                // Of the arguments.
                return false;
            }
        }

        static object? ArgumentOf(Type type) => type == typeof(BatchInCall) ? BatchInCall.Lend(default)
            : type == typeof(string) ? "x" : type == typeof(CancellationToken) ? CancellationToken.None
            : type.IsArray ? Array.CreateInstance(type.GetElementType()!, 0)
            : type.IsValueType ? Activator.CreateInstance(type) : null;
    }

    [Fact]
    public async Task Silo_without_the_key_has_its_own_calls_retried_and_sends_none_where_brokers_only_warn()
    {
        await using var unread = new BrokerTickets("broker-1", static () => throw new NotSupportedException(), EngineLog.Silent,
            TimeProvider.System);
        var target = new CallTarget(GrainId.Create("omq.cluster", GrainKeys.Cluster), typeof(IClusterOwnerGrain));
        var refused = Assert.Throws<BrokerException>(() => new SiloTickets(unread, refusesBad: true).For(target));
        Assert.Equal(ErrorCode.BrokerNotAvailable, refused.Code);
        Assert.Equal(ErrorAction.Retry, refused.Code.Action());
        Assert.Null(new SiloTickets(unread, refusesBad: false).For(target));
    }

    [Fact]
    public void Silo_keeps_its_ticket_of_each_target()
    {
        var tickets = new SiloTickets(Tickets, refusesBad: true);
        var first = new CallTarget(GrainId.Create("omq.topic", "a"), typeof(ITopicGrain));
        var ticket = tickets.For(first)!;
        Assert.Same(ticket, tickets.For(new CallTarget(GrainId.Create("omq.topic", "a"), typeof(ITopicGrain))));
        foreach (var other in new[] { first with { Grain = GrainId.Create("omq.topic", "b") },
            first with { Grain = GrainId.Create("omq.topi", "ca") }, first with { Interface = typeof(ITopicOwnerGrain) },
            first with { Grain = GrainId.Create("omq.topic", new string('a', 600)) } })
        {
            Assert.NotEqual(ticket, tickets.For(other));
            Assert.Equal(TicketFault.None, Tickets.Verify(tickets.For(other)!, BytesOf(other), out _));
        }
    }

    [Theory]
    [InlineData("alice", "wrong")]
    [InlineData("nobody", SecuredUsers.Password)]
    [InlineData("", "")]
    public async Task Wrong_password_is_refused_without_telling_whether_there_is_the_user(string user, string password)
    {
        var before = _silo.Services.GetRequiredService<BrokerAccess>().Meter.Denials.FailedOver(SessionProtocol.Orleans);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => LogInAsync(user, password));
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, refused.Code);
        Assert.Equal("Authentication failed: the credentials for PLAIN are invalid.", refused.Message);
        Assert.Equal(before + 1, _silo.Services.GetRequiredService<BrokerAccess>().Meter.Denials.FailedOver(SessionProtocol.Orleans));
    }

    [Fact]
    public async Task Login_takes_no_other_mechanism_no_large_message_and_no_other_key()
    {
        var login = _silo.Client.GetGrain<ILoginGrain>(GrainKeys.Cluster);
        foreach (var mechanism in new[] { "OAUTHBEARER", "SCRAM-SHA-256", "", null! })
        {
            Assert.Equal(ErrorCode.UnsupportedSaslMechanism,
                (await Assert.ThrowsAsync<BrokerException>(() => login.LogInAsync(mechanism, []))).Code);
        }
        foreach (var message in new[] { new byte[SaslExchange.MaxMessageBytes + 1], [], null! })
        {
            Assert.Equal(ErrorCode.SaslAuthenticationFailed,
                (await Assert.ThrowsAsync<BrokerException>(() => login.LogInAsync("PLAIN", message))).Code);
        }
        Assert.Equal(ErrorCode.InvalidRequest, (await Assert.ThrowsAsync<BrokerException>(() =>
            _silo.Client.GetGrain<ILoginGrain>("invented").LogInAsync("PLAIN", []))).Code);
    }

    private byte[] TicketFor(GrainId grain, Type type) => Tickets.For(BytesOf(new CallTarget(grain, type)))!.Bytes;

    private static byte[] BytesOf(CallTarget target) => target.Write(new byte[target.Length]).ToArray();

    // The calls of one class of grains each, which alice may make and strangers may not.
    private IEnumerable<(Func<Task> Call, ErrorCode Refusal)> Calls()
    {
        yield return (() => _silo.Client.GetTopic(SecuredUsers.Topic).FindAsync(), ErrorCode.TopicAuthorizationFailed);
        yield return (async () => Demand((await _silo.Client.GetPartition(_topicId, 0).FindOffsetAsync(OffsetSpec.Latest)).Error),
            ErrorCode.TopicAuthorizationFailed);
        yield return (async () => Demand((await _silo.Client.GetPartition(_topicId, 0).AppendAsync(TestBatches.Of("a"), Acks.All)).Error),
            ErrorCode.TopicAuthorizationFailed);
        yield return (() => _silo.Client.GetQueues(_topicId, 0).ListAsync(), ErrorCode.TopicAuthorizationFailed);
        yield return (() => _silo.Client.GetSchedules().FindAsync(SecuredUsers.Topic, "none"), ErrorCode.TopicAuthorizationFailed);
        yield return (async () => Demand(((IGroupAnswer)(await _silo.Client.GetGrain<IGroupGrain>(SecuredUsers.Topic)
            .SendAsync(new OffsetFetch { GroupId = SecuredUsers.Topic }, default))!).Error), ErrorCode.GroupAuthorizationFailed);
    }

    private static void Demand(ErrorCode error)
    {
        if (error != ErrorCode.None)
            throw new BrokerException(error, $"{error}");
    }

    private async Task<byte[]> LogInAsync(string user, string password) => (await _silo.Client.GetGrain<ILoginGrain>(GrainKeys.Cluster)
        .LogInAsync("PLAIN", Encoding.UTF8.GetBytes($"\0{user}\0{password}"))).Ticket;

    private static async Task WithAsync(object ticket, Func<Task> call)
    {
        RequestContext.Set(TicketedCalls.Key, ticket);
        try
        {
            await call();
        }
        finally
        {
            RequestContext.Remove(TicketedCalls.Key);
        }
    }
}
