using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>Producer ids: one that all partitions share, and others for partitions where the broker refuses that.</content>
internal sealed partial class ProducerCore
{
    private readonly Lock _identityGate = new();
    private Task<ProducerIdentity>? _sharedIdentity;

    /// <summary>Gets a producer id for a partition, which hears of it by <see cref="PartitionQueue.OnIdentity"/>.</summary>
    public void AskForIdentity(PartitionQueue partition, bool fresh) => _ = AskForIdentityAsync(partition, fresh);

    // A handover takes some ten milliseconds: whoever waited for the usual time would be without a leader for longer than there is none.
    private static readonly TimeSpan MovedBackoff = TimeSpan.FromMilliseconds(10);

    /// <summary>When to try again after a failed attempt: soon where only the leader changed, and nothing was done.</summary>
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

    private async Task<ProducerIdentity> NewIdentityAsync() => await Broker.InitProducerIdAsync().ConfigureAwait(false);
}
