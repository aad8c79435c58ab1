using System.Runtime.CompilerServices;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>The call to the broker, without an allocation: the awaiter is kept here, and the continuation is created once.</content>
internal sealed partial class ProduceBatch
{
    private ConfiguredValueTaskAwaitable<ProduceResult>.ConfiguredValueTaskAwaiter _awaiter;
    private Action? _onReturned;

    /// <summary>The queue to notify when the call returns.</summary>
    public PartitionQueue? Queue { get; set; }

    /// <summary>Keeps a call in progress; the queue is notified when it ends. Returns true if it has ended already.</summary>
    public bool Await(ValueTask<ProduceResult> call)
    {
        _awaiter = call.ConfigureAwait(false).GetAwaiter();
        if (_awaiter.IsCompleted)
            return true;
        _awaiter.UnsafeOnCompleted(_onReturned ??= () => Queue!.OnCallEnded(this));
        return false;
    }

    /// <summary>Takes the call's result; an exception becomes a code.</summary>
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

    /// <summary>Maps an exception to a result. A broker returns rejections; after an exception the outcome is unknown, unless the exception
    /// has a code.</summary>
    public static ProduceResult ResultOf(Exception e) => e switch
    {
        BrokerException refused => ProduceResult.Failed(refused.Code, refused.Message),
        OperationCanceledException or TimeoutException => ProduceResult.Failed(ErrorCode.RequestTimedOut, e.Message),
        _ => ProduceResult.Failed(ErrorCode.UnknownServerError, $"The broker failed: {e.GetType().Name}: {e.Message}"),
    };
}
