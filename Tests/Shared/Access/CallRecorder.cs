using System.Reflection;
using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>The engine behind the door, in a test: passes calls on, and records the name of each.</summary>
public class CallRecorder : DispatchProxy
{
    private object _target = null!;
    private List<string> _calls = null!;

    /// <summary>A broker that records its calls, and those of its groups, queues, schedules, transactions and administration, in
    /// <paramref name="calls"/>.</summary>
    public static IBroker Of(IBroker target, List<string> calls) => Of<IBroker>(target, calls);

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        try
        {
            if (!targetMethod!.IsSpecialName)
            {
                lock (_calls)
                    _calls.Add(targetMethod.Name);
            }
            return targetMethod.Invoke(_target, args) switch
            {
                IGroupCoordinator groups => Of(groups, _calls),
                IQueues queues => Of(queues, _calls),
                ISchedules schedules => Of(schedules, _calls),
                ITransactionCoordinator transactions => Of(transactions, _calls),
                IClusterAdministration administration => Of(administration, _calls),
                var result => result,
            };
        }
        catch (TargetInvocationException e)
        {
            throw e.InnerException!;
        }
    }

    private static T Of<T>(T target, List<string> calls) where T : class
    {
        var proxy = Create<T, CallRecorder>();
        var recorder = (CallRecorder)(object)proxy;
        (recorder._target, recorder._calls) = (target, calls);
        return proxy;
    }
}
