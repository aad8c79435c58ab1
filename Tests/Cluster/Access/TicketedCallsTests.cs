using System.Collections.Frozen;
using System.Reflection;
using Orleans.Serialization.Invocation;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Which calls of a process carry a ticket.</summary>
public sealed class TicketedCallsTests : ITicketSource
{
    private static readonly byte[] Own = [1];
    private static readonly byte[] Others = [2];
    private readonly List<object?> _seen = [];
    private readonly TicketedCalls _calls;
    private bool _fails;

    public TicketedCallsTests() => _calls = new TicketedCalls(FrozenSet.Create(typeof(ITopicGrain)), this);

    /// <inheritdoc/>
    public byte[]? Current { get; private set; } = Own;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Call_of_a_brokers_grain_carries_the_ticket_of_the_process_whatever_came_with_its_cause(bool hasCause)
    {
        if (hasCause)
            RequestContext.Set(TicketedCalls.Key, Others);
        Call(typeof(ITopicGrain));
        Assert.All(_seen, static seen => Assert.Same(Own, seen));
        Assert.Single(_seen);
        Assert.Same(hasCause ? Others : null, TicketedCalls.Carried);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Other_call_carries_none(bool hasCause)
    {
        if (hasCause)
            RequestContext.Set(TicketedCalls.Key, Others);
        Call(typeof(ITicketLookoutGrain));
        Assert.All(_seen, Assert.Null);
        Assert.Same(hasCause ? Others : null, TicketedCalls.Carried);
    }

    [Fact]
    public void Process_without_a_ticket_sends_none_and_passes_none_on()
    {
        Current = null;
        RequestContext.Set(TicketedCalls.Key, Others);
        Call(typeof(ITopicGrain));
        Assert.All(_seen, Assert.Null);
        Assert.Same(Others, TicketedCalls.Carried);
    }

    [Fact]
    public void Context_is_as_before_when_the_call_fails_at_once()
    {
        _fails = true;
        Assert.Throws<InvalidOperationException>(() => Call(typeof(ITopicGrain)));
        Assert.Null(TicketedCalls.Carried);
    }

    private void Call(Type grain)
    {
        var request = DispatchProxy.Create<IInvokable, Request>();
        ((Request)(object)request).Interface = grain;
        var call = DispatchProxy.Create<IOutgoingGrainCallContext, Context>();
        ((Context)(object)call).Request = request;
        ((Context)(object)call).Send = () =>
        {
            if (_fails)
                throw new InvalidOperationException();
            _seen.Add(TicketedCalls.Carried);
        };
        Assert.True(_calls.Invoke(call).IsCompleted);
    }

    /// <summary>A request to some grain.</summary>
    public class Request : DispatchProxy
    {
        internal Type Interface { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            targetMethod!.Name == nameof(IInvokable.GetInterfaceType) ? Interface : throw new NotSupportedException();
    }

    /// <summary>A call of it.</summary>
    public class Context : DispatchProxy
    {
        internal IInvokable Request { get; set; } = null!;

        internal Action Send { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            if (targetMethod!.Name == "get_" + nameof(IGrainCallContext.Request))
                return Request;
            Send();
            return Task.CompletedTask;
        }
    }
}
