using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>Producer ids: one shared by all partitions, and separate ones for partitions where the broker rejects it.</content>
internal sealed partial class ProducerCore
{
    private readonly Lock _identityGate = new();
    private Task<ProducerIdentity>? _sharedIdentity;

    /// <summary>Requests a producer id for a partition, which receives it through <see cref="PartitionQueue.OnIdentity"/>.</summary>
    public void AskForIdentity(PartitionQueue partition, bool fresh) => _ = AskForIdentityAsync(partition, fresh);

    // A handover takes about ten milliseconds. With the usual backoff the producer would wait longer than the partition is without a
    // leader.
    private static readonly TimeSpan MovedBackoff = TimeSpan.FromMilliseconds(10);

    /// <summary>When to retry after a failed attempt: soon if only the leader changed and nothing was executed.</summary>
    public long RetryAt(long now, int attempt, ErrorCode error) =>
        Clock.After(now, error == ErrorCode.NotLeaderOrFollower && MovedBackoff < Options.RetryBackoff
            ? RetryBackoff.For(attempt, MovedBackoff, Options.RetryBackoffMax, Options.Random.NextDouble())
            : Backoff(attempt));

    /// <summary>Waits before the next attempt.</summary>
    public Task BackoffAsync(int attempt) => Task.Delay(Backoff(attempt), Options.TimeProvider);

    private TimeSpan Backoff(int attempt) =>
        RetryBackoff.For(attempt, Options.RetryBackoff, Options.RetryBackoffMax, Options.Random.NextDouble());

    private async Task AskForIdentityAsync(PartitionQueue partition, bool fresh)
    {
        for (var attempt = 1; ; attempt++)
        {
            ProduceResult error;
            try
            {
                partition.OnIdentity(await (fresh ? NewIdentityAsync() : SharedIdentityAsync()).ConfigureAwait(false));
                return;
            }
            catch (Exception e)
            {
                error = ProduceBatch.ResultOf(e);
            }
            if (error.Error.Action() != ErrorAction.Retry)
            {
                partition.OnIdentityRefused(error);
                return;
            }
            await BackoffAsync(attempt).ConfigureAwait(false);
            if (!partition.StillWantsIdentity())
                return;
        }
    }

    private Task<ProducerIdentity> SharedIdentityAsync()
    {
        lock (_identityGate)
        {
            if (_sharedIdentity is null || _sharedIdentity.IsFaulted || _sharedIdentity.IsCanceled)
                _sharedIdentity = NewIdentityAsync();
            return _sharedIdentity;
        }
    }

    private async Task<ProducerIdentity> NewIdentityAsync() => await Target.GetIdentityAsync().ConfigureAwait(false);
}
