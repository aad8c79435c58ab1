using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Groups;
using OrleansMq.Grains.Security;
using OrleansMq.Grains.Topics;
using OrleansMq.Security;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>A silo that has joined the cluster, and has not its keys: it calls as brokers do, and with what it sees of others.</summary>
public sealed class ForgedSiloTests : IAsyncLifetime, IDisposable
{
    private readonly TempDirectory _data = new();
    private readonly int _port = FreePort.Choose();
    private readonly int _gateway = FreePort.Choose();
    // What a silo sees of the calls that it receives or passes on.
    private readonly ConcurrentQueue<Seen> _seen = new();
    private IHost _broker = null!;
    private IHost _forged = null!;
    private Guid _topicId;

    public async Task InitializeAsync()
    {
        _broker = await StartAsync(silo => silo.UseLocalhostClustering(_port, _gateway)
            .AddIncomingGrainCallFilter(call =>
            {
                if (TicketedCalls.Carried is byte[] ticket)
                    _seen.Enqueue(new Seen(new CallTarget(call.TargetId, call.InterfaceMethod.DeclaringType!), ticket));
                return call.Invoke();
            })
            .AddOrleansMq(options => SecuredUsers.Enforce(options with { DataDirectory = _data.Path, MinFreeBytes = 0 })));
        await SecuredUsers.CreateAsync(_broker.Services);
        _topicId = (await Inside.CreateTopicAsync(new NewTopic(SecuredUsers.Topic))).TopicId;
        _forged = await StartAsync(silo =>
        {
            silo.UseLocalhostClustering(FreePort.Choose(), FreePort.Choose(), new IPEndPoint(IPAddress.Loopback, _port))
                .AddOrleansMqClient();
            silo.Services.PostConfigure<GrainTypeOptions>(static types =>
                types.Classes.RemoveWhere(static type => type.Assembly == typeof(GroupGrain).Assembly));
        });
        await Wait.UntilAsync(KnowsGrains, "the forged silo has the broker's manifest");
    }

    public async Task DisposeAsync()
    {
        await _forged.StopAsync();
        await _broker.StopAsync();
    }

    public void Dispose()
    {
        _forged?.Dispose();
        _broker?.Dispose();
        _data.Dispose();
    }

    private IBroker Inside => _broker.Services.GetRequiredService<IBroker>();

    private IGrainFactory Grains => _forged.Services.GetRequiredService<IGrainFactory>();

    private bool KnowsGrains()
    {
        try
        {
            Grains.GetTopic(SecuredUsers.Topic);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    // The key's number is in every ticket; its secret is not.
    private uint KeyId => BinaryPrimitives.ReadUInt32BigEndian(
        _broker.Services.GetRequiredService<SiloSecurity>().Tickets!.For("x"u8)!.Bytes.AsSpan(2));

    [Fact]
    public async Task Silo_without_the_key_gets_nothing_through_of_what_brokers_have_among_each_other()
    {
        var forged = TicketKey.Create() with { Id = KeyId };
        var broker = new Ticket(TicketKind.Broker, "broker-1", DateTimeOffset.UtcNow + TimeSpan.FromMinutes(5));
        var calls = 0;
        foreach (var type in TicketedCalls.InterfacesOf(typeof(GroupGrain).Assembly)
            .Where(static type => type.IsAssignableTo(typeof(IGrainWithStringKey))))
        {
            var grain = (IAddressable)Grains.GetGrain(type, type == typeof(IClusterOwnerGrain) ? GrainKeys.Cluster
                : GrainKeys.Partition(_topicId, 0));
            var target = new CallTarget(grain.GetGrainId(), type);
            foreach (var method in type.GetMethods())
            {
                await RefusedAsync(null, method);
                await RefusedAsync(TicketFormat.Write(broker, forged), method);
                await RefusedAsync(TicketFormat.Write(broker, TicketKey.Create()), method);
                await RefusedAsync(TicketFormat.WriteBound(broker, forged, target.Write(new byte[target.Length])), method);
                var (session, secret) = TicketFormat.WriteSession(broker with { Kind = TicketKind.Client, Principal = "User:root" },
                    forged);
                await RefusedAsync(TicketFormat.Prove(session, secret, broker.ExpiresAt, target.Write(new byte[target.Length])), method);
            }

            async Task RefusedAsync(byte[]? ticket, MethodInfo method)
            {
                var refused = await Assert.ThrowsAsync<BrokerException>(() => WithAsync(ticket, () => (Task)method.Invoke(grain,
                    [.. method.GetParameters().Select(static parameter => ArgumentOf(parameter.ParameterType))])!));
                Assert.True(refused.Code is ErrorCode.ClusterAuthorizationFailed or ErrorCode.SaslAuthenticationFailed
                    or ErrorCode.BrokerNotAvailable, $"{method}: {refused.Code}: {refused.Message}");
                calls++;
            }
        }
        Assert.True(calls > 50, $"{calls} calls");
        await UntouchedAsync();
    }

    [Fact]
    public async Task Silo_without_the_key_has_the_rights_of_strangers_where_clients_call_too()
    {
        foreach (var (call, _) in Calls(Grains))
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(() => WithAsync(null, call));
            Assert.True(refused.Code is ErrorCode.TopicAuthorizationFailed or ErrorCode.GroupAuthorizationFailed, $"{refused.Code}");
        }
        await UntouchedAsync();
    }

    [Fact]
    public async Task Ticket_that_comes_with_a_clients_call_is_good_at_that_grain_alone()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client => client.UseLocalhostClustering(_gateway).AddOrleansMqClient()
            .UseLogin(new OrleansLogin { User = "alice", Password = SecuredUsers.Password }));
        using var host = builder.Build();
        await host.StartAsync();
        var alice = host.Services.GetRequiredService<IGrainFactory>();
        _seen.Clear();
        foreach (var (call, _) in Calls(alice))
            await call();
        await host.StopAsync();

        var seen = _seen.ToArray();
        Assert.True(seen.Select(static one => one.Target).Distinct().Count() >= 5, $"{seen.Length}");
        foreach (var stolen in seen)
        {
            foreach (var (call, grain) in Calls(Grains))
            {
                if (grain == stolen.Target)
                    await WithAsync(stolen.Ticket, call);
                else
                    Assert.Equal(ErrorCode.SaslAuthenticationFailed,
                        (await Assert.ThrowsAsync<BrokerException>(() => WithAsync(stolen.Ticket, call))).Code);
            }
        }
    }

    // What alice may do, and strangers may not.
    private IEnumerable<(Func<Task> Call, CallTarget Target)> Calls(IGrainFactory grains)
    {
        var topic = grains.GetTopic(SecuredUsers.Topic);
        yield return (() => topic.FindAsync(), new CallTarget(topic.GetGrainId(), typeof(ITopicGrain)));
        var partition = grains.GetPartition(_topicId, 0);
        yield return (async () => Demand((await partition.FindOffsetAsync(OffsetSpec.Latest)).Error),
            new CallTarget(partition.GetGrainId(), typeof(IPartitionGrain)));
        var queues = grains.GetQueues(_topicId, 0);
        yield return (() => queues.ListAsync(), new CallTarget(queues.GetGrainId(), typeof(IQueueGrain)));
        var schedules = grains.GetSchedules();
        yield return (() => schedules.FindAsync(SecuredUsers.Topic, "none"),
            new CallTarget(schedules.GetGrainId(), typeof(IScheduleGrain)));
        var group = grains.GetGrain<IGroupGrain>(SecuredUsers.Topic);
        yield return (async () => Demand(((IGroupAnswer)(await group.SendAsync(new OffsetFetch { GroupId = SecuredUsers.Topic },
            default))!).Error), new CallTarget(group.GetGrainId(), typeof(IGroupGrain)));
    }

    private async Task UntouchedAsync()
    {
        Assert.Equal([SecuredUsers.Topic], (await Inside.ListTopicsAsync()).Select(static topic => topic.Name));
        Assert.Equal(0, (await Inside.FindOffsetAsync(new TopicPartition(SecuredUsers.Topic, 0), OffsetSpec.Latest)).Offset);
        var users = _broker.Services.GetRequiredService<SiloSecurity>().Users;
        Assert.Equal(["alice", "root"], (await users.DescribeUsersAsync(null)).Select(static user => user.Name));
        Assert.Equal(2, users.ListAcls(new AclFilter()).Count);
    }

    private static void Demand(ErrorCode error)
    {
        if (error != ErrorCode.None)
            throw new BrokerException(error, $"{error}");
    }

    private static object? ArgumentOf(Type type) => type == typeof(BatchInCall) ? BatchInCall.Lend(default)
        : type == typeof(string) ? "x" : type == typeof(CancellationToken) ? CancellationToken.None
        : type.IsArray ? Array.CreateInstance(type.GetElementType()!, 0)
        : type.IsValueType ? Activator.CreateInstance(type) : null;

    private static async Task WithAsync(byte[]? ticket, Func<Task> call)
    {
        if (ticket is null)
            RequestContext.Remove(TicketedCalls.Key);
        else
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

    private static async Task<IHost> StartAsync(Action<ISiloBuilder> configure)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleans(configure);
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private readonly record struct Seen(CallTarget Target, byte[] Ticket);
}
