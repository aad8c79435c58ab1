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
    private readonly Queue<BrokerException> _answers = new();
    private readonly List<byte[]> _refused = [];
    private bool _fails;
    // What the last call failed with.
    private ErrorCode? _answer;

    public TicketedCallsTests() => _calls = new TicketedCalls(FrozenSet.Create(typeof(ITopicGrain)), this);

    private byte[]? Current { get; set; } = Own;

    private byte[]? Renewed { get; set; }

    /// <inheritdoc/>
    public bool CanRenew { get; private set; }

    /// <inheritdoc/>
    public byte[]? For(IOutgoingGrainCallContext call) => Current;

    /// <inheritdoc/>
    public ValueTask<bool> RenewAsync(byte[] refused)
    {
        _refused.Add(refused);
        Current = Renewed ?? Current;
        return new(Renewed is not null);
    }

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

    [Fact]
    public void Call_that_is_refused_for_its_ticket_is_made_again_once_with_another()
    {
        (CanRenew, Renewed) = (true, [3]);
        RequestContext.Set(TicketedCalls.Key, Others);
        _answers.Enqueue(Refusal);
        Call(typeof(ITopicGrain));
        Assert.Equal([Own, Renewed], _seen);
        Assert.Null(_answer);
        Assert.Same(Own, Assert.Single(_refused));
        Assert.Same(Others, TicketedCalls.Carried);
        // Refused again.
        _answers.Enqueue(Refusal);
        _answers.Enqueue(Refusal);
        Call(typeof(ITopicGrain));
        Assert.Equal(4, _seen.Count);
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, _answer);
        Assert.Equal(2, _refused.Count);
    }

    [Theory]
    [InlineData(true, ErrorCode.TopicAuthorizationFailed, 0)]
    [InlineData(true, ErrorCode.SaslAuthenticationFailed, 1)]
    [InlineData(false, ErrorCode.SaslAuthenticationFailed, 0)]
    public void Call_is_made_once_where_it_fails_otherwise_and_where_there_is_no_other_ticket(bool canRenew, ErrorCode code, int asked)
    {
        CanRenew = canRenew;
        _answers.Enqueue(new BrokerException(code, "refused"));
        Call(typeof(ITopicGrain));
        Assert.Single(_seen);
        Assert.Equal(asked, _refused.Count);
        Assert.Equal(code, _answer);
    }

    private static BrokerException Refusal => new(ErrorCode.SaslAuthenticationFailed, "refused");

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
            return _answers.TryDequeue(out var failure) ? Task.FromException(failure) : Task.CompletedTask;
        };
        var calling = _calls.Invoke(call);
        Assert.True(calling.IsCompleted);
        _answer = (calling.Exception?.InnerException as BrokerException)?.Code;
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

        internal Func<Task> Send { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            if (targetMethod!.Name == "get_" + nameof(IGrainCallContext.Request))
                return Request;
            return Send();
        }
    }
}
