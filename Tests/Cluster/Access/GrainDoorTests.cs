using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization.Invocation;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Topics;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>The door, by calls that say of themselves whose they are.</summary>
public sealed class GrainDoorTests
{
    [Fact]
    public async Task Call_that_claims_to_be_a_silos_is_refused_without_a_ticket()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, configure: SecuredUsers.Enforce);
        var door = silo.Services.GetRequiredService<GrainDoor>();
        foreach (var claimed in new GrainId?[] { null, GrainId.Create("omq.cluster", "cluster"),
            GrainId.Create("sys.client", "hosted-S1") })
        {
            var call = new Call(claimed);
            Assert.Equal(ErrorCode.ClusterAuthorizationFailed,
                (await Assert.ThrowsAsync<BrokerException>(() => door.InvokeAsync(call))).Code);
            Assert.False(call.IsInvoked);
        }
    }

    [Fact]
    public async Task Door_without_access_control_asks_for_no_ticket()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path);
        var call = new Call(GrainId.Create("omq.cluster", "cluster"));
        await silo.Services.GetRequiredService<GrainDoor>().InvokeAsync(call);
        Assert.True(call.IsInvoked);
    }

    private sealed class Call(GrainId? source) : IIncomingGrainCallContext
    {
        public bool IsInvoked { get; private set; }

        public GrainId? SourceId => source;

        public MethodInfo InterfaceMethod => typeof(IClusterOwnerGrain).GetMethod(nameof(IClusterOwnerGrain.PlaceAsync))!;

        public GrainId TargetId => GrainId.Create("omq.cluster", "cluster");

        public IInvokable Request => throw new NotSupportedException();

        public object Grain => throw new NotSupportedException();

        public MethodInfo ImplementationMethod => InterfaceMethod;

        public IGrainContext TargetContext => throw new NotSupportedException();

        public GrainInterfaceType InterfaceType => throw new NotSupportedException();

        public string InterfaceName => nameof(IClusterOwnerGrain);

        public string MethodName => nameof(IClusterOwnerGrain.PlaceAsync);

        public object? Result { get; set; }

        public Response? Response { get; set; }

        public Task Invoke()
        {
            IsInvoked = true;
            return Task.CompletedTask;
        }
    }
}
