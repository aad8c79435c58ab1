using System.Runtime.CompilerServices;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>The call to the broker, without an allocation: the awaiter is kept here, and the continuation is made once.</content>
internal sealed partial class ProduceBatch
{
    private ConfiguredValueTaskAwaitable<ProduceResult>.ConfiguredValueTaskAwaiter _awaiter;
    private Action? _onReturned;

    /// <summary>The queue that is told when the call returns.</summary>
    public PartitionQueue? Queue { get; set; }

    /// <summary>Keeps a call that is under way; the queue is told when it ends. True: it has ended already.</summary>
    public bool Await(ValueTask<ProduceResult> call)
    {
        _awaiter = call.ConfigureAwait(false).GetAwaiter();
        if (_awaiter.IsCompleted)
            return true;
        _awaiter.UnsafeOnCompleted(_onReturned ??= () => Queue!.OnCallEnded(this));
        return false;
    }

    /// <summary>What the call returned; what it threw becomes a code.</summary>
    public ProduceResult TakeResult()
    {
        try
        {
            return _awaiter.GetResult();
        }
        catch (Exception e)
        {
            return ResultOf(e);
        }
        finally
        {
            _awaiter = default;
        }
    }

    /// <summary>A broker returns its refusals; one that throws broke off at a point nobody knows, unless it says which.</summary>
    public static ProduceResult ResultOf(Exception e) => e switch
    {
        BrokerException refused => ProduceResult.Failed(refused.Code, refused.Message),
        OperationCanceledException or TimeoutException => ProduceResult.Failed(ErrorCode.RequestTimedOut, e.Message),
        _ => ProduceResult.Failed(ErrorCode.UnknownServerError, $"The broker failed: {e.GetType().Name}: {e.Message}"),
    };
}
