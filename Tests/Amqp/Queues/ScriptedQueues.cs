using System.Reflection;
using OrleansMq.Api;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Queues whose settlements a test answers.</summary>
public class ScriptedQueues : DispatchProxy
{
    private IQueues _inner = null!;

    /// <summary>Called instead of a settlement, which it may forward; null: none is answered otherwise.</summary>
    public Func<IReadOnlyList<QueueSettlement>, Func<ValueTask<IReadOnlyList<ErrorCode>>>, ValueTask<IReadOnlyList<ErrorCode>>>? Settle
    {
        get;
        set;
    }

    /// <summary>Called before each call, with its name.</summary>
    public Action<string> Called { get; set; } = static _ => { };

    /// <summary>Called before each receive, with the most records and how long it waits.</summary>
    public Action<int, TimeSpan> Receiving { get; set; } = static (_, _) => { };

    /// <summary>Called instead of a receive, which it may forward; null: each is forwarded.</summary>
    public Func<Func<ValueTask<QueueDelivery?>>, ValueTask<QueueDelivery?>>? Receive { get; set; }

    /// <summary>Called instead of a purge, which it may forward; null: each is forwarded.</summary>
    public Func<Func<ValueTask>, ValueTask>? Purge { get; set; }

    /// <summary>Forwards to other queues.</summary>
    public static ScriptedQueues Of(IQueues inner)
    {
        var made = (ScriptedQueues)(object)Create<IQueues, ScriptedQueues>();
        made._inner = inner;
        return made;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        Called(targetMethod!.Name);
        if (targetMethod.Name == nameof(IQueues.ReceiveAsync))
        {
            Receiving((int)args![2]!, (TimeSpan)args[3]!);
            if (Receive is { } receive)
                return receive(() => (ValueTask<QueueDelivery?>)targetMethod.Invoke(_inner, args)!);
        }
        if (targetMethod.Name == nameof(IQueues.PurgeAsync) && Purge is { } purge)
            return purge(() => (ValueTask)targetMethod.Invoke(_inner, args)!);
        return targetMethod.Name == nameof(IQueues.SettleAsync) && Settle is { } settle
            && args![2] is IReadOnlyList<QueueSettlement> { Count: > 0 } settlements
            ? settle(settlements, () => (ValueTask<IReadOnlyList<ErrorCode>>)targetMethod.Invoke(_inner, args)!)
            : targetMethod.Invoke(_inner, args);
    }
}
