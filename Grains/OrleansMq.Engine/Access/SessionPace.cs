using OrleansMq.Api;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>
/// Holds a session of the HTTP API within its quotas: an answer comes later where the client is beyond its rate. A client that would have
/// to wait for more than <see cref="Most"/> is refused before anything is done, and may retry.
/// </summary>
/// <param name="quotas">What the session may use.</param>
internal sealed class SessionPace(ClientQuotas quotas)
{
    /// <summary>The longest that an answer is held back: clients give up after 30 seconds or more.</summary>
    public static readonly TimeSpan Most = TimeSpan.FromSeconds(15);

    /// <summary>Whether nothing holds the session back.</summary>
    public bool IsFree(QuotaKey key) => quotas.Of(key) is null;

    /// <summary>The most bytes that one read may return: what a window allows.</summary>
    public int MostBytes => quotas.Of(QuotaKey.ConsumerByteRate) is { } account
        ? (int)Math.Clamp(account.Most, 1, int.MaxValue) : int.MaxValue;

    /// <summary>Returns why a request is refused; null where it is not.</summary>
    public string? Refuses(QuotaKey key) => quotas.Of(key)?.Wait() is { } wait && wait > Most
        ? RefusalOf(key, wait) : null;

    /// <summary>Takes partitions that are created or deleted.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ThrottlingQuotaExceeded"/>.</exception>
    public void Mutate(int partitions)
    {
        const QuotaKey key = QuotaKey.ControllerMutationRate;
        var wait = quotas.Of(key)?.ChargeUnlessOwed(partitions) ?? TimeSpan.Zero;
        if (wait > TimeSpan.Zero)
            throw new BrokerException(ErrorCode.ThrottlingQuotaExceeded, RefusalOf(key, wait));
    }

    /// <summary>Appends, and completes when the client is within its rate again. What was appended is kept.</summary>
    public async ValueTask<ProduceResult> ProduceAsync(int bytes, Func<ValueTask<ProduceResult>> produce)
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        if (Refuses(key) is { } refusal)
            return ProduceResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
        var wait = quotas.Charge(key, bytes);
        var result = await produce().ConfigureAwait(false);
        await HoldAsync(key, wait, CancellationToken.None).ConfigureAwait(false);
        return result;
    }

    /// <summary>Reads once the client is within its rate.</summary>
    public async ValueTask<FetchResult> FetchAsync(FetchRequest request, Func<FetchRequest, ValueTask<FetchResult>> fetch,
        CancellationToken cancellationToken)
    {
        const QuotaKey key = QuotaKey.ConsumerByteRate;
        if (Refuses(key) is { } refusal)
            return FetchResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
        await HoldAsync(key, quotas.Of(key)?.Wait() ?? TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
        var fetched = await fetch(request with { MaxBytes = Math.Min(request.MaxBytes, MostBytes) }).ConfigureAwait(false);
        if (fetched.Length > 0)
            quotas.Charge(key, fetched.Length);
        return fetched;
    }

    private static string RefusalOf(QuotaKey key, TimeSpan wait) =>
        $"The quota {key.Name()} is used up: retry in {Math.Ceiling(wait.TotalSeconds)} s.";

    private async ValueTask HoldAsync(QuotaKey key, TimeSpan wait, CancellationToken cancellationToken)
    {
        if (wait <= TimeSpan.Zero)
            return;
        var held = wait < Most ? wait : Most;
        quotas.Throttled(key, held);
        await quotas.HoldAsync(held, cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
    }
}
