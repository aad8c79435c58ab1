using System.Runtime.CompilerServices;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>What a request awaits when its body has come late: the time from here until it waits next is the client's. The rest of the
/// request runs inside of <see cref="UnsafeOnCompleted"/>, as far as it comes without a wait, so that it can be measured.</summary>
/// <param name="quotas">What the client may use.</param>
internal readonly struct RequestStretch(ClientQuotas quotas) : ICriticalNotifyCompletion
{
    /// <summary>Whether nothing limits the time.</summary>
    public bool IsCompleted => quotas.Of(QuotaKey.RequestPercentage) is null;

    /// <summary>Returns itself.</summary>
    public RequestStretch GetAwaiter() => this;

    /// <summary>Returns nothing.</summary>
    public void GetResult()
    {
    }

    /// <inheritdoc/>
    public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

    /// <inheritdoc/>
    public void UnsafeOnCompleted(Action continuation)
    {
        var time = RequestTime.Begin();
        try
        {
            continuation();
        }
        finally
        {
            time.Charge(quotas);
        }
    }
}
