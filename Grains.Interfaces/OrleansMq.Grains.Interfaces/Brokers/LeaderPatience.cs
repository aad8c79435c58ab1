namespace OrleansMq.Grains.Brokers;

/// <summary>How calls that may be repeated get over the moment in which a partition's leader changes.</summary>
internal static class LeaderPatience
{
    // A handover takes some ten milliseconds, a failover some hundred: the first retries are quick, and none is a burden.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(160);

    /// <summary>Whether somebody else leads, or soon will: nothing was done.</summary>
    public static bool HasMoved(ErrorCode error) => error is ErrorCode.NotLeaderOrFollower or ErrorCode.LeaderNotAvailable;

    /// <summary>Makes the call, again and again for <see cref="GrainBrokerOptions.LeaderPatience"/> while there is no leader to answer it;
    /// one that was not answered is made once more in any case, since to learn that takes longer.</summary>
    /// <param name="options">The patience.</param>
    /// <param name="call">Changes nothing when it is repeated.</param>
    /// <param name="errorOf">What became of it.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public static ValueTask<T> RetryAsync<T>(GrainBrokerOptions options, Func<ValueTask<T>> call, Func<T, ErrorCode> errorOf,
        CancellationToken cancellationToken) =>
        RepeatAsync(options, call, result => HasMoved(errorOf(result)) || errorOf(result) == ErrorCode.RequestTimedOut, cancellationToken);

    /// <summary>Makes the call, again and again for <see cref="GrainBrokerOptions.LeaderPatience"/> while its result says that nobody was
    /// there to answer.</summary>
    /// <param name="options">The patience.</param>
    /// <param name="call">Changes nothing when it is repeated.</param>
    /// <param name="hasMoved">Whether to ask again.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public static async ValueTask<T> RepeatAsync<T>(GrainBrokerOptions options, Func<ValueTask<T>> call, Func<T, bool> hasMoved,
        CancellationToken cancellationToken)
    {
        var began = options.TimeProvider.GetTimestamp();
        var calls = 0;
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var result = await call().ConfigureAwait(false);
            // Once more in any case: to learn that a call is not answered may take longer than the patience.
            if (!hasMoved(result) || (++calls > 1 && options.TimeProvider.GetElapsedTime(began) + pause > options.LeaderPatience))
                return result;
            await Task.Delay(pause, options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }
}
