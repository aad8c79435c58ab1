namespace OrleansMq.Grains.Brokers;

/// <summary>Retries idempotent calls while a partition changes its leader.</summary>
internal static class LeaderPatience
{
    // A handover takes about ten milliseconds, a failover some hundred. The first retries are quick, and all of them are cheap.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(160);

    /// <summary>Whether another broker leads, or will soon; the request had no effect.</summary>
    public static bool HasMoved(ErrorCode error) => error is ErrorCode.NotLeaderOrFollower or ErrorCode.LeaderNotAvailable;

    /// <summary>Repeats the call for <see cref="GrainBrokerOptions.LeaderPatience"/> while the partition has no leader. An unanswered call
    /// is always repeated once, since detecting that may take longer than the patience.</summary>
    /// <param name="options">The patience and the clock.</param>
    /// <param name="call">Must be idempotent.</param>
    /// <param name="errorOf">Extracts the error of a result.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public static ValueTask<T> RetryAsync<T>(GrainBrokerOptions options, Func<ValueTask<T>> call, Func<T, ErrorCode> errorOf,
        CancellationToken cancellationToken) =>
        RepeatAsync(options, call, result => HasMoved(errorOf(result)) || errorOf(result) == ErrorCode.RequestTimedOut, cancellationToken);

    /// <summary>Repeats the call for <see cref="GrainBrokerOptions.LeaderPatience"/> while its result says that the responsible broker is
    /// missing.</summary>
    /// <param name="options">The patience and the clock.</param>
    /// <param name="call">Must be idempotent.</param>
    /// <param name="hasMoved">Whether to call again.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public static async ValueTask<T> RepeatAsync<T>(GrainBrokerOptions options, Func<ValueTask<T>> call, Func<T, bool> hasMoved,
        CancellationToken cancellationToken)
    {
        var began = options.TimeProvider.GetTimestamp();
        var calls = 0;
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var result = await call().ConfigureAwait(false);
            // Always retry once: detecting an unanswered call may take longer than the patience.
            if (!hasMoved(result) || (++calls > 1 && options.TimeProvider.GetElapsedTime(began) + pause > options.LeaderPatience))
                return result;
            await Task.Delay(pause, options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }
}
