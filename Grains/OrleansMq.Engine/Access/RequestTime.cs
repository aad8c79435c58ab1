using System.Diagnostics;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>The time that a thread spends on a request without a wait. A server may begin the connection's next request on the thread
/// before that ends, which counts its own time: each moment counts once.</summary>
internal readonly struct RequestTime
{
    // What was counted within the innermost time of this thread.
    [ThreadStatic]
    private static long t_within;

    private readonly long _began;
    private readonly long _before;

    private RequestTime(long began, long before) => (_began, _before) = (began, before);

    /// <summary>Begins it.</summary>
    public static RequestTime Begin()
    {
        var time = new RequestTime(Stopwatch.GetTimestamp(), t_within);
        t_within = 0;
        return time;
    }

    /// <summary>Ends it, on the same thread: the client pays for it.</summary>
    /// <param name="quotas">What the client may use.</param>
    public void Charge(ClientQuotas quotas)
    {
        var whole = Stopwatch.GetTimestamp() - _began;
        var own = whole - t_within;
        t_within = _before + whole;
        quotas.Charge(QuotaKey.RequestPercentage, Stopwatch.GetElapsedTime(0, own).TotalSeconds * 100);
    }
}
