using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>
/// The turn of clients' peeks into queues: one at a time, since a peek holds the records that it reads, and pays for them once it has them.
/// A peek has a time limit, so that those behind it get their turn. Thread safe.
/// </summary>
/// <param name="clock">Times the peeks.</param>
internal sealed class PeekTurn(TimeProvider clock)
{
    /// <summary>The time limit of a peek: shorter than any wait for the turn.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    private readonly SemaphoreSlim _turn = new(1);

    /// <summary>Peeks when those before are done.</summary>
    /// <param name="patience">The longest wait for the turn.</param>
    /// <param name="peek">Peeks. It has the turn until it completes, and its token is cancelled at the time limit.</param>
    /// <param name="cancellationToken">Cancels the wait and the peek.</param>
    /// <returns>The records; null: other peeks took all the time, and nothing was done.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.RequestTimedOut"/>: the peek reached its time limit.</exception>
    public async Task<QueueRecord[]?> TryPeekAsync(TimeSpan patience, Func<CancellationToken, Task<QueueRecord[]>> peek,
        CancellationToken cancellationToken)
    {
        if (!await _turn.WaitAsync(patience, cancellationToken).ConfigureAwait(false))
            return null;
        try
        {
            using var limit = new CancellationTokenSource(Limit, clock);
            using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, limit.Token);
            try
            {
                return await peek(ending.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                throw new BrokerException(ErrorCode.RequestTimedOut, $"The queue was not read within {Limit.TotalSeconds} seconds, the "
                    + "time limit of a peek: the partition's leader does not answer, or is slow. Retry.");
            }
        }
        finally
        {
            _turn.Release();
        }
    }
}
