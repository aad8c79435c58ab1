namespace OrleansMq.Quotas;

/// <summary>The limits of one client. Where no quota is configured at all, a look is one comparison. Thread safe.</summary>
/// <param name="quotas">The broker's quotas.</param>
/// <param name="user">The user's name.</param>
/// <param name="clientId">The client's id; empty for none.</param>
internal sealed class ClientQuotas(BrokerQuotas quotas, string user, string clientId)
{
    private volatile Found? _found;

    /// <summary>Whether the broker has any quota.</summary>
    public bool IsOn => quotas.Image is not null;

    /// <summary>Returns what the client has used of a limit; null where it has none.</summary>
    public QuotaAccount? Of(QuotaKey key)
    {
        if (quotas.Image is not { } image)
            return null;
        var found = _found;
        if (found is null || !ReferenceEquals(found.Image, image) || found.Accounts[(int)key] is { IsRetired: true })
            _found = found = quotas.Find(user, clientId);
        return found?.Accounts[(int)key];
    }

    /// <summary>Waits, until the broker stops at most, or it is cancelled.</summary>
    /// <returns>False: the broker stops.</returns>
    public ValueTask<bool> HoldAsync(TimeSpan time, CancellationToken cancellationToken) => quotas.HoldAsync(time, cancellationToken);

    /// <summary>How long until the client is within all its quotas.</summary>
    public TimeSpan Wait()
    {
        var longest = TimeSpan.Zero;
        foreach (var key in QuotaKeys.All)
        {
            if (Of(key)?.Wait() is { } wait && wait > longest)
                longest = wait;
        }
        return longest;
    }

    /// <summary>Takes what a request has used.</summary>
    /// <returns>How long the client is to be held back.</returns>
    public TimeSpan Charge(QuotaKey key, double units) => Of(key)?.Charge(units) ?? TimeSpan.Zero;

    /// <summary>Whether a batch of a producer id may be written.</summary>
    /// <param name="producerId">The id; negative for a batch without one.</param>
    public bool AdmitsProducer(long producerId) =>
        producerId < 0 || Of(QuotaKey.ProducerIds) is not { } account || account.AdmitsProducer(producerId);

    /// <summary>Notes that the client is held back.</summary>
    public void Throttled(QuotaKey key, TimeSpan time) => quotas.Throttled(user, key, time);

    /// <summary>The accounts that were found under an image.</summary>
    internal sealed record Found(QuotaImage Image, QuotaAccount?[] Accounts);
}
